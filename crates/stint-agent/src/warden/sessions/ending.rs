//! The end of a grant: ask, wait, kill, look again until nothing is left, write a receipt.
//!
//! When this begins, the gate denies already and the drop-in is gone (the warden's loop sees to that). Then:
//! 1. sudo's tickets go; every session that no live grant permits any more is asked to end (TERM and HUP, so that sshd closes PAM);
//! 2. a second and a half later, or at once if the right was taken back, or as soon as all is dead, the hard stop: the scope of each is killed
//!    in one stroke;
//! 3. what left its scope is found by login uid and audit session and killed, until two looks in a row find nothing;
//! 4. a receipt says what was killed, what was removed, and what could not be excluded. [`crate::warden::residue`] completes it with
//!    what was left in files before it is recorded.
//!
//! An account that lives by grants alone and has none left is ended whole: all of its slice, its own service manager and what cron
//! and at started for it included.

use std::time::{Duration, Instant};

use stint_grant::ids::{GrantId, UserName};
use stint_grant::register::SessionKind;
use stint_grant::words::printable;
use stint_log::record::{Ending, Event};

use super::book::Session;
use super::cgroup::{Killable, user_slice, within};
use super::enforcer::{Enforcer, Moment, alarm, uid_of};
use super::sweep::{self, Place, Spared, Target};
use crate::journal::Recorder;
use crate::warden::live::{EndedGrant, LiveGrant, Urgency};
use crate::warden::sudoers::tickets;
use crate::warden::systemd::BusError;

mod started;
mod whole;

/// How long a session has between being asked and being killed. The receipt is to be there two seconds after the end, and it comes after
/// the kill, two looks and what logind takes away. Nobody loses by it: PID 1 kills a login 1 s after it was asked (`TimeoutStopSec`), so
/// only elevations, and logins with a PID 1 that is stuck, come to this.
const GRACE_MS: u64 = 1_500;
/// How often it is looked whether all is dead before that.
const LOOK_EVERY_MS: u64 = 200;
/// A closing that is not clean is tried again, so often and so much later.
const MAX_ATTEMPTS: u32 = 3;
const AGAIN_AFTER_MS: u64 = 500;
/// logind takes away what an account that has ended leaves in its keeping: it is looked so often, and so much later, whether it did.
const MAX_WAITS: u32 = 8;
const WAIT_MS: u64 = 50;
/// How long PID 1 may take to see that a unit was killed.
const RESET_AFTER_MS: u64 = 500;
/// How long the kernel may take to take down what was killed.
const DEATH_BOUND: Duration = Duration::from_millis(500);
/// Looks for what left its scope, at most.
const MAX_ROUNDS: u32 = 50;

/// One grant that is ending.
#[derive(Debug)]
pub(super) struct Closing {
    occasion: Occasion,
    grant: GrantId,
    user: UserName,
    sessions: Vec<Session>,
    /// Sessions that ended by themselves: only what left their scopes may still be there.
    past: Vec<Session>,
    /// The account's uid, if it is ended whole.
    whole: Option<u32>,
    /// How long before its beginning the account's rights began, as far as it is known.
    window: Option<Duration>,
    removed: Vec<String>,
    /// Units of PID 1 that were ended with it.
    stopped: Vec<String>,
    /// Left, in words.
    reported: Vec<String>,
    /// logind was told that the account has ended.
    dismissed: bool,
    /// How often it was waited for what logind takes away.
    waited: u32,
    hard_at_ms: u64,
    began: Instant,
    /// The same by the boot clock.
    at_ms: u64,
    asked: bool,
    /// When it is looked at next, to be done as soon as all is dead.
    look_at_ms: u64,
    /// The most that were left at a look but the first: PID 1 kills them if they outlast its own stop limit.
    left: u32,
    /// How many were killed so far.
    killed: u32,
    attempts: u32,
}

/// Why sessions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// Their grant did.
    Grant,
    /// Nobody used them. The grant goes on, so there is no receipt.
    Idle,
}

/// One group that was killed.
struct Stroke {
    /// The closing that it belongs to.
    index: usize,
    path: String,
    /// How many were in it.
    killed: u32,
}

impl Occasion {
    /// How a session was ended, for the record.
    fn word(self) -> &'static str {
        match self {
            Self::Grant => "asked",
            Self::Idle => "idle",
        }
    }
}

impl Closing {
    /// When something is to be done about it.
    pub(super) fn deadline_ms(&self) -> u64 {
        self.hard_at_ms.min(self.look_at_ms)
    }
    pub(super) fn grant(&self) -> &GrantId {
        &self.grant
    }
    /// Whether it is the end of a grant for this account.
    pub(super) fn is_of(&self, user: &UserName) -> bool {
        self.user == *user
    }
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter()
    }
}

impl Enforcer {
    /// Ends what lived by grants that are over. Returns once all were asked; [`Enforcer::tick`] kills. What was taken back is killed
    /// before this returns.
    pub(crate) async fn end(
        &mut self,
        ended: &[EndedGrant],
        live: &[LiveGrant],
        at: Moment,
        recorder: &mut dyn Recorder,
    ) {
        if !self.armed {
            return;
        }
        // What ended by itself before is not this end's doing.
        self.tidy(recorder);
        self.close_scopes(live);
        for grant in ended {
            let closing = self.closing(grant, live, at);
            self.closings.push(closing);
        }
        // First what must be dead at once, so that nobody waits for an answer of the bus.
        self.kill_due(at.boottime_ms, recorder).await;
        self.ask(recorder).await;
    }

    /// Ends at once whatever no live grant permits: what ended while no warden was there, or while the host did not enforce.
    pub(crate) async fn end_unpermitted(
        &mut self,
        live: &[LiveGrant],
        at: Moment,
        recorder: &mut dyn Recorder,
    ) {
        let mut ended: Vec<EndedGrant> = Vec::new();
        for session in self.sessions.iter().filter(|s| s.permitted_until(live).is_none()) {
            let lost = session.basis.iter().find(|b| !live.iter().any(|g| *g.id() == b.grant));
            let Some(basis) = lost.or(session.basis.first()) else { continue };
            if !ended.iter().any(|e| e.grant == basis.grant) {
                ended.push(EndedGrant {
                    grant: basis.grant.clone(),
                    user: basis.user.clone(),
                    how: Ending::Expired,
                    since: None,
                    urgency: Urgency::AtOnce,
                });
            }
        }
        if !ended.is_empty() {
            self.end(&ended, live, at, recorder).await;
        }
    }

    fn closing(&self, ended: &EndedGrant, live: &[LiveGrant], at: Moment) -> Closing {
        let taken = |session: &Session| {
            self.closings.iter().any(|c| c.sessions.contains(session) || c.past.contains(session))
        };
        let affected = |all: &[Session]| -> Vec<Session> {
            let theirs =
                all.iter().filter(|s| s.rests_on_account(&ended.user) && s.permitted_until(live).is_none());
            theirs.filter(|s| !taken(s)).cloned().collect()
        };
        // An account that is not in the passwd file is known by its logins.
        let logged_in =
            |s: &Session| (s.kind == SessionKind::Login && s.user == ended.user).then_some(s.login_uid);
        let uid = uid_of(&ended.user).or_else(|| self.sessions.iter().find_map(logged_in).flatten());
        let has_more = live.iter().any(|grant| *grant.user() == ended.user);
        let by_grants_alone =
            |uid: &u32| ["sshd", "login"].iter().all(|service| self.config.gates(*uid, service));
        Closing {
            occasion: Occasion::Grant,
            removed: tickets::remove(&self.tickets, &ended.user, uid)
                .iter()
                .map(|path| printable(&path.display().to_string()))
                .collect(),
            stopped: Vec::new(),
            reported: Vec::new(),
            dismissed: false,
            waited: 0,
            window: self.window(ended, at),
            grant: ended.grant.clone(),
            user: ended.user.clone(),
            sessions: affected(&self.sessions),
            past: affected(&self.past),
            whole: uid.filter(|_| !has_more).filter(by_grants_alone),
            hard_at_ms: match ended.urgency {
                Urgency::Grace => at.boottime_ms + GRACE_MS,
                Urgency::AtOnce => at.boottime_ms,
            },
            began: Instant::now(),
            at_ms: at.boottime_ms,
            asked: false,
            look_at_ms: at.boottime_ms + LOOK_EVERY_MS,
            left: 0,
            killed: 0,
            attempts: 0,
        }
    }

    /// Ends sessions that nobody used, and leaves their grants as they are.
    pub(super) async fn end_sessions(&mut self, idle: Vec<Session>, at: Moment, recorder: &mut dyn Recorder) {
        for session in idle {
            let taken = self.closings.iter().any(|c| c.sessions.contains(&session));
            let Some(basis) = session.basis.first().filter(|_| !taken) else { continue };
            self.closings.push(Closing {
                occasion: Occasion::Idle,
                grant: basis.grant.clone(),
                user: session.user.clone(),
                sessions: vec![session],
                past: Vec::new(),
                whole: None,
                window: None,
                removed: Vec::new(),
                stopped: Vec::new(),
                reported: Vec::new(),
                dismissed: false,
                waited: 0,
                hard_at_ms: at.boottime_ms + GRACE_MS,
                began: Instant::now(),
                at_ms: at.boottime_ms,
                asked: false,
                look_at_ms: at.boottime_ms + LOOK_EVERY_MS,
                left: 0,
                killed: 0,
                attempts: 0,
            });
        }
        self.ask(recorder).await;
    }

    /// Asks all sessions that are closing to end. A bus that does not answer is asked once: the kill needs no bus.
    async fn ask(&mut self, recorder: &mut dyn Recorder) {
        let mut silent = false;
        let mut closings = std::mem::take(&mut self.closings);
        for closing in closings.iter_mut().filter(|closing| !closing.asked) {
            closing.asked = true;
            for session in &closing.sessions {
                match (&session.cgroup, session.sweep_target()) {
                    // Others share its scope.
                    (Some(path), _) if session.kind == SessionKind::Elevation => {
                        sweep::ask_all(&self.cgroups.members(path));
                    }
                    (None, Some(target)) => sweep::ask(&self.proc, &target),
                    _ => {}
                }
                let asked = match &session.logind {
                    Some(id) if session.kind == SessionKind::Login && !silent => {
                        self.bus.terminate_session(id).await
                    }
                    _ => Ok(()),
                };
                if let Err(error) = asked {
                    silent = matches!(error, BusError::Silent { .. });
                    tracing::warn!(%error, grant = %closing.grant, "a session could not be asked to end");
                }
                recorder.record(terminated(closing, session, closing.occasion.word()));
            }
            silent = silent || !self.stop_lingering(closing).await;
            if let Some(uid) = closing.whole.filter(|_| !silent)
                && self.cgroups.is_populated(&user_slice(uid))
                && let Err(error) = self.bus.terminate_user(uid).await
            {
                silent = matches!(error, BusError::Silent { .. });
                tracing::warn!(%error, user = %closing.user, "an account could not be asked to end");
            }
        }
        self.closings = closings;
    }

    /// The hard stop of every closing whose time has come.
    pub(super) async fn kill_due(&mut self, now_boottime_ms: u64, recorder: &mut dyn Recorder) {
        let mut all = std::mem::take(&mut self.closings);
        self.spare_accounts_that_are_back(&mut all);
        for closing in
            all.iter_mut().filter(|c| c.hard_at_ms > now_boottime_ms && c.look_at_ms <= now_boottime_ms)
        {
            self.look(closing, now_boottime_ms);
        }
        let (due, waiting) = all.into_iter().partition::<Vec<_>, _>(|c| c.hard_at_ms <= now_boottime_ms);
        self.closings = waiting;
        if !due.is_empty() {
            let managers = due.iter().filter_map(|closing| closing.whole);
            let after = now_boottime_ms + RESET_AFTER_MS;
            self.to_reset.extend(managers.map(|uid| (format!("user@{uid}.service"), after)));
            self.kill(due, now_boottime_ms, recorder).await;
        }
    }

    /// Takes units off PID 1's list of what failed: a manager that we killed is no fault of the host's.
    pub(super) async fn reset_failed(&mut self, now_boottime_ms: u64) {
        let (due, waiting) =
            std::mem::take(&mut self.to_reset).into_iter().partition(|(_, at)| *at <= now_boottime_ms);
        self.to_reset = waiting;
        let due: Vec<(String, u64)> = due;
        for (unit, _) in due {
            if let Err(error) = self.bus.reset_failed(&unit).await {
                if matches!(error, BusError::Silent { .. }) {
                    // It is tidiness only: the loop does not wait once for each.
                    return;
                }
                tracing::debug!(%error, "a unit was not taken off the list of what failed");
            }
        }
    }

    /// An account that was given a new grant and has logged in again since is not ended whole any more, only what is known of it.
    fn spare_accounts_that_are_back(&self, all: &mut [Closing]) {
        let ending: Vec<&Session> = all.iter().flat_map(Closing::sessions).collect();
        let is_back = |uid: u32| {
            self.sessions.iter().any(|session| session.login_uid == Some(uid) && !ending.contains(&session))
        };
        let back: Vec<bool> = all.iter().map(|closing| closing.whole.is_some_and(is_back)).collect();
        for (closing, _) in all.iter_mut().zip(back).filter(|(_, back)| *back) {
            closing.whole = None;
        }
    }

    /// Looks at a closing whose time has not come. If nothing of it is left, its time has come.
    fn look(&self, closing: &mut Closing, now_boottime_ms: u64) {
        let members =
            self.groups_of(closing).iter().map(|path| self.cgroups.members(path).len()).sum::<usize>();
        let groupless = closing.sessions.iter().filter(|session| session.cgroup.is_none());
        let groupless = groupless.filter_map(Session::sweep_target).any(|t| sweep::finds(&self.proc, &t));
        if members == 0 && !groupless {
            closing.hard_at_ms = now_boottime_ms;
        } else {
            // What obeys has obeyed by the second look.
            if closing.hard_at_ms - now_boottime_ms <= GRACE_MS - 2 * LOOK_EVERY_MS {
                closing.left = closing.left.max(u32::try_from(members).unwrap_or(u32::MAX));
            }
            closing.look_at_ms = now_boottime_ms + LOOK_EVERY_MS;
        }
    }

    /// The hard stop.
    async fn kill(&mut self, mut due: Vec<Closing>, now_boottime_ms: u64, recorder: &mut dyn Recorder) {
        let stopped = Instant::now();
        // One stroke for each group, before anything else is looked at.
        let mut strokes: Vec<Stroke> = Vec::new();
        for (index, closing) in due.iter().enumerate() {
            for path in self.groups_of(closing) {
                if let Some(killed) = Killable::new(&path).and_then(|group| self.stroke(&group, recorder)) {
                    strokes.push(Stroke { index, path, killed });
                }
            }
        }
        // A login that nobody used takes nothing with it that another login of the account may have asked for.
        let of_grants = due.iter_mut().enumerate().filter(|(_, closing)| closing.occasion == Occasion::Grant);
        for (index, closing) in of_grants {
            for (unit, path) in self.run0_groups(closing).await {
                let killed = Killable::of_run0(&path).and_then(|group| self.stroke(&group, recorder));
                if let Some(killed) = killed {
                    strokes.push(Stroke { index, path, killed });
                    closing.stopped.push(unit);
                }
            }
        }
        let all_dead = self.wait_until_empty(&strokes).await;
        let (swept, nothing_left) = self.sweep(&due).await;
        let took_ms = millis(stopped.elapsed());
        self.dismiss(&mut due).await;
        let mut over = Vec::new();
        for (index, mut closing) in due.into_iter().enumerate() {
            if !closing.asked {
                closing.sessions.iter().for_each(|s| recorder.record(terminated(&closing, s, "killed")));
                closing.asked = true;
            }
            let mut by_us = swept[index];
            for stroke in strokes.iter().filter(|stroke| stroke.index == index) {
                recorder.record(killed_event(&closing, &stroke.path, stroke.killed, "cgroup.kill", took_ms));
                by_us += stroke.killed;
            }
            if swept[index] > 0 {
                recorder.record(killed_event(&closing, "", swept[index], "sweep", took_ms));
            }
            // They outlasted the first looks, and were dead before the hard stop: PID 1's stop limit was shorter than our patience.
            let by_pid_1 =
                if strokes.iter().any(|s| s.index == index) { 0 } else { std::mem::take(&mut closing.left) };
            if by_pid_1 > 0 {
                let took_ms = millis(closing.began.elapsed());
                recorder.record(killed_event(&closing, "", by_pid_1, "stop-limit", took_ms));
            }
            closing.killed += by_us + by_pid_1;
            closing.left = 0;
            // What was neither in a group that may be killed nor known by its login is still there, and nothing else says so.
            self.kill_leaders_alone(&closing);
            let survives = closing.sessions.iter().any(|session| self.is_alive(session));
            let cleared = self.clear_spools(&mut closing);
            let remains = self.remains(&closing);
            let clean = all_dead && nothing_left && !survives && cleared;
            let again_after = if clean {
                closing.waited += 1;
                (!remains.is_empty() && closing.waited < MAX_WAITS).then_some(WAIT_MS)
            } else {
                closing.attempts += 1;
                (closing.attempts < MAX_ATTEMPTS).then_some(AGAIN_AFTER_MS)
            };
            if let Some(after) = again_after {
                closing.hard_at_ms = now_boottime_ms + after;
                closing.look_at_ms = closing.hard_at_ms;
                self.closings.push(closing);
                continue;
            }
            if closing.occasion == Occasion::Grant {
                closing.reported.extend(remains);
                closing.reported.extend(self.started_meanwhile(&closing));
                recorder.record(receipt(&closing, clean));
            }
            if !clean {
                let what = if cleared { "processes" } else { "jobs of cron or at" };
                let detail = format!("grant {}: {what} of {} are left", closing.grant, closing.user);
                alarm(recorder, "not-clean", detail);
            }
            over.extend(closing.sessions);
            over.extend(closing.past);
        }
        self.look_for_logouts();
        self.forget(&over);
    }

    /// Kills the process that opened a session, where the kernel tells neither a group nor a login to know the others by.
    fn kill_leaders_alone(&self, closing: &Closing) {
        for session in &closing.sessions {
            if session.cgroup.is_none() && session.sweep_target().is_none() {
                sweep::kill_one(&self.proc, session.pid, session.started);
            }
        }
    }

    /// The groups that a closing kills: the scopes of its sessions, and all of the account if it is ended whole.
    fn groups_of(&self, closing: &Closing) -> Vec<String> {
        // While it is waited for logind, what takes `/run/user/UID` down works in the account's slice.
        let slice = closing.whole.filter(|_| closing.waited == 0).map(user_slice);
        let in_slice = |path: &String| slice.as_ref().is_some_and(|slice| within(path, slice));
        let scopes = closing.sessions.iter().filter_map(|session| session.cgroup.clone());
        let groups = scopes.filter(|path| !in_slice(path)).chain(slice.clone());
        groups.filter(|path| self.cgroups.is_populated(path)).collect()
    }

    /// Kills one group. Says how many were in it.
    fn stroke(&self, group: &Killable<'_>, recorder: &mut dyn Recorder) -> Option<u32> {
        let path = group.path();
        let members = u32::try_from(self.cgroups.members(path).len()).unwrap_or(u32::MAX);
        match self.cgroups.kill(group) {
            Ok(()) => Some(members),
            Err(error) => {
                alarm(recorder, "kill-failed", format!("{path}: {error}"));
                None
            }
        }
    }

    async fn wait_until_empty(&self, strokes: &[Stroke]) -> bool {
        let empty = async {
            while strokes.iter().any(|stroke| self.cgroups.is_populated(&stroke.path)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEATH_BOUND, empty).await.is_ok()
    }

    /// Kills what left its scope, until two looks in a row find nothing. Says how many for each closing, and whether nothing is left.
    async fn sweep(&self, due: &[Closing]) -> (Vec<u32>, bool) {
        let mut killed = vec![0; due.len()];
        let targets: Vec<Vec<Target>> = due.iter().map(targets_of).collect();
        if targets.iter().all(Vec::is_empty) {
            return (killed, true);
        }
        if self.proc.all().is_empty() {
            // This process at least is there: /proc cannot be read, as when there are too many open files.
            return (killed, false);
        }
        let spared = self.spared(due);
        let mut clean_looks = 0;
        for _ in 0..MAX_ROUNDS {
            let mut found = 0;
            for (targets, killed) in targets.iter().zip(&mut killed) {
                let now = sweep::round(&self.proc, targets, &spared);
                found += now;
                *killed += now;
            }
            clean_looks = if found == 0 { clean_looks + 1 } else { 0 };
            if clean_looks == 2 {
                return (killed, true);
            }
            if found > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        (killed, false)
    }

    /// The sessions that go on.
    fn spared(&self, due: &[Closing]) -> Spared {
        let ending = |session: &&Session| due.iter().any(|closing| closing.sessions.contains(session));
        let mut spared = Spared::default();
        for session in self.sessions.iter().filter(|session| !ending(session)) {
            let places = match session.kind {
                SessionKind::Login => &mut spared.logins,
                SessionKind::Elevation => &mut spared.elevations,
            };
            places.extend(session.cgroup.clone().map(|group| Place {
                group,
                login_uid: session.login_uid,
                audit_session: session.audit,
            }));
        }
        spared
    }
}

fn targets_of(closing: &Closing) -> Vec<Target> {
    let sessions = closing.sessions.iter().chain(&closing.past).filter_map(Session::sweep_target);
    let whole = closing.whole.map(|login_uid| Target::Account { login_uid });
    sessions.chain(whole).collect()
}

fn terminated(closing: &Closing, session: &Session, how: &str) -> Event {
    Event::SessionTerminated {
        grant: closing.grant.to_string(),
        user: session.user.to_string(),
        session: session.name.clone(),
        how: how.to_owned(),
    }
}

fn killed_event(closing: &Closing, scope: &str, count: u32, how: &str, took_ms: u64) -> Event {
    Event::ProcessesKilled {
        grant: closing.grant.to_string(),
        scope: scope.to_owned(),
        count,
        how: how.to_owned(),
        took_ms,
    }
}

fn receipt(closing: &Closing, clean: bool) -> Event {
    let mut all = closing.sessions.iter().chain(&closing.past);
    let not_excluded = all.any(Session::was_root).then(|| {
        "full root was used: PID 1 may have started something for it outside its session".to_owned()
    });
    Event::Receipt {
        grant: closing.grant.to_string(),
        sessions: u32::try_from(closing.sessions.len()).unwrap_or(u32::MAX),
        killed: closing.killed,
        removed: closing.removed.clone(),
        restored: Vec::new(),
        reported: closing.reported.clone(),
        not_excluded: not_excluded.into_iter().collect(),
        not_scanned: Vec::new(),
        also_open: Vec::new(),
        took_ms: millis(closing.began.elapsed()),
        nothing_found: clean,
        clean,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
