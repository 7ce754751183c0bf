//! Whether sshd has read its configuration anew. It does so by starting itself over: its sockets are closed and made again, so the same
//! process listens on other ones. In between, some milliseconds, nobody can connect.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The state of a socket that listens, in `/proc/PID/net/tcp`.
const LISTENS: &str = "0A";

/// sshd, asked to read its configuration anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reload {
    process: PathBuf,
    /// What it listened on when it was asked; their inodes.
    before: BTreeSet<u64>,
}

impl Reload {
    /// To be called just before it is asked.
    pub(crate) fn of(pid: u32) -> Self {
        let process = Path::new("/proc").join(pid.to_string());
        Self { before: listening(&process), process }
    }
    /// Whether it listens on new sockets. One that listened on none, or is gone, is not waited for.
    pub(crate) fn is_done(&self) -> bool {
        let now = listening(&self.process);
        self.before.is_empty() || !self.process.exists() || (!now.is_empty() && now.is_disjoint(&self.before))
    }
}

/// The inodes of the TCP sockets on which a process listens.
fn listening(process: &Path) -> BTreeSet<u64> {
    let own: BTreeSet<u64> = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| socket(&fs::read_link(entry.ok()?.path()).ok()?))
        .collect();
    let mut all = BTreeSet::new();
    for table in ["net/tcp", "net/tcp6"] {
        // Its own network: the warden has none.
        let text = fs::read_to_string(process.join(table)).unwrap_or_default();
        all.extend(text.lines().filter_map(listener));
    }
    &own & &all
}

/// The inode of a link such as `socket:[4711]`.
fn socket(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The inode of a line of the table whose socket listens.
fn listener(line: &str) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let state = fields.nth(3)?;
    let inode = fields.nth(5)?;
    (state == LISTENS).then(|| inode.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_daemon_that_made_its_sockets_anew_has_read_its_configuration() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = format!("/proc/self/fd/{}", first.as_raw_fd());
        let inode = socket(&fs::read_link(link).unwrap()).unwrap();
        assert!(listening(Path::new("/proc/self")).contains(&inode));
        // Other tests of this process may listen as well.
        let reload = Reload { process: "/proc/self".into(), before: BTreeSet::from([inode]) };
        assert!(!reload.is_done());
        let _second = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!reload.is_done(), "it listens on the old one yet");
        drop(first);
        assert!(reload.is_done());
    }

    #[test]
    fn who_listens_on_nothing_or_is_gone_is_not_waited_for() {
        let none = Reload { process: "/proc/self".into(), before: BTreeSet::new() };
        assert!(none.is_done());
        let gone = Reload { process: "/proc/0".into(), before: BTreeSet::from([1]) };
        assert!(gone.is_done());
    }

    #[test]
    fn only_sockets_that_listen_count() {
        let line = |state: &str| {
            format!(
                "   0: 00000000:0016 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0"
            )
        };
        assert_eq!(listener(&line("0A")), Some(4711));
        assert_eq!(listener(&line("01")), None);
        assert_eq!(listener("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(socket(Path::new("socket:[12]")), Some(12));
        assert_eq!(socket(Path::new("/dev/null")), None);
    }
}
