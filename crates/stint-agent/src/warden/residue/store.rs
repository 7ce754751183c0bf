//! On disk: a baseline for each open window, an order for each sweep, its outcome, and the key for passwords.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stint_grant::ids::{GrantId, UserName};

use super::accounts::Key;
use super::picture::{Baseline, Entry, RawPath};
use crate::warden::files::{self, FileError};
use crate::warden::paths::Paths;

/// The largest file that is read back.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The format of all of them.
pub(crate) const FORMAT: u32 = 1;

/// Where they are.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    baselines: PathBuf,
    sweeps: PathBuf,
    copies: PathBuf,
    key: PathBuf,
}

/// What the sweep needs, besides the baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The file's format.
    pub(crate) format: u32,
    /// Whose end it is.
    pub(crate) grant: GrantId,
    /// The account.
    pub(crate) user: UserName,
    /// What the killing told.
    pub(crate) killing: Killing,
    /// Grants whose windows were open beside it.
    pub(crate) also_open: Vec<String>,
    /// When its window began, on the wall clock, as far as it is known: for a sweep without a baseline.
    pub(crate) since: i64,
}

/// What the killing told, for the receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Killing {
    /// How many sessions were ended.
    pub(crate) sessions: u32,
    /// How many processes were killed.
    pub(crate) killed: u32,
    /// What was taken away beside.
    pub(crate) removed: Vec<String>,
    /// What it left, in words.
    pub(crate) reported: Vec<String>,
    /// What it could not exclude.
    pub(crate) not_excluded: Vec<String>,
    /// How long it took.
    pub(crate) took_ms: u64,
    /// All are dead.
    pub(crate) clean: bool,
}

/// What a sweep found and did. Every text is escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The file's format.
    pub(crate) format: u32,
    /// Taken away.
    pub(crate) removed: Vec<String>,
    /// Put back.
    pub(crate) restored: Vec<String>,
    /// Left as it is.
    pub(crate) reported: Vec<String>,
    /// Not reached.
    pub(crate) not_scanned: Vec<String>,
    /// Not to be known.
    pub(crate) not_excluded: Vec<String>,
    /// The grant could become root.
    pub(crate) root: bool,
    /// Two looks in a row agreed.
    pub(crate) settled: bool,
    /// How long it took.
    pub(crate) took_ms: u64,
    /// How what was undone is now: other windows' baselines are told, so that they neither bring it back nor tell it again.
    pub(crate) touched: Vec<(RawPath, Option<Entry>)>,
}

impl Store {
    /// In the warden's folder.
    pub(crate) fn of(paths: &Paths) -> Self {
        let warden = paths.warden();
        Self {
            baselines: warden.join("baselines"),
            sweeps: warden.join("sweeps"),
            copies: paths.state.join("quarantine"),
            key: warden.join("residue.key"),
        }
    }

    /// Where a grant's copies go.
    pub(crate) fn copies(&self, grant: &GrantId) -> PathBuf {
        self.copies.join(grant.as_str())
    }
    fn baseline_path(&self, grant: &GrantId) -> PathBuf {
        self.baselines.join(format!("{grant}.json"))
    }
    fn order_path(&self, grant: &GrantId) -> PathBuf {
        self.sweeps.join(format!("{grant}.order.json"))
    }
    fn outcome_path(&self, grant: &GrantId) -> PathBuf {
        self.sweeps.join(format!("{grant}.outcome.json"))
    }

    /// Makes a folder for each kind.
    pub(crate) fn prepare(&self) -> Result<(), FileError> {
        [&self.baselines, &self.sweeps, &self.copies]
            .into_iter()
            .try_for_each(|dir| files::ensure_dir(dir, 0o700))
    }

    /// The key for passwords; made at the first use.
    pub(crate) fn key(&self) -> Result<Key, FileError> {
        if let Some(bytes) = files::read(&self.key, 32)?
            && let Ok(key) = bytes.try_into()
        {
            return Ok(Key(key));
        }
        let mut key = [0; 32];
        let made = getrandom::fill(&mut key).map_err(std::io::Error::other);
        made.map_err(FileError::at("make", &self.key))?;
        files::replace(&self.key, &key, 0o600)?;
        Ok(Key(key))
    }

    /// Stores a baseline.
    pub(crate) fn save_baseline(&self, baseline: &Baseline) -> Result<(), FileError> {
        save(&self.baseline_path(&baseline.grant), baseline)
    }
    /// A grant's baseline; `None` if there is none, an error if it is damaged.
    pub(crate) fn baseline(&self, grant: &GrantId) -> Result<Option<Baseline>, FileError> {
        let found: Option<Baseline> = load(&self.baseline_path(grant))?;
        Ok(found.filter(|baseline| baseline.grant == *grant && baseline.format == FORMAT))
    }
    /// The grants that have one: a receipt is owed for each.
    pub(crate) fn baselines(&self) -> Vec<GrantId> {
        names(&self.baselines, ".json")
    }

    /// Stores an order.
    pub(crate) fn save_order(&self, order: &Order) -> Result<(), FileError> {
        save(&self.order_path(&order.grant), order)
    }
    /// A grant's order.
    pub(crate) fn order(&self, grant: &GrantId) -> Result<Option<Order>, FileError> {
        load(&self.order_path(grant))
    }
    /// The grants that are to be swept.
    pub(crate) fn orders(&self) -> Vec<GrantId> {
        names(&self.sweeps, ".order.json")
    }

    /// Stores an outcome.
    pub(crate) fn save_outcome(&self, grant: &GrantId, outcome: &Outcome) -> Result<(), FileError> {
        save(&self.outcome_path(grant), outcome)
    }
    /// A sweep's outcome, once there is one.
    pub(crate) fn outcome(&self, grant: &GrantId) -> Result<Option<Outcome>, FileError> {
        load(&self.outcome_path(grant))
    }

    /// Forgets an outcome, before its sweep is done again.
    pub(crate) fn forget_outcome(&self, grant: &GrantId) -> Result<(), FileError> {
        files::remove(&self.outcome_path(grant))
    }
    /// Forgets all of a grant but its copies: its receipt is recorded.
    pub(crate) fn forget(&self, grant: &GrantId) -> Result<(), FileError> {
        // The baseline goes last: while it is there, a receipt is owed.
        files::remove(&self.outcome_path(grant))?;
        files::remove(&self.order_path(grant))?;
        files::remove(&self.baseline_path(grant))
    }
}

fn save(path: &Path, what: &impl Serialize) -> Result<(), FileError> {
    let bytes = serde_json::to_vec(what).map_err(std::io::Error::other);
    files::replace(path, &bytes.map_err(FileError::at("write", path))?, 0o600)
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let Some(bytes) = files::read(path, MAX_BYTES)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes).map_err(std::io::Error::other);
    read.map(Some).map_err(FileError::at("read", path))
}

fn names(folder: &Path, end: &str) -> Vec<GrantId> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = found.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| GrantId::new(name.strip_suffix(end)?.to_owned()).ok()).collect()
}
