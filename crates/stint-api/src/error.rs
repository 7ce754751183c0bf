//! Errors as the broker says them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error: what happened, to what, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// A stable short word: `not-found`, `bad-input`, `denied`, `conflict`, `unauthenticated`, `unavailable`, `busy` (try
    /// again after what `Retry-After` says), `internal`.
    pub code: String,
    /// What happened, to what.
    pub message: String,
    /// The next step, if there is one.
    pub next: Option<String>,
}
