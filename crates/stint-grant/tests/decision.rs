//! The decision, and the words of each denial.

#![allow(missing_docs, clippy::pedantic)]

mod common;
use common::*;

use stint_grant::bundle::{Ending, EndingKind, LockTarget, Shard};
use stint_grant::decision::{Denial, How, Purpose, Question, Verdict, decide};
use stint_grant::host_config::HostConfig;
use stint_grant::ids::*;
use stint_grant::rights::{Command, SudoRule};
use stint_grant::time::Seconds;
use stint_grant::words;

fn ssh() -> Question<'static> {
    Question { purpose: Purpose::Login { service: "sshd" }, origin: None, credentials: None }
}
fn ask(gate: &Gate, question: &Question<'_>) -> Verdict {
    decide(&gate.open().unwrap(), &HostConfig::default(), question)
}
fn denial(gate: &Gate, question: &Question<'_>) -> Denial {
    match ask(gate, question) {
        Verdict::Deny(denial) => denial,
        Verdict::Allow(permit) => panic!("allowed: {permit:?}"),
    }
}
fn the_grant() -> GrantId {
    id("aaaaaaaaaaaa")
}

#[test]
fn a_live_grant_allows_its_login_and_sudo_and_says_until_when() {
    let gate = Gate::of(&World::new());
    for purpose in [Purpose::Login { service: "sshd" }, Purpose::Sudo] {
        let Verdict::Allow(permit) = ask(&gate, &Question { purpose, ..ssh() }) else { panic!("denied") };
        assert_eq!(permit.until(), at(1800));
        assert_eq!(permit.remaining(), Seconds(1800));
        assert_eq!(
            words::welcome(&permit),
            "stint: access until 14:43 UTC (30 min): nginx-restart aaaaaaaaaaaa"
        );
    }
}

#[test]
fn an_account_without_a_file_has_no_grant() {
    let mut gate = Gate::of(&World::new());
    gate.user = None;
    assert_eq!(denial(&gate, &ssh()), Denial::NoGrant);
}

#[test]
fn a_grant_that_the_warden_did_not_accept_allows_nothing() {
    let mut gate = Gate::of(&World::new());
    gate.edit_header(|h| h.accepted.clear());
    assert!(matches!(denial(&gate, &ssh()), Denial::Refused { .. }));
    gate.refuse("0 valid signed reviews, this host's ceiling demands 1");
    assert!(denial(&gate, &ssh()).to_string().contains("0 valid signed reviews"));
}

#[test]
fn a_grant_ends_at_its_very_second() {
    let mut gate = Gate::of(&World::new());
    gate.reading.boottime_ms += 1_799_999;
    assert!(matches!(denial_or_none(&gate), Some(Denial::Stale { .. })));
    gate.reading.boottime_ms += 1;
    assert_eq!(denial(&gate, &ssh()), Denial::Ended { grant: the_grant(), how: How::Expired, at: at(1800) });
}
fn denial_or_none(gate: &Gate) -> Option<Denial> {
    match ask(gate, &ssh()) {
        Verdict::Deny(denial) => Some(denial),
        Verdict::Allow(_) => None,
    }
}

#[test]
fn a_grant_that_the_warden_ended_allows_nothing() {
    let mut gate = Gate::of(&World::new());
    gate.current.ended.push(the_grant());
    assert_eq!(denial(&gate, &ssh()), Denial::Ended { grant: the_grant(), how: How::OnHost, at: at(0) });
}

#[test]
fn a_window_that_has_not_begun_denies_with_its_beginning() {
    let world = World::new();
    let mut shard = world.shard();
    shard.grants[0].from = at(60);
    let gate = Gate::with(&world, shard, |_| {}, |_| {});
    assert_eq!(denial(&gate, &ssh()), Denial::NotYet { grant: the_grant(), from: at(60) });
}

#[test]
fn a_service_that_the_grant_does_not_name_is_denied() {
    let gate = Gate::of(&World::new());
    let denied = denial(&gate, &Question { purpose: Purpose::Login { service: "cron" }, ..ssh() });
    assert_eq!(denied, Denial::NotCovered { grant: the_grant(), wanted: "login by cron".into() });
}

#[test]
fn sudo_without_a_sudo_rule_is_denied() {
    let mut world = World::new();
    world.terms.rights.sudo.clear();
    let denied = denial(&Gate::of(&world), &Question { purpose: Purpose::Sudo, ..ssh() });
    assert_eq!(denied, Denial::NotCovered { grant: the_grant(), wanted: "sudo".into() });
}

#[test]
fn a_login_without_a_login_right_is_denied() {
    let mut world = World::new();
    world.terms.rights.login = None;
    assert!(matches!(denial(&Gate::of(&world), &ssh()), Denial::NotCovered { .. }));
}

#[test]
fn becoming_root_needs_full_root() {
    let mut world = World::new();
    let root = Question { purpose: Purpose::BecomeRoot, ..ssh() };
    assert!(matches!(denial(&Gate::of(&world), &root), Denial::NotCovered { .. }));
    world.terms.rights.sudo =
        vec![SudoRule { run_as: id("root"), command: Command::All, digest: None, noexec: false }];
    assert!(matches!(ask(&Gate::of(&world), &root), Verdict::Allow(_)));
}

#[test]
fn an_origin_that_is_not_listed_or_not_known_is_denied() {
    let mut world = World::new();
    world.terms.rights.login.as_mut().unwrap().origins = vec!["10.1.0.0/16".parse().unwrap()];
    let gate = Gate::of(&world);
    let from = |ip: Option<&str>| Question { origin: ip.map(|ip| ip.parse().unwrap()), ..ssh() };
    assert!(matches!(ask(&gate, &from(Some("10.1.2.3"))), Verdict::Allow(_)));
    assert!(matches!(denial(&gate, &from(Some("10.2.2.3"))), Denial::Origin { .. }));
    assert!(matches!(denial(&gate, &from(None)), Denial::Origin { .. }));
}

#[test]
fn a_key_that_is_not_listed_is_denied_once_it_is_known() {
    let mut world = World::new();
    let (good, bad) = (
        "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
    );
    world.terms.credentials = vec![id(good)];
    let gate = Gate::of(&world);
    let with = |keys: &[Fingerprint]| ask(&gate, &Question { credentials: Some(keys), ..ssh() });
    assert!(matches!(ask(&gate, &ssh()), Verdict::Allow(_)));
    assert!(matches!(with(&[id(good)]), Verdict::Allow(_)));
    assert!(matches!(with(&[id(bad)]), Verdict::Deny(Denial::Credential { .. })));
    assert!(matches!(with(&[]), Verdict::Deny(Denial::Credential { .. })));
}

#[test]
fn news_older_than_the_grant_or_the_host_allows_is_stale() {
    let world = World::new();
    let gate = Gate::with(&world, world.shard(), |_| {}, |pulse| pulse.issued_at = at(-901));
    assert_eq!(denial(&gate, &ssh()), Denial::Stale { age: Seconds(901), limit: Seconds(900) });
    let mut config = HostConfig::default();
    config.limits.staleness = Seconds(5);
    let gate = Gate::of(&world);
    let denied = decide(&gate.open().unwrap(), &config, &ssh());
    assert_eq!(denied, Verdict::Deny(Denial::Stale { age: Seconds(10), limit: Seconds(5) }));
}

#[test]
fn an_old_pulse_that_is_replayed_ages() {
    let mut gate = Gate::of(&World::new());
    gate.reading.boottime_ms += 1_000_000;
    assert_eq!(denial(&gate, &ssh()), Denial::Stale { age: Seconds(1010), limit: Seconds(900) });
}

#[test]
fn every_kind_of_lock_outranks_a_live_grant() {
    let world = World::new();
    let targets = [
        LockTarget::Principal(id("alice")),
        LockTarget::User(id("alice")),
        LockTarget::Host(id("web-01")),
        LockTarget::Grant(the_grant()),
    ];
    for target in targets {
        let gate = Gate::with(&world, world.shard(), |h| h.locks = vec![lock(target.clone())], |_| {});
        assert!(denial(&gate, &ssh()).to_string().contains("laptop stolen"), "{target:?}");
    }
}

#[test]
fn a_lock_on_somebody_else_or_one_that_is_over_blocks_nothing() {
    let world = World::new();
    let mut over = lock(LockTarget::Host(id("web-01")));
    over.until = Some(at(0));
    let locks = vec![lock(LockTarget::Principal(id("carol"))), lock(LockTarget::User(id("bob"))), over];
    let gate = Gate::with(&world, world.shard(), |h| h.locks = locks.clone(), |_| {});
    assert!(matches!(ask(&gate, &ssh()), Verdict::Allow(_)));
}

#[test]
fn an_ending_names_who_revoked_and_when() {
    let world = World::new();
    let ending = Ending { grant: the_grant(), how: EndingKind::Revoked, by: Some(id("bob")), at: at(-60) };
    let shard = Shard { grants: vec![], endings: vec![ending], ..world.shard() };
    let text = denial(&Gate::with(&world, shard, |_| {}, |_| {}), &ssh()).to_string();
    assert!(text.contains("was revoked by bob at 2026-09-21 14:12:20 UTC"), "{text}");
}

#[test]
fn one_live_grant_among_dead_ones_allows() {
    let world = World::new();
    let mut shard = world.shard();
    let mut second = World::new();
    second.terms.request = id("bbbbbbbbbbbb");
    shard.grants.push(stint_grant::bundle::Grant { until: at(300), ..second.grant() });
    let mut gate = Gate::with(&world, shard, |_| {}, |_| {});
    gate.current.ended.push(the_grant());
    gate.edit_header(|h| h.accepted.push(id("bbbbbbbbbbbb")));
    let Verdict::Allow(permit) = ask(&gate, &ssh()) else { panic!("denied") };
    assert_eq!(permit.until(), at(300));
}

#[test]
fn a_shard_moved_to_another_account_is_refused() {
    let world = World::new();
    let mut shard = world.shard();
    shard.user = id("bob");
    assert!(Gate::with(&world, shard, |_| {}, |_| {}).open().is_err());
}

#[test]
fn a_changed_shard_is_refused() {
    let mut gate = Gate::of(&World::new());
    let text = String::from_utf8(gate.user.unwrap()).unwrap().replace("nginx.service", "sshd.service");
    gate.user = Some(text.into_bytes());
    assert!(gate.open().is_err());
}

#[test]
fn control_characters_of_a_broker_never_reach_a_terminal() {
    let world = World::new();
    let mut evil = lock(LockTarget::Host(id("web-01")));
    evil.reason = "\u{1b}]0;owned\u{7}\n".into();
    let gate = Gate::with(&world, world.shard(), |h| h.locks = vec![evil.clone()], |_| {});
    let text = denial(&gate, &ssh()).to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
