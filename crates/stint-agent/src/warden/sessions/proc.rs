//! What the kernel tells of a process.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

/// A login uid or audit session that was never set.
const UNSET: u32 = u32::MAX;

/// `/proc`, or a copy of one in tests.
#[derive(Clone, Debug)]
pub(super) struct Proc {
    root: PathBuf,
}

/// Some fields of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// `Z` is dead and not yet collected.
    pub(super) state: char,
    /// The controlling terminal's device number, or 0.
    pub(super) terminal: u64,
    /// When it began, in clock ticks since boot. With the pid, a name that is not used twice.
    pub(super) started: u64,
}

/// Whose rights a process has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    /// Real, effective, saved, of the file system.
    pub(super) uids: Vec<u32>,
    /// The same of its groups.
    pub(super) gids: Vec<u32>,
    /// Its further groups.
    pub(super) groups: Vec<u32>,
}

impl Proc {
    /// Under another root than `/proc`.
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
    /// Its stat, if it is there.
    pub(super) fn stat(&self, pid: u32) -> Option<Stat> {
        parse_stat(&self.read(pid, "stat")?)
    }
    /// The uid that logged in, if one did.
    pub(super) fn login_uid(&self, pid: u32) -> Option<u32> {
        self.number(pid, "loginuid")
    }
    /// The kernel's audit session, if it is in one.
    pub(super) fn audit_session(&self, pid: u32) -> Option<u32> {
        self.number(pid, "sessionid")
    }
    /// Its real uid.
    pub(super) fn uid(&self, pid: u32) -> Option<u32> {
        parse_uid(&self.read(pid, "status")?)
    }
    /// All its numbers.
    pub(super) fn credentials(&self, pid: u32) -> Option<Credentials> {
        Some(parse_credentials(&self.read(pid, "status")?))
    }
    /// Its control group in the unified hierarchy.
    pub(super) fn cgroup(&self, pid: u32) -> Option<String> {
        parse_cgroup(&self.read(pid, "cgroup")?).map(str::to_owned)
    }
    /// Whether it lives, and is the one that began then.
    pub(super) fn is_alive(&self, pid: u32, started: u64) -> bool {
        self.stat(pid).is_some_and(|stat| stat.started == started && !matches!(stat.state, 'Z' | 'X'))
    }
    /// All processes.
    pub(super) fn all(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }
    /// This boot's id.
    pub(super) fn boot_id(&self) -> Option<String> {
        let text = fs::read_to_string(self.root.join("sys/kernel/random/boot_id")).ok()?;
        Some(text.trim().to_owned())
    }

    fn number(&self, pid: u32, file: &str) -> Option<u32> {
        u32::from_str(self.read(pid, file)?.trim()).ok().filter(|n| *n != UNSET)
    }
    fn read(&self, pid: u32, file: &str) -> Option<String> {
        let bytes = fs::read(self.root.join(pid.to_string()).join(file)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The name in parentheses may hold anything, parentheses too: what counts stands after the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let terminal: i32 = fields.get(4)?.parse().ok()?;
    Some(Stat {
        state: fields.first()?.chars().next()?,
        terminal: u64::from(terminal.cast_unsigned()),
        started: fields.get(19)?.parse().ok()?,
    })
}

/// The first of the four: real, effective, saved, of the file system. The line of the name comes before it, with newlines escaped.
fn parse_uid(text: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_credentials(text: &str) -> Credentials {
    let numbers = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect()
    };
    Credentials { uids: numbers("Uid:"), gids: numbers("Gid:"), groups: numbers("Groups:") }
}

/// The line of the unified hierarchy; others are of cgroup v1.
fn parse_cgroup(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    // A group that was removed while processes were in it.
    path.starts_with('/').then(|| path.strip_suffix(" (deleted)").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLEEP: &str = "4711 (sleep) S 4700 4711 4700 34817 4711 4194304 104 0 0 0 0 0 0 0 20 0 1 0 987654 5464064 \
                         230 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn a_stat_line_tells_state_terminal_and_start() {
        let stat = Stat { state: 'S', terminal: 34817, started: 987_654 };
        assert_eq!(parse_stat(SLEEP), Some(stat));
    }

    #[test]
    fn a_process_cannot_lie_about_its_start_with_its_name() {
        let sly = SLEEP.replace("(sleep)", "(x) Z 1 1 1 0 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1)");
        assert_eq!(parse_stat(&sly).unwrap().started, 987_654);
        assert_eq!(parse_stat(&sly).unwrap().state, 'S');
    }

    #[test]
    fn the_real_uid_is_told_from_the_others() {
        assert_eq!(
            parse_uid("Name:\tx\\nUid:\t7\t7\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\n"),
            Some(1000)
        );
        assert_eq!(parse_uid("Name:\tx\n"), None);
    }

    #[test]
    fn all_numbers_of_a_process_are_told() {
        let text = "Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t5\t6\t7\t8\nGroups:\t4 27 1000 \n";
        let credentials = parse_credentials(text);
        assert_eq!((credentials.uids, credentials.gids), (vec![1000, 0, 0, 0], vec![5, 6, 7, 8]));
        assert_eq!(credentials.groups, [4, 27, 1000]);
    }

    #[test]
    fn a_truncated_stat_line_tells_nothing() {
        assert_eq!(parse_stat("4711 (sleep) S 4700"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn only_the_unified_hierarchy_counts() {
        let mixed = "9:name=systemd:/\n2:cpu:/x\n0::/user.slice/user-1000.slice/session-92.scope\n";
        assert_eq!(parse_cgroup(mixed), Some("/user.slice/user-1000.slice/session-92.scope"));
        assert_eq!(parse_cgroup("9:name=systemd:/\n"), None);
    }

    #[test]
    fn a_group_that_was_removed_keeps_its_name() {
        assert_eq!(parse_cgroup("0::/stint.slice/x.scope (deleted)\n"), Some("/stint.slice/x.scope"));
    }

    #[test]
    fn an_unset_login_uid_is_none() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("7");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("loginuid"), "4294967295").unwrap();
        fs::write(dir.join("sessionid"), "92\n").unwrap();
        let proc = Proc::at(root.path());
        assert_eq!((proc.login_uid(7), proc.audit_session(7)), (None, Some(92)));
        assert_eq!(proc.all(), [7]);
    }
}
