//! A host in a folder.
//!
//! - `root=DIR`: absolute paths begin here; accounts come from `DIR/etc/passwd`, the login uid from `DIR/proc/self/loginuid`, the real
//!   uid from `DIR/real-uid`.
//! - `nss`: accounts come from the machine after all (for the benchmark).
//! - `panic`: panics. `panic-again`: then once more.

use std::path::{Path, PathBuf};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Uid, User};
use stint_grant::time::{ClockReading, UnixTime};

use crate::host::{Account, Host};

/// A host in a folder.
#[derive(Clone, Debug)]
pub struct FolderHost {
    base: PathBuf,
    nss: bool,
}

/// The host, given the words of the PAM line that are no words of [`crate::line`].
pub fn open(words: &[String]) -> Result<FolderHost, String> {
    let mut host = FolderHost { base: PathBuf::from("/nowhere"), nss: false };
    for word in words {
        match word.as_str() {
            "panic" | "panic-again" => panic!("a panic that a test asked for"),
            "nss" => host.nss = true,
            other => match other.strip_prefix("root=") {
                Some(dir) => host.base = PathBuf::from(dir),
                None => return Err(format!("unknown argument {other:?}")),
            },
        }
    }
    Ok(host)
}

/// The host, whatever the words are.
pub fn anyway(words: &[String]) -> FolderHost {
    let dir = words.iter().find_map(|word| word.strip_prefix("root="));
    assert!(!words.iter().any(|word| word == "panic-again"), "a second panic that a test asked for");
    FolderHost { base: PathBuf::from(dir.unwrap_or("/nowhere")), nss: false }
}

impl FolderHost {
    fn find(&self, matches: impl Fn(&Account) -> bool) -> Result<Option<Account>, String> {
        let passwd = std::fs::read_to_string(self.base.join("etc/passwd")).map_err(|e| e.to_string())?;
        let account = |line: &str| {
            let mut fields = line.split(':');
            let (name, _, uid) = (fields.next()?, fields.next()?, fields.next()?);
            Some(Account { name: name.to_owned(), uid: uid.parse().ok()? })
        };
        Ok(passwd.lines().filter_map(account).find(matches))
    }
    fn number(&self, path: &str) -> Option<u32> {
        std::fs::read_to_string(self.base.join(path)).ok()?.trim().parse().ok()
    }
}

impl Host for FolderHost {
    fn base(&self) -> &Path {
        &self.base
    }
    fn socket(&self, path: &str) -> PathBuf {
        self.base.join(path.trim_start_matches('/'))
    }
    fn account(&self, name: &str) -> Result<Option<Account>, String> {
        if self.nss {
            let user = User::from_name(name).map_err(|e| e.to_string())?;
            return Ok(user.map(|u| Account { name: u.name, uid: u.uid.as_raw() }));
        }
        self.find(|account| account.name == name)
    }
    fn account_of(&self, uid: u32) -> Result<Option<Account>, String> {
        self.find(|account| account.uid == uid)
    }
    fn real_uid(&self) -> u32 {
        self.number("real-uid").unwrap_or_else(|| Uid::current().as_raw())
    }
    fn login_uid(&self) -> Option<u32> {
        self.number("proc/self/loginuid").filter(|uid| *uid != u32::MAX)
    }
    fn cgroups(&self) -> Option<String> {
        std::fs::read_to_string(self.base.join("proc/self/cgroup")).ok()
    }
    fn clock(&self) -> Result<ClockReading, String> {
        let read = |clock| clock_gettime(clock).map_err(|e| e.to_string());
        let (wall, boot) = (read(ClockId::CLOCK_REALTIME)?, read(ClockId::CLOCK_BOOTTIME)?);
        let boot_id =
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|e| e.to_string())?;
        Ok(ClockReading {
            wall: UnixTime(wall.tv_sec()),
            boottime_ms: (boot.tv_sec() * 1000 + boot.tv_nsec() / 1_000_000).unsigned_abs(),
            boot_id: boot_id.trim().to_owned(),
        })
    }
}
