//! What commands print, as files in a folder that only root reads, within bounds.
//!
//! Nothing is removed here to make room: whoever prints enough would remove what was recorded before. When there is no room, no command
//! whose output must be recorded begins.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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
        let mut bytes = 0;
        for entry in fs::read_dir(&self.folder)? {
            bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(bytes)
    }

    fn check_disk(&self) -> Result<(), RecordingError> {
        let disk = nix::sys::statvfs::statvfs(&self.folder)
            .map_err(|e| RecordingError::File { path: self.folder.clone(), cause: e.into() })?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free < LEFT_FREE_BYTES { Err(RecordingError::Disk(self.folder.clone())) } else { Ok(()) }
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
