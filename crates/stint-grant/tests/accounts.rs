//! Accounts for a window: what the terms may say, and what a host takes.

mod common;

use common::*;
use stint_grant::acceptance::{AcceptedGrant, GroupFact, HostFacts, Judge, Refusal};
use stint_grant::host_config::{Accounts, Ceiling, HostConfig, ReviewsNeeded};
use stint_grant::ids::{GroupName, UserName};
use stint_grant::review::SignedReview;
use stint_grant::rights::{AccountRight, HomeEnd, RightError, Rights};
use stint_grant::terms::CheckedTerms;

fn account() -> AccountRight {
    let key = ssh_key(21).public_key().to_openssh().unwrap();
    let plain = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
    AccountRight { shell: "/bin/bash".to_owned(), home: HomeEnd::Remove, keys: vec![plain] }
}
fn world() -> World {
    let mut world = World::new();
    world.terms.user = id("alice-tmp");
    world.terms.rights.account = Some(account());
    world
}
fn allows() -> Ceiling {
    Ceiling { accounts: Accounts { allowed: true, ..Accounts::default() }, ..Ceiling::default() }
}
fn judge(
    world: &World,
    reviews: &[SignedReview],
    ceiling: &Ceiling,
    host: &dyn HostFacts,
) -> Result<AcceptedGrant, Refusal> {
    let (roster, me, fleet) = (world.trusted_roster(), world.me(), id("example"));
    let judge = Judge { fleet: &fleet, me: &me, ceiling, roster: Some(&roster), reviews, host };
    judge.judge(&id("alice-tmp"), &world.grant(), None)
}

/// A host on which every account stands already.
struct Taken;
impl HostFacts for Taken {
    fn group(&self, _: &GroupName) -> GroupFact {
        GroupFact::Plain
    }
    fn is_foreign(&self, _: &UserName) -> bool {
        true
    }
}

#[test]
fn an_account_is_taken_only_where_the_host_allows_it_and_with_its_review() {
    let world = world();
    assert!(judge(&world, &[world.approval()], &allows(), &AnyGroup).is_ok());
    let refused = judge(&world, &[world.approval()], &Ceiling::default(), &AnyGroup);
    assert_eq!(refused.unwrap_err(), Refusal::NoAccounts(id("alice-tmp")));
    let none = Refusal::Reviews { found: 0, needed: 1 };
    assert_eq!(judge(&world, &[], &allows(), &AnyGroup).unwrap_err(), none);
    let reviews = ReviewsNeeded { login: 0, sudo: 0, root: 0, group: 0, account: 2 };
    let strict = Ceiling { reviews, ..allows() };
    let few = Refusal::Reviews { found: 1, needed: 2 };
    assert_eq!(judge(&world, &[world.approval()], &strict, &AnyGroup).unwrap_err(), few);
}

#[test]
fn an_account_that_stands_already_is_never_given_to_somebody() {
    let world = world();
    let refused = judge(&world, &[world.approval()], &allows(), &Taken);
    assert_eq!(refused.unwrap_err(), Refusal::AccountStands(id("alice-tmp")));
}

#[test]
fn a_broken_broker_cannot_change_the_keys_that_were_reviewed() {
    let mut world = world();
    let approval = world.approval();
    let other = ssh_key(22).public_key().to_openssh().unwrap();
    let other = other.split(' ').take(2).collect::<Vec<_>>().join(" ");
    world.terms.rights.account.as_mut().unwrap().keys = vec![other];
    let refused = judge(&world, &[approval], &allows(), &AnyGroup);
    assert_eq!(refused.unwrap_err(), Refusal::Reviews { found: 0, needed: 1 });
}

#[test]
fn a_shell_or_a_key_that_could_mean_something_else_is_no_right() {
    let check = |account: AccountRight| Rights { account: Some(account), ..rights() }.check();
    assert_eq!(check(account()), Ok(()));
    let long = format!("/{}", "x".repeat(256));
    for shell in ["", "bash", "/bin/../sh", "/bin//sh", "/bin/sh ", "/bin/s:h", "/bin/sh\n", long.as_str()] {
        let odd = AccountRight { shell: shell.to_owned(), ..account() };
        assert!(matches!(check(odd), Err(RightError::Account(_))), "{shell:?}");
    }
    let good = account().keys.remove(0);
    let body = good.split_once(' ').unwrap().1;
    for key in [
        String::new(),
        "ssh-ed25519".to_owned(),
        format!("command=\"id\" {good}"),
        format!("{good} a comment"),
        format!("{good}\n{good}"),
        format!("ssh-rsa {body}"),
        format!("ssh-dss {body}"),
        format!("ssh-ed25519  {body}"),
        format!("ssh-ed25519 {}", &body[1..]),
        "ssh-ed25519 AAAA".to_owned(),
    ] {
        let odd = AccountRight { keys: vec![key.clone()], ..account() };
        assert!(matches!(check(odd), Err(RightError::Account(_))), "{key:?}");
    }
    let many = AccountRight { keys: vec![good; 9], ..account() };
    assert!(matches!(check(many), Err(RightError::Account(_))));
}

#[test]
fn terms_without_the_field_or_with_an_unknown_word_are_no_terms() {
    let text = world().terms.to_text();
    assert!(CheckedTerms::parse(&text).is_ok());
    let unknown = text.replace("\"home\":\"remove\"", "\"home\":\"erase\"");
    assert!(unknown != text && CheckedTerms::parse(&unknown).is_err());
    let plain = World::new().terms.to_text();
    let without = plain.replace(",\"account\":null", "");
    assert!(without != plain && CheckedTerms::parse(&without).is_err());
}

#[test]
fn the_range_of_accounts_holds_managed_numbers_alone() {
    let with = |text: &str| HostConfig::parse(&format!("{text}\n"));
    assert!(!HostConfig::default().ceiling.accounts.allowed);
    assert!(with("[ceiling.accounts]\nallowed = true\nfirst_uid = 20000\nlast_uid = 20009").is_ok());
    for wrong in [
        "[ceiling.accounts]\nfirst_uid = 999",
        "[ceiling.accounts]\nfirst_uid = 2000\nlast_uid = 1999",
        "[ceiling.accounts]\nlast_uid = 60000",
    ] {
        let error = with(wrong).expect_err(wrong).to_string();
        assert!(error.contains("ceiling.accounts"), "{error}");
    }
    for wrong in [
        "[managed]\nfirst_uid = 50001",
        "[managed]\nbreak_glass_uid = 50000",
        "[managed]\nexempt_uids = [7, 59999]",
        "[managed]\nonly = [{ uid = 55000, services = [\"sudo\"] }]",
    ] {
        let error =
            with(&format!("{wrong}\n[ceiling.accounts]\nallowed = true")).expect_err(wrong).to_string();
        assert!(error.contains("ceiling.accounts"), "{error}");
        assert!(with(wrong).is_ok(), "no account is made there: {wrong}");
    }
}
