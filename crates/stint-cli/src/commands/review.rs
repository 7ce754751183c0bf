//! Reviewing: read the terms here, show them, sign their digest.

use stint_api::requests::{NewReview, RequestView};
use stint_grant::dsse::Verified;
use stint_grant::ids::Principal;
use stint_grant::review::{self, ReviewDecision, SignedReview, Statement};
use stint_grant::roster::Roster;
use stint_grant::terms::CheckedTerms;
use stint_grant::time::UnixTime;

use crate::args::ReviewArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::session::{Session, now};
use crate::signer::{self, Signer};
use crate::{check, prompt, show, trust};

pub(super) async fn run(args: ReviewArgs, output: Output) -> Outcome {
    let session = Session::open().await?;
    let decision = if args.approve { ReviewDecision::Approve } else { ReviewDecision::Deny };
    let id = session.request_id(&args.id).await?;
    let request = session.client().request_by_id(&id).await?;
    let terms = check::read(&request)?;
    asked_for(&id, &terms)?;
    if request.state != "pending" {
        return Err(Failure::new(Exit::Refused, show::request::waiting(&request))
            .next("only a pending request can be reviewed"));
    }
    let roster = roster(&session, &terms).await?;

    let path = args.key.map_or_else(signer::default_key, Ok)?;
    output::note(&show::request::full(&request, &terms, now()));
    if !args.yes {
        let verb = if args.approve { "Approve" } else { "Deny" };
        prompt::confirm(&format!("{verb} this, signed with {}?", path.display()))?;
    }
    let signer = Signer::open(&path, args.passphrase_file.as_deref())?;
    let statement = statement(&terms, session.principal(), decision)?;
    let signed = signer.sign(&statement)?;
    if let Some(roster) = &roster {
        own_check(&signed, roster, &signer)?;
    }
    let review =
        NewReview { statement: signed.statement, signature: signed.signature, comment: args.comment };
    let request = session.client().review(&id, &review).await?;
    output::show(output, &request, after)
}

/// The broker hands out the very request that was named: with `--yes` nobody looks whether it is.
fn asked_for(id: &str, terms: &CheckedTerms) -> Outcome {
    if terms.request.as_str() == id {
        return Ok(());
    }
    Err(Failure::unverified(format!("request {id} was asked for, the broker handed out {}", terms.request))
        .next("sign nothing; tell an administrator of the broker"))
}

/// The roster, if a root is pinned: then the fleet of the terms is checked too.
async fn roster(session: &Session, terms: &CheckedTerms) -> Outcome<Option<Verified<Roster>>> {
    let Some(root) = session.pinned_root().await? else { return Ok(None) };
    if root.fleet != terms.fleet {
        return Err(Failure::unverified(format!(
            "the terms are for fleet {}, the pinned root is of fleet {}",
            terms.fleet, root.fleet
        )));
    }
    let document = session.client().roster().await?;
    trust::roster(&document.envelope, &root, UnixTime(now())).map(Some)
}

/// What is signed: the digest is of the text that was parsed and shown, never one that the broker sent.
fn statement(terms: &CheckedTerms, reviewer: &str, decision: ReviewDecision) -> Outcome<Statement> {
    Ok(Statement {
        format: Statement::FORMAT,
        fleet: terms.fleet.clone(),
        request: terms.request.clone(),
        terms: terms.digest().clone(),
        decision,
        reviewer: Principal::new(reviewer).map_err(Failure::unverified)?,
        reviewed_at: UnixTime(now()),
    })
}

/// A review that hosts would not count is better found here.
fn own_check(signed: &SignedReview, roster: &Verified<Roster>, signer: &Signer) -> Outcome {
    review::verify(signed, roster).map(drop).map_err(|e| {
        Failure::new(Exit::Denied, format!("{e} (key {})", signer.fingerprint())).next(
            "name a key that the roster has with --key (see `stint roster show`), or have yours added to it",
        )
    })
}

fn after(request: &RequestView) -> String {
    format!("{}\n", show::request::waiting(request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples;

    #[test]
    fn another_request_than_the_one_that_was_named_is_not_signed() {
        let view = samples::request();
        let terms = CheckedTerms::parse(&view.terms).unwrap();
        assert!(asked_for(&view.id, &terms).is_ok());
        assert_eq!(asked_for("zzzzzzzzzzzz", &terms).unwrap_err().exit, Exit::Unverified);
    }

    #[test]
    fn the_statement_names_the_digest_of_the_text_that_was_shown() {
        let view = samples::request();
        let terms = CheckedTerms::parse(&view.terms).unwrap();
        let statement = statement(&terms, "bob", ReviewDecision::Approve).unwrap();
        assert_eq!(statement.terms, stint_grant::terms::digest_of(&view.terms));
        assert_eq!(statement.request.as_str(), view.id);
        assert_eq!(statement.fleet.as_str(), "demo");
    }
}
