//! Drop-ins for PID 1, under `/run/systemd/system`: they are gone with the next boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::warden::files::{self, FileError};

/// Without it a process that ignores TERM and HUP lives up to 90 s longer, if PID 1 is the one that ends it; and the scope of a
/// session that was killed stays in PID 1's list as failed.
const STOP_LIMIT: &str = "# Made by stint while it enforces: a session that has ended does not linger.\n\
                          [Unit]\nCollectMode=inactive-or-failed\n[Scope]\nTimeoutStopSec=1s\n";

/// The folder of PID 1's drop-ins.
#[derive(Clone, Debug)]
pub(super) struct Units {
    root: PathBuf,
}

impl Units {
    /// Under `/run/systemd/system`, or another root.
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the stop limit of all session scopes stand, or not. Says whether PID 1 must read its units anew.
    pub(super) fn stop_limit(&self, wanted: bool) -> Result<bool, FileError> {
        let folder = self.root.join("session-.scope.d");
        let path = folder.join("stint.conf");
        let standing = files::read(&path, 4096)?;
        if !wanted {
            if standing.is_none() {
                return Ok(false);
            }
            files::remove(&path)?;
            remove_if_empty(&folder);
            return Ok(true);
        }
        if standing.as_deref() == Some(STOP_LIMIT.as_bytes()) {
            return Ok(false);
        }
        files::ensure_dir(&folder, 0o755)?;
        files::replace_volatile(&path, STOP_LIMIT.as_bytes(), 0o644)?;
        Ok(true)
    }

    /// Writes the limit of one scope, counted from its start. It holds after PID 1 has read its units anew.
    pub(super) fn limit(&self, scope: &str, since_start: Duration) -> Result<(), FileError> {
        let path = self.limit_path(scope);
        if let Some(folder) = path.parent() {
            files::ensure_dir(folder, 0o755)?;
        }
        files::replace_volatile(&path, limit_text(since_start).as_bytes(), 0o644)
    }

    /// Removes the limit of a scope that is gone.
    pub(super) fn forget(&self, scope: &str) {
        let path = self.limit_path(scope);
        if files::remove(&path).is_ok()
            && let Some(folder) = path.parent()
        {
            remove_if_empty(folder);
        }
    }

    fn limit_path(&self, scope: &str) -> PathBuf {
        self.root.join(format!("{scope}.d")).join("50-stint.conf")
    }
}

fn limit_text(since_start: Duration) -> String {
    format!(
        "# Made by stint: the window's end moved.\n[Scope]\nRuntimeMaxSec={}us\n",
        since_start.as_micros()
    )
}

/// Others may have files there: then it stays.
fn remove_if_empty(folder: &Path) {
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_limit_is_written_once_and_taken_away_whole() {
        let root = tempfile::tempdir().unwrap();
        let units = Units::at(root.path().join("system"));
        assert!(units.stop_limit(true).unwrap());
        assert!(!units.stop_limit(true).unwrap(), "PID 1 need not read it again");
        let text = fs::read_to_string(root.path().join("system/session-.scope.d/stint.conf")).unwrap();
        assert!(text.ends_with("[Scope]\nTimeoutStopSec=1s\n"));
        assert!(units.stop_limit(false).unwrap());
        assert!(!units.stop_limit(false).unwrap());
        assert!(!root.path().join("system/session-.scope.d").exists());
    }

    #[test]
    fn a_changed_stop_limit_is_mended() {
        let root = tempfile::tempdir().unwrap();
        let units = Units::at(root.path());
        units.stop_limit(true).unwrap();
        fs::write(root.path().join("session-.scope.d/stint.conf"), "[Scope]\nTimeoutStopSec=90s\n").unwrap();
        assert!(units.stop_limit(true).unwrap());
    }

    #[test]
    fn a_limit_counts_from_the_start_of_its_scope() {
        let root = tempfile::tempdir().unwrap();
        let units = Units::at(root.path());
        units.limit("session-92.scope", Duration::from_millis(61_500)).unwrap();
        let path = root.path().join("session-92.scope.d/50-stint.conf");
        assert!(fs::read_to_string(&path).unwrap().ends_with("[Scope]\nRuntimeMaxSec=61500000us\n"));
        units.forget("session-92.scope");
        assert!(!root.path().join("session-92.scope.d").exists());
    }

    #[test]
    fn drop_ins_of_others_stay() {
        let root = tempfile::tempdir().unwrap();
        let units = Units::at(root.path());
        units.limit("session-92.scope", Duration::from_secs(1)).unwrap();
        let theirs = root.path().join("session-92.scope.d/90-admin.conf");
        fs::write(&theirs, "").unwrap();
        units.forget("session-92.scope");
        assert!(theirs.exists());
    }
}
