//! The sessions that live by grants, and which of them a set of live grants still permits. Pure.
//!
//! A login goes on as long as any live grant of its account allows that login. An elevation is harder: sudo does not tell which grant
//! allowed the command, only which grants there were. So when one of those ends, the elevation goes on only if what is left allows
//! everything that the ended one allowed; else it may run under a right that is gone, and it ends.

use serde::{Deserialize, Serialize};
use stint_grant::ids::{GrantId, UserName};
use stint_grant::register::{Register, SessionKind};
use stint_grant::rights::login::LOGOUT_SERVICES;
use stint_grant::rights::{Command, SudoRule};
use stint_grant::time::{Seconds, UnixTime};

use super::cgroup::unit_of;
use super::sweep::Target;
use crate::warden::live::LiveGrant;

/// A session that lives by grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// What it is called in the record.
    pub(super) name: String,
    /// A login, or sudo, su, doas.
    pub(super) kind: SessionKind,
    /// The PAM service.
    pub(super) service: String,
    /// The account whose grants permit it.
    pub(super) user: UserName,
    /// The account that it is opened for.
    pub(super) target: String,
    /// The process that opened it.
    pub(super) pid: u32,
    /// When that process began: a pid may be used again.
    pub(super) started: u64,
    /// Who logged in, as the kernel keeps it.
    pub(super) login_uid: Option<u32>,
    /// The kernel's number of the login's session.
    pub(super) audit: Option<u32>,
    /// The group that all of it is in, if it has one of its own.
    pub(super) cgroup: Option<String>,
    /// For an elevation: the group that it came from.
    pub(super) home: String,
    /// logind's id, for a login that has one.
    pub(super) logind: Option<String>,
    /// The terminal that PAM named.
    pub(super) tty: Option<String>,
    /// What it rests on.
    pub(super) basis: Vec<Basis>,
    /// The end that PID 1 was told.
    pub(super) limit: UnixTime,
}

/// One grant that a session rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Basis {
    /// Which.
    pub(super) grant: GrantId,
    /// Whose. A session may rest on two accounts: the one that opens it, and the one in whose session or for which it opens.
    pub(super) user: UserName,
    /// What it allows to be run; remembered, since what is left is compared with it when it has ended.
    pub(super) rules: Vec<SudoRule>,
    /// Whether it allows a login by the session's service.
    pub(super) login: bool,
}

/// What a session that opens rests on, and until when that lasts: for each account the latest end, and the earliest of those.
///
/// `None` if a grant that the module named is not live: it ended between the decision and now. Which account it was for is not known any
/// more, so the others do not stand in for it; who asks again is told by the gate.
pub(super) fn basis_of(register: &Register, live: &[LiveGrant]) -> Option<(Vec<Basis>, UnixTime)> {
    let named: Vec<&LiveGrant> =
        register.grants.iter().map(|id| live.iter().find(|g| g.id() == id)).collect::<Option<_>>()?;
    if !named.iter().any(|grant| grant.user().as_str() == register.user) {
        return None;
    }
    let ends = named.iter().map(|grant| {
        let same_user = named.iter().filter(|other| other.user() == grant.user());
        same_user.map(|other| other.until()).max().unwrap_or(grant.until())
    });
    let until = ends.min()?;
    let for_target = |rule: &&SudoRule| rule.run_as.as_str() == register.target;
    // Of an account that runs sudo itself, only the rules for this target can have allowed it. In all other cases (su, or root who
    // became root by a grant and now goes on from there) it hangs on all that the grant allows.
    let own = |grant: &LiveGrant| grant.user().as_str() == register.user && is_sudo(&register.service);
    let told_apart = named.iter().any(|grant| own(grant) && grant.rules().iter().any(|r| for_target(&r)));
    let basis = named.iter().map(|grant| {
        let rules = grant.rules().iter().filter(|rule| !(own(grant) && told_apart) || for_target(rule));
        Basis {
            grant: grant.id().clone(),
            user: grant.user().clone(),
            rules: rules.cloned().collect(),
            login: allows_login(grant, &register.service),
        }
    });
    Some((basis.collect(), until))
}

fn is_sudo(service: &str) -> bool {
    matches!(service, "sudo" | "sudo-i")
}

fn allows_login(grant: &LiveGrant, service: &str) -> bool {
    grant.rights().login.as_ref().is_some_and(|login| login.covers_service(service))
}

impl Session {
    /// Until when the live grants permit it; `None` if they do not.
    pub(super) fn permitted_until(&self, live: &[LiveGrant]) -> Option<UnixTime> {
        let users = self.basis.iter().map(|basis| &basis.user);
        users.map(|user| self.permitted_by(user, live)).min().flatten()
    }

    /// The same for one of the accounts that it rests on.
    fn permitted_by(&self, user: &UserName, live: &[LiveGrant]) -> Option<UnixTime> {
        let candidates: Vec<&LiveGrant> = live
            .iter()
            .filter(|grant| grant.user() == user && (self.rests_on(grant.id()) || self.could_rest_on(grant)))
            .collect();
        let covered = self.kind == SessionKind::Login || self.is_covered_by(user, &candidates);
        let until = candidates.iter().map(|grant| grant.until()).max();
        until.filter(|_| covered)
    }

    /// After how long without use it ends: the longest limit of the live grants that permit it, and none if one of them has none.
    pub(super) fn idle_limit(&self, live: &[LiveGrant]) -> Option<Seconds> {
        let own = live.iter().filter(|grant| *grant.user() == self.user);
        let permitting = own.filter(|grant| self.rests_on(grant.id()) || self.could_rest_on(grant));
        permitting.map(LiveGrant::idle_limit).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Whether somebody logged in: sshd, or the console.
    pub(super) fn is_login_of_a_person(&self) -> bool {
        self.kind == SessionKind::Login && LOGOUT_SERVICES.contains(&self.service.as_str())
    }

    /// Whether a grant that came later could have permitted it as well.
    fn could_rest_on(&self, grant: &LiveGrant) -> bool {
        let is_own = *grant.user() == self.user;
        match self.kind {
            SessionKind::Elevation if is_own && is_sudo(&self.service) => !grant.rules().is_empty(),
            // su and doas run anything as the target: root by full root only, another account by a login.
            SessionKind::Elevation if is_own && self.target == "root" => {
                grant.rules().iter().any(|rule| rule.is_full_root() && !rule.noexec)
            }
            SessionKind::Elevation | SessionKind::Login => allows_login(grant, &self.service),
        }
    }

    /// Whether what the candidates allow includes all that the ended part of the basis allowed.
    fn is_covered_by(&self, user: &UserName, candidates: &[&LiveGrant]) -> bool {
        let allowed = |lost: &SudoRule| {
            let mut left = candidates.iter().flat_map(|grant| grant.rules());
            left.any(|rule| {
                rule == lost || (rule.command == Command::All && !rule.noexec && rule.run_as == lost.run_as)
            })
        };
        let login = || candidates.iter().any(|grant| allows_login(grant, &self.service));
        let mut lost = self
            .basis
            .iter()
            .filter(|basis| basis.user == *user && !candidates.iter().any(|g| *g.id() == basis.grant));
        lost.all(|basis| basis.rules.iter().all(allowed) && (!basis.login || login()))
    }

    /// Whether it rests on a grant of an account.
    pub(super) fn rests_on_account(&self, user: &UserName) -> bool {
        self.basis.iter().any(|basis| basis.user == *user)
    }

    /// Whether it rests on a grant.
    pub(super) fn rests_on(&self, grant: &GrantId) -> bool {
        self.basis.iter().any(|basis| basis.grant == *grant)
    }

    /// Whether it may have been root, and so also have had PID 1 start something outside it.
    pub(super) fn was_root(&self) -> bool {
        let any = |rule: &SudoRule| rule.amounts_to_root();
        self.kind == SessionKind::Elevation && self.basis.iter().flat_map(|basis| &basis.rules).any(any)
    }

    /// Whether it may have asked PID 1 for something as root: so may a login that is allowed full root, since polkit asks for the same
    /// right (pkexec, run0) and opens no session of its own.
    pub(super) fn may_have_asked_pid_1(&self) -> bool {
        let full = |rule: &SudoRule| rule.is_full_root() && !rule.noexec;
        self.was_root() || self.basis.iter().flat_map(|basis| &basis.rules).any(full)
    }

    /// What is swept when it ends; `None` if the kernel does not tell whose processes are whose.
    pub(super) fn sweep_target(&self) -> Option<Target> {
        let (login_uid, audit_session) = (self.login_uid?, self.audit?);
        Some(match self.kind {
            SessionKind::Login => Target::Session { login_uid, audit_session },
            SessionKind::Elevation => {
                Target::Elevation { login_uid, audit_session, home: self.home.clone(), since: self.started }
            }
        })
    }

    /// The unit of PID 1 that holds it.
    pub(super) fn unit(&self) -> Option<&str> {
        self.cgroup.as_deref().map(unit_of)
    }
}

/// The grant in the name of one of our scopes: `stint-GRANT-PID-NUMBER.scope`.
pub(super) fn grant_of_scope(unit: &str) -> Option<GrantId> {
    let middle = unit.strip_prefix("stint-")?.strip_suffix(".scope")?;
    let mut parts = middle.split('-');
    let grant = GrantId::new(parts.next()?).ok()?;
    let numbers = parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    numbers.then_some(grant)
}

/// logind's id in the name of a session's scope.
pub(super) fn logind_id(unit: &str) -> Option<&str> {
    unit.strip_prefix("session-")?.strip_suffix(".scope")
}

#[cfg(test)]
pub(super) mod tests;
