//! How long a user must wait after wrong attempts. Pure.

/// Wrong attempts that cost nothing but themselves.
const FREE: u32 = 4;
/// The first wait, in seconds; it doubles with each further failure.
const FIRST: i64 = 15;
/// The longest wait, in seconds.
const LONGEST: i64 = 15 * 60;

/// What is kept of a user's failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lockout {
    /// Failures since the last success.
    pub failures: u32,
    /// No attempt is looked at before this (unix seconds).
    pub until: i64,
}

impl Lockout {
    /// Seconds still to wait.
    pub fn wait(&self, now: i64) -> Option<i64> {
        (self.until > now).then(|| self.until - now)
    }
    /// After one more failure.
    #[must_use]
    pub fn failed(self, now: i64) -> Self {
        let failures = self.failures.saturating_add(1);
        let wait = match failures.checked_sub(FREE + 1) {
            None => 0,
            Some(n) => FIRST.saturating_mul(1 << n.min(16)).min(LONGEST),
        };
        Self { failures, until: if wait == 0 { self.until } else { now.saturating_add(wait) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(failures: u32) -> Lockout {
        (0..failures).fold(Lockout::default(), |l, _| l.failed(1000))
    }

    #[test]
    fn a_few_typing_errors_cost_nothing() {
        assert_eq!(after(4).wait(1000), None);
    }

    #[test]
    fn the_wait_doubles_up_to_a_quarter_of_an_hour() {
        assert_eq!(after(5).wait(1000), Some(15));
        assert_eq!(after(6).wait(1000), Some(30));
        assert_eq!(after(7).wait(1000), Some(60));
        assert_eq!(after(40).wait(1000), Some(900));
    }

    #[test]
    fn the_wait_ends() {
        assert_eq!(after(5).wait(1014), Some(1));
        assert_eq!(after(5).wait(1015), None);
    }
}
