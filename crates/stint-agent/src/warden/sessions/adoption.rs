//! A warden starts: which sessions are there.

use stint_grant::ids::UserName;
use stint_grant::register::{Register, SessionKind};
use stint_grant::time::UnixTime;
use stint_log::record::Event;

use super::book::{Basis, Session, basis_of, grant_of_scope};
use super::cgroup::{unit_of, within};
use super::enforcer::{Enforcer, Moment};
use super::store;
use crate::journal::Recorder;
use crate::warden::live::LiveGrant;
use crate::warden::systemd::LogindSession;

impl Enforcer {
    /// After a start of the warden: takes the sessions that it knew before, those of our scopes that it did not, and logins that opened
    /// while it was away; then ends at once what no live grant permits.
    pub(crate) async fn adopt(&mut self, live: &[LiveGrant], at: Moment, recorder: &mut dyn Recorder) {
        let known = store::load(&self.store, &self.boot_id);
        (self.past, self.scopes) = (known.past, known.scopes);
        let (alive, gone): (Vec<_>, Vec<_>) =
            known.sessions.into_iter().partition(|session| self.is_alive(session));
        self.sessions = alive;
        for session in gone {
            self.forget_place(&session);
            self.remember(session);
        }
        self.adopt_scopes(live, at);
        match self.bus.sessions().await {
            Ok(sessions) => self.adopt_logins(&sessions, live, recorder),
            Err(error) => {
                tracing::error!(%error, "logins that opened while the warden was away are not known");
            }
        }
        self.save();
        self.end_unpermitted(live, at, recorder).await;
        if self.armed {
            self.close_scopes(live);
        }
        // Limits are read back, and moved where a window's end moved meanwhile.
        self.doubt_all_logins();
        if self.armed {
            self.extend(live, at, recorder).await;
        }
    }

    fn adopt_scopes(&mut self, live: &[LiveGrant], at: Moment) {
        let scopes = self.cgroups.children("/stint.slice");
        // A scope whose keeper is not known is taken as one session, with all that is in it.
        let known = |path: &String| self.scopes.iter().any(|scope| scope.path() == *path);
        let (known, unknown): (Vec<String>, Vec<String>) = scopes.into_iter().partition(known);
        let groups = known.iter().flat_map(|path| self.cgroups.children(path));
        for path in groups.chain(unknown).collect::<Vec<_>>() {
            let unit = unit_of(&path);
            let Some(grant) = grant_of_scope(unit) else { continue };
            let is_known =
                self.sessions.iter().any(|s| s.cgroup.as_deref().is_some_and(|own| within(own, &path)));
            if is_known || !self.cgroups.is_populated(&path) {
                continue;
            }
            let Some(pid) = self.cgroups.members(&path).into_iter().min() else { continue };
            let Some(started) = self.proc.stat(pid).map(|stat| stat.started) else { continue };
            let owner = live.iter().find(|g| *g.id() == grant);
            let login_uid = self.proc.login_uid(pid);
            let user = owner.map(|g| g.user().clone()).or_else(|| name_of(login_uid?));
            let Some(user) = user else { continue };
            self.sessions.push(Session {
                name: path.trim_start_matches("/stint.slice/").to_owned(),
                kind: SessionKind::Elevation,
                service: "sudo".to_owned(),
                user: user.clone(),
                target: "root".to_owned(),
                pid,
                started,
                login_uid,
                audit: self.proc.audit_session(pid),
                home: path.clone(),
                logind: None,
                tty: None,
                basis: vec![Basis {
                    rules: owner.map(|g| g.rules().to_vec()).unwrap_or_default(),
                    user,
                    login: false,
                    grant,
                }],
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
                grants: live.iter().filter(|g| permits(g, login)).map(|g| g.id().clone()).collect(),
                until: UnixTime(0),
            };
            let Some((basis, until)) = basis_of(&register, live) else { continue };
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
                audit: self.proc.audit_session(login.leader),
                home: path.clone(),
                cgroup: Some(path),
                logind: Some(login.id.clone()),
                tty: login.tty.clone(),
                basis,
                limit: until,
            });
        }
    }
}

fn permits(grant: &LiveGrant, login: &LogindSession) -> bool {
    let right = grant.rights().login.as_ref();
    grant.user().as_str() == login.user && right.is_some_and(|right| right.covers_service(&login.service))
}

fn name_of(uid: u32) -> Option<UserName> {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten()?;
    UserName::new(user.name).ok()
}
