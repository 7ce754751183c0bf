//! Whose last login has closed: grants that were to last no longer end then.

use std::collections::BTreeSet;

use stint_grant::ids::GrantId;

use super::book::Session;
use super::enforcer::Enforcer;
use crate::warden::logins::Login;

impl Enforcer {
    /// The grants whose last login has closed since this was asked last.
    pub(crate) fn take_logged_out(&mut self) -> BTreeSet<GrantId> {
        std::mem::take(&mut self.logged_out)
    }

    /// The logins by these grants that stand.
    pub(crate) fn logins_by(&self, grants: &BTreeSet<&GrantId>) -> BTreeSet<Login> {
        let by_one = |session: &&Session| session.basis.iter().any(|basis| grants.contains(&basis.grant));
        let logins = self.sessions.iter().filter(|session| session.is_login_of_a_person()).filter(by_one);
        let standing = logins.filter(|session| self.proc.is_alive(session.pid, session.started));
        standing.map(|session| Login { pid: session.pid, started: session.started }).collect()
    }

    /// Notes the grants of logins of which none stands any more. To be called before sessions that are over are forgotten.
    pub(super) fn look_for_logouts(&mut self) {
        let stands = |session: &Session| self.proc.is_alive(session.pid, session.started);
        let out = without_a_login(&self.sessions, stands);
        self.logged_out.extend(out);
    }
}

/// The grants by which somebody is known to have logged in, and by which nobody is logged in. The process that opened a login tells, not
/// what is left in its scope: a program that was left behind keeps nobody logged in.
fn without_a_login(sessions: &[Session], stands: impl Fn(&Session) -> bool) -> BTreeSet<GrantId> {
    let grants = |stood: bool| {
        let logins = sessions.iter().filter(|s| s.is_login_of_a_person() && stands(s) == stood);
        logins.flat_map(|session| &session.basis).map(|basis| basis.grant.clone()).collect::<BTreeSet<_>>()
    };
    grants(false).difference(&grants(true)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::book::tests::example;
    use super::*;

    #[test]
    fn a_grant_is_logged_out_of_when_the_last_of_its_logins_is_closed() {
        let login = |pid: u32| Session { pid, service: "sshd".to_owned(), ..example() };
        let both = [login(1), login(2)];
        assert_eq!(without_a_login(&both, |_| true), BTreeSet::new());
        assert_eq!(without_a_login(&both, |session| session.pid == 2), BTreeSet::new());
        assert_eq!(without_a_login(&both, |_| false).len(), 1);
    }

    #[test]
    fn a_job_or_a_command_that_ends_is_no_logout() {
        let job = Session { service: "cron".to_owned(), ..example() };
        let sudo = Session { kind: stint_grant::register::SessionKind::Elevation, ..example() };
        assert_eq!(without_a_login(&[job, sudo], |_| false), BTreeSet::new());
    }
}
