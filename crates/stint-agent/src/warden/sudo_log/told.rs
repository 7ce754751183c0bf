//! What comes to the loop, and how it becomes a record.

use stint_grant::ids::GrantId;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, SudoRule};
use stint_log::record::{CommandLine, Event, IoLog};
use stint_sudolog::conversation::Exit;

use crate::warden::live::LiveGrant;

/// Something that sudo told.
#[derive(Debug)]
pub(crate) struct Told {
    /// The process.
    pub(crate) pid: u32,
    /// What the run of this sudo is called in the record.
    pub(crate) run: String,
    /// To what it belongs; known once a command was accepted.
    pub(crate) of: Option<Attribution>,
    /// What.
    pub(crate) what: What,
}

/// What sudo told.
#[derive(Debug)]
pub(crate) enum What {
    /// A command may run.
    Accepted {
        /// Which.
        what: CommandLine,
        /// Started by another.
        sub: bool,
        /// Its output is recorded.
        io: bool,
    },
    /// A command may not run.
    Rejected {
        /// Which.
        what: CommandLine,
        /// Started by another.
        sub: bool,
        /// Why.
        reason: String,
    },
    /// Something odd.
    Alert {
        /// What.
        reason: String,
    },
    /// The command is over.
    Ended {
        /// How.
        exit: Exit,
        /// What it printed.
        io: Option<IoLog>,
    },
}

/// To what a command belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attribution {
    /// The session in which it was asked for.
    pub(crate) session: Option<String>,
    /// The grant that allowed it.
    pub(crate) grant: Option<GrantId>,
}

impl What {
    /// The command, if it is about one.
    pub(crate) fn command(&self) -> Option<&CommandLine> {
        match self {
            Self::Accepted { what, .. } | Self::Rejected { what, .. } => Some(what),
            Self::Alert { .. } | Self::Ended { .. } => None,
        }
    }
}

/// The record of it.
pub(crate) fn records(told: Told, of: &Attribution) -> Event {
    let Told { pid, run, what, .. } = told;
    let (grant, session) = (of.grant.as_ref().map(ToString::to_string), of.session.clone());
    match what {
        What::Accepted { what, sub, io } => {
            Event::CommandAccepted { run, grant, session, pid, sub, io, what: Box::new(what) }
        }
        What::Rejected { what, sub, reason } => {
            Event::CommandRejected { run, grant, session, pid, sub, reason, what: Box::new(what) }
        }
        What::Alert { reason } => Event::CommandAlert { run, grant, session, pid, reason },
        What::Ended { exit, io } => Event::CommandEnded {
            run,
            grant,
            session,
            pid,
            exit: exit.status,
            signal: exit.signal,
            took_ms: exit.took_ms.unwrap_or(0),
            io,
        },
    }
}

impl Attribution {
    /// The grant of the account that allows a command: one that names it before one that allows any.
    pub(crate) fn allowing(live: &[LiveGrant], what: &CommandLine) -> Option<GrantId> {
        let of_user = || live.iter().filter(|grant| grant.user().as_str() == what.user);
        let named = of_user().find(|grant| grant.rules().iter().any(|rule| names(rule, what)));
        let any = || {
            let all = |rule: &SudoRule| rule.command == Command::All && rule.run_as.as_str() == what.run_as;
            of_user().find(|grant| grant.rules().iter().any(all))
        };
        named.or_else(any).map(|grant| grant.id().clone())
    }
}

fn names(rule: &SudoRule, what: &CommandLine) -> bool {
    let Command::Program(Program { path, arguments }) = &rule.command else { return false };
    let same = match arguments {
        Arguments::Any => true,
        // As sudo compares them: joined by spaces.
        Arguments::Exact(list) => {
            what.argv_sha256.is_none() && what.argv.get(1..).unwrap_or(&[]).join(" ") == list.join(" ")
        }
    };
    same && rule.run_as.as_str() == what.run_as && *path == what.command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, arguments: Arguments) -> SudoRule {
        SudoRule {
            run_as: "root".parse().unwrap(),
            command: Command::Program(Program { path: path.to_owned(), arguments }),
            digest: None,
            noexec: false,
        }
    }
    fn ran(argv: &[&str]) -> CommandLine {
        CommandLine {
            user: "alice".to_owned(),
            run_as: "root".to_owned(),
            command: "/usr/bin/systemctl".to_owned(),
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
            argv_sha256: None,
            cwd: "/".to_owned(),
            tty: None,
        }
    }

    #[test]
    fn a_rule_names_a_command_with_its_very_arguments_target_and_path() {
        let exact = rule("/usr/bin/systemctl", Arguments::Exact(vec!["restart".into(), "nginx".into()]));
        let restart = ran(&["systemctl", "restart", "nginx"]);
        assert!(names(&exact, &restart));
        assert!(names(&rule("/usr/bin/systemctl", Arguments::Any), &restart));
        assert!(!names(&exact, &ran(&["systemctl", "stop", "nginx"])));
        assert!(!names(&rule("/bin/systemctl", Arguments::Any), &restart));
        assert!(!names(&exact, &CommandLine { run_as: "postgres".into(), ..restart.clone() }));
        let cut = CommandLine { argv_sha256: Some(stint_log::Hash::ZERO), ..restart };
        assert!(!names(&exact, &cut), "arguments that are not all there name nothing");
    }
}
