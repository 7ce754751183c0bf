//! `stintd free`: takes off stint's own files what keeps even root from replacing or removing them: flags (`chattr +i`, `+a`) and mounts.
//!
//! The warden has PID 1 start it (`stint-free.service`) when a file of ours is held. It removes and writes none of them: the warden does,
//! once they are free. It is a process of its own, since it needs what the warden must not have: the right to unmount, in PID 1's own view of
//! mounts.
//!
//! Nothing else is touched. Folders are opened part by part and without links. A mount is taken off at exactly a name of ours: the kernel
//! refuses where none is. A file with more than one name may be somebody else's: it keeps its flags, unless what stands in it is ours.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use rustix::fs::{IFlags, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};
use stint_grant::gate::{Current, MAX_CURRENT_BYTES};
use stint_grant::words::printable;

use super::files::{self, FileError};
use super::paths::Paths;
use super::residue::mounts::mount_points;
use super::residue::picture::{Form, Meta};
use super::residue::tree::{Anchor, Crossing, Tree, meta, read_all};
use super::sudoers;

/// Folders of ours that a host may well have as file systems of their own.
const VOLUMES: &[&str] = &["archive", "journal", "quarantine", "recordings"];
/// Folders of ours in which nothing decides; what is in them is of users, or the courier's.
const PASSED_BY: &[&str] = &["archive", "courier", "quarantine", "recordings"];
/// The most mounts on one name.
const MAX_STACKED: usize = 64;
/// How deep our own folders are.
const DEPTH: u8 = 5;
/// The most names in one folder: each account has a file in the gate.
const MAX_NAMES: usize = 1_000_000;
/// By these not even root may change a file.
const FIXED: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);
/// The largest answer that is read.
const MAX_ANSWER: usize = 1024 * 1024;
/// An answer is for people.
const MAX_LINES: usize = 100;

/// What was found, in words, escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freed {
    /// Taken off.
    pub(crate) done: Vec<String>,
    /// Not taken off, and why.
    pub(crate) left: Vec<String>,
}

/// Frees this host's files, and leaves word for the warden.
pub(crate) fn run() -> Result<(), String> {
    let paths = Paths::system();
    let mounts = fs::read("/proc/self/mountinfo").map_err(|e| format!("the mounts: {e}"))?;
    let freed = free(&paths, Path::new("/"), &mounts).map_err(|e| format!("the root folder: {e}"))?;
    for words in &freed.done {
        tracing::warn!("{words}");
    }
    for words in &freed.left {
        tracing::error!("{words}");
    }
    let bytes = serde_json::to_vec(&freed).map_err(|e| e.to_string())?;
    files::replace_volatile(&paths.freed(), &bytes, 0o600).map_err(|e| e.to_string())
}

/// What the last run left word of, once.
pub(crate) fn take_answer(paths: &Paths) -> Result<Option<Freed>, FileError> {
    let path = paths.freed();
    let Some(bytes) = files::read(&path, MAX_ANSWER)? else { return Ok(None) };
    files::remove(&path)?;
    let answer = serde_json::from_slice(&bytes).map_err(io::Error::other);
    answer.map(Some).map_err(FileError::at("read", &path))
}

fn free(paths: &Paths, root: &Path, mountinfo: &[u8]) -> io::Result<Freed> {
    let host = Tree::at(root, Crossing::All)?.anchor(Path::new("/"))?;
    let mut freed = Freed::default();
    let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
    for place in mount_points(mountinfo).filter(|place| is_ours(paths, place)) {
        unmount(&host, paths, &place, &below(&place), &mut freed);
    }
    let names = |name: &str| sudoers::is_ours(name);
    free_folder(&host, &paths.sudoers, &below(&paths.sudoers), 0, &names, &mut freed);
    let names = |name: &str| !PASSED_BY.contains(&name);
    free_folder(&host, &paths.state, &below(&paths.state), DEPTH, &names, &mut freed);
    for lines in [&mut freed.done, &mut freed.left] {
        lines.truncate(MAX_LINES);
    }
    Ok(freed)
}

/// Whether a mount lies on a name of ours, and none of ours are there.
fn is_ours(paths: &Paths, place: &Path) -> bool {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.parent() == Some(&paths.sudoers) && sudoers::is_ours(&name)
        || place != paths.state && place.starts_with(&paths.state)
}

fn unmount(host: &Anchor, paths: &Paths, place: &Path, below: &Path, freed: &mut Freed) {
    let (Some(parent), Some(name)) = (below.parent(), below.file_name()) else { return };
    let Ok(folder) = host.folder(parent) else { return };
    let is_folder = folder.hold(Path::new(name)).and_then(|held| held.metadata()).is_ok_and(|m| m.is_dir());
    if is_folder && place.parent() == Some(&paths.state) && VOLUMES.iter().any(|volume| name == *volume) {
        return;
    }
    // Through the folder that is held: whoever moves it meanwhile leads nowhere else.
    let target = PathBuf::from(format!("/proc/self/fd/{}", folder.fd().as_raw_fd())).join(name);
    let shown = printable(&place.to_string_lossy());
    for _ in 0..MAX_STACKED {
        match umount2(&target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => freed.done.push(format!("what was mounted on {shown} was taken off")),
            // Nothing is mounted there.
            Err(Errno::EINVAL | Errno::ENOENT) => return,
            Err(error) => {
                freed.left.push(format!("something is mounted on {shown}, and was not taken off: {error}"));
                return;
            }
        }
    }
}

fn free_folder(
    host: &Anchor,
    path: &Path,
    below: &Path,
    depth: u8,
    names: &dyn Fn(&str) -> bool,
    freed: &mut Freed,
) {
    let Ok(folder) = host.folder(below) else { return };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Ok(opened) = openat(folder.fd(), ".", flags, Mode::empty()) {
        clear(&opened, path, freed);
    }
    let found = folder.names(MAX_NAMES).map(|(found, _)| found).unwrap_or_default();
    for name in found.iter().filter(|name| names(&name.to_string_lossy())) {
        let (name, path) = (Path::new(name), path.join(name));
        let Ok(seen) = folder.hold(name).and_then(|held| held.metadata()) else { continue };
        let seen = meta(&seen);
        match seen.form {
            Form::Folder if depth > 0 => {
                free_folder(host, &path, &below.join(name), depth - 1, &|_| true, freed);
            }
            Form::File => free_file(&folder, name, &seen, &path, freed),
            // A link or a pipe has no such flags, and the warden replaces it.
            _ => {}
        }
    }
}

fn free_file(folder: &Anchor, name: &Path, seen: &Meta, path: &Path, freed: &mut Freed) {
    let Ok(file) = folder.open(name, seen) else { return };
    if !flags_of(&file).intersects(FIXED) {
        return;
    }
    if seen.nlink > 1 && !holds_ours(&file) {
        let shown = printable(&path.to_string_lossy());
        freed.left.push(format!("{shown} is a file with {} names: its flags were left to it", seen.nlink));
        return;
    }
    clear(&file, path, freed);
}

/// Whether what stands in a file is what we write where it decides: then it is ours, whatever names it has.
fn holds_ours(file: &File) -> bool {
    let text = read_all(file, MAX_CURRENT_BYTES).ok().flatten().unwrap_or_default();
    sudoers::is_our_text(&text) || Current::parse(&text).is_ok()
}

fn flags_of(file: &impl AsFd) -> IFlags {
    // A file system without flags holds nothing by them.
    rustix::fs::ioctl_getflags(file.as_fd()).unwrap_or(IFlags::empty())
}

fn clear(file: &impl AsFd, path: &Path, freed: &mut Freed) {
    let flags = flags_of(file);
    if !flags.intersects(FIXED) {
        return;
    }
    let shown = printable(&path.to_string_lossy());
    let what = if flags.contains(IFlags::IMMUTABLE) { "immutable" } else { "append-only" };
    match rustix::fs::ioctl_setflags(file.as_fd(), flags.difference(FIXED)) {
        Ok(()) => freed.done.push(format!("{shown} was {what}: the flag was taken off")),
        Err(error) => freed.left.push(format!("{shown} is {what}, and the flag was not taken off: {error}")),
    }
}

#[cfg(test)]
mod tests;
