//! The warden's durable state, under `/var/lib/stint/warden`.
//!
//! | File | What |
//! |---|---|
//! | `trust.json` | what enrolment pinned ([`super::trust`]) |
//! | `memory.json` | each grant that was ever taken ([`super::memory`]) |
//! | `update-DIGEST.json` | the last update, as it came |
//! | `state.json` | names that update, and what was seen last |
//!
//! They are written in this order, each whole or not at all. So a crash in between leaves the old state, with a memory that knows more:
//! an end that is remembered too early denies, and a beginning that is remembered too early says what the broker will say again.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stint_api::hosts::HostUpdate;
use stint_grant::bundle::Seen;
use stint_grant::ids::{HostName, Sha256Hex};
use stint_grant::keys::PublicKey;
use stint_grant::time::Floor;

use super::files::{self, FileError};
use super::memory::Memory;
use super::time::first_floor;

/// What was seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The file's format.
    pub(crate) format: u32,
    /// The enrolment that all of this belongs to.
    pub(crate) enrolment: Option<Enrolment>,
    /// The newest root.
    pub(crate) root: Option<KnownRoot>,
    /// The newest roster.
    pub(crate) roster: Option<KnownRoster>,
    /// The newest bundle.
    pub(crate) seen: Option<Seen>,
    /// The digest of the update that brought it: the name of its file.
    pub(crate) update: Option<Sha256Hex>,
    /// The envelope of the newest pulse, which may be newer than the update.
    pub(crate) pulse: Option<String>,
    /// The floor of time.
    pub(crate) floor: Floor,
}

/// Which enrolment: a host that is enrolled anew begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrolment {
    /// The pinned root.
    pub(crate) root_pin: Sha256Hex,
    /// The host's name.
    pub(crate) host: HostName,
    /// The host's identity key.
    pub(crate) key: PublicKey,
}

/// The newest root that was walked up to from the pinned one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownRoot {
    /// Its version.
    pub(crate) version: u64,
    /// Its epoch.
    pub(crate) epoch: u64,
    /// The hash of its envelope.
    pub(crate) pin: Sha256Hex,
}

/// The newest roster that was verified. It is kept, since a bundle may come without one, or with a forged one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownRoster {
    /// Its version.
    pub(crate) version: u64,
    /// Its digest.
    pub(crate) digest: Sha256Hex,
    /// Its envelope.
    pub(crate) envelope: String,
}

/// Why the durable state cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// A file is damaged. Nothing is guessed: what ended must not live again.
    #[error(
        "{path} is damaged ({why}). Restore it from a backup, or enrol this host anew with `stintd enroll`, which ends every grant"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The format that is written.
const FORMAT: u32 = 1;
/// The largest file that is read.
const MAX_BYTES: usize = 64 * 1024 * 1024;

impl State {
    /// A host that has seen nothing.
    pub(crate) fn new() -> Self {
        Self {
            format: FORMAT,
            enrolment: None,
            root: None,
            roster: None,
            seen: None,
            update: None,
            pulse: None,
            floor: first_floor(),
        }
    }
}

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens the folder, and makes it if it is not there.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, StoreError> {
        files::ensure_dir(&dir, 0o700)?;
        Ok(Self { dir })
    }

    /// What was seen last; nothing on a new host.
    pub(crate) fn state(&self) -> Result<State, StoreError> {
        let path = self.dir.join("state.json");
        let Some(state) = read::<State>(&path)? else { return Ok(State::new()) };
        if state.format != FORMAT {
            let why = format!("format {} is not known here", state.format);
            return Err(StoreError::Damaged { path, why });
        }
        Ok(state)
    }
    /// What is remembered of grants.
    pub(crate) fn memory(&self) -> Result<Memory, StoreError> {
        Ok(read(&self.dir.join("memory.json"))?.unwrap_or_default())
    }
    /// The update that the state names.
    pub(crate) fn update(&self, state: &State) -> Result<Option<HostUpdate>, StoreError> {
        let Some(digest) = &state.update else { return Ok(None) };
        let path = self.update_path(digest);
        match read(&path)? {
            Some(update) => Ok(Some(update)),
            None => Err(StoreError::Damaged { path, why: "it is missing".to_owned() }),
        }
    }

    /// Keeps what is remembered.
    pub(crate) fn keep_memory(&self, memory: &Memory) -> Result<(), StoreError> {
        write(&self.dir.join("memory.json"), memory)
    }
    /// Keeps an update under its digest. It counts once the state names it.
    pub(crate) fn keep_update(&self, update: &HostUpdate) -> Result<Sha256Hex, StoreError> {
        let bytes = serde_json::to_vec(update).expect("an update is plain data");
        let digest = Sha256Hex::of(&bytes);
        files::replace(&self.update_path(&digest), &bytes, 0o600)?;
        Ok(digest)
    }
    /// Keeps what was seen last: from here on the update that it names counts.
    pub(crate) fn keep_state(&self, state: &State) -> Result<(), StoreError> {
        write(&self.dir.join("state.json"), state)
    }

    /// Removes updates that the state does not name, and what a crash left half-written.
    pub(crate) fn sweep(&self, state: &State) -> Result<(), StoreError> {
        let keep = state.update.as_ref().map(|digest| self.update_path(digest));
        let entries = std::fs::read_dir(&self.dir).map_err(FileError::at("list", &self.dir))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let update = name.starts_with("update-") && Some(&path) != keep.as_ref();
            if update || (files::is_temporary(&name)) {
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    fn update_path(&self, digest: &Sha256Hex) -> PathBuf {
        self.dir.join(format!("update-{digest}.json"))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let Some(bytes) = files::read(path, MAX_BYTES)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| StoreError::Damaged { path: path.to_owned(), why: e.to_string() })
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).expect("durable state is plain data");
    Ok(files::replace(path, &bytes, 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(head: &str) -> HostUpdate {
        HostUpdate {
            roots: Vec::new(),
            roster: None,
            head: head.to_owned(),
            shards: Vec::new(),
            reviews: Vec::new(),
            pulse: String::new(),
        }
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_or_the_new_update() {
        let dir = tempfile::tempdir().unwrap();
        for steps in 0..6 {
            let store = Store::open(dir.path().join(steps.to_string())).unwrap();
            let old = State { update: Some(store.keep_update(&update("old")).unwrap()), ..State::new() };
            store.keep_state(&old).unwrap();

            files::faults::fail_after(Some(steps));
            let digest = store.keep_update(&update("new"));
            let kept = digest.and_then(|d| store.keep_state(&State { update: Some(d), ..State::new() }));
            files::faults::fail_after(None);

            let state = store.state().unwrap();
            let found = store.update(&state).unwrap().unwrap();
            assert_eq!(found.head, if kept.is_ok() { "new" } else { "old" }, "{steps}");
            store.sweep(&state).unwrap();
            assert!(store.update(&state).unwrap().is_some());
            assert_eq!(std::fs::read_dir(dir.path().join(steps.to_string())).unwrap().count(), 2);
        }
    }

    #[test]
    fn damaged_state_is_an_error_and_never_a_new_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_owned()).unwrap();
        for name in ["state.json", "memory.json"] {
            std::fs::write(dir.path().join(name), b"{\"format\":").unwrap();
        }
        assert!(matches!(store.state(), Err(StoreError::Damaged { .. })));
        assert!(matches!(store.memory(), Err(StoreError::Damaged { .. })));
        let lost = State { update: Some(Sha256Hex::of(b"gone")), ..State::new() };
        assert!(matches!(store.update(&lost), Err(StoreError::Damaged { .. })));
    }
}
