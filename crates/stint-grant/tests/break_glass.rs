//! Sealed grants: what the host takes, what the decision permits, and what a broken broker can do about it, which is nothing.

#![allow(missing_docs, clippy::pedantic)]

mod common;
use common::*;

use stint_grant::acceptance::Refusal;
use stint_grant::bundle::{Grant, LockTarget, Shard};
use stint_grant::codes::{CODE_CHARS, Code, CodePlace, CodeVerifier};
use stint_grant::decision::{Denial, Purpose, Question, Verdict, decide};
use stint_grant::gate::Opening;
use stint_grant::host_config::{BreakGlass, Ceiling, HostConfig, Unreviewed};
use stint_grant::terms::{CheckedTerms, Class, Terms, TermsError};
use stint_grant::time::Seconds;

const DAY: i64 = 86_400;

fn place(host: &str, user: &str) -> CodePlace {
    CodePlace { fleet: id("example"), host: id(host), user: id(user) }
}
fn code(n: u8) -> Code {
    Code::of_random(&[n; CODE_CHARS])
}

/// A fleet in which alice's grant on web-01 is sealed with two codes for thirty days.
fn sealed() -> World {
    let mut world = World::new();
    world.terms.class = Class::BreakGlass;
    world.terms.max_extension = Seconds(0);
    world.terms.claim_by = at(30 * DAY);
    let here = place("web-01", "alice");
    world.terms.codes = [1, 2].map(|n| CodeVerifier::of(&code(n), &here, &[n; 16])).to_vec();
    world
}
/// It stands on the host until its codes are good no more.
fn standing(world: &World) -> Grant {
    Grant { until: world.terms.claim_by, ..world.grant() }
}
fn gate(world: &World) -> Gate {
    Gate::with(world, Shard { grants: vec![standing(world)], ..world.shard() }, |_| {}, |_| {})
}
fn ceiling() -> Ceiling {
    Ceiling { break_glass: BreakGlass { codes: true, ..BreakGlass::default() }, ..Ceiling::default() }
}
fn config() -> HostConfig {
    HostConfig { ceiling: ceiling(), ..HostConfig::default() }
}
fn opening() -> Opening {
    Opening {
        grant: id("aaaaaaaaaaaa"),
        from: at(0),
        until: at(600),
        boot_id: "boot-1".into(),
        ends_ms: 50_000 + 600_000,
    }
}
fn ask(gate: &Gate, purpose: Purpose<'_>) -> Verdict {
    let question = Question { purpose, origin: None, credentials: None };
    decide(&gate.open().unwrap(), &config(), &question)
}
fn denial(gate: &Gate) -> Denial {
    match ask(gate, Purpose::Sudo) {
        Verdict::Deny(denial) => denial,
        Verdict::Allow(permit) => panic!("allowed: {permit:?}"),
    }
}
fn later(gate: &mut Gate, seconds: u64) {
    gate.reading.boottime_ms += seconds * 1000;
}

#[test]
fn a_sealed_grant_permits_nothing_until_it_is_opened_and_then_for_its_window_whatever_the_news() {
    let mut gate = gate(&sealed());
    assert_eq!(denial(&gate), Denial::Sealed { grant: id("aaaaaaaaaaaa") });
    gate.current.opened = vec![opening()];
    later(&mut gate, 599);
    for purpose in [Purpose::Login { service: "sshd" }, Purpose::Sudo, Purpose::Stay] {
        let Verdict::Allow(permit) = ask(&gate, purpose) else { panic!("{purpose:?} is denied") };
        assert_eq!(permit.until(), at(600));
    }
    assert!(matches!(ask(&gate, Purpose::BecomeRoot), Verdict::Deny(Denial::NotCovered { .. })));
    later(&mut gate, 1);
    assert!(matches!(denial(&gate), Denial::Sealed { .. }));
}

#[test]
fn it_outlives_pulse_and_bundle_until_its_codes_are_good_no_more() {
    let world = sealed();
    let mut gate = gate(&world);
    let seconds = 11 * DAY - 600;
    later(&mut gate, seconds.unsigned_abs());
    // The head ended after a day.
    assert!(matches!(denial(&gate), Denial::Sealed { .. }));
    let (from, until) = (at(seconds), at(seconds + 60));
    gate.current.opened = vec![Opening { from, until, ends_ms: u64::MAX, ..opening() }];
    assert!(matches!(ask(&gate, Purpose::Sudo), Verdict::Allow(_)));
    later(&mut gate, (20 * DAY).unsigned_abs());
    // The root ended too, and nothing outlives that.
    assert!(gate.open().is_err());
}

#[test]
fn a_gate_whose_bundle_is_over_does_not_open_for_an_account_without_a_sealed_grant() {
    let mut gate = Gate::of(&World::new());
    later(&mut gate, (2 * DAY).unsigned_abs());
    assert!(gate.open().is_err());
}

#[test]
fn a_lock_an_end_and_a_refusal_close_what_a_code_opened() {
    let world = sealed();
    let opened = |mut gate: Gate| {
        gate.current.opened = vec![opening()];
        gate
    };
    let shard = || Shard { grants: vec![standing(&world)], ..world.shard() };
    for target in [
        LockTarget::Principal(id("alice")),
        LockTarget::User(id("alice")),
        LockTarget::Grant(id("aaaaaaaaaaaa")),
        LockTarget::Host(id("web-01")),
    ] {
        let locked = Gate::with(&world, shard(), |head| head.locks = vec![lock(target.clone())], |_| {});
        assert!(matches!(denial(&opened(locked)), Denial::Locked { .. }));
    }
    let mut over = opened(gate(&world));
    over.current.ended = vec![id("aaaaaaaaaaaa")];
    assert!(matches!(denial(&over), Denial::Ended { .. }));
    let mut refused = opened(gate(&world));
    refused.refuse("no");
    assert!(matches!(denial(&refused), Denial::Refused { .. }));
}

#[test]
fn no_opening_counts_but_one_of_this_boot_this_grant_and_no_longer_than_terms_and_host_allow() {
    let mut gate = gate(&sealed());
    for (what, opening) in [
        ("another boot", Opening { boot_id: "boot-0".into(), ..opening() }),
        ("another grant", Opening { grant: id("bbbbbbbbbbbb"), ..opening() }),
        ("over by the boot clock", Opening { ends_ms: 50_000, ..opening() }),
        ("over", Opening { until: at(0), ..opening() }),
        ("not begun", Opening { from: at(1), ..opening() }),
        ("longer than the terms", Opening { until: at(3601), ..opening() }),
        ("before the grant", Opening { from: at(-61), ..opening() }),
        ("after the grant", Opening { until: at(30 * DAY + 1), ..opening() }),
    ] {
        gate.current.opened = vec![opening];
        assert!(matches!(denial(&gate), Denial::Sealed { .. }), "{what}");
    }
    gate.current.opened = vec![opening()];
    let question = Question { purpose: Purpose::Sudo, origin: None, credentials: None };
    let by = |config: &HostConfig| decide(&gate.open().unwrap(), config, &question);
    assert!(matches!(by(&config()), Verdict::Allow(_)));
    assert!(matches!(by(&HostConfig::default()), Verdict::Deny(Denial::Refused { .. })));
    let mut shorter = config();
    shorter.ceiling.break_glass.max_window = Seconds(599);
    assert!(matches!(by(&shorter), Verdict::Deny(Denial::Sealed { .. })));
}

#[test]
fn no_signed_document_can_say_that_a_grant_is_open() {
    let world = sealed();
    let opened = serde_json::to_string(&[opening()]).unwrap();
    let with = |text: String| format!("{},\"opened\":{opened}}}", text.strip_suffix('}').unwrap());
    let terms = with(world.terms.to_text());
    assert!(CheckedTerms::parse(&terms).unwrap_err().to_string().contains("unknown field `opened`"));
    assert!(serde_json::from_str::<Grant>(&with(serde_json::to_string(&standing(&world)).unwrap())).is_err());
    assert!(serde_json::from_str::<Shard>(&with(serde_json::to_string(&world.shard()).unwrap())).is_err());
    let head = with(serde_json::to_string(&world.head(&[])).unwrap());
    assert!(serde_json::from_str::<stint_grant::bundle::Head>(&head).is_err());
}

#[test]
fn a_reviewed_sealed_grant_is_taken_where_the_host_takes_codes() {
    let world = sealed();
    let accepted = world.judge(&standing(&world), &[world.approval()], &ceiling()).unwrap();
    assert_eq!(accepted.reviewers, [id("bob")]);
    let refused = world.judge(&standing(&world), &[world.approval()], &Ceiling::default());
    assert_eq!(refused, Err(Refusal::NoCodes));
}

#[test]
fn a_sealed_grant_beyond_the_hosts_ceiling_is_refused_however_it_was_reviewed() {
    let world = sealed();
    let judge = |break_glass| {
        let ceiling = Ceiling { break_glass, ..Ceiling::default() };
        world.judge(&standing(&world), &[world.approval()], &ceiling).unwrap_err()
    };
    let taken = ceiling().break_glass;
    let short = BreakGlass { max_window: Seconds(3599), ..taken.clone() };
    assert_eq!(judge(short), Refusal::TooLong { found: Seconds(3600), ceiling: Seconds(3599) });
    let young = BreakGlass { max_age: Seconds(86_400), ..taken.clone() };
    assert!(matches!(judge(young), Refusal::CodesTooOld { .. }));
    let careful = BreakGlass { reviews: 2, ..taken };
    assert_eq!(judge(careful), Refusal::Reviews { found: 1, needed: 2 });
}

#[test]
fn what_is_free_of_reviews_otherwise_is_not_when_it_is_sealed() {
    let mut world = sealed();
    world.terms.rights.sudo.clear();
    let free = Unreviewed { user: id("alice"), login: true, sudo: None, groups: vec![] };
    let ceiling = Ceiling { unreviewed: vec![free], ..ceiling() };
    let refused = world.judge(&standing(&world), &[], &ceiling);
    assert_eq!(refused, Err(Refusal::Reviews { found: 0, needed: 1 }));
}

#[test]
fn a_broken_broker_can_neither_add_a_code_nor_lengthen_nor_unseal_what_was_reviewed() {
    let world = sealed();
    let own = CodeVerifier::of(&code(9), &place("web-01", "alice"), &[9; 16]);
    type Change = fn(&mut Terms, &CodeVerifier);
    let changes: [(&str, Change); 5] = [
        ("a code of its own", |t, own| t.codes.push(own.clone())),
        ("another code", |t, own| t.codes[0] = own.clone()),
        ("another host", |t, _| t.hosts = vec!["web-02".parse().unwrap()]),
        ("a longer time", |t, _| t.claim_by = at(31 * DAY)),
        ("no codes at all", |t, _| {
            t.codes.clear();
            t.class = Class::Routine;
        }),
    ];
    for (what, change) in changes {
        let mut other = sealed();
        change(&mut other.terms, &own);
        let grant = Grant { until: at(600), ..other.grant() };
        let refused = world.judge(&grant, &[world.approval()], &ceiling()).expect_err(what);
        assert!(
            matches!(refused, Refusal::Reviews { found: 0, .. } | Refusal::OtherTerms("host")),
            "{refused}"
        );
    }
    let beyond = Grant { until: at(30 * DAY + 1), ..standing(&world) };
    assert_eq!(world.judge(&beyond, &[world.approval()], &ceiling()), Err(Refusal::Window));
}

#[test]
fn terms_that_do_not_go_with_codes_are_refused() {
    type Change = fn(&mut Terms);
    let changes: [(&str, Change); 10] = [
        ("class", |t| t.class = Class::Incident),
        ("class", |t| t.codes.clear()),
        ("at most 16", |t| {
            t.codes = (0..17)
                .map(|n| CodeVerifier { id: Code::of_random(&[n; 20]).id(), ..t.codes[0].clone() })
                .collect()
        }),
        ("same id", |t| t.codes[1].id = t.codes[0].id.clone()),
        ("exactly one host", |t| t.hosts.push("web-02".parse().unwrap())),
        ("extended", |t| t.max_extension = Seconds(60)),
        ("logout", |t| t.end_on_logout = true),
        ("a year", |t| t.claim_by = at(367 * DAY)),
        ("MiB", |t| t.codes[1].memory_kib = 64 * 1024 + 1),
        ("passes", |t| t.codes[0].passes = 0),
    ];
    for (words, change) in changes {
        let mut world = sealed();
        change(&mut world.terms);
        let refused = CheckedTerms::parse(&world.terms.to_text()).unwrap_err();
        assert!(matches!(refused, TermsError::Codes(why) if why.contains(words)), "{words}: {refused}");
    }
}

#[test]
fn a_verifier_that_is_moved_to_another_host_or_account_fits_no_code() {
    let here = place("web-01", "alice");
    let verifier = CodeVerifier::of(&code(1), &here, &[1; 16]);
    assert!(verifier.fits(&code(1), &here));
    let elsewhere = CodePlace { fleet: id("other"), ..here.clone() };
    for there in [place("web-02", "alice"), place("web-01", "bob"), elsewhere] {
        assert!(!verifier.fits(&code(1), &there), "{there:?}");
    }
    assert!(!verifier.fits(&code(2), &here));
    // A code whose id alone is right.
    let near = Code::typed(&format!("{}0000000000000000", code(1).id())).unwrap();
    assert!(!verifier.fits(&near, &here));
}

#[test]
fn a_code_is_read_as_people_type_it_and_shown_on_paper_only() {
    let code = Code::typed("7f3a-ABCD efgh-jkmn-pqr0").unwrap();
    assert_eq!(code.for_paper().as_str(), "7F3A-ABCD-EFGH-JKMN-PQR0");
    assert_eq!(Code::typed("7F3A-ABCD-EFGH-JKMN-PQRO").unwrap(), code);
    assert_eq!(Code::typed("ILil0000000000000000").unwrap(), Code::typed("11110000000000000000").unwrap());
    for bad in [
        "",
        "7F3A",
        "7F3A-ABCD-EFGH-JKMN-PQRU",
        "7F3A-ABCD-EFGH-JKMN-PQRSS",
        "7F3A-ABCD-EFGH-JKMN-PQR\u{ff10}",
    ] {
        assert!(Code::typed(bad).is_err(), "{bad}");
    }
    assert_eq!(format!("{code:?}"), "Code(..)");
    assert_eq!(serde_json::from_str::<Code>(&serde_json::to_string(&code).unwrap()).unwrap(), code);
}
