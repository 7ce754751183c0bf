//! Which message may come when, and what it means.
//!
//! sudo greets, then tells what became of the command: accepted, or rejected. On the same connection follow the output where it was
//! asked for, the commands that the command starts, alerts, and the end.

use std::time::Duration;

use stint_log::record::CommandLine;

use crate::command::{describe, reason};
use crate::message::{AcceptMessage, ClientKind, ClientMessage, ExitMessage, TimeSpec};

/// One connection of sudo's, as far as it has come.
#[derive(Debug, Default)]
pub struct Conversation {
    stage: Stage,
    elapsed: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing was said.
    #[default]
    New,
    /// sudo has greeted.
    Greeted,
    /// A command runs; whether its output comes as well.
    Running { io: bool },
    /// All is said.
    Over,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The greeting.
    Hello,
    /// A command may run.
    Accepted {
        /// Which.
        what: CommandLine,
        /// Whether it was started by the command of this connection.
        sub: bool,
        /// Whether its output follows.
        io: bool,
    },
    /// A command may not run.
    Rejected {
        /// Which.
        what: CommandLine,
        /// Whether it was started by the command of this connection.
        sub: bool,
        /// Why.
        reason: String,
    },
    /// Something odd.
    Alert {
        /// What.
        reason: String,
    },
    /// A piece of the recording, to be kept as it came.
    Recorded,
    /// The command is over.
    Exited(Exit),
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status, unless a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended it, without `SIG`.
    pub signal: Option<String>,
    /// How long it ran, in milliseconds, if sudo said so.
    pub took_ms: Option<u64>,
}

/// A message that has no place here: the connection is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// Not at this point.
    #[error("{0} does not belong here")]
    Order(&'static str),
    /// It would go on with a recording of before, which is never left unfinished here.
    #[error("a recording cannot be resumed")]
    Restart,
    /// Time that runs backwards or does not fit.
    #[error("a delay that is no time")]
    Delay,
    /// Nothing that is known.
    #[error("a message without content")]
    Empty,
}

impl Conversation {
    /// Takes the next message.
    pub fn hear(&mut self, message: ClientMessage) -> Result<Heard, Unexpected> {
        let kind = message.kind.ok_or(Unexpected::Empty)?;
        match (self.stage, kind) {
            (_, ClientKind::Restart(_)) => Err(Unexpected::Restart),
            (Stage::New, ClientKind::Hello(_)) => {
                self.stage = Stage::Greeted;
                Ok(Heard::Hello)
            }
            (Stage::New, _) => Err(Unexpected::Order("a message before the greeting")),
            (Stage::Over, _) => Err(Unexpected::Order("a message after the end")),
            (_, ClientKind::Hello(_)) => Err(Unexpected::Order("a second greeting")),
            (Stage::Greeted, ClientKind::Accept(accept)) => {
                self.stage = Stage::Running { io: accept.expect_iobufs };
                Ok(Heard::Accepted {
                    what: describe(&accept.info_msgs),
                    sub: false,
                    io: accept.expect_iobufs,
                })
            }
            (Stage::Running { .. }, ClientKind::Accept(accept)) => {
                Ok(Heard::Accepted { what: describe(&accept.info_msgs), sub: true, io: false })
            }
            (stage, ClientKind::Reject(reject)) => {
                let sub = stage != Stage::Greeted;
                if !sub {
                    self.stage = Stage::Over;
                }
                let what = describe(&reject.info_msgs);
                Ok(Heard::Rejected { what, sub, reason: reason(&reject.reason) })
            }
            (_, ClientKind::Alert(alert)) => Ok(Heard::Alert { reason: reason(&alert.reason) }),
            (Stage::Running { .. }, ClientKind::Exit(exit)) => {
                self.stage = Stage::Over;
                Ok(Heard::Exited(exit_of(&exit)))
            }
            (Stage::Running { io: true }, kind) => {
                let delay = delay_of(&kind).ok_or(Unexpected::Order("this kind of message"))?;
                self.elapsed = self.elapsed.checked_add(delay?).ok_or(Unexpected::Delay)?;
                Ok(Heard::Recorded)
            }
            (_, ClientKind::Exit(_)) => Err(Unexpected::Order("the end of a command that did not begin")),
            (_, _) => Err(Unexpected::Order("output that was not announced")),
        }
    }

    /// How far the recording goes: what a commit point says.
    pub fn elapsed(&self) -> TimeSpec {
        TimeSpec {
            tv_sec: i64::try_from(self.elapsed.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: self.elapsed.subsec_nanos().cast_signed(),
        }
    }
}

/// The delay of a piece of a recording; `None` if it is none.
pub(crate) fn delay_of(kind: &ClientKind) -> Option<Result<Duration, Unexpected>> {
    let delay = match kind {
        ClientKind::TtyIn(buffer)
        | ClientKind::TtyOut(buffer)
        | ClientKind::Stdin(buffer)
        | ClientKind::Stdout(buffer)
        | ClientKind::Stderr(buffer) => buffer.delay,
        ClientKind::WindowSize(size) => size.delay,
        ClientKind::Suspend(suspend) => suspend.delay,
        _ => return None,
    };
    Some(duration(delay.unwrap_or_default()))
}

fn duration(time: TimeSpec) -> Result<Duration, Unexpected> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Unexpected::Delay)?;
    match u32::try_from(time.tv_nsec) {
        Ok(nanos) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Unexpected::Delay),
    }
}

fn exit_of(exit: &ExitMessage) -> Exit {
    let signal = (!exit.signal.is_empty()).then(|| reason(&exit.signal[..exit.signal.len().min(32)]));
    Exit {
        status: signal.is_none().then_some(exit.exit_value),
        signal,
        took_ms: exit
            .run_time
            .and_then(|time| duration(time).ok())
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// An accepted command without what may not be kept in a file: the environments, which hold secrets.
pub fn without_environments(mut accept: AcceptMessage) -> AcceptMessage {
    accept.info_msgs.retain(|info| !info.key.ends_with(b"env"));
    accept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::{text, texts};
    use crate::message::{AlertMessage, ClientHello, IoBuffer, RejectMessage, RestartMessage};

    fn say(conversation: &mut Conversation, kind: ClientKind) -> Result<Heard, Unexpected> {
        conversation.hear(ClientMessage { kind: Some(kind) })
    }
    fn hello() -> ClientKind {
        ClientKind::Hello(ClientHello { client_id: b"sudo".to_vec() })
    }
    fn accept(io: bool) -> ClientKind {
        let info_msgs = vec![text("command", b"/bin/id"), texts("runargv", &[b"id"])];
        ClientKind::Accept(AcceptMessage { submit_time: None, info_msgs, expect_iobufs: io })
    }
    fn reject() -> ClientKind {
        ClientKind::Reject(RejectMessage {
            submit_time: None,
            reason: b"command not allowed".to_vec(),
            info_msgs: vec![text("command", b"/bin/sh")],
        })
    }
    fn output(tv_sec: i64, tv_nsec: i32) -> ClientKind {
        ClientKind::TtyOut(IoBuffer { delay: Some(TimeSpec { tv_sec, tv_nsec }), data: b"x".to_vec() })
    }
    fn exit(exit_value: i32, signal: &[u8]) -> ClientKind {
        ClientKind::Exit(ExitMessage {
            run_time: Some(TimeSpec { tv_sec: 1, tv_nsec: 500_000_000 }),
            exit_value,
            signal: signal.to_vec(),
            ..ExitMessage::default()
        })
    }
    fn greeted() -> Conversation {
        let mut conversation = Conversation::default();
        say(&mut conversation, hello()).unwrap();
        conversation
    }

    #[test]
    fn a_command_with_its_output_is_heard_from_beginning_to_end() {
        let mut it = greeted();
        let Ok(Heard::Accepted { what, sub: false, io: true }) = say(&mut it, accept(true)) else { panic!() };
        assert_eq!(what.command, "/bin/id");
        assert_eq!(say(&mut it, output(1, 600_000_000)), Ok(Heard::Recorded));
        assert_eq!(say(&mut it, output(0, 600_000_000)), Ok(Heard::Recorded));
        assert_eq!(it.elapsed(), TimeSpec { tv_sec: 2, tv_nsec: 200_000_000 });
        let exited = Exit { status: Some(3), signal: None, took_ms: Some(1500) };
        assert_eq!(say(&mut it, exit(3, b"")), Ok(Heard::Exited(exited)));
        assert!(say(&mut it, output(0, 0)).is_err(), "nothing comes after the end");
    }

    #[test]
    fn a_signal_is_told_instead_of_a_status() {
        let mut it = greeted();
        say(&mut it, accept(false)).unwrap();
        let Ok(Heard::Exited(exit)) = say(&mut it, exit(137, b"KILL")) else { panic!() };
        assert_eq!((exit.status, exit.signal.as_deref()), (None, Some("KILL")));
    }

    #[test]
    fn commands_that_a_command_starts_come_on_its_connection() {
        let mut it = greeted();
        say(&mut it, accept(true)).unwrap();
        assert!(matches!(say(&mut it, accept(false)), Ok(Heard::Accepted { sub: true, io: false, .. })));
        assert!(matches!(say(&mut it, reject()), Ok(Heard::Rejected { sub: true, .. })));
        assert_eq!(say(&mut it, output(0, 1)), Ok(Heard::Recorded), "and the first one goes on");
    }

    #[test]
    fn a_refusal_says_why_and_ends_the_conversation() {
        let mut it = greeted();
        let alert = AlertMessage { reason: b"odd".to_vec(), ..AlertMessage::default() };
        assert_eq!(say(&mut it, ClientKind::Alert(alert)), Ok(Heard::Alert { reason: "odd".into() }));
        let Ok(Heard::Rejected { what, sub: false, reason }) = say(&mut it, reject()) else { panic!() };
        assert_eq!((what.command.as_str(), reason.as_str()), ("/bin/sh", "command not allowed"));
        assert!(say(&mut it, accept(false)).is_err());
    }

    #[test]
    fn what_is_out_of_turn_is_refused() {
        assert!(say(&mut Conversation::default(), accept(false)).is_err(), "no greeting");
        assert!(say(&mut greeted(), hello()).is_err(), "two greetings");
        assert!(say(&mut greeted(), output(0, 0)).is_err(), "output of no command");
        assert!(say(&mut greeted(), exit(0, b"")).is_err(), "the end of no command");
        let restart = ClientKind::Restart(RestartMessage::default());
        assert_eq!(say(&mut greeted(), restart), Err(Unexpected::Restart));
        let mut quiet = greeted();
        say(&mut quiet, accept(false)).unwrap();
        assert!(say(&mut quiet, output(0, 0)).is_err(), "output that was not announced");
        assert_eq!(greeted().hear(ClientMessage { kind: None }), Err(Unexpected::Empty));
    }

    #[test]
    fn time_neither_runs_backwards_nor_overflows() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            let mut it = greeted();
            say(&mut it, accept(true)).unwrap();
            assert_eq!(say(&mut it, output(seconds, nanos)), Err(Unexpected::Delay), "{seconds} {nanos}");
        }
        let mut it = greeted();
        say(&mut it, accept(true)).unwrap();
        say(&mut it, output(i64::MAX, 0)).unwrap();
        say(&mut it, output(i64::MAX, 0)).unwrap();
        assert_eq!(say(&mut it, output(i64::MAX, 0)), Err(Unexpected::Delay));
    }

    #[test]
    fn environments_are_not_kept() {
        let info_msgs =
            vec![texts("runenv", &[b"A=1"]), texts("submitenv", &[b"B=2"]), text("command", b"/x")];
        let kept = without_environments(AcceptMessage { info_msgs, ..AcceptMessage::default() });
        assert_eq!(kept.info_msgs, [text("command", b"/x")]);
    }
}
