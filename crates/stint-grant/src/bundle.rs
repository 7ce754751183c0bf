//! The bundle of one host: a signed head, and for each account a shard that the head's tree commits to.
//!
//! The head holds the root of a Merkle tree over the shards instead of one hash for each account: so it stays a few hundred bytes on
//! a host with ten thousand accounts, and a check costs what the account's own grants cost.

use serde::{Deserialize, Serialize};

use crate::dsse::{self, Document, EnvelopeError, Verified};
use crate::ids::{FleetName, GrantId, HostName, LockId, Principal, Sha256Hex, UserName};
use crate::keys::PublicKey;
use crate::root::Root;
use crate::strict::{self, document};
use crate::terms::CheckedTerms;
use crate::time::{Seconds, UnixTime};
use crate::tree::{self, Proof};

/// The largest shard, in bytes.
pub const MAX_SHARD_BYTES: usize = 512 * 1024;
/// The most grants that one account may have on one host.
pub const MAX_GRANTS_PER_USER: usize = 256;

document! {
    /// The signed head of a host's bundle.
    pub struct Head {
        /// The document's format.
        pub format: u32,
        /// The fleet.
        pub fleet: FleetName,
        /// The host that it is for.
        pub host: HostName,
        /// That host's identity key: another machine of the same name does not have it.
        pub host_key: PublicKey,
        /// The root's epoch.
        pub epoch: u64,
        /// Rises with each bundle of this host in this epoch.
        pub version: u64,
        /// When it was made.
        pub issued_at: UnixTime,
        /// After this nothing in it is believed.
        pub expires_at: UnixTime,
        /// What is blocked now, whatever was granted.
        pub locks: Vec<Lock>,
        /// How many shards there are.
        pub shard_count: u64,
        /// The root of the tree over the shards, in the order of the accounts' names.
        pub shard_root: Sha256Hex,
    }
}
document! {
    /// A lock: it outranks every grant.
    pub struct Lock {
        /// Its id.
        pub id: LockId,
        /// What it blocks.
        pub target: LockTarget,
        /// Why, for the one who meets it.
        pub reason: String,
        /// Since when.
        pub since: UnixTime,
        /// Until when, if it ends by itself.
        pub until: Option<UnixTime>,
    }
}

/// What a lock blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockTarget {
    /// A person: all their grants.
    Principal(Principal),
    /// A local account.
    User(UserName),
    /// The whole host: every managed account.
    Host(HostName),
    /// One grant.
    Grant(GrantId),
}

document! {
    /// All that one account has on one host.
    pub struct Shard {
        /// The document's format.
        pub format: u32,
        /// The fleet.
        pub fleet: FleetName,
        /// The host.
        pub host: HostName,
        /// The account.
        pub user: UserName,
        /// Its grants that were activated and have not ended.
        pub grants: Vec<Grant>,
        /// Grants that ended lately, so that a denial can name the cause. They allow nothing.
        pub endings: Vec<Ending>,
    }
}
document! {
    /// An approved right in its window.
    pub struct Grant {
        /// Its id: the request's in the terms.
        pub id: GrantId,
        /// The text of the terms.
        pub terms: String,
        /// When the window began.
        pub from: UnixTime,
        /// When it ends, extensions included.
        pub until: UnixTime,
        /// The version of the policy that allowed it.
        pub policy: String,
    }
}
impl Grant {
    /// Whether its window is within its terms: begun in time to be claimed, and no longer than window and extensions together. Of a sealed
    /// grant this is the time in which its codes are good: until `claim_by` at the latest.
    pub fn is_within(&self, terms: &CheckedTerms) -> bool {
        let longest = terms.max_window.0.saturating_add(terms.max_extension.0);
        let length = if terms.is_sealed() {
            self.until <= terms.claim_by
        } else {
            self.until.since(self.from).0 <= longest
        };
        self.from >= terms.not_before && self.from <= terms.claim_by && self.until > self.from && length
    }
}

document! {
    /// How a grant ended.
    pub struct Ending {
        /// Which.
        pub grant: GrantId,
        /// How.
        pub how: EndingKind,
        /// By whom, if by a person.
        pub by: Option<Principal>,
        /// When.
        pub at: UnixTime,
    }
}

/// How a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndingKind {
    /// Its window was over.
    Expired,
    /// Its holder gave it back.
    Ended,
    /// Somebody else took it back.
    Revoked,
}
strict::word!(EndingKind { Expired = "expired", Ended = "ended", Revoked = "revoked" });

impl Document for Head {
    const PAYLOAD_TYPE: &'static str = "application/vnd.stint.bundle-head+json";
    const FORMAT: u32 = 1;
    fn format(&self) -> u32 {
        self.format
    }
}

/// Who this host is, and which bundle it saw last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdentity {
    /// Its name.
    pub host: HostName,
    /// Its identity key.
    pub key: PublicKey,
}

document! {
    /// The newest bundle that the host has taken.
    pub struct Seen {
        /// Its epoch.
        pub epoch: u64,
        /// Its version.
        pub version: u64,
        /// The digest of its head.
        pub head: Sha256Hex,
    }
}

/// Why a bundle was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The envelope does not hold.
    #[error("bundle: {0}")]
    Envelope(#[from] EnvelopeError),
    /// For another fleet.
    #[error("bundle: it is for fleet {0}")]
    OtherFleet(FleetName),
    /// For another host, or for another machine that had this name.
    #[error("bundle: it is for host {0} with another key: enrol this host anew")]
    OtherHost(HostName),
    /// In an epoch that the root does not speak for.
    #[error("bundle: its epoch {found} is not the root's epoch {root}")]
    WrongEpoch {
        /// The bundle's.
        found: u64,
        /// The root's.
        root: u64,
    },
    /// Older than what the host has.
    #[error("bundle: version {found} is behind version {known} that this host has")]
    Rollback {
        /// The version that it has.
        found: u64,
        /// The version that the host has.
        known: u64,
    },
    /// The version that the host has, with other contents: somebody signed two.
    #[error(
        "bundle: version {0} was seen before with other contents: the broker's key may be in other hands"
    )]
    Equivocation(u64),
    /// Past its end.
    #[error("bundle: it ended at {0}")]
    Expired(UnixTime),
    /// The root that vouches for it is past its end.
    #[error("bundle: the root that vouches for it ended at {0}: sign and publish a new root")]
    RootExpired(UnixTime),
    /// The shards are not those that the head commits to.
    #[error("bundle: its shards are not those that its head names")]
    Shards,
    /// A shard is malformed.
    #[error("bundle: the shard of one account is not well-formed: {0}")]
    Shard(String),
}

/// Verifies a head for this host at this time, and refuses one that is over.
pub fn open_head(
    envelope: &[u8],
    root: &Verified<Root>,
    me: &HostIdentity,
    seen: Option<&Seen>,
    now: UnixTime,
) -> Result<Verified<Head>, BundleError> {
    let head = open_head_that_may_be_over(envelope, root, me, seen, now)?;
    head.check_time(now)?;
    Ok(head)
}

/// Verifies a head for this host at this time, but for its end: sealed grants outlive it. `seen` is the newest bundle that the host has
/// taken.
///
/// The checks stand in the order of what they stop: vouched for by a root that ended, forged, another fleet's, another host's,
/// another epoch's, rolled back or equivocated.
pub fn open_head_that_may_be_over(
    envelope: &[u8],
    root: &Verified<Root>,
    me: &HostIdentity,
    seen: Option<&Seen>,
    now: UnixTime,
) -> Result<Verified<Head>, BundleError> {
    root.check_time(now).map_err(|_| BundleError::RootExpired(root.expires_at))?;
    let head: Verified<Head> = dsse::verify(envelope, &[root.bundle_signers()])?;
    if head.fleet != root.fleet {
        return Err(BundleError::OtherFleet(head.fleet.clone()));
    }
    if head.host != me.host || head.host_key != me.key {
        return Err(BundleError::OtherHost(head.host.clone()));
    }
    if head.epoch != root.epoch {
        return Err(BundleError::WrongEpoch { found: head.epoch, root: root.epoch });
    }
    // An older root, shown again, speaks for the epoch that a newer one made void.
    if let Some(seen) = seen.filter(|seen| seen.epoch > head.epoch) {
        return Err(BundleError::WrongEpoch { found: head.epoch, root: seen.epoch });
    }
    if let Some(seen) = seen.filter(|seen| seen.epoch == head.epoch) {
        if head.version < seen.version {
            return Err(BundleError::Rollback { found: head.version, known: seen.version });
        }
        if head.version == seen.version && *head.digest() != seen.head {
            return Err(BundleError::Equivocation(head.version));
        }
    }
    Ok(head)
}

impl Head {
    /// Refuses a head that is over.
    pub fn check_time(&self, now: UnixTime) -> Result<(), BundleError> {
        if now > self.expires_at { Err(BundleError::Expired(self.expires_at)) } else { Ok(()) }
    }
}

/// A shard that a verified head commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedShard(Shard);

impl std::ops::Deref for VerifiedShard {
    type Target = Shard;
    fn deref(&self) -> &Shard {
        &self.0
    }
}

/// Takes one shard by its proof.
pub fn open_shard(head: &Verified<Head>, bytes: &[u8], proof: &Proof) -> Result<VerifiedShard, BundleError> {
    check_size(bytes)?;
    if !tree::includes(&head.shard_root, head.shard_count, bytes, proof) {
        return Err(BundleError::Shards);
    }
    parse_shard(head, bytes)
}

/// Takes all shards at once: they must be all that the head commits to, in order, each account once.
pub fn open_all_shards(head: &Verified<Head>, shards: &[Vec<u8>]) -> Result<Vec<VerifiedShard>, BundleError> {
    shards.iter().try_for_each(|bytes| check_size(bytes))?;
    let whole = shards.len() as u64 == head.shard_count && tree::root(shards) == head.shard_root;
    if !whole {
        return Err(BundleError::Shards);
    }
    let shards: Vec<_> = shards.iter().map(|bytes| parse_shard(head, bytes)).collect::<Result<_, _>>()?;
    if shards.windows(2).any(|pair| pair[0].user >= pair[1].user) {
        return Err(BundleError::Shards);
    }
    Ok(shards)
}

fn check_size(bytes: &[u8]) -> Result<(), BundleError> {
    if bytes.len() > MAX_SHARD_BYTES {
        return Err(BundleError::Shard(format!("{} bytes, more than {MAX_SHARD_BYTES}", bytes.len())));
    }
    Ok(())
}

fn parse_shard(head: &Head, bytes: &[u8]) -> Result<VerifiedShard, BundleError> {
    let shard: Shard = serde_json::from_slice(bytes).map_err(|e| BundleError::Shard(e.to_string()))?;
    if shard.format != 1 {
        return Err(BundleError::Shard(format!("format {} is not known here", shard.format)));
    }
    if shard.fleet != head.fleet || shard.host != head.host {
        return Err(BundleError::Shard("it is for another fleet or host".to_owned()));
    }
    if shard.grants.len() > MAX_GRANTS_PER_USER {
        return Err(BundleError::Shard(format!("more than {MAX_GRANTS_PER_USER} grants")));
    }
    Ok(VerifiedShard(shard))
}

document! {
    /// The freshness of one host's bundle. It has no end of its own.
    pub struct Pulse {
        /// The document's format.
        pub format: u32,
        /// The fleet.
        pub fleet: FleetName,
        /// The host.
        pub host: HostName,
        /// The digest of the head that is current.
        pub head: Sha256Hex,
        /// That head's epoch.
        pub epoch: u64,
        /// That head's version.
        pub version: u64,
        /// When it was signed.
        pub issued_at: UnixTime,
    }
}

impl Document for Pulse {
    const PAYLOAD_TYPE: &'static str = "application/vnd.stint.pulse+json";
    const FORMAT: u32 = 1;
    fn format(&self) -> u32 {
        self.format
    }
}

/// Why a pulse was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PulseError {
    /// The envelope does not hold.
    #[error("pulse: {0}")]
    Envelope(#[from] EnvelopeError),
    /// For another fleet or host.
    #[error("pulse: it is for another fleet or host ({0})")]
    OtherHost(HostName),
    /// It names another bundle than the one at hand.
    #[error("pulse: it names version {named} of the bundle, the one at hand is {at_hand}")]
    OtherBundle {
        /// The version that it names.
        named: u64,
        /// The version at hand.
        at_hand: u64,
    },
    /// Signed for a time to come: it would stay fresh whatever is taken back until then.
    #[error("pulse: it was signed for {issued_at}, and this host's time is {now}")]
    Ahead {
        /// When it says that it was signed.
        issued_at: UnixTime,
        /// The host's now.
        now: UnixTime,
    },
}

/// How far a pulse may be ahead of the host's now: a host that takes one moves its floor up to it, so this is for rounding.
const AHEAD: Seconds = Seconds(60);

/// Verifies a pulse for a head.
pub fn open_pulse(
    envelope: &[u8],
    root: &Verified<Root>,
    head: &Verified<Head>,
) -> Result<Verified<Pulse>, PulseError> {
    let pulse: Verified<Pulse> = dsse::verify(envelope, &[root.pulse_signers()])?;
    if pulse.fleet != head.fleet || pulse.host != head.host {
        return Err(PulseError::OtherHost(pulse.host.clone()));
    }
    if pulse.head != *head.digest() || pulse.epoch != head.epoch || pulse.version != head.version {
        return Err(PulseError::OtherBundle { named: pulse.version, at_hand: head.version });
    }
    Ok(pulse)
}

impl Pulse {
    /// Refuses a pulse from the future.
    pub fn check_time(&self, now: UnixTime) -> Result<(), PulseError> {
        if self.issued_at > now.plus(AHEAD) {
            return Err(PulseError::Ahead { issued_at: self.issued_at, now });
        }
        Ok(())
    }
    /// How old it is, by the host's own now.
    pub fn age(&self, now: UnixTime) -> Seconds {
        now.since(self.issued_at)
    }
}
