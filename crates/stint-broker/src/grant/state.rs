//! A grant's states. Pure.

use stint_grant::time::{Seconds, UnixTime};

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Approved, its window not begun.
    Claimable,
    /// In its window.
    Active,
    /// Its window was over.
    Expired,
    /// Its holder gave it back.
    Ended,
    /// Somebody else took it back.
    Revoked,
    /// Nobody activated it in time.
    Lapsed,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Claimable, Self::Active, Self::Expired, Self::Ended, Self::Revoked, Self::Lapsed];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Claimable => "claimable",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Ended => "ended",
            Self::Revoked => "revoked",
            Self::Lapsed => "lapsed",
        }
    }
    /// The state of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }
    /// Whether something may still come of it.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Claimable | Self::Active)
    }
}

/// All that its rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where it stands.
    pub state: State,
    /// The window may not begin before.
    pub not_before: UnixTime,
    /// The window must begin by then.
    pub claim_by: UnixTime,
    /// How long the window is.
    pub window: Seconds,
    /// Whether it waits on its host for a break-glass code, as long as it may be claimed.
    pub sealed: bool,
    /// How much can be added yet.
    pub extension_left: Seconds,
    /// When the window began.
    pub from: Option<UnixTime>,
    /// When it ends.
    pub until: Option<UnixTime>,
    /// When it was over.
    pub ended_at: Option<UnixTime>,
}

/// Why a grant does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error("the grant is {} already", .0.word())]
    Over(State),
    /// Too early.
    #[error("the window may not begin before {0}")]
    TooEarly(UnixTime),
    /// It runs already.
    #[error("the grant is active already")]
    Running,
    /// It does not run yet.
    #[error("the grant is not active yet")]
    NotRunning,
    /// More than the terms allow.
    #[error("it can be extended by {0} at most")]
    TooMuch(Seconds),
}

impl Grant {
    /// The same grant after time passed.
    #[must_use]
    pub fn at(self, now: UnixTime) -> Self {
        match (self.state, self.until) {
            (State::Claimable, _) if now > self.claim_by => {
                Self { state: State::Lapsed, ended_at: Some(self.claim_by), ..self }
            }
            (State::Active, Some(until)) if now >= until => {
                Self { state: State::Expired, ended_at: Some(until), ..self }
            }
            _ => self,
        }
    }
    /// Begins the window.
    pub fn activate(self, now: UnixTime) -> Result<Self, Refusal> {
        let it = self.at(now);
        match it.state {
            State::Active => Err(Refusal::Running),
            State::Claimable if now < it.not_before => Err(Refusal::TooEarly(it.not_before)),
            State::Claimable if it.sealed && now >= it.claim_by => Err(Refusal::Over(State::Lapsed)),
            State::Claimable => {
                let until = if it.sealed { it.claim_by } else { now.plus(it.window) };
                Ok(Self { state: State::Active, from: Some(now), until: Some(until), ..it })
            }
            over => Err(Refusal::Over(over)),
        }
    }
    /// Lengthens the window.
    pub fn extend(self, by: Seconds, now: UnixTime) -> Result<Self, Refusal> {
        let it = self.at(now);
        match (it.state, it.until) {
            (State::Active, Some(_)) if by.0 == 0 || by > it.extension_left => {
                Err(Refusal::TooMuch(it.extension_left))
            }
            (State::Active, Some(until)) => {
                let left = Seconds(it.extension_left.0 - by.0);
                Ok(Self { until: Some(until.plus(by)), extension_left: left, ..it })
            }
            (State::Claimable, _) => Err(Refusal::NotRunning),
            (over, _) => Err(Refusal::Over(over)),
        }
    }
    /// Given back by its holder ([`State::Ended`]) or taken back by another ([`State::Revoked`]).
    pub fn finish(self, how: State, now: UnixTime) -> Result<Self, Refusal> {
        let it = self.at(now);
        if it.state.is_live() {
            Ok(Self { state: how, ended_at: Some(now), ..it })
        } else {
            Err(Refusal::Over(it.state))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claimable() -> Grant {
        Grant {
            state: State::Claimable,
            not_before: UnixTime(100),
            claim_by: UnixTime(200),
            window: Seconds(50),
            sealed: false,
            extension_left: Seconds(30),
            from: None,
            until: None,
            ended_at: None,
        }
    }

    #[test]
    fn the_window_begins_with_the_activation_and_ends_by_itself() {
        let active = claimable().activate(UnixTime(150)).unwrap();
        assert_eq!((active.from, active.until), (Some(UnixTime(150)), Some(UnixTime(200))));
        assert_eq!(active.at(UnixTime(199)).state, State::Active);
        assert_eq!(active.at(UnixTime(200)).state, State::Expired);
    }

    #[test]
    fn it_is_neither_activated_too_early_nor_too_late_nor_twice() {
        assert_eq!(claimable().activate(UnixTime(99)), Err(Refusal::TooEarly(UnixTime(100))));
        assert!(claimable().activate(UnixTime(200)).is_ok());
        assert_eq!(claimable().activate(UnixTime(201)), Err(Refusal::Over(State::Lapsed)));
        let active = claimable().activate(UnixTime(150)).unwrap();
        assert_eq!(active.activate(UnixTime(151)), Err(Refusal::Running));
    }

    #[test]
    fn extensions_add_up_to_what_the_terms_allow() {
        let active = claimable().activate(UnixTime(150)).unwrap();
        let longer = active.extend(Seconds(20), UnixTime(160)).unwrap();
        assert_eq!((longer.until, longer.extension_left), (Some(UnixTime(220)), Seconds(10)));
        assert_eq!(longer.extend(Seconds(11), UnixTime(160)), Err(Refusal::TooMuch(Seconds(10))));
        assert_eq!(active.extend(Seconds(0), UnixTime(160)), Err(Refusal::TooMuch(Seconds(30))));
        assert_eq!(active.extend(Seconds(1), UnixTime(200)), Err(Refusal::Over(State::Expired)));
        assert_eq!(claimable().extend(Seconds(1), UnixTime(150)), Err(Refusal::NotRunning));
    }

    #[test]
    fn a_sealed_grant_stands_on_its_host_as_long_as_its_codes_are_good() {
        let sealed = Grant { sealed: true, ..claimable() };
        let active = sealed.activate(UnixTime(150)).unwrap();
        assert_eq!((active.from, active.until), (Some(UnixTime(150)), Some(UnixTime(200))));
        assert_eq!(sealed.activate(UnixTime(200)), Err(Refusal::Over(State::Lapsed)));
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Activate,
        Extend(u64),
        End,
        Revoke,
        Pass,
    }

    fn act() -> impl Strategy<Value = (Act, i64)> {
        let kind = prop_oneof![
            Just(Act::Activate),
            (0_u64..40).prop_map(Act::Extend),
            Just(Act::End),
            Just(Act::Revoke),
            Just(Act::Pass),
        ];
        (kind, 0_i64..40)
    }

    proptest! {
        #[test]
        fn whatever_happens_the_window_stays_within_the_terms_and_an_end_is_an_end(acts in proptest::collection::vec(act(), 0..20)) {
            let first = claimable();
            let (mut grant, mut now) = (first, UnixTime(90));
            for (act, passes) in acts {
                now = now.plus(Seconds(passes.unsigned_abs()));
                let before = grant.at(now);
                let next = match act {
                    Act::Activate => grant.activate(now),
                    Act::Extend(by) => grant.extend(Seconds(by), now),
                    Act::End => grant.finish(State::Ended, now),
                    Act::Revoke => grant.finish(State::Revoked, now),
                    Act::Pass => Ok(before),
                };
                if !before.state.is_live() && !matches!(act, Act::Pass) {
                    prop_assert_eq!(next, Err(Refusal::Over(before.state)));
                }
                grant = next.unwrap_or(before);
                if let (Some(from), Some(until)) = (grant.from, grant.until) {
                    prop_assert!(from >= first.not_before && from <= first.claim_by);
                    prop_assert!(until.since(from) <= Seconds(first.window.0 + first.extension_left.0));
                    prop_assert_eq!(until.since(from).0 + grant.extension_left.0, first.window.0 + first.extension_left.0);
                }
                prop_assert!(grant.state != State::Active || grant.until.is_some_and(|u| now < u));
                prop_assert_eq!(grant.state.is_live(), grant.ended_at.is_none());
            }
        }
    }
}
