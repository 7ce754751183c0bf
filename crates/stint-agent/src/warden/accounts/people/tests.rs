//! The plan of accounts.

use stint_grant::rights::HomeEnd;

use super::*;

const GRANT: &str = "aaaabbbbcccc";
const OTHER: &str = "ddddeeeeffff";
const RANGE: Accounts = Accounts { allowed: true, first_uid: 50_000, last_uid: 50_002 };

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}
fn wants(grants: &[&str]) -> BTreeMap<UserName, Want> {
    if grants.is_empty() {
        return BTreeMap::new();
    }
    let right = AccountRight { shell: "/bin/sh".to_owned(), home: HomeEnd::Remove, keys: Vec::new() };
    BTreeMap::from([(
        user("alice-tmp"),
        Want { grants: grants.iter().map(|g| g.parse().unwrap()).collect(), right },
    )])
}
fn nothing() -> Found {
    Found::parse("", "")
}
fn standing(uid: u32) -> Found {
    Found::parse("", &format!("alice-tmp:x:{uid}:{uid}::/:/bin/sh\n"))
}
fn planned(wanted: &BTreeMap<UserName, Want>, ledger: &Ledger, found: &Found) -> Plan {
    plan(wanted, ledger, found, &RANGE, &BTreeSet::new())
}
fn ledger(accounts: Vec<Account>, spent: &[u32]) -> Ledger {
    let mut ledger = Ledger::default();
    (ledger.accounts, ledger.spent) = (accounts, spent.iter().copied().collect());
    ledger
}
/// The account once it was made.
fn made() -> Account {
    Account { made: true, ..planned(&wants(&[GRANT]), &Ledger::default(), &nothing()).accounts.remove(0) }
}
fn is_end(step: &Step) -> bool {
    matches!(step, Step::End { uid: 50_000, .. })
}

#[test]
fn an_account_is_written_down_with_a_number_that_nobody_had_before_it_is_made() {
    let found = Found::parse("staffroom:x:50001:\n", "bob:x:50000:7::/:/bin/sh\n");
    let first = planned(&wants(&[GRANT]), &Ledger::default(), &found);
    assert_eq!((first.accounts[0].uid, first.accounts[0].made), (50_002, false));
    assert!(matches!(first.steps[..], [Step::Make { uid: 50_002, .. }]));
    assert!(first.spent.contains(&50_002));
    let all_used = planned(&wants(&[GRANT]), &ledger(vec![], &[50_002]), &found);
    assert_eq!(all_used.refused[&user("alice-tmp")].1, Refusal::NoNumber { first: 50_000, last: 50_002 });
}

#[test]
fn an_account_that_is_not_ours_is_never_touched() {
    for found in [standing(1001), standing(50_000), Found::parse("alice-tmp:x:77:\n", "")] {
        let planned = planned(&wants(&[GRANT]), &Ledger::default(), &found);
        assert_eq!((planned.steps, planned.accounts), (vec![], vec![]));
        assert_eq!(planned.refused[&user("alice-tmp")].1, Refusal::Foreign);
    }
    let replaced = planned(&wants(&[GRANT]), &ledger(vec![made()], &[50_000]), &standing(1001));
    assert_eq!((replaced.steps, replaced.refused.len()), (vec![], 1));
    assert_eq!(planned(&wants(&[]), &Ledger::default(), &standing(1001)), Plan::default());
}

#[test]
fn one_that_was_not_made_whole_is_made_again_and_one_that_was_is_left() {
    let half = Account { made: false, ..made() };
    for found in [nothing(), standing(50_000)] {
        let again = planned(&wants(&[GRANT]), &ledger(vec![half.clone()], &[50_000]), &found);
        assert!(matches!(again.steps[..], [Step::Make { uid: 50_000, .. }]));
    }
    let whole = ledger(vec![made()], &[50_000]);
    assert_eq!(planned(&wants(&[GRANT]), &whole, &standing(50_000)).steps, []);
    assert_eq!(planned(&wants(&[GRANT]), &whole, &nothing()).steps.len(), 1, "somebody removed it");
}

#[test]
fn it_ends_only_when_no_process_is_left_and_until_then_it_is_remembered() {
    let whole = ledger(vec![made()], &[50_000]);
    let waiting = planned(&wants(&[]), &whole, &standing(50_000));
    assert_eq!((waiting.steps.len(), waiting.accounts.len()), (0, 1));
    let emptied = BTreeSet::from([user("alice-tmp")]);
    let ended = plan(&wants(&[]), &whole, &standing(50_000), &RANGE, &emptied);
    assert!(ended.steps.len() == 1 && is_end(&ended.steps[0]) && ended.accounts.len() == 1);
    assert!(ended.spent.contains(&50_000));
}

#[test]
fn it_goes_on_as_long_as_a_grant_lives_that_it_served_and_is_made_anew_for_another() {
    let both = planned(&wants(&[GRANT, OTHER]), &ledger(vec![made()], &[50_000]), &standing(50_000));
    let then = ledger(both.accounts, &[50_000]);
    assert_eq!(planned(&wants(&[OTHER]), &then, &standing(50_000)).steps, []);

    let emptied = BTreeSet::from([user("alice-tmp")]);
    let later = plan(&wants(&[OTHER]), &ledger(vec![made()], &[50_000]), &standing(50_000), &RANGE, &emptied);
    assert!(later.steps.len() == 1 && is_end(&later.steps[0]), "the old one goes first: {:?}", later.steps);
    let anew = planned(&wants(&[OTHER]), &ledger(vec![], &[50_000]), &nothing());
    assert_eq!(anew.accounts[0].uid, 50_001, "no number is used twice");
}
