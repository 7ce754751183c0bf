//! Making and ending an account, as the hand does it: each step can be done again after a crash at any point, and nothing that the
//! account's owner placed (a symlink, a mount, a deep tree) leads out of its home.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use stint_grant::ids::{GrantId, UserName};
use stint_grant::rights::account::HomeEnd;
use stint_grant::words::printable;

use super::found::Found;
use super::hand::{tool, tool_within, words};
use crate::warden::files;
use crate::warden::residue::mounts::mount_points;

/// No home takes longer to be removed or put away.
const HOME_BOUND: Duration = Duration::from_mins(1);
/// Where cron keeps the tables of accounts, by the account's name.
const CRONTABS: &[&str] = &["var/spool/cron/crontabs", "var/spool/cron"];
/// Where at keeps jobs, known by their owner.
const AT_JOBS: &[&str] = &["var/spool/cron/atjobs", "var/spool/at"];
/// Files by the account's name.
const BY_NAME: &[&str] = &["var/mail", "var/spool/mail", "var/lib/systemd/linger"];

/// The places of the host.
pub(super) struct Host {
    /// `/`, or another root in tests.
    pub(super) root: PathBuf,
    /// Where archives go.
    pub(super) archive: PathBuf,
}

/// An account that is to be made, or ended.
pub(super) struct Who<'a> {
    pub(super) user: &'a UserName,
    pub(super) uid: u32,
    pub(super) grant: &'a GrantId,
}

impl Host {
    fn etc(&self) -> PathBuf {
        self.root.join("etc")
    }
    fn home(&self, who: &Who<'_>) -> PathBuf {
        self.root.join("home").join(who.user.as_str())
    }
    /// Not yet, or no more, the account's: only root looks in there.
    fn aside(&self, who: &Who<'_>, what: &str) -> PathBuf {
        self.root.join("home").join(format!(".stint-{}-{}.{what}", who.user, who.grant))
    }
    fn found(&self) -> Result<Found, String> {
        Found::read(&self.etc()).map_err(|e| e.to_string())
    }
    /// Whether the account stands. Another one of that name is an error: it is not touched.
    fn stands(&self, who: &Who<'_>) -> Result<bool, String> {
        match self.found()?.user(who.user.as_str()) {
            None => Ok(false),
            Some(standing) if standing.uid == who.uid => Ok(true),
            Some(other) => {
                Err(format!("an account {} with uid {} stands: it is not ours", who.user, other.uid))
            }
        }
    }

    /// Makes the account: its home beside its place first, then the account, then the home into its place.
    pub(super) fn make(&self, who: &Who<'_>, shell: &str, keys: &[String]) -> Result<(), String> {
        let stands = self.stands(who)?;
        let home = self.home(who);
        match fs::symlink_metadata(&home) {
            Ok(metadata) if stands && metadata.is_dir() && metadata.uid() == who.uid => return Ok(()),
            Ok(_) => return Err(format!("{} stands and is not the account's: move it away", home.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", home.display())),
        }
        if !self.root.join(shell.trim_start_matches('/')).is_file() {
            return Err(format!("its shell {shell} is not on this host"));
        }
        if !stands {
            if self.found()?.users.iter().any(|user| user.uid == who.uid) {
                return Err(format!("uid {} is somebody else's", who.uid));
            }
            let (uid, comment) = (who.uid.to_string(), format!("stint grant {}", who.grant));
            let place = format!("/home/{}", who.user);
            let said = tool(
                "useradd",
                &[
                    "--no-log-init",
                    "--no-create-home",
                    "--user-group",
                    "--uid",
                    &uid,
                    "--home-dir",
                    &place,
                    "--shell",
                    shell,
                    "--comment",
                    &comment,
                    "--",
                    who.user.as_str(),
                ],
            )?;
            if !self.stands(who)? {
                return Err(format!("useradd made no account: {}", words(&said)));
            }
        }
        let gid = self.found()?.user(who.user.as_str()).map_or(who.uid, |user| user.gid);
        let new = self.aside(who, "new");
        Self::discard(&new)?;
        self.furnish(&new, keys)?;
        let owner = format!("{}:{gid}", who.uid);
        let path = new.to_string_lossy();
        let said = tool("chown", &["-R", "--no-dereference", &owner, "--", &path])?;
        if !said.ok {
            return Err(format!("the home could not be given to the account: {}", words(&said)));
        }
        fs::rename(&new, &home).map_err(|e| format!("{}: {e}", home.display()))?;
        files::sync_parent(&home).map_err(|e| e.to_string())
    }

    /// A home with what the host gives to everybody, and the keys.
    fn furnish(&self, new: &Path, keys: &[String]) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{}: {e}", new.display());
        DirBuilder::new().mode(0o700).create(new).map_err(failed)?;
        let skeleton = self.etc().join("skel");
        if skeleton.is_dir() {
            let from = skeleton.join(".");
            let said = tool("cp", &["-a", "--", &from.to_string_lossy(), &new.to_string_lossy()])?;
            if !said.ok {
                return Err(format!("the home could not be furnished: {}", words(&said)));
            }
        }
        // cp gives the folder the skeleton's mode.
        fs::set_permissions(new, Permissions::from_mode(0o700)).map_err(failed)?;
        let ssh = new.join(".ssh");
        if !ssh.exists() {
            DirBuilder::new().mode(0o700).create(&ssh).map_err(failed)?;
        }
        let lines = keys.iter().fold(String::new(), |lines, key| lines + key + "\n");
        files::replace(&ssh.join("authorized_keys"), lines.as_bytes(), 0o600).map_err(|e| e.to_string())
    }

    /// Ends the account: first it, then what is left of it. Says what became of its home.
    pub(super) fn end(&self, who: &Who<'_>, how: HomeEnd) -> Result<String, String> {
        if self.stands(who)? {
            let said = tool("userdel", &["--", who.user.as_str()])?;
            if self.stands(who)? {
                return Err(format!("userdel did not remove the account: {}", words(&said)));
            }
        }
        // Its own group, where userdel leaves it.
        let group = self.found()?.group(who.user.as_str()).filter(|g| g.members.is_empty()).map(|g| g.gid);
        if group == Some(who.uid) {
            tool("groupdel", &["--", who.user.as_str()])?;
        }
        self.forget_jobs(who)?;
        Self::discard(&self.aside(who, "new"))?;
        self.end_home(who, how)
    }

    fn end_home(&self, who: &Who<'_>, how: HomeEnd) -> Result<String, String> {
        let (home, old) = (self.home(who), self.aside(who, "old"));
        match fs::symlink_metadata(&home) {
            Ok(metadata) if metadata.is_dir() && metadata.uid() == who.uid => {
                refuse_mounts(&home)?;
                // From here on no path of the account's leads there.
                fs::rename(&home, &old).map_err(|e| format!("{}: {e}", home.display()))?;
                files::sync_parent(&old).map_err(|e| e.to_string())?;
            }
            Ok(_) => return Ok(format!("{} was not the account's and is left", home.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", home.display())),
        }
        if fs::symlink_metadata(&old).is_err() {
            return Ok("the home is gone".to_owned());
        }
        let failed = |e: std::io::Error| format!("{}: {e}", old.display());
        chown(&old, Some(0), Some(0)).map_err(failed)?;
        fs::set_permissions(&old, Permissions::from_mode(0o700)).map_err(failed)?;
        match how {
            HomeEnd::Remove => Self::discard(&old).map(|()| "the home is removed".to_owned()),
            HomeEnd::Archive => match self.pack(who, &old) {
                Ok(archive) => {
                    Self::discard(&old)?;
                    Ok(format!("the home is in {}", archive.display()))
                }
                Err(why) => {
                    let kept = self.keep(who, &old)?;
                    Ok(format!("the home could not be archived ({why}) and is left as {}", kept.display()))
                }
            },
            HomeEnd::Keep => Ok(format!("the home is left as {}", self.keep(who, &old)?.display())),
        }
    }

    fn keep(&self, who: &Who<'_>, old: &Path) -> Result<PathBuf, String> {
        let kept = self.root.join("home").join(format!("{}.{}", who.user, who.grant));
        fs::rename(old, &kept).map_err(|e| format!("{}: {e}", kept.display()))?;
        Ok(kept)
    }

    /// One file for one home. What is in it is neither followed nor opened but for plain files.
    fn pack(&self, who: &Who<'_>, old: &Path) -> Result<PathBuf, String> {
        files::ensure_dir(&self.archive, 0o700).map_err(|e| e.to_string())?;
        let archive = self.archive.join(format!("{}-{}.tar", who.user, who.grant));
        if archive.is_file() {
            return Ok(archive);
        }
        let temporary = archive.with_extension("part");
        files::remove(&temporary).map_err(|e| e.to_string())?;
        let (to, from) = (temporary.to_string_lossy(), old.to_string_lossy());
        let arguments = [
            "--create",
            "--sparse",
            "--one-file-system",
            "--numeric-owner",
            "--file",
            &to,
            "--directory",
            &from,
            ".",
        ];
        let packed = tool_within(HOME_BOUND, "tar", &arguments)
            .and_then(|said| if said.ok { Ok(()) } else { Err(format!("tar: {}", words(&said))) });
        let whole = packed.and_then(|()| {
            fs::File::open(&temporary).and_then(|file| file.sync_all()).map_err(|e| e.to_string())?;
            fs::rename(&temporary, &archive).map_err(|e| e.to_string())?;
            files::sync_parent(&archive).map_err(|e| e.to_string())
        });
        if let Err(why) = whole {
            files::remove(&temporary).map_err(|e| e.to_string())?;
            return Err(why);
        }
        Ok(archive)
    }

    /// Removes a folder of ours with all that is in it. The host's own tool does not follow what is in it, however deep it is.
    fn discard(path: &Path) -> Result<(), String> {
        if fs::symlink_metadata(path).is_err() {
            return Ok(());
        }
        refuse_mounts(path)?;
        let said =
            tool_within(HOME_BOUND, "rm", &["-r", "-f", "--one-file-system", "--", &path.to_string_lossy()])?;
        match fs::symlink_metadata(path) {
            Err(_) => files::sync_parent(path).map_err(|e| e.to_string()),
            Ok(_) => Err(format!("{} could not be removed: {}", path.display(), words(&said))),
        }
    }

    /// What would run, or lie, in the account's name later on.
    fn forget_jobs(&self, who: &Who<'_>) -> Result<(), String> {
        for folder in CRONTABS.iter().chain(BY_NAME) {
            let path = self.root.join(folder).join(who.user.as_str());
            if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_dir()) {
                files::remove(&path).map_err(|e| e.to_string())?;
            }
        }
        for folder in AT_JOBS {
            let Ok(entries) = fs::read_dir(self.root.join(folder)) else { continue };
            for entry in entries.flatten() {
                let mine = fs::symlink_metadata(entry.path())
                    .is_ok_and(|metadata| metadata.is_file() && metadata.uid() == who.uid);
                if mine {
                    files::remove(&entry.path()).map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(())
    }
}

/// A file system that is mounted in a home is somebody's: it is neither removed nor packed.
fn refuse_mounts(path: &Path) -> Result<(), String> {
    let table = fs::read("/proc/self/mountinfo").map_err(|e| format!("the mounts cannot be read: {e}"))?;
    match mounted_within(&table, path) {
        Some(place) => {
            Err(format!("a file system is mounted at {}: unmount it", printable(&place.to_string_lossy())))
        }
        None => Ok(()),
    }
}

/// The first mount at or below a path.
fn mounted_within(table: &[u8], path: &Path) -> Option<PathBuf> {
    mount_points(table).find(|place| place.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_in_the_home_is_seen_whatever_its_name() {
        let table = b"22 1 0:20 / / rw - ext4 /dev/a rw\n\
                     40 22 0:41 / /home/alice-tmp/my\\040share rw - fuse x rw\n\
                     41 22 0:42 / /home/alice-tmp2 rw - ext4 /dev/b rw\n\
                     42 22 0:43 / /home/bob/\xff rw - fuse x rw\n";
        let found = |path: &str| mounted_within(table, Path::new(path));
        assert_eq!(found("/home/alice-tmp").as_deref(), Some(Path::new("/home/alice-tmp/my share")));
        assert_eq!(found("/home/alice-tmp2").as_deref(), Some(Path::new("/home/alice-tmp2")));
        assert!(found("/home/bob").is_some(), "a name that is no text");
        assert_eq!(found("/home/alice"), None);
    }
}
