//! Scans: one script that looks for everything at once, run again and again until two in a row find nothing.

use std::fs;

use stint_lab::Host;

use super::case::Proof;
use crate::error::E2eError;
use crate::watch::unix_now;

/// On the host's disk and root's alone: on a command line the script would find its own patterns.
const SCRIPT: &str = "root/battery-scan.sh";

/// What is looked for: each with its place in the list of claims.
pub(super) struct Scanner<'a> {
    host: &'a Host,
    looked: Vec<Looked>,
}

struct Looked {
    claim: usize,
    line: String,
    /// When the first of two clean scans in a row began.
    clean_at: Option<f64>,
    /// When the newest scan, if it was clean, and no scan since was not.
    clean_since: Option<f64>,
    /// When the last scan began that was not clean.
    dirty_at: Option<f64>,
}

impl<'a> Scanner<'a> {
    /// Of these proofs, those that a scan can see.
    pub(super) fn new(
        host: &'a Host,
        proofs: impl Iterator<Item = (usize, Proof)>,
        fill: impl Fn(&str) -> String,
    ) -> Result<Self, E2eError> {
        let line = |proof| match proof {
            Proof::NoProcess(command) => Some(format!("! pgrep -xf '{command}' >/dev/null")),
            Proof::Host(line) | Proof::HostOrReceipt(line, _) => Some(fill(line)),
            _ => None,
        };
        let looked: Vec<Looked> = proofs
            .filter_map(|(claim, proof)| {
                Some(Looked { claim, line: line(proof)?, clean_at: None, clean_since: None, dirty_at: None })
            })
            .collect();
        let mut script = String::new();
        for one in &looked {
            script.push_str(&["( ", &one.line, " ) </dev/null >/dev/null 2>&1 || echo "].concat());
            script.push_str(&[&one.claim.to_string(), "\n"].concat());
        }
        let path = host.root_path()?.join(SCRIPT);
        fs::write(&path, script).map_err(E2eError::file(path))?;
        Ok(Self { host, looked })
    }

    /// Looks once at everything. Says whether all have been clean twice in a row.
    pub(super) fn look(&mut self) -> Result<bool, E2eError> {
        let began = unix_now();
        let said = self.host.exec(&["sh", &format!("/{SCRIPT}")])?;
        let dirty: Vec<usize> = said.stdout.lines().filter_map(|line| line.parse().ok()).collect();
        for one in &mut self.looked {
            if dirty.contains(&one.claim) {
                (one.clean_at, one.clean_since, one.dirty_at) = (None, None, Some(began));
            } else if let Some(since) = one.clean_since {
                one.clean_at = one.clean_at.or(Some(since));
            } else {
                one.clean_since = Some(began);
            }
        }
        Ok(self.looked.iter().all(|one| one.clean_at.is_some()))
    }

    /// Whether a scan can see this claim.
    pub(super) fn looks_at(&self, claim: usize) -> bool {
        self.looked.iter().any(|one| one.claim == claim)
    }

    /// When a claim came true, if it did.
    pub(super) fn clean_at(&self, claim: usize) -> Option<f64> {
        self.looked.iter().find(|one| one.claim == claim).and_then(|one| one.clean_at)
    }

    /// When a claim was last seen not to be true.
    pub(super) fn dirty_at(&self, claim: usize) -> Option<f64> {
        self.looked.iter().find(|one| one.claim == claim).and_then(|one| one.dirty_at)
    }

    /// Whether any of these claims is not clean yet.
    pub(super) fn waits_for(&self, claims: impl Fn(usize) -> bool) -> bool {
        self.looked.iter().any(|one| claims(one.claim) && one.clean_at.is_none())
    }
}
