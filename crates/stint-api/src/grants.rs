//! Grants.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/grants/{id}`: a grant. `?wait_version=N` as for requests.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantView {
    /// Its id; the request's too.
    pub id: String,
    /// Rises with each change.
    pub version: u64,
    /// `claimable`, `active`, `expired`, `ended`, `revoked`, `lapsed` (never claimed).
    pub state: String,
    /// Whose it is.
    pub principal: String,
    /// The local account.
    pub user: String,
    /// The entitlement.
    pub entitlement: String,
    /// The hosts.
    pub hosts: Vec<String>,
    /// By when it must be activated (unix seconds).
    pub claim_by: i64,
    /// When the window began (unix seconds).
    pub from: Option<i64>,
    /// When it ends (unix seconds).
    pub until: Option<i64>,
    /// How much can be added yet (seconds).
    pub extension_left: u64,
    /// Who ended or revoked it.
    pub ended_by: Option<String>,
    /// Why it was revoked.
    pub end_reason: Option<String>,
    /// On how many hosts the newest change took effect.
    pub effect: Effect,
    /// What each host says was left when the grant had ended.
    pub receipts: Vec<ReceiptView>,
    /// Whether it is sealed: active means that its codes are good, and it permits nothing until one opens it on its host.
    #[serde(default)]
    pub sealed: bool,
    /// When codes opened it, as its host says, oldest first.
    #[serde(default)]
    pub openings: Vec<OpeningView>,
}

/// A window of a sealed grant that a break-glass code opened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpeningView {
    /// The host.
    pub host: String,
    /// The first characters of the code.
    pub code: String,
    /// What whoever used it gave as the reason; any text.
    pub reason: String,
    /// When, by the host (unix seconds).
    pub at: i64,
    /// Until when (unix seconds).
    pub until: i64,
}

/// What a host says was left when a grant had ended, in short; all of it stands in the host's journal.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReceiptView {
    /// The host.
    pub host: String,
    /// `clean`, or what is to be looked at.
    pub outcome: String,
    /// When it was made, by the host (unix seconds).
    pub at: i64,
}

/// How far a change has come: `effective on 47 of 48 hosts in 0.8 s`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Effect {
    /// Each host that it concerns.
    pub hosts: Vec<HostEffect>,
}

/// How far a change has come on one host.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HostEffect {
    /// The host.
    pub host: String,
    /// Milliseconds from the change to the host's signed acknowledgement; none yet if absent.
    pub effective_after_ms: Option<u64>,
    /// What the host said if it refused the grant.
    pub refused: Option<String>,
}

/// `POST /v1/grants/{id}/certificate`: an SSH certificate for a login by a grant that is active.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCertificate {
    /// For which of the grant's hosts.
    pub host: String,
    /// The public key that it certifies, as OpenSSH writes it.
    pub public_key: String,
}

/// An SSH certificate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// The certificate, as OpenSSH writes it.
    pub certificate: String,
    /// Its number, as sshd writes it to its log.
    pub serial: u64,
    /// The account on the host.
    pub user: String,
    /// Networks from which it holds; anywhere if empty.
    pub origins: Vec<String>,
    /// When it ends (unix seconds).
    pub until: i64,
}

/// `POST /v1/grants/{id}/revoke`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Why.
    pub reason: String,
}

/// `POST /v1/grants/{id}/extend`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// How much longer (seconds).
    pub by: u64,
}
