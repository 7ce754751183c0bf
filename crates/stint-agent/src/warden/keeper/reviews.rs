//! Reviews that this host has seen already. Which of them come with an update is signed by nobody: a courier that leaves them out must not
//! end what stands, for good and at once.

use std::collections::{BTreeMap, BTreeSet};

use stint_api::hosts::{HostUpdate, WireReview};
use stint_grant::dsse::Verified;
use stint_grant::ids::Sha256Hex;
use stint_grant::review::{self, SignedReview};
use stint_grant::roster::{self, Roster};
use stint_grant::terms;

use super::super::intake::{Plan, Verdict};
use super::super::memory::Memory;

/// Whether a plan refuses what stands on this host.
pub(super) fn are_missed(plan: &Plan, memory: &Memory) -> bool {
    let standing: BTreeSet<_> = memory.standing().map(|(grant, _)| grant).collect();
    plan.verdicts().any(|(grant, verdict)| matches!(verdict, Verdict::Refused(_)) && standing.contains(grant))
}

/// Adds the reviews of the update before to an update that brings this plan; those that the roster does not bear out go. Each statement
/// once, so that nothing grows by what a courier adds.
pub(super) fn add(update: &mut HostUpdate, before: HostUpdate, plan: &Plan) {
    let envelope = plan.roster.as_ref().map(|known| known.envelope.as_bytes());
    let Some(roster) = envelope.and_then(|e| roster::open(e, &plan.root.0, None, plan.now).ok()) else {
        return;
    };
    let grants = plan.accounts.iter().flat_map(|account| &account.shard.grants);
    let wanted: BTreeSet<Sha256Hex> = grants.map(|grant| terms::digest_of(&grant.terms)).collect();
    let mut all = BTreeMap::new();
    for wire in std::mem::take(&mut update.reviews).into_iter().chain(before.reviews) {
        if !all.contains_key(&wire.statement) && counts(&wire, &wanted, &roster) {
            all.insert(wire.statement.clone(), wire);
        }
    }
    update.reviews = all.into_values().collect();
}

fn counts(wire: &WireReview, wanted: &BTreeSet<Sha256Hex>, roster: &Verified<Roster>) -> bool {
    let signed = SignedReview { statement: wire.statement.clone(), signature: wire.signature.clone() };
    review::peek(&signed).is_ok_and(|statement| wanted.contains(&statement.terms))
        && review::verify(&signed, roster).is_ok()
}
