//! The grants in force now: a pure function of what was accepted, the locks, what ended here, and the time.
//!
//! Everything that is enforced (drop-ins, sessions, what is killed) is computed anew from this set, so nothing depends on having seen
//! an event.

use std::collections::BTreeSet;

use stint_grant::acceptance::AcceptedGrant;
use stint_grant::bundle::{Lock, LockTarget};
use stint_grant::gate::Opening;
use stint_grant::ids::{GrantId, Principal, UserName};
use stint_grant::record::CommandRecord;
use stint_grant::rights::{Rights, SudoRule};
use stint_grant::time::{Seconds, UnixTime};
use stint_log::record::Ending;

/// A grant in force: accepted, within its window, not locked, not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveGrant {
    /// The grant with its checked terms and its window.
    pub(crate) grant: AcceptedGrant,
}

impl LiveGrant {
    /// Its id.
    pub(crate) fn id(&self) -> &GrantId {
        &self.grant.grant.id
    }
    /// The account that it is for.
    pub(crate) fn user(&self) -> &UserName {
        &self.grant.terms.user
    }
    /// Whose it is.
    pub(crate) fn principal(&self) -> &Principal {
        &self.grant.terms.principal
    }
    /// When its window began.
    pub(crate) fn from(&self) -> UnixTime {
        self.grant.grant.from
    }
    /// When it ends.
    pub(crate) fn until(&self) -> UnixTime {
        self.grant.grant.until
    }
    /// All that it allows.
    pub(crate) fn rights(&self) -> &Rights {
        &self.grant.terms.rights
    }
    /// After how long its idle sessions end.
    pub(crate) fn idle_limit(&self) -> Option<Seconds> {
        self.grant.terms.idle_limit
    }
    /// Whether it ends with the last logout.
    pub(crate) fn ends_on_logout(&self) -> bool {
        self.grant.terms.end_on_logout
    }
    /// What it allows through sudo.
    pub(crate) fn rules(&self) -> &[SudoRule] {
        &self.grant.terms.rights.sudo
    }
    /// What is recorded of it.
    pub(crate) fn record(&self) -> CommandRecord {
        self.grant.terms.record
    }
}

/// A grant that is in force no more, for the enforcer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedGrant {
    /// Which.
    pub(crate) grant: GrantId,
    /// The account that it was for.
    pub(crate) user: UserName,
    /// How it ended.
    pub(crate) how: Ending,
    /// When the account's rights began that ran without a gap until now: what was left behind is younger. `None` if it is not known.
    pub(crate) since: Option<UnixTime>,
    /// How its processes end.
    pub(crate) urgency: Urgency,
}

/// How the processes of a grant that ended are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Asked first (TERM, HUP), killed a second and a half later: the window was over.
    Grace,
    /// Killed at once: somebody took the right back, or locked it.
    AtOnce,
}

impl Urgency {
    /// Who knew the end before gets the grace; what was taken back goes at once.
    pub(crate) fn of(how: Ending) -> Self {
        match how {
            Ending::Expired | Ending::Stale => Self::Grace,
            Ending::Ended | Ending::LoggedOut | Ending::Revoked | Ending::Locked | Ending::Withdrawn => {
                Self::AtOnce
            }
        }
    }
}

/// Where an accepted grant stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// In force.
    Live,
    /// It ended on this host, for good.
    Ended,
    /// Its window is over.
    Expired,
    /// Its window has not begun.
    NotYet,
    /// A lock stands on it. Its window runs on.
    Locked,
    /// It waits for a break-glass code.
    Sealed,
}

/// What the set of live grants depends on besides the grants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    /// The locks of the bundle.
    pub(crate) locks: &'a [Lock],
    /// What ended on this host.
    pub(crate) ended: &'a BTreeSet<GrantId>,
    /// The host's now.
    pub(crate) now: UnixTime,
    /// What codes have opened and is open now.
    pub(crate) opened: &'a [Opening],
}

impl Circumstances<'_> {
    /// Where one grant stands.
    pub(crate) fn standing(&self, grant: &AcceptedGrant) -> Standing {
        if self.ended.contains(&grant.grant.id) {
            Standing::Ended
        } else if self.now >= grant.grant.until {
            Standing::Expired
        } else if self.now < grant.grant.from {
            Standing::NotYet
        } else if self.lock_on(grant).is_some() {
            Standing::Locked
        } else if grant.terms.is_sealed() && self.opening_of(grant).is_none() {
            Standing::Sealed
        } else {
            Standing::Live
        }
    }

    fn opening_of(&self, grant: &AcceptedGrant) -> Option<&Opening> {
        self.opened.iter().find(|opening| opening.grant == grant.grant.id)
    }

    /// As it is in force: the window of a sealed grant is the one that a code opened.
    fn in_its_window(&self, grant: &AcceptedGrant) -> LiveGrant {
        let mut grant = grant.clone();
        if grant.terms.is_sealed()
            && let Some(opening) = self.opening_of(&grant)
        {
            (grant.grant.from, grant.grant.until) = (opening.from, opening.until);
        }
        LiveGrant { grant }
    }

    /// The lock that blocks a grant now, if there is one.
    pub(crate) fn lock_on(&self, grant: &AcceptedGrant) -> Option<&Lock> {
        self.locks.iter().find(|lock| {
            lock.until.is_none_or(|until| self.now < until)
                && match &lock.target {
                    LockTarget::Principal(principal) => *principal == grant.terms.principal,
                    LockTarget::User(user) => *user == grant.terms.user,
                    // The head is this host's, so the lock is. The module reads it the same way.
                    LockTarget::Host(_) => true,
                    LockTarget::Grant(id) => *id == grant.grant.id,
                }
        })
    }

    /// The grants in force, in the order given.
    pub(crate) fn live<'g>(&self, accepted: impl IntoIterator<Item = &'g AcceptedGrant>) -> Vec<LiveGrant> {
        accepted
            .into_iter()
            .filter(|grant| self.standing(grant) == Standing::Live)
            .map(|grant| self.in_its_window(grant))
            .collect()
    }

    /// The next moment at which the set can change by itself: a window that begins or ends, a lock that ends.
    pub(crate) fn next_change<'g>(
        &self,
        accepted: impl IntoIterator<Item = &'g AcceptedGrant>,
    ) -> Option<UnixTime> {
        let windows = accepted
            .into_iter()
            .filter(|grant| !self.ended.contains(&grant.grant.id))
            .flat_map(|grant| [grant.grant.from, grant.grant.until]);
        let locks = self.locks.iter().filter_map(|lock| lock.until);
        let opened = self.opened.iter().map(|opening| opening.until);
        windows.chain(locks).chain(opened).filter(|at| *at > self.now).min()
    }
}
