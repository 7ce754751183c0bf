//! What sudo tells of a command.

use serde::{Deserialize, Serialize};

use crate::Hash;
use crate::strict::present;

/// A command as sudo was asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each field says what it is")]
pub struct CommandLine {
    pub user: String,
    pub run_as: String,
    pub command: String,
    /// Its arguments, the first one its name.
    pub argv: Vec<String>,
    /// SHA-256 over all arguments, each with a NUL after it, where `argv` does not hold all of them.
    #[serde(deserialize_with = "present")]
    pub argv_sha256: Option<Hash>,
    pub cwd: String,
    #[serde(deserialize_with = "present")]
    pub tty: Option<String>,
}

/// What a command printed, in a file of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each field says what it is")]
pub struct IoLog {
    pub bytes: u64,
    pub sha256: Hash,
    /// Whether all of it is there, up to the command's end.
    pub whole: bool,
}
