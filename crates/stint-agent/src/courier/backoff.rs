//! How long to wait after a failure: doubled each time, up to a limit, and never the same on two hosts.

use std::time::Duration;

/// The shortest and the longest wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    least: Duration,
    most: Duration,
}

impl Limits {
    /// The shortest and the longest wait.
    pub(crate) const fn new(least: Duration, most: Duration) -> Self {
        Self { least, most }
    }
}

/// Waits after failures in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    limits: Limits,
    failures: u32,
}

impl Backoff {
    /// Before any failure.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, failures: 0 }
    }
    /// Whether nothing has failed since it last worked: what is told once is not told every minute for days.
    pub(crate) fn is_fresh(&self) -> bool {
        self.failures == 0
    }
    /// It worked: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
    /// The wait after one more failure. `random` spreads it: a fleet that lost its broker does not come back at once.
    pub(crate) fn after_failure(&mut self, random: u64) -> Duration {
        let wait = wait(self.limits, self.failures, random);
        self.failures = self.failures.saturating_add(1);
        wait
    }
    /// Waits after one more failure.
    pub(crate) async fn pause(&mut self) {
        let wait = self.after_failure(random());
        tokio::time::sleep(wait).await;
    }
}

/// Between half of the doubled wait and all of it, within the limits.
fn wait(limits: Limits, failures: u32, random: u64) -> Duration {
    let doubled = limits.least.saturating_mul(2u32.saturating_pow(failures.saturating_add(1)));
    let full = doubled.clamp(limits.least, limits.most);
    let half = (full / 2).max(limits.least);
    half + spread(full.saturating_sub(half), random)
}

/// A part of `range` that `random` chooses.
pub(crate) fn spread(range: Duration, random: u64) -> Duration {
    let millis = u64::try_from(range.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % millis.saturating_add(1))
}

/// Any number. Without a source of randomness the waits are only less spread.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits::new(Duration::from_millis(500), Duration::from_mins(1));

    proptest! {
        #[test]
        fn every_wait_is_within_the_limits(failures in 0u32..200, random: u64) {
            let wait = wait(LIMITS, failures, random);
            prop_assert!(wait >= LIMITS.least, "{wait:?}");
            prop_assert!(wait <= LIMITS.most, "{wait:?}");
        }
        #[test]
        fn a_spread_is_never_more_than_its_range(millis in 0u64..1_000_000, random: u64) {
            let range = Duration::from_millis(millis);
            prop_assert!(spread(range, random) <= range);
        }
    }

    #[test]
    fn waits_grow_with_failures_and_start_anew_after_success() {
        let mut backoff = Backoff::new(LIMITS);
        let waits: Vec<_> = (0..10).map(|_| backoff.after_failure(0)).collect();
        assert_eq!(waits[0], Duration::from_millis(500));
        assert!(waits.windows(2).all(|w| w[0] <= w[1]), "{waits:?}");
        assert_eq!(waits[9], Duration::from_secs(30));
        backoff.reset();
        assert_eq!(backoff.after_failure(0), waits[0]);
    }

    #[test]
    fn two_hosts_do_not_wait_alike() {
        let at = |random| wait(LIMITS, 5, random);
        assert_ne!(at(1), at(4_001));
    }
}
