//! Recordings of what commands printed: from the hosts, and for auditors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest recording, in bytes.
pub const MAX_RECORDING_BYTES: u64 = 64 * 1024 * 1024;
/// The most bytes of a recording in one call of a host.
pub const MAX_PART_BYTES: usize = 256 * 1024;

/// The answer to `PUT /v1/host/recordings/{run}?at=N`, whose body are the bytes from `at` on: an empty body only asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingHeld {
    /// How many bytes the broker holds, from 0 without a gap: the next part begins there.
    pub have: u64,
    /// Once it holds all of them durably: the envelope of a recording's mark, signed by the broker's pulse key.
    pub mark: Option<String>,
}

/// What the record says of a recording, and whether the broker holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingView {
    /// The host.
    pub host: String,
    /// The run, as the host's journal names it.
    pub run: String,
    /// The grant, if one is known there.
    pub grant: Option<String>,
    /// Whose command.
    pub user: String,
    /// As whom it ran.
    pub run_as: String,
    /// The program.
    pub command: String,
    /// Its arguments, the first one its name.
    pub argv: Vec<String>,
    /// When it began (unix seconds), by the host's clock.
    pub began: i64,
    /// How long the recording is, once the command has ended.
    pub bytes: Option<u64>,
    /// Its SHA-256, hexadecimal.
    pub sha256: Option<String>,
    /// Whether it goes to the command's end.
    pub whole: Option<bool>,
    /// When the broker had all of it (unix seconds); until then it is on the host.
    pub received: Option<i64>,
}

/// The query of `GET /v1/recordings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WhichRecordings {
    /// Of this host only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of this grant only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Of runs that begin like this only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// How many at most: 500 if not given, 5000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}
