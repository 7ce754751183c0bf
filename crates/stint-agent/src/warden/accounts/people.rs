//! Accounts: what must change, as a pure function of the live grants, the ledger, and what stands.

use std::collections::{BTreeMap, BTreeSet};

use stint_grant::host_config::Accounts;
use stint_grant::ids::{GrantId, UserName};
use stint_grant::rights::AccountRight;

use super::found::Found;
use super::ledger::{Account, Ledger};
use super::order::Step;
use crate::warden::live::LiveGrant;

/// An account that live grants want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Want {
    /// The grants, in their order.
    pub(super) grants: Vec<GrantId>,
    /// What the first of them says it is like.
    pub(super) right: AccountRight,
}

/// Why an account cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Somebody made another one of that name.
    #[error("an account of this name stands that is not ours")]
    Foreign,
    /// `host.toml` has changed since the grant was taken.
    #[error("this host allows no accounts any more: set ceiling.accounts.allowed in host.toml")]
    NotAllowed,
    /// Every number of the range was used, or is somebody's.
    #[error("no number from {first} to {last} is left: widen ceiling.accounts in host.toml")]
    NoNumber {
        /// The range.
        first: u32,
        /// Its end.
        last: u32,
    },
}

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The accounts that are ours from now on.
    pub(super) accounts: Vec<Account>,
    /// All numbers that were used.
    pub(super) spent: BTreeSet<u32>,
    /// The steps.
    pub(super) steps: Vec<Step>,
    /// What cannot be made, and why.
    pub(super) refused: BTreeMap<UserName, (GrantId, Refusal)>,
}

/// All accounts that live grants want.
pub(super) fn wanted(live: &[LiveGrant]) -> BTreeMap<UserName, Want> {
    let mut wanted: BTreeMap<UserName, Want> = BTreeMap::new();
    for grant in live {
        if let Some(right) = &grant.rights().account {
            let new = || Want { grants: Vec::new(), right: right.clone() };
            wanted.entry(grant.user().clone()).or_insert_with(new).grants.push(grant.id().clone());
        }
    }
    wanted
}

/// Whether an account still serves a live grant. One that was made for other grants is over, even if its name is wanted again.
pub(super) fn serves(account: &Account, wanted: &BTreeMap<UserName, Want>) -> bool {
    wanted
        .get(&account.user)
        .is_some_and(|want| want.grants.iter().any(|grant| account.grants.contains(grant)))
}

/// Compares what should stand with what does. `emptied` are the accounts of which no process is left.
pub(super) fn plan(
    wanted: &BTreeMap<UserName, Want>,
    ledger: &Ledger,
    found: &Found,
    range: &Accounts,
    emptied: &BTreeSet<UserName>,
) -> Plan {
    let mut plan = Plan { spent: ledger.spent.clone(), ..Plan::default() };
    for account in &ledger.accounts {
        let mut account = account.clone();
        if serves(&account, wanted) {
            let standing = found.user(account.user.as_str());
            let Some(want) = wanted.get(&account.user) else { continue };
            if standing.is_some_and(|user| user.uid != account.uid) {
                let grant = account.grant.clone();
                plan.refused.insert(account.user.clone(), (grant, Refusal::Foreign));
            } else {
                account.grants.extend(want.grants.iter().cloned());
                account.made &= standing.is_some();
                plan.steps.extend((!account.made).then(|| make(&account)));
            }
        } else if emptied.contains(&account.user) {
            let Account { user, uid, grant, right, .. } = account.clone();
            plan.steps.push(Step::End { user, uid, grant, home: right.home });
        }
        plan.accounts.push(account);
    }
    for (user, want) in wanted {
        if plan.accounts.iter().any(|account| account.user == *user) {
            continue;
        }
        let Some(grant) = want.grants.first() else { continue };
        let made = if found.user(user.as_str()).is_some() || found.group(user.as_str()).is_some() {
            Err(Refusal::Foreign)
        } else {
            number(range, &plan.spent, found)
        };
        match made {
            Ok(uid) => {
                let account = Account {
                    user: user.clone(),
                    uid,
                    right: want.right.clone(),
                    grant: grant.clone(),
                    grants: want.grants.iter().cloned().collect(),
                    made: false,
                };
                plan.spent.insert(uid);
                plan.steps.push(make(&account));
                plan.accounts.push(account);
            }
            Err(refusal) => {
                plan.refused.insert(user.clone(), (grant.clone(), refusal));
            }
        }
    }
    plan
}

fn make(account: &Account) -> Step {
    let Account { user, uid, grant, right, .. } = account.clone();
    Step::Make { user, uid, grant, shell: right.shell, keys: right.keys }
}

fn number(range: &Accounts, spent: &BTreeSet<u32>, found: &Found) -> Result<u32, Refusal> {
    let is_free = |uid: &u32| {
        !spent.contains(uid)
            && !found.users.iter().any(|user| user.uid == *uid)
            && !found.groups.iter().any(|group| group.gid == *uid)
    };
    if !range.allowed {
        return Err(Refusal::NotAllowed);
    }
    let (first, last) = (range.first_uid, range.last_uid);
    (first..=last).find(is_free).ok_or(Refusal::NoNumber { first, last })
}

#[cfg(test)]
mod tests;
