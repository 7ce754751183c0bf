//! Files that are there whole or not at all: temporary name, fsync, rename, fsync of the folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The most of a file of the host's that is read as text.
const MAX_TEXT: u64 = 16 * 1024 * 1024;

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {cause}")]
pub(crate) struct FileError {
    what: &'static str,
    path: PathBuf,
    cause: io::Error,
}

impl FileError {
    /// What was tried, on which path, and why it failed.
    pub(crate) fn new(what: &'static str, path: &Path, cause: io::Error) -> Self {
        Self { what, path: path.to_owned(), cause }
    }
    /// For `map_err`.
    pub(crate) fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self { what, path, cause }
    }
    /// Whether the file is not there.
    pub(crate) fn is_missing(&self) -> bool {
        self.cause.kind() == io::ErrorKind::NotFound
    }
    /// Whether the file itself is the matter, and not the moment: the disk cannot read it, it is something else than a file, or absurd.
    pub(crate) fn is_damage(&self) -> bool {
        self.cause
            .raw_os_error()
            .is_none_or(|e| matches!(e, libc::EIO | libc::EUCLEAN | libc::ELOOP | libc::EISDIR))
            && !self.is_missing()
    }
    /// Whether something holds the file that root put there: a flag by which not even root may change it, or a mount on it.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.cause.raw_os_error(), Some(libc::EPERM | libc::EBUSY | libc::EROFS))
    }
}

/// Replaces a file durably.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    replace_unsynced(path, bytes, mode, true)?;
    sync_parent(path)
}

/// Replaces a file that need not outlive a power cut (under `/run`).
pub(crate) fn replace_volatile(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    replace_unsynced(path, bytes, mode, false)
}

fn replace_unsynced(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> Result<(), FileError> {
    let temporary = temporary_name(path);
    let mut file = create_anew(&temporary, mode)?;
    file.write_all(bytes).map_err(FileError::at("write", &temporary))?;
    if sync {
        file.sync_all().map_err(FileError::at("sync", &temporary))?;
    }
    failpoint(path)?;
    fs::rename(&temporary, path).map_err(FileError::at("rename into place", path))
}

/// Creates a file with exactly this mode. Whatever stands there goes first: a pipe would be waited for without end, a file may have other
/// names, and a folder would be in the way for ever.
pub(crate) fn create_anew(path: &Path, mode: u32) -> Result<File, FileError> {
    failpoint(path)?;
    let is_folder = || fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        // Not emptied: somebody else's folder may be mounted in it.
        Err(_) if is_folder() => fs::rename(path, aside(path)).map_err(FileError::at("move aside", path))?,
        Err(cause) => return Err(FileError::new("remove", path, cause)),
    }
    open_new(path, mode, OpenOptions::new().create_new(true))
}

/// A name beside this one that is free.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = (0_u32..).map(|n| path.with_file_name(format!(".{name}.aside-{n}")));
    names.into_iter().find(|name| fs::symlink_metadata(name).is_err()).unwrap_or_else(|| path.to_owned())
}

/// Opens a file for its lock, with exactly this mode; makes it if it is not there. Never follows a symlink.
pub(crate) fn create(path: &Path, mode: u32) -> Result<File, FileError> {
    open_new(path, mode, OpenOptions::new().create(true).truncate(true))
}

fn open_new(path: &Path, mode: u32, how: &mut OpenOptions) -> Result<File, FileError> {
    let file = how
        .write(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(FileError::at("create", path))?;
    // The umask of the service is 0077, and the gate is read by the module as any user.
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(FileError::at("set the mode of", path))?;
    Ok(file)
}

/// Makes a folder (and those above it) with this mode, if it is not there.
pub(crate) fn ensure_dir(path: &Path, mode: u32) -> Result<(), FileError> {
    match fs::create_dir_all(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(FileError::at("set the mode of", path)),
        Err(cause) => Err(FileError::new("create the folder", path, cause)),
    }
}

/// Makes the names in a file's folder durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(FileError::at("sync", dir))
}

/// Reads a whole file of at most `max` bytes; `None` if it is not there.
pub(crate) fn read(path: &Path, max: usize) -> Result<Option<Vec<u8>>, FileError> {
    // A pipe in the file's place must not hang the warden.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(FileError::new("open", path, cause)),
    };
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(FileError::at("read", path))?;
    if bytes.len() > max {
        return Err(FileError::new("read", path, io::Error::other(format!("it has more than {max} bytes"))));
    }
    Ok(Some(bytes))
}

/// The text of a file of the host's, empty if it cannot be read. Bytes that are no text do not hide the rest: users choose some of what
/// stands in `/etc/passwd`, and administrators write their comments in any encoding.
pub(crate) fn text(path: &Path) -> String {
    // A pipe in the file's place is not waited for.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut bytes = Vec::new();
    let read = opened.and_then(|file| file.take(MAX_TEXT).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", path, cause)),
        _ => Ok(()),
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

/// Whether a name is that of a file that was being written when the warden stopped.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_prefix('.').is_some_and(|rest| rest.strip_suffix(".tmp").is_some())
}

/// A place where a test can make a write fail.
#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps, reason = "the test build can fail here")]
pub(crate) fn failpoint(_: &Path) -> Result<(), FileError> {
    Ok(())
}

#[cfg(test)]
pub(crate) use faults::failpoint;

/// Writes that fail when a test asks for it: the next crash or the full disk, at every step.
#[cfg(test)]
pub(crate) mod faults {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static STEPS_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// After so many more steps every write fails, as on a full disk; `None` ends that.
    pub(crate) fn fail_after(steps: Option<u32>) {
        STEPS_LEFT.with(|left| left.set(steps));
    }

    pub(crate) fn failpoint(path: &Path) -> Result<(), FileError> {
        STEPS_LEFT.with(|left| match left.get() {
            None => Ok(()),
            Some(0) => Err(FileError::new("write", path, io::ErrorKind::StorageFull.into())),
            Some(n) => {
                left.set(Some(n - 1));
                Ok(())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace(&path, b"old", 0o600).unwrap();
        for steps in 0..2 {
            faults::fail_after(Some(steps));
            replace(&path, b"new and longer", 0o600).unwrap_err();
            faults::fail_after(None);
            assert_eq!(read(&path, 100).unwrap().unwrap(), b"old");
        }
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(read(&path, 100).unwrap().unwrap(), b"new");
    }

    #[test]
    fn what_stands_where_a_file_is_written_first_is_neither_waited_for_nor_written_to_nor_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let (path, temporary) = (dir.path().join("state"), dir.path().join(".state.tmp"));
        let written = |text: &'static [u8]| {
            let (to, done) = std::sync::mpsc::channel();
            let path = path.clone();
            std::thread::spawn(move || to.send(replace(&path, text, 0o600).map_err(|e| e.to_string())));
            done.recv_timeout(std::time::Duration::from_secs(20)).expect("it is not waited for").unwrap();
            assert_eq!(read(&dir.path().join("state"), 100).unwrap().unwrap(), text);
        };
        nix::unistd::mkfifo(&temporary, nix::sys::stat::Mode::S_IRWXU).unwrap();
        written(b"one");
        let other = dir.path().join("other");
        fs::write(&other, "another's").unwrap();
        fs::hard_link(&other, &temporary).unwrap();
        written(b"two");
        assert_eq!(fs::read_to_string(&other).unwrap(), "another's");
        std::os::unix::fs::symlink(&other, &temporary).unwrap();
        written(b"three");
        assert_eq!(fs::read_to_string(&other).unwrap(), "another's");
        for n in 0..2 {
            fs::create_dir_all(temporary.join("deep")).unwrap();
            fs::write(temporary.join("deep/another's"), "").unwrap();
            written(b"four");
            assert!(dir.path().join(format!("..state.tmp.aside-{n}/deep/another's")).exists());
        }
    }

    #[test]
    fn the_mode_does_not_depend_on_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate");
        replace(&path, b"x", 0o644).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    }

    #[test]
    fn a_file_over_the_cap_and_a_symlink_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        replace(&path, b"12345", 0o600).unwrap();
        assert!(read(&path, 4).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read(&link, 100).is_err());
    }
}
