//! Reading files of root's, trusting nothing on the way: each folder and file is opened without following links, from the one above
//! it, and must belong to root and be writable by root alone.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// It is not there.
    Missing(String),
    /// It is there, and cannot be trusted or read.
    Unsafe {
        /// The path.
        path: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{path} is missing"),
            Self::Unsafe { path, why } => write!(f, "{path} {why}"),
        }
    }
}

/// An open folder of root's.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: String,
}

impl Folder {
    /// Opens the folder where all paths begin.
    pub fn base(path: &Path) -> Result<Self, FileFault> {
        let name = path.to_string_lossy().trim_end_matches('/').to_owned();
        let fd = uninterrupted(|| open(path, folder_flags(), Mode::empty())).map_err(|e| fault(&name, e))?;
        check(&fd, &name, SFlag::S_IFDIR)?;
        Ok(Self { fd, path: name })
    }

    /// Opens a folder below, one name at a time.
    pub fn descend(&self, path: &str) -> Result<Self, FileFault> {
        let mut at: Option<Self> = None;
        for name in path.split('/') {
            let from = at.as_ref().unwrap_or(self);
            let path = from.join(name);
            let fd = uninterrupted(|| openat(&from.fd, name, folder_flags(), Mode::empty()))
                .map_err(|e| fault(&path, e))?;
            check(&fd, &path, SFlag::S_IFDIR)?;
            at = Some(Self { fd, path });
        }
        at.ok_or_else(|| FileFault::Missing(path.to_owned()))
    }

    /// Reads a file of at most `max` bytes.
    pub fn read(&self, name: &str, max: usize) -> Result<Vec<u8>, FileFault> {
        let path = self.join(name);
        // Without O_NONBLOCK a pipe in the file's place would hang the login.
        let flags =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let fd =
            uninterrupted(|| openat(&self.fd, name, flags, Mode::empty())).map_err(|e| fault(&path, e))?;
        let stat = check(&fd, &path, SFlag::S_IFREG)?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        let too_large =
            || FileFault::Unsafe { path: path.clone(), why: format!("has more than {max} bytes") };
        if size > max {
            return Err(too_large());
        }
        // The files of the gate are replaced, never written to: what was there when it was opened is all of it.
        let mut bytes = Vec::with_capacity(size);
        File::from(fd)
            .take(stat.st_size.unsigned_abs())
            .read_to_end(&mut bytes)
            .map_err(|e| FileFault::Unsafe { path: path.clone(), why: format!("cannot be read: {e}") })?;
        Ok(bytes)
    }

    fn join(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

/// Calls again as long as one of the application's signals interrupts it: sudo's child ends, a terminal changes its size.
pub fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

fn folder_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

fn check(fd: &OwnedFd, path: &str, kind: SFlag) -> Result<FileStat, FileFault> {
    let stat = fstat(fd).map_err(|e| fault(path, e))?;
    let wrong = |why: String| Err(FileFault::Unsafe { path: path.to_owned(), why });
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != kind {
        return wrong("is not a regular file".to_owned());
    }
    if stat.st_uid != 0 {
        return wrong(format!("belongs to uid {}, not to root", stat.st_uid));
    }
    if Mode::from_bits_truncate(stat.st_mode).intersects(Mode::S_IWGRP | Mode::S_IWOTH) {
        return wrong("is writable by others than root".to_owned());
    }
    Ok(stat)
}

fn fault(path: &str, error: Errno) -> FileFault {
    let path = path.to_owned();
    match error {
        Errno::ENOENT => FileFault::Missing(path),
        Errno::ELOOP => FileFault::Unsafe { path, why: "is a symbolic link".to_owned() },
        Errno::ENOTDIR => FileFault::Unsafe { path, why: "is not a folder, or a symbolic link".to_owned() },
        error => FileFault::Unsafe { path, why: format!("cannot be opened: {}", error.desc()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_a_signal_interrupts_is_made_again() {
        let mut answers = [Err(Errno::EINTR), Err(Errno::EINTR), Ok(7)].into_iter();
        assert_eq!(uninterrupted(|| answers.next().unwrap()), Ok(7));
        let mut answers = [Err(Errno::EACCES), Ok(7)].into_iter();
        assert_eq!(uninterrupted(|| answers.next().unwrap()), Err(Errno::EACCES));
    }
}
