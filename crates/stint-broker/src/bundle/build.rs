//! Making a bundle from what is known. Pure.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use stint_grant::bundle::{Ending, EndingKind, Grant, Head, Lock, Shard};
use stint_grant::dsse::{self, Document};
use stint_grant::ids::{FleetName, GrantId, HostName, Principal, Sha256Hex, UserName};
use stint_grant::keys::PublicKey;
use stint_grant::time::UnixTime;
use stint_grant::tree;

use crate::error::{Outcome, Problem};
use crate::grant::state::State;
use crate::grant::store::Bundled;

/// Endings of one account that a bundle tells of at most.
pub const MOST_ENDINGS: usize = 64;

/// All that a host's bundle depends on.
pub struct Facts<'a> {
    /// The fleet.
    pub fleet: &'a FleetName,
    /// The host.
    pub host: HostName,
    /// Its identity key.
    pub host_key: PublicKey,
    /// The root's epoch.
    pub epoch: u64,
    /// The new version.
    pub version: u64,
    /// The time.
    pub now: UnixTime,
    /// After this nothing in it is believed.
    pub expires_at: UnixTime,
    /// The locks that concern the host.
    pub locks: Vec<Lock>,
    /// Active grants and those that ended lately.
    pub grants: Vec<Bundled>,
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The signed head.
    pub head: String,
    /// Its digest.
    pub digest: Sha256Hex,
    /// The shards, in the order of the accounts' names.
    pub shards: Vec<String>,
}

/// Makes and signs a bundle.
pub fn build(facts: Facts<'_>, key: &SigningKey) -> Outcome<Built> {
    let shards = shards(&facts)?
        .values()
        .map(|shard| serde_json::to_string(shard).map_err(Problem::internal))
        .collect::<Outcome<Vec<_>>>()?;
    let head = Head {
        format: Head::FORMAT,
        fleet: facts.fleet.clone(),
        host: facts.host,
        host_key: facts.host_key,
        epoch: facts.epoch,
        version: facts.version,
        issued_at: facts.now,
        expires_at: facts.expires_at,
        locks: facts.locks,
        shard_count: shards.len() as u64,
        shard_root: tree::root(&shards),
    };
    // Signed over these very bytes, so the digest is theirs.
    let payload = serde_json::to_vec(&head).map_err(Problem::internal)?;
    let envelope = dsse::sign_bytes(Head::PAYLOAD_TYPE, &payload, &[key]);
    Ok(Built {
        head: String::from_utf8(envelope).map_err(Problem::internal)?,
        digest: Sha256Hex::of(&payload),
        shards,
    })
}

fn shards(facts: &Facts<'_>) -> Outcome<BTreeMap<UserName, Shard>> {
    let mut shards: BTreeMap<UserName, Shard> = BTreeMap::new();
    for bundled in &facts.grants {
        let user = UserName::new(bundled.row.account.as_str())?;
        let shard = shards.entry(user.clone()).or_insert_with(|| Shard {
            format: 1,
            fleet: facts.fleet.clone(),
            host: facts.host.clone(),
            user,
            grants: Vec::new(),
            endings: Vec::new(),
        });
        match entry(bundled)? {
            Entry::Active(grant) => shard.grants.push(grant),
            Entry::Over(ending) if shard.endings.len() < MOST_ENDINGS => shard.endings.push(ending),
            Entry::Over(_) | Entry::Nothing => {}
        }
    }
    Ok(shards)
}

enum Entry {
    Active(Grant),
    Over(Ending),
    Nothing,
}

fn entry(bundled: &Bundled) -> Outcome<Entry> {
    let grant = bundled.row.grant()?;
    let id = GrantId::new(bundled.row.id.as_str())?;
    let how = match grant.state {
        State::Active => None,
        State::Expired => Some(EndingKind::Expired),
        State::Ended => Some(EndingKind::Ended),
        State::Revoked => Some(EndingKind::Revoked),
        State::Claimable | State::Lapsed => return Ok(Entry::Nothing),
    };
    let (Some(from), Some(until)) = (grant.from, grant.until) else { return Ok(Entry::Nothing) };
    let Some(how) = how else {
        let (terms, policy) = (bundled.terms.clone(), bundled.policy.clone());
        return Ok(Entry::Active(Grant { id, terms, from, until, policy }));
    };
    let by = bundled.row.ended_by().map(Principal::new).transpose()?;
    Ok(Entry::Over(Ending { grant: id, how, by, at: grant.ended_at.unwrap_or(until) }))
}
