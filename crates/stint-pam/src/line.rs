//! One line of a PAM stack: its arguments, and what runs.

use crate::asks;
use crate::call::Call;
use crate::host::Host;
use crate::pam::{Answer, Pam};
use crate::{account, limit, place, register, rescue};

/// The phase in which PAM calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `pam_sm_acct_mgmt`.
    Account,
    /// `pam_sm_open_session`.
    Session,
}

/// What a line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// `account`: decides.
    Account,
    /// `session limit`: has pam_systemd end the session in time.
    Limit,
    /// `session register`: decides again and tells the warden.
    Register,
}

/// The arguments of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it does.
    pub duty: Duty,
    /// An account that is exempt whatever the disk holds: `break_glass=UID`.
    pub break_glass: Option<u32>,
    /// Words that are left over, for [`place::open`].
    pub rest: Vec<String>,
}

impl Line {
    /// Reads the arguments of a line that stands in some phase.
    pub fn parse(phase: Phase, words: &[String]) -> Result<Self, String> {
        let mut duty = None;
        let mut session = false;
        let mut line = Self { duty: Duty::Account, break_glass: None, rest: Vec::new() };
        for word in words {
            match (word.as_str(), phase) {
                ("account", Phase::Account) if duty.is_none() => duty = Some(Duty::Account),
                ("session", Phase::Session) if !session && duty.is_none() => session = true,
                ("limit", Phase::Session) if session && duty.is_none() => duty = Some(Duty::Limit),
                ("register", Phase::Session) if session && duty.is_none() => duty = Some(Duty::Register),
                (other, _) => match other.strip_prefix(rescue::BREAK_GLASS) {
                    Some(uid) if line.break_glass.is_none() => {
                        line.break_glass = Some(uid.parse().map_err(|_| {
                            format!("{other:?}: write the uid of an account, for instance break_glass=1900")
                        })?);
                    }
                    _ => line.rest.push(word.clone()),
                },
            }
        }
        line.duty = duty.ok_or_else(|| {
            format!(
                "the line does not say what to do: write {}",
                match phase {
                    Phase::Account => "pam_stint.so account",
                    Phase::Session => "pam_stint.so session limit, or session register",
                }
            )
        })?;
        Ok(line)
    }
}

/// Runs one line.
pub fn run(pam: &impl Pam, phase: Phase, words: &[String]) -> Answer {
    let opened = Line::parse(phase, words).and_then(|line| Ok((place::open(&line.rest)?, line)));
    match opened {
        Ok((host, line)) => run_on(pam, &host, &line),
        Err(fault) => rescue::run(pam, words, &format!("the line of pam_stint.so is wrong: {fault}")),
    }
}

fn run_on(pam: &impl Pam, host: &impl Host, line: &Line) -> Answer {
    let call = Call::read(pam);
    // Inside somebody's session root's own su is looked at: it may have come by a grant, and must end with it.
    let inside = line.duty != Duty::Account && call.kind().elevates() && host.login_uid().unwrap_or(0) != 0;
    if asks::is_local_root(&call, host) && !inside {
        return Answer::NotOurs;
    }
    match line.duty {
        Duty::Account => account::run(pam, host, line, &call),
        Duty::Limit => limit::run(pam, host, line, &call),
        Duty::Register => register::run(pam, host, line, &call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_three_lines_are_read() {
        for (phase, text, duty) in [
            (Phase::Account, "account", Duty::Account),
            (Phase::Session, "session limit", Duty::Limit),
            (Phase::Session, "session register", Duty::Register),
        ] {
            assert_eq!(Line::parse(phase, &words(text)).unwrap().duty, duty);
        }
    }

    #[test]
    fn a_line_in_the_wrong_phase_or_without_a_duty_is_refused() {
        for (phase, text) in [
            (Phase::Account, ""),
            (Phase::Session, "account"),
            (Phase::Account, "session limit"),
            (Phase::Session, "limit"),
            (Phase::Session, "session"),
        ] {
            let line = Line::parse(phase, &words(text));
            assert!(line.is_err() || !line.unwrap().rest.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_second_duty_is_left_over_and_so_refused() {
        let line = Line::parse(Phase::Session, &words("session limit register")).unwrap();
        assert_eq!(line.rest, ["register"]);
        assert!(place::open(&line.rest).is_err());
    }

    #[test]
    fn break_glass_takes_one_uid() {
        let line = Line::parse(Phase::Account, &words("account break_glass=1900")).unwrap();
        assert_eq!(line.break_glass, Some(1900));
        assert!(Line::parse(Phase::Account, &words("account break_glass=admin")).is_err());
        let twice = Line::parse(Phase::Account, &words("account break_glass=1 break_glass=2")).unwrap();
        assert_eq!(twice.rest, ["break_glass=2"]);
    }
}
