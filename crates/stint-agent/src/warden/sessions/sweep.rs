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
        /// The group that it came from; it and the login's own groups are spared.
        home: String,
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
}

impl Target {
    /// Whether a process belongs to it. Groups in `spared` belong to sessions that go on.
    pub(super) fn takes(&self, facts: &Facts, spared: &[String]) -> bool {
        let group = facts.cgroup.as_deref().unwrap_or("");
        let session =
            |uid: &u32, audit: &u32| facts.login_uid == Some(*uid) && facts.audit_session == Some(*audit);
        !spared.iter().any(|s| within(group, s))
            && match self {
                Self::Session { login_uid, audit_session } => session(login_uid, audit_session),
                Self::Account { login_uid } => facts.login_uid == Some(*login_uid),
                Self::Elevation { login_uid, audit_session, home } => {
                    session(login_uid, audit_session)
                        && !within(group, home)
                        && !within(group, &user_slice(*login_uid))
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

/// Kills what belongs to the targets, once. Says how many.
pub(super) fn round(proc: &Proc, targets: &[Target], spared: &[String]) -> u32 {
    if targets.is_empty() {
        return 0;
    }
    signal_all(proc, targets, spared, &[Signal::KILL])
}

/// Asks what belongs to a target to end, once.
pub(super) fn ask(proc: &Proc, target: &Target) {
    signal_all(proc, std::slice::from_ref(target), &[], &[Signal::TERM, Signal::HUP]);
}

/// Whether anything belongs to a target.
pub(super) fn finds(proc: &Proc, target: &Target) -> bool {
    signal_all(proc, std::slice::from_ref(target), &[], &[]) > 0
}

fn signal_all(proc: &Proc, targets: &[Target], spared: &[String], signals: &[Signal]) -> u32 {
    let own = std::process::id();
    let mut reached = 0;
    for pid in proc.all() {
        // The cheapest question first: most processes have another login uid, or none.
        let Some(login_uid) = proc.login_uid(pid) else { continue };
        if pid <= 1 || pid == own || !targets.iter().any(|t| t.login_uid() == login_uid) {
            continue;
        }
        let taken = || {
            let alive = proc.stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'));
            let facts = Facts {
                login_uid: proc.login_uid(pid),
                audit_session: proc.audit_session(pid),
                cgroup: proc.cgroup(pid),
            };
            alive && targets.iter().any(|target| target.takes(&facts, spared))
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
        }
    }
    fn elevation() -> Target {
        Target::Elevation { login_uid: 1000, audit_session: 92, home: HOME.to_owned() }
    }

    #[test]
    fn a_session_takes_its_processes_wherever_they_went() {
        let target = Target::Session { login_uid: 1000, audit_session: 92 };
        assert!(target.takes(&facts(1000, 92, "/system.slice/cron.service"), &[]));
        assert!(target.takes(&facts(1000, 92, HOME), &[]));
        assert!(!target.takes(&facts(1000, 93, HOME), &[]), "another session of the same account");
        assert!(!target.takes(&facts(1001, 92, HOME), &[]), "another account");
    }

    #[test]
    fn a_process_that_nobody_logged_in_for_is_never_taken() {
        let service = Facts { login_uid: None, audit_session: None, cgroup: Some("/x.service".to_owned()) };
        for target in [
            elevation(),
            Target::Session { login_uid: 1000, audit_session: 92 },
            Target::Account { login_uid: 1000 },
        ] {
            assert!(!target.takes(&service, &[]));
        }
    }

    #[test]
    fn an_elevation_that_ends_spares_the_login_that_it_came_from() {
        assert!(!elevation().takes(&facts(1000, 92, HOME), &[]));
        let user_manager = "/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope";
        assert!(!elevation().takes(&facts(1000, 92, user_manager), &[]));
    }

    #[test]
    fn an_elevation_takes_the_session_of_another_account_that_it_opened() {
        let nested = "/user.slice/user-1001.slice/session-c1.scope";
        assert!(elevation().takes(&facts(1000, 92, nested), &[]));
    }

    #[test]
    fn an_elevation_spares_another_one_that_goes_on() {
        let other = "/stint.slice/stint-ddddeeeeffff-12-1.scope";
        assert!(elevation().takes(&facts(1000, 92, other), &[]));
        assert!(!elevation().takes(&facts(1000, 92, other), &[other.to_owned()]));
    }

    #[test]
    fn an_account_without_grants_is_taken_whole() {
        let target = Target::Account { login_uid: 1000 };
        assert!(target.takes(&facts(1000, 500, "/system.slice/atd.service"), &[]));
        assert!(!target.takes(&facts(1001, 500, "/system.slice/atd.service"), &[]));
    }
}
