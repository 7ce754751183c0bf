//! The plan, and that it finishes from wherever a crash stopped it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::warden::accounts::found::Group;

const GRANT: &str = "aaaabbbbcccc";

fn place(user: &str, group: &str) -> Place {
    (user.parse().unwrap(), group.parse().unwrap())
}
fn want(root: bool) -> Want {
    Want { grants: vec![GRANT.parse().unwrap()], root }
}
fn wants(places: &[(&str, &str)]) -> BTreeMap<Place, Want> {
    places.iter().map(|(user, group)| (place(user, group), want(false))).collect()
}
fn stamp() -> Stamp {
    Stamp { boot_id: "boot".to_owned(), ticks: 700 }
}
fn uid_of(user: &UserName) -> Option<u32> {
    match user.as_str() {
        "alice" => Some(1001),
        "bob" => Some(1002),
        _ => None,
    }
}
fn accounts() -> Accounts<'static> {
    Accounts { uid: &uid_of, waits: &|user| user.as_str() == "later" }
}
fn plain(_: &GroupName) -> GroupFact {
    GroupFact::Plain
}
fn found(group: &str) -> Found {
    Found::parse(group, "alice:x:1001:1001::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\n")
}
fn planned(wanted: &BTreeMap<Place, Want>, ledger: &Ledger, found: &Found) -> Plan {
    plan(wanted, ledger, found, &stamp(), &accounts(), &plain)
}
fn join(user: &str, group: &str) -> Step {
    let (user, group) = place(user, group);
    Step::Join { user, group }
}
fn leave(user: &str, group: &str) -> Step {
    let (user, group) = place(user, group);
    Step::Leave { user, group }
}
/// The ledger once alice was put into adm.
fn ledger() -> Ledger {
    planned(&wants(&[("alice", "adm")]), &Ledger::default(), &found("adm:x:4:\n")).ledger
}

#[test]
fn a_place_is_written_down_before_the_step_that_gives_it() {
    let first = planned(&wants(&[("alice", "adm")]), &Ledger::default(), &found("adm:x:4:bob\n"));
    assert_eq!(first.steps, [join("alice", "adm")]);
    let entry = &first.ledger.memberships[0];
    assert_eq!((entry.uid, entry.gid, entry.since, entry.given), (1001, 4, 700, false));
    let second = planned(&wants(&[("alice", "adm")]), &first.ledger, &found("adm:x:4:bob,alice\n"));
    assert_eq!((second.steps, second.given.len()), (vec![], 1));
    let third = planned(&wants(&[("alice", "adm")]), &second.ledger, &found("adm:x:4:bob,alice\n"));
    assert_eq!((third.steps, third.given.len(), third.ledger), (vec![], 0, second.ledger));
}

#[test]
fn a_place_that_stood_before_is_not_ours_and_is_never_taken_away() {
    let standing = found("adm:x:4:alice\n");
    let given = planned(&wants(&[("alice", "adm")]), &Ledger::default(), &standing);
    assert_eq!((&given.steps, &given.ledger), (&vec![], &Ledger::default()));
    let ended = planned(&wants(&[]), &given.ledger, &standing);
    assert_eq!(ended, Plan::default());
    let own = found("alice:x:1001:\n");
    assert_eq!(planned(&wants(&[("alice", "alice")]), &Ledger::default(), &own), Plan::default());
}

#[test]
fn what_is_ours_is_taken_back_and_then_looked_for_in_processes() {
    let ended = planned(&wants(&[]), &ledger(), &found("adm:x:4:alice,bob\n"));
    assert_eq!((ended.steps, ended.released.len()), (vec![leave("alice", "adm")], 0));
    let gone = planned(&wants(&[]), &ended.ledger, &found("adm:x:4:bob\n"));
    assert_eq!((gone.steps, gone.released.len()), (vec![], 1));
    assert_eq!(gone.ledger, ledger(), "it is forgotten only when no process holds it");
}

#[test]
fn the_groups_of_an_account_that_is_still_to_be_made_come_later() {
    let planned = planned(&wants(&[("later", "adm")]), &Ledger::default(), &found("adm:x:4:\n"));
    assert_eq!(planned, Plan::default());
}

#[test]
fn one_that_another_grant_still_gives_stays() {
    let still = planned(&wants(&[("alice", "adm")]), &ledger(), &found("adm:x:4:alice\n"));
    assert_eq!((still.steps, still.released), (vec![], vec![]));
}

#[test]
fn one_that_somebody_took_out_is_given_again_and_keeps_its_beginning() {
    let later = Stamp { ticks: 9_000, ..stamp() };
    let wanted = wants(&[("alice", "adm")]);
    let again = plan(&wanted, &ledger(), &found("adm:x:4:\n"), &later, &accounts(), &plain);
    assert_eq!(again.steps, [join("alice", "adm")]);
    assert_eq!(again.ledger.memberships[0].since, 700);
}

#[test]
fn what_stands_in_a_group_that_was_made_anew_is_not_ours() {
    let anew = found("adm:x:44:alice\n");
    let ended = planned(&wants(&[]), &ledger(), &anew);
    assert_eq!((ended.steps, ended.released.len()), (vec![], 1));
    let gone = planned(&wants(&[]), &ledger(), &found(""));
    assert_eq!((gone.steps, gone.released.len()), (vec![], 1));
}

#[test]
fn what_cannot_be_given_is_refused_with_its_cause_and_keeps_nothing_else_out() {
    let wanted = wants(&[("alice", "adm"), ("alice", "gone"), ("nobody", "adm"), ("bob", "wheel")]);
    let fact = |group: &GroupName| match group.as_str() {
        "wheel" => GroupFact::Root("sudoers".to_owned()),
        _ => GroupFact::Plain,
    };
    let standing = found("adm:x:4:\nwheel:x:10:\n");
    let planned = plan(&wanted, &Ledger::default(), &standing, &stamp(), &accounts(), &fact);
    assert_eq!(planned.steps, [join("alice", "adm")]);
    assert_eq!(planned.refused.len(), 3);
    let why = |user: &str, group: &str| planned.refused[&place(user, group)].1.clone();
    assert!(why("alice", "gone").contains("/etc/group"));
    assert!(why("nobody", "adm").contains("account"));
    assert!(why("bob", "wheel").contains("sudoers"));
    let root = BTreeMap::from([(place("bob", "wheel"), want(true))]);
    let planned = plan(&root, &Ledger::default(), &standing, &stamp(), &accounts(), &fact);
    assert_eq!(planned.steps, [join("bob", "wheel")]);
}

/// A host on which steps are done or not, and warden and host may die between any two.
fn act(groups: &mut [Group], step: &Step) {
    let (Step::Join { user, group } | Step::Leave { user, group }) = step else { return };
    let members = groups.iter_mut().find(|g| g.name == group.as_str()).map(|g| &mut g.members);
    let Some(members) = members else { return };
    members.retain(|m| m != user.as_str());
    if matches!(step, Step::Join { .. }) {
        members.push(user.as_str().to_owned());
    }
}

const PLACES: [(&str, &str); 4] = [("alice", "adm"), ("alice", "video"), ("bob", "adm"), ("bob", "video")];

proptest! {
    /// Whatever grants came and went and wherever it was stopped: once no grant lives, what stood before stands, and nothing else.
    #[test]
    fn in_the_end_stands_what_stood_before(
        before in prop::collection::btree_set(0..4_usize, 0..4),
        rounds in prop::collection::vec((prop::collection::btree_set(0..4_usize, 0..4), 0..3_usize, any::<bool>()), 0..8),
    ) {
        let mut host = found("adm:x:4:\nvideo:x:44:\n");
        for n in &before {
            act(&mut host.groups, &join(PLACES[*n].0, PLACES[*n].1));
        }
        let members = |host: &Found| -> BTreeSet<(String, String)> {
            host.groups.iter().flat_map(|g| g.members.iter().map(|m| (g.name.clone(), m.clone()))).collect()
        };
        let stood = members(&host);
        let mut disk = Ledger::default();
        for (wanted, done, saved) in &rounds {
            let wanted: Vec<_> = wanted.iter().map(|n| PLACES[*n]).collect();
            let planned = planned(&wants(&wanted), &disk, &host);
            if !saved {
                // It died before the ledger was written: then no step was begun.
                continue;
            }
            disk = planned.ledger;
            for step in planned.steps.iter().take(*done) {
                act(&mut host.groups, step);
            }
            prop_assert!(stood.is_subset(&members(&host)));
        }
        for _ in 0..3 {
            let planned = planned(&wants(&[]), &disk, &host);
            disk = planned.ledger;
            planned.steps.iter().for_each(|step| act(&mut host.groups, step));
            disk.memberships.retain(|m| !planned.released.contains(m));
        }
        prop_assert_eq!(members(&host), stood);
        prop_assert_eq!(disk.memberships, vec![]);
    }
}
