//! What must change: a pure function of the live grants, the ledger, and what stands.

use std::collections::BTreeMap;

use stint_grant::acceptance::GroupFact;
use stint_grant::ids::{GrantId, GroupName, UserName};

use super::found::Found;
use super::ledger::{Ledger, Membership};
use super::order::Step;
use crate::warden::live::LiveGrant;

/// A place in a group that live grants give.
pub(super) type Place = (UserName, GroupName);

/// Why a place is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Want {
    /// The grants that give it, in their order.
    pub(super) grants: Vec<GrantId>,
    /// Whether one of them is all of root.
    pub(super) root: bool,
}

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The ledger as it must be before the first step.
    pub(super) ledger: Ledger,
    /// The steps: what must go, then what is to come.
    pub(super) steps: Vec<Step>,
    /// Places that cannot be given, and why.
    pub(super) refused: BTreeMap<Place, (GrantId, String)>,
    /// Places that were given and stand for the first time now.
    pub(super) given: Vec<Membership>,
    /// Places that are taken back: processes may still hold them.
    pub(super) released: Vec<Membership>,
}

/// What is asked of accounts.
pub(super) struct Accounts<'a> {
    /// The number of one.
    pub(super) uid: &'a dyn Fn(&UserName) -> Option<u32>,
    /// Whether one is still to be made, or was refused: its groups come later.
    pub(super) waits: &'a dyn Fn(&UserName) -> bool,
}

/// When something is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The boot's id.
    pub(super) boot_id: String,
    /// Clock ticks since that boot.
    pub(super) ticks: u64,
}

/// All places that live grants give.
pub(super) fn wanted(live: &[LiveGrant]) -> BTreeMap<Place, Want> {
    let mut wanted: BTreeMap<Place, Want> = BTreeMap::new();
    for grant in live {
        for group in &grant.rights().groups {
            let place = (grant.user().clone(), group.clone());
            let want = wanted.entry(place).or_insert_with(|| Want { grants: Vec::new(), root: false });
            want.grants.push(grant.id().clone());
            want.root |= grant.rights().is_full_root();
        }
    }
    wanted
}

/// Compares what should stand with what does.
///
/// A place that stands and is not in the ledger is not ours: it was there before, and stays. A group that was made anew under the
/// same name is another group: what stands in it is not ours either.
pub(super) fn plan(
    wanted: &BTreeMap<Place, Want>,
    ledger: &Ledger,
    found: &Found,
    stamp: &Stamp,
    accounts: &Accounts<'_>,
    fact: &dyn Fn(&GroupName) -> GroupFact,
) -> Plan {
    let mut plan = Plan { ledger: ledger.clone(), ..Plan::default() };
    let mut joins = Vec::new();
    plan.ledger.memberships.clear();
    for membership in &ledger.memberships {
        let (user, group) = (&membership.user, &membership.group);
        let standing = found.group(group.as_str()).filter(|found| found.gid == membership.gid);
        let is_in = standing.is_some_and(|found| found.members.iter().any(|m| m == user.as_str()));
        let is_wanted = wanted.contains_key(&(user.clone(), group.clone()));
        let mut membership = membership.clone();
        match (is_wanted, is_in) {
            (true, true) if !membership.given => {
                membership.given = true;
                plan.given.push(membership.clone());
            }
            (true, true) => {}
            // Decided anew below, by what the group is now.
            (true, false) => continue,
            (false, true) => plan.steps.push(Step::Leave { user: user.clone(), group: group.clone() }),
            (false, false) => plan.released.push(membership.clone()),
        }
        plan.ledger.memberships.push(membership);
    }
    for (place, want) in wanted {
        let (user, group) = place;
        if plan.ledger.membership(user, group).is_some() {
            continue;
        }
        let Some(grant) = want.grants.first() else { continue };
        let mut refuse = |why: String| {
            plan.refused.insert(place.clone(), (grant.clone(), why));
        };
        if (accounts.waits)(user) {
            continue;
        }
        let Some(uid) = (accounts.uid)(user) else {
            refuse("the account is not there".to_owned());
            continue;
        };
        let Some(standing) = found.group(group.as_str()) else {
            refuse("the group is not in this host's /etc/group".to_owned());
            continue;
        };
        let by_passwd = found.user(user.as_str()).is_some_and(|user| user.gid == standing.gid);
        if by_passwd || standing.members.iter().any(|m| m == user.as_str()) {
            continue;
        }
        match fact(group) {
            GroupFact::Plain => {}
            GroupFact::Root(_) if want.root => {}
            GroupFact::Root(why) => {
                refuse(format!("the group amounts to root ({why}), and the grant is not full root"));
                continue;
            }
            GroupFact::Unusable(why) => {
                refuse(why);
                continue;
            }
        }
        // One that somebody took out keeps its beginning: what got the group by us then may still hold it.
        let before = ledger.membership(user, group).filter(|m| m.gid == standing.gid && m.uid == uid);
        plan.ledger.memberships.push(before.cloned().unwrap_or_else(|| Membership {
            user: user.clone(),
            uid,
            group: group.clone(),
            gid: standing.gid,
            grant: grant.clone(),
            boot_id: stamp.boot_id.clone(),
            since: stamp.ticks,
            given: false,
        }));
        joins.push(Step::Join { user: user.clone(), group: group.clone() });
    }
    plan.steps.extend(joins);
    plan
}

#[cfg(test)]
mod tests;
