//! Looks for programs that run with their owner's rights, or with capabilities, and that changed since a window began.
//!
//! The kernel dates every change of a file (ctime), and nobody sets that but with the clock. So a file that is older needs no second
//! look, and the walk costs one question for each file of the host.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use stint_grant::residue::{Kind, Policy, Residue};
use stint_grant::words::printable;

use super::compare::{Action, Finding};
use super::picture::{Form, Meta, RawPath, Reach, Spot};
use super::tree::{Anchor, Tree, meta};

/// The file systems on which such files count.
const LOCAL: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "overlay", "tmpfs", "f2fs", "zfs", "bcachefs", "reiserfs", "jfs",
    "ramfs", "devtmpfs",
];
/// Those that hold no files of anybody's.
const KERNEL: &[&str] = &[
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "mqueue",
    "debugfs",
    "tracefs",
    "securityfs",
    "pstore",
    "bpf",
    "configfs",
    "hugetlbfs",
    "binfmt_misc",
    "autofs",
    "efivarfs",
    "selinuxfs",
    "fusectl",
    "rpc_pipefs",
    "nsfs",
];
/// Where the host's own programs are: what changed there is more likely an update than a copy.
const OF_PACKAGES: &[&str] =
    &["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/bin", "/sbin", "/lib"];
/// How many folders deep it is looked. Each is opened from the top, so a tree without end would take all the time there is.
const MAX_DEPTH: usize = 64;
/// The most names in one folder.
const MAX_NAMES: usize = 1_000_000;
/// The most findings.
const MAX_FINDINGS: usize = 1000;

/// What was found, and what was not reached.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Each such file.
    pub(crate) findings: Vec<Finding>,
    /// What was not reached, and why.
    pub(crate) missed: Vec<String>,
}

/// Walks all local file systems.
pub(crate) fn walk(tree: &Tree, reach: &Reach, rules: &Residue, since: i64, until: Instant) -> Walked {
    let mut walked = Walked::default();
    if rules.policy_of(Kind::Setuid) == Policy::Ignore || !reach.some_root {
        // Without root nobody makes a file of root's; the account's own would give what it has.
        return walked;
    }
    let mounts = fs::read(tree.path().join("proc/self/mountinfo")).unwrap_or_default();
    let mounts: BTreeMap<PathBuf, String> = super::mounts::mounts(&mounts).collect();
    // A link to a folder, or a folder that is mounted twice, is walked once.
    let root = match tree.everywhere().anchor(Path::new("/")) {
        Ok(root) => root,
        Err(error) => {
            walked.missed.push(format!("setuid files: {error}"));
            return walked;
        }
    };
    let mut seen: HashSet<(u64, u64)> = HashSet::new();
    let mut left: Vec<PathBuf> = vec![PathBuf::new()];
    while let Some(folder) = left.pop() {
        if Instant::now() >= until || walked.findings.len() >= MAX_FINDINGS {
            let more = left.len() + 1;
            let at = printable(&Path::new("/").join(&folder).to_string_lossy());
            walked.missed.push(format!("setuid files in {at} and {more} more folders: no time was left"));
            break;
        }
        look(&root, &folder, &mounts, since, reach, rules, &mut seen, &mut left, &mut walked);
    }
    walked
}

#[allow(clippy::too_many_arguments, reason = "one step of one loop")]
fn look(
    root: &Anchor,
    folder: &Path,
    mounts: &BTreeMap<PathBuf, String>,
    since: i64,
    reach: &Reach,
    rules: &Residue,
    seen: &mut HashSet<(u64, u64)>,
    left: &mut Vec<PathBuf>,
    walked: &mut Walked,
) {
    let path = Path::new("/").join(folder);
    match mounts.get(&path).map(String::as_str) {
        Some(kind) if KERNEL.contains(&kind) => return,
        Some(kind) if !LOCAL.contains(&kind) => {
            let at = printable(&path.to_string_lossy());
            walked.missed.push(format!("setuid files in {at}: it is a {} file system", printable(kind)));
            return;
        }
        _ => {}
    }
    let below = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // A folder that went away, or became a link, in between is nothing to look into.
    let Ok(anchor) = root.folder(below) else { return };
    if !anchor.meta().is_ok_and(|meta| seen.insert((meta.dev, meta.ino))) {
        return;
    }
    let Ok((names, _)) = anchor.names(MAX_NAMES) else { return };
    for name in names {
        let Ok(found) = anchor.hold(Path::new(&name)).and_then(|held| held.metadata()) else { continue };
        let found = meta(&found);
        match found.form {
            Form::Folder if folder.components().count() >= MAX_DEPTH => {
                let deep = "setuid files in folders that are more than 64 deep, as in";
                if !walked.missed.iter().any(|missed| missed.starts_with(deep)) {
                    walked.missed.push(format!("{deep} {}", printable(&path.to_string_lossy())));
                }
            }
            Form::Folder => left.push(folder.join(&name)),
            Form::File if found.ctime.0 >= since && found.mode & 0o111 != 0 => {
                let set_id = found.mode & 0o6000 != 0;
                if set_id || has_capabilities(&anchor, Path::new(&name), &found) {
                    walked.findings.push(finding(folder.join(&name), found, set_id, reach, rules));
                }
            }
            _ => {}
        }
    }
}

fn has_capabilities(folder: &Anchor, name: &Path, seen: &Meta) -> bool {
    let mut value = [0_u8; 64];
    folder
        .open(name, seen)
        .is_ok_and(|file| rustix::fs::fgetxattr(&file, "security.capability", &mut value).is_ok())
}

fn finding(below: PathBuf, seen: Meta, set_id: bool, reach: &Reach, rules: &Residue) -> Finding {
    let spot = Spot { anchor: RawPath("/".into()), below: RawPath(below) };
    let path = spot.path();
    let what = match (set_id, seen.uid) {
        (true, 0) => "runs as root".to_owned(),
        (true, uid) => format!("runs with the rights of uid {uid} or its group"),
        (false, _) => "has capabilities".to_owned(),
    };
    let by_policy = rules.policy_of(Kind::Setuid) == Policy::Undo && reach.full_root;
    let of_a_package = OF_PACKAGES.iter().any(|folder| path.starts_with(folder));
    Finding {
        kind: Kind::Setuid,
        words: format!("setuid {}: {what}, changed in the window", spot.shown()),
        // A link to a program of the host's is the same file: its bits are the host's own.
        action: if by_policy && !of_a_package && seen.nlink == 1 {
            Action::Strip { seen }
        } else {
            Action::Report
        },
        spot: Some(spot),
    }
}
