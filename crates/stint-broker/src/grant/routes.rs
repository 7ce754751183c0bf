//! Reading, activating, ending, revoking and extending grants.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use stint_api::grants::{Extend, GrantView, Revoke};
use stint_grant::time::{Seconds, UnixTime};
use utoipa::IntoParams;

use crate::bundle::size::refuse_too_large;
use crate::error::{Outcome, Problem};
use crate::grant::state::{Grant, Refusal, State as GrantState};
use crate::grant::{effect, store};
use crate::identity::{Caller, Role};
use crate::lock;
use crate::request;
use crate::review;
use crate::server::{App, Asked, Body, plain_line, wait};
use crate::store::Change;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/grants", get(list))
        .route("/v1/grants/{id}", get(show))
        .route("/v1/grants/{id}/activate", post(activate))
        .route("/v1/grants/{id}/end", post(end))
        .route("/v1/grants/{id}/revoke", post(revoke))
        .route("/v1/grants/{id}/extend", post(extend))
}

/// Who sees the grants of others.
const READERS: [Role; 4] = [Role::Reviewer, Role::Security, Role::Administrator, Role::Auditor];

#[derive(Deserialize, IntoParams)]
pub(crate) struct Filter {
    /// Only those in this state.
    state: Option<String>,
    /// Everybody's, not only the caller's.
    #[serde(default)]
    all: bool,
}

/// Grants, newest first.
#[utoipa::path(get, path = "/v1/grants", params(Filter), responses((status = 200, body = Vec<GrantView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Asked(filter): Asked<Filter>,
) -> Outcome<Json<Vec<GrantView>>> {
    if let Some(state) = filter.state.as_deref().filter(|s| GrantState::from_word(s).is_none()) {
        return Err(Problem::bad_input(
            format!("{state:?} is not a state of grants"),
            "use claimable, active, expired, ended, revoked or lapsed",
        ));
    }
    if filter.all {
        caller.need(&READERS, "see everybody's grants")?;
    }
    let of = (!filter.all).then_some(caller.name.as_str());
    let now = app.clock.now().unix();
    Ok(Json(store::list(&mut *app.db.read().await?, filter.state.as_deref(), of, now).await?))
}

/// A grant. With `wait_version=N` the answer comes when its version is above N, or after 25 s.
#[utoipa::path(get, path = "/v1/grants/{id}", params(wait::Waiting), responses((status = 200, body = GrantView)))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(waiting): Asked<wait::Waiting>,
) -> Outcome<Json<GrantView>> {
    let load = || async {
        let view = store::show(&mut *app.db.read().await?, &id, app.clock.now().unix()).await?;
        if view.principal != caller.name && !caller.is_any(&READERS) {
            return Err(Problem::not_found(format!("you have no grant {id}"), "see `stint grant ls`"));
        }
        Ok(view)
    };
    Ok(Json(wait::newer(&app, &caller.name, waiting, load, |view| view.version).await?))
}

fn in_words(refusal: Refusal) -> Problem {
    let next = match refusal {
        Refusal::Over(_) => "make a new request: `stint request create`",
        Refusal::TooEarly(_) => "wait until then",
        Refusal::Running => "use it: it need not be activated again",
        Refusal::NotRunning => "activate it first: `stint grant activate`",
        Refusal::TooMuch(Seconds(0)) => "make a new request: this one cannot be extended any further",
        Refusal::TooMuch(_) => "extend by less",
    };
    Problem::conflict(refusal.to_string(), next)
}

pub(crate) fn refuse_other_holder(caller: &Caller, row: &store::Row, verb: &str) -> Outcome<()> {
    if row.principal == caller.name {
        return Ok(());
    }
    Err(Problem::denied(
        format!("grant {} is not yours to {verb}", row.id),
        "its holder can; the security role can revoke it",
    ))
}

/// When the window of an active grant ends; refused if it is not active.
pub(crate) fn end_of_active(grant: &Grant, now: UnixTime) -> Outcome<UnixTime> {
    let grant = grant.at(now);
    match (grant.state, grant.until) {
        (GrantState::Active, Some(until)) => Ok(until),
        (GrantState::Claimable, _) => Err(in_words(Refusal::NotRunning)),
        (over, _) => Err(in_words(Refusal::Over(over))),
    }
}

/// Keeps the grant's new state, tells its hosts, writes the event and answers.
async fn settle(
    mut change: Change,
    caller: &Caller,
    row: &store::Row,
    grant: &Grant,
    (kind, why, detail): (&str, Option<&str>, Value),
) -> Outcome<Json<GrantView>> {
    let by = (!grant.state.is_live()).then_some(caller.name.as_str());
    store::set(change.conn(), &row.id, grant, by, why).await?;
    if grant.from.is_some() {
        let hosts = store::hosts(change.conn(), &row.id).await?;
        let now = change.now;
        effect::begin(change.conn(), "grant", &row.id, &hosts, now).await?;
    }
    change.record(&caller.name, kind, &row.id, detail).await?;
    let now = change.now.unix();
    let view = store::show(change.conn(), &row.id, now).await?;
    change.commit().await?;
    Ok(Json(view))
}

/// Begins the window.
#[utoipa::path(post, path = "/v1/grants/{id}/activate", responses((status = 200, body = GrantView)))]
pub(crate) async fn activate(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<Json<GrantView>> {
    let mut change = caller.change(&app).await?;
    let row = store::get(change.conn(), &id).await?;
    refuse_other_holder(&caller, &row, "activate")?;
    let now = change.now;
    let grant = row.grant()?.activate(now.unix()).map_err(in_words)?;
    lock::refuse_locked_grant(change.conn(), &id, now).await?;
    let hosts = store::hosts(change.conn(), &id).await?;
    for host in &hosts {
        lock::refuse_locked_host(change.conn(), host, now).await?;
    }
    let request = request::store::get(change.conn(), &id).await?;
    refuse_too_large(&mut change, &row.account, &hosts, &request.terms).await?;
    let detail = json!({ "from": grant.from, "until": grant.until });
    settle(change, &caller, &row, &grant, ("grant.activated", None, detail)).await
}

/// Gives a grant back early.
#[utoipa::path(post, path = "/v1/grants/{id}/end", responses((status = 200, body = GrantView)))]
pub(crate) async fn end(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<Json<GrantView>> {
    let mut change = caller.change(&app).await?;
    let row = store::get(change.conn(), &id).await?;
    refuse_other_holder(&caller, &row, "end")?;
    let grant = row.grant()?.finish(GrantState::Ended, change.now.unix()).map_err(in_words)?;
    settle(change, &caller, &row, &grant, ("grant.ended", None, json!({}))).await
}

/// Takes a grant back: by security, an administrator, or a reviewer who approved it.
#[utoipa::path(post, path = "/v1/grants/{id}/revoke", request_body = Revoke, responses((status = 200, body = GrantView)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(asked): Body<Revoke>,
) -> Outcome<Json<GrantView>> {
    let why = plain_line("reason", &asked.reason)?;
    let mut change = caller.change(&app).await?;
    let row = store::get(change.conn(), &id).await?;
    if !review::store::approved_by(change.conn(), &id, &caller.name).await? {
        caller.need(&[Role::Security, Role::Administrator], "revoke a grant that they did not approve")?;
    }
    let grant = row.grant()?.finish(GrantState::Revoked, change.now.unix()).map_err(in_words)?;
    settle(change, &caller, &row, &grant, ("grant.revoked", Some(why), json!({ "reason": why }))).await
}

/// Lengthens the window, within what the terms allow.
#[utoipa::path(post, path = "/v1/grants/{id}/extend", request_body = Extend, responses((status = 200, body = GrantView)))]
pub(crate) async fn extend(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(asked): Body<Extend>,
) -> Outcome<Json<GrantView>> {
    let mut change = caller.change(&app).await?;
    let row = store::get(change.conn(), &id).await?;
    refuse_other_holder(&caller, &row, "extend")?;
    let now = change.now;
    lock::refuse_locked_grant(change.conn(), &id, now).await?;
    for host in store::hosts(change.conn(), &id).await? {
        lock::refuse_locked_host(change.conn(), &host, now).await?;
    }
    let grant = row.grant()?.extend(Seconds(asked.by), now.unix()).map_err(in_words)?;
    let detail = json!({ "by": asked.by, "until": grant.until });
    settle(change, &caller, &row, &grant, ("grant.extended", None, detail)).await
}
