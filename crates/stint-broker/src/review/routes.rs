//! `POST /v1/requests/{id}/reviews`.

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use stint_api::requests::{NewReview, RequestView};
use stint_grant::ids::Sha256Hex;
use stint_grant::review::SignedReview;

use crate::error::{Outcome, Problem};
use crate::grant;
use crate::identity::{Caller, Role};
use crate::request::routes::settled;
use crate::request::state::State as RequestState;
use crate::request::store as requests;
use crate::review::{rule, store};
use crate::server::{App, Body};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/requests/{id}/reviews", post(review))
}

/// Hands in a signed review.
#[utoipa::path(post, path = "/v1/requests/{id}/reviews", request_body = NewReview, responses((status = 200, body = RequestView)))]
pub(crate) async fn review(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(new): Body<NewReview>,
) -> Outcome<Json<RequestView>> {
    caller.need(&[Role::Reviewer], "review")?;
    let comment = new.comment.as_deref().map(str::trim).filter(|c| !c.is_empty());
    if comment.is_some_and(|c| c.chars().count() > 500 || c.chars().any(char::is_control)) {
        return Err(Problem::bad_input(
            "the comment is not one line of at most 500 characters",
            "shorten it",
        ));
    }
    let mut change = caller.change(&app).await?;
    let now = change.now.unix();
    let request = requests::get(change.conn(), &id).await?;
    let terms = request.checked_terms()?;
    let signed = SignedReview { statement: new.statement, signature: new.signature };
    let roster = app.trust().roster(now)?;
    let review = rule::check(&signed, &roster, &terms, &caller.name)?;
    let facts = request.facts(store::approvals(change.conn(), &id).await?)?;
    let state = facts.reviewed(review.decision, now).map_err(settled)?;
    if !store::add(change.conn(), &id, &caller.name, review.decision, &signed, comment, now.0).await? {
        return Err(Problem::conflict(
            "you have reviewed this request already",
            "it waits for other reviewers",
        ));
    }
    requests::set_state(change.conn(), &id, state).await?;
    let detail = json!({
        "decision": store::word(review.decision), "terms": terms.digest(),
        "statement": Sha256Hex::of(signed.statement.as_bytes()), "signature": Sha256Hex::of(signed.signature.as_bytes()),
    });
    change.record(&caller.name, "request.reviewed", &id, detail).await?;
    match state {
        RequestState::Approved => {
            grant::store::add(change.conn(), &terms).await?;
            let reviews = store::approvals(change.conn(), &id).await?;
            change.record("broker", "request.approved", &id, json!({ "reviews": reviews })).await?;
        }
        RequestState::Denied => change.record(&caller.name, "request.denied", &id, json!({})).await?,
        _ => {}
    }
    let view = requests::show(change.conn(), &id, now).await?;
    change.commit().await?;
    Ok(Json(view))
}
