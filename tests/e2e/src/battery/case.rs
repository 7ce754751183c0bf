//! One technique, as data.

/// One way to stay.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The number of the technique; a number of ours begins with a letter. Two cases may be two variants of one number.
    pub number: &'static str,
    /// What is done, in the words of the table.
    pub name: &'static str,
    /// How it is done inside the window.
    pub act: Act,
    /// How one sees, inside the window, that it took: a case that did nothing proves nothing.
    pub takes: Takes,
    /// What must hold after the end.
    pub claims: &'static [Claim],
}

/// What somebody does inside the window. In every line `{dir}` is the lab's folder on the control side, `{id}` the grant.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// A line of shell as the user, through ssh, with further options of the ssh client.
    Ssh(&'static [&'static str], &'static str),
    /// The same, with the connection held open until the end.
    Held(&'static [&'static str], &'static str),
    /// A line typed at a terminal that stays open.
    Typed(&'static str),
    /// Nothing: the lab cannot do it.
    None,
}

/// How one sees that it took.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// A process with exactly this command line runs.
    Process(&'static str),
    /// A line of root's shell on the host succeeds.
    Host(&'static str),
    /// A line through ssh, with these options, succeeds.
    Ssh(&'static [&'static str], &'static str),
    /// It is not tried.
    None,
}

/// One thing that must hold after the end.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// What becomes of it.
    pub answer: Answer,
    /// How one sees that.
    pub proof: Proof,
    /// Whether the lab can try it.
    pub expected: Expected,
    /// Where it is known to come later than everything else: how many seconds after the end, at most, and why.
    pub late: Option<(f64, &'static str)>,
}

/// What becomes of a technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The process is dead, the connection closed.
    Killed,
    /// What was written is gone, or as it was.
    Undone,
    /// It still stands, and gives nothing.
    Denied,
    /// It still stands, and the record says so.
    Reported,
    /// It is gone, or else the receipt names it.
    UndoneOrReported,
    /// It is not the grant's, and is left alone.
    GoesOn,
}

impl Answer {
    /// The word of the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Undone => "undone",
            Self::Denied => "denied",
            Self::Reported => "reported",
            Self::UndoneOrReported => "undone or reported",
            Self::GoesOn => "goes on",
        }
    }
}

/// How one sees it.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    /// No process with exactly this command line, in two scans in a row, the first at most 2 s after the end (or as late as the claim says).
    NoProcess(&'static str),
    /// A line of root's shell succeeds, in two scans in a row, the first at most 2 s after the end.
    Host(&'static str),
    /// The same, or else the receipt has a finding with all of these words.
    HostOrReceipt(&'static str, &'static [&'static str]),
    /// As this user, with these options of the ssh client, the line does not run.
    NoEntry(&'static str, &'static [&'static str], &'static str),
    /// The scheduler came round again after the end, and did not write this file.
    NotRunAgain(&'static str),
    /// Under a new grant of the same entitlement this line, through ssh, does not run.
    NotUnderNewGrant(&'static str),
    /// A new grant of the same entitlement comes into effect on the host.
    NextGrant,
    /// A finding of the grant's receipt has all of these words.
    Receipt(&'static [&'static str]),
    /// A record of the host, held by the broker, has all of these words.
    Record(&'static [&'static str]),
    /// Not looked at.
    None,
}

/// Whether the lab can try a claim.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// It can, and it must hold.
    Holds,
    /// The lab cannot try it, and why.
    Cannot(&'static str),
}

impl Claim {
    const fn new(answer: Answer, proof: Proof) -> Self {
        Self { answer, proof, expected: Expected::Holds, late: None }
    }

    /// No such process.
    pub(super) const fn killed(command: &'static str) -> Self {
        Self::new(Answer::Killed, Proof::NoProcess(command))
    }

    /// Something else that ended, seen by a line of root's shell.
    pub(super) const fn ended(line: &'static str) -> Self {
        Self::new(Answer::Killed, Proof::Host(line))
    }

    /// A file or setting that is as it was, seen by a line of root's shell.
    pub(super) const fn undone(line: &'static str) -> Self {
        Self::new(Answer::Undone, Proof::Host(line))
    }

    /// As it was, or else named in the receipt.
    pub(super) const fn undone_or_reported(line: &'static str, words: &'static [&'static str]) -> Self {
        Self::new(Answer::UndoneOrReported, Proof::HostOrReceipt(line, words))
    }

    /// The user does not get in, or the line does not run.
    pub(super) const fn no_entry(
        user: &'static str,
        options: &'static [&'static str],
        line: &'static str,
    ) -> Self {
        Self::new(Answer::Denied, Proof::NoEntry(user, options, line))
    }

    /// It would have been refused: seen by a line of root's shell.
    pub(super) const fn denied(line: &'static str) -> Self {
        Self::new(Answer::Denied, Proof::Host(line))
    }

    /// What is not the grant's goes on: seen by a line of root's shell.
    pub(super) const fn goes_on(line: &'static str) -> Self {
        Self::new(Answer::GoesOn, Proof::Host(line))
    }

    /// A job that did not run again.
    pub(super) const fn not_run_again(file: &'static str) -> Self {
        Self::new(Answer::Denied, Proof::NotRunAgain(file))
    }

    /// It gives nothing under the next grant.
    pub(super) const fn not_under_new_grant(line: &'static str) -> Self {
        Self::new(Answer::Denied, Proof::NotUnderNewGrant(line))
    }

    /// It does not stop the host from giving the next grant.
    pub(super) const fn next_grant() -> Self {
        Self::new(Answer::Undone, Proof::NextGrant)
    }

    /// The receipt says so.
    pub(super) const fn in_receipt(words: &'static [&'static str]) -> Self {
        Self::new(Answer::Reported, Proof::Receipt(words))
    }

    /// The host's record says so.
    pub(super) const fn on_record(words: &'static [&'static str]) -> Self {
        Self::new(Answer::Reported, Proof::Record(words))
    }

    /// The lab cannot try it.
    pub(super) const fn cannot(answer: Answer, why: &'static str) -> Self {
        Self { answer, proof: Proof::None, expected: Expected::Cannot(why), late: None }
    }

    /// It comes later than everything else.
    pub(super) const fn late(self, seconds: f64, why: &'static str) -> Self {
        Self { late: Some((seconds, why)), ..self }
    }
}

/// What no scan can exclude after full root: the receipt must say it.
pub(super) const ROOT_WAS_USED: Claim = Claim::in_receipt(&["full root was used"]);
