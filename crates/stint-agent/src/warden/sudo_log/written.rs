//! What the warden does with what sudo-rs writes to the host's journal.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::time::{ClockId, clock_gettime};
use stint_grant::time::ClockReading;
use stint_log::record::Event;
use stint_sudolog::conversation::Exit;
use stint_sudolog::entry::Entry;
use stint_sudolog::sudo_rs::{self, Line};

use super::awaited::{Awaited, AwaitedLines};
use super::connection::run_name;
use super::told::{Attribution, Told, What, records};
use crate::journal::Recorder;
use crate::warden::logins::Login;
use crate::warden::time;
use crate::warden::warden::Warden;

/// The most bytes of a line that a record holds.
const MAX_LINE_BYTES: usize = 4 * 1024;

impl Warden {
    /// A session of sudo-rs was registered: what it runs must come on record.
    pub(in crate::warden) fn await_line(&mut self, user: &str, pid: u32, reading: &ClockReading) {
        let process = Path::new("/proc").join(pid.to_string());
        let program = host_sudo();
        if program.is_none() || identity(&process.join("exe")) != program.as_deref().and_then(identity) {
            let detail =
                format!("a session of sudo of {user} (pid {pid}) was not opened by this host's sudo");
            tracing::error!("{detail}");
            self.journal.record(Event::Alarm { what: "command-not-recorded".to_owned(), detail });
            return;
        }
        let Some((started, loginuid)) = self.enforcer.process(pid) else { return };
        let (session, grant) =
            self.enforcer.session_of(pid).map_or((None, None), |(name, grant)| (Some(name), grant));
        let journal = self.journal.status();
        let one = Awaited {
            run: run_name(),
            pid,
            started,
            user: user.to_owned(),
            loginuid,
            session,
            grant: grant.map(|grant| grant.to_string()),
            boot: boot_of(reading),
            monotonic_us: monotonic_us(),
            at_ms: reading.boottime_ms,
            wall: reading.wall.0,
            epoch: journal.epoch,
            size: journal.size,
            told: false,
            missed: false,
            ended_ms: None,
        };
        if let Some(dropped) = self.awaited.add(one, reading.boottime_ms) {
            self.line_is_missing(&dropped);
        }
        self.save_awaited();
    }

    /// Takes over what the warden before waited for. What it had put on record already is not waited for again.
    pub(in crate::warden) fn take_over_lines(&mut self, reading: &ClockReading) {
        let path = self.paths.warden().join("sudo-rs.json");
        let lives = |pid, started| self.enforcer.process_lives(pid, started);
        self.awaited = AwaitedLines::open(path, reading.boottime_ms, &boot_of(reading), lives);
        let open: Vec<Awaited> = self.awaited.open_runs().cloned().collect();
        let Some((epoch, size)) = open.iter().map(|one| (one.epoch, one.size)).min() else { return };
        let records = match self.journal.records_since(epoch, size) {
            Ok(records) => records,
            Err(error) => {
                // Rather twice on record than not at all.
                tracing::error!(%error, "what is on record already cannot be read");
                Vec::new()
            }
        };
        for one in open {
            let word = format!("\"run\":\"{}\"", one.run);
            if records.iter().any(|record| String::from_utf8_lossy(record).contains(&word)) {
                let over = self.awaited.told(&one.run, None, reading.boottime_ms);
                self.command_is_over(over, reading.boottime_ms);
            }
        }
        self.save_awaited();
    }

    /// Something was written to the host's journal, by whomever.
    pub(in crate::warden) fn note_logged(&mut self, entry: &Entry) {
        self.read_clocks();
        self.faults.sudo_rs = None;
        self.awaited.read_to(entry.cursor.clone());
        let foreign = entry.exe.as_deref().is_some_and(|exe| !is_host_sudo(exe));
        let Some(one) = self.awaited.writer(entry).filter(|_| !foreign).cloned() else {
            if foreign {
                self.note_imitation(entry);
            }
            return;
        };
        let Some(message) = &entry.message else {
            self.note_line(&one, "a line that is too long, or no text");
            return;
        };
        for line in self.pieces.put(entry.pid, message) {
            self.note_line(&one, &line);
        }
    }

    /// A line that is whole, of a process that was waited for.
    fn note_line(&mut self, one: &Awaited, line: &str) {
        // Its first line tells the command; more can only imitate it.
        if !self.awaited.open_runs().any(|open| open.run == one.run) {
            return;
        }
        let mut of = one.attribution();
        let what = match sudo_rs::read(line) {
            Line::Other => return,
            Line::Command(what) if what.user == one.user => {
                of.grant = Attribution::allowing(self.keeper.live(), &what).or(of.grant);
                What::Accepted { what: *what, sub: false, io: false }
            }
            Line::Command(_) | Line::Unclear => {
                let line: String = line.chars().take(MAX_LINE_BYTES / 4).collect();
                What::Alert {
                    reason: format!(
                        "a command ran, and sudo-rs's line can be read in more than one way: {line}"
                    ),
                }
            }
        };
        let told = Told { pid: one.pid, run: one.run.clone(), of: None, what };
        self.journal.record(records(told, &of));
        let now_ms = time::boottime_ms();
        let over = self.awaited.told(&one.run, of.grant.as_ref().map(ToString::to_string), now_ms);
        self.command_is_over(over, now_ms);
        // Forgotten only when it is durable: else a warden after this one takes the line again.
        if self.commit().is_ok() {
            self.save_awaited();
        }
    }

    /// The process of a command has ended.
    pub(in crate::warden) fn note_over(&mut self, login: &Login) {
        let now_ms = time::boottime_ms();
        let over = self.awaited.over(login, now_ms);
        if over.is_some() {
            self.read_clocks();
            self.command_is_over(over, now_ms);
            if self.commit().is_ok() {
                self.save_awaited();
            }
        }
    }

    fn command_is_over(&mut self, over: Option<Awaited>, now_ms: u64) {
        let Some(one) = over else { return };
        let took_ms = one.ended_ms.unwrap_or(now_ms).saturating_sub(one.at_ms);
        let exit = Exit { status: None, signal: None, took_ms: Some(took_ms) };
        let of = one.attribution();
        let told = Told { pid: one.pid, run: one.run, of: None, what: What::Ended { exit, io: None } };
        self.journal.record(records(told, &of));
    }

    /// Time has passed: what sudo-rs began and did not end is looked at as it is, and lines that did not come are told.
    pub(in crate::warden) fn look_for_lines(&mut self, now_ms: u64) {
        for one in self.awaited.due(now_ms) {
            if let Some(line) = self.pieces.close(one.pid) {
                self.note_line(&one, &line);
            }
            if self.awaited.open_runs().any(|open| open.run == one.run) {
                self.line_is_missing(&one);
            }
            self.save_awaited();
        }
    }

    fn line_is_missing(&mut self, one: &Awaited) {
        let detail = format!(
            "sudo-rs of {} (pid {}) opened a session, and the host's journal has no command of it: it was not found, or it is not on record",
            one.user, one.pid
        );
        tracing::error!("{detail}");
        self.journal.record(Event::Alarm { what: "command-not-recorded".to_owned(), detail });
    }

    /// The journal is not followed, though it should be.
    pub(in crate::warden) fn journal_lost(&mut self, detail: String) {
        self.read_clocks();
        tracing::error!("{detail}");
        if self.faults.sudo_rs.is_none() {
            self.journal.record(Event::Alarm { what: "sudo-rs-log".to_owned(), detail: detail.clone() });
        }
        self.faults.sudo_rs = Some(detail);
    }

    /// Another program than sudo wrote what only sudo writes.
    fn note_imitation(&mut self, entry: &Entry) {
        let Some(message) = entry.message.as_deref() else { return };
        if entry.uid == Some(0) || sudo_rs::read(message) == Line::Other {
            return;
        }
        if self.room.strangers.take(time::boottime_ms()) {
            let exe: String = entry.exe.as_deref().unwrap_or_default().chars().take(200).collect();
            let uid = entry.uid.map_or("another user".to_owned(), |uid| format!("uid {uid}"));
            let detail = format!("{uid} (pid {}) wrote a line like sudo's with {exe:?}; dropped", entry.pid);
            tracing::warn!("{detail}");
            self.journal.record(Event::Alarm { what: "sudo-log-stranger".to_owned(), detail });
        }
    }

    fn save_awaited(&self) {
        if let Err(error) = self.awaited.save() {
            tracing::error!(%error, "a warden after this one may not know for which commands this one waited");
        }
    }
}

/// This host's sudo, if nobody but root can change it.
fn host_sudo() -> Option<PathBuf> {
    let path = crate::warden::sudoers::program()?.canonicalize().ok()?;
    let metadata = std::fs::metadata(&path).ok()?;
    (metadata.uid() == 0 && metadata.mode() & 0o022 == 0).then_some(path)
}

/// Whether a program's name, as `/proc` has it, is that of this host's sudo. One that was replaced while it ran is marked so.
fn is_host_sudo(exe: &str) -> bool {
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    host_sudo().is_some_and(|sudo| sudo.as_path() == Path::new(exe))
}

fn identity(program: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(program).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The boot, as journald writes it.
fn boot_of(reading: &ClockReading) -> String {
    reading.boot_id.replace('-', "")
}

fn monotonic_us() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or((0, 0), |t| (t.tv_sec(), t.tv_nsec()));
    u64::try_from(time.0).unwrap_or(0) * 1_000_000 + u64::try_from(time.1).unwrap_or(0) / 1000
}
