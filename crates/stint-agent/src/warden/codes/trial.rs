//! An attempt with a code, between what was typed and whether it fits. The hashing is done away from the loop, one at a time.

use stint_grant::codes::{CodePlace, CodeVerifier};
use stint_grant::ids::GrantId;
use stint_grant::register::UseCode;

/// An attempt that was counted and is on record already.
#[derive(Debug)]
pub(crate) struct Trial {
    /// What was typed, by whom.
    pub(crate) attempt: UseCode,
    /// Where it must fit.
    pub(crate) place: CodePlace,
    /// The sealed grants of the account that have a code of this id.
    pub(crate) candidates: Vec<(GrantId, CodeVerifier)>,
}

impl Trial {
    /// The grant that it opens, if the code is right. Slow on purpose: not for the loop's thread.
    pub(crate) fn grant(&self) -> Option<GrantId> {
        let fits = |verifier: &CodeVerifier| verifier.fits(&self.attempt.code, &self.place);
        self.candidates.iter().find(|(_, verifier)| fits(verifier)).map(|(grant, _)| grant.clone())
    }
}
