//! What runs at the end of a window and may be its work, looked for once, at the end: processes that no unit of PID 1's holds, those that
//! hold a terminal of the account's that is gone, and those of the account that somebody traces.
//!
//! None of it is killed. Whose it is cannot be told from what is seen: what the grant's own processes are known by (their groups and their
//! logins) is killed before this looks.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use stint_grant::residue::{Kind, Policy, Residue};
use stint_grant::words::printable;

use super::compare::Finding;
use super::picture::Reach;

/// The kernel tells when a process began in such parts of a second (`USER_HZ`).
const TICKS: u64 = 100;
/// The most findings.
const MAX: usize = 100;
/// The most descriptors of one process that are looked at.
const MAX_DESCRIPTORS: usize = 65_536;
/// What holds processes for PID 1.
const UNITS: &[&str] = &[".service", ".scope", ".mount", ".swap", ".socket"];

/// Which window it is, and whose.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    /// How far its grant reached.
    pub(crate) reach: &'a Reach,
    /// The uids of the accounts that it acts as.
    pub(crate) uids: &'a BTreeSet<u32>,
    /// When it began, on the wall clock.
    pub(crate) since: i64,
    /// The same in seconds since the boot.
    pub(crate) since_boot: u64,
    /// When to stop.
    pub(crate) until: Instant,
}

/// Looks at all processes; what was not looked at is said too.
pub(crate) fn look(root: &Path, rules: &Residue, window: &Window<'_>) -> (Vec<Finding>, Vec<String>) {
    let (mut found, mut missed) = (BTreeSet::new(), Vec::new());
    if rules.policy_of(Kind::Processes) == Policy::Ignore {
        return (Vec::new(), missed);
    }
    let proc = root.join("proc");
    let entries = fs::read_dir(&proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        if Instant::now() >= window.until || found.len() >= MAX {
            missed.push("processes: no time was left to look at all of them".to_owned());
            break;
        }
        // One that ends meanwhile is no finding.
        let Some(process) = Process::read(&proc, pid) else { continue };
        found.extend(stray(&process, window));
        found.extend(traced(&proc, &process, window));
        found.extend(holds_terminal(&proc, &process, window));
    }
    let findings = found.into_iter().map(|words| Finding::told(Kind::Processes, words));
    (findings.collect(), missed)
}

/// What the kernel tells of one.
#[derive(Debug)]
struct Process {
    pid: u32,
    name: String,
    uid: u32,
    /// Seconds since the boot.
    started: u64,
    group: String,
    tracer: u32,
    /// One of the kernel's own runs no program.
    has_program: bool,
}

impl Process {
    fn read(proc: &Path, pid: u32) -> Option<Self> {
        let folder = proc.join(pid.to_string());
        let text =
            |name: &str| Some(String::from_utf8_lossy(&fs::read(folder.join(name)).ok()?).into_owned());
        let status = text("status")?;
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let stat = text("stat")?;
        let ticks: u64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
        let groups = text("cgroup")?;
        Some(Self {
            pid,
            name: line("Name:")?.to_owned(),
            uid: line("Uid:")?.split_ascii_whitespace().next()?.parse().ok()?,
            started: ticks / TICKS,
            group: groups.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned(),
            tracer: line("TracerPid:").and_then(|pid| pid.parse().ok()).unwrap_or(0),
            has_program: fs::read_link(folder.join("exe")).is_ok(),
        })
    }
    fn shown(&self) -> String {
        format!("process {} ({}) of uid {}", self.pid, printable(&self.name), self.uid)
    }
}

/// One that began in the window and is in no unit: nothing of the host's own starts one there.
fn stray(process: &Process, window: &Window<'_>) -> Option<String> {
    let of_a_unit = process.group.split('/').any(|part| UNITS.iter().any(|kind| part.ends_with(kind)));
    // What came in from outside of a container has a group outside of it.
    let of_the_host = process.group.starts_with('/') && !process.group.starts_with("/..");
    let in_window = process.started >= window.since_boot;
    (window.reach.some_root && process.has_program && of_the_host && !of_a_unit && in_window).then(|| {
        let group = printable(&process.group);
        format!("{} began in the window and is in group {group}, which is of no unit", process.shown())
    })
}

/// One of the account's whose memory somebody else reads and writes.
fn traced(proc: &Path, process: &Process, window: &Window<'_>) -> Option<String> {
    if process.tracer == 0 || !(window.reach.full_root || window.uids.contains(&process.uid)) {
        return None;
    }
    let tracer = Process::read(proc, process.tracer)?;
    (tracer.started >= window.since_boot)
        .then(|| format!("{} is traced (ptrace) by {}", process.shown(), tracer.shown()))
}

/// One that holds a descriptor of a terminal that was the account's in the window, and whose other side is gone.
fn holds_terminal(proc: &Path, process: &Process, window: &Window<'_>) -> Option<String> {
    let descriptors = fs::read_dir(proc.join(process.pid.to_string()).join("fd")).ok()?;
    for entry in descriptors.flatten().take(MAX_DESCRIPTORS) {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        if !target.starts_with("/dev/pts/") || !target.ends_with(" (deleted)") {
            continue;
        }
        // Through the descriptor, to the file that it holds.
        let Ok(held) = fs::metadata(entry.path()) else { continue };
        if window.uids.contains(&held.uid()) && held.ctime() >= window.since {
            let terminal = printable(target.trim_end_matches(" (deleted)"));
            return Some(format!(
                "{} holds a descriptor of {terminal}, a terminal of uid {} that is gone",
                process.shown(),
                held.uid()
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Host(tempfile::TempDir);

    impl Host {
        fn process(&self, pid: u32, uid: u32, started: u64, group: &str, tracer: u32) {
            let folder = self.0.path().join(format!("proc/{pid}"));
            fs::create_dir_all(folder.join("fd")).unwrap();
            let status = format!("Name:\tsleep\nTracerPid:\t{tracer}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n");
            fs::write(folder.join("status"), status).unwrap();
            let zeros = "0 ".repeat(18);
            fs::write(folder.join("stat"), format!("{pid} (a) b) S {zeros}{} 0", started * TICKS)).unwrap();
            fs::write(folder.join("cgroup"), format!("0::{group}\n")).unwrap();
            symlink("/bin/sleep", folder.join("exe")).unwrap();
        }
        fn look(&self, reach: &Reach) -> Vec<String> {
            let uids = BTreeSet::from([1001]);
            let window = Window {
                reach,
                uids: &uids,
                since: 0,
                since_boot: 500,
                until: Instant::now() + std::time::Duration::from_mins(1),
            };
            let (found, missed) = look(self.0.path(), &Residue::default(), &window);
            assert!(missed.is_empty());
            found.into_iter().map(|finding| finding.words).collect()
        }
    }

    fn root() -> Reach {
        Reach { some_root: true, full_root: true, ..Reach::default() }
    }

    #[test]
    fn a_process_of_the_window_that_no_unit_holds_is_named_to_who_could_be_root() {
        let host = Host(tempfile::tempdir().unwrap());
        host.process(7, 0, 600, "/battery", 0);
        host.process(8, 0, 400, "/battery", 0);
        host.process(9, 0, 600, "/system.slice/docker-1.scope/init", 0);
        host.process(10, 0, 600, "/../../machine", 0);
        host.process(11, 0, 600, "/", 0);
        fs::remove_file(host.0.path().join("proc/11/exe")).unwrap();
        let found = host.look(&root());
        assert_eq!(
            found,
            ["process 7 (sleep) of uid 0 began in the window and is in group /battery, which is of no unit"]
        );
        assert!(host.look(&Reach::default()).is_empty());
    }

    #[test]
    fn a_process_that_somebody_traces_since_the_window_began_is_named() {
        let host = Host(tempfile::tempdir().unwrap());
        host.process(20, 1001, 100, "/a.service", 22);
        host.process(21, 1002, 100, "/a.service", 22);
        host.process(22, 1002, 600, "/a.service", 0);
        let said = host.look(&Reach::default());
        assert_eq!(
            said,
            ["process 20 (sleep) of uid 1001 is traced (ptrace) by process 22 (sleep) of uid 1002"]
        );
        assert_eq!(host.look(&root()).len(), 2);
        fs::remove_dir_all(host.0.path().join("proc/22")).unwrap();
        host.process(22, 1002, 400, "/a.service", 0);
        assert!(host.look(&root()).is_empty(), "since before the window");
    }

    #[test]
    fn only_a_terminal_that_is_gone_counts() {
        let host = Host(tempfile::tempdir().unwrap());
        host.process(30, 1002, 100, "/a.service", 0);
        let descriptor = |n: u32, target: &str| {
            symlink(target, host.0.path().join(format!("proc/30/fd/{n}"))).unwrap();
        };
        descriptor(0, "/dev/null");
        descriptor(1, "/dev/pts/3");
        assert!(host.look(&root()).is_empty());
    }
}
