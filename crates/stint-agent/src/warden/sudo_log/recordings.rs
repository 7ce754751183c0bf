//! What commands print, as files in a folder that only root reads, within bounds.
//!
//! Nothing that is here alone is removed to make room: whoever prints enough would remove what was recorded before. When there is no
//! room, no command whose output must be recorded begins. What the broker holds as well goes after a week, or when room is short.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use stint_log::Hash;
use stint_log::record::IoLog;
use stint_sudolog::recording::MAGIC;

use crate::warden::files;

/// The most bytes that one command may print.
const MAX_ONE_BYTES: u64 = 64 * 1024 * 1024;
/// The most bytes of all files.
const MAX_ALL_BYTES: u64 = 1024 * 1024 * 1024;
/// What is left free of the disk: the journal needs it more.
const LEFT_FREE_BYTES: u64 = 128 * 1024 * 1024;
/// How a file's name ends.
pub(crate) const SUFFIX: &str = ".recording";

/// In the folder: those whose ends are on record, and which wait for the broker.
pub(crate) const CLOSED: &str = "closed";
/// In the folder: those that the broker holds.
pub(crate) const HELD: &str = "held";
/// What the broker holds is kept here as well for so long, if there is room: somebody may restore the broker from a backup.
const HELD_FOR: Duration = Duration::from_hours(7 * 24);
/// While all together have more bytes than this, the oldest of those that the broker holds go.
const MAX_WITH_HELD_BYTES: u64 = MAX_ALL_BYTES / 2;

/// The folder.
#[derive(Debug)]
pub(crate) struct Recordings {
    folder: PathBuf,
    /// The bytes of all files, as far as they were counted; `u64::MAX` before the first count.
    all: AtomicU64,
}

/// One that is being written.
#[derive(Debug)]
pub(crate) struct Writing {
    file: File,
    path: PathBuf,
    hash: Sha256,
    bytes: u64,
}

/// Why nothing more is recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    /// This one is too long.
    #[error("the command printed more than {} MiB", MAX_ONE_BYTES / 1024 / 1024)]
    TooLong,
    /// All of them together.
    #[error("the recordings in {} have reached their {} MiB: take some away", .0.display(), MAX_ALL_BYTES / 1024 / 1024)]
    Full(PathBuf),
    /// The disk.
    #[error("less than {} MiB are free on the disk of {}", LEFT_FREE_BYTES / 1024 / 1024, .0.display())]
    Disk(PathBuf),
    /// The kernel.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl RecordingError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { path, cause }
    }
}

impl Recordings {
    /// In a folder.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder, all: AtomicU64::new(u64::MAX) }
    }

    /// Begins one.
    pub(crate) fn begin(&self, run: &str) -> Result<Writing, RecordingError> {
        files::ensure_dir(&self.folder, 0o700)
            .map_err(|e| RecordingError::File { path: self.folder.clone(), cause: io::Error::other(e) })?;
        prune_held(&self.folder);
        // Counted anew for each: somebody may have taken some away.
        let all = self.count().map_err(RecordingError::file(&self.folder))?;
        self.all.store(all, Ordering::Relaxed);
        if all >= MAX_ALL_BYTES {
            return Err(RecordingError::Full(self.folder.clone()));
        }
        self.check_disk()?;
        let path = self.folder.join(format!("{run}{SUFFIX}"));
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(RecordingError::file(&path))?;
        files::sync_dir(&self.folder)
            .map_err(|e| RecordingError::File { path: path.clone(), cause: io::Error::other(e) })?;
        let mut writing = Writing { file, path, hash: Sha256::new(), bytes: 0 };
        self.write(&mut writing, MAGIC)?;
        Ok(writing)
    }

    /// Writes on.
    pub(crate) fn write(&self, it: &mut Writing, bytes: &[u8]) -> Result<(), RecordingError> {
        let more = bytes.len() as u64;
        if it.bytes + more > MAX_ONE_BYTES {
            return Err(RecordingError::TooLong);
        }
        if self.all.fetch_add(more, Ordering::Relaxed).saturating_add(more) > MAX_ALL_BYTES {
            return Err(RecordingError::Full(self.folder.clone()));
        }
        // Asked for each mebibyte.
        if it.bytes >> 20 != (it.bytes + more) >> 20 {
            self.check_disk()?;
        }
        it.file.write_all(bytes).map_err(RecordingError::file(&it.path))?;
        it.hash.update(bytes);
        it.bytes += more;
        Ok(())
    }

    fn count(&self) -> io::Result<u64> {
        count(&self.folder)
    }

    fn check_disk(&self) -> Result<(), RecordingError> {
        let disk = nix::sys::statvfs::statvfs(&self.folder)
            .map_err(|e| RecordingError::File { path: self.folder.clone(), cause: e.into() })?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free < LEFT_FREE_BYTES { Err(RecordingError::Disk(self.folder.clone())) } else { Ok(()) }
    }
}

fn count(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for place in [folder, &folder.join(CLOSED), &folder.join(HELD)] {
        let entries = match fs::read_dir(place) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    Ok(bytes)
}

/// The runs whose recordings lie in a place.
pub(crate) fn runs_in(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(SUFFIX).map(str::to_owned);
    let mut runs: Vec<_> = entries.filter_map(name).collect();
    runs.sort();
    runs
}

/// Takes away, the oldest first, what the broker holds: what has been here long enough, and what there is no room for.
pub(crate) fn prune_held(folder: &Path) {
    let place = folder.join(HELD);
    let path = |run: String| place.join(format!("{run}{SUFFIX}"));
    let mut held: Vec<_> = runs_in(&place)
        .into_iter()
        .map(path)
        .filter_map(|path| {
            let metadata = fs::symlink_metadata(&path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), path))
        })
        .collect();
    held.sort();
    let Ok(mut all) = count(folder) else { return };
    for (written, bytes, path) in held {
        let is_old = written.elapsed().is_ok_and(|age| age > HELD_FOR);
        if !is_old && all <= MAX_WITH_HELD_BYTES {
            continue;
        }
        match files::remove(&path) {
            Ok(()) => all = all.saturating_sub(bytes),
            Err(error) => tracing::warn!(%error, "a recording that the broker holds stays here"),
        }
    }
}

impl Writing {
    /// Makes durable what was written.
    pub(crate) fn sync(&self) -> Result<(), RecordingError> {
        self.file.sync_data().map_err(RecordingError::file(&self.path))
    }

    /// What the record says of it.
    pub(crate) fn summary(&self, whole: bool) -> IoLog {
        let digest: [u8; 32] = self.hash.clone().finalize().into();
        IoLog { bytes: self.bytes, sha256: Hash::from_bytes(digest), whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_holds_the_hash_of_exactly_what_is_in_the_file() {
        let root = tempfile::tempdir().unwrap();
        let recordings = Recordings::at(root.path().join("io"));
        let mut one = recordings.begin("run1").unwrap();
        recordings.write(&mut one, b"something").unwrap();
        one.sync().unwrap();
        let file = fs::read(root.path().join("io/run1.recording")).unwrap();
        assert_eq!(file, [MAGIC, b"something"].concat());
        let summary = IoLog { bytes: file.len() as u64, sha256: Hash::of(&file), whole: true };
        assert_eq!(one.summary(true), summary);
    }

    #[test]
    fn only_what_the_broker_holds_is_taken_away_the_oldest_first_and_when_it_is_old_or_room_is_short() {
        let root = tempfile::tempdir().unwrap();
        let make = |place: &str, run: &str, bytes: u64, age_days: u64| {
            fs::create_dir_all(root.path().join(place)).unwrap();
            let file = File::create(root.path().join(place).join(format!("{run}{SUFFIX}"))).unwrap();
            file.set_len(bytes).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_hours(24 * age_days)).unwrap();
        };
        make("", "writing", 1, 30);
        make(CLOSED, "waits", 1, 30);
        make(HELD, "old", 1, 30);
        make(HELD, "young", 1, 2);
        prune_held(root.path());
        assert_eq!(runs_in(&root.path().join(HELD)), ["young"]);
        make(HELD, "younger", 1, 1);
        make(CLOSED, "big", MAX_WITH_HELD_BYTES - 2, 30);
        prune_held(root.path());
        assert_eq!(runs_in(&root.path().join(HELD)), Vec::<String>::new(), "there is no room for any");
        assert_eq!(runs_in(root.path()), ["writing"]);
        assert_eq!(runs_in(&root.path().join(CLOSED)), ["big", "waits"]);
    }

    #[test]
    fn a_run_is_recorded_once_and_a_link_in_its_place_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let recordings = Recordings::at(root.path().to_owned());
        recordings.begin("run1").unwrap();
        recordings.begin("run1").unwrap_err();
        std::os::unix::fs::symlink("/tmp/elsewhere", root.path().join("run2.recording")).unwrap();
        recordings.begin("run2").unwrap_err();
    }

    #[test]
    fn one_that_prints_without_end_and_all_together_are_bounded() {
        let root = tempfile::tempdir().unwrap();
        let recordings = Recordings::at(root.path().to_owned());
        let mut one = recordings.begin("run1").unwrap();
        one.bytes = MAX_ONE_BYTES - 1;
        assert!(matches!(recordings.write(&mut one, b"xx"), Err(RecordingError::TooLong)));
        let mut two = recordings.begin("run2").unwrap();
        recordings.all.store(MAX_ALL_BYTES - 1, Ordering::Relaxed);
        assert!(matches!(recordings.write(&mut two, b"xx"), Err(RecordingError::Full(_))));
        let big = fs::File::create(root.path().join("old.recording")).unwrap();
        big.set_len(MAX_ALL_BYTES).unwrap();
        assert!(matches!(recordings.begin("run3"), Err(RecordingError::Full(_))));
    }
}
