//! A broken broker has its own online keys, and nothing more: each grant that it changes is refused for itself, and what it takes away
//! is taken away.

use stint_grant::bundle::{EndingKind, LockTarget};
use stint_grant::dsse;
use stint_grant::ids::Fingerprint;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command};
use stint_grant::roster::{Reviewer, Roster};
use stint_grant::time::{Seconds, UnixTime};

use super::common::{id, lock, ssh_key};
use super::*;

/// Alice's grant is refused for this cause, dave's stays, and a lock in the same bundle is there.
#[track_caller]
fn only_alices_is_refused(broker: &mut Broker, because: &str) {
    broker.locks.push(lock(LockTarget::User(id("erin"))));
    let host = Host::new(&self::broker());
    let plan = host.examine(&broker.update()).expect("the bundle itself holds");
    assert_eq!(accepted(&plan), [daves()]);
    let cause = cause(&plan, &alices());
    assert!(cause.contains(because), "{cause}");
    assert_eq!(plan.head.0.locks.len(), 1);
}

#[test]
fn what_an_honest_broker_sends_is_taken() {
    let broker = broker();
    let plan = Host::new(&broker).examine(&broker.update()).unwrap();
    assert_eq!(accepted(&plan), [alices(), daves()]);
    assert!(plan.alarms.is_empty());
}

#[test]
fn an_invented_review_counts_for_nothing() {
    let mut broker = broker();
    let invented = broker.world.approval_of(&broker.terms(), "bob", &ssh_key(66));
    broker.reviews[0] = invented;
    only_alices_is_refused(&mut broker, "0 valid signed reviews");
}

#[test]
fn a_review_of_other_terms_counts_for_nothing() {
    let mut broker = broker();
    broker.change_alices_terms(|terms| terms.reason = "something else".to_owned());
    only_alices_is_refused(&mut broker, "0 valid signed reviews");
}

#[test]
fn a_review_whose_statement_was_rewritten_counts_for_nothing() {
    let mut broker = broker();
    broker.change_alices_terms(|terms| terms.reason = "something else".to_owned());
    let digest = |t: &Terms| stint_grant::terms::digest_of(&t.to_text()).to_string();
    let mut other = broker.terms();
    other.reason = "something else".to_owned();
    broker.reviews[0].statement =
        broker.reviews[0].statement.replace(&digest(&broker.terms()), &digest(&other));
    only_alices_is_refused(&mut broker, "0 valid signed reviews");
}

#[test]
fn a_swapped_key_is_refused() {
    let mut broker = broker();
    let key = Fingerprint::new(format!("SHA256:{}", "A".repeat(43))).unwrap();
    broker.change_alices_terms(|terms| terms.credentials = vec![key.clone()]);
    only_alices_is_refused(&mut broker, "0 valid signed reviews");
}

#[test]
fn a_swapped_command_is_refused() {
    let mut broker = broker();
    broker.change_alices_terms(|terms| {
        terms.rights.sudo[0].command =
            Command::Program(Program { path: "/usr/bin/id".to_owned(), arguments: Arguments::Exact(vec![]) });
    });
    only_alices_is_refused(&mut broker, "0 valid signed reviews");
}

#[test]
fn a_window_over_the_terms_is_refused() {
    let mut broker = broker();
    broker.shards[0].grants[0].until = UnixTime(broker.shards[0].grants[0].from.0 + 3600 + 1800 + 1);
    only_alices_is_refused(&mut broker, "its window is not within its terms");
}

#[test]
fn a_window_over_the_ceiling_is_refused_though_it_was_reviewed() {
    let broker = broker();
    let mut host = Host::new(&broker);
    host.config.ceiling.max_window = Seconds(600);
    let plan = host.examine(&broker.update()).unwrap();
    assert!(accepted(&plan).is_empty());
    assert!(cause(&plan, &alices()).contains("exceeds this host's ceiling"));
}

#[test]
fn full_root_is_refused_though_it_was_reviewed() {
    let mut broker = broker();
    let mut terms = broker.terms();
    terms.rights.sudo[0].command = Command::All;
    terms.rights.sudo[0].noexec = false;
    broker.shards[0].grants = vec![grant(&terms)];
    broker.reviews.push(broker.world.approval_of(&terms, "bob", &broker.world.bob));
    only_alices_is_refused(&mut broker, "full root");
}

#[test]
fn a_roster_that_the_online_key_signed_adds_no_reviewer_and_the_last_good_one_counts() {
    let honest = broker();
    let mut host = Host::having_taken(&honest);
    host.memory = Memory::default();
    let mut broker = broker();
    broker.version += 1;
    let mallory = ssh_key(66);
    let reviewer = Reviewer {
        name: id("mallory"),
        keys: vec![mallory.public_key().to_openssh().unwrap()],
        groups: vec![],
    };
    let mut roster: Roster = broker.world.roster.clone();
    roster.version += 1;
    roster.reviewers.push(reviewer);
    broker.roster = Some(text(dsse::sign(&roster, &[&broker.world.bundle_key])));
    broker.change_alices_terms(|terms| terms.reason = "mine".to_owned());
    let mut terms = broker.terms();
    terms.reason = "mine".to_owned();
    broker.reviews[0] = broker.world.approval_of(&terms, "mallory", &mallory);
    let plan = host.examine(&broker.update()).unwrap();
    assert_eq!(accepted(&plan), [daves()]);
    assert_eq!(plan.alarms[0].what, "roster-refused");
    assert_eq!(plan.roster, host.state.roster);
}

#[test]
fn a_roster_of_a_known_version_with_other_contents_is_refused() {
    let honest = broker();
    let mut host = Host::having_taken(&honest);
    host.memory = Memory::default();
    let mut broker = broker();
    broker.version += 1;
    let mut roster = broker.world.roster.clone();
    roster.reviewers.clear();
    broker.roster = Some(text(dsse::sign(&roster, &[&broker.world.roster_key])));
    let plan = host.examine(&broker.update()).unwrap();
    assert!(plan.alarms[0].detail.contains("seen before with other contents"));
    assert_eq!(accepted(&plan), [alices(), daves()]);
}

#[test]
fn a_roster_that_is_left_out_is_the_last_good_one() {
    let mut host = Host::having_taken(&broker());
    host.memory = Memory::default();
    let mut broker = broker();
    broker.version += 1;
    broker.roster = None;
    assert_eq!(accepted(&host.examine(&broker.update()).unwrap()), [alices(), daves()]);
    assert!(accepted(&Host::new(&broker).examine(&broker.update()).unwrap()).is_empty());
}

#[test]
fn a_requester_does_not_review_their_own_request() {
    let mut broker = broker();
    let key = ssh_key(30);
    broker.world.roster.reviewers.push(Reviewer {
        name: id("alice"),
        keys: vec![key.public_key().to_openssh().unwrap()],
        groups: vec![],
    });
    broker.roster = Some(text(broker.world.roster_envelope()));
    broker.reviews[0] = broker.world.approval_of(&broker.terms(), "alice", &key);
    only_alices_is_refused(&mut broker, "0 valid signed reviews");
}

#[test]
fn a_grant_that_stands_twice_is_refused() {
    let mut broker = broker();
    let mut longer = broker.shards[0].grants[0].clone();
    longer.until = UnixTime(longer.until.0 + 60);
    broker.shards[0].grants.push(longer);
    only_alices_is_refused(&mut broker, "twice");
}

#[test]
fn one_accounts_terms_give_another_account_nothing() {
    let mut broker = broker();
    let stolen = broker.shards[1].grants[0].clone();
    broker.shards[0].grants = vec![stolen];
    let plan = Host::new(&broker).examine(&broker.update()).unwrap();
    let alice = &plan.accounts[0];
    assert!(matches!(&alice.verdicts[0].1, Verdict::Refused(cause) if cause.contains("another account")));
}

#[test]
fn a_window_that_is_begun_again_is_refused() {
    let host = Host::having_taken(&broker());
    let mut broker = broker();
    broker.version += 1;
    broker.shards[0].grants[0].from = at(-30);
    let plan = host.examine(&broker.update()).unwrap();
    assert_eq!(accepted(&plan), [daves()]);
    assert!(cause(&plan, &alices()).contains("changed after this host first saw it"));
}

#[test]
fn what_ended_here_does_not_live_again() {
    let mut host = Host::having_taken(&broker());
    host.memory.end(&alices(), stint_log::record::Ending::Revoked);
    let mut broker = broker();
    broker.version += 1;
    let plan = host.examine(&broker.update()).unwrap();
    assert_eq!(accepted(&plan), [daves()]);
    assert_eq!(plan.refused(), [(alices(), "it ended on this host before".to_owned())]);
}

#[test]
fn a_revocation_counts_beside_a_forged_grant() {
    let mut broker = broker();
    broker.end_alices(EndingKind::Revoked);
    broker.shards[1].grants[0].until = at(1_000_000);
    let plan = Host::new(&broker).examine(&broker.update()).unwrap();
    assert!(accepted(&plan).is_empty());
    assert_eq!(plan.accounts[0].shard.endings.len(), 1);
}
