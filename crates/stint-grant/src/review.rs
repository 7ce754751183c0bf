//! Reviews: SSHSIG signatures by the reviewers' own keys over a statement that names the digest of the terms.
//!
//! Anybody can check one with `ssh-keygen -Y verify -n stint-review`.

use serde::Serialize;
use ssh_key::{HashAlg, PrivateKey, PublicKey, SshSig};

use crate::dsse::Verified;
use crate::ids::{FleetName, GrantId, Principal, Sha256Hex};
use crate::roster::Roster;
use crate::strict::{self, document};
use crate::time::UnixTime;

/// The SSHSIG namespace: a signature made for anything else is no review.
pub const NAMESPACE: &str = "stint-review";

document! {
    /// What a reviewer says, as the text that is signed.
    pub struct Statement {
        /// The document's format.
        pub format: u32,
        /// The fleet.
        pub fleet: FleetName,
        /// The request.
        pub request: GrantId,
        /// The digest of the terms that the reviewer's own client showed.
        pub terms: Sha256Hex,
        /// Yes or no.
        pub decision: ReviewDecision,
        /// Who says so.
        pub reviewer: Principal,
        /// When, by the reviewer's clock.
        pub reviewed_at: UnixTime,
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewDecision {
    /// Yes.
    Approve,
    /// No.
    Deny,
}
strict::word!(ReviewDecision { Approve = "approve", Deny = "deny" });

document! {
    /// A statement and its signature, as they travel.
    pub struct SignedReview {
        /// The text of the [`Statement`].
        pub statement: String,
        /// The SSHSIG in its armour (`-----BEGIN SSH SIGNATURE-----`).
        pub signature: String,
    }
}

/// Why a review does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The statement is not one.
    #[error("review: the statement is malformed: {0}")]
    Statement(String),
    /// The signature is not an SSHSIG.
    #[error("review: not an SSH signature: {0}")]
    Signature(String),
    /// The reviewer is not in the roster.
    #[error("review: {0} is not a reviewer in the roster")]
    NotAReviewer(Principal),
    /// No key of the reviewer's made this signature.
    #[error("review: no key of {0} in the roster made this signature")]
    NotTheirs(Principal),
}

impl Statement {
    /// The format that is written.
    pub const FORMAT: u32 = 1;

    /// The one text of this statement.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a statement is plain data")
    }
}

/// A statement whose signature was verified against the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReview(Statement);

impl std::ops::Deref for VerifiedReview {
    type Target = Statement;
    fn deref(&self) -> &Statement {
        &self.0
    }
}

/// Signs a statement with an SSH key.
pub fn sign(statement: &Statement, key: &PrivateKey) -> Result<SignedReview, ReviewError> {
    let text = statement.to_text();
    let failed = |e: ssh_key::Error| ReviewError::Signature(e.to_string());
    let signature = key.sign(NAMESPACE, HashAlg::Sha512, text.as_bytes()).map_err(failed)?;
    let signature = signature.to_pem(ssh_key::LineEnding::LF).map_err(failed)?;
    Ok(SignedReview { statement: text, signature })
}

/// Reads what a review says, unverified.
pub fn peek(review: &SignedReview) -> Result<Statement, ReviewError> {
    let statement: Statement =
        serde_json::from_str(&review.statement).map_err(|e| ReviewError::Statement(e.to_string()))?;
    if statement.format != Statement::FORMAT {
        return Err(ReviewError::Statement(format!("format {} is not known here", statement.format)));
    }
    Ok(statement)
}

/// Verifies a review against the roster.
pub fn verify(review: &SignedReview, roster: &Verified<Roster>) -> Result<VerifiedReview, ReviewError> {
    let statement = peek(review)?;
    let signature: SshSig =
        review.signature.parse().map_err(|e: ssh_key::Error| ReviewError::Signature(e.to_string()))?;
    let reviewer = roster
        .reviewers
        .iter()
        .find(|r| r.name == statement.reviewer)
        .ok_or_else(|| ReviewError::NotAReviewer(statement.reviewer.clone()))?;
    let theirs = reviewer.keys.iter().filter_map(|line| PublicKey::from_openssh(line).ok()).any(|key| {
        key.key_data().is_ed25519() && key.verify(NAMESPACE, review.statement.as_bytes(), &signature).is_ok()
    });
    if statement.fleet != roster.fleet || !theirs {
        return Err(ReviewError::NotTheirs(statement.reviewer.clone()));
    }
    Ok(VerifiedReview(statement))
}
