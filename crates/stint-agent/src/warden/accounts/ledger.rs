//! What the warden has put into the host's files, durable, and written down before it is done.
//!
//! What is not in here stood before, or is somebody else's: it is never taken away. What is in here is taken back when no live grant
//! wants it, whatever happened in between.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stint_grant::ids::{GrantId, GroupName, UserName};
use stint_grant::rights::AccountRight;

use crate::warden::files::{self, FileError};

/// The largest file that is read back.
const MAX_BYTES: usize = 16 * 1024 * 1024;
const FORMAT: u32 = 1;

/// A place in a group that is ours to take back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    /// Who.
    pub(crate) user: UserName,
    /// Their number.
    pub(crate) uid: u32,
    /// In which group.
    pub(crate) group: GroupName,
    /// Its number.
    pub(crate) gid: u32,
    /// A grant that it was made for: the record names it.
    pub(crate) grant: GrantId,
    /// The boot in which it was written down, ...
    pub(crate) boot_id: String,
    /// ... and when, in clock ticks since that boot. No process can hold the group by us that began before.
    pub(crate) since: u64,
    /// It was seen to stand, and recorded.
    pub(crate) given: bool,
}

/// An account that is ours to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    /// Its name.
    pub(crate) user: UserName,
    /// Its number.
    pub(crate) uid: u32,
    /// What it is like.
    pub(crate) right: AccountRight,
    /// The grant that it was made for: its home and its archive are named after it.
    pub(crate) grant: GrantId,
    /// All grants that it has served: it goes on as long as one of them lives.
    pub(crate) grants: BTreeSet<GrantId>,
    /// It is made whole.
    pub(crate) made: bool,
}

/// Everything that is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    format: u32,
    /// The number of the last order.
    pub(super) last_order: u64,
    /// Places in groups.
    pub(super) memberships: Vec<Membership>,
    /// Accounts.
    pub(super) accounts: Vec<Account>,
    /// Numbers that accounts had: none is used again, since files of theirs may lie about.
    pub(super) spent: BTreeSet<u32>,
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerError {
    /// It cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// It is damaged. Nothing is guessed.
    #[error(
        "{} is damaged ({why}): what grants gave in /etc/group is not known any more. Look there, then move the file away",
        path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            format: FORMAT,
            last_order: 0,
            memberships: Vec::new(),
            accounts: Vec::new(),
            spent: BTreeSet::new(),
        }
    }
}

impl Ledger {
    /// Reads it. One that is not there is empty.
    pub(super) fn load(path: &Path) -> Result<Self, LedgerError> {
        let Some(bytes) = files::read(path, MAX_BYTES)? else { return Ok(Self::default()) };
        let damaged = |why: String| LedgerError::Damaged { path: path.to_owned(), why };
        let ledger: Self = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        match ledger.format {
            FORMAT => Ok(ledger),
            other => Err(damaged(format!("format {other} is not known here"))),
        }
    }
    /// Writes it durably.
    pub(super) fn save(&self, path: &Path) -> Result<(), FileError> {
        let bytes = serde_json::to_vec(self).expect("a ledger is plain data");
        files::replace(path, &bytes, 0o600)
    }
    /// The entry of an account.
    pub(super) fn account(&self, user: &UserName) -> Option<&Account> {
        self.accounts.iter().find(|account| account.user == *user)
    }
    /// The entry of a place in a group.
    pub(super) fn membership(&self, user: &UserName, group: &GroupName) -> Option<&Membership> {
        self.memberships.iter().find(|m| m.user == *user && m.group == *group)
    }
}
