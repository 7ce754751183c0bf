//! Groups: what the terms may say, and what a host takes.

mod common;

use common::*;
use stint_grant::acceptance::{AcceptedGrant, GroupFact, HostFacts, Judge, Refusal};
use stint_grant::host_config::{Ceiling, ReviewsNeeded, Unreviewed};
use stint_grant::ids::{GroupName, UserName};
use stint_grant::review::SignedReview;
use stint_grant::rights::groups::{MAX_GROUPS, root_equivalent};
use stint_grant::rights::{Command, RightError, Rights, SudoRule};

fn world(groups: &[&str]) -> World {
    let mut world = World::new();
    world.terms.rights.groups = groups.iter().map(|g| id(g)).collect();
    world
}
fn full_root(world: &mut World) {
    world.terms.rights.sudo =
        vec![SudoRule { run_as: id("root"), command: Command::All, digest: None, noexec: false }];
}
fn judge(
    world: &World,
    reviews: &[SignedReview],
    ceiling: &Ceiling,
    host: &dyn HostFacts,
) -> Result<AcceptedGrant, Refusal> {
    let (roster, me, fleet) = (world.trusted_roster(), world.me(), id("example"));
    let judge = Judge { fleet: &fleet, me: &me, ceiling, roster: Some(&roster), reviews, host };
    judge.judge(&id("alice"), &world.grant(), None)
}

/// A host that says one thing of every group.
struct Says(GroupFact);
impl HostFacts for Says {
    fn group(&self, _: &GroupName) -> GroupFact {
        self.0.clone()
    }
    fn is_foreign(&self, _: &UserName) -> bool {
        false
    }
}

/// A host that must not be asked.
struct Silent;
impl HostFacts for Silent {
    fn group(&self, group: &GroupName) -> GroupFact {
        panic!("asked for {group} before anybody reviewed it");
    }
    fn is_foreign(&self, user: &UserName) -> bool {
        panic!("asked for {user} before anybody reviewed it");
    }
}

#[test]
fn a_group_with_its_review_is_taken() {
    let world = world(&["adm"]);
    assert!(judge(&world, &[world.approval()], &Ceiling::default(), &AnyGroup).is_ok());
}

#[test]
fn a_group_without_a_review_is_refused_and_the_host_is_not_even_asked() {
    let world = world(&["adm"]);
    let refused = judge(&world, &[], &Ceiling::default(), &Silent);
    assert_eq!(refused.unwrap_err(), Refusal::Reviews { found: 0, needed: 1 });
}

#[test]
fn only_the_groups_that_the_host_lists_need_no_review() {
    let mut world = world(&["adm"]);
    (world.terms.rights.login, world.terms.rights.sudo) = (None, vec![]);
    let free = |groups: &[&str], user: &str| Ceiling {
        unreviewed: vec![Unreviewed {
            user: id(user),
            login: false,
            sudo: None,
            groups: groups.iter().map(|g| id(g)).collect(),
        }],
        ..Ceiling::default()
    };
    assert!(judge(&world, &[], &free(&["adm"], "alice"), &AnyGroup).is_ok());
    let needed = Refusal::Reviews { found: 0, needed: 1 };
    for ceiling in [free(&["video"], "alice"), free(&["adm"], "bob")] {
        assert_eq!(judge(&world, &[], &ceiling, &AnyGroup).unwrap_err(), needed);
    }
    world.terms.rights.groups.push(id("video"));
    assert_eq!(judge(&world, &[], &free(&["adm"], "alice"), &AnyGroup).unwrap_err(), needed);
}

#[test]
fn a_group_out_of_bounds_is_refused() {
    let world = world(&["video", "adm"]);
    let refused = Refusal::Group(id("adm"));
    let forbids = Ceiling { forbidden_groups: vec![id("adm")], ..Ceiling::default() };
    let lists = |groups: &[&str]| Ceiling {
        allowed_groups: Some(groups.iter().map(|g| id(g)).collect()),
        ..Ceiling::default()
    };
    for ceiling in [forbids, lists(&["video"])] {
        assert_eq!(judge(&world, &[world.approval()], &ceiling, &AnyGroup).unwrap_err(), refused);
    }
    assert!(judge(&world, &[world.approval()], &lists(&["video", "adm"]), &AnyGroup).is_ok());
    assert!(judge(&world, &[world.approval()], &lists(&[]), &AnyGroup).is_err());
}

#[test]
fn every_group_that_amounts_to_root_is_refused_unless_terms_and_ceiling_say_root() {
    let root = Ceiling { full_root: true, ..Ceiling::default() };
    for name in ["root", "sudo", "wheel", "docker", "lxd", "disk", "shadow", "kmem", "staff", "stint"] {
        assert!(root_equivalent(&id(name)).is_some(), "{name}");
        let mut world = world(&["video", name]);
        let refused = judge(&world, &[world.approval()], &root, &AnyGroup).unwrap_err();
        assert!(
            matches!(refused, Refusal::RootGroup { ref group, .. } if group.as_str() == name),
            "{refused}"
        );
        full_root(&mut world);
        assert!(judge(&world, &[world.approval()], &root, &AnyGroup).is_ok(), "{name}");
        let refused = judge(&world, &[world.approval()], &Ceiling::default(), &AnyGroup);
        assert_eq!(refused.unwrap_err(), Refusal::FullRoot);
    }
    for name in ["adm", "video", "systemd-journal", "kvm"] {
        assert_eq!(root_equivalent(&id(name)), None, "{name}");
    }
}

#[test]
fn a_group_that_amounts_to_root_on_this_host_alone_is_refused_the_same_way() {
    let mut world = world(&["deploy"]);
    let root = Ceiling { full_root: true, ..Ceiling::default() };
    let host = Says(GroupFact::Root("sudoers".to_owned()));
    let refused = Refusal::RootGroup { group: id("deploy"), why: "sudoers".to_owned() };
    assert_eq!(judge(&world, &[world.approval()], &root, &host).unwrap_err(), refused);
    full_root(&mut world);
    assert!(judge(&world, &[world.approval()], &root, &host).is_ok());
}

#[test]
fn a_group_that_the_host_does_not_have_or_cannot_judge_is_refused() {
    let world = world(&["gone"]);
    let host = Says(GroupFact::Unusable("which is not there".to_owned()));
    let refused = Refusal::HostGroup { group: id("gone"), why: "which is not there".to_owned() };
    assert_eq!(judge(&world, &[world.approval()], &Ceiling::default(), &host).unwrap_err(), refused);
}

#[test]
fn a_group_of_root_needs_the_reviews_of_root() {
    let mut world = world(&["docker"]);
    full_root(&mut world);
    (world.terms.rights.login, world.terms.rights.sudo[0].noexec) = (None, false);
    let reviews = ReviewsNeeded { login: 0, sudo: 0, root: 2, group: 0, account: 0 };
    let ceiling = Ceiling { full_root: true, reviews, ..Ceiling::default() };
    let refused = judge(&world, &[world.approval()], &ceiling, &AnyGroup);
    assert_eq!(refused.unwrap_err(), Refusal::Reviews { found: 1, needed: 2 });
}

#[test]
fn a_group_twice_and_too_many_are_no_right() {
    let with = |groups: Vec<GroupName>| Rights { groups, ..rights() }.check();
    assert!(matches!(with(vec![id("adm"), id("video"), id("adm")]), Err(RightError::Groups(_))));
    let many = |n: usize| (0..n).map(|n| id(&format!("g{n}"))).collect();
    assert_eq!(with(many(MAX_GROUPS)), Ok(()));
    assert!(matches!(with(many(MAX_GROUPS + 1)), Err(RightError::Groups(_))));
}
