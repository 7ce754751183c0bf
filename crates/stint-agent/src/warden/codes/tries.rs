//! How long somebody waits who typed wrong codes. Pure.
//!
//! Every attempt counts until it has proved right, so that nothing which stops the warden gives one back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stint_grant::ids::UserName;
use stint_grant::time::{Seconds, UnixTime};

/// The wait after the first attempt that is not free. Each further one doubles it.
const FIRST_WAIT: Seconds = Seconds(30);
/// An attempt so long ago counts no more.
const FORGOTTEN_AFTER: Seconds = Seconds(24 * 3600);

/// What is free, and the longest wait.
#[derive(Clone, Copy)]
struct Rule {
    free: u32,
    longest: Seconds,
}
/// People mistype a long code.
const ACCOUNT: Rule = Rule { free: 3, longest: Seconds(3600) };
/// All accounts together. Short: one account must not keep the others out for long.
const HOST: Rule = Rule { free: 30, longest: Seconds(60) };

/// Attempts that have not proved right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tries {
    host: Count,
    accounts: BTreeMap<UserName, Count>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    wrong: u32,
    last: UnixTime,
}

impl Default for Count {
    fn default() -> Self {
        Self { wrong: 0, last: UnixTime(0) }
    }
}

impl Count {
    fn wait(&self, rule: Rule, now: UnixTime) -> Seconds {
        let Some(beyond) = self.wrong.checked_sub(rule.free) else { return Seconds(0) };
        let doubled = FIRST_WAIT.0.saturating_mul(1_u64.checked_shl(beyond).unwrap_or(u64::MAX));
        Seconds(doubled.min(rule.longest.0).saturating_sub(now.since(self.last).0))
    }
    /// A clock that went back makes somebody wait anew, from now on, and not until it has caught up.
    fn at(&mut self, now: UnixTime) {
        self.last = self.last.min(now);
        if now.since(self.last) > FORGOTTEN_AFTER {
            self.wrong = 0;
        }
    }
    fn add(&mut self, now: UnixTime) {
        *self = Self { wrong: self.wrong.saturating_add(1), last: now };
    }
}

impl Tries {
    /// How long an account has to wait yet.
    pub(super) fn wait(&mut self, user: &UserName, now: UnixTime) -> Seconds {
        self.host.at(now);
        self.accounts.retain(|_, count| {
            count.at(now);
            count.wrong > 0
        });
        let account = self.accounts.get(user).map_or(Seconds(0), |count| count.wait(ACCOUNT, now));
        account.max(self.host.wait(HOST, now))
    }
    /// One more attempt.
    pub(super) fn count(&mut self, user: &UserName, now: UnixTime) {
        self.host.add(now);
        self.accounts.entry(user.clone()).or_default().add(now);
    }
    /// The last attempt of an account was right.
    pub(super) fn forgive(&mut self, user: &UserName) {
        self.accounts.remove(user);
        self.host.wrong = self.host.wrong.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    #[test]
    fn the_wait_doubles_with_each_wrong_code_up_to_an_hour() {
        let (mut tries, alice, now) = (Tries::default(), user("alice"), UnixTime(1_000_000));
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.push(tries.wait(&alice, now).0);
            tries.count(&alice, now);
        }
        assert_eq!(waits, [0, 0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(tries.wait(&alice, now.plus(Seconds(3599))), Seconds(1));
        assert_eq!(tries.wait(&alice, now.plus(Seconds(3600))), Seconds(0));
        assert_eq!(tries.wait(&user("bob"), now), Seconds(0));
    }

    #[test]
    fn a_clock_that_is_set_back_shortens_no_wait_and_makes_none_endless() {
        let (mut tries, alice, now) = (Tries::default(), user("alice"), UnixTime(1_000_000));
        (0..5).for_each(|_| tries.count(&alice, now));
        let before = UnixTime(10);
        assert_eq!(tries.wait(&alice, before), Seconds(120));
        assert_eq!(tries.wait(&alice, before.plus(Seconds(119))), Seconds(1));
        assert_eq!(tries.wait(&alice, before.plus(Seconds(120))), Seconds(0));
    }

    #[test]
    fn many_accounts_together_wait_a_minute_at_the_most() {
        let (mut tries, now) = (Tries::default(), UnixTime(1_000_000));
        (0..50).for_each(|n| tries.count(&user(&format!("user{n}")), now));
        assert_eq!(tries.wait(&user("alice"), now), Seconds(60));
    }

    #[test]
    fn a_right_code_and_a_day_without_attempts_clear_the_count() {
        let (mut tries, alice, now) = (Tries::default(), user("alice"), UnixTime(1_000_000));
        (0..4).for_each(|_| tries.count(&alice, now));
        let mut right = tries.clone();
        right.forgive(&alice);
        assert_eq!(right.wait(&alice, now), Seconds(0));
        let later = now.plus(Seconds(24 * 3600 + 1));
        tries.wait(&alice, later);
        tries.count(&alice, later);
        assert_eq!(tries.wait(&alice, later), Seconds(0));
    }
}
