//! A request's states. Pure.

use stint_grant::review::ReviewDecision;
use stint_grant::time::UnixTime;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for reviews.
    Pending,
    /// Enough reviewers said yes: there is a grant.
    Approved,
    /// A reviewer said no.
    Denied,
    /// The requester took it back.
    Cancelled,
    /// Nobody decided in time.
    Expired,
}

impl State {
    const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Denied, Self::Cancelled, Self::Expired];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
    /// The state of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }
}

/// The request is not pending any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled(pub State);

/// What decides over a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Where it stands.
    pub state: State,
    /// By when it must be decided and claimed.
    pub claim_by: UnixTime,
    /// Approvals by different reviewers so far.
    pub approvals: u32,
    /// How many it takes.
    pub needed: u32,
}

impl Facts {
    /// The state now, time passed included.
    pub fn at(&self, now: UnixTime) -> State {
        if self.state == State::Pending && now > self.claim_by { State::Expired } else { self.state }
    }
    fn pending(&self, now: UnixTime) -> Result<(), Settled> {
        match self.at(now) {
            State::Pending => Ok(()),
            settled => Err(Settled(settled)),
        }
    }
    /// After one more review, which `approvals` does not count yet.
    pub fn reviewed(&self, decision: ReviewDecision, now: UnixTime) -> Result<State, Settled> {
        self.pending(now)?;
        Ok(match decision {
            ReviewDecision::Deny => State::Denied,
            ReviewDecision::Approve if self.approvals.saturating_add(1) >= self.needed => State::Approved,
            ReviewDecision::Approve => State::Pending,
        })
    }
    /// Right after it was made: what needs no review is approved at once.
    pub fn made(&self) -> State {
        if self.needed == 0 { State::Approved } else { State::Pending }
    }
    /// After the requester took it back.
    pub fn cancelled(&self, now: UnixTime) -> Result<State, Settled> {
        self.pending(now).map(|()| State::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const END: UnixTime = UnixTime(100);

    fn pending(approvals: u32, needed: u32) -> Facts {
        Facts { state: State::Pending, claim_by: END, approvals, needed }
    }

    #[test]
    fn it_takes_as_many_approvals_as_are_needed() {
        assert_eq!(pending(0, 2).reviewed(ReviewDecision::Approve, UnixTime(1)), Ok(State::Pending));
        assert_eq!(pending(1, 2).reviewed(ReviewDecision::Approve, UnixTime(1)), Ok(State::Approved));
    }

    #[test]
    fn one_denial_settles_it() {
        assert_eq!(pending(1, 2).reviewed(ReviewDecision::Deny, UnixTime(1)), Ok(State::Denied));
    }

    #[test]
    fn after_its_time_nothing_moves_it() {
        let late = UnixTime(101);
        assert_eq!(pending(0, 1).at(late), State::Expired);
        assert_eq!(pending(0, 1).reviewed(ReviewDecision::Approve, late), Err(Settled(State::Expired)));
        assert_eq!(pending(0, 1).cancelled(late), Err(Settled(State::Expired)));
    }

    proptest! {
        #[test]
        fn what_is_settled_stays_settled(which in 1_usize..5, now in 0_i64..200, deny: bool) {
            let state = State::ALL[which];
            let facts = Facts { state, claim_by: END, approvals: 0, needed: 1 };
            let decision = if deny { ReviewDecision::Deny } else { ReviewDecision::Approve };
            prop_assert_eq!(facts.reviewed(decision, UnixTime(now)), Err(Settled(state)));
            prop_assert_eq!(facts.cancelled(UnixTime(now)), Err(Settled(state)));
            prop_assert_eq!(facts.at(UnixTime(now)), state);
        }

        #[test]
        fn nothing_is_approved_with_fewer_approvals_than_needed(needed in 1_u32..6, votes in proptest::collection::vec(any::<bool>(), 0..8)) {
            let mut facts = pending(0, needed);
            let mut yes = 0;
            for approve in votes {
                let decision = if approve { ReviewDecision::Approve } else { ReviewDecision::Deny };
                if let Ok(state) = facts.reviewed(decision, UnixTime(1)) {
                    yes += u32::from(approve);
                    facts.state = state;
                    facts.approvals = yes;
                }
            }
            prop_assert_eq!(facts.state == State::Approved, yes >= needed);
        }
    }
}
