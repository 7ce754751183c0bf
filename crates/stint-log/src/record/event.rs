//! What a host writes down.
//!
//! A new kind is a new variant. A kind that stands is never given another meaning; readers that do not know it keep it
//! as it is ([`super::Body::Other`]). `Option` fields are always written, as `null` where there is nothing.

use serde::{Deserialize, Serialize};

use super::command::{CommandLine, IoLog};
use crate::Hash;
use crate::strict::present;

/// What happened, with what belongs to it.
///
/// Grants, sessions and the like are named by their ids; `cause` holds the short code of a typed reason, not prose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "event", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "each field says what it is; the variants are explained")]
pub enum Event {
    /// The warden began its work.
    AgentStarted { version: String, mode: Mode },
    /// The warden ended in order.
    AgentStopped { why: String },
    /// The host was bound to a broker.
    Enrolled { fleet: String, broker: String, identity_key: String },
    /// A trust root was taken.
    RootInstalled { version: u64, sha256: Hash },
    /// A bundle was verified and is in force.
    BundleInstalled { epoch: u64, version: u64, head: Hash, accepted: u32, refused: u32 },
    /// A bundle as a whole was refused.
    BundleRefused { cause: String, detail: String },
    /// A generation of the gate was written.
    GateWritten { generation: u64, head: Hash },
    /// A lock came into force, on a user or on the host.
    LockApplied {
        lock: String,
        #[serde(deserialize_with = "present")]
        user: Option<String>,
    },
    /// A lock was lifted.
    LockLifted {
        lock: String,
        #[serde(deserialize_with = "present")]
        user: Option<String>,
    },

    /// A grant in the bundle holds before the host's ceiling.
    GrantAccepted { grant: String, user: String, ends: i64 },
    /// A grant in the bundle was refused; the rest of the bundle stands.
    GrantRefused { grant: String, cause: String },
    /// Login, sudo and the like: what the gate said.
    Decision {
        service: String,
        user: String,
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        verdict: Verdict,
        cause: String,
    },

    /// Somebody typed a break-glass code. On record before it is looked at; `code` is its first characters, which are no secret.
    CodeTried {
        user: String,
        service: String,
        #[serde(deserialize_with = "present")]
        origin: Option<String>,
        code: String,
        reason: String,
    },
    /// It opened nothing; `grant` is named if the code was right.
    CodeRefused {
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        user: String,
        code: String,
        cause: String,
    },
    /// It opened a sealed grant, and is used up.
    CodeUsed {
        grant: String,
        user: String,
        service: String,
        #[serde(deserialize_with = "present")]
        origin: Option<String>,
        code: String,
        reason: String,
        until: i64,
    },

    /// A session was registered.
    SessionOpened {
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        user: String,
        service: String,
        session: String,
        pid: u32,
        #[serde(deserialize_with = "present")]
        tty: Option<String>,
        #[serde(deserialize_with = "present")]
        origin: Option<String>,
        #[serde(deserialize_with = "present")]
        ends: Option<i64>,
    },
    /// A process was moved into a scope of its own before it became another user.
    SessionMoved {
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        user: String,
        pid: u32,
        scope: String,
    },
    /// A session ended by itself.
    SessionClosed {
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        user: String,
        session: String,
    },
    /// A session was ended by the warden.
    SessionTerminated { grant: String, user: String, session: String, how: String },
    /// Processes were killed.
    ProcessesKilled { grant: String, scope: String, count: u32, how: String, took_ms: u64 },

    /// sudo let a command run, or a command that it runs started another (`sub`).
    CommandAccepted {
        run: String,
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        #[serde(deserialize_with = "present")]
        session: Option<String>,
        pid: u32,
        sub: bool,
        io: bool,
        what: Box<CommandLine>,
    },
    /// sudo refused a command.
    CommandRejected {
        run: String,
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        #[serde(deserialize_with = "present")]
        session: Option<String>,
        pid: u32,
        sub: bool,
        reason: String,
        what: Box<CommandLine>,
    },
    /// sudo found something that people should look at.
    CommandAlert {
        run: String,
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        #[serde(deserialize_with = "present")]
        session: Option<String>,
        pid: u32,
        reason: String,
    },
    /// A command that was accepted is over.
    ///
    /// sudo tells `exit` and `signal` only of commands whose output is recorded, and from 1.9.18 on of all.
    CommandEnded {
        run: String,
        #[serde(deserialize_with = "present")]
        grant: Option<String>,
        #[serde(deserialize_with = "present")]
        session: Option<String>,
        pid: u32,
        #[serde(deserialize_with = "present")]
        exit: Option<i32>,
        #[serde(deserialize_with = "present")]
        signal: Option<String>,
        took_ms: u64,
        #[serde(deserialize_with = "present")]
        io: Option<IoLog>,
    },

    /// The warden was away before a command ended: this is what there is of what it printed. The command may have gone on.
    RecordingCut { run: String, io: IoLog },

    /// A sudoers drop-in was put into place.
    DropInWritten { grant: String, path: String, sha256: Hash },
    /// A sudoers drop-in was not written.
    DropInRefused { grant: String, cause: String, detail: String },
    /// A sudoers drop-in was taken away.
    DropInRemoved { grant: String, path: String },

    /// An account was put into a group.
    GroupGiven { grant: String, user: String, group: String },
    /// An account was not put into a group.
    GroupRefused { grant: String, user: String, group: String, detail: String },
    /// An account is in a group no more, and no process of its holds it.
    GroupTakenBack { grant: String, user: String, group: String },

    /// An account was made for a window.
    AccountMade { grant: String, user: String, uid: u32 },
    /// An account was not made.
    AccountRefused { grant: String, user: String, detail: String },
    /// An account that was made for a window is gone; `home` says in words what became of its home.
    AccountEnded { grant: String, user: String, uid: u32, home: String },

    /// The user was told how much time is left.
    WindowWarned { grant: String, user: String, minutes_left: u32 },
    /// The end of the window moved.
    WindowExtended { grant: String, from: i64, to: i64 },
    /// The right ended.
    WindowEnded { grant: String, how: Ending },
    /// What the end of a grant left, after the last scan. All texts are escaped already.
    ///
    /// `removed` and `restored` were undone, and a copy was kept; `reported` is left as it is; `not_scanned` was not reached;
    /// `also_open` are the grants whose windows overlap, so that a change may be theirs.
    ///
    /// `nothing_found` says that nothing is left in what was scanned. `clean` says that, and that the grant was not root: after root
    /// nobody can know it, and a receipt never says it.
    Receipt {
        grant: String,
        sessions: u32,
        killed: u32,
        removed: Vec<String>,
        restored: Vec<String>,
        reported: Vec<String>,
        not_excluded: Vec<String>,
        not_scanned: Vec<String>,
        also_open: Vec<String>,
        took_ms: u64,
        nothing_found: bool,
        clean: bool,
    },

    /// The mode changed, by whom and why.
    ModeChanged { from: Mode, to: Mode, by: String, why: String },
    /// The wall clock moved against the time that elapsed.
    ClockJumped { seconds: i64 },
    /// The stored floor of time was lowered.
    FloorLowered { from: i64, to: i64, by: String },
    /// Something that should reach a person: tampering, a rollback, a second stream.
    Alarm { what: String, detail: String },
    /// Records were lost to damage, in this epoch or an older one; the bytes were put aside, not deleted.
    ///
    /// `from` and `to` are the first and the last sequence number that cannot be read.
    Gap { epoch: u64, from: u64, to: u64, why: String },
    /// Nothing else happened; silence would show.
    Heartbeat {},
}

/// How the host treats its own verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Installed, decides nothing.
    Inert,
    /// Decides and records, never denies.
    Observe,
    /// Decides.
    Enforce,
}

/// What the gate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Let in.
    Allow,
    /// Kept out.
    Deny,
    /// Would have been kept out, in observe mode.
    WouldDeny,
    /// Not for the gate to decide.
    Ignore,
}

/// How a right came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its window was over.
    Expired,
    /// Its holder gave it back.
    Ended,
    /// The last login by it closed, and it was to last no longer.
    LoggedOut,
    /// It was revoked.
    Revoked,
    /// A lock came down on it.
    Locked,
    /// It is not in the newest bundle.
    Withdrawn,
    /// The host was without fresh word for too long.
    Stale,
}

impl Event {
    /// The run that a recording is of, and what is recorded of it, if the recording is over with this.
    pub fn recording(&self) -> Option<(&str, &IoLog)> {
        match self {
            Self::CommandEnded { run, io: Some(io), .. } | Self::RecordingCut { run, io } => Some((run, io)),
            _ => None,
        }
    }

    /// What a receipt says, in short: `clean`, or what is to be looked at. `None` for what is no receipt.
    pub fn outcome(&self) -> Option<String> {
        let Self::Receipt { removed, restored, reported, not_scanned, nothing_found, clean, .. } = self
        else {
            return None;
        };
        let undone = match removed.len() + restored.len() {
            0 => String::new(),
            undone => format!("; {undone} undone"),
        };
        Some(match (clean, nothing_found) {
            (true, _) => format!("clean{undone}"),
            (false, true) => format!("root was granted: no residue found in what was scanned{undone}"),
            (false, false) => {
                format!("NOT CLEAN: {} findings, {} not scanned{undone}", reported.len(), not_scanned.len())
            }
        })
    }

    /// The name of the kind, as it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AgentStarted { .. } => "agent_started",
            Self::AgentStopped { .. } => "agent_stopped",
            Self::Enrolled { .. } => "enrolled",
            Self::RootInstalled { .. } => "root_installed",
            Self::BundleInstalled { .. } => "bundle_installed",
            Self::BundleRefused { .. } => "bundle_refused",
            Self::GateWritten { .. } => "gate_written",
            Self::LockApplied { .. } => "lock_applied",
            Self::LockLifted { .. } => "lock_lifted",
            Self::GrantAccepted { .. } => "grant_accepted",
            Self::GrantRefused { .. } => "grant_refused",
            Self::Decision { .. } => "decision",
            Self::CodeTried { .. } => "code_tried",
            Self::CodeRefused { .. } => "code_refused",
            Self::CodeUsed { .. } => "code_used",
            Self::SessionOpened { .. } => "session_opened",
            Self::SessionMoved { .. } => "session_moved",
            Self::SessionClosed { .. } => "session_closed",
            Self::SessionTerminated { .. } => "session_terminated",
            Self::ProcessesKilled { .. } => "processes_killed",
            Self::CommandAccepted { .. } => "command_accepted",
            Self::CommandRejected { .. } => "command_rejected",
            Self::CommandAlert { .. } => "command_alert",
            Self::CommandEnded { .. } => "command_ended",
            Self::RecordingCut { .. } => "recording_cut",
            Self::DropInWritten { .. } => "drop_in_written",
            Self::DropInRefused { .. } => "drop_in_refused",
            Self::DropInRemoved { .. } => "drop_in_removed",
            Self::GroupGiven { .. } => "group_given",
            Self::GroupRefused { .. } => "group_refused",
            Self::GroupTakenBack { .. } => "group_taken_back",
            Self::AccountMade { .. } => "account_made",
            Self::AccountRefused { .. } => "account_refused",
            Self::AccountEnded { .. } => "account_ended",
            Self::WindowWarned { .. } => "window_warned",
            Self::WindowExtended { .. } => "window_extended",
            Self::WindowEnded { .. } => "window_ended",
            Self::Receipt { .. } => "receipt",
            Self::ModeChanged { .. } => "mode_changed",
            Self::ClockJumped { .. } => "clock_jumped",
            Self::FloorLowered { .. } => "floor_lowered",
            Self::Alarm { .. } => "alarm",
            Self::Gap { .. } => "gap",
            Self::Heartbeat {} => "heartbeat",
        }
    }
}
