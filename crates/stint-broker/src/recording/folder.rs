//! The files: `HOST/RUN` for what is here whole, `HOST/RUN.part` for what is on its way. Of each host at most one is on its way.
//!
//! Names are made of a host's name and a run's id, both checked before they come here.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

const PART: &str = "part";
/// How much is read at once.
const READ_BYTES: usize = 256 * 1024;

/// The folder of recordings.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The hosts that are sending at this moment.
    sending: Mutex<HashSet<String>>,
    /// It was told that there is no room.
    is_full: AtomicBool,
}

/// A host's turn: it sends one thing at a time.
#[derive(Debug)]
pub struct Turn {
    folder: Arc<Folder>,
    host: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.folder.sending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.host);
    }
}

impl Folder {
    /// Makes the folder if it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self { path: path.to_owned(), sending: Mutex::default(), is_full: AtomicBool::new(false) })
    }

    /// A host's turn; `None` while it sends over another connection.
    pub fn turn(self: &Arc<Self>, host: &str) -> Option<Turn> {
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        sending.insert(host.to_owned()).then(|| Turn { folder: self.clone(), host: host.to_owned() })
    }

    /// Says that there is no room, or that there is again. Whether that is new.
    pub fn set_full(&self, full: bool) -> bool {
        self.is_full.swap(full, Ordering::Relaxed) != full
    }

    /// Where a recording is.
    pub fn file(&self, host: &str, run: &str) -> PathBuf {
        self.path.join(host).join(run)
    }

    fn part(&self, host: &str, run: &str) -> PathBuf {
        self.file(host, run).with_extension(PART)
    }
}

impl Turn {
    /// How much of a recording has come. Whatever else of this host was on its way is begun anew another time.
    pub fn have(&self, run: &str) -> io::Result<u64> {
        let (file, part) = (self.folder.file(&self.host, run), self.folder.part(&self.host, run));
        // Renamed, and the database was not told: a crash in between. It is looked at again.
        match fs::rename(&file, &part) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        match fs::metadata(&part) {
            Ok(metadata) => return Ok(metadata.len()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Err(_) => {}
        }
        let dir = self.folder.path.join(&self.host);
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == PART) {
                fs::remove_file(path)?;
            }
        }
        Ok(0)
    }

    /// Adds to the end.
    pub fn append(&self, run: &str, bytes: &[u8]) -> io::Result<()> {
        let dir = self.folder.path.join(&self.host);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let mut part = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.folder.part(&self.host, run))?;
        part.write_all(bytes)?;
        // Its length says where the host goes on, after a crash as well.
        part.sync_data()
    }

    /// The SHA-256 of what has come, hexadecimal.
    pub fn sha256(&self, run: &str) -> io::Result<String> {
        let mut part = File::open(self.folder.part(&self.host, run))?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; READ_BYTES]);
        loop {
            match part.read(&mut buffer)? {
                0 => return Ok(data_encoding::HEXLOWER.encode(&hash.finalize())),
                n => hash.update(&buffer[..n]),
            }
        }
    }

    /// Gives what has come its name, durably.
    pub fn keep(&self, run: &str) -> io::Result<()> {
        let (part, file) = (self.folder.part(&self.host, run), self.folder.file(&self.host, run));
        File::open(&part)?.sync_all()?;
        fs::rename(&part, &file)?;
        File::open(self.folder.path.join(&self.host))?.sync_all()?;
        File::open(&self.folder.path)?.sync_all()
    }

    /// Throws away what has come.
    pub fn drop_part(&self, run: &str) -> io::Result<()> {
        fs::remove_file(self.folder.part(&self.host, run))
    }
}
