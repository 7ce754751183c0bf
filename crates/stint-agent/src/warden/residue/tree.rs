//! Opens what is below a folder without following anything that a user may have put there.
//!
//! What is looked at and undone lies where users write. So every path is opened part by part, each from the folder before it: no
//! symbolic link on the way, nothing above the folder, and no other file system where a user, or root in a window, may have mounted one.
//! A pipe does not block, and a device is never opened.
//!
//! The kernel has one call for this (openat2), but systemd's RestrictSUIDSGID= takes it away.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, openat, statx};

use super::picture::{Form, Meta, Spot};

/// Where hosts have file systems of their own. One that is mounted anywhere else on the way to a place may be the host's own folders
/// under another name.
const MOUNT_POINTS: &[&str] = &[
    "boot",
    "dev",
    "dev/shm",
    "etc",
    "home",
    "opt",
    "root",
    "run",
    "run/user",
    "srv",
    "tmp",
    "usr",
    "usr/local",
    "var",
    "var/cache",
    "var/lib",
    "var/log",
    "var/spool",
    "var/tmp",
];

/// The most links on the way to a home; the kernel follows as many.
const MAX_LINKS: u32 = 40;

/// Which other file systems are entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// None, as below a home.
    None,
    /// Those that are mounted where hosts have them.
    Usual,
    /// All.
    All,
}

/// The host's files, or those of a folder in a test.
#[derive(Debug)]
pub(crate) struct Tree {
    path: PathBuf,
    crossing: Crossing,
}

/// A folder whose path root alone decides: the root, or a home; or one below.
#[derive(Debug)]
pub(crate) struct Anchor {
    fd: OwnedFd,
    /// Where it is below the root, for what may be mounted there.
    at: PathBuf,
    crossing: Crossing,
}

const HOLD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Tree {
    /// Below this folder.
    pub(crate) fn at(root: &Path, crossing: Crossing) -> io::Result<Self> {
        Ok(Self { path: root.canonicalize()?, crossing })
    }

    /// The same, on all file systems.
    pub(crate) fn everywhere(&self) -> Self {
        Self { path: self.path.clone(), crossing: Crossing::All }
    }

    /// The path of the root, for what is not looked at for users: `/proc` and the like.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The root or a home. Links on the way to a home are followed if root alone can have placed them.
    pub(crate) fn anchor(&self, path: &Path) -> io::Result<Anchor> {
        let flags = HOLD.union(OFlags::DIRECTORY);
        let root = Anchor {
            fd: openat(CWD, &self.path, flags, Mode::empty())?,
            at: PathBuf::new(),
            crossing: Crossing::All,
        };
        let below = path.strip_prefix("/").unwrap_or(path);
        if below.as_os_str().is_empty() {
            return Ok(Anchor { crossing: self.crossing, ..root });
        }
        Ok(Anchor { crossing: Crossing::None, ..root.folder(&self.without_links(below)?)? })
    }

    /// Where a path leads. A home may lie in a folder of somebody else's, who could put a link to any other folder in its place.
    fn without_links(&self, path: &Path) -> io::Result<PathBuf> {
        let mut real = PathBuf::new();
        let mut left: Vec<PathBuf> = vec![path.to_owned()];
        let mut links = 0;
        while let Some(rest) = left.pop() {
            let mut parts = rest.components();
            let Some(part) = parts.next() else { continue };
            left.push(parts.as_path().to_owned());
            match part {
                Component::Normal(name) => {
                    let folder = self.path.join(&real);
                    let there = folder.join(name);
                    if !fs::symlink_metadata(&there)?.is_symlink() {
                        real.push(name);
                        continue;
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(rustix::io::Errno::LOOP.into());
                    }
                    if !is_root_s_alone(&folder)? {
                        return Err(io::Error::other(
                            "a link stands in its path, in a folder of somebody else's",
                        ));
                    }
                    left.push(fs::read_link(&there)?);
                }
                Component::ParentDir => drop(real.pop()),
                Component::RootDir => real.clear(),
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(real)
    }

    /// The folder that a spot is in, and its name there.
    pub(crate) fn folder_of(&self, spot: &Spot) -> io::Result<Anchor> {
        let anchor = self.anchor(&spot.anchor.0)?;
        match spot.below.0.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => anchor.folder(parent),
            None => Ok(anchor),
        }
    }
}

impl Anchor {
    /// Holds what is there, whatever it is, without opening it.
    pub(crate) fn hold(&self, below: &Path) -> io::Result<File> {
        let mut held: Option<OwnedFd> = None;
        let mut at = self.at.clone();
        for part in below.components() {
            let name = match part {
                Component::Normal(name) => name,
                Component::CurDir => OsStr::new("."),
                _ => return Err(io::Error::other("it is not a path below a folder")),
            };
            let folder = held.as_ref().unwrap_or(&self.fd);
            let next = openat(folder, name, HOLD, Mode::empty()).map_err(|error| match error {
                // The kernel says so of a link in the middle too: it is not nothing.
                rustix::io::Errno::NOTDIR if is_link(folder) => io::Error::other("a link stands in its path"),
                other => other.into(),
            })?;
            if name != "." {
                at.push(name);
                self.enter(&next, &at)?;
            }
            held = Some(next);
        }
        let held = held.ok_or_else(|| io::Error::other("it is not a path below a folder"))?;
        Ok(held.into())
    }

    /// Whether what was opened may be a file system of its own.
    fn enter(&self, next: &OwnedFd, at: &Path) -> io::Result<()> {
        if self.crossing == Crossing::All {
            return Ok(());
        }
        // A file system of a user's own, whose program does not answer, is not asked.
        let flags = AtFlags::EMPTY_PATH.union(AtFlags::NO_AUTOMOUNT).union(AtFlags::STATX_DONT_SYNC);
        let found = statx(next, "", flags, StatxFlags::TYPE)?;
        let is_mount = found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        let is_usual = || MOUNT_POINTS.iter().any(|point| at == Path::new(point));
        if is_mount && !(self.crossing == Crossing::Usual && is_usual()) {
            return Err(io::Error::other("something is mounted in its path"));
        }
        Ok(())
    }

    /// A folder below.
    pub(crate) fn folder(&self, below: &Path) -> io::Result<Self> {
        let held = self.hold(below)?;
        if !held.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let below = if below == Path::new(".") { Path::new("") } else { below };
        Ok(Self { fd: held.into(), at: self.at.join(below), crossing: self.crossing })
    }

    /// What the kernel says of the folder itself.
    pub(crate) fn meta(&self) -> io::Result<Meta> {
        Ok(meta(&File::from(self.fd.try_clone()?).metadata()?))
    }

    /// The names in the folder, at most so many; and whether there are more.
    pub(crate) fn names(&self, most: usize) -> io::Result<(Vec<std::ffi::OsString>, bool)> {
        use std::os::unix::ffi::OsStrExt;
        let mut names = Vec::new();
        let flags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        for entry in rustix::fs::Dir::new(openat(&self.fd, ".", flags, Mode::empty())?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if names.len() == most {
                return Ok((names, true));
            }
            names.push(OsStr::from_bytes(name).to_owned());
        }
        names.sort();
        Ok((names, false))
    }

    /// Opens a file for reading that is still the one that was seen.
    pub(crate) fn open(&self, below: &Path, seen: &Meta) -> io::Result<File> {
        let flags = OFlags::RDONLY
            .union(OFlags::NOFOLLOW)
            .union(OFlags::NONBLOCK)
            .union(OFlags::NOCTTY)
            .union(OFlags::CLOEXEC);
        if seen.form != Form::File {
            return Err(io::Error::other("it is not a file with content"));
        }
        let name = below.file_name().ok_or_else(|| io::Error::other("it is not a path below a folder"))?;
        let parent = below.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.map(|parent| self.folder(parent)).transpose()?;
        let file =
            File::from(openat(folder.as_ref().map_or(&self.fd, |f| &f.fd), name, flags, Mode::empty())?);
        let now = meta(&file.metadata()?);
        if (now.dev, now.ino, now.form) != (seen.dev, seen.ino, seen.form) {
            return Err(io::Error::other("it was replaced while it was looked at"));
        }
        Ok(file)
    }

    /// Where a link points.
    pub(crate) fn target(&self, below: &Path) -> io::Result<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let held = self.hold(below)?;
        let target = rustix::fs::readlinkat(&held, "", Vec::new())?;
        Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
    }

    /// For calls on names in this folder.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

fn is_root_s_alone(folder: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(folder)?;
    Ok(found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0)
}

fn is_link(held: &impl AsFd) -> bool {
    rustix::fs::fstat(held).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
}

/// Reads at most so many bytes; `None` if there are more.
pub(crate) fn read_all(file: &File, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= most).then_some(bytes))
}

/// In our own words.
pub(crate) fn meta(found: &Metadata) -> Meta {
    let kind = found.file_type();
    let form = match () {
        () if kind.is_file() => Form::File,
        () if kind.is_dir() => Form::Folder,
        () if kind.is_symlink() => Form::Link,
        () if kind.is_socket() => Form::Socket,
        () => Form::Other,
    };
    let nanoseconds = |n: i64| u32::try_from(n).unwrap_or_default();
    Meta {
        form,
        dev: found.dev(),
        ino: found.ino(),
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        nlink: found.nlink(),
        size: found.size(),
        mtime: (found.mtime(), nanoseconds(found.mtime_nsec())),
        ctime: (found.ctime(), nanoseconds(found.ctime_nsec())),
    }
}
