//! What sudo-rs is to write of the sessions that it opened, and what becomes of those commands. It outlives the warden: a line is taken
//! once, by the name that its run was given when its session was registered.
//!
//! Only a session that PAM registered over root's socket is waited for, and only a line of that very process, after that, is taken:
//! whatever else a user has written to the log counts for nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stint_sudolog::entry::Entry;

use super::told::Attribution;
use crate::warden::files;
use crate::warden::logins::Login;

/// How long a line may be on its way before people hear that it is missing.
const PATIENCE_MS: u64 = 5_000;
/// How long the journal is followed for one line, and how long a session that has ended is remembered.
const LISTEN_MS: u64 = 60_000;
/// How long it is followed after the last line, since the next command often comes soon.
const LINGER_MS: u64 = 20_000;
/// The most that are remembered. Beyond that the oldest is told as missing.
const MOST: usize = 1024;
/// The largest file that is read.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A session of sudo-rs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Awaited {
    /// What its run is called in the record.
    pub(crate) run: String,
    /// The process that writes the line, and waits for the command.
    pub(crate) pid: u32,
    /// When that began, in ticks since the boot.
    pub(crate) started: u64,
    /// Who asked for it.
    pub(crate) user: String,
    /// The uid that logged in.
    pub(crate) loginuid: Option<u32>,
    /// Its session.
    pub(crate) session: Option<String>,
    /// The grant that its session rests on.
    pub(crate) grant: Option<String>,
    /// The boot, as journald names it.
    pub(crate) boot: String,
    /// When it was registered: `CLOCK_MONOTONIC` in microseconds, `CLOCK_BOOTTIME` in milliseconds, the wall clock in seconds.
    pub(crate) monotonic_us: u64,
    pub(crate) at_ms: u64,
    pub(crate) wall: i64,
    /// The epoch and the size of our own journal then: a record of it stands after that.
    pub(crate) epoch: u64,
    pub(crate) size: u64,
    /// Whether its command is on record, and to which grant it belongs.
    pub(crate) told: bool,
    /// Whether people have heard that its line is missing.
    pub(crate) missed: bool,
    /// When the process ended.
    pub(crate) ended_ms: Option<u64>,
}

impl Awaited {
    fn login(&self) -> Login {
        Login { pid: self.pid, started: self.started }
    }
    /// To what it belongs.
    pub(crate) fn attribution(&self) -> Attribution {
        Attribution {
            session: self.session.clone(),
            grant: self.grant.as_deref().and_then(|grant| grant.parse().ok()),
        }
    }
    /// Whether an entry can be this one's: of the same process, in the same boot, and not older.
    fn wrote(&self, entry: &Entry) -> bool {
        let same_login =
            self.loginuid.is_none() || entry.loginuid.is_none() || self.loginuid == entry.loginuid;
        entry.pid == self.pid
            && entry.boot == self.boot
            && entry.monotonic_us >= self.monotonic_us
            && same_login
    }
}

/// What of the host's journal is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// From where on.
    pub(crate) from: From,
    /// The boot whose entries are followed.
    pub(crate) boot: String,
    /// Whether entries of boots before it are wanted first.
    pub(crate) past: bool,
}

/// From where the host's journal is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// After an entry.
    Cursor(String),
    /// From a moment of the wall clock on.
    Since(i64),
}

/// Those that are waited for.
#[derive(Debug, Default)]
pub(crate) struct AwaitedLines {
    path: PathBuf,
    boot: String,
    kept: Kept,
    listen_until_ms: u64,
    patience: Patience,
}

/// When a line is missing: not before the journal was read again after a start.
#[derive(Clone, Copy, Debug, Default)]
struct Patience {
    not_before_ms: u64,
}

impl Patience {
    fn over_at(self, one: &Awaited) -> u64 {
        (one.at_ms + PATIENCE_MS).max(self.not_before_ms)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    cursor: Option<String>,
    sessions: Vec<Awaited>,
}

impl AwaitedLines {
    /// Takes over what the warden before knew. `lives` tells whether a process still is the one that began then.
    pub(crate) fn open(path: PathBuf, now_ms: u64, boot: &str, lives: impl Fn(u32, u64) -> bool) -> Self {
        let read = files::read(&path, MAX_BYTES).map(Option::unwrap_or_default);
        let mut kept: Kept = match read {
            Ok(bytes) if bytes.is_empty() => Kept::default(),
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!(%error, "what sudo-rs was to write is not known any more");
                Kept::default()
            }),
            Err(error) => {
                tracing::error!(%error, "what sudo-rs was to write is not known any more");
                Kept::default()
            }
        };
        // A command of another boot is over, and nobody knows when.
        kept.sessions.retain(|one| one.boot == boot || !one.told);
        for one in &mut kept.sessions {
            if one.boot != boot || !lives(one.pid, one.started) {
                one.ended_ms.get_or_insert(now_ms);
            }
            one.at_ms = if one.boot == boot { one.at_ms } else { now_ms };
        }
        let adopted = kept.sessions.iter().any(|one| !one.told);
        let listen_until_ms = if adopted { now_ms + LISTEN_MS } else { 0 };
        let boot = boot.to_owned();
        Self {
            path,
            boot,
            kept,
            listen_until_ms,
            patience: Patience { not_before_ms: now_ms + 2 * PATIENCE_MS },
        }
    }

    /// Those whose line has not come.
    pub(crate) fn open_runs(&self) -> impl Iterator<Item = &Awaited> {
        self.kept.sessions.iter().filter(|one| !one.told)
    }

    /// Waits for one more. What has to make room is told.
    pub(crate) fn add(&mut self, one: Awaited, now_ms: u64) -> Option<Awaited> {
        if !self.listens(now_ms) {
            // It is read anew from about now on.
            self.kept.cursor = None;
        }
        self.listen_until_ms = now_ms + LISTEN_MS;
        self.kept.sessions.push(one);
        let full = self.kept.sessions.len() > MOST;
        full.then(|| self.kept.sessions.remove(0)).filter(|oldest| !oldest.told)
    }

    /// The one that wrote an entry, with its place.
    pub(crate) fn writer(&self, entry: &Entry) -> Option<&Awaited> {
        self.open_runs().find(|one| one.wrote(entry))
    }

    /// An entry was read.
    pub(crate) fn read_to(&mut self, cursor: String) {
        self.kept.cursor = Some(cursor);
    }

    /// A command is on record, by the name of its run. Answers it, if it is over already.
    pub(crate) fn told(&mut self, run: &str, grant: Option<String>, now_ms: u64) -> Option<Awaited> {
        let at = self.kept.sessions.iter().position(|one| one.run == run)?;
        let one = &mut self.kept.sessions[at];
        (one.told, one.grant) = (true, grant.or(one.grant.take()));
        let over = one.ended_ms.is_some().then(|| self.kept.sessions.remove(at));
        if self.open_runs().next().is_none() {
            self.listen_until_ms = now_ms + LINGER_MS;
        }
        over
    }

    /// A process is over. Answers it, if its command is on record.
    pub(crate) fn over(&mut self, login: &Login, now_ms: u64) -> Option<Awaited> {
        let at = self.kept.sessions.iter().position(|one| one.login() == *login)?;
        self.kept.sessions[at].ended_ms.get_or_insert(now_ms);
        let told = self.kept.sessions[at].told;
        told.then(|| self.kept.sessions.remove(at))
    }

    /// The processes whose end is waited for.
    pub(crate) fn logins(&self) -> BTreeSet<Login> {
        self.kept.sessions.iter().filter(|one| one.ended_ms.is_none()).map(Awaited::login).collect()
    }

    /// Whether the host's journal is followed now.
    pub(crate) fn listens(&self, now_ms: u64) -> bool {
        now_ms < self.listen_until_ms
    }

    /// What of it is read, while it is followed.
    pub(crate) fn wanted(&self, now_ms: u64) -> Option<Wanted> {
        if !self.listens(now_ms) {
            return None;
        }
        let from = match &self.kept.cursor {
            Some(cursor) => From::Cursor(cursor.clone()),
            // With room for a clock that is set a little back in this moment.
            None => From::Since(self.open_runs().map(|one| one.wall).min()?.saturating_sub(2)),
        };
        let past = self.open_runs().any(|one| one.boot != self.boot);
        Some(Wanted { from, boot: self.boot.clone(), past })
    }

    /// Those whose line has not come in time, each once; those that are given up are forgotten.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Awaited> {
        let mut due = Vec::new();
        let patience = self.patience;
        for one in self.kept.sessions.iter_mut().filter(|one| !one.told && !one.missed) {
            if patience.over_at(one) <= now_ms {
                one.missed = true;
                due.push(one.clone());
            }
        }
        self.kept
            .sessions
            .retain(|one| one.told || !one.missed || one.ended_ms.is_none_or(|at| at + LISTEN_MS > now_ms));
        due
    }

    /// When [`Self::due`] is wanted next, or the journal is not to be followed any longer.
    pub(crate) fn next(&self, now_ms: u64) -> Option<u64> {
        let waiting = self.open_runs().filter(|one| !one.missed).map(|one| self.patience.over_at(one));
        waiting.chain(self.listens(now_ms).then_some(self.listen_until_ms)).min()
    }

    /// Keeps it for a warden after this one. A power cut may lose it, and with it what journald itself had not written.
    pub(crate) fn save(&self) -> Result<(), files::FileError> {
        let kept = Kept { format: 1, ..self.kept.clone() };
        let bytes = serde_json::to_vec(&kept).expect("it is plain data");
        files::replace_volatile(&self.path, &bytes, 0o600)
    }
}

#[cfg(test)]
mod tests;
