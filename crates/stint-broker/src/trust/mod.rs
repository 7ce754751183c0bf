//! What the fleet trusts: the chain of roots, the roster, and the broker's own online keys.

pub mod ca;
pub mod keys;
pub mod renew;
pub(crate) mod routes;
pub mod store;

use stint_grant::dsse::Verified;
use stint_grant::ids::Sha256Hex;
use stint_grant::keys::PublicKey;
use stint_grant::root::{self, Root, RootError};
use stint_grant::roster::{self, Roster};
use stint_grant::time::UnixTime;

use crate::error::{Outcome, Problem};

/// The roots, verified from the first, and the roster's text.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The hash of the first root: what join tokens carry.
    pub pin: Sha256Hex,
    /// All roots, version 1 first.
    pub roots: Vec<String>,
    /// The newest root.
    pub root: Verified<Root>,
    /// The roster's envelope, once there is one.
    pub roster: Option<String>,
}

impl Trust {
    /// Verifies the chain from the pin.
    pub fn open(pin: Sha256Hex, roots: Vec<String>, roster: Option<String>) -> Result<Self, RootError> {
        let first = roots.first().map_or(&b""[..], String::as_bytes);
        let mut newest = root::open_pinned(first, &pin)?;
        for envelope in roots.iter().skip(1) {
            newest = root::rotate(&newest, envelope.as_bytes())?;
        }
        Ok(Self { pin, roots, root: newest, roster })
    }

    /// The roster as it counts now.
    pub fn roster(&self, now: UnixTime) -> Outcome<Verified<Roster>> {
        let envelope = self.roster.as_deref().ok_or_else(|| {
            Problem::conflict(
                "there is no roster of reviewers yet",
                "sign one offline with `stint roster sign`, and publish it with `stint roster publish`",
            )
        })?;
        roster::open(envelope.as_bytes(), &self.root, None, now)
            .map_err(|e| Problem::conflict(e.to_string(), "sign and publish a new roster"))
    }

    /// Whether the root lets these keys sign bundles, pulses and SSH certificates.
    pub fn lets_sign(&self, [bundle, pulse, certificate]: &[PublicKey; 3]) -> bool {
        self.root.bundle_signers().keys.contains(&bundle)
            && self.root.pulse_signers().keys.contains(&pulse)
            && self.root.certificate_signers().keys.contains(&certificate)
    }
}
