//! The record: shipping and reading.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/host/audit` over mTLS: records that follow what the broker holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShipRecords {
    /// The records' exact texts, in order, without newlines.
    pub records: Vec<String>,
    /// The newest signed checkpoint that covers no more than these records.
    pub checkpoint: Option<String>,
}

/// The answer, and that of `GET /v1/host/audit`: what the broker holds durably and without a gap. The host deletes what lies below it,
/// so all of it stands in what the broker signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedMark {
    /// The envelope of a journal mark, signed by the broker's pulse key.
    pub envelope: String,
}

/// `GET /v1/audit/hosts/{host}?from=N&limit=M`: a host's journal as the broker holds it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JournalPage {
    /// The host.
    pub host: String,
    /// Its identity key, base64.
    pub identity_key: String,
    /// The log's epoch: the newest one if the query did not name another.
    #[serde(default)]
    pub epoch: u64,
    /// The sequence number of the first record here.
    pub from: u64,
    /// The records' exact texts.
    pub records: Vec<String>,
    /// All checkpoints that end within or at this page.
    pub checkpoints: Vec<String>,
    /// How many records there are in all.
    pub size: u64,
}

/// `GET /v1/events?from=N`: the broker's own events.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Rises by one.
    pub seq: u64,
    /// When (unix seconds).
    pub at: i64,
    /// Who did it: a principal, a host, or `broker`.
    pub actor: String,
    /// What kind of event.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// The details.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// Hash of the event before, hexadecimal.
    pub prev: String,
    /// Hash of this event, hexadecimal: see [`EventView::computed_hash`].
    pub hash: String,
}

impl EventView {
    /// SHA-256 of the JSON list `[seq, at, actor, kind, subject, detail, prev]`, without blanks, in hexadecimal. It equals `hash` if
    /// nobody changed the event; the first event's `prev` is 64 zeros.
    pub fn computed_hash(&self) -> String {
        use sha2::{Digest, Sha256};
        let list = serde_json::json!([
            self.seq,
            self.at,
            self.actor,
            self.kind,
            self.subject,
            self.detail,
            self.prev
        ]);
        data_encoding::HEXLOWER.encode(&Sha256::digest(list.to_string().as_bytes()))
    }
}
