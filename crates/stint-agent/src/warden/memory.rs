//! What the host remembers of each grant, from its first sight until long after it can mean anything.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stint_grant::acceptance::{AcceptedGrant, GrantMemory};
use stint_grant::ids::{GrantId, UserName};
use stint_grant::time::{Seconds, UnixTime};
use stint_log::record::Ending;

/// How long a grant is remembered after the last moment at which its terms could be in force.
const KEPT_AFTER: Seconds = Seconds(30 * 24 * 3600);

/// All grants that this host ever took and has not forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Memory {
    grants: BTreeMap<GrantId, Remembered>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remembered {
    /// What the judge asks for.
    pub(crate) grant: GrantMemory,
    /// The account that it was for.
    pub(crate) user: UserName,
    /// Its end, as last heard.
    pub(crate) until: UnixTime,
    /// How it ended here, if it did.
    pub(crate) how: Option<Ending>,
    /// Whether its window is not this one, but those that codes open.
    #[serde(default)]
    pub(crate) sealed: bool,
    /// From then on it can be forgotten: its terms cannot be in force any more.
    pub(crate) forget_after: UnixTime,
}

/// What changed about a grant that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
    /// Seen for the first time.
    New,
    /// Its end moved.
    Moved {
        /// From here.
        from: UnixTime,
    },
}

impl Memory {
    /// What is remembered of a grant, for the judge.
    pub(crate) fn of(&self, grant: &GrantId) -> Option<&GrantMemory> {
        self.grants.get(grant).map(|remembered| &remembered.grant)
    }
    /// All that is remembered of a grant.
    pub(crate) fn get(&self, grant: &GrantId) -> Option<&Remembered> {
        self.grants.get(grant)
    }
    /// Takes note of a grant that was accepted.
    pub(crate) fn remember(&mut self, accepted: &AcceptedGrant) -> Option<Remark> {
        let (grant, terms) = (&accepted.grant, &accepted.terms);
        if let Some(known) = self.grants.get_mut(&grant.id) {
            let from = std::mem::replace(&mut known.until, grant.until);
            return (from != grant.until).then_some(Remark::Moved { from });
        }
        let last = terms.claim_by.plus(terms.max_window).plus(terms.max_extension);
        let remembered = Remembered {
            grant: GrantMemory { terms: terms.digest().clone(), from: grant.from, ended: false },
            user: terms.user.clone(),
            until: grant.until,
            how: None,
            sealed: terms.is_sealed(),
            forget_after: last.plus(KEPT_AFTER),
        };
        self.grants.insert(grant.id.clone(), remembered);
        Some(Remark::New)
    }
    /// Marks a grant as ended. Whether that is new.
    pub(crate) fn end(&mut self, grant: &GrantId, how: Ending) -> bool {
        match self.grants.get_mut(grant) {
            Some(known) if !known.grant.ended => {
                known.grant.ended = true;
                known.how = Some(how);
                true
            }
            _ => false,
        }
    }
    /// The grants that ended here.
    pub(crate) fn ended(&self) -> BTreeSet<GrantId> {
        self.grants.iter().filter(|(_, r)| r.grant.ended).map(|(id, _)| id.clone()).collect()
    }
    /// When the windows of an account began that run without a gap into one that began then.
    pub(crate) fn rights_since(&self, user: &UserName, from: UnixTime) -> UnixTime {
        let mut since = from;
        let before = |since: UnixTime| {
            let windows = self.grants.values().filter(|r| r.user == *user && r.until >= since && !r.sealed);
            windows.map(|r| r.grant.from).filter(|from| *from < since).min()
        };
        while let Some(earlier) = before(since) {
            since = earlier;
        }
        since
    }
    /// The grants that have not ended.
    pub(crate) fn standing(&self) -> impl Iterator<Item = (&GrantId, &Remembered)> {
        self.grants.iter().filter(|(_, r)| !r.grant.ended)
    }
    /// Drops what can mean nothing any more. Whether anything was dropped.
    pub(crate) fn forget(&mut self, now: UnixTime) -> bool {
        let before = self.grants.len();
        self.grants.retain(|_, r| now <= r.forget_after || !r.grant.ended);
        self.grants.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_grant::ids::Sha256Hex;

    fn memory(ended: bool) -> (Memory, GrantId) {
        let id: GrantId = "aaaaaaaaaaaa".parse().unwrap();
        let remembered = Remembered {
            grant: GrantMemory { terms: Sha256Hex::of(b"terms"), from: UnixTime(0), ended },
            user: "alice".parse().unwrap(),
            until: UnixTime(100),
            how: None,
            sealed: false,
            forget_after: UnixTime(1000),
        };
        (Memory { grants: BTreeMap::from([(id.clone(), remembered)]) }, id)
    }

    #[test]
    fn a_grant_is_forgotten_only_when_it_ended_and_its_terms_can_hold_no_more() {
        for (ended, now, kept) in [(true, 1000, true), (true, 1001, false), (false, 9999, true)] {
            let (mut memory, id) = memory(ended);
            assert_eq!(memory.forget(UnixTime(now)), !kept);
            assert_eq!(memory.of(&id).is_some(), kept, "ended {ended} at {now}");
        }
    }

    #[test]
    fn windows_that_meet_are_one_and_those_before_a_gap_or_of_others_do_not_count() {
        let mut memory = Memory::default();
        let windows =
            [("a", "alice", 10, 19), ("b", "alice", 20, 30), ("c", "alice", 25, 50), ("d", "bob", 5, 60)];
        for (id, user, from, until) in windows {
            let remembered = Remembered {
                grant: GrantMemory { terms: Sha256Hex::of(b"terms"), from: UnixTime(from), ended: true },
                user: user.parse().unwrap(),
                until: UnixTime(until),
                how: None,
                sealed: false,
                forget_after: UnixTime(1000),
            };
            memory.grants.insert(id.repeat(12).parse().unwrap(), remembered);
        }
        let alice: UserName = "alice".parse().unwrap();
        assert_eq!(memory.rights_since(&alice, UnixTime(40)), UnixTime(20));
        assert_eq!(memory.rights_since(&alice, UnixTime(51)), UnixTime(51));
        assert_eq!(memory.rights_since(&alice, UnixTime(15)), UnixTime(10));
    }

    #[test]
    fn an_end_is_marked_once_and_its_first_cause_stays() {
        let (mut memory, id) = memory(false);
        assert!(memory.end(&id, Ending::Revoked));
        assert!(!memory.end(&id, Ending::Expired));
        assert_eq!(memory.get(&id).unwrap().how, Some(Ending::Revoked));
        assert!(memory.ended().contains(&id) && memory.standing().next().is_none());
    }
}
