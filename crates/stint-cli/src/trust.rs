//! Trust from the pin: what the broker hands out is verified here, not believed.

use stint_grant::dsse::Verified;
use stint_grant::ids::Sha256Hex;
use stint_grant::root::{self, Root};
use stint_grant::roster::{self, Roster};
use stint_grant::time::UnixTime;

use crate::exit::{Failure, Outcome};

/// Walks the roots from the pinned first one to the newest, which must hold now.
pub(crate) fn walk(envelopes: &[String], pin: &Sha256Hex, now: UnixTime) -> Outcome<Verified<Root>> {
    let newest = walk_at_any_time(envelopes, pin)?;
    newest.check_time(now).map_err(Failure::unverified)?;
    Ok(newest)
}

/// The same, though the newest may have ended: it still says who signs the one that follows.
pub(crate) fn walk_at_any_time(envelopes: &[String], pin: &Sha256Hex) -> Outcome<Verified<Root>> {
    let (first, rest) =
        envelopes.split_first().ok_or_else(|| Failure::unverified("root: the broker has handed out none"))?;
    let mut newest = root::open_pinned(first.as_bytes(), pin).map_err(|e| match e {
        root::RootError::NotPinned { found, pinned } => Failure::unverified(format!(
            "root: its hash is {found}, not the pinned {pinned}"
        ))
        .next("ask an administrator which root pin is right; until then trust nothing from this broker"),
        other => Failure::unverified(other),
    })?;
    for envelope in rest {
        newest = root::rotate(&newest, envelope.as_bytes()).map_err(Failure::unverified)?;
    }
    Ok(newest)
}

/// Verifies a roster against the newest root.
pub(crate) fn roster(envelope: &str, root: &Verified<Root>, now: UnixTime) -> Outcome<Verified<Roster>> {
    roster::open(envelope.as_bytes(), root, None, now).map_err(Failure::unverified)
}
