//! What is refused whole, and changes nothing.

use stint_grant::bundle::{BundleError, PulseError};
use stint_grant::root::RootError;
use stint_grant::time::{ClockFault, Floor};

use super::common::key;
use super::*;

#[track_caller]
fn refused(host: &Host, update: &HostUpdate) -> IntakeError {
    host.examine(update).map(|_| ()).expect_err("it must be refused")
}

#[test]
fn an_older_version_is_a_rollback() {
    let host = Host::having_taken(&broker());
    let mut broker = broker();
    broker.version -= 1;
    let error = refused(&host, &broker.update());
    assert_eq!(error.code(), "rollback");
    assert!(error.is_alarm());
}

#[test]
fn the_same_version_with_other_contents_is_equivocation() {
    let host = Host::having_taken(&broker());
    let mut broker = broker();
    broker.shards.pop();
    let error = refused(&host, &broker.update());
    assert_eq!(error, IntakeError::Bundle(BundleError::Equivocation(7)));
    assert!(error.is_alarm());
}

#[test]
fn the_same_bundle_again_is_taken() {
    let broker = broker();
    let host = Host::having_taken(&broker);
    assert_eq!(accepted(&host.examine(&broker.update()).unwrap()), [alices(), daves()]);
}

#[test]
fn shards_that_the_head_does_not_name_are_refused() {
    let broker = broker();
    let host = Host::new(&broker);
    let whole = broker.update();
    let mut missing = whole.clone();
    missing.shards.pop();
    let mut swapped = whole.clone();
    swapped.shards.swap(0, 1);
    let mut changed = whole.clone();
    changed.shards[0] = changed.shards[0].replace("\"policy\":\"1\"", "\"policy\":\"2\"");
    for update in [missing, swapped, changed] {
        assert_eq!(refused(&host, &update), IntakeError::Bundle(BundleError::Shards));
    }
}

#[test]
fn another_machine_of_this_name_is_refused() {
    let broker = broker();
    let mut host = Host::new(&broker);
    host.me.key = stint_grant::keys::PublicKey::of(&key(9));
    assert!(matches!(refused(&host, &broker.update()), IntakeError::Bundle(BundleError::OtherHost(_))));
}

#[test]
fn a_bundle_past_its_end_is_refused_by_the_hosts_own_time() {
    let mut broker = broker();
    broker.expires_at = at(100);
    let host = Host::having_taken(&broker);
    let error = host.examine_at(&broker.update(), &reading(101)).map(|_| ()).unwrap_err();
    assert_eq!(error, IntakeError::Bundle(BundleError::Expired(at(100))));
}

#[test]
fn a_pulse_for_another_head_is_refused() {
    let mut broker = broker();
    let old = broker.update();
    broker.version += 1;
    let mut update = broker.update();
    update.pulse = old.pulse;
    let error = refused(&Host::new(&broker), &update);
    assert!(matches!(error, IntakeError::Pulse(PulseError::OtherBundle { named: 7, at_hand: 8 })));
}

#[test]
fn an_old_pulse_with_the_same_bundle_freshens_nothing() {
    let mut broker = broker();
    broker.pulse_at = at(0);
    let host = Host::having_taken(&broker);
    broker.pulse_at = at(-200);
    let plan = host.examine_at(&broker.update(), &reading(30)).unwrap();
    assert_eq!(plan.pulse.0.issued_at, at(0));
    assert_eq!(plan.now, at(30));
}

#[test]
fn a_pulse_from_the_far_future_is_an_alarm_and_moves_no_floor() {
    let mut broker = broker();
    broker.pulse_at = at(2 * 86_400);
    let host = Host::new(&broker);
    let error = refused(&host, &broker.update());
    assert!(matches!(error, IntakeError::Clock(ClockFault::FarAhead { .. })));
    assert!(error.is_alarm());
}

#[test]
fn another_fleets_root_is_refused() {
    let broker = broker();
    let mut host = Host::new(&broker);
    host.trust.root_pin = Sha256Hex::of(b"another root");
    assert!(matches!(refused(&host, &broker.update()), IntakeError::Root(RootError::NotPinned { .. })));
}

#[test]
fn an_update_without_roots_is_refused() {
    let broker = broker();
    let mut update = broker.update();
    update.roots.clear();
    assert_eq!(refused(&Host::new(&broker), &update), IntakeError::Roots(0));
}

#[test]
fn a_root_that_is_left_out_again_is_a_rollback() {
    let mut broker = broker();
    let old = broker.roots.clone();
    broker.next_root(|_| {});
    let host = Host::having_taken(&broker);
    broker.roots = old;
    broker.version += 1;
    assert_eq!(refused(&host, &broker.update()), IntakeError::RootRollback { found: 1, known: 2 });
}

#[test]
fn another_root_of_a_known_version_is_equivocation() {
    let mut broker = broker();
    broker.next_root(|_| {});
    let host = Host::having_taken(&broker);
    broker.roots.pop();
    broker.world.root.version -= 1;
    broker.next_root(|root| root.expires_at = at(900_000));
    assert_eq!(refused(&host, &broker.update()), IntakeError::RootEquivocation(2));
}

#[test]
fn an_online_key_that_a_newer_root_revoked_signs_nothing_more() {
    let mut broker = broker();
    broker.next_root(|root| {
        let fresh = key(40);
        let public = stint_grant::keys::PublicKey::of(&fresh);
        root.bundle.keys = vec![public.id()];
        root.keys.0.insert(public.id(), public);
    });
    assert_eq!(refused(&Host::new(&broker), &broker.update()).code(), "bundle");
}

#[test]
fn a_new_epoch_of_the_root_begins_versions_anew() {
    let mut broker = broker();
    broker.version = u64::MAX;
    let host = Host::having_taken(&broker);
    broker.next_root(|root| root.epoch = 2);
    (broker.epoch, broker.version) = (2, 1);
    assert_eq!(host.examine(&broker.update()).unwrap().head.0.version, 1);
}

#[test]
fn an_epoch_that_the_root_does_not_speak_for_is_refused() {
    let mut broker = broker();
    (broker.epoch, broker.version) = (2, 1);
    assert!(matches!(
        refused(&Host::new(&broker), &broker.update()),
        IntakeError::Bundle(BundleError::WrongEpoch { found: 2, root: 1 })
    ));
}

#[test]
fn only_a_new_epoch_lowers_the_floor() {
    let mut broker = broker();
    let mut host = Host::having_taken(&broker);
    // By accident the host believed a time that was an hour ahead.
    host.state.floor = Floor { time: at(3600), boot_id: "b0".to_owned(), boottime_ms: 50_000 };
    broker.version += 1;
    assert_eq!(host.examine(&broker.update()).unwrap().now, at(3600));
    broker.next_root(|root| root.epoch = 2);
    (broker.epoch, broker.version) = (2, 1);
    assert_eq!(host.examine(&broker.update()).unwrap().now, broker.pulse_at);
}

#[test]
fn a_clock_behind_the_floor_takes_the_time_from_a_fresh_pulse() {
    let mut broker = broker();
    let host = Host::having_taken(&broker);
    let rebooted = ClockReading { wall: UnixTime(0), boottime_ms: 9_000, boot_id: "b1".to_owned() };
    let error = host.examine_at(&broker.update(), &rebooted).map(|_| ()).unwrap_err();
    assert!(matches!(error, IntakeError::Clock(ClockFault::Behind { .. })));
    broker.pulse_at = at(600);
    assert_eq!(host.examine_at(&broker.update(), &rebooted).unwrap().now, at(600));
}

#[test]
fn the_update_of_a_host_with_five_thousand_live_grants_is_one_that_a_broker_makes() {
    let size = |accounts: usize| {
        let mut broker = broker();
        broker.shards.truncate(accounts);
        broker.reviews.truncate(accounts);
        serde_json::to_vec(&broker.update()).unwrap().len()
    };
    let each = size(2) - size(1);
    assert!(size(1) + 5000 * each < stint_api::hosts::MAX_UPDATE_BYTES, "{each} bytes for each grant");
}
