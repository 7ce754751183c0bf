//! From two pictures to findings: what changed in a window, and what is to be done about it. Pure.

use std::collections::BTreeSet;

use stint_grant::residue::{Kind, Policy, Residue};

use super::accounts;
use super::picture::{Baseline, Content, Entry, Form, Meta, Picture, Reach, Spot, by_path};

/// How a thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was not there.
    Added,
    /// It was another.
    Changed,
    /// It is not there any more.
    Removed,
    /// It changed within the window; what it was before is not known.
    Since,
}

/// What is done about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Taken away; a copy is kept.
    Remove {
        /// As it was seen last.
        seen: Meta,
    },
    /// Put back as it was; a copy of what it is now is kept.
    Restore {
        /// As it was seen last.
        seen: Meta,
        /// As it was.
        content: Content,
        /// Its owner, group and mode.
        before: Meta,
    },
    /// The bits by which it runs with its owner's rights, and its capabilities, are taken away.
    Strip {
        /// As it was seen last.
        seen: Meta,
    },
    /// It is left as it is.
    Report,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What kind of residue it is.
    pub(crate) kind: Kind,
    /// Where, if it is a file.
    pub(crate) spot: Option<Spot>,
    /// In words, escaped, without what was done about it.
    pub(crate) words: String,
    /// What is done.
    pub(crate) action: Action,
}

impl Finding {
    /// One that is only told.
    pub(crate) fn told(kind: Kind, words: String) -> Self {
        Self { kind, spot: None, words, action: Action::Report }
    }
}

/// Everything that changed since the baseline.
pub(crate) fn compare(baseline: &Baseline, now: &Picture, rules: &Residue) -> Vec<Finding> {
    let before = by_path(&baseline.picture.entries);
    let present = by_path(&now.entries);
    let mut findings = Vec::new();
    for entry in present.values() {
        let change = match before.get(&entry.spot.path()) {
            None if was_missed(&baseline.picture, entry) => Change::Since,
            None => Change::Added,
            // Two of its kind in one second are not told apart: then it is told once too often.
            Some(old)
                if baseline.late && old.meta.ctime.0 >= baseline.wall && old.meta.form != Form::Folder =>
            {
                Change::Since
            }
            Some(old) if is_same(old, entry) => continue,
            Some(_) => Change::Changed,
        };
        if change == Change::Since && entry.meta.ctime.0 < baseline.wall {
            continue;
        }
        // A folder matters by what is in it; a folder that a place never had is seen with its content.
        if entry.meta.form == Form::Folder && change != Change::Changed && entry.kind != Kind::Containers {
            continue;
        }
        let old = before.get(&entry.spot.path()).copied();
        findings.push(Finding {
            kind: entry.kind,
            words: words(entry, change),
            action: action(&baseline.reach, old, entry, change, rules),
            spot: Some(entry.spot.clone()),
        });
    }
    for (path, entry) in &before {
        let comes_and_goes = matches!(
            entry.kind,
            Kind::Tickets | Kind::Sockets | Kind::AtJobs | Kind::Containers | Kind::Linger
        ) || path.starts_with("/run");
        if !present.contains_key(path) && !comes_and_goes && !was_missed(now, entry) {
            findings.push(Finding {
                kind: entry.kind,
                words: words(entry, Change::Removed),
                action: Action::Report,
                spot: Some(entry.spot.clone()),
            });
        }
    }
    findings.extend(elsewhere(baseline, now));
    findings
}

/// Without a baseline: whatever changed since the window began. What it was before is not known, so nothing is undone.
pub(crate) fn by_age(wall: i64, now: &Picture) -> Vec<Finding> {
    let changed = now.entries.iter().filter(|entry| {
        entry.meta.form != Form::Folder && entry.meta.ctime.0 >= wall && entry.kind != Kind::Tickets
    });
    let finding = |entry: &Entry| Finding {
        kind: entry.kind,
        words: words(entry, Change::Since),
        action: Action::Report,
        spot: Some(entry.spot.clone()),
    };
    changed.map(finding).collect()
}

/// What has no file.
fn elsewhere(baseline: &Baseline, now: &Picture) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    if !baseline.picture.accounts.users.is_empty() && !now.accounts.users.is_empty() {
        if baseline.late && baseline.picture.accounts_at >= baseline.wall {
            let words =
                "accounts were changed while the baseline was taken: what they were before is not known";
            findings.push(Finding::told(Kind::Accounts, words.to_owned()));
        }
        let said = accounts::changes(&baseline.picture.accounts, &now.accounts);
        findings.extend(said.into_iter().map(|words| Finding::told(Kind::Accounts, words)));
    }
    let none = BTreeSet::new();
    for (kind, facts) in &now.kernel {
        let before = baseline.picture.kernel.get(kind).unwrap_or(&none);
        let new = facts.difference(before);
        findings.extend(new.map(|fact| Finding::told(*kind, format!("new: {fact}"))));
    }
    findings
}

/// Whether a picture did not reach the place of an entry, so that its absence says nothing.
fn was_missed(picture: &Picture, entry: &Entry) -> bool {
    let path = entry.spot.path();
    picture.unseen.iter().any(|unseen| path.starts_with(&unseen.0))
}

/// Whether nothing that matters is another.
fn is_same(old: &Entry, new: &Entry) -> bool {
    let (a, b) = (&old.meta, &new.meta);
    let rights = (a.form, a.mode, a.uid, a.gid) == (b.form, b.mode, b.uid, b.gid);
    rights
        && match a.form {
            // Names in it are seen each for itself.
            Form::Folder | Form::Socket => true,
            Form::Link => old.target == new.target,
            Form::File | Form::Other => match (&old.digest, &new.digest) {
                (Some(one), Some(other)) => one == other,
                _ => (a.ino, a.size, a.mtime, a.ctime) == (b.ino, b.size, b.mtime, b.ctime),
            },
        }
}

fn words(entry: &Entry, change: Change) -> String {
    let what = match entry.meta.form {
        Form::File => "",
        Form::Folder => " (a folder)",
        Form::Link => " (a link)",
        Form::Socket => " (a socket)",
        Form::Other => " (a pipe or a device)",
    };
    let how = match change {
        Change::Added => "added",
        Change::Changed => "changed",
        Change::Removed => "gone",
        Change::Since => "changed in the window, what it was before is not known",
    };
    format!("{} {}{what}: {how}", entry.kind.word(), entry.spot.shown())
}

/// What is done: only what the policy undoes, and what the grant's own rights can have made.
fn action(reach: &Reach, old: Option<&Entry>, new: &Entry, change: Change, rules: &Residue) -> Action {
    let own = new.of.as_ref().is_some_and(|user| reach.accounts.contains(user));
    let by_policy = rules.policy_of(new.kind) == Policy::Undo && new.kind.can_be_undone();
    if !by_policy || !(own || reach.full_root) {
        return Action::Report;
    }
    let seen = new.meta.clone();
    match (change, old) {
        // A folder is not taken away with what is in it, and what stood before stays what it was.
        (Change::Added, _) if seen.form != Form::Folder => Action::Remove { seen },
        (Change::Changed, Some(old)) if seen.form == Form::File || seen.form == Form::Link => {
            match &old.content {
                Some(content) => Action::Restore { seen, content: content.clone(), before: old.meta.clone() },
                None if old.meta.form == Form::Folder => Action::Remove { seen },
                None if new.kind == Kind::Tickets => Action::Remove { seen },
                None => Action::Report,
            }
        }
        _ => Action::Report,
    }
}
