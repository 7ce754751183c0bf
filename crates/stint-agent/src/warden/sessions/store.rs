//! The registered sessions on disk, so that a warden that was killed knows them again.
//!
//! They concern this boot only, so the file is not synced: after a power cut there are no sessions. It is replaced by rename, so a kill
//! leaves the old one or the new one.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::book::Session;
use super::scopes::Scope;
use crate::warden::files::{self, FileError};

/// The largest file that is read back.
const MAX_BYTES: usize = 64 * 1024 * 1024;
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored<S, P> {
    format: u32,
    boot_id: String,
    sessions: S,
    past: S,
    scopes: P,
}

/// What is read back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Those that were open.
    pub(super) sessions: Vec<Session>,
    /// Those that had ended by themselves while their grants live.
    pub(super) past: Vec<Session>,
    /// The scopes of elevations.
    pub(super) scopes: Vec<Scope>,
}

/// Writes all sessions down: those that are open, and those that ended by themselves while their grants live.
pub(super) fn save(
    path: &Path,
    boot_id: &str,
    sessions: &[Session],
    past: &[Session],
    scopes: &[Scope],
) -> Result<(), FileError> {
    let stored = Stored { format: FORMAT, boot_id: boot_id.to_owned(), sessions, past, scopes };
    let bytes = serde_json::to_vec(&stored).expect("sessions are plain data");
    files::replace_volatile(path, &bytes, 0o600)
}

/// Reads both back. Those of another boot are none of this one's.
pub(super) fn load(path: &Path, boot_id: &str) -> Known {
    let none = Known::default;
    let bytes = match files::read(path, MAX_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return none(),
        Err(error) => {
            tracing::error!(%error, "the registered sessions cannot be read back");
            return none();
        }
    };
    match serde_json::from_slice::<Stored<Vec<Session>, Vec<Scope>>>(&bytes) {
        Ok(stored) if stored.format == FORMAT && stored.boot_id == boot_id => {
            Known { sessions: stored.sessions, past: stored.past, scopes: stored.scopes }
        }
        Ok(_) => none(),
        Err(error) => {
            // Our scopes are found again by their names, and logins by logind.
            tracing::error!(%error, path = %path.display(), "the registered sessions are damaged");
            none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_another_boot_and_damaged_files_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.json");
        assert_eq!(load(&path, "boot"), Known::default());
        let session = super::super::book::tests::example();
        save(&path, "boot", std::slice::from_ref(&session), &[], &[]).unwrap();
        assert_eq!(load(&path, "boot"), Known { sessions: vec![session], ..Known::default() });
        assert_eq!(load(&path, "next boot"), Known::default());
        std::fs::write(&path, b"{\"format\":1,").unwrap();
        assert_eq!(load(&path, "boot"), Known::default());
    }
}
