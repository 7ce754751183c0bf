//! The next root, signed offline: the same keys and roles for another year, or a new epoch after a disaster. Pure.

use ed25519_dalek::SigningKey;
use stint_grant::dsse;
use stint_grant::root::{self, Root, RootError};
use stint_grant::time::{Seconds, UnixTime};

/// What is to change.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// The time.
    pub now: UnixTime,
    /// How long the next root holds.
    pub life: Seconds,
    /// Whether it begins a new epoch: then all bundles of the old one are void, and versions may begin anew.
    pub new_epoch: bool,
}

/// Makes and signs the root that follows `current`. Refused if `key` alone does not reach the threshold.
pub fn next(current: &[u8], key: &SigningKey, renewal: Renewal) -> Result<Vec<u8>, RootError> {
    let current = root::open_pinned(current, &root::pin_of(current))?;
    let next = Root {
        version: current.version.saturating_add(1),
        issued_at: renewal.now,
        expires_at: renewal.now.plus(renewal.life),
        epoch: current.epoch.saturating_add(u64::from(renewal.new_epoch)),
        ..Root::clone(&current)
    };
    let envelope = dsse::sign(&next, &[key]);
    root::rotate(&current, &envelope)?;
    Ok(envelope)
}
