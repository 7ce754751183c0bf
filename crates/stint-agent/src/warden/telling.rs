//! What is recorded when a plan comes into force: what it brings that was not there before. Pure.

use std::collections::{BTreeMap, BTreeSet};

use stint_grant::bundle::{Lock, LockTarget};
use stint_grant::ids::{LockId, Sha256Hex};
use stint_log::Hash;
use stint_log::record::Event;

use super::intake::{Plan, Verdict};
use super::memory::Memory;
use super::store::State;
use crate::journal::Recorder;

/// What was there before.
pub(super) struct Before<'a> {
    pub(super) state: &'a State,
    pub(super) plan: Option<&'a Plan>,
    pub(super) memory: &'a Memory,
}

/// Records what a plan brings that was not there before.
pub(super) fn tell(before: &Before<'_>, plan: &Plan, recorder: &mut dyn Recorder) {
    for alarm in &plan.alarms {
        recorder.record(Event::Alarm { what: alarm.what.to_owned(), detail: alarm.detail.clone() });
    }
    let root = &plan.root.0;
    if before.state.root.as_ref().is_none_or(|known| known.version != root.version) {
        let sha256 = Hash::of(plan.root.1.as_bytes());
        recorder.record(Event::RootInstalled { version: root.version, sha256 });
    }
    if plan.floor.time < before.state.floor.time {
        recorder.record(Event::FloorLowered {
            from: before.state.floor.time.0,
            to: plan.floor.time.0,
            by: format!("root version {}, epoch {}", root.version, root.epoch),
        });
    }
    // After a restart the same bundle comes from the disk: what it brings was told when it came.
    let head = &plan.head.0;
    let new = before.state.seen.as_ref().is_none_or(|seen| seen.head != *head.digest());
    if !new && before.plan.is_none() {
        return;
    }
    let known: BTreeMap<_, _> = before
        .plan
        .iter()
        .copied()
        .flat_map(Plan::verdicts)
        .map(|(grant, verdict)| (grant, verdict))
        .collect();
    for (grant, verdict) in plan.verdicts() {
        match verdict {
            Verdict::Accepted(accepted) if before.memory.get(grant).is_none() => {
                recorder.record(Event::GrantAccepted {
                    grant: grant.to_string(),
                    user: accepted.terms.user.to_string(),
                    ends: accepted.grant.until.0,
                });
            }
            Verdict::Refused(cause) if known.get(grant).is_none_or(|before| *before != verdict) => {
                recorder.record(Event::GrantRefused { grant: grant.to_string(), cause: cause.clone() });
            }
            _ => {}
        }
    }
    tell_locks(before.plan, plan, recorder);
    if new {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        recorder.record(Event::BundleInstalled {
            epoch: head.epoch,
            version: head.version,
            head: log_hash(head.digest()),
            accepted: count(plan.accepted().count()),
            refused: count(plan.refused().len()),
        });
    }
}

fn tell_locks(old: Option<&Plan>, plan: &Plan, recorder: &mut dyn Recorder) {
    let none: &[Lock] = &[];
    let before = old.map_or(none, |old| &old.head.0.locks);
    let ids = |locks: &[Lock]| locks.iter().map(|l| l.id.clone()).collect::<BTreeSet<LockId>>();
    let (old, new) = (ids(before), ids(&plan.head.0.locks));
    let user = |lock: &Lock| match &lock.target {
        LockTarget::User(user) => Some(user.to_string()),
        LockTarget::Principal(principal) => Some(principal.to_string()),
        LockTarget::Host(_) | LockTarget::Grant(_) => None,
    };
    for lock in plan.head.0.locks.iter().filter(|l| !old.contains(&l.id)) {
        recorder.record(Event::LockApplied { lock: lock.id.to_string(), user: user(lock) });
    }
    for lock in before.iter().filter(|l| !new.contains(&l.id)) {
        recorder.record(Event::LockLifted { lock: lock.id.to_string(), user: user(lock) });
    }
}

/// The same hash as the journal writes it.
pub(super) fn log_hash(hash: &Sha256Hex) -> Hash {
    hash.as_str().parse().expect("both are SHA-256 in lowercase hexadecimal")
}
