//! `/run/stint/status.json`: how the warden stands, for `stintd status`.

use serde::{Deserialize, Serialize};

use super::files::{self, FileError};
use super::paths::Paths;
use crate::journal::JournalStatus;

/// Everything that `stintd status` shows of the warden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The file's format.
    pub(crate) format: u32,
    /// When it was written, by the host's own rule of time (unix seconds).
    pub(crate) at: i64,
    /// `inert`, `observe` or `enforce`.
    pub(crate) mode: String,
    /// The fleet.
    pub(crate) fleet: String,
    /// This host's name.
    pub(crate) host: String,
    /// The newest bundle.
    pub(crate) bundle: Option<BundleStatus>,
    /// Whether the courier is there, and its stream to the broker is open.
    pub(crate) courier: CourierStatus,
    /// The grants in force.
    pub(crate) live: Vec<LiveStatus>,
    /// How many sessions are registered.
    pub(crate) sessions: usize,
    /// The grants that this host refused.
    pub(crate) refused: Vec<RefusedStatus>,
    /// The last receipts since the warden started, the newest last.
    #[serde(default)]
    pub(crate) receipts: Vec<ReceiptStatus>,
    /// The journal.
    pub(crate) journal: JournalStatus,
    /// What is wrong, in words for people. Empty if nothing is.
    pub(crate) faults: Vec<String>,
}

/// The newest bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BundleStatus {
    /// Its epoch.
    pub(crate) epoch: u64,
    /// Its version.
    pub(crate) version: u64,
    /// How old the news from the broker are, in seconds.
    pub(crate) pulse_age: u64,
    /// How many locks it holds.
    pub(crate) locks: usize,
}

/// The courier as the warden sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CourierStatus {
    /// Whether it is there.
    pub(crate) present: bool,
    /// Whether its stream to the broker is open.
    pub(crate) connected: bool,
}

/// A grant in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveStatus {
    /// Which.
    pub(crate) grant: String,
    /// Its entitlement.
    pub(crate) entitlement: String,
    /// Whose.
    pub(crate) principal: String,
    /// The account.
    pub(crate) user: String,
    /// Its end (unix seconds).
    pub(crate) until: i64,
}

/// A grant that this host refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedStatus {
    /// Which.
    pub(crate) grant: String,
    /// Why.
    pub(crate) cause: String,
}

/// What the end of a grant left, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReceiptStatus {
    /// Which.
    pub(crate) grant: String,
    /// In words.
    pub(crate) outcome: String,
}

/// The format that is written.
pub(crate) const FORMAT: u32 = 1;

/// Writes it. Everybody may read it: it names accounts and grants, as the gate does.
pub(crate) fn write(paths: &Paths, status: &Status) -> Result<(), FileError> {
    let bytes = serde_json::to_vec_pretty(status).expect("a status is plain data");
    files::replace_volatile(&paths.status(), &bytes, 0o644)
}

/// Reads it; `None` if the warden has not run in this boot.
pub(crate) fn read(paths: &Paths) -> Result<Option<Status>, FileError> {
    let bytes = files::read(&paths.status(), 16 * 1024 * 1024)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
