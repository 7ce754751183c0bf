//! When warden and courier wake by themselves: for a round, which waits for something else to wake them as long as it can, and for another
//! try, only while something has failed.

use std::time::Duration;

use tokio::time::Instant;

/// From then on a round is made as soon as anything else wakes the loop, ...
const ROUND_FROM: Duration = Duration::from_secs(50);
/// ... and now it wakes the loop itself. Pulses come once a minute or more often: at rest this is never reached.
const ROUND_AT: Duration = Duration::from_secs(75);
/// A record is written though nothing happened, so that silence shows.
const HEARTBEAT: Duration = Duration::from_mins(5);
/// The first wait after a failure, and the longest.
const FIRST_TRY: Duration = Duration::from_secs(1);
const LAST_TRY: Duration = Duration::from_secs(30);
/// What is longer than the longest wait after doubling.
const MOST_DOUBLINGS: u32 = 5;

/// What a round does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// Whether a heartbeat is due.
    pub(crate) heartbeat: bool,
}

/// The rounds: all is made as it should be, whether or not anything was heard, and systemd is told that the loop lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    from: Duration,
    at: Duration,
    last: Instant,
    heartbeat: Instant,
}

impl Rounds {
    /// The first is due at once. `watchdog` is what systemd allows between two.
    pub(crate) fn new(now: Instant, watchdog: Option<Duration>) -> Self {
        let at = watchdog.map_or(ROUND_AT, |bound| (bound / 2).min(ROUND_AT));
        let from = ROUND_FROM.min(at / 3 * 2);
        Self { from, at, last: now.checked_sub(at).unwrap_or(now), heartbeat: now }
    }
    /// When the loop is to be woken for the next one.
    pub(crate) fn next(&self) -> Instant {
        self.last + self.at
    }
    /// Whether one is made now that the loop is awake.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Round> {
        if now.duration_since(self.last) < self.from {
            return None;
        }
        self.last = now;
        let heartbeat = now.duration_since(self.heartbeat) >= HEARTBEAT;
        if heartbeat {
            self.heartbeat = now;
        }
        Some(Round { heartbeat })
    }
}

/// How it stands with what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// All is done.
    Done,
    /// Somebody else is at it, and does not say when it is done: that is looked at again and again, and is no failure.
    UnderWay,
    /// Something has failed.
    Failed,
}

/// Another try at what has failed, later each time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retry {
    failures: u32,
    at: Option<Instant>,
}

impl Retry {
    /// When the next try is; `None` while nothing has failed.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.at
    }
    /// To be told each time that the loop was awake.
    pub(crate) fn look(&mut self, now: Instant, standing: Standing) {
        if standing == Standing::Done {
            *self = Self::default();
        }
        if standing == Standing::Done || self.at.is_some() {
            return;
        }
        if standing == Standing::UnderWay {
            self.at = Some(now + FIRST_TRY);
            return;
        }
        let wait = FIRST_TRY.saturating_mul(1 << self.failures.min(MOST_DOUBLINGS)).min(LAST_TRY);
        self.at = Some(now + wait);
        self.failures = self.failures.saturating_add(1);
    }
    /// The time has come: it is tried now.
    pub(crate) fn begin(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_round_is_due_at_once_and_the_next_waits_for_another_reason_to_wake() {
        let now = Instant::now() + 1000 * S;
        let mut rounds = Rounds::new(now, Some(180 * S));
        assert_eq!(rounds.next(), now);
        assert_eq!(rounds.take(now), Some(Round { heartbeat: false }));
        assert_eq!(rounds.next(), now + 75 * S);
        assert_eq!(rounds.take(now + 49 * S), None);
        assert!(rounds.take(now + 60 * S).is_some());
        assert_eq!(rounds.next(), now + 135 * S);
    }

    #[test]
    fn with_a_pulse_each_minute_the_loop_is_never_woken_for_a_round() {
        let start = Instant::now() + 1000 * S;
        let mut rounds = Rounds::new(start, Some(180 * S));
        for minute in 0..30 {
            let now = start + minute * 60 * S;
            assert!(minute == 0 || now < rounds.next());
            assert!(rounds.take(now).is_some());
        }
    }

    #[test]
    fn a_heartbeat_is_due_every_five_minutes() {
        let start = Instant::now() + 1000 * S;
        let mut rounds = Rounds::new(start, None);
        let beats = (0..=20).filter(|minute| rounds.take(start + *minute * 60 * S).unwrap().heartbeat);
        assert_eq!(beats.collect::<Vec<_>>(), [5, 10, 15, 20]);
    }

    #[test]
    fn a_shorter_watchdog_is_obeyed() {
        let now = Instant::now() + 1000 * S;
        let mut rounds = Rounds::new(now, Some(30 * S));
        rounds.take(now);
        assert!(rounds.next() <= now + 15 * S);
        assert!(rounds.take(now + 10 * S).is_some());
    }

    #[test]
    fn nothing_is_tried_again_while_nothing_has_failed() {
        let mut retry = Retry::default();
        retry.look(Instant::now(), Standing::Done);
        assert_eq!(retry.next(), None);
    }

    #[test]
    fn tries_are_farther_and_farther_apart_until_one_succeeds() {
        let (now, mut retry) = (Instant::now(), Retry::default());
        let mut waits = Vec::new();
        for _ in 0..8 {
            retry.look(now, Standing::Failed);
            // Being awake for another reason moves nothing.
            retry.look(now + S, Standing::Failed);
            waits.push((retry.next().unwrap() - now).as_secs());
            retry.begin();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        retry.look(now, Standing::Done);
        retry.look(now, Standing::Failed);
        assert_eq!(retry.next(), Some(now + S));
    }
    #[test]
    fn what_somebody_else_is_at_is_looked_at_every_second_and_does_not_put_off_a_try_after_a_failure() {
        let (now, mut retry) = (Instant::now(), Retry::default());
        for _ in 0..100 {
            retry.look(now, Standing::UnderWay);
            assert_eq!(retry.next(), Some(now + S));
            retry.begin();
        }
        retry.look(now, Standing::Failed);
        assert_eq!(retry.next(), Some(now + S));
        retry.begin();
        retry.look(now, Standing::UnderWay);
        retry.begin();
        retry.look(now, Standing::Failed);
        assert_eq!(retry.next(), Some(now + 2 * S));
    }
}
