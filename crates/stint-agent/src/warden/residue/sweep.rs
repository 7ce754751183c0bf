//! The process that sweeps: `stintd sweep GRANT`, in a unit of its own that may write where users' files are, at idle priority.
//!
//! It takes the baseline and the order from the warden's folder, looks, undoes, looks again until two looks in a row find the same and
//! nothing to undo, and leaves its outcome there. It may be killed and started anew at any time.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use stint_grant::ids::GrantId;
use stint_grant::residue::Residue;

use super::capture::{Scene, picture};
use super::compare::{Action, Finding, by_age, compare};
use super::picture::{Baseline, Picture, RawPath, Reach, by_path};
use super::processes::{self, Window};
use super::receipt::not_excluded;
use super::store::{FORMAT, Order, Outcome, Store};
use super::tree::{Crossing, Tree};
use super::undo::{Done, Undoing};
use super::walk::walk;
use crate::warden::config;
use crate::warden::files::FileError;
use crate::warden::paths::Paths;

/// The most lines of one kind, and the most bytes of one.
const MAX_LINES: usize = 10_000;
const MAX_LINE: usize = 2_000;
/// Looks, at most.
const MAX_LOOKS: u32 = 6;

/// Why nothing was swept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    /// It is not one.
    #[error("{0:?} is not the id of a grant")]
    Grant(String),
    /// Nobody ordered it.
    #[error("no sweep of grant {0} was ordered: the warden does that when a grant ends")]
    NoOrder(GrantId),
    /// A file of the warden's.
    #[error("{0}")]
    File(#[from] FileError),
    /// The host's root.
    #[error("the root folder cannot be opened: {0}")]
    Root(#[from] std::io::Error),
}

/// Sweeps after one grant, on this host.
pub(crate) fn run(grant: &str) -> Result<(), SweepError> {
    let grant = GrantId::new(grant).map_err(|_| SweepError::Grant(grant.to_owned()))?;
    let paths = Paths::system();
    let config = config::host_config(&paths).unwrap_or_else(|_| config::last_good(&paths));
    run_at(&paths, Path::new("/"), &config.residue, &grant)
}

/// The same on a tree of files.
pub(super) fn run_at(paths: &Paths, root: &Path, rules: &Residue, grant: &GrantId) -> Result<(), SweepError> {
    let store = Store::of(paths);
    let order = store.order(grant)?.ok_or_else(|| SweepError::NoOrder(grant.clone()))?;
    let tree = Tree::at(root, Crossing::Usual)?;
    let key = store.key()?;
    let baseline = store.baseline(grant);
    // Root could have changed host.toml in the window: what held when it opened holds at its end.
    let rules = baseline.as_ref().ok().and_then(Option::as_ref).map_or(rules, |baseline| &baseline.rules);
    let look = Look {
        tree: &tree,
        rules,
        key: &key,
        until: Instant::now() + Duration::from_secs(rules.time_limit.0),
        order: &order,
        baseline: baseline.as_ref().ok().and_then(Option::as_ref),
    };
    let mut outcome = sweep(&look, &mut Undoing::new(&tree, store.copies(grant)));
    match &baseline {
        Ok(Some(_)) => {}
        Ok(None) => outcome.not_scanned.push("no baseline: compared by age only".to_owned()),
        Err(error) => {
            let why = stint_grant::words::printable(&error.to_string());
            outcome.not_scanned.push(format!("the baseline is damaged: compared by age only ({why})"));
        }
    }
    Ok(store.save_outcome(grant, &outcome)?)
}

/// What is looked at, and by what.
struct Look<'a> {
    tree: &'a Tree,
    rules: &'a Residue,
    key: &'a super::accounts::Key,
    until: Instant,
    order: &'a Order,
    baseline: Option<&'a Baseline>,
}

impl Look<'_> {
    fn reach(&self) -> Reach {
        // Without a baseline it is not known what the grant allowed: all is looked at, and nothing undone.
        self.baseline.map_or_else(
            || Reach {
                accounts: BTreeSet::from([self.order.user.clone()]),
                some_root: true,
                full_root: false,
            },
            |baseline| baseline.reach.clone(),
        )
    }
    fn since(&self) -> i64 {
        self.baseline.map_or(self.order.since, |baseline| baseline.wall)
    }

    /// The same in seconds since this boot.
    fn since_boot(&self) -> u64 {
        let Some(now) = crate::warden::time::read_clocks() else { return 0 };
        let booted = now.wall.0.saturating_sub_unsigned(now.boottime_ms / 1000);
        let same_boot = self.baseline.filter(|baseline| baseline.boot == now.boot_id);
        let offset = same_boot.map_or(booted, |baseline| baseline.offset);
        u64::try_from(self.since().saturating_sub(offset)).unwrap_or(0)
    }

    fn once(&self, reach: &Reach) -> (Vec<Finding>, Vec<String>, Picture) {
        let scene = Scene { tree: self.tree, rules: self.rules, reach, key: self.key, until: self.until };
        let now = picture(&scene);
        let mut findings = match self.baseline {
            Some(baseline) => compare(baseline, &now, self.rules),
            None => by_age(self.since(), &now),
        };
        let walked = walk(self.tree, reach, self.rules, self.since(), self.until);
        findings.extend(walked.findings);
        let window = Window {
            reach,
            uids: &now.uids,
            since: self.since(),
            since_boot: self.since_boot(),
            until: self.until,
        };
        let (running, unseen) = processes::look(self.tree.path(), self.rules, &window);
        findings.extend(running);
        let missed = now.missed.iter().cloned().chain(walked.missed).chain(unseen).collect();
        (findings, missed, now)
    }
}

fn sweep(look: &Look<'_>, undoing: &mut Undoing<'_>) -> Outcome {
    let began = Instant::now();
    let reach = look.reach();
    let mut outcome = Outcome { format: FORMAT, root: reach.some_root, ..Outcome::default() };
    let mut failed: Vec<(Finding, String)> = Vec::new();
    let mut touched: BTreeSet<RawPath> = BTreeSet::new();
    let mut before: Option<BTreeSet<String>> = None;
    let (mut removed, mut restored) = (Lines::default(), Lines::default());
    for looks in 0..MAX_LOOKS {
        if looks > 0 && Instant::now() >= look.until {
            outcome.not_scanned.push("no time was left to look once more".to_owned());
            outcome.settled = true;
            break;
        }
        let (findings, missed, now) = look.once(&reach);
        let mut undone = false;
        let mut told = BTreeSet::new();
        for finding in &findings {
            let mut failures =
                failed.iter().filter(|(other, _)| other.spot == finding.spot && other.kind == finding.kind);
            // Once more: to take away one name of a file changes its others.
            let given_up = failures.nth(1);
            if finding.action == Action::Report {
                told.insert(finding.words.clone());
                continue;
            }
            if let Some((_, why)) = given_up {
                told.insert(format!("{}; it could not be undone: {why}", finding.words));
                continue;
            }
            if Instant::now() >= look.until {
                told.insert(format!("{}; no time was left to undo it", finding.words));
                continue;
            }
            undone = true;
            match undoing.undo(finding) {
                Ok(done) => {
                    // What is only told stays for the other windows to find: it may be the doing of one of them.
                    touched.extend(finding.spot.as_ref().map(|spot| RawPath(spot.path())));
                    match done {
                        Some(Done::Removed(words)) => removed.say(words),
                        Some(Done::Restored(words)) => restored.say(words),
                        None => {}
                    }
                }
                Err(error) => failed.push((finding.clone(), error.to_string())),
            }
        }
        if undone && let Err(error) = undoing.settle() {
            told.insert(format!("what was undone may come back after a power cut: {error}"));
        }
        let present = by_path(&now.entries);
        outcome.touched = touched
            .iter()
            .map(|path| (path.clone(), present.get(&path.0).map(|entry| (*entry).clone())))
            .collect();
        outcome.reported = told.iter().cloned().collect::<Lines>().all();
        outcome.not_scanned = missed;
        let calm = !undone && before.as_ref() == Some(&told);
        before = (!undone).then_some(told);
        if calm {
            outcome.settled = true;
            break;
        }
    }
    (outcome.removed, outcome.restored) = (removed.all(), restored.all());
    let full_root = reach.full_root || look.baseline.is_none();
    outcome.not_excluded = not_excluded(reach.some_root, full_root, ptrace_is_open(look.tree));
    if look.baseline.is_some_and(clock_was_set) {
        outcome
            .not_excluded
            .push("the wall clock was set in the window: setuid files may be dated before it".to_owned());
    }
    outcome.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    outcome
}

/// Lines for the receipt, which shows a hundred of them: whoever leaves a million things must not make it too long to be read.
#[derive(Default)]
struct Lines {
    kept: Vec<String>,
    more: usize,
}

impl Lines {
    fn say(&mut self, mut words: String) {
        if self.kept.len() >= MAX_LINES {
            self.more += 1;
            return;
        }
        words.truncate(words.floor_char_boundary(MAX_LINE));
        self.kept.push(words);
    }
    fn all(mut self) -> Vec<String> {
        if self.more > 0 {
            self.kept.push(format!("and {} more", self.more));
        }
        self.kept
    }
}

impl FromIterator<String> for Lines {
    fn from_iter<I: IntoIterator<Item = String>>(all: I) -> Self {
        let mut lines = Self::default();
        all.into_iter().for_each(|words| lines.say(words));
        lines
    }
}

fn ptrace_is_open(tree: &Tree) -> bool {
    let scope = std::fs::read_to_string(tree.path().join("proc/sys/kernel/yama/ptrace_scope"));
    scope.map_or(true, |scope| scope.trim() == "0")
}

fn clock_was_set(baseline: &Baseline) -> bool {
    let Some(now) = crate::warden::time::read_clocks() else { return true };
    let offset = now.wall.0.saturating_sub_unsigned(now.boottime_ms / 1000);
    now.boot_id == baseline.boot && offset.abs_diff(baseline.offset) > 2
}
