//! The host that the module runs on. Nothing can point it elsewhere: no argument, no environment.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Uid, User};
use stint_grant::time::{ClockReading, UnixTime};

use crate::files::uninterrupted;
use crate::host::{Account, Host};

/// This very host.
#[derive(Clone, Copy, Debug)]
pub struct ThisHost;

/// The host, given the words of the PAM line that are no words of [`crate::line`]: there must be none.
pub fn open(words: &[String]) -> Result<ThisHost, String> {
    match words.first() {
        None => Ok(ThisHost),
        Some(word) => Err(format!("unknown argument {word:?}")),
    }
}

/// The host, whatever the words are: for [`crate::rescue`].
pub fn anyway(_: &[String]) -> ThisHost {
    ThisHost
}

impl Host for ThisHost {
    fn base(&self) -> &Path {
        Path::new("/")
    }
    fn socket(&self, path: &str) -> PathBuf {
        PathBuf::from(path)
    }
    fn account(&self, name: &str) -> Result<Option<Account>, String> {
        entry(uninterrupted(|| User::from_name(name)))
    }
    fn account_of(&self, uid: u32) -> Result<Option<Account>, String> {
        entry(uninterrupted(|| User::from_uid(Uid::from_raw(uid))))
    }
    fn real_uid(&self) -> u32 {
        Uid::current().as_raw()
    }
    fn login_uid(&self) -> Option<u32> {
        login_uid(&std::fs::read_to_string("/proc/self/loginuid").ok()?)
    }
    fn cgroups(&self) -> Option<String> {
        std::fs::read_to_string("/proc/self/cgroup").ok()
    }
    fn clock(&self) -> Result<ClockReading, String> {
        read_clock()
    }
}

/// A passwd entry as it came from NSS.
pub fn entry(found: nix::Result<Option<User>>) -> Result<Option<Account>, String> {
    match found {
        Ok(user) => Ok(user.map(|u| Account { name: u.name, uid: u.uid.as_raw() })),
        Err(error) => Err(error.desc().to_owned()),
    }
}

/// Reads `/proc/self/loginuid`; the highest uid means that it was never set.
pub fn login_uid(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

/// Reads the kernel's clocks and the id of this boot.
pub fn read_clock() -> Result<ClockReading, String> {
    let read = |clock| clock_gettime(clock).map_err(|e| format!("a clock cannot be read: {}", e.desc()));
    let (wall, boot) = (read(ClockId::CLOCK_REALTIME)?, read(ClockId::CLOCK_BOOTTIME)?);
    let millis = boot.tv_sec().saturating_mul(1000).saturating_add(boot.tv_nsec() / 1_000_000);
    let mut boot_id = [0; 64];
    let length = File::open("/proc/sys/kernel/random/boot_id")
        .and_then(|mut file| file.read(&mut boot_id))
        .map_err(|e| format!("the boot's id cannot be read: {e}"))?;
    let boot_id = String::from_utf8_lossy(boot_id.get(..length).unwrap_or_default());
    Ok(ClockReading {
        wall: UnixTime(wall.tv_sec()),
        boottime_ms: u64::try_from(millis).map_err(|_| "the boot clock is negative".to_owned())?,
        boot_id: boot_id.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_left_over_is_refused() {
        assert_eq!(open(&["root=/tmp".to_owned()]).unwrap_err(), "unknown argument \"root=/tmp\"");
    }

    #[test]
    fn a_loginuid_that_was_never_set_is_none() {
        assert_eq!(login_uid("4294967295"), None);
        assert_eq!(login_uid("1000\n"), Some(1000));
        assert_eq!(login_uid("-1"), None);
    }
}
