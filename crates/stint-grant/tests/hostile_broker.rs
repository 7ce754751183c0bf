//! A broker that is broken into, with its own online keys in the attacker's hands. The host refuses what was not reviewed, grant by grant.

#![allow(missing_docs, clippy::pedantic)]

mod common;
use common::*;

use stint_grant::acceptance::{GrantMemory, Refusal};
use stint_grant::bundle::Grant;
use stint_grant::dsse;
use stint_grant::host_config::{Ceiling, Unreviewed};
use stint_grant::ids::*;
use stint_grant::record::{CommandRecord, RecordLevel};
use stint_grant::rights::login::Forwarding;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, SudoRule};
use stint_grant::roster::{self, Reviewer, RosterError};
use stint_grant::terms::{self, Terms};
use stint_grant::time::Seconds;

fn none(needed: u32) -> Refusal {
    Refusal::Reviews { found: 0, needed }
}

#[test]
fn a_reviewed_grant_is_accepted_with_its_reviewer() {
    let world = World::new();
    let accepted = world.judge(&world.grant(), &[world.approval()], &Ceiling::default()).unwrap();
    assert_eq!(accepted.reviewers, vec![id::<Principal>("bob")]);
}

#[test]
fn a_grant_without_a_review_is_refused() {
    let world = World::new();
    assert_eq!(world.judge(&world.grant(), &[], &Ceiling::default()).unwrap_err(), none(1));
}

#[test]
fn an_invented_review_is_refused() {
    let world = World::new();
    let forged = world.approval_of(&world.terms, "bob", &ssh_key(66));
    assert_eq!(world.judge(&world.grant(), &[forged], &Ceiling::default()).unwrap_err(), none(1));
}

#[test]
fn a_review_by_nobody_in_the_roster_is_refused() {
    let world = World::new();
    let mallory = world.approval_of(&world.terms, "mallory", &ssh_key(66));
    assert_eq!(world.judge(&world.grant(), &[mallory], &Ceiling::default()).unwrap_err(), none(1));
}

#[test]
fn a_review_of_other_terms_is_refused() {
    let world = World::new();
    let reviewed = world.approval();
    let mut wider = World::new();
    wider.terms.max_window = Seconds(7200);
    assert_eq!(wider.judge(&wider.grant(), &[reviewed], &Ceiling::default()).unwrap_err(), none(1));
}

#[test]
fn a_denial_is_no_approval() {
    let world = World::new();
    let mut review = world.approval();
    review.statement = review.statement.replace("approve", "deny");
    assert_eq!(world.judge(&world.grant(), &[review], &Ceiling::default()).unwrap_err(), none(1));
}

#[test]
fn the_same_review_twice_counts_once() {
    let world = World::new();
    let mut ceiling = Ceiling::default();
    ceiling.reviews.sudo = 2;
    let refused = world.judge(&world.grant(), &[world.approval(), world.approval()], &ceiling);
    assert_eq!(refused.unwrap_err(), Refusal::Reviews { found: 1, needed: 2 });
}

#[test]
fn two_keys_of_one_reviewer_count_once() {
    let mut world = World::new();
    let second = ssh_key(21);
    world.roster.reviewers[0].keys.push(second.public_key().to_openssh().unwrap());
    let mut ceiling = Ceiling::default();
    ceiling.reviews.sudo = 2;
    let reviews = [world.approval(), world.approval_of(&world.terms, "bob", &second)];
    assert_eq!(
        world.judge(&world.grant(), &reviews, &ceiling).unwrap_err(),
        Refusal::Reviews { found: 1, needed: 2 }
    );
}

#[test]
fn ones_own_review_does_not_count() {
    let mut world = World::new();
    let alice = ssh_key(30);
    world.roster.reviewers.push(Reviewer {
        name: id("alice"),
        keys: vec![alice.public_key().to_openssh().unwrap()],
        groups: vec![],
    });
    let own = world.approval_of(&world.terms, "alice", &alice);
    assert_eq!(world.judge(&world.grant(), &[own], &Ceiling::default()).unwrap_err(), none(1));
}

#[test]
fn a_signature_in_another_namespace_is_no_review() {
    let world = World::new();
    let mut review = world.approval();
    let other = world.bob.sign("file", ssh_key::HashAlg::Sha512, review.statement.as_bytes()).unwrap();
    review.signature = other.to_pem(ssh_key::LineEnding::LF).unwrap();
    assert_eq!(world.judge(&world.grant(), &[review], &Ceiling::default()).unwrap_err(), none(1));
}

#[test]
fn a_reviewer_added_with_the_online_key_is_refused() {
    let mut world = World::new();
    world.roster.version = 2;
    world.roster.reviewers.push(Reviewer { name: id("mallory"), keys: vec![], groups: vec![] });
    let forged = dsse::sign(&world.roster, &[&world.bundle_key, &world.pulse_key]);
    assert!(matches!(
        roster::open(&forged, &world.trusted_root(), Some(1), NOW),
        Err(RosterError::Envelope(_))
    ));
}

#[test]
fn dropping_the_demand_for_a_review_changes_nothing_on_the_host() {
    let world = World::new();
    // The terms carry no number of reviews at all: only host.toml says how many, and its default is one for every right.
    assert!(!world.terms.to_text().contains("reviews"));
    let mut login_only = World::new();
    login_only.terms.rights.sudo.clear();
    assert_eq!(login_only.judge(&login_only.grant(), &[], &Ceiling::default()).unwrap_err(), none(1));
}

fn swapped(edit: impl Fn(&mut Terms)) -> Refusal {
    let world = World::new();
    let review = world.approval();
    let mut hostile = World::new();
    edit(&mut hostile.terms);
    hostile.judge(&hostile.grant(), &[review], &Ceiling::default()).unwrap_err()
}

#[test]
fn a_swapped_key_is_refused() {
    let other = id::<Fingerprint>("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(swapped(|t| t.credentials = vec![other.clone()]), none(1));
}

#[test]
fn a_swapped_command_is_refused() {
    let wider = SudoRule {
        run_as: id("root"),
        command: Command::Program(Program { path: "/usr/bin/less".into(), arguments: Arguments::Any }),
        digest: None,
        noexec: false,
    };
    assert_eq!(swapped(|t| t.rights.sudo = vec![wider.clone()]), none(1));
}

#[test]
fn a_record_that_was_taken_out_or_made_weaker_is_refused() {
    assert_eq!(swapped(|t| t.record = CommandRecord::NONE), none(1));
    assert_eq!(swapped(|t| t.record.fail_closed = !t.record.fail_closed), none(1));
}

#[test]
fn a_grant_that_records_less_than_the_host_demands_is_refused_however_it_was_reviewed() {
    let mut world = World::new();
    world.terms.record = CommandRecord::COMMANDS;
    let demanding = Ceiling { record: RecordLevel::Io, ..Ceiling::default() };
    let refused = Refusal::Record { found: RecordLevel::Commands, needed: RecordLevel::Io };
    let judged = |world: &World| world.judge(&world.grant(), &[world.approval()], &demanding);
    assert_eq!(judged(&world).unwrap_err(), refused);
    world.terms.rights.sudo.clear();
    judged(&world).expect("there is no command to record");
}

#[test]
fn a_swapped_account_is_refused() {
    assert_eq!(swapped(|t| t.user = id("bob")), Refusal::OtherTerms("account"));
}

#[test]
fn a_grant_on_a_host_that_was_not_reviewed_is_refused() {
    assert_eq!(swapped(|t| t.hosts = vec![id("web-02")]), Refusal::OtherTerms("host"));
}

#[test]
fn a_second_grant_for_terms_that_were_reviewed_once_is_refused() {
    let world = World::new();
    let second = Grant { id: id("bbbbbbbbbbbb"), ..world.grant() };
    let refused = world.judge(&second, &[world.approval()], &Ceiling::default());
    assert_eq!(refused.unwrap_err(), Refusal::OtherTerms("request"));
}

fn remembered(world: &World, ended: bool) -> GrantMemory {
    GrantMemory { terms: terms::digest_of(&world.terms.to_text()), from: at(-60), ended }
}

#[test]
fn a_grant_that_ended_here_does_not_come_back() {
    let world = World::new();
    let memory = remembered(&world, true);
    let refused =
        world.judge_remembering(&world.grant(), &[world.approval()], &Ceiling::default(), Some(&memory));
    assert_eq!(refused.unwrap_err(), Refusal::EndedBefore);
}

#[test]
fn a_window_that_is_begun_again_is_refused() {
    let world = World::new();
    let memory = remembered(&world, false);
    let again = Grant { from: at(-1), ..world.grant() };
    let refused = world.judge_remembering(&again, &[world.approval()], &Ceiling::default(), Some(&memory));
    assert_eq!(refused.unwrap_err(), Refusal::Changed);
}

#[test]
fn a_window_longer_than_the_terms_is_refused() {
    let world = World::new();
    let longest = Grant { until: at(-60 + 3600 + 1800), ..world.grant() };
    world.judge(&longest, &[world.approval()], &Ceiling::default()).unwrap();
    let longer = Grant { until: at(-60 + 3600 + 1800 + 1), ..world.grant() };
    assert_eq!(world.judge(&longer, &[world.approval()], &Ceiling::default()).unwrap_err(), Refusal::Window);
}

#[test]
fn a_window_outside_its_claim_time_is_refused() {
    let world = World::new();
    for from in [at(-301), at(301)] {
        let grant = Grant { from, until: from.plus(Seconds(60)), ..world.grant() };
        assert_eq!(
            world.judge(&grant, &[world.approval()], &Ceiling::default()).unwrap_err(),
            Refusal::Window
        );
    }
}

#[test]
fn a_window_over_the_hosts_ceiling_is_refused_even_when_reviewed() {
    let world = World::new();
    let ceiling = Ceiling { max_window: Seconds(600), ..Ceiling::default() };
    let refused = world.judge(&world.grant(), &[world.approval()], &ceiling);
    assert_eq!(refused.unwrap_err(), Refusal::TooLong { found: Seconds(1860), ceiling: Seconds(600) });
}

#[test]
fn full_root_is_refused_unless_the_host_allows_it() {
    let mut world = World::new();
    world.terms.rights.sudo =
        vec![SudoRule { run_as: id("root"), command: Command::All, digest: None, noexec: false }];
    assert_eq!(
        world.judge(&world.grant(), &[world.approval()], &Ceiling::default()).unwrap_err(),
        Refusal::FullRoot
    );
    let allowed = Ceiling { full_root: true, ..Ceiling::default() };
    world.judge(&world.grant(), &[world.approval()], &allowed).unwrap();
}

#[test]
fn forbidden_accounts_are_refused_as_user_and_as_target() {
    let world = World::new();
    for account in ["alice", "root"] {
        let ceiling = Ceiling { forbidden_accounts: vec![id(account)], ..Ceiling::default() };
        let refused = world.judge(&world.grant(), &[world.approval()], &ceiling);
        assert_eq!(refused.unwrap_err(), Refusal::Account(id(account)));
    }
}

#[test]
fn only_the_exact_rule_that_the_host_lists_needs_no_review() {
    let mut world = World::new();
    world.terms.rights.login = None;
    let unreviewed =
        vec![Unreviewed { user: id("alice"), login: false, sudo: Some(restart_nginx()), groups: vec![] }];
    let ceiling = Ceiling { unreviewed, ..Ceiling::default() };
    world.judge(&world.grant(), &[], &ceiling).unwrap();
    world.terms.rights.sudo[0].noexec = false;
    assert_eq!(world.judge(&world.grant(), &[], &ceiling).unwrap_err(), none(1));
}

#[test]
fn a_login_that_the_host_frees_from_reviews_is_free_without_forwarding_only() {
    let mut world = World::new();
    world.terms.rights.sudo.clear();
    let unreviewed = vec![Unreviewed { user: id("alice"), login: true, sudo: None, groups: vec![] }];
    let ceiling = Ceiling { unreviewed, ..Ceiling::default() };
    world.judge(&world.grant(), &[], &ceiling).unwrap();
    let changes: [fn(&mut Forwarding); 3] = [|f| f.port = true, |f| f.agent = true, |f| f.x11 = true];
    for change in changes {
        let mut forwards = World::new();
        forwards.terms = world.terms.clone();
        change(&mut forwards.terms.rights.login.as_mut().unwrap().forwarding);
        assert_eq!(forwards.judge(&forwards.grant(), &[], &ceiling).unwrap_err(), none(1));
        forwards.judge(&forwards.grant(), &[forwards.approval()], &ceiling).unwrap();
    }
}

#[test]
fn without_a_roster_no_review_counts() {
    let world = World::new();
    let (me, ceiling, reviews) = (world.me(), Ceiling::default(), [world.approval()]);
    let fleet = id("example");
    let judge = stint_grant::acceptance::Judge {
        fleet: &fleet,
        me: &me,
        ceiling: &ceiling,
        roster: None,
        reviews: &reviews,
        host: &AnyGroup,
    };
    assert_eq!(judge.judge(&id("alice"), &world.grant(), None).unwrap_err(), none(1));
}
