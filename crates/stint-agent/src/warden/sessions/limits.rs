//! PID 1's own limits on sessions: moved with the end of a window, and read back.
//!
//! They cannot be set on a scope that runs. A runtime drop-in and a reload of the units can; the limit counts from the scope's start. A
//! scope whose limit is not known to be right is doubtful: it is asked about, mended if need be, and tried again until it is right.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use stint_grant::register::SessionKind;
use stint_grant::time::{Seconds, UnixTime};

use super::enforcer::{Enforcer, Moment, alarm};
use crate::journal::Recorder;
use crate::warden::live::LiveGrant;
use crate::warden::systemd::ScopeFacts;

/// All scopes together keep the loop no longer than this, however many there are and however slowly the bus answers. What is not done by
/// then is tried again.
const BOUND: Duration = Duration::from_secs(3);
/// The window's end has whole seconds, the limit has microseconds.
const TOLERANCE_US: u64 = 2_000_000;

/// Why a scope is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The window's end moved, so its limit is another one.
    Moved,
    /// It opened, or was found: its limit should be right, and a wrong one is told.
    Unread,
}

/// The limit that a scope should have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    unit: String,
    until: UnixTime,
    since_start_us: u64,
}

impl Enforcer {
    /// Makes PID 1's limits follow the ends of the live grants, up and down.
    pub(crate) async fn extend(&mut self, live: &[LiveGrant], at: Moment, recorder: &mut dyn Recorder) {
        for session in &self.sessions {
            let Some(unit) = session.unit() else { continue };
            if self.permitted_until(unit, live).is_some_and(|until| until != session.limit) {
                self.doubtful.insert(unit.to_owned(), Doubt::Moved);
            }
        }
        // With other grants there may be other idle limits.
        self.idle_at_ms = Some(at.boottime_ms);
        self.settle_limits(live, at, recorder).await;
    }

    /// What PID 1 was told about the login that a process opened is read back by the next [`Self::settle_limits`].
    pub(crate) fn doubt_login(&mut self, pid: u32) {
        let login =
            |session: &&super::book::Session| session.kind == SessionKind::Login && session.pid == pid;
        let unit = self.sessions.iter().filter(login).find_map(|session| session.unit().map(str::to_owned));
        if let Some(unit) = unit.filter(|_| self.armed) {
            self.doubtful.entry(unit).or_insert(Doubt::Unread);
        }
    }

    /// The same for all logins: after a start, and when the host begins to enforce.
    pub(crate) fn doubt_all_logins(&mut self) {
        let logins: Vec<u32> =
            self.sessions.iter().filter(|s| s.kind == SessionKind::Login).map(|s| s.pid).collect();
        for pid in logins {
            self.doubt_login(pid);
        }
    }

    /// Whether [`Self::settle_limits`] has something to do, or to try again.
    pub(crate) fn doubts_limits(&self) -> bool {
        !self.doubtful.is_empty()
    }

    /// Reads back what is doubtful, and mends it.
    pub(crate) async fn settle_limits(
        &mut self,
        live: &[LiveGrant],
        at: Moment,
        recorder: &mut dyn Recorder,
    ) {
        let known = |unit: &String| self.sessions.iter().any(|session| session.unit() == Some(unit));
        let known: BTreeMap<_, _> =
            self.doubtful.iter().filter(|(unit, _)| known(unit)).map(|(u, d)| (u.clone(), *d)).collect();
        self.doubtful = if self.armed { known } else { BTreeMap::new() };
        if self.doubtful.is_empty() {
            self.limits_fault = None;
            return;
        }
        let settled = tokio::time::timeout(BOUND, self.try_to_settle(live, at, recorder)).await;
        let settled = settled.unwrap_or_else(|_| Err("PID 1 takes too long to answer".to_owned()));
        match settled {
            Ok(()) => self.limits_fault = None,
            // Told once, not at every try.
            Err(detail) if self.limits_fault.as_ref() != Some(&detail) => {
                alarm(recorder, "limit-not-moved", format!("{detail}; tried again"));
                self.limits_fault = Some(detail);
            }
            Err(_) => {}
        }
        self.save();
    }

    async fn try_to_settle(
        &mut self,
        live: &[LiveGrant],
        at: Moment,
        recorder: &mut dyn Recorder,
    ) -> Result<(), String> {
        let mut wrong = Vec::new();
        for (unit, doubt) in self.doubtful.clone() {
            // What nothing permits is ending; what PID 1 does not know has ended.
            let until = self.permitted_until(&unit, live);
            let facts = match until {
                Some(_) => self.bus.scope(&unit).await.map_err(|e| e.to_string())?,
                None => None,
            };
            let (Some(until), Some(facts)) = (until, facts) else {
                self.doubtful.remove(&unit);
                continue;
            };
            let since_start_us = wanted_us(&facts, monotonic_us(), until.since(at.now));
            if is_right(facts.runtime_max_us, since_start_us) {
                self.is_settled(&unit, until);
                continue;
            }
            if doubt == Doubt::Unread {
                let found = words(facts.runtime_max_us);
                let wanted = words(since_start_us);
                let detail =
                    format!("PID 1 would end {unit} after {found} instead of {wanted}: it is mended");
                alarm(recorder, "limit-wrong", detail);
                // Told once.
                self.doubtful.insert(unit.clone(), Doubt::Moved);
            }
            let limit = Duration::from_micros(since_start_us);
            self.units.limit(&unit, limit).map_err(|e| e.to_string())?;
            wrong.push(Wanted { unit, until, since_start_us });
        }
        if wrong.is_empty() {
            return Ok(());
        }
        self.bus.reload().await.map_err(|e| e.to_string())?;
        let mut outcome = Ok(());
        for Wanted { unit, until, since_start_us } in wrong {
            match self.bus.scope(&unit).await.map_err(|e| e.to_string())? {
                Some(facts) if !is_right(facts.runtime_max_us, since_start_us) => {
                    let (found, wanted) = (words(facts.runtime_max_us), words(since_start_us));
                    outcome = Err(format!("{unit} has a limit of {found} instead of {wanted}"));
                }
                Some(_) => self.is_settled(&unit, until),
                None => drop(self.doubtful.remove(&unit)),
            }
        }
        outcome
    }

    /// Until when anything in a unit may go on. The warden itself ends what may not go on so long.
    fn permitted_until(&self, unit: &str, live: &[LiveGrant]) -> Option<UnixTime> {
        let inside = self.sessions.iter().filter(|session| session.unit() == Some(unit));
        inside.filter_map(|session| session.permitted_until(live)).max()
    }

    fn is_settled(&mut self, unit: &str, until: UnixTime) {
        self.doubtful.remove(unit);
        for session in self.sessions.iter_mut().filter(|session| session.unit() == Some(unit)) {
            session.limit = until;
        }
    }
}

/// The limit of a scope that is to end so long from now, counted from its start.
fn wanted_us(facts: &ScopeFacts, now_monotonic_us: u64, left: Seconds) -> u64 {
    let elapsed = now_monotonic_us.saturating_sub(facts.began_monotonic_us);
    elapsed.saturating_add(left.0.saturating_mul(1_000_000))
}

fn is_right(found_us: u64, wanted_us: u64) -> bool {
    found_us.abs_diff(wanted_us) <= TOLERANCE_US
}

fn words(limit_us: u64) -> String {
    if limit_us == u64::MAX { "no limit".to_owned() } else { format!("{} s", limit_us / 1_000_000) }
}

fn monotonic_us() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| {
        u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0) / 1000
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: u64 = 5_000_000;

    fn facts(runtime_max_us: u64) -> ScopeFacts {
        ScopeFacts { began_monotonic_us: BEGAN, runtime_max_us }
    }

    #[test]
    fn a_limit_counts_from_the_scope_s_start() {
        assert_eq!(wanted_us(&facts(0), BEGAN + 7_000_000, Seconds(60)), 67_000_000);
        assert_eq!(wanted_us(&facts(0), 0, Seconds(60)), 60_000_000, "a clock that cannot be read");
    }

    #[test]
    fn no_limit_a_later_one_and_an_earlier_one_are_wrong() {
        let wanted = wanted_us(&facts(0), BEGAN + 7_000_000, Seconds(60));
        assert!(is_right(66_000_001, wanted), "the end of a window has whole seconds");
        for wrong in [u64::MAX, 127_000_000, 40_000_000, 0] {
            assert!(!is_right(wrong, wanted), "{wrong}");
        }
    }

    #[test]
    fn limits_have_words_that_people_read() {
        assert_eq!((words(u64::MAX), words(61_500_000)), ("no limit".to_owned(), "61 s".to_owned()));
    }
}
