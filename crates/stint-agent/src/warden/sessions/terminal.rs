//! Writing a line to the terminals of people.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Writes one line to a terminal, if it is one, and belongs to that account (or to root, before login has given it away).
/// Never waits: a terminal that was stopped with ^S must not hold up anything.
pub(super) fn write_line(device: &Path, owner: u32, line: &str) -> bool {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Ok(mut file) = OpenOptions::new().write(true).custom_flags(flags.bits()).open(device) else {
        return false;
    };
    let Ok(metadata) = file.metadata() else { return false };
    let is_theirs = metadata.file_type().is_char_device()
        && (metadata.uid() == owner || metadata.uid() == 0)
        && kind_of(metadata.rdev()).is_some();
    is_theirs && file.write_all(format!("\r\n{}\r\n", sanitised(line)).as_bytes()).is_ok()
}

/// When something was last read from a terminal, which is what was typed there: nanoseconds of the wall clock.
pub(super) fn last_input_ns(device: &Path) -> Option<i128> {
    let metadata = std::fs::symlink_metadata(device).ok()?;
    let is_one = metadata.file_type().is_char_device() && kind_of(metadata.rdev()).is_some();
    is_one.then(|| i128::from(metadata.atime()) * 1_000_000_000 + i128::from(metadata.atime_nsec()))
}

/// What a terminal would obey is shown instead.
fn sanitised(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The path of a terminal by its device number, as `/proc/PID/stat` tells it.
pub(super) fn path_of(device: u64) -> Option<PathBuf> {
    kind_of(device).map(PathBuf::from)
}

/// The path of a terminal as PAM names it: `/dev/pts/3`, `pts/3` or `tty1`. sshd says `ssh` where it means none.
pub(super) fn path_named(name: &str) -> Option<PathBuf> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    let known = ["pts/", "ttyS", "tty"].iter().any(|p| name.strip_prefix(p).is_some_and(digits));
    known.then(|| Path::new("/dev").join(name))
}

fn kind_of(device: u64) -> Option<String> {
    // The kernel's own split: 12 bits of major, 20 of minor in two parts.
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match (major, minor) {
        (136..=143, _) => Some(format!("/dev/pts/{}", (major - 136) * 256 + minor)),
        (4, 0..=63) => Some(format!("/dev/tty{minor}")),
        (4, _) => Some(format!("/dev/ttyS{}", minor - 64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_name_terminals() {
        assert_eq!(path_of(34817), Some(PathBuf::from("/dev/pts/1")));
        assert_eq!(path_of(136 << 8 | 1 << 20), Some(PathBuf::from("/dev/pts/256")));
        assert_eq!(path_of(4 << 8 | 1), Some(PathBuf::from("/dev/tty1")));
        assert_eq!(path_of(4 << 8 | 64), Some(PathBuf::from("/dev/ttyS0")));
        assert_eq!(path_of(0), None);
        assert_eq!(path_of(8 << 8), None, "a disk");
    }

    #[test]
    fn names_that_pam_gives_are_terminals_under_dev_or_nothing() {
        assert_eq!(path_named("/dev/pts/3"), Some(PathBuf::from("/dev/pts/3")));
        assert_eq!(path_named("tty1"), Some(PathBuf::from("/dev/tty1")));
        for odd in ["ssh", "cron", "", "/dev/sda", "pts/../sda", "/dev/pts/", "/tmp/pts/3", "pts/3\n"] {
            assert_eq!(path_named(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(sanitised("a\u{1b}[2Jb\r\nc"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c");
    }

    #[test]
    fn a_plain_file_and_another_device_are_not_written_to() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!write_line(file.path(), nix::unistd::geteuid().as_raw(), "x"));
        assert!(!write_line(Path::new("/dev/null"), 0, "x"));
        assert_eq!(std::fs::read(file.path()).unwrap(), b"");
    }
}
