//! The sessions that live by grants, and which of them a set of live grants still permits. Pure.
//!
//! A login goes on as long as any live grant of its account allows that login. What sudo runs is harder: sudo does not tell which grant
//! allowed the command, only which grants there were. So when one of those ends, the elevation goes on only if what is left allows
//! everything that the ended one allowed; else it may run under a right that is gone, and it ends.

use serde::{Deserialize, Serialize};
use stint_grant::ids::{GrantId, UserName};
use stint_grant::register::{Register, SessionKind};
use stint_grant::rights::{Command, SudoRule};
use stint_grant::time::UnixTime;

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
    pub(super) audit_session: Option<u32>,
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
    /// What it allows to be run as the session's target; remembered, since what is left is compared with it when it has ended.
    pub(super) rules: Vec<SudoRule>,
}

/// Whether a grant is one that a session of this kind can rest on.
fn supports(grant: &LiveGrant, kind: SessionKind, service: &str, target: &str) -> bool {
    let login = || grant.rights().login.as_ref().is_some_and(|login| login.covers_service(service));
    match kind {
        SessionKind::Login => login(),
        SessionKind::Elevation if is_sudo(service) => !grant.rules().is_empty(),
        // su and doas run anything as the target: root by full root only, another account by a login.
        SessionKind::Elevation if target == "root" => grant.rights().is_full_root(),
        SessionKind::Elevation => login(),
    }
}

fn is_sudo(service: &str) -> bool {
    matches!(service, "sudo" | "sudo-i")
}

/// The live grants that a session which opens rests on, and the latest end among them. Empty if none of those that the module named
/// is live and permits it: they ended between its decision and now.
pub(super) fn basis_of(register: &Register, live: &[LiveGrant]) -> (Vec<Basis>, Option<UnixTime>) {
    let permitting = || {
        live.iter().filter(|grant| {
            register.grants.contains(grant.id())
                && grant.user().as_str() == register.user
                && supports(grant, register.kind, &register.service, &register.target)
        })
    };
    let basis = permitting().map(|g| Basis { grant: g.id().clone(), rules: rules_for(g, &register.target) });
    (basis.collect(), permitting().map(LiveGrant::until).max())
}

fn rules_for(grant: &LiveGrant, target: &str) -> Vec<SudoRule> {
    grant.rules().iter().filter(|rule| rule.run_as.as_str() == target).cloned().collect()
}

impl Session {
    /// Until when the live grants permit it; `None` if they do not.
    pub(super) fn permitted_until(&self, live: &[LiveGrant]) -> Option<UnixTime> {
        let candidates: Vec<&LiveGrant> = live
            .iter()
            .filter(|g| *g.user() == self.user && supports(g, self.kind, &self.service, &self.target))
            .collect();
        let by_command = self.kind == SessionKind::Elevation && is_sudo(&self.service);
        if by_command && !self.is_covered_by(&candidates) {
            return None;
        }
        candidates.iter().map(|grant| grant.until()).max()
    }

    /// Whether what the candidates allow includes all that the ended part of the basis allowed.
    fn is_covered_by(&self, candidates: &[&LiveGrant]) -> bool {
        let lost = self.basis.iter().filter(|b| !candidates.iter().any(|g| *g.id() == b.grant));
        let allowed = |lost: &SudoRule| {
            let mut left = candidates.iter().flat_map(|grant| grant.rules());
            left.any(|rule| rule == lost || (rule.command == Command::All && rule.run_as == lost.run_as))
        };
        lost.flat_map(|basis| &basis.rules).all(allowed)
    }

    /// Whether it rests on a grant.
    pub(super) fn rests_on(&self, grant: &GrantId) -> bool {
        self.basis.iter().any(|basis| basis.grant == *grant)
    }

    /// Whether it may have run anything as root, and so also have had PID 1 start something outside it.
    pub(super) fn was_full_root(&self) -> bool {
        let any = |rule: &SudoRule| rule.is_full_root();
        self.kind == SessionKind::Elevation && self.basis.iter().flat_map(|basis| &basis.rules).any(any)
    }

    /// What is swept when it ends; `None` if the kernel does not tell whose processes are whose.
    pub(super) fn sweep_target(&self) -> Option<Target> {
        let (login_uid, audit_session) = (self.login_uid?, self.audit_session?);
        Some(match self.kind {
            SessionKind::Login => Target::Session { login_uid, audit_session },
            SessionKind::Elevation => Target::Elevation { login_uid, audit_session, home: self.home.clone() },
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
pub(super) use tests::example;

#[cfg(test)]
mod tests;
