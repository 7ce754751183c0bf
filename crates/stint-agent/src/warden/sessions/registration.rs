//! A session opens.

use std::time::Duration;

use stint_grant::ids::UserName;
use stint_grant::register::{Register, RegisterAnswer, SessionKind};
use stint_grant::time::{Seconds, UnixTime};
use stint_log::record::{Event, Verdict};

use super::book::{Basis, Session, basis_of, logind_id};
use super::cgroup::{Killable, unit_of};
use super::enforcer::{Enforcer, Moment, alarm};
use crate::journal::Recorder;
use crate::warden::live::LiveGrant;
use crate::warden::systemd::{BusError, ScopeRequest};

/// How long a process may take to be in its new scope. The module waits 500 ms for the whole answer.
const MOVE_BOUND: Duration = Duration::from_millis(400);

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
    Scope(#[from] BusError),
    #[error("this command cannot be given its own limit: it was not moved to {scope} in time")]
    NotMoved { scope: String },
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
        let session = self.describe(register, user, basis, until, at).ok_or(Refused::Gone)?;
        // Known before it is moved: a warden that is killed in between finds it again.
        self.sessions.push(session.clone());
        self.save();
        // In observe mode PID 1 is given nothing to end.
        let moves = session.kind == SessionKind::Elevation && self.armed;
        if moves && let Err(refused) = self.move_to_scope(&session, until.since(at.now)).await {
            self.sessions.retain(|s| *s != session);
            self.save();
            return Err(refused);
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
        at: Moment,
    ) -> Option<Session> {
        let pid = register.pid;
        let started = self.proc.stat(pid)?.started;
        let home = self.proc.cgroup(pid)?;
        let audit_session = self.proc.audit_session(pid);
        let (name, cgroup) = match register.kind {
            SessionKind::Elevation if !self.armed => (format!("{}-{pid}", register.service), None),
            SessionKind::Elevation => {
                let grant = &basis.first()?.grant;
                let scope = format!("stint-{grant}-{pid}-{}.scope", at.boottime_ms);
                let path = format!("/stint.slice/{scope}");
                (scope, Some(path))
            }
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

    async fn move_to_scope(&mut self, session: &Session, left: Seconds) -> Result<(), Refused> {
        let path = session.cgroup.clone().unwrap_or_default();
        let request = ScopeRequest {
            name: session.name.clone(),
            description: format!("{} for {} by grant", session.service, session.user),
            pid: session.pid,
            runtime_max: Duration::from_secs(left.0.max(1)),
        };
        self.bus.start_scope(&request).await?;
        // PID 1 answers when the job is queued. What is forked before the move would stay outside.
        let moved = async {
            while self.proc.cgroup(session.pid).as_deref() != Some(path.as_str()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(MOVE_BOUND, moved)
            .await
            .map_err(|_| Refused::NotMoved { scope: request.name.clone() })
    }
}

/// The session scope that a process is in, if it is in one.
fn own_scope(cgroup: &str) -> Option<&str> {
    (logind_id(unit_of(cgroup)).is_some() && Killable::new(cgroup).is_some()).then_some(cgroup)
}
