//! Hosts: for people, and the host's own side (enrolment, updates, acknowledgements).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/hosts`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HostView {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `invited`, `enrolled`, `locked`.
    pub state: String,
    /// Whether its stream is open now.
    pub connected: bool,
    /// When the broker last heard from it (unix seconds).
    pub last_seen: Option<i64>,
    /// The version of the newest bundle made for it.
    pub bundle_version: u64,
    /// The version that it acknowledged.
    pub acknowledged_version: Option<u64>,
    /// `inert`, `observe`, `enforce`, as the host last said.
    pub mode: Option<String>,
    /// How many of its journal's records are held durably here.
    pub journal_size: u64,
}

/// `POST /v1/hosts/join` (administrator): invite a host.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteHost {
    /// The name that it will have.
    pub host: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How long the token holds (seconds); one hour if not given.
    pub ttl: Option<u64>,
}

/// The token, shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// The host.
    pub host: String,
    /// The text of a [`crate::token::JoinToken`].
    pub token: String,
    /// When it ends (unix seconds).
    pub expires_at: i64,
}

/// The DSSE payload type of [`EnrollRequest`].
pub const ENROLL_PAYLOAD_TYPE: &str = "application/vnd.stint.enroll+json";
/// The DSSE payload type of [`Acknowledgement`].
pub const ACK_PAYLOAD_TYPE: &str = "application/vnd.stint.acknowledgement+json";

/// The payload of `POST /v1/host/enroll`, whose body is a DSSE envelope signed by the identity key in it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// The token's secret.
    pub secret: String,
    /// The host's identity public key, base64.
    pub identity_key: String,
    /// A certificate signing request (PEM) for the transport key.
    pub transport_csr: String,
    /// SHA-256 of the machine-id, hexadecimal: a copied disk shows.
    pub machine: String,
    /// The newest format of each signed document that the host reads.
    pub formats: u32,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Enrolled {
    /// The fleet.
    pub fleet: String,
    /// The name of the host.
    pub host: String,
    /// The certificate for the transport key (PEM).
    pub certificate: String,
    /// The broker's CA (PEM).
    pub ca: String,
    /// All roots, version 1 first.
    pub roots: Vec<String>,
}

/// `POST /v1/host/renew` over mTLS: a new certificate for the same host.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// A certificate signing request (PEM).
    pub transport_csr: String,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Renewed {
    /// The new certificate (PEM).
    pub certificate: String,
}

/// All that a host needs: the event `update` of `GET /v1/host/stream` (server-sent events over mTLS), and the answer of the polling
/// fallback `GET /v1/host/update`. The event `pulse` of the stream carries the pulse's envelope alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostUpdate {
    /// All roots, version 1 first.
    pub roots: Vec<String>,
    /// The roster's envelope, once there is one.
    pub roster: Option<String>,
    /// The head's envelope.
    pub head: String,
    /// The shards' texts, in the order of the accounts' names.
    pub shards: Vec<String>,
    /// The reviews of the grants in it.
    pub reviews: Vec<WireReview>,
    /// The pulse's envelope.
    pub pulse: String,
}

/// The largest update, in bytes of JSON. The broker makes none that is larger, and every step on the host takes one of this size.
pub const MAX_UPDATE_BYTES: usize = 60 * 1024 * 1024;

/// A review as it travels to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WireReview {
    /// The text of the statement.
    pub statement: String,
    /// The SSHSIG in its armour.
    pub signature: String,
}

/// The payload of `POST /v1/host/ack`, whose body is a DSSE envelope signed by the host's identity key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The host.
    pub host: String,
    /// The bundle's epoch.
    pub epoch: u64,
    /// The bundle's version.
    pub version: u64,
    /// The digest of its head.
    pub head: String,
    /// The grants that the host refused.
    pub refused: Vec<RefusedOnHost>,
    /// `inert`, `observe` or `enforce`.
    pub mode: String,
    /// By the host's clock (unix seconds).
    pub at: i64,
}

/// A grant that the host refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedOnHost {
    /// Which.
    pub grant: String,
    /// Why.
    pub cause: String,
}
