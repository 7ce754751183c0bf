//! Who is at the other end of a connection: the kernel's table of sockets tells the owner and the socket's number, and the number is found
//! among the open files of a process.
//!
//! The warden has no network of its own; the table is read as PID 1 sees it.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where sudo may be. What it is, is told by device and inode: a link to it is followed, a copy of it is not it.
const SUDO: [&str; 2] = ["/usr/bin/sudo", "/usr/local/bin/sudo"];
/// A socket whose two ends are connected.
const ESTABLISHED: &str = "01";

/// The process at the other end: sudo, run by root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its pid.
    pub(super) pid: u32,
}

/// Why a connection is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    /// It closed before it could be looked at. No alarm: sudo itself may do so.
    #[error("it is gone")]
    Gone,
    /// Another user's.
    #[error("uid {0} connected to sudo's log server: only sudo itself may")]
    User(u32),
    /// Root's, but not sudo.
    #[error("a process of root that is not this host's sudo connected to sudo's log server")]
    NotSudo,
    /// The kernel did not tell.
    #[error("who connected to sudo's log server cannot be found out: {0}")]
    Unknown(String),
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    uid: u32,
    inode: u64,
}

/// The ends of all connections to us, by their own addresses.
#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<SocketAddrV4, Owner>);

/// Reads the table of sockets of the host.
pub(super) fn owners(receiver: SocketAddrV4) -> Result<Owners, Stranger> {
    let table = fs::read_to_string("/proc/1/net/tcp")
        .map_err(|e| Stranger::Unknown(format!("/proc/1/net/tcp: {e}")))?;
    Ok(Owners::read(&table, receiver))
}

impl Owners {
    fn read(table: &str, receiver: SocketAddrV4) -> Self {
        Self(table.lines().skip(1).filter_map(|line| entry(line, receiver)).collect())
    }

    /// Root's socket at the other end. Who has it, [`find`] tells.
    pub(super) fn root_s(&self, peer: SocketAddrV4) -> Result<u64, Stranger> {
        match self.0.get(&peer) {
            None => Err(Stranger::Gone),
            Some(Owner { uid: 0, inode }) => Ok(*inode),
            Some(Owner { uid, .. }) => Err(Stranger::User(*uid)),
        }
    }
}

/// `sl local remote state queues timer retransmits uid timeout inode ...`, addresses and ports in hex.
fn entry(line: &str, receiver: SocketAddrV4) -> Option<(SocketAddrV4, Owner)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [local, remote, state, uid, inode] = [1, 2, 3, 7, 9].map(|n| fields.get(n).copied());
    let (local, remote) = (address(local?)?, address(remote?)?);
    let inode = inode?.parse().ok()?;
    // A socket that nobody holds any more has inode 0, and its owner is shown as root.
    let counts = remote == receiver && state? == ESTABLISHED && inode != 0;
    counts.then_some((local, Owner { uid: uid?.parse().ok()?, inode }))
}

/// The kernel prints the address as a number of the machine's byte order, the port as a plain one.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?;
    Some(SocketAddrV4::new(ip.to_ne_bytes().into(), u16::from_str_radix(port, 16).ok()?))
}

/// The sudo that holds a socket.
pub(super) fn find(inode: u64) -> Result<Peer, Stranger> {
    let programs: Vec<_> = SUDO.iter().filter_map(|path| identity(Path::new(path))).collect();
    find_among(Path::new("/proc"), inode, &programs)
}

fn find_among(proc: &Path, inode: u64, programs: &[(u64, u64)]) -> Result<Peer, Stranger> {
    let entries = fs::read_dir(proc).map_err(|e| Stranger::Unknown(format!("/proc: {e}")))?;
    let mut pids: Vec<u32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    // It has just begun: the newest first.
    pids.sort_unstable_by(|a, b| b.cmp(a));
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    let is_sudo = |pid: &u32| {
        let exe = identity(&proc.join(pid.to_string()).join("exe"));
        exe.is_some_and(|exe| programs.contains(&exe))
    };
    let holds = |pid: &u32| {
        let Ok(files) = fs::read_dir(proc.join(pid.to_string()).join("fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == wanted))
    };
    let pid = pids.into_iter().filter(is_sudo).find(holds);
    pid.map(|pid| Peer { pid }).ok_or(Stranger::NotSudo)
}

fn identity(program: &Path) -> Option<(u64, u64)> {
    fs::metadata(program).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const RECEIVER: &str = "127.0.0.1:343";
    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0157 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 500 1 0 100 0 0 10 0
   1: 0100007F:A001 0100007F:0157 01 00000000:00000000 00:00000000 00000000     0        0 501 1 0 20 4 30 10 -1
   2: 0100007F:A002 0100007F:0157 01 00000000:00000000 00:00000000 00000000  1000        0 502 1 0 20 4 30 10 -1
   3: 0100007F:A003 0100007F:0157 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   4: 0100007F:A004 0100007F:0157 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0
   5: 0100007F:A005 0100007F:0158 01 00000000:00000000 00:00000000 00000000     0        0 505 1 0 20 4 30 10 -1
   6: 0100007F:0157 0100007F:A002 01 00000000:00000000 00:00000000 00000000     0        0 506 1 0 20 4 30 10 -1
   7: broken
";

    fn owner(port: u16) -> Result<u64, Stranger> {
        let peer = SocketAddrV4::new([127, 0, 0, 1].into(), port);
        Owners::read(TABLE, RECEIVER.parse().unwrap()).root_s(peer)
    }

    #[test]
    fn root_s_end_is_told_from_another_user_s() {
        assert_eq!(owner(0xa001), Ok(501));
        assert_eq!(owner(0xa002), Err(Stranger::User(1000)));
    }

    #[test]
    fn an_end_that_nobody_holds_any_more_is_nobody_s_though_the_kernel_says_root() {
        assert_eq!(owner(0xa003), Err(Stranger::Gone));
        assert_eq!(owner(0xa004), Err(Stranger::Gone));
    }

    #[test]
    fn connections_to_others_and_our_own_ends_do_not_count() {
        assert_eq!(owner(0xa005), Err(Stranger::Gone));
        assert_eq!(owner(343), Err(Stranger::Gone));
    }

    #[test]
    fn only_a_process_that_runs_sudo_itself_is_sudo() {
        let proc = tempfile::tempdir().unwrap();
        let programs = tempfile::tempdir().unwrap();
        let (sudo, copy) = (programs.path().join("sudo"), programs.path().join("copy/sudo"));
        fs::create_dir(programs.path().join("copy")).unwrap();
        fs::write(&sudo, "x").unwrap();
        fs::write(&copy, "x").unwrap();
        let process = |pid: u32, exe: &Path, inode: u64| {
            let dir = proc.path().join(pid.to_string());
            fs::create_dir_all(dir.join("fd")).unwrap();
            symlink(exe, dir.join("exe")).unwrap();
            symlink(format!("socket:[{inode}]"), dir.join("fd/5")).unwrap();
        };
        process(10, &sudo, 501);
        process(11, &copy, 502);
        process(12, &copy, 501);
        let known = [identity(&sudo).unwrap()];
        assert_eq!(find_among(proc.path(), 501, &known), Ok(Peer { pid: 10 }));
        assert_eq!(find_among(proc.path(), 502, &known), Err(Stranger::NotSudo));
        assert_eq!(find_among(proc.path(), 503, &known), Err(Stranger::NotSudo));
    }
}
