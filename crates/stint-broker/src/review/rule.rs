//! Whether a review counts. Pure, but for the signature in it.

use stint_grant::dsse::Verified;
use stint_grant::review::{self, SignedReview, VerifiedReview};
use stint_grant::roster::Roster;
use stint_grant::terms::CheckedTerms;

use crate::error::{Outcome, Problem};

/// Verifies a review by `signed_in` of a request with these terms.
pub fn check(
    signed: &SignedReview,
    roster: &Verified<Roster>,
    terms: &CheckedTerms,
    signed_in: &str,
) -> Outcome<VerifiedReview> {
    if terms.principal.as_str() == signed_in {
        return Err(Problem::denied("nobody reviews their own request", "ask another reviewer"));
    }
    let review = review::verify(signed, roster).map_err(|e| {
        Problem::bad_input(e.to_string(), "sign with `stint request review`, by a key that the roster names")
    })?;
    if review.reviewer.as_str() != signed_in {
        return Err(Problem::denied(
            format!("the review is by {}, but {signed_in} is signed in", review.reviewer),
            "each reviewer hands in their own review",
        ));
    }
    if review.request != terms.request || review.terms != *terms.digest() {
        return Err(Problem::bad_input(
            "the review is of another request, or of other terms than this request has",
            "read the request anew, and sign what it says",
        ));
    }
    Ok(review)
}
