//! What the warden asks of [`super::hand`], and what it hears back: two files in `/var/lib/stint/accounts`, which only root enters.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stint_grant::ids::{GrantId, GroupName, UserName};
use stint_grant::rights::HomeEnd;

use crate::warden::files::{self, FileError};

/// The largest of either file.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// One change. Each can be made any number of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Step {
    /// Put an account into a group.
    Join {
        /// Who.
        user: UserName,
        /// Into which.
        group: GroupName,
    },
    /// Make an account.
    Make {
        /// Its name.
        user: UserName,
        /// Its number.
        uid: u32,
        /// The grant that it is for.
        grant: GrantId,
        /// Its shell.
        shell: String,
        /// The SSH keys that let in.
        keys: Vec<String>,
    },
    /// End an account.
    End {
        /// Its name.
        user: UserName,
        /// Its number.
        uid: u32,
        /// The grant that it was for.
        grant: GrantId,
        /// What becomes of its home.
        home: HomeEnd,
    },
    /// Take an account out of a group.
    Leave {
        /// Who.
        user: UserName,
        /// Out of which.
        group: GroupName,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// Its number: the instance of the unit, so that no old start carries out a new order.
    pub(super) number: u64,
    /// One after the other.
    pub(super) steps: Vec<Step>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// The order's number.
    pub(super) number: u64,
    /// The steps that could not be done, and why. The others are done.
    pub(super) failed: Vec<(Step, String)>,
    /// What was done and needs words.
    pub(super) told: Vec<(Step, String)>,
}

/// The unit that carries out an order.
pub(super) fn unit(number: u64) -> String {
    format!("stint-accounts@{number}.service")
}

fn order_path(folder: &Path) -> PathBuf {
    folder.join("order.json")
}
fn answer_path(folder: &Path) -> PathBuf {
    folder.join("answer.json")
}

impl Order {
    /// Puts it where it is looked for.
    pub(super) fn write(&self, folder: &Path) -> Result<(), FileError> {
        write(&order_path(folder), self)
    }
    /// The order that lies there.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, String> {
        read(&order_path(folder))
    }
}

impl Answer {
    /// Puts it where it is looked for. The warden hears of it by the name.
    pub(super) fn write(&self, folder: &Path) -> Result<(), FileError> {
        write(&answer_path(folder), self)
    }
    /// The answer that lies there.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, String> {
        read(&answer_path(folder))
    }
}

fn write<T: Serialize>(path: &Path, what: &T) -> Result<(), FileError> {
    let bytes = serde_json::to_vec(what).expect("an order is plain data");
    files::replace(path, &bytes, 0o600)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let bytes = files::read(path, MAX_BYTES).map_err(|e| e.to_string())?;
    let parse = |bytes: Vec<u8>| {
        serde_json::from_slice(&bytes).map_err(|e| format!("{} is not whole: {e}", path.display()))
    };
    bytes.map(parse).transpose()
}
