//! The way back: a record of what was before, a timer of systemd's, and what happens after a reboot.
//!
//! The record is the truth: without it there is nothing to put back. The timer only says when. It does not outlive the boot, so a unit of
//! its own looks at the record before anybody can log in (`stint-rollback-boot.service`), and the warden when it starts. A mark under `/run` tells whether that is the same boot: the kernel's boot id looks
//! different inside and outside of a service's own mounts in a container.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::login::Login;
use crate::commands::failure::Failure;
use crate::commands::system;
use crate::warden::paths::Paths;
use crate::warden::{files, time};

/// The transient units: a timer and its service.
const UNIT: &str = "stint-rollback";
const MAX_BYTES: usize = 16 * 1024;

/// `/var/lib/stint/rollback.json`: there from `arm --rollback` until it was confirmed or put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// What the mark under `/run` holds in the boot in which it was armed.
    pub(crate) mark: String,
    /// When it is put back, on CLOCK_BOOTTIME of that boot, in milliseconds.
    pub(crate) deadline_boottime_ms: u64,
    /// The login that armed it: the confirmation must come from another one.
    pub(crate) armed_by: Option<Login>,
    /// What was before.
    pub(crate) before: Before,
}

/// What stood before arming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Before {
    /// Whether our PAM lines stood.
    pub(crate) wired: bool,
    /// What was in the mode file.
    pub(crate) mode: Option<String>,
}

impl Record {
    /// Whether it is to be put back now: its time is over, or the host was booted anew and the mark is gone.
    pub(crate) fn is_due(&self, mark: Option<&str>, boottime_ms: u64) -> bool {
        mark != Some(&self.mark) || boottime_ms >= self.deadline_boottime_ms
    }
    /// How long it has yet.
    pub(crate) fn left(&self, boottime_ms: u64) -> Duration {
        Duration::from_millis(self.deadline_boottime_ms.saturating_sub(boottime_ms))
    }
}

fn path(paths: &Paths) -> std::path::PathBuf {
    paths.state.join("rollback.json")
}

fn mark_path(paths: &Paths) -> std::path::PathBuf {
    paths.run.join("rollback.mark")
}

/// A new mark.
pub(crate) fn new_mark() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Failure::failed(format!("no randomness: {e}")))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

/// Whether it is to be put back now.
pub(crate) fn is_due(paths: &Paths, record: &Record) -> bool {
    let mark = files::read(&mark_path(paths), 64).ok().flatten();
    let mark = mark.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    record.is_due(mark, time::boottime_ms())
}

/// Reads the record. A damaged one is an error: somebody must look.
pub(crate) fn read(paths: &Paths) -> Result<Option<Record>, Failure> {
    let path = path(paths);
    let Some(bytes) = files::read(&path, MAX_BYTES).map_err(Failure::failed)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        Failure::failed(format!("{} is damaged: {e}", path.display()))
            .next("remove it to keep the host as it is, or run `stintd disarm`")
    })
}

/// Writes the record, then starts the timer. Both stand before anything is changed.
pub(crate) fn begin(paths: &Paths, record: &Record, after: Duration) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(record).map_err(Failure::failed)?;
    files::replace_volatile(&mark_path(paths), record.mark.as_bytes(), 0o644).map_err(Failure::failed)?;
    files::replace(&path(paths), &bytes, 0o644).map_err(Failure::failed)?;
    stop_timer();
    start_timer(after).inspect_err(|_| {
        let _ = forget(paths);
    })
}

/// Starts the timer anew if it does not run.
pub(crate) fn ensure_timer(left: Duration) -> Result<(), Failure> {
    if system::unit_state("stint-rollback.timer") == "active" { Ok(()) } else { start_timer(left) }
}

fn start_timer(after: Duration) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|e| Failure::failed(format!("where stintd is: {e}")))?;
    let on_active = format!("--on-active={}s", after.as_secs());
    let started = system::must(
        "systemd-run",
        &[
            "--quiet",
            &on_active,
            "--unit=stint-rollback",
            "--description=stint: puts PAM back unless it is confirmed",
            "--timer-property=AccuracySec=1s",
            &program.to_string_lossy(),
            "disarm",
            "--rollback",
        ],
    );
    started.map(drop)
}

/// Removes the record; from here on there is nothing to put back.
pub(crate) fn forget(paths: &Paths) -> Result<(), Failure> {
    files::remove(&path(paths)).map_err(Failure::failed)?;
    files::sync_parent(&path(paths)).map_err(Failure::failed)
}

/// Stops the timer. One that is not there is no error; the record decides.
pub(crate) fn stop_timer() {
    let _ = system::run("systemctl", &["stop", "stint-rollback.timer"]);
    let _ = system::run("systemctl", &["reset-failed", "stint-rollback.timer", "stint-rollback.service"]);
}

/// For the warden's start: puts back what was not confirmed before its time was over or before the reboot.
///
/// The warden may not write `/etc/pam.d`, so systemd is asked to run the command as a unit of its own.
pub(crate) fn resume() {
    let paths = Paths::system();
    let due = match read(&paths) {
        Ok(None) => false,
        Ok(Some(record)) => is_due(&paths, &record),
        Err(failure) => {
            tracing::error!("the record of an unconfirmed `stintd arm --rollback` cannot be read: {failure}");
            false
        }
    };
    if !due {
        return;
    }
    tracing::warn!("`stintd arm --rollback` was not confirmed: PAM is put back as it was before");
    let program =
        std::env::current_exe().map_or("/usr/sbin/stintd".to_owned(), |p| p.to_string_lossy().into_owned());
    let unit = format!("--unit={UNIT}-resumed");
    let asked = system::must(
        "systemd-run",
        &["--quiet", "--no-block", "--collect", &unit, &program, "disarm", "--rollback"],
    );
    if let Err(failure) = asked {
        tracing::error!("it could not be put back: {failure}; run `stintd disarm` as root");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            mark: "one".to_owned(),
            deadline_boottime_ms: 600_000,
            armed_by: None,
            before: Before { wired: false, mode: None },
        }
    }

    #[test]
    fn it_is_put_back_at_its_time_and_in_every_other_boot() {
        assert!(!record().is_due(Some("one"), 599_999));
        assert!(record().is_due(Some("one"), 600_000));
        assert!(record().is_due(Some("two"), 10));
        assert!(record().is_due(None, 10));
    }
    #[test]
    fn a_mark_that_is_gone_means_another_boot() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        std::fs::create_dir_all(&paths.run).unwrap();
        let record = Record { mark: new_mark().unwrap(), deadline_boottime_ms: u64::MAX, ..record() };
        assert!(is_due(&paths, &record));
        files::replace_volatile(&mark_path(&paths), record.mark.as_bytes(), 0o644).unwrap();
        assert!(!is_due(&paths, &record));
        assert_ne!(new_mark().unwrap(), record.mark);
    }
    #[test]
    fn what_is_left_never_goes_below_nothing() {
        assert_eq!(record().left(540_000), Duration::from_mins(1));
        assert_eq!(record().left(700_000), Duration::ZERO);
    }
    #[test]
    fn the_record_is_read_as_it_was_written_and_a_damaged_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        std::fs::create_dir_all(&paths.state).unwrap();
        assert_eq!(read(&paths).unwrap(), None);
        files::replace(&path(&paths), &serde_json::to_vec(&record()).unwrap(), 0o644).unwrap();
        assert_eq!(read(&paths).unwrap(), Some(record()));
        files::replace(&path(&paths), b"{}", 0o644).unwrap();
        assert!(read(&paths).is_err());
        forget(&paths).unwrap();
        forget(&paths).unwrap();
        assert_eq!(read(&paths).unwrap(), None);
    }
}
