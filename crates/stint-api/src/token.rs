//! Join tokens and client profiles: what carries the first trust to a new host or a new laptop.

use serde::{Deserialize, Serialize};

const PREFIX: &str = "stint-join-1.";

/// A one-time token that lets one host join. It carries the broker's TLS pin and the root's hash, so the host trusts nothing on first use.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinToken {
    /// The secret, base64url; the broker keeps its hash only.
    pub secret: String,
    /// SHA-256 of the broker's CA certificate (DER), hexadecimal.
    pub ca_pin: String,
    /// SHA-256 of the first root's envelope, hexadecimal.
    pub root: String,
}

/// Not a join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a join token: copy all of what `stint host join` printed, it begins with {PREFIX}")]
pub struct BadToken;

impl JoinToken {
    /// As it is handed over: one word.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_vec(self).expect("a token is plain data");
        format!("{PREFIX}{}", data_encoding::BASE64URL_NOPAD.encode(&json))
    }
    /// Reads what [`Self::to_text`] wrote.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(BadToken)?;
        let json = data_encoding::BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| BadToken)?;
        serde_json::from_slice(&json).map_err(|_| BadToken)
    }
}
