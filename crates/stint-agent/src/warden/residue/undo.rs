//! Undoes one finding: takes away, puts back, or strips. Each looks again at what it is about to touch, and acts on a name in a folder
//! that was opened without following anything, so nothing that a user placed makes it touch another file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, IFlags, Mode, OFlags, Uid, fchmod, fchown, openat, renameat, unlinkat};

use super::compare::{Action, Finding};
use super::picture::{Content, Form, Meta, Spot, name_of};
use super::tree::{Anchor, Tree, meta, read_all};
use crate::warden::files::{self, FileError};

/// The largest file of which a copy is kept.
const MAX_COPY: usize = 4 * 1024 * 1024;
/// The most bytes of all copies of one grant: a user's files may have many holes and few bytes, and the copies have none.
const MAX_COPIES: u64 = 64 * 1024 * 1024;
/// What makes a file run with its owner's or its group's rights.
const SET_ID: u32 = 0o6000;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Taken away, or stripped: in words.
    Removed(String),
    /// Put back: in words.
    Restored(String),
}

/// Why it was not undone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UndoError {
    /// It is not what was seen any more.
    #[error("it was replaced after it was seen")]
    Replaced,
    /// Other names of it would lose the same rights.
    #[error("it has {0} names, and the others may be the host's own: look at them yourself")]
    MoreNames(u64),
    /// No copy could be kept.
    #[error("no copy of it can be kept: {0}")]
    Copy(#[from] FileError),
    /// The kernel refused.
    #[error("{0}")]
    System(#[from] io::Error),
}
impl From<rustix::io::Errno> for UndoError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

/// Undoes findings, and keeps copies in a folder that only root reads.
#[derive(Debug)]
pub(crate) struct Undoing<'a> {
    tree: &'a Tree,
    copies: PathBuf,
    next: u32,
    /// How many bytes the copies have.
    kept: u64,
    /// One folder of each file system that was changed, to be made durable together.
    changed: BTreeMap<u64, File>,
}

impl<'a> Undoing<'a> {
    /// Copies go into a folder of the grant's own.
    pub(crate) fn new(tree: &'a Tree, copies: PathBuf) -> Self {
        // A sweep that was killed has left some: none of them is replaced.
        let before = std::fs::read_dir(&copies).into_iter().flatten().flatten();
        let kept = before.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum();
        Self { tree, copies, next: 1, kept, changed: BTreeMap::new() }
    }

    /// Undoes one finding; `None` if there is nothing to do.
    pub(crate) fn undo(&mut self, finding: &Finding) -> Result<Option<Done>, UndoError> {
        let Some(spot) = &finding.spot else { return Ok(None) };
        let words = &finding.words;
        match &finding.action {
            Action::Report => Ok(None),
            Action::Remove { seen } => {
                let copy = self.remove(spot, seen)?;
                Ok(Some(Done::Removed(format!("{words}; taken away{copy}"))))
            }
            Action::Restore { seen, content, before } => {
                let copy = self.restore(spot, seen, content, before)?;
                Ok(Some(Done::Restored(format!("{words}; put back{copy}"))))
            }
            Action::Strip { seen } => {
                self.strip(spot, seen)?;
                Ok(Some(Done::Removed(format!("{words}; its bits and capabilities were taken away"))))
            }
        }
    }

    fn remove(&mut self, spot: &Spot, seen: &Meta) -> Result<String, UndoError> {
        let folder = self.tree.folder_of(spot)?;
        let name = Path::new(name_of(&spot.below.0));
        is_still(&folder, name, seen)?;
        let copy = self.keep(&folder, name, seen)?;
        make_mutable(&folder, name, seen);
        unlinkat(folder.fd(), name, AtFlags::empty())?;
        self.changed(&folder)?;
        Ok(copy)
    }

    fn restore(
        &mut self,
        spot: &Spot,
        seen: &Meta,
        content: &Content,
        before: &Meta,
    ) -> Result<String, UndoError> {
        let folder = self.tree.folder_of(spot)?;
        let name = Path::new(name_of(&spot.below.0));
        is_still(&folder, name, seen)?;
        let copy = self.keep(&folder, name, seen)?;
        make_mutable(&folder, name, seen);
        let temporary = format!(".stint-{}", random_word()?);
        let written = write_new(&folder, &temporary, content, before)
            .and_then(|()| Ok(renameat(folder.fd(), &temporary, folder.fd(), name)?));
        if written.is_err() {
            // What could not be put into place does not stay either.
            let _ = unlinkat(folder.fd(), &temporary, AtFlags::empty());
        }
        written?;
        self.changed(&folder)?;
        Ok(copy)
    }

    fn strip(&mut self, spot: &Spot, seen: &Meta) -> Result<(), UndoError> {
        let folder = self.tree.folder_of(spot)?;
        let name = Path::new(name_of(&spot.below.0));
        let file = folder.open(name, seen)?;
        let now = meta(&file.metadata()?);
        if now.ctime != seen.ctime {
            return Err(UndoError::Replaced);
        }
        if now.nlink != 1 {
            return Err(UndoError::MoreNames(now.nlink));
        }
        make_mutable(&folder, name, seen);
        fchmod(&file, Mode::from_raw_mode(now.mode & !SET_ID))?;
        match rustix::fs::fremovexattr(&file, "security.capability") {
            Ok(()) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(file.sync_all()?)
    }

    fn changed(&mut self, folder: &Anchor) -> Result<(), UndoError> {
        let dev = folder.meta()?.dev;
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.changed.entry(dev) {
            vacant.insert(reopen(folder)?);
        }
        Ok(())
    }

    /// Makes durable what was undone, and the copies.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        if let Ok(copies) = File::open(&self.copies) {
            rustix::fs::syncfs(&copies)?;
        }
        for folder in std::mem::take(&mut self.changed).values() {
            rustix::fs::syncfs(folder)?;
        }
        Ok(())
    }

    /// Keeps a copy of what is taken away, so that nothing is lost that somebody needs.
    fn keep(&mut self, folder: &Anchor, name: &Path, seen: &Meta) -> Result<String, UndoError> {
        let none = |why: &str| Ok(format!(" (no copy is kept: {why})"));
        let bytes = match seen.form {
            Form::File if self.kept.saturating_add(seen.size) > MAX_COPIES => {
                return none("those of this grant have reached their 64 MiB");
            }
            Form::File => match read_all(&folder.open(name, seen)?, MAX_COPY)? {
                Some(bytes) => bytes,
                None => return none(&format!("it has {} bytes", seen.size)),
            },
            Form::Link => folder.target(name)?.to_string_lossy().into_owned().into_bytes(),
            _ => return Ok(String::new()),
        };
        files::ensure_dir(&self.copies, 0o700)?;
        let mut path = self.copies.join(self.next.to_string());
        while std::fs::symlink_metadata(&path).is_ok() {
            self.next += 1;
            path = self.copies.join(self.next.to_string());
        }
        files::replace_volatile(&path, &bytes, 0o600)?;
        self.next += 1;
        self.kept += bytes.len() as u64;
        Ok(format!(", a copy is {}", path.display()))
    }
}

/// Whether a name still stands for what was seen.
fn is_still(folder: &Anchor, name: &Path, seen: &Meta) -> Result<(), UndoError> {
    let now = meta(&folder.hold(name)?.metadata()?);
    let same = (now.dev, now.ino, now.form, now.ctime) == (seen.dev, seen.ino, seen.form, seen.ctime);
    if same { Ok(()) } else { Err(UndoError::Replaced) }
}

fn write_new(folder: &Anchor, name: &str, content: &Content, before: &Meta) -> Result<(), UndoError> {
    let flags = OFlags::CREATE
        .union(OFlags::EXCL)
        .union(OFlags::WRONLY)
        .union(OFlags::NOFOLLOW)
        .union(OFlags::CLOEXEC);
    let mut file = File::from(openat(folder.fd(), name, flags, Mode::from_raw_mode(0o600))?);
    file.write_all(&content.0)?;
    let now = meta(&file.metadata()?);
    if (now.uid, now.gid) != (before.uid, before.gid) {
        fchown(&file, Some(Uid::from_raw(before.uid)), Some(Gid::from_raw(before.gid)))?;
    }
    fchmod(&file, Mode::from_raw_mode(before.mode))?;
    Ok(file.sync_all()?)
}

/// Takes the flags off a file and its folder by which not even root may change them. What has none, or no such flags, is left.
fn make_mutable(folder: &Anchor, name: &Path, seen: &Meta) {
    let fixed = IFlags::IMMUTABLE.union(IFlags::APPEND);
    let clear = |file: &dyn AsFd| {
        if let Ok(flags) = rustix::fs::ioctl_getflags(file.as_fd())
            && flags.intersects(fixed)
        {
            // If it cannot be done, the next step fails and is told.
            let _ = rustix::fs::ioctl_setflags(file.as_fd(), flags.difference(fixed));
        }
    };
    if let Ok(opened) = reopen(folder) {
        clear(&opened);
    }
    if let Ok(file) = folder.open(name, seen) {
        clear(&file);
    }
}

fn reopen(folder: &Anchor) -> io::Result<File> {
    let flags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    Ok(openat(folder.fd(), ".", flags, Mode::empty())?.into())
}

fn random_word() -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
