//! A session opens.

use std::io;

use stint_grant::ids::UserName;
use stint_grant::register::{Register, RegisterAnswer, SessionKind};
use stint_grant::time::UnixTime;
use stint_log::record::{Event, Verdict};

use super::book::{Basis, Session, basis_of, logind_id};
use super::cgroup::{Killable, unit_of};
use super::enforcer::{Enforcer, Moment, alarm};
use super::scopes::{ScopeError, path_of};
use crate::journal::Recorder;
use crate::warden::live::LiveGrant;

/// Why a session may not open.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the process that asks is not the one that opens the session")]
    OtherProcess,
    #[error("the process that opens the session is gone")]
    Gone,
    #[error("the grant that allowed this has ended a moment ago")]
    NoGrant,
    #[error("{user:?} is not a name that a grant can be for")]
    Name { user: String },
    #[error("this command cannot be given its own limit: {0}")]
    Scope(#[from] ScopeError),
    #[error("this command cannot be given its own limit: it was not moved to {group}: {cause}")]
    NotMoved { group: String, cause: io::Error },
}

impl Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::OtherProcess => "other-process",
            Self::Gone => "gone",
            Self::NoGrant => "grant-ended",
            Self::Name { .. } => "name",
            Self::Scope(_) | Self::NotMoved { .. } => "scope",
        }
    }
}

impl Enforcer {
    /// Registers a session that opens, and answers whether it may go on. An elevation is in a scope of its own when this returns.
    pub(crate) async fn register(
        &mut self,
        register: Register,
        peer_pid: u32,
        live: &[LiveGrant],
        at: Moment,
        recorder: &mut dyn Recorder,
    ) -> RegisterAnswer {
        if !self.armed && register.grants.is_empty() {
            // In observe mode people without grants log in as ever; the module has noted what it would have said.
            return RegisterAnswer { ok: true, message: String::new() };
        }
        match self.try_register(&register, peer_pid, live, at, recorder).await {
            Ok(()) => RegisterAnswer { ok: true, message: String::new() },
            Err(refused) => self.refuse(register, &refused, recorder),
        }
    }

    fn refuse(&self, register: Register, refused: &Refused, recorder: &mut dyn Recorder) -> RegisterAnswer {
        let (user, service) = (register.user, register.service);
        tracing::warn!(user, service, cause = %refused, enforced = self.armed, "a session was refused");
        if matches!(refused, Refused::OtherProcess) {
            alarm(
                recorder,
                refused.code(),
                format!("{service} for {user} (pid {}): {refused}", register.pid),
            );
        }
        if self.armed {
            // The module notes the denial when it has the answer.
            return RegisterAnswer { ok: false, message: refused.to_string() };
        }
        recorder.record(Event::Decision {
            service,
            user,
            grant: register.grants.first().map(ToString::to_string),
            verdict: Verdict::WouldDeny,
            cause: refused.code().to_owned(),
        });
        RegisterAnswer { ok: true, message: String::new() }
    }

    async fn try_register(
        &mut self,
        register: &Register,
        peer_pid: u32,
        live: &[LiveGrant],
        at: Moment,
        recorder: &mut dyn Recorder,
    ) -> Result<(), Refused> {
        if register.pid != peer_pid {
            return Err(Refused::OtherProcess);
        }
        let user = UserName::new(register.user.clone())
            .map_err(|_| Refused::Name { user: register.user.clone() })?;
        let (basis, until) = basis_of(register, live).ok_or(Refused::NoGrant)?;
        // In observe mode PID 1 is given nothing to end.
        let moves = register.kind == SessionKind::Elevation && self.armed;
        let place = if moves {
            let unit = self.scope_for(&basis, until, until.since(at.now)).await?;
            Some(format!("{}/{}-{}", path_of(&unit), register.pid, at.boottime_ms))
        } else {
            None
        };
        let session = self.describe(register, user, basis, until, place).ok_or(Refused::Gone)?;
        // Known before it is moved: a warden that is killed in between finds it again.
        self.sessions.push(session.clone());
        self.save();
        if moves && let Err(refused) = self.enter(&session) {
            self.sessions.retain(|s| *s != session);
            self.save();
            return Err(refused);
        }
        if session.idle_limit(live).is_some() {
            self.idle_at_ms = Some(at.boottime_ms);
        }
        let grant = session.basis.first().map(|b| b.grant.to_string());
        recorder.record(Event::SessionOpened {
            grant: grant.clone(),
            user: session.user.to_string(),
            service: session.service.clone(),
            session: session.name.clone(),
            pid: session.pid,
            tty: session.tty.clone(),
            origin: register.origin.clone(),
            ends: Some(until.0),
        });
        if moves {
            recorder.record(Event::SessionMoved {
                grant,
                user: session.user.to_string(),
                pid: session.pid,
                scope: session.name,
            });
        }
        Ok(())
    }

    /// What the kernel says of the process, put together with what the module said.
    fn describe(
        &self,
        register: &Register,
        user: UserName,
        basis: Vec<Basis>,
        limit: UnixTime,
        place: Option<String>,
    ) -> Option<Session> {
        let pid = register.pid;
        let started = self.proc.stat(pid)?.started;
        let home = self.proc.cgroup(pid)?;
        let audit_session = self.proc.audit_session(pid);
        let (name, cgroup) = match register.kind {
            SessionKind::Elevation => match place {
                Some(path) => (path.trim_start_matches("/stint.slice/").to_owned(), Some(path)),
                None => (format!("{}-{pid}", register.service), None),
            },
            SessionKind::Login => {
                let scope = own_scope(&home);
                let number = || audit_session.map_or_else(|| format!("pid-{pid}"), |n| format!("audit-{n}"));
                (scope.map_or_else(number, |path| unit_of(path).to_owned()), scope.map(str::to_owned))
            }
        };
        let logind = match register.kind {
            SessionKind::Elevation => None,
            SessionKind::Login => {
                cgroup.as_deref().and_then(|path| logind_id(unit_of(path))).map(str::to_owned)
            }
        };
        Some(Session {
            name,
            kind: register.kind,
            service: register.service.clone(),
            user,
            target: register.target.clone(),
            pid,
            started,
            login_uid: self.proc.login_uid(pid),
            audit: audit_session,
            cgroup,
            home,
            logind,
            tty: register.tty.clone(),
            basis,
            limit,
        })
    }

    /// Moves the process into its group. What it forks from now on is in there as well.
    fn enter(&self, session: &Session) -> Result<(), Refused> {
        let group = session.cgroup.clone().unwrap_or_default();
        let moved = self.cgroups.enter(&group, session.pid).and_then(|()| {
            let there = self.proc.cgroup(session.pid).is_some_and(|now| now == group)
                && self.proc.is_alive(session.pid, session.started);
            if there { Ok(()) } else { Err(io::Error::other("it is not there")) }
        });
        moved.map_err(|cause| Refused::NotMoved { group, cause })
    }
}

/// The session scope that a process is in, if it is in one.
fn own_scope(cgroup: &str) -> Option<&str> {
    (logind_id(unit_of(cgroup)).is_some() && Killable::new(cgroup).is_some()).then_some(cgroup)
}
