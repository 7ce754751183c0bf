//! Locks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::grants::Effect;

/// `POST /v1/locks`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLock {
    /// `principal`, `host` or `grant`.
    pub kind: String,
    /// Its name or id.
    pub target: String,
    /// Why; shown to whom it meets.
    pub reason: String,
    /// For how long (seconds); until removed if not given.
    pub duration: Option<u64>,
}

/// `GET /v1/locks`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LockView {
    /// Its id.
    pub id: String,
    /// `principal`, `host` or `grant`.
    pub kind: String,
    /// Its name or id.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Who set it.
    pub by: String,
    /// Since when (unix seconds).
    pub since: i64,
    /// Until when, if it ends by itself (unix seconds).
    pub until: Option<i64>,
    /// How far it has come.
    pub effect: Effect,
}
