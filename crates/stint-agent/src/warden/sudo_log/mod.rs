//! What sudo runs: the warden is the log server that sudo tells of each command.
//!
//! - [`peer`] finds out who is at the other end: any user may connect to a port of the loopback, only root's sudo is heard;
//! - [`receiver`] takes connections, [`connection`] holds one conversation; both on a thread of their own, so that no peer and no slow
//!   disk keeps the warden's loop from its work;
//! - [`recordings`] keeps what commands print, in bounds;
//! - [`outgoing`] hands what is recorded to the courier, once the record of it is with the broker;
//! - [`missed`] finds the commands that run and were not told of;
//! - [`told`] is what comes to the loop, and how it becomes a record.
//!
//! sudo-rs knows no log server. It writes a line to syslog, which any user can imitate. So:
//!
//! - [`awaited`] knows the sessions that sudo-rs registered by PAM: only what those very processes write after that is taken, once;
//! - [`follow`] reads the host's journal with journalctl, only as long as a line is waited for;
//! - [`written`] puts them on record.

mod awaited;
mod connection;
mod follow;
mod missed;
mod note;
mod outgoing;
mod peer;
mod receiver;
pub(crate) mod recordings;
mod told;
mod written;

pub(super) use awaited::AwaitedLines;
pub(super) use follow::Follow;
pub(crate) use follow::hears_syslog;
pub(super) use missed::Missed;
pub(super) use outgoing::{Outgoing, close_what_lies_open};
pub(super) use receiver::start;
pub(super) use told::{Attribution, Told, records};

/// Where sudo finds the warden. Below 1024, so that no user can stand there in its place while it is away.
pub(crate) const RECEIVER: &str = "127.0.0.1:343";
