//! Control groups: who is in one, and killing all of it at once.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::sweep;

/// The unified hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Cgroups {
    root: PathBuf,
}

/// A group that may be killed: a session's scope, one of our own, or all of one user's. Never a service, never a slice of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Killable<'a>(&'a str);

impl<'a> Killable<'a> {
    /// The group, if it is one that may be killed.
    pub(super) fn new(path: &'a str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let shape = (parts.next(), parts.next(), parts.next(), parts.next());
        let allowed = match shape {
            (Some("stint.slice"), Some(scope), None, None) => is_unit(scope, "stint-", ".scope"),
            (Some("stint.slice"), Some(scope), Some(own), None) => {
                is_unit(scope, "stint-", ".scope") && is_unit(own, "", "")
            }
            (Some("user.slice"), Some(slice), None, None) => user_of(slice).is_some(),
            (Some("user.slice"), Some(slice), Some(scope), None) => {
                user_of(slice).is_some() && is_unit(scope, "session-", ".scope")
            }
            _ => false,
        };
        allowed.then_some(Self(path))
    }

    /// The group of what run0 runs: beside the others, a session of root's, which is nobody's grant unless run0 says whose.
    pub(super) fn of_run0(path: &'a str) -> Option<Self> {
        let of_root = path.strip_prefix("/user.slice/user-0.slice/");
        of_root
            .filter(|scope| is_unit(scope, "session-", ".scope"))
            .map(|_| Self(path))
            .or_else(|| Self::new(path))
    }

    /// Its path.
    pub(super) fn path(&self) -> &'a str {
        self.0
    }
}

/// The unit whose group this is, or that it lies in: the last part of the path, but for the groups in our own scopes.
pub(super) fn unit_of(path: &str) -> &str {
    if let Some(scope) = path.strip_prefix("/stint.slice/") {
        return scope.split('/').next().unwrap_or(scope);
    }
    path.rsplit('/').next().unwrap_or(path)
}

/// The group of all that one user runs.
pub(super) fn user_slice(uid: u32) -> String {
    format!("/user.slice/user-{uid}.slice")
}

/// Whether a group is another one or lies within it.
pub(super) fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_unit(name: &str, prefix: &str, suffix: &str) -> bool {
    let middle = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
    middle.is_some_and(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

fn user_of(slice: &str) -> Option<u32> {
    let uid = slice.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok()?;
    // Root's own sessions are nobody's grant.
    (uid != 0).then_some(uid)
}

impl Cgroups {
    /// The host's. With both hierarchies mounted, the unified one has a folder of its own.
    pub(super) fn of_the_host() -> Self {
        let unified = Path::new("/sys/fs/cgroup/unified");
        let root = if unified.join("cgroup.procs").exists() { unified } else { Path::new("/sys/fs/cgroup") };
        Self::at(root)
    }
    /// Under another root.
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The file in which the kernel says whether any process is in it or below, and which changes then.
    pub(super) fn events(&self, path: &str) -> PathBuf {
        self.file(path, "cgroup.events")
    }

    /// Whether any process is in it or below.
    pub(super) fn is_populated(&self, path: &str) -> bool {
        let events = fs::read_to_string(self.events(path));
        events.is_ok_and(|text| text.lines().any(|line| line == "populated 1"))
    }

    /// The processes in it and below.
    pub(super) fn members(&self, path: &str) -> Vec<u32> {
        let mut members = Vec::new();
        collect(&self.folder(path), &mut members);
        members
    }

    /// Whether it is there.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.folder(path).exists()
    }

    /// The processes in it, without those below.
    pub(super) fn direct_members(&self, path: &str) -> Vec<u32> {
        procs(&self.folder(path))
    }

    /// Moves a process into a new group right below one that is there.
    pub(super) fn enter(&self, path: &str, pid: u32) -> io::Result<()> {
        fs::create_dir(self.folder(path))?;
        put(&self.file(path, "cgroup.procs"), &pid.to_string()).inspect_err(|_| self.remove(path))
    }

    /// Removes a group that is empty, and the empty ones in it. One that is not stays, and goes with its scope.
    pub(super) fn remove(&self, path: &str) {
        for child in self.children(path) {
            self.remove(&child);
        }
        let _ = fs::remove_dir(self.folder(path));
    }

    /// How long its processes have run on a processor so far, in microseconds.
    pub(super) fn work_us(&self, path: &str) -> Option<u64> {
        let stat = fs::read_to_string(self.file(path, "cpu.stat")).ok()?;
        stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.parse().ok()
    }

    /// The groups right below one.
    pub(super) fn children(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder(path)) else { return Vec::new() };
        let folders = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        folders.filter_map(|e| Some(format!("{path}/{}", e.file_name().to_str()?))).collect()
    }

    /// Kills every process in it and below: in one stroke from Linux 5.14 on, else frozen first, so that nothing forks away.
    pub(super) fn kill(&self, group: &Killable<'_>) -> io::Result<()> {
        let path = group.0;
        match put(&self.file(path, "cgroup.kill"), "1") {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.folder(path).exists() => {
                self.freeze_and_kill(path)
            }
            // The group is gone: so is all that was in it.
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn freeze_and_kill(&self, path: &str) -> io::Result<()> {
        const ROUNDS: u32 = 10;
        put(&self.file(path, "cgroup.freeze"), "1")?;
        for _ in 0..ROUNDS {
            let members = self.members(path);
            if members.is_empty() {
                break;
            }
            for pid in members {
                sweep::kill_process(pid);
            }
        }
        put(&self.file(path, "cgroup.freeze"), "0")
    }

    fn folder(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
    fn file(&self, path: &str, name: &str) -> PathBuf {
        self.folder(path).join(name)
    }
}

/// Writes to a file that is there. Asked to create one, the kernel's file system would say "permission denied" instead of "not found".
fn put(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

fn procs(folder: &Path) -> Vec<u32> {
    let procs = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    procs.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0).collect()
}

fn collect(folder: &Path, members: &mut Vec<u32>) {
    members.extend(procs(folder));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        collect(&entry.path(), members);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_sessions_ours_and_a_users_slice_may_be_killed() {
        for path in [
            "/user.slice/user-1000.slice/session-92.scope",
            "/user.slice/user-1000.slice/session-c3.scope",
            "/user.slice/user-1000.slice",
            "/stint.slice/stint-aaaabbbbcccc-4711-99.scope",
        ] {
            assert!(Killable::new(path).is_some(), "{path}");
        }
    }

    #[test]
    fn services_the_root_and_slices_of_many_are_never_killed() {
        for path in [
            "/",
            "",
            "/user.slice",
            "/stint.slice",
            "/system.slice/cron.service",
            "/system.slice/ssh.service",
            "/init.scope",
            "/user.slice/user-0.slice",
            "/user.slice/user-0.slice/session-1.scope",
            "/user.slice/user-1000.slice/user@1000.service",
            "/user.slice/user-1000.slice/../../system.slice",
            "/stint.slice/..",
            "/stint.slice/stint-.scope",
            "/stint.slice/stint-a.scope/..",
            "/user.slice/user-1000.slice/session-1.scope/../..",
        ] {
            assert_eq!(Killable::new(path), None, "{path}");
        }
    }

    #[test]
    fn of_root_s_groups_only_a_session_of_run0_s_is_killed() {
        assert!(Killable::of_run0("/user.slice/user-0.slice/session-c8.scope").is_some());
        assert!(Killable::of_run0("/user.slice/user-1000.slice/session-2.scope").is_some());
        for path in [
            "/user.slice/user-0.slice",
            "/user.slice/user-0.slice/user@0.service",
            "/user.slice/user-0.slice/session-1.scope/x",
            "/user.slice/user-0.slice/session-..scope/..",
            "/system.slice/ssh.service",
        ] {
            assert_eq!(Killable::of_run0(path), None, "{path}");
        }
    }

    #[test]
    fn a_group_is_within_itself_and_its_parents_but_not_its_namesakes() {
        assert!(within("/user.slice/user-1.slice", "/user.slice/user-1.slice"));
        assert!(within("/user.slice/user-1.slice/a.scope", "/user.slice/user-1.slice"));
        assert!(!within("/user.slice/user-1.slicex", "/user.slice/user-1.slice"));
    }

    #[test]
    fn members_of_groups_below_count() {
        let root = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::at(root.path());
        let below = root.path().join("a.scope/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(root.path().join("a.scope/cgroup.procs"), "7\n8\n").unwrap();
        fs::write(below.join("cgroup.procs"), "9\n").unwrap();
        fs::write(root.path().join("a.scope/cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        assert_eq!(cgroups.members("/a.scope"), [7, 8, 9]);
        assert!(cgroups.is_populated("/a.scope"));
        assert!(!cgroups.is_populated("/gone.scope"));
    }

    #[test]
    fn where_the_kernel_cannot_kill_a_group_it_is_frozen_and_each_process_killed() {
        use std::os::unix::process::ExitStatusExt;
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("stint.slice/stint-aaaabbbbcccc-1-1.scope");
        fs::create_dir_all(&folder).unwrap();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(folder.join("cgroup.procs"), child.id().to_string()).unwrap();
        fs::write(folder.join("cgroup.freeze"), "").unwrap();
        let path = "/stint.slice/stint-aaaabbbbcccc-1-1.scope";
        Cgroups::at(root.path()).kill(&Killable::new(path).unwrap()).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert_eq!(fs::read_to_string(folder.join("cgroup.freeze")).unwrap(), "0", "thawed at the end");
        assert!(!folder.join("cgroup.kill").exists());
    }

    #[test]
    fn a_group_that_is_gone_needs_no_kill() {
        let root = tempfile::tempdir().unwrap();
        let path = "/stint.slice/stint-aaaabbbbcccc-1-1.scope";
        Cgroups::at(root.path()).kill(&Killable::new(path).unwrap()).unwrap();
    }
}
