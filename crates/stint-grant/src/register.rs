//! What the module tells the warden over the host's own sockets.
//!
//! A decision goes as one datagram to [`DECISIONS_SOCKET`] and is not answered. A session is registered over [`WARDEN_SOCKET`]: one
//! line of JSON, answered by one line. So is a break-glass code that somebody typed.

use serde::Serialize;

use crate::codes::Code;
use crate::ids::GrantId;
use crate::strict::{self, document};
use crate::time::UnixTime;

/// Where sessions are registered (stream, root only).
pub const WARDEN_SOCKET: &str = "/run/stint/warden.sock";
/// Where decisions are told (datagrams, root only).
pub const DECISIONS_SOCKET: &str = "/run/stint/decisions.sock";
/// How long whoever typed a code waits for the warden, in milliseconds: it hashes slowly, on purpose, and makes its use durable first.
pub const CODE_TIMEOUT_MS: u32 = 20_000;
/// The most characters of the reason that is given with a code.
pub const MAX_REASON: usize = 200;
/// The largest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

document! {
    /// A decision that the module made.
    pub struct DecisionNote {
        /// The message's format.
        pub format: u32,
        /// The PAM service.
        pub service: String,
        /// The account that was decided on.
        pub user: String,
        /// Who called (sudo, su), if told.
        pub caller: Option<String>,
        /// The remote address or name, if told.
        pub origin: Option<String>,
        /// Whether it was allowed. In observe mode a denial is not enforced, and still noted as one.
        pub allowed: bool,
        /// Whether the answer was enforced.
        pub enforced: bool,
        /// The grants that allowed it, or that the denial names.
        pub grants: Vec<GrantId>,
        /// `allowed`, or the denial's code.
        pub code: String,
        /// The denial's words, or empty.
        pub cause: String,
    }
}
document! {
    /// A session that opens.
    pub struct Register {
        /// The message's format.
        pub format: u32,
        /// The PAM service.
        pub service: String,
        /// What kind of session it is.
        pub kind: SessionKind,
        /// The account whose grant it is: the one that logs in, or the caller of sudo, su or doas.
        pub user: String,
        /// The account that the session is opened for.
        pub target: String,
        /// The process; the warden compares it with the socket's peer.
        pub pid: u32,
        /// The terminal, if there is one.
        pub tty: Option<String>,
        /// The remote address or name, if told.
        pub origin: Option<String>,
        /// `XDG_SESSION_ID`, if pam_systemd made a session.
        pub session_id: Option<String>,
        /// The grants that permit it.
        pub grants: Vec<GrantId>,
        /// The latest end among them.
        pub until: UnixTime,
    }
}

/// What kind of session opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A login: its own session scope, if logind made one.
    Login,
    /// sudo, su or doas: the warden moves the process to a scope of its own before it answers.
    Elevation,
}
strict::word!(SessionKind { Login = "login", Elevation = "elevation" });

document! {
    /// A break-glass code that an account's user typed, to open a sealed grant.
    pub struct UseCode {
        /// The message's format.
        pub format: u32,
        /// The PAM service.
        pub service: String,
        /// The account that was denied.
        pub user: String,
        /// The remote address or name, if told.
        pub origin: Option<String>,
        /// The terminal, if there is one.
        pub tty: Option<String>,
        /// The code.
        pub code: Code,
        /// Why, in the user's words.
        pub reason: String,
    }
}
document! {
    /// The warden's answer.
    pub struct RegisterAnswer {
        /// Whether the session may go on, or the grant is open.
        pub ok: bool,
        /// The cause if not; else a line for the user, or empty.
        pub message: String,
    }
}
