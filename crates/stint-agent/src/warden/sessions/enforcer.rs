//! What the warden's loop drives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nix::unistd::User;
use stint_grant::host_config::HostConfig;
use stint_grant::ids::{GrantId, UserName};
use stint_grant::time::UnixTime;
use stint_log::record::Event;

use super::book::Session;
use super::cgroup::Cgroups;
use super::ending::Closing;
use super::idle::Activity;
use super::limits::Doubt;
use super::proc::Proc;
use super::scopes::Scope;
use super::spool::Spools;
use super::store;
use super::units::Units;
use crate::journal::Recorder;
use crate::warden::paths::Paths;
use crate::warden::systemd::Bus;

/// What time it is, by the host's own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The host's now.
    pub(crate) now: UnixTime,
    /// `CLOCK_BOOTTIME` in milliseconds.
    pub(crate) boottime_ms: u64,
}

/// Knows the sessions that live by grants, and ends them.
#[derive(Debug)]
pub(crate) struct Enforcer {
    pub(super) bus: Bus,
    pub(super) proc: Proc,
    pub(super) cgroups: Cgroups,
    pub(super) units: Units,
    pub(super) tickets: PathBuf,
    pub(super) spools: Spools,
    /// Under which logind's own files are.
    pub(super) root: PathBuf,
    pub(super) sessions: Vec<Session>,
    /// Those that ended by themselves while their grants live: what left their scopes is still theirs.
    pub(super) past: Vec<Session>,
    pub(super) closings: Vec<Closing>,
    /// The scopes that elevations are moved into.
    pub(super) scopes: Vec<Scope>,
    pub(super) config: HostConfig,
    pub(super) armed: bool,
    pub(super) store: PathBuf,
    pub(super) boot_id: String,
    /// Units that a kill leaves as failed, and when PID 1 knows it.
    pub(super) to_reset: Vec<(String, u64)>,
    /// Scopes whose limit PID 1 has to be asked for.
    pub(super) doubtful: BTreeMap<String, Doubt>,
    /// When each session with an idle limit was used last, by its name.
    pub(super) activity: BTreeMap<String, Activity>,
    /// When that is to be looked at next, in milliseconds of `CLOCK_BOOTTIME`.
    pub(super) idle_at_ms: Option<u64>,
    /// Grants whose last login has closed, for [`Self::take_logged_out`].
    pub(super) logged_out: BTreeSet<GrantId>,
    /// Why their limits could not be made right at the last try.
    pub(super) limits_fault: Option<String>,
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
            root: PathBuf::from("/"),
            spools: Spools::at("/", paths.quarantine()),
            sessions: Vec::new(),
            past: Vec::new(),
            closings: Vec::new(),
            scopes: Vec::new(),
            config: HostConfig::default(),
            armed: false,
            store: paths.sessions(),
            boot_id: proc.boot_id().unwrap_or_default(),
            to_reset: Vec::new(),
            doubtful: BTreeMap::new(),
            activity: BTreeMap::new(),
            idle_at_ms: None,
            logged_out: BTreeSet::new(),
            limits_fault: None,
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
                "stop-limit",
                format!("sessions may linger after PID 1 has ended them: {detail}"),
            );
        }
    }

    /// How many sessions are registered.
    pub(crate) fn count(&self) -> usize {
        self.sessions.len()
    }

    /// The session that a process is in, and the grant that this rests on. sudo tells of a command before its own session is registered,
    /// so it is the one in which it was typed.
    pub(crate) fn session_of(&self, pid: u32) -> Option<(String, Option<GrantId>)> {
        let cgroup = self.proc.cgroup(pid);
        let in_group = |session: &&Session| session.cgroup.is_some() && session.cgroup == cgroup;
        let audit = self.proc.audit_session(pid);
        let in_login = |session: &&Session| audit.is_some() && session.audit == audit;
        let all = || self.sessions.iter().rev();
        let found = all().find(in_group).or_else(|| all().find(in_login))?;
        Some((found.name.clone(), found.basis.first().map(|basis| basis.grant.clone())))
    }

    /// When a process began, and the uid that logged in.
    pub(crate) fn process(&self, pid: u32) -> Option<(u64, Option<u32>)> {
        Some((self.proc.stat(pid)?.started, self.proc.login_uid(pid)))
    }

    /// Whether a process lives, and is the one that began then.
    pub(crate) fn process_lives(&self, pid: u32, started: u64) -> bool {
        self.proc.is_alive(pid, started)
    }

    /// The grants whose processes are being ended.
    pub(crate) fn ending(&self) -> Vec<GrantId> {
        self.closings.iter().map(|closing| closing.grant().clone()).collect()
    }

    /// When [`Self::tick`] is wanted next, on `CLOCK_BOOTTIME` in milliseconds.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let resets = self.to_reset.iter().map(|(_, at_ms)| *at_ms);
        self.closings.iter().map(Closing::deadline_ms).chain(resets).chain(self.idle_at_ms).min()
    }

    /// The files in which the kernel says whether anything is left of a session. When one changes, [`Self::tidy`] is wanted.
    pub(crate) fn watched_groups(&self) -> BTreeSet<PathBuf> {
        let groups = self.sessions.iter().filter_map(|session| session.cgroup.as_deref());
        groups.map(|group| self.cgroups.events(group)).collect()
    }

    /// Kills what had its time.
    pub(crate) async fn tick(&mut self, now_boottime_ms: u64, recorder: &mut dyn Recorder) {
        self.kill_due(now_boottime_ms, recorder).await;
        self.reset_failed(now_boottime_ms).await;
    }

    /// Forgets sessions that ended by themselves.
    pub(crate) fn tidy(&mut self, recorder: &mut dyn Recorder) {
        self.look_for_logouts();
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
        for session in gone {
            self.remember(session);
        }
        self.save();
    }

    /// Keeps what a session that ended by itself is swept by, once.
    pub(super) fn remember(&mut self, session: Session) {
        if session.sweep_target().is_none() {
            return;
        }
        let same = |past: &&mut Session| {
            past.kind == session.kind
                && past.user == session.user
                && (past.login_uid, past.audit) == (session.login_uid, session.audit)
                && past.home == session.home
                && past.target == session.target
                && past.basis == session.basis
        };
        match self.past.iter_mut().find(same) {
            // Of many elevations from one login the first stands for all: a list without end would be written down at each.
            Some(past) => past.started = past.started.min(session.started),
            None => self.past.push(session),
        }
    }

    /// Forgets sessions that are over.
    pub(super) fn forget(&mut self, over: &[Session]) {
        self.sessions.retain(|session| !over.contains(session));
        self.past.retain(|session| !over.contains(session));
        for session in over {
            self.forget_place(session);
        }
        self.release_scopes();
        self.save();
    }

    /// Removes the group that was a session's alone, and what PID 1 was told of its unit if nothing else is in it.
    pub(super) fn forget_place(&self, session: &Session) {
        if let Some(path) = session.cgroup.as_deref().filter(|path| path.starts_with("/stint.slice/")) {
            self.cgroups.remove(path);
        }
        let Some(unit) = session.unit() else { return };
        if !self.sessions.iter().any(|other| other.unit() == Some(unit)) {
            self.units.forget(unit);
        }
    }

    /// A session lives as long as anything is in its scope: what was left in it after logout counts.
    pub(super) fn is_alive(&self, session: &Session) -> bool {
        match &session.cgroup {
            Some(cgroup) => self.cgroups.is_populated(cgroup),
            None => self.proc.is_alive(session.pid, session.started),
        }
    }

    pub(super) fn save(&self) {
        if let Err(error) = store::save(&self.store, &self.boot_id, &self.sessions, &self.past, &self.scopes)
        {
            // PID 1 holds each session's limit, and scopes and logins are found again.
            tracing::error!(%error, "the registered sessions cannot be written down");
        }
    }
}

/// The account's uid, from the host's own passwd file.
pub(super) fn uid_of(user: &UserName) -> Option<u32> {
    User::from_name(user.as_str()).ok().flatten().map(|user| user.uid.as_raw())
}

pub(crate) fn alarm(recorder: &mut dyn Recorder, what: &str, detail: String) {
    tracing::error!(what, detail, "alarm");
    recorder.record(Event::Alarm { what: what.to_owned(), detail });
}
