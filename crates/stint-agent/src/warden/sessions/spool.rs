//! What cron and at keep for an account: work that is to run when the window is long over.
//!
//! An account that lives by grants alone and has none left is not to keep any. PAM denies cron and at for it, but a later grant would
//! let an old job run under rights that were never meant for it. So what was put there in the window is taken out, and a copy of it is
//! kept where only root reads. The thin rule for "in the window" is the time of the file's last change (ctime), which its owner cannot set:
//! a change after the first of the account's windows that ran into this end. What is older stood before, and is only named.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use stint_grant::ids::{GrantId, UserName};
use stint_grant::words::printable;

use crate::warden::files;

/// One crontab for each account, with the account's name: Debian, SUSE, Red Hat.
const CRONTABS: [&str; 3] = ["var/spool/cron/crontabs", "var/spool/cron/tabs", "var/spool/cron"];
/// One file for each job, of the account's own: Debian, SUSE, Red Hat.
const AT_JOBS: [&str; 3] = ["var/spool/cron/atjobs", "var/spool/atjobs", "var/spool/at"];
/// The largest file of which a copy is kept.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Of one account, at most: more are named by the receipt as left.
const MAX_JOBS: usize = 1000;
/// The clock of files is coarse, and a window begins with a whole second.
const SLACK: Duration = Duration::from_secs(2);

/// The host's spools, and the folder for copies.
#[derive(Clone, Debug)]
pub(super) struct Spools {
    root: PathBuf,
    quarantine: PathBuf,
}

/// Whose work is taken out, and on what ground.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    /// The account.
    pub(super) user: &'a UserName,
    /// Its uid.
    pub(super) uid: u32,
    /// The grant that ended.
    pub(super) grant: &'a GrantId,
    /// How long ago the window began; `None` if that is not known.
    pub(super) window: Option<Duration>,
}

/// What became of it, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cleared {
    /// Taken out; says where the copy is.
    pub(super) removed: Vec<String>,
    /// Left on purpose.
    pub(super) reported: Vec<String>,
    /// Should have been taken out, and was not.
    pub(super) failed: Vec<String>,
}

impl Spools {
    /// Below a root; copies go into the other folder.
    pub(super) fn at(root: impl Into<PathBuf>, quarantine: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), quarantine: quarantine.into() }
    }

    /// Takes out what an account has.
    pub(super) fn clear(&self, owner: &Owner<'_>) -> Cleared {
        let mut cleared = Cleared::default();
        for folder in CRONTABS {
            self.one_folder(folder, "crontab", owner, &mut cleared, |name| name == owner.user.as_str());
        }
        for folder in AT_JOBS {
            // A job that runs begins with `=`, one that waits with the letter of its queue. `.SEQ` is the counter.
            self.one_folder(folder, "at job", owner, &mut cleared, |name| !name.starts_with('.'));
        }
        cleared
    }

    fn one_folder(
        &self,
        folder: &str,
        what: &str,
        owner: &Owner<'_>,
        cleared: &mut Cleared,
        wanted: impl Fn(&str) -> bool,
    ) {
        let path = self.root.join(folder);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut open = match Dir::open(&path, flags, Mode::empty()) {
            Ok(open) => open,
            // A host without cron or at.
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR) => return,
            Err(error) => {
                cleared.failed.push(format!("{} cannot be looked at: {error}", path.display()));
                return;
            }
        };
        let names: Vec<String> = open
            .iter()
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned()))
            .filter(|name| name != "." && name != ".." && wanted(name))
            .collect();
        let mut jobs = 0;
        for name in names {
            let words = format!("{what} {}", printable(&path.join(&name).display().to_string()));
            match self.one_file(&open, &name, owner, jobs) {
                Ok(Outcome::NotTheirs) => continue,
                Ok(Outcome::Older) => cleared.reported.push(format!("{words} stood before the window")),
                Ok(Outcome::Taken(copy)) => {
                    cleared.removed.push(format!("{words}; a copy is {}", copy.display()));
                }
                Err(error) => cleared.failed.push(format!("{words} was not taken out: {error}")),
            }
            jobs += 1;
        }
    }

    fn one_file(&self, folder: &Dir, name: &str, owner: &Owner<'_>, jobs: usize) -> io::Result<Outcome> {
        // Never a link, a fifo that would wait, or another file than the one that is looked at.
        let flags =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = match openat(folder.as_fd(), name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            // A link, or gone meanwhile: neither cron nor at runs it.
            Err(nix::Error::ELOOP | nix::Error::ENOENT | nix::Error::ENXIO) => return Ok(Outcome::NotTheirs),
            Err(error) => return Err(error.into()),
        };
        let seen = file.metadata()?;
        if !seen.is_file() || seen.uid() != owner.uid {
            return Ok(Outcome::NotTheirs);
        }
        if !changed_within(seen.ctime(), owner.window) {
            return Ok(Outcome::Older);
        }
        if jobs >= MAX_JOBS {
            return Err(io::Error::other(format!("it has more than {MAX_JOBS}")));
        }
        let copy = self.keep(file, name, owner)?;
        // Still the file that was read: nobody has put another one in its place.
        let now = fstatat(folder.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if (now.st_dev, now.st_ino) != (seen.dev(), seen.ino()) {
            return Err(io::Error::other("it was replaced while it was looked at"));
        }
        unlinkat(folder.as_fd(), name, UnlinkatFlags::NoRemoveDir)?;
        Ok(Outcome::Taken(copy))
    }

    /// Copies: the spool and our folder are two mounts for the warden, so a rename does not do.
    fn keep(&self, file: File, name: &str, owner: &Owner<'_>) -> io::Result<PathBuf> {
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("no copy can be kept: it has more than {MAX_BYTES} bytes")));
        }
        let folder = self.quarantine.join(owner.grant.as_str());
        for folder in [&self.quarantine, &folder] {
            files::ensure_dir(folder, 0o700).map_err(io::Error::other)?;
        }
        let copy = free_name(&folder, &printable(name));
        files::replace(&copy, &bytes, 0o600).map_err(io::Error::other)?;
        Ok(copy)
    }
}

enum Outcome {
    /// Another account's, or none that cron or at would run.
    NotTheirs,
    /// It stood before the window.
    Older,
    /// It is out, and the copy is here.
    Taken(PathBuf),
}

/// Both times are of the same wall clock, so that it may be wrong.
pub(super) fn changed_within(ctime: i64, window: Option<Duration>) -> bool {
    let Some(window) = window else { return false };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let age = i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(ctime);
    // A change in the future: the clock was set back since.
    u64::try_from(age).map_or(true, |age| age <= (window + SLACK).as_secs())
}

/// Another attempt, or another spool, may have kept one of the same name.
fn free_name(folder: &Path, name: &str) -> PathBuf {
    let numbered = (1..).map(|n| folder.join(format!("{name}.{n}")));
    std::iter::once(folder.join(name)).chain(numbered).find(|path| !path.exists()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOUR: Option<Duration> = Some(Duration::from_hours(1));

    struct Host {
        root: tempfile::TempDir,
        user: UserName,
        grant: GrantId,
    }

    /// A host on which the account that runs the test is alice.
    fn host() -> Host {
        let root = tempfile::tempdir().unwrap();
        for folder in ["var/spool/cron/crontabs", "var/spool/cron/atjobs"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        Host { root, user: UserName::new("alice").unwrap(), grant: GrantId::new("aaaabbbbcccc").unwrap() }
    }

    impl Host {
        fn put(&self, path: &str, text: &str) -> PathBuf {
            let path = self.root.path().join("var/spool/cron").join(path);
            fs::write(&path, text).unwrap();
            path
        }
        fn clear(&self, uid: u32, window: Option<Duration>) -> Cleared {
            let spools = Spools::at(self.root.path(), self.root.path().join("quarantine"));
            spools.clear(&Owner { user: &self.user, uid, grant: &self.grant, window })
        }
        fn copy(&self, name: &str) -> PathBuf {
            self.root.path().join("quarantine/aaaabbbbcccc").join(name)
        }
    }

    fn me() -> u32 {
        nix::unistd::getuid().as_raw()
    }

    #[test]
    fn jobs_and_the_crontab_of_the_account_are_taken_out_and_a_copy_is_kept() {
        let host = host();
        let (crontab, job) =
            (host.put("crontabs/alice", "* * * * * x\n"), host.put("atjobs/a0001", "#!/bin/sh\n"));
        let (other, counter) = (host.put("crontabs/bob", "y\n"), host.put("atjobs/.SEQ", "1"));
        let cleared = host.clear(me(), HOUR);
        assert_eq!(cleared.removed.len(), 2, "{cleared:?}");
        assert!(cleared.reported.is_empty() && cleared.failed.is_empty(), "{cleared:?}");
        assert!(!crontab.exists() && !job.exists() && other.exists() && counter.exists());
        assert_eq!(fs::read_to_string(host.copy("alice")).unwrap(), "* * * * * x\n");
        assert_eq!(fs::read_to_string(host.copy("a0001")).unwrap(), "#!/bin/sh\n");
        let folder = fs::metadata(host.root.path().join("quarantine")).unwrap();
        assert_eq!(folder.mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(host.copy("a0001")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(host.clear(me(), HOUR), Cleared::default());
    }

    #[test]
    fn a_second_copy_does_not_replace_the_first() {
        let host = host();
        for text in ["one", "two"] {
            host.put("crontabs/alice", text);
            assert_eq!(host.clear(me(), HOUR).removed.len(), 1);
        }
        assert_eq!(fs::read_to_string(host.copy("alice")).unwrap(), "one");
        assert_eq!(fs::read_to_string(host.copy("alice.1")).unwrap(), "two");
    }

    #[test]
    fn files_of_another_account_stay() {
        let host = host();
        let (crontab, job) = (host.put("crontabs/alice", "x"), host.put("atjobs/a0001", "x"));
        assert_eq!(host.clear(me().wrapping_add(1), HOUR), Cleared::default());
        assert!(crontab.exists() && job.exists());
    }

    #[test]
    fn what_stood_before_the_window_is_named_and_stays() {
        let host = host();
        let crontab = host.put("crontabs/alice", "x");
        // Without a window nothing can be in it.
        let cleared = host.clear(me(), None);
        assert!(cleared.removed.is_empty() && cleared.failed.is_empty(), "{cleared:?}");
        assert!(matches!(&cleared.reported[..], [one] if one.ends_with("stood before the window")));
        assert!(crontab.exists());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
        assert!(!changed_within(now - 3605, HOUR));
        assert!(changed_within(now - 3590, HOUR));
        assert!(changed_within(now + 600, HOUR), "the clock was set back");
    }

    #[test]
    fn links_folders_and_fifos_lead_nowhere() {
        let host = host();
        let target = host.root.path().join("precious");
        fs::write(&target, "precious").unwrap();
        let spool = host.root.path().join("var/spool/cron");
        std::os::unix::fs::symlink(&target, spool.join("crontabs/alice")).unwrap();
        nix::unistd::mkfifo(&spool.join("atjobs/a0001"), Mode::S_IRWXU).unwrap();
        fs::create_dir(spool.join("atjobs/a0002")).unwrap();
        assert_eq!(host.clear(me(), HOUR), Cleared::default());
        assert_eq!(fs::read_to_string(target).unwrap(), "precious");
        // A spool that is a link is not the host's own.
        fs::remove_dir_all(spool.join("crontabs")).unwrap();
        std::os::unix::fs::symlink(host.root.path(), spool.join("crontabs")).unwrap();
        fs::write(host.root.path().join("alice"), "mine").unwrap();
        let cleared = host.clear(me(), HOUR);
        assert!(cleared.removed.is_empty(), "{cleared:?}");
        assert!(host.root.path().join("alice").exists());
    }

    #[test]
    fn what_is_too_large_to_keep_is_not_taken_out_in_silence() {
        let host = host();
        let job = host.put("atjobs/a0001", "");
        File::options().write(true).open(&job).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let cleared = host.clear(me(), HOUR);
        assert!(matches!(&cleared.failed[..], [one] if one.contains("a0001")), "{cleared:?}");
        assert!(job.exists());
    }

    #[test]
    fn a_host_without_cron_and_at_has_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (user, grant) = (UserName::new("alice").unwrap(), GrantId::new("aaaabbbbcccc").unwrap());
        let owner = Owner { user: &user, uid: me(), grant: &grant, window: HOUR };
        assert_eq!(Spools::at(root.path(), root.path()).clear(&owner), Cleared::default());
    }
}
