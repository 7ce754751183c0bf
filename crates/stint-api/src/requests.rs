//! Requests and reviews.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/requests`: ask for an entitlement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// Which entitlement.
    pub entitlement: String,
    /// On which hosts, each by name.
    pub hosts: Vec<String>,
    /// Why.
    pub reason: String,
    /// The ticket, if there is one.
    pub ticket: Option<String>,
    /// How long (seconds); the entitlement's longest window if not given.
    pub window: Option<u64>,
    /// The earliest start (unix seconds); now if not given.
    pub not_before: Option<i64>,
    /// `routine` (the default) or `incident`; `break_glass` with codes.
    pub class: Option<String>,
    /// SSH key fingerprints that a login must use; any if empty.
    pub credentials: Vec<String>,
    /// SSH public keys (`TYPE BASE64`) that let into the account which the entitlement makes; empty if it makes none.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Verifiers of break-glass codes, for an entitlement that is sealed with them; the codes themselves stay with the requester.
    #[serde(default)]
    pub codes: Vec<NewCode>,
}

/// The verifier of a break-glass code: Argon2id with one lane and 32 bytes, over what names fleet, host, account and code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCode {
    /// The first four characters of the code, which are no secret.
    pub id: String,
    /// The salt: 16 bytes, hexadecimal.
    pub salt: String,
    /// The hash, hexadecimal.
    pub hash: String,
    /// The memory of the hash (KiB).
    pub memory_kib: u32,
    /// The passes over it.
    pub passes: u32,
}

/// `GET /v1/requests/{id}`: a request. The query `?wait_version=N` answers when `version` is above N, or after 25 s.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RequestView {
    /// Its id; the grant's too.
    pub id: String,
    /// Rises with each change.
    pub version: u64,
    /// `pending`, `approved`, `denied`, `cancelled`, `expired`.
    pub state: String,
    /// Who asked.
    pub principal: String,
    /// The entitlement.
    pub entitlement: String,
    /// The hosts.
    pub hosts: Vec<String>,
    /// Why.
    pub reason: String,
    /// The ticket.
    pub ticket: Option<String>,
    /// When it was made (unix seconds).
    pub created_at: i64,
    /// By when the grant must be activated (unix seconds).
    pub claim_by: i64,
    /// How long the window is (seconds).
    pub window: u64,
    /// The text of the terms: exactly what the hosts will enforce, and what a review signs.
    pub terms: String,
    /// Reviews needed.
    pub reviews_needed: u32,
    /// Reviews so far.
    pub reviews: Vec<ReviewView>,
    /// Why it was cancelled, if not by the requester.
    #[serde(default)]
    pub cancelled_why: Option<String>,
}

/// A review that was taken.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewView {
    /// Who.
    pub reviewer: String,
    /// `approve` or `deny`.
    pub decision: String,
    /// When the broker took it (unix seconds).
    pub at: i64,
    /// What the reviewer added for the requester.
    pub comment: Option<String>,
}

/// `POST /v1/requests/{id}/reviews`: a signed review.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReview {
    /// The text of the statement.
    pub statement: String,
    /// The SSHSIG in its armour.
    pub signature: String,
    /// A word for the requester; not signed.
    pub comment: Option<String>,
}
