//! Processes that left their scope and still belong to a session: the kernel's audit session and login uid stay with them through
//! setsid, su, sudo and a change of control group.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::cgroup::{user_slice, within};
use super::proc::Proc;

/// What is swept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// All of one session of one login.
    Session {
        /// Who logged in.
        login_uid: u32,
        /// The kernel's number of the session.
        audit_session: u32,
    },
    /// What an elevation left outside its scope, while the login that it came from goes on.
    Elevation {
        /// Who logged in.
        login_uid: u32,
        /// The kernel's number of the session.
        audit_session: u32,
        /// The group that it came from. Of it, and of the account's other groups, only what came out of an elevation is taken.
        home: String,
        /// When the elevation began, in clock ticks since boot.
        since: u64,
    },
    /// All of one account, in whatever session.
    Account {
        /// Whose.
        login_uid: u32,
    },
}

/// What is known of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Who logged in.
    pub(super) login_uid: Option<u32>,
    /// The kernel's number of the session.
    pub(super) audit_session: Option<u32>,
    /// Its control group.
    pub(super) cgroup: Option<String>,
    /// Its real uid: a setuid program keeps that of whoever runs it.
    pub(super) uid: Option<u32>,
    /// When it began, in clock ticks since boot.
    pub(super) started: u64,
}

/// The sessions that go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spared {
    /// Logins.
    pub(super) logins: Vec<Place>,
    /// Elevations.
    pub(super) elevations: Vec<Place>,
}

/// Where a session that goes on is, and who is in it. Root can move a process into any group, so the group alone spares nobody: what came
/// from another login is no part of that session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its group.
    pub(super) group: String,
    /// Who logged in.
    pub(super) login_uid: Option<u32>,
    /// The kernel's number of the session.
    pub(super) audit_session: Option<u32>,
}

impl Place {
    fn holds(&self, facts: &Facts) -> bool {
        within(facts.cgroup.as_deref().unwrap_or(""), &self.group)
            && (self.login_uid, self.audit_session) == (facts.login_uid, facts.audit_session)
    }
}

impl Target {
    /// Whether a process belongs to it.
    pub(super) fn takes(&self, facts: &Facts, spared: &Spared) -> bool {
        let group = facts.cgroup.as_deref().unwrap_or("");
        let session =
            |uid: &u32, audit: &u32| facts.login_uid == Some(*uid) && facts.audit_session == Some(*audit);
        let lies_in = |places: &[Place]| places.iter().any(|place| place.holds(facts));
        !lies_in(&spared.elevations)
            && match self {
                Self::Session { login_uid, audit_session } => {
                    session(login_uid, audit_session) && !lies_in(&spared.logins)
                }
                Self::Account { login_uid } => {
                    facts.login_uid == Some(*login_uid) && !lies_in(&spared.logins)
                }
                Self::Elevation { login_uid, audit_session, home, since } => {
                    let at_home = within(group, home) || within(group, &user_slice(*login_uid));
                    session(login_uid, audit_session)
                        && if at_home { came_up(facts, *login_uid, *since) } else { !lies_in(&spared.logins) }
                }
            }
    }
    fn login_uid(&self) -> u32 {
        match self {
            Self::Session { login_uid, .. }
            | Self::Elevation { login_uid, .. }
            | Self::Account { login_uid } => *login_uid,
        }
    }
}

/// Whether a process in a login's own groups came out of an elevation: root can move what it likes to there. It runs as another account
/// than the one that logged in, and began after the elevation did. What opened the login (sshd, login) runs as root too, and is older.
fn came_up(facts: &Facts, login_uid: u32, since: u64) -> bool {
    facts.uid.is_some_and(|uid| uid != login_uid) && facts.started >= since
}

/// Kills what belongs to the targets, once. Says how many.
pub(super) fn round(proc: &Proc, targets: &[Target], spared: &Spared) -> u32 {
    if targets.is_empty() {
        return 0;
    }
    signal_all(proc, targets, spared, &[Signal::KILL])
}

/// Asks what belongs to a target to end, once.
pub(super) fn ask(proc: &Proc, target: &Target) {
    signal_all(proc, std::slice::from_ref(target), &Spared::default(), &[Signal::TERM, Signal::HUP]);
}

/// Asks processes to end, once; those that were stopped as well.
pub(super) fn ask_all(pids: &[u32]) {
    for pid in pids {
        signal_process(*pid, &[Signal::TERM, Signal::HUP, Signal::CONT], || true);
    }
}

/// Whether anything belongs to a target.
pub(super) fn finds(proc: &Proc, target: &Target) -> bool {
    signal_all(proc, std::slice::from_ref(target), &Spared::default(), &[]) > 0
}

fn signal_all(proc: &Proc, targets: &[Target], spared: &Spared, signals: &[Signal]) -> u32 {
    let own = std::process::id();
    let mut reached = 0;
    for pid in proc.all() {
        // The cheapest question first: most processes have another login uid, or none.
        let Some(login_uid) = proc.login_uid(pid) else { continue };
        if pid <= 1 || pid == own || !targets.iter().any(|t| t.login_uid() == login_uid) {
            continue;
        }
        let taken = || {
            let Some(stat) = proc.stat(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X')) else {
                return false;
            };
            let facts = Facts {
                login_uid: proc.login_uid(pid),
                audit_session: proc.audit_session(pid),
                cgroup: proc.cgroup(pid),
                uid: proc.uid(pid),
                started: stat.started,
            };
            targets.iter().any(|target| target.takes(&facts, spared))
        };
        if taken() && signal_process(pid, signals, taken) {
            reached += 1;
        }
    }
    reached
}

/// Kills a process.
pub(super) fn kill_process(pid: u32) -> bool {
    signal_process(pid, &[Signal::KILL], || true)
}

/// Kills a process that began then, if it is still that one.
pub(super) fn kill_one(proc: &Proc, pid: u32, started: u64) -> bool {
    signal_process(pid, &[Signal::KILL], || proc.is_alive(pid, started))
}

/// Signals a process by a handle on it, if it is still the one that was meant once the handle is held: a pid may be used again.
fn signal_process(pid: u32, signals: &[Signal], still: impl Fn() -> bool) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    still() && signals.iter().all(|signal| pidfd_send_signal(&handle, *signal).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "/user.slice/user-1000.slice/session-92.scope";

    fn facts(login_uid: u32, audit_session: u32, cgroup: &str) -> Facts {
        Facts {
            login_uid: Some(login_uid),
            audit_session: Some(audit_session),
            cgroup: Some(cgroup.to_owned()),
            uid: Some(login_uid),
            started: 700,
        }
    }
    /// The same for root.
    fn root(started: u64, cgroup: &str) -> Facts {
        Facts { uid: Some(0), started, ..facts(1000, 92, cgroup) }
    }
    fn elevation() -> Target {
        Target::Elevation { login_uid: 1000, audit_session: 92, home: HOME.to_owned(), since: 500 }
    }
    fn nobody() -> Spared {
        Spared::default()
    }
    fn place(group: &str) -> Place {
        Place { group: group.to_owned(), login_uid: Some(1000), audit_session: Some(92) }
    }
    fn login(group: &str) -> Spared {
        Spared { logins: vec![place(group)], elevations: Vec::new() }
    }

    #[test]
    fn a_session_takes_its_processes_wherever_they_went() {
        let target = Target::Session { login_uid: 1000, audit_session: 92 };
        assert!(target.takes(&facts(1000, 92, "/system.slice/cron.service"), &nobody()));
        assert!(target.takes(&facts(1000, 92, HOME), &nobody()));
        assert!(!target.takes(&facts(1000, 93, HOME), &nobody()), "another session of the same account");
        assert!(!target.takes(&facts(1001, 92, HOME), &nobody()), "another account");
    }

    #[test]
    fn a_process_that_nobody_logged_in_for_is_never_taken() {
        let service = Facts { login_uid: None, audit_session: None, ..facts(1000, 92, "/x.service") };
        for target in [
            elevation(),
            Target::Session { login_uid: 1000, audit_session: 92 },
            Target::Account { login_uid: 1000 },
        ] {
            assert!(!target.takes(&service, &nobody()));
        }
    }

    #[test]
    fn an_elevation_that_ends_spares_the_login_that_it_came_from() {
        assert!(!elevation().takes(&facts(1000, 92, HOME), &nobody()));
        let user_manager = "/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope";
        assert!(!elevation().takes(&facts(1000, 92, user_manager), &nobody()));
    }

    #[test]
    fn an_elevation_takes_the_session_of_another_account_that_it_opened() {
        let nested = "/user.slice/user-1001.slice/session-c1.scope";
        assert!(elevation().takes(&facts(1000, 92, nested), &nobody()));
    }

    #[test]
    fn an_elevation_spares_another_one_that_goes_on() {
        let other = "/stint.slice/stint-ddddeeeeffff-12-1.scope";
        assert!(elevation().takes(&facts(1000, 92, other), &nobody()));
        let spared = Spared { logins: Vec::new(), elevations: vec![place(other)] };
        assert!(!elevation().takes(&facts(1000, 92, other), &spared));
    }

    #[test]
    fn what_root_moved_into_the_login_s_scope_is_taken_and_what_opened_the_login_is_not() {
        let user_manager = "/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope";
        for group in [HOME, user_manager] {
            assert!(elevation().takes(&root(501, group), &login(HOME)), "{group}");
            let somebody = Facts { uid: Some(33), ..root(501, group) };
            assert!(elevation().takes(&somebody, &login(HOME)), "{group}");
            assert!(!elevation().takes(&facts(1000, 92, group), &login(HOME)), "the account itself: {group}");
        }
        assert!(!elevation().takes(&root(499, HOME), &login(HOME)), "sshd, which opened the login");
        assert!(elevation().takes(&root(500, HOME), &login(HOME)), "sudo itself, where nothing was moved");
        let unknown = Facts { uid: None, ..root(501, HOME) };
        assert!(!elevation().takes(&unknown, &login(HOME)));
    }

    #[test]
    fn a_login_of_another_account_that_goes_on_is_spared() {
        let nested = "/user.slice/user-1001.slice/session-c1.scope";
        let bob = Facts { uid: Some(1001), ..facts(1000, 92, nested) };
        assert!(!elevation().takes(&bob, &login(nested)));
        assert!(elevation().takes(&bob, &login(HOME)));
        let session = Target::Session { login_uid: 1000, audit_session: 92 };
        assert!(!session.takes(&facts(1000, 92, HOME), &login(HOME)));
        assert!(!Target::Account { login_uid: 1000 }.takes(&facts(1000, 92, HOME), &login(HOME)));
    }

    #[test]
    fn what_root_moved_into_a_session_of_somebody_else_s_is_taken_and_that_session_goes_on() {
        let (bobs, sudo) =
            ("/user.slice/user-1001.slice/session-7.scope", "/stint.slice/stint-ddddeeeeffff-12-1.scope");
        let of_bob = |group: &str| Place { login_uid: Some(1001), audit_session: Some(93), ..place(group) };
        let spared = Spared { logins: vec![of_bob(bobs)], elevations: vec![of_bob(sudo)] };
        for group in [bobs, sudo] {
            for target in [
                elevation(),
                Target::Session { login_uid: 1000, audit_session: 92 },
                Target::Account { login_uid: 1000 },
            ] {
                assert!(target.takes(&root(501, group), &spared), "{target:?} in {group}");
            }
            // Bob's own, as seen by an end of his other login.
            let own = Facts { uid: Some(1001), ..facts(1001, 93, group) };
            assert!(!Target::Account { login_uid: 1001 }.takes(&own, &spared), "{group}");
        }
    }

    #[test]
    fn an_account_without_grants_is_taken_whole() {
        let target = Target::Account { login_uid: 1000 };
        assert!(target.takes(&facts(1000, 500, "/system.slice/atd.service"), &nobody()));
        assert!(!target.takes(&facts(1001, 500, "/system.slice/atd.service"), &nobody()));
    }
}
