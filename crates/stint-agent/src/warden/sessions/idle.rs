//! Sessions that nobody uses any more end; their grants go on.
//!
//! Use is what was typed: the kernel notes when a terminal was read last (as `w` shows it), to within eight seconds. What a program
//! prints is none. A login without a terminal (a command, a copy, a tunnel) is in use while its processes run on a processor at all; so
//! a client that keeps its connection alive by itself keeps the session. A login that has neither a terminal nor a scope is not idle.
//!
//! Nothing asks in turns: the last use of each session gives the moment at which it would be idle, and one timer is set for the first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nix::time::{ClockId, clock_gettime};
use stint_grant::register::SessionKind;
use stint_grant::time::Seconds;

use super::book::Session;
use super::enforcer::{Enforcer, Moment};
use super::terminal;
use crate::journal::Recorder;
use crate::warden::live::LiveGrant;

/// How long before its end an idle session is warned, at most.
const WARN_BEFORE_MS: u64 = 60_000;
/// The kernel notes no use of a terminal that comes less than this after the last one noted.
const COARSE_MS: u64 = 8_000;
/// A tick of `/proc/PID/stat`.
const TICK_MS: u64 = 10;

/// What shows that a session is used: when it changes, it was.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trace {
    /// When each of its terminals was read last, in nanoseconds of the wall clock.
    Input(BTreeMap<PathBuf, i128>),
    /// How long its processes have worked, in microseconds.
    Work(u64),
}

/// A use that a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// At this nanosecond of the wall clock.
    At(i128),
    /// At some moment since the look before.
    Since,
}

impl Trace {
    /// The last use that the look before did not show. Each terminal counts for itself: with the clock set back, one that was read before
    /// that looks newer than one that is read now.
    fn new_use(&self, before: Option<&Self>) -> Option<Use> {
        match (self, before) {
            (Self::Work(now), Some(Self::Work(then))) if now == then => None,
            (Self::Work(_), _) => Some(Use::Since),
            (Self::Input(now), before) => {
                let then = |device| match before {
                    Some(Self::Input(then)) => then.get(device).copied(),
                    _ => None,
                };
                let read = now.iter().filter(|(device, at_ns)| then(*device) != Some(**at_ns));
                read.map(|(_, at_ns)| *at_ns).max().map(Use::At)
            }
        }
    }
}

/// When a session was used last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Activity {
    trace: Trace,
    /// In milliseconds of `CLOCK_BOOTTIME`, as are all that follow.
    used_ms: u64,
    looked_ms: u64,
    warned: bool,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Look again then.
    Look(u64),
    /// Warn, and look again then.
    Warn(u64),
    /// It ends.
    End,
}

impl Activity {
    /// What is known after a look. `since_ms` is when it can have been used first, `wall_ns` is the wall clock now.
    fn after(before: Option<Self>, trace: Trace, since_ms: u64, now_ms: u64, wall_ns: i128) -> Self {
        let looked_ms = now_ms;
        let since_ms = before.as_ref().map_or(since_ms, |before| before.looked_ms).min(now_ms);
        let used_ms = match (trace.new_use(before.as_ref().map(|before| &before.trace)), before) {
            (None, Some(before)) => return Self { trace, looked_ms, ..before },
            // Two readings of the wall clock, which somebody may set: never out of the time between two looks.
            (Some(Use::At(at_ns)), _) => {
                let ago_ms = u64::try_from((wall_ns - at_ns).max(0) / 1_000_000).unwrap_or(u64::MAX);
                now_ms.saturating_sub(ago_ms.saturating_sub(COARSE_MS)).max(since_ms)
            }
            (Some(Use::Since) | None, _) => now_ms,
        };
        Self { trace, used_ms, looked_ms, warned: false }
    }

    /// What follows, with a limit.
    fn next(&self, limit: Seconds) -> Next {
        let limit_ms = limit.0.saturating_mul(1000);
        let end_ms = self.used_ms.saturating_add(limit_ms);
        let warn_ms = end_ms - WARN_BEFORE_MS.min(limit_ms / 2);
        match self.looked_ms {
            now if now >= end_ms => Next::End,
            now if now >= warn_ms && !self.warned => Next::Warn(end_ms),
            now if now >= warn_ms => Next::Look(end_ms),
            _ => Next::Look(warn_ms),
        }
    }
}

impl Enforcer {
    /// Ends the sessions that were idle for too long, warns those that soon will be, and finds out when to look again.
    pub(crate) async fn end_idle(&mut self, live: &[LiveGrant], at: Moment, recorder: &mut dyn Recorder) {
        self.activity.retain(|name, _| self.sessions.iter().any(|session| session.name == *name));
        self.idle_at_ms = None;
        let mut over = Vec::new();
        for session in self.sessions.clone() {
            let limit = session.idle_limit(live).filter(|_| self.armed && session.is_login_of_a_person());
            let Some((limit, trace)) = limit.zip(self.trace_of(&session)) else { continue };
            let before = self.activity.get(&session.name).cloned();
            let opened_ms = session.started.saturating_mul(TICK_MS);
            let mut activity = Activity::after(before, trace, opened_ms, at.boottime_ms, wall_ns());
            let look_at_ms = match activity.next(limit) {
                Next::Look(at_ms) => at_ms,
                Next::Warn(at_ms) => {
                    activity.warned = true;
                    self.warn_idle(&session, Seconds((at_ms - at.boottime_ms).div_ceil(1000)));
                    at_ms
                }
                Next::End => {
                    over.extend(self.within(&session));
                    continue;
                }
            };
            self.activity.insert(session.name, activity);
            self.idle_at_ms = Some(self.idle_at_ms.map_or(look_at_ms, |first| first.min(look_at_ms)));
        }
        if !over.is_empty() {
            self.end_sessions(over, at, recorder).await;
        }
    }

    /// A login, and what was elevated inside it.
    fn within(&self, login: &Session) -> Vec<Session> {
        let inside = |session: &&Session| {
            session.kind == SessionKind::Elevation
                && session.audit.is_some()
                && (session.audit, session.login_uid) == (login.audit, login.login_uid)
        };
        let elevated = self.sessions.iter().filter(inside).cloned();
        std::iter::once(login.clone()).chain(elevated).collect()
    }

    fn trace_of(&self, session: &Session) -> Option<Trace> {
        let terminals = self.terminals_of(session);
        let read = |device: PathBuf| terminal::last_input_ns(&device).map(|at_ns| (device, at_ns));
        let input: BTreeMap<_, _> = terminals.into_iter().filter_map(|(device, _)| read(device)).collect();
        let work = || session.cgroup.as_deref().and_then(|path| self.cgroups.work_us(path));
        if input.is_empty() { work().map(Trace::Work) } else { Some(Trace::Input(input)) }
    }
}

fn wall_ns() -> i128 {
    clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |now| i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Seconds = Seconds(600);
    const WALL: i128 = 1_795_000_000_000_000_000;

    fn terminals(read_seconds_ago: &[i128]) -> Trace {
        let read =
            |(n, ago): (usize, &i128)| (PathBuf::from(format!("/dev/pts/{n}")), WALL - ago * 1_000_000_000);
        Trace::Input(read_seconds_ago.iter().enumerate().map(read).collect())
    }

    fn input(seconds_ago: i128) -> Trace {
        terminals(&[seconds_ago])
    }

    fn look(before: Option<Activity>, trace: Trace, now_s: u64) -> Activity {
        let wall = WALL + i128::from(now_s) * 1_000_000_000;
        Activity::after(before, trace, 0, now_s * 1000, wall)
    }

    #[test]
    fn a_session_that_is_not_used_is_warned_a_minute_before_and_then_ends() {
        let opened = look(None, input(0), 0);
        assert_eq!(opened.next(LIMIT), Next::Look(540_000));
        let soon = look(Some(opened), input(0), 540);
        assert_eq!(soon.next(LIMIT), Next::Warn(600_000));
        let warned = Activity { warned: true, ..soon };
        assert_eq!(look(Some(warned.clone()), input(0), 560).next(LIMIT), Next::Look(600_000));
        assert_eq!(look(Some(warned), input(0), 600).next(LIMIT), Next::End);
    }

    #[test]
    fn what_was_typed_moves_the_end_and_makes_a_warning_due_again() {
        let warned = Activity { warned: true, ..look(None, input(0), 0) };
        // Typed at second 550, looked at in second 600. The kernel may be eight seconds behind.
        let used = look(Some(warned), input(-550), 600);
        assert_eq!((used.used_ms, used.warned), (558_000, false));
        assert_eq!(used.next(LIMIT), Next::Look(558_000 + 540_000));
    }

    #[test]
    fn a_wall_clock_that_jumps_ends_nothing_early_and_keeps_nothing_for_ever() {
        let opened = look(None, input(0), 0);
        let day = 86_400;
        // A day ahead between the key and the look: used at the look before, not a day ago.
        let ahead = Activity::after(
            Some(opened.clone()),
            input(-300),
            0,
            301_000,
            WALL + (301 + day) * 1_000_000_000,
        );
        assert_eq!(ahead.used_ms, 0);
        // A day back: used now, not in a day.
        let back = Activity::after(Some(opened), input(-300), 0, 301_000, WALL + (301 - day) * 1_000_000_000);
        assert_eq!(back.used_ms, 301_000);
    }

    #[test]
    fn with_the_clock_set_back_what_is_typed_counts_beside_a_terminal_that_was_read_before_that() {
        let opened = look(None, terminals(&[0, 0]), 0);
        let day = 86_400;
        let wall = WALL + (540 - day) * 1_000_000_000;
        let typed = Activity::after(Some(opened), terminals(&[0, day - 530]), 0, 540_000, wall);
        assert_eq!(typed.used_ms, 538_000);
        // And a terminal that is closed is no use.
        let closed = look(Some(typed), terminals(&[0]), 600);
        assert_eq!((closed.used_ms, closed.looked_ms), (538_000, 600_000));
    }

    #[test]
    fn without_a_terminal_work_is_use_and_a_terminal_that_comes_later_is_as_well() {
        let opened = look(None, Trace::Work(10), 0);
        let worked = look(Some(opened.clone()), Trace::Work(11), 540);
        assert_eq!(worked.used_ms, 540_000);
        assert_eq!(look(Some(worked), Trace::Work(11), 1140).next(LIMIT), Next::End);
        assert_eq!(look(Some(opened), input(-20), 30).used_ms, 28_000);
    }

    #[test]
    fn a_short_limit_is_warned_of_at_its_half() {
        let opened = look(None, input(0), 0);
        assert_eq!(opened.next(Seconds(30)), Next::Look(15_000));
    }
}
