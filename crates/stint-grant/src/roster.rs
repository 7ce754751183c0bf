//! The roster: who may review, with which keys. Signed by a key that root delegated, never by an online one.

use std::collections::BTreeMap;

use crate::dsse::{self, Document, EnvelopeError, Verified};
use crate::ids::{FleetName, Principal};
use crate::root::Root;
use crate::strict::document;
use crate::time::UnixTime;

document! {
    /// All reviewers of a fleet.
    pub struct Roster {
        /// The document's format.
        pub format: u32,
        /// The fleet.
        pub fleet: FleetName,
        /// Only rises.
        pub version: u64,
        /// When it was made.
        pub issued_at: UnixTime,
        /// After this no review counts.
        pub expires_at: UnixTime,
        /// The reviewers, each once.
        pub reviewers: Vec<Reviewer>,
    }
}
document! {
    /// One person who may review.
    pub struct Reviewer {
        /// Who.
        pub name: Principal,
        /// Their SSH public keys, as in `authorized_keys`: type, base64, comment.
        pub keys: Vec<String>,
        /// The groups that policies and ceilings may ask for.
        pub groups: Vec<String>,
    }
}

impl Document for Roster {
    const PAYLOAD_TYPE: &'static str = "application/vnd.stint.roster+json";
    const FORMAT: u32 = 1;
    fn format(&self) -> u32 {
        self.format
    }
}

/// Why a roster was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// The envelope does not hold.
    #[error("roster: {0}")]
    Envelope(#[from] EnvelopeError),
    /// For another fleet.
    #[error("roster: it is for fleet {0}, not for this one")]
    OtherFleet(FleetName),
    /// Older than the one that is known.
    #[error("roster: version {found} is behind version {known} that is known already")]
    Rollback {
        /// The version that it has.
        found: u64,
        /// The highest version seen.
        known: u64,
    },
    /// Past its end.
    #[error("roster: it ended at {0}: sign and publish a new roster")]
    Expired(UnixTime),
    /// A reviewer stands twice.
    #[error("roster: reviewer {0} stands in it twice")]
    Repeated(Principal),
    /// One key of two reviewers: its holder would count as two people.
    #[error("roster: {0} and {1} have one and the same key: each reviewer needs their own")]
    SharedKey(Principal, Principal),
    /// The root that vouches for it is past its end.
    #[error("roster: the root that vouches for it ended at {0}: sign and publish a new root")]
    RootExpired(UnixTime),
}

/// Verifies a roster: the root's end, signature, fleet, version at least `known`, end, no reviewer twice, no key of two reviewers.
pub fn open(
    envelope: &[u8],
    root: &Verified<Root>,
    known: Option<u64>,
    now: UnixTime,
) -> Result<Verified<Roster>, RosterError> {
    root.check_time(now).map_err(|_| RosterError::RootExpired(root.expires_at))?;
    let roster: Verified<Roster> = dsse::verify(envelope, &[root.roster_signers()])?;
    if roster.fleet != root.fleet {
        return Err(RosterError::OtherFleet(roster.fleet.clone()));
    }
    if let Some(known) = known.filter(|known| roster.version < *known) {
        return Err(RosterError::Rollback { found: roster.version, known });
    }
    if now > roster.expires_at {
        return Err(RosterError::Expired(roster.expires_at));
    }
    let mut names: Vec<_> = roster.reviewers.iter().map(|r| &r.name).collect();
    names.sort();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(RosterError::Repeated(pair[0].clone()));
    }
    check_keys(&roster)?;
    Ok(roster)
}

/// The base64 of a key stands second in its line; it is all that makes the key.
fn check_keys(roster: &Roster) -> Result<(), RosterError> {
    let mut holders = BTreeMap::new();
    for reviewer in &roster.reviewers {
        for key in reviewer.keys.iter().filter_map(|line| line.split_ascii_whitespace().nth(1)) {
            let holder = *holders.entry(key).or_insert(&reviewer.name);
            if holder != &reviewer.name {
                return Err(RosterError::SharedKey(holder.clone(), reviewer.name.clone()));
            }
        }
    }
    Ok(())
}
