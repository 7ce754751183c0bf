//! Whole sweeps, on the folder of a host in a test: what is planted is found, undone or told, and nothing else is touched.

mod attacks;
mod desk;
mod places;
mod windows;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stint_grant::ids::{GrantId, UserName};
use stint_grant::residue::Residue;

use super::capture::{Scene, picture};
use super::picture::{Baseline, Picture, Reach};
use super::store::{FORMAT, Killing, Order, Outcome, Store};
use super::sweep::run_at;
use super::tree::{Crossing, Tree};
use crate::warden::paths::Paths;

const GRANT: &str = "aaaabbbbcccc";

/// A host in a folder: root, alice (this process's own account, so that her home is hers) and bob.
struct Host {
    root: tempfile::TempDir,
    rules: Residue,
}

impl Host {
    fn new() -> Self {
        let host = Self { root: tempfile::tempdir().unwrap(), rules: Residue::default() };
        let me = nix::unistd::getuid();
        let passwd = format!(
            "root:x:0:0:root:/root:/bin/bash\nalice:x:{me}:{me}::/home/alice:/bin/bash\nbob:x:{me}:{me}::/home/bob:/bin/bash\n"
        );
        host.write("etc/passwd", &passwd);
        host.write("etc/shadow", "root:*:1::::::\nalice:$6$a:1::::::\n");
        host.write("etc/group", "root:x:0:\nsudo:x:27:\n");
        host.write("proc/sys/kernel/yama/ptrace_scope", "1\n");
        for folder in ["root", "home/alice/.ssh", "home/bob", "etc/sudoers.d", "var/lib/stint/warden"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        host
    }
    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }
    fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fn read(&self, below: &str) -> Option<String> {
        fs::read_to_string(self.path(below)).ok()
    }
    fn paths(&self) -> Paths {
        Paths::under(self.root.path())
    }
    fn store(&self) -> Store {
        let store = Store::of(&self.paths());
        store.prepare().unwrap();
        store
    }
    fn picture(&self, reach: &Reach) -> Picture {
        let tree = Tree::at(self.root.path(), Crossing::All).unwrap();
        let key = self.store().key().unwrap();
        let until = Instant::now() + Duration::from_mins(5);
        picture(&Scene { tree: &tree, rules: &self.rules, reach, key: &key, until })
    }

    /// A session opens by a grant of alice's.
    fn opens(&self, reach: Reach) {
        self.opens_as(GRANT, reach);
    }
    fn opens_as(&self, grant: &str, reach: Reach) {
        let now = crate::warden::time::read_clocks().unwrap();
        let baseline = Baseline {
            format: FORMAT,
            grant: GrantId::new(grant).unwrap(),
            user: alice(),
            from: now.wall.0,
            wall: now.wall.0,
            offset: now.wall.0.saturating_sub_unsigned(now.boottime_ms / 1000),
            boot: now.boot_id,
            rules: self.rules.clone(),
            late: false,
            picture: self.picture(&reach),
            reach,
        };
        self.store().save_baseline(&baseline).unwrap();
    }
    /// The grant has ended, and its processes are dead.
    fn ends(&self) -> Outcome {
        self.ends_as(GRANT)
    }
    fn ends_as(&self, grant: &str) -> Outcome {
        let (grant, store) = (GrantId::new(grant).unwrap(), self.store());
        let order = Order {
            format: FORMAT,
            grant: grant.clone(),
            user: alice(),
            killing: Killing { clean: true, ..Killing::default() },
            also_open: Vec::new(),
            since: crate::warden::time::read_clocks().unwrap().wall.0 - 3600,
        };
        store.save_order(&order).unwrap();
        run_at(&self.paths(), self.root.path(), &self.rules, &grant).unwrap();
        store.outcome(&grant).unwrap().unwrap()
    }
    /// The copies that were kept.
    fn copies(&self) -> Vec<String> {
        let folder = self.store().copies(&GrantId::new(GRANT).unwrap());
        let found = fs::read_dir(folder).into_iter().flatten().flatten();
        found.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect()
    }
}

fn alice() -> UserName {
    UserName::new("alice").unwrap()
}
fn login() -> Reach {
    Reach { accounts: BTreeSet::from([alice()]), ..Reach::default() }
}
fn some_root() -> Reach {
    let root = UserName::new("root").unwrap();
    Reach { accounts: BTreeSet::from([alice(), root]), some_root: true, full_root: false }
}
fn full_root() -> Reach {
    Reach { full_root: true, ..some_root() }
}
fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}
/// Whether one line of a list has all of these words.
fn says(list: &[String], words: &[&str]) -> bool {
    list.iter().any(|line| words.iter().all(|word| line.contains(word)))
}
fn is_quiet(outcome: &Outcome) -> bool {
    outcome.settled
        && [&outcome.removed, &outcome.restored, &outcome.reported, &outcome.not_scanned]
            .iter()
            .all(|l| l.is_empty())
}
