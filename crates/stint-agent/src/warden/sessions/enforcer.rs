//! What the warden's loop drives.

use std::path::PathBuf;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::User;
use stint_grant::host_config::HostConfig;
use stint_grant::ids::UserName;
use stint_grant::register::{Register, RegisterAnswer, SessionKind};
use stint_grant::time::{Seconds, UnixTime};
use stint_log::record::Event;

use super::book::{Basis, Session, basis_of, grant_of_scope, logind_id};
use super::cgroup::{Cgroups, Killable, unit_of};
use super::ending::Closing;
use super::proc::Proc;
use super::units::Units;
use super::{store, terminal};
use crate::journal::Recorder;
use crate::warden::live::LiveGrant;
use crate::warden::paths::Paths;
use crate::warden::systemd::{Bus, BusError, LogindSession, ScopeRequest};

/// How long a process may take to be in its new scope. The module waits 500 ms for the whole answer.
const MOVE_BOUND: Duration = Duration::from_millis(400);
/// How often sessions that ended by themselves are looked for.
const TIDY_EVERY_MS: u64 = 10_000;

/// What time it is, by the host's own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The host's now.
    pub(crate) now: UnixTime,
    /// `CLOCK_BOOTTIME` in milliseconds.
    pub(crate) boottime_ms: u64,
}

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
            Self::OtherProcess => "other_process",
            Self::Gone => "gone",
            Self::NoGrant => "grant_ended",
            Self::Name { .. } => "name",
            Self::Scope(_) | Self::NotMoved { .. } => "scope",
        }
    }
}

/// Knows the sessions that live by grants, and ends them.
#[derive(Debug)]
pub(crate) struct Enforcer {
    pub(super) bus: Bus,
    pub(super) proc: Proc,
    pub(super) cgroups: Cgroups,
    pub(super) units: Units,
    pub(super) tickets: PathBuf,
    pub(super) sessions: Vec<Session>,
    /// Those that ended by themselves while their grants live: what left their scopes is still theirs.
    pub(super) past: Vec<Session>,
    pub(super) closings: Vec<Closing>,
    pub(super) config: HostConfig,
    pub(super) armed: bool,
    store: PathBuf,
    boot_id: String,
    tidy_at_ms: u64,
}

impl Enforcer {
    /// On this host. Not armed, and without sessions: see [`Self::set_posture`] and [`Self::adopt`].
    pub(crate) fn new(paths: &Paths) -> Self {
        let proc = Proc::at("/proc");
        Self {
            bus: Bus::default(),
            cgroups: Cgroups::of_the_host(),
            units: Units::at("/run/systemd/system"),
            tickets: PathBuf::from(crate::warden::sudoers::tickets::FOLDER),
            sessions: Vec::new(),
            past: Vec::new(),
            closings: Vec::new(),
            config: HostConfig::default(),
            armed: false,
            store: paths.warden().join("sessions.json"),
            boot_id: proc.boot_id().unwrap_or_default(),
            tidy_at_ms: 0,
            proc,
        }
    }

    /// Takes over the host's configuration, and whether it enforces. In observe mode sessions are known and never ended or refused.
    pub(crate) async fn set_posture(
        &mut self,
        config: &HostConfig,
        armed: bool,
        recorder: &mut dyn Recorder,
    ) {
        self.config = config.clone();
        self.armed = armed;
        let changed = self.units.stop_limit(armed).map_err(|e| e.to_string());
        let applied = match changed {
            Ok(true) => self.bus.reload().await.map_err(|e| e.to_string()),
            Ok(false) => Ok(()),
            Err(cause) => Err(cause),
        };
        if let Err(detail) = applied {
            alarm(
                recorder,
                "stop_limit",
                format!("sessions may linger after PID 1 has ended them: {detail}"),
            );
        }
    }

    /// How many sessions are registered.
    pub(crate) fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Registers a session that opens, and answers whether it may go on. An elevation is in a scope of its own when this returns.
    pub(crate) async fn register(
        &mut self,
        register: Register,
        peer_pid: u32,
        live: &[LiveGrant],
        at: Moment,
        recorder: &mut dyn Recorder,
    ) -> RegisterAnswer {
        match self.try_register(&register, peer_pid, live, at, recorder).await {
            Ok(()) => RegisterAnswer { ok: true, message: String::new() },
            Err(refused) => {
                tracing::warn!(user = register.user, service = register.service, cause = %refused, "a session was refused");
                recorder.record(Event::Decision {
                    service: register.service,
                    user: register.user,
                    grant: register.grants.first().map(ToString::to_string),
                    verdict: if self.armed {
                        stint_log::record::Verdict::Deny
                    } else {
                        stint_log::record::Verdict::WouldDeny
                    },
                    cause: refused.code().to_owned(),
                });
                RegisterAnswer {
                    ok: !self.armed,
                    message: if self.armed { refused.to_string() } else { String::new() },
                }
            }
        }
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
        let (basis, until) = basis_of(register, live);
        let until = until.ok_or(Refused::NoGrant)?;
        let session = self.describe(register, user, basis, until, at).ok_or(Refused::Gone)?;
        // Known before it is moved: a warden that is killed in between finds it again.
        self.sessions.push(session.clone());
        self.save();
        if session.kind == SessionKind::Elevation
            && let Err(refused) = self.move_to_scope(&session, until.since(at.now)).await
        {
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
        if session.kind == SessionKind::Elevation {
            recorder.record(Event::SessionMoved {
                grant,
                user: session.user.to_string(),
                pid: session.pid,
                scope: session.name,
            });
        }
        self.tidy_at_ms = self.tidy_at_ms.max(at.boottime_ms + TIDY_EVERY_MS);
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
            audit_session,
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

    /// Tells the people on a grant's terminals how much time is left. Says whether there was a terminal.
    pub(crate) fn warn(&mut self, grant: &LiveGrant, remaining: Seconds) -> bool {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let line = format!(
            "stint: {} left on {} ({}). Extend: stint grant extend {}",
            in_words(remaining),
            host.as_deref().unwrap_or("this host"),
            grant.grant.terms.entitlement,
            grant.id()
        );
        let mut terminals: Vec<(PathBuf, u32)> = Vec::new();
        for session in self.sessions.iter().filter(|s| s.rests_on(grant.id())) {
            terminals.extend(self.terminals_of(session));
        }
        terminals.sort();
        terminals.dedup();
        let told: Vec<bool> =
            terminals.iter().map(|(device, owner)| terminal::write_line(device, *owner, &line)).collect();
        told.contains(&true)
    }

    /// The terminals of a login are those of its processes: sshd opens them after PAM. Those that sudo makes inside its scope only
    /// lead back to the one that PAM named.
    fn terminals_of(&self, session: &Session) -> Vec<(PathBuf, u32)> {
        let Some(owner) = session.login_uid.or_else(|| uid_of(&session.user)) else { return Vec::new() };
        let named = session.tty.as_deref().and_then(terminal::path_named);
        let found = match (session.kind, session.cgroup.as_deref()) {
            (SessionKind::Login, Some(cgroup)) => self.cgroups.members(cgroup),
            (SessionKind::Login, None) => vec![session.pid],
            (SessionKind::Elevation, _) => Vec::new(),
        };
        let found = found.into_iter().filter_map(|pid| terminal::path_of(self.proc.stat(pid)?.terminal));
        named.into_iter().chain(found).map(|device| (device, owner)).collect()
    }

    /// Makes PID 1's limits follow the ends of the live grants, up and down.
    pub(crate) async fn extend(&mut self, live: &[LiveGrant], at: Moment, recorder: &mut dyn Recorder) {
        let mut moved = Vec::new();
        for index in 0..self.sessions.len() {
            let Some(until) = self.sessions[index].permitted_until(live) else { continue };
            if until == self.sessions[index].limit {
                continue;
            }
            let Some(unit) = self.sessions[index].unit().map(str::to_owned) else { continue };
            match self.write_limit(&unit, until.since(at.now)).await {
                Ok(Some(wanted_us)) => moved.push((index, unit, until, wanted_us)),
                // It ended by itself in between.
                Ok(None) => {}
                Err(detail) => alarm(recorder, "limit_not_moved", detail),
            }
        }
        if moved.is_empty() {
            return;
        }
        if let Err(error) = self.bus.reload().await {
            alarm(recorder, "limit_not_moved", error.to_string());
            return;
        }
        for (index, unit, until, wanted_us) in moved {
            match self.bus.scope(&unit).await {
                Ok(Some(facts)) if facts.runtime_max_us != wanted_us => {
                    let found = facts.runtime_max_us;
                    alarm(
                        recorder,
                        "limit_not_moved",
                        format!("{unit} has {found} us instead of {wanted_us}"),
                    );
                }
                Ok(_) => self.sessions[index].limit = until,
                Err(error) => alarm(recorder, "limit_not_moved", error.to_string()),
            }
        }
        self.save();
    }

    async fn write_limit(&mut self, unit: &str, left: Seconds) -> Result<Option<u64>, String> {
        let Some(facts) = self.bus.scope(unit).await.map_err(|e| e.to_string())? else { return Ok(None) };
        let elapsed = monotonic_us().saturating_sub(facts.began_monotonic_us);
        let wanted_us = elapsed.saturating_add(left.0.saturating_mul(1_000_000));
        self.units.limit(unit, Duration::from_micros(wanted_us)).map_err(|e| e.to_string())?;
        Ok(Some(wanted_us))
    }

    /// After a start of the warden: takes the sessions that it knew before, those of our scopes that it did not, and logins that opened
    /// while it was away; then ends at once what no live grant permits.
    pub(crate) async fn adopt(&mut self, live: &[LiveGrant], at: Moment, recorder: &mut dyn Recorder) {
        let (known, past) = store::load(&self.store, &self.boot_id);
        self.past = past;
        let (alive, gone): (Vec<_>, Vec<_>) = known.into_iter().partition(|session| self.is_alive(session));
        self.sessions = alive;
        gone.into_iter().for_each(|session| self.remember(session));
        self.adopt_scopes(live, at);
        match self.bus.sessions().await {
            Ok(sessions) => self.adopt_logins(&sessions, live, recorder),
            Err(error) => {
                tracing::error!(%error, "logins that opened while the warden was away are not known")
            }
        }
        self.tidy_at_ms = at.boottime_ms + TIDY_EVERY_MS;
        self.save();
        self.end_unpermitted(live, at, recorder).await;
    }

    fn adopt_scopes(&mut self, live: &[LiveGrant], at: Moment) {
        for path in self.cgroups.children("/stint.slice") {
            let unit = unit_of(&path);
            let Some(grant) = grant_of_scope(unit) else { continue };
            if self.sessions.iter().any(|s| s.unit() == Some(unit)) || !self.cgroups.is_populated(&path) {
                continue;
            }
            let Some(pid) = self.cgroups.members(&path).into_iter().min() else { continue };
            let Some(started) = self.proc.stat(pid).map(|stat| stat.started) else { continue };
            let owner = live.iter().find(|g| *g.id() == grant);
            let login_uid = self.proc.login_uid(pid);
            let user = owner.map(|g| g.user().clone()).or_else(|| name_of(login_uid?));
            let Some(user) = user else { continue };
            self.sessions.push(Session {
                name: unit.to_owned(),
                kind: SessionKind::Elevation,
                service: "sudo".to_owned(),
                user,
                target: "root".to_owned(),
                pid,
                started,
                login_uid,
                audit_session: self.proc.audit_session(pid),
                home: path.clone(),
                logind: None,
                tty: None,
                basis: vec![Basis { rules: owner.map(|g| g.rules().to_vec()).unwrap_or_default(), grant }],
                limit: owner.map_or(at.now, LiveGrant::until),
                cgroup: Some(path),
            });
        }
    }

    /// Only for accounts that have live grants: another one's login does not live by one, and is not ours to end.
    fn adopt_logins(&mut self, found: &[LogindSession], live: &[LiveGrant], recorder: &mut dyn Recorder) {
        for login in found.iter().filter(|login| self.config.gates(login.uid, &login.service)) {
            if self.sessions.iter().any(|s| s.unit() == Some(login.scope.as_str())) {
                continue;
            }
            let path = self.proc.cgroup(login.leader);
            let Some(path) = path.filter(|path| unit_of(path) == login.scope) else { continue };
            let Some(started) = self.proc.stat(login.leader).map(|stat| stat.started) else { continue };
            let Ok(user) = UserName::new(login.user.clone()) else { continue };
            let register = Register {
                format: 1,
                service: login.service.clone(),
                kind: SessionKind::Login,
                user: login.user.clone(),
                target: login.user.clone(),
                pid: login.leader,
                tty: login.tty.clone(),
                origin: login.origin.clone(),
                session_id: Some(login.id.clone()),
                grants: live.iter().map(|g| g.id().clone()).collect(),
                until: UnixTime(0),
            };
            let (basis, Some(until)) = basis_of(&register, live) else { continue };
            recorder.record(Event::SessionOpened {
                grant: basis.first().map(|b| b.grant.to_string()),
                user: login.user.clone(),
                service: login.service.clone(),
                session: login.scope.clone(),
                pid: login.leader,
                tty: login.tty.clone(),
                origin: login.origin.clone(),
                ends: Some(until.0),
            });
            self.sessions.push(Session {
                name: login.scope.clone(),
                kind: SessionKind::Login,
                service: login.service.clone(),
                user,
                target: login.user.clone(),
                pid: login.leader,
                started,
                login_uid: self.proc.login_uid(login.leader),
                audit_session: self.proc.audit_session(login.leader),
                home: path.clone(),
                cgroup: Some(path),
                logind: Some(login.id.clone()),
                tty: login.tty.clone(),
                basis,
                limit: until,
            });
        }
    }

    /// When [`Self::tick`] is wanted next, on `CLOCK_BOOTTIME` in milliseconds.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let tidy = (!self.sessions.is_empty()).then_some(self.tidy_at_ms);
        self.closings.iter().map(Closing::deadline_ms).chain(tidy).min()
    }

    /// Kills what had its two seconds, and forgets sessions that ended by themselves.
    pub(crate) async fn tick(&mut self, now_boottime_ms: u64, recorder: &mut dyn Recorder) {
        self.kill_due(now_boottime_ms, recorder).await;
        if now_boottime_ms >= self.tidy_at_ms {
            self.tidy(recorder);
            self.tidy_at_ms = now_boottime_ms + TIDY_EVERY_MS;
        }
    }

    pub(super) fn tidy(&mut self, recorder: &mut dyn Recorder) {
        let closing: Vec<&Session> = self.closings.iter().flat_map(Closing::sessions).collect();
        let gone: Vec<Session> = self
            .sessions
            .iter()
            .filter(|session| !closing.contains(session) && !self.is_alive(session))
            .cloned()
            .collect();
        if gone.is_empty() {
            return;
        }
        for session in &gone {
            recorder.record(Event::SessionClosed {
                grant: session.basis.first().map(|b| b.grant.to_string()),
                user: session.user.to_string(),
                session: session.name.clone(),
            });
        }
        self.forget(&gone);
        gone.into_iter().for_each(|session| self.remember(session));
        self.save();
    }

    /// Keeps what a session that ended by itself is swept by, once.
    fn remember(&mut self, session: Session) {
        let same = |past: &Session| {
            past.user == session.user
                && past.sweep_target() == session.sweep_target()
                && past.target == session.target
                && past.basis == session.basis
        };
        if session.sweep_target().is_some() && !self.past.iter().any(same) {
            self.past.push(session);
        }
    }

    /// Forgets sessions that are over.
    pub(super) fn forget(&mut self, over: &[Session]) {
        for unit in over.iter().filter_map(Session::unit) {
            self.units.forget(unit);
        }
        self.sessions.retain(|session| !over.contains(session));
        self.past.retain(|session| !over.contains(session));
        self.save();
    }

    /// A session lives as long as anything is in its scope: what was left in it after logout counts.
    pub(super) fn is_alive(&self, session: &Session) -> bool {
        match &session.cgroup {
            Some(cgroup) => self.cgroups.is_populated(cgroup),
            None => self.proc.is_alive(session.pid, session.started),
        }
    }

    fn save(&self) {
        if let Err(error) = store::save(&self.store, &self.boot_id, &self.sessions, &self.past) {
            // PID 1 holds each session's limit, and scopes and logins are found again.
            tracing::error!(%error, "the registered sessions cannot be written down");
        }
    }
}

/// The session scope that a process is in, if it is in one.
fn own_scope(cgroup: &str) -> Option<&str> {
    (logind_id(unit_of(cgroup)).is_some() && Killable::new(cgroup).is_some()).then_some(cgroup)
}

/// The account's uid, from the host's own passwd file.
pub(super) fn uid_of(user: &UserName) -> Option<u32> {
    User::from_name(user.as_str()).ok().flatten().map(|user| user.uid.as_raw())
}

fn name_of(uid: u32) -> Option<UserName> {
    let user = User::from_uid(uid.into()).ok().flatten()?;
    UserName::new(user.name).ok()
}

fn monotonic_us() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| {
        u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0) / 1000
    })
}

/// As it is said on a terminal: `5 minutes`, `1 minute`, `30 s`.
fn in_words(left: Seconds) -> String {
    match (left.0, left.0 / 60) {
        (60, _) => "1 minute".to_owned(),
        (seconds, minutes) if seconds % 60 == 0 && seconds > 0 => format!("{minutes} minutes"),
        _ => left.to_string(),
    }
}

pub(super) fn alarm(recorder: &mut dyn Recorder, what: &str, detail: String) {
    tracing::error!(what, detail, "alarm");
    recorder.record(Event::Alarm { what: what.to_owned(), detail });
}
