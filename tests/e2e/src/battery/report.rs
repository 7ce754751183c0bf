//! What really held.

use super::case::{Case, Claim, Expected};
use super::round::Round;

/// One claim, tried.
#[derive(Debug, Clone)]
pub struct Row {
    /// The case.
    pub case: &'static Case,
    /// The round.
    pub round: &'static Round,
    /// The claim.
    pub claim: &'static Claim,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// It holds; where it is a matter of time, so many seconds after the end.
    Held(Option<f64>),
    /// It does not, and what one sees instead.
    Not(String),
    /// It could not be found out: the technique itself did not work, or a step before it.
    Broken(String),
    /// It was not tried.
    Untried,
}

/// What that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Holds,
    /// As it is known to be, and must not stay.
    NotYet,
    /// The lab cannot try it.
    Cannot,
    /// It must hold and does not.
    Fails,
    /// It holds, and the table says that it does not.
    Unexpected,
    /// It was not tried as it should have been.
    Broken,
}

impl Row {
    /// What was found, against what is expected.
    pub fn verdict(&self) -> Verdict {
        match (&self.claim.expected, &self.found) {
            (Expected::Cannot(_), Found::Untried) => Verdict::Cannot,
            (_, Found::Broken(_) | Found::Untried) | (Expected::Cannot(_), _) => Verdict::Broken,
            (Expected::Holds, Found::Held(_)) => Verdict::Holds,
            (Expected::Holds, Found::Not(_)) => Verdict::Fails,
            (Expected::NotYet(_), Found::Held(_)) => Verdict::Unexpected,
            (Expected::NotYet(_), Found::Not(_)) => Verdict::NotYet,
        }
    }
}

impl Verdict {
    /// Whether the battery may end well with it.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Holds | Self::NotYet | Self::Cannot)
    }

    /// The word of the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::NotYet => "not yet",
            Self::Cannot => "not tried",
            Self::Fails => "FAILS",
            Self::Unexpected => "HOLDS NOW",
            Self::Broken => "BROKEN",
        }
    }
}

/// All rows of what was run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One for each claim.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether every row is as it must be.
    pub fn is_good(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.verdict().is_good())
    }

    /// How many rows have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict() == verdict).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::{Answer, Claim, Expected};
    use super::super::{FAMILIES, Found, Row, Verdict};

    const HOLDS: Claim = Claim::killed("sleep 1");
    const NOT_YET: Claim = Claim::killed("sleep 1").not_yet("some reason");
    const CANNOT: Claim = Claim::cannot(Answer::Killed, "some reason");

    fn verdict(claim: &'static Claim, found: Found) -> Verdict {
        let round = &FAMILIES[0].rounds[0];
        Row { case: &round.cases[0], round, claim, found }.verdict()
    }

    #[test]
    fn what_holds_unexpectedly_is_no_success() {
        let held = || Found::Held(None);
        assert_eq!(verdict(&HOLDS, held()), Verdict::Holds);
        assert_eq!(verdict(&NOT_YET, held()), Verdict::Unexpected);
        assert!(!Verdict::Unexpected.is_good());
    }

    #[test]
    fn what_was_not_tried_as_it_should_have_been_is_no_success() {
        for claim in [&HOLDS, &NOT_YET, &CANNOT] {
            assert!(!verdict(claim, Found::Broken("no ssh".into())).is_good());
        }
        assert!(!verdict(&HOLDS, Found::Untried).is_good());
        assert!(matches!(CANNOT.expected, Expected::Cannot(_)));
        assert_eq!(verdict(&CANNOT, Found::Untried), Verdict::Cannot);
    }

    #[test]
    fn what_does_not_hold_fails_unless_it_is_known() {
        let not = || Found::Not("it runs".into());
        assert_eq!(verdict(&HOLDS, not()), Verdict::Fails);
        assert_eq!(verdict(&NOT_YET, not()), Verdict::NotYet);
    }
}
