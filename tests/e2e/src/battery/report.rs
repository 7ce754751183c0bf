//! What really held.

use super::case::{Case, Claim, Expected};
use super::round::Round;

/// One claim, tried.
#[derive(Debug, Clone)]
pub struct Row {
    /// The case.
    pub case: &'static Case,
    /// The round.
    pub round: &'static Round,
    /// The claim.
    pub claim: &'static Claim,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// It holds; where it is a matter of time, so many seconds after the end.
    Held(Option<f64>),
    /// It holds, and only so many seconds after the end, which is too late.
    Late(f64),
    /// It does not, and what one sees instead.
    Not(String),
    /// It could not be found out: the technique itself did not work, or a step before it.
    Broken(String),
    /// It was not tried.
    Untried,
}

/// What that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Holds,
    /// The lab cannot try it.
    Cannot,
    /// It must hold and does not.
    Fails,
    /// It holds too late.
    Late,
    /// It was not tried as it should have been.
    Broken,
}

impl Row {
    /// What was found, against what is expected.
    pub fn verdict(&self) -> Verdict {
        match (&self.claim.expected, &self.found) {
            (Expected::Cannot(_), Found::Untried) => Verdict::Cannot,
            (_, Found::Broken(_) | Found::Untried) | (Expected::Cannot(_), _) => Verdict::Broken,
            (Expected::Holds, Found::Held(_)) => Verdict::Holds,
            (Expected::Holds, Found::Late(_)) => Verdict::Late,
            (Expected::Holds, Found::Not(_)) => Verdict::Fails,
        }
    }
}

impl Verdict {
    /// Whether the battery may end well with it.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Holds | Self::Cannot)
    }

    /// The word of the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Cannot => "not tried",
            Self::Fails => "FAILS",
            Self::Late => "LATE",
            Self::Broken => "BROKEN",
        }
    }
}

/// All rows of what was run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One for each claim.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether every row is as it must be.
    pub fn is_good(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.verdict().is_good())
    }

    /// The numbers of what was late or was not tried as it should have been, if nothing worse was found: a machine that is busy with something
    /// else does that, and it may be tried once more.
    pub fn worth_another_try(&self) -> Option<std::collections::BTreeSet<&'static str>> {
        let bad = self.bad().rows;
        let by_the_machine = |row: &Row| matches!(row.verdict(), Verdict::Late | Verdict::Broken);
        (!bad.is_empty() && bad.iter().all(by_the_machine))
            .then(|| bad.iter().map(|row| row.case.number).collect())
    }

    /// The rows that are not as they must be.
    #[must_use]
    pub fn bad(&self) -> Self {
        Self { rows: self.rows.iter().filter(|row| !row.verdict().is_good()).cloned().collect() }
    }

    /// How many rows have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict() == verdict).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::{Answer, Claim, Expected};
    use super::super::{FAMILIES, Found, Report, Row, Verdict};

    const HOLDS: Claim = Claim::killed("sleep 1");
    const CANNOT: Claim = Claim::cannot(Answer::Killed, "some reason");

    fn row(claim: &'static Claim, found: Found) -> Row {
        let round = &FAMILIES[0].rounds[0];
        Row { case: &round.cases[0], round, claim, found }
    }

    #[test]
    fn what_was_not_tried_as_it_should_have_been_is_no_success() {
        for claim in [&HOLDS, &CANNOT] {
            assert!(!row(claim, Found::Broken("no ssh".into())).verdict().is_good());
        }
        assert!(!row(&HOLDS, Found::Untried).verdict().is_good());
        assert!(matches!(CANNOT.expected, Expected::Cannot(_)));
        assert_eq!(row(&CANNOT, Found::Untried).verdict(), Verdict::Cannot);
    }

    #[test]
    fn what_does_not_hold_fails_and_is_named() {
        let rows = vec![row(&HOLDS, Found::Held(None)), row(&HOLDS, Found::Not("it runs".into()))];
        let report = Report { rows };
        assert!(!report.is_good());
        let bad = report.bad();
        assert_eq!((bad.rows.len(), bad.rows[0].verdict()), (1, Verdict::Fails));
        assert!(!Report::default().is_good(), "nothing at all was tried");
    }

    #[test]
    fn only_what_was_late_or_broken_and_nothing_worse_is_worth_another_try() {
        let report =
            |found: &[Found]| Report { rows: found.iter().map(|f| row(&HOLDS, f.clone())).collect() };
        let number = FAMILIES[0].rounds[0].cases[0].number;
        let (held, late, not) = (Found::Held(None), Found::Late(2.5), Found::Not("it runs".into()));
        assert!(!report(std::slice::from_ref(&late)).is_good());
        let again = report(&[held.clone(), late.clone()]).worth_another_try().unwrap();
        assert_eq!(again.into_iter().collect::<Vec<_>>(), [number]);
        assert!(report(&[late, not]).worth_another_try().is_none());
        assert!(report(&[held]).worth_another_try().is_none());
    }
}
