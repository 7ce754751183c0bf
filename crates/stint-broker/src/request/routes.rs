//! Making, reading and cancelling requests.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use stint_api::requests::{NewRequest, RequestView};
use stint_grant::ids::{EntitlementName, GrantId, Principal, UserName};
use utoipa::IntoParams;

use crate::bundle::size::refuse_too_large;
use crate::error::{Outcome, Problem};
use crate::grant;
use crate::host;
use crate::identity::{Caller, Role};
use crate::lock;
use crate::random;
use crate::request::make::{self, Asking};
use crate::request::state::{Settled, State as RequestState};
use crate::request::store;
use crate::server::{App, Asked, Body, wait};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/requests", get(list).post(create))
        .route("/v1/requests/{id}", get(show))
        .route("/v1/requests/{id}/cancel", post(cancel))
}

/// Who sees what others asked for.
const READERS: [Role; 4] = [Role::Reviewer, Role::Security, Role::Administrator, Role::Auditor];

/// Makes a request. What needs no review is approved at once.
#[utoipa::path(post, path = "/v1/requests", request_body = NewRequest, responses((status = 200, body = RequestView)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<NewRequest>,
) -> Outcome<Json<RequestView>> {
    let mut change = caller.change(&app).await?;
    // Read in its turn: a catalog that is taken out of force meanwhile judges what is open, and must see this.
    let catalog = app.catalog();
    let entitlement = EntitlementName::new(asked.entitlement.as_str())
        .ok()
        .and_then(|name| catalog.entitlements.get(&name))
        .filter(|e| e.requesters.include(&caller.name, &caller.roles))
        .ok_or_else(|| {
            Problem::not_found(
                format!("there is no entitlement {:?} that you may request", asked.entitlement),
                "see what there is: `stint entitlement ls`",
            )
        })?;
    let now = change.now;
    let asking = Asking {
        fleet: &app.config.fleet,
        id: GrantId::new(random::id())?,
        principal: Principal::new(caller.name.as_str())?,
        user: UserName::new(entitlement.account_of(&caller.account))?,
        entitlement,
        now: now.unix(),
    };
    let (text, terms) = make::terms(asking, &asked)?;
    for name in &terms.hosts {
        let found =
            host::store::find(change.conn(), name.as_str()).await?.filter(host::store::Host::is_enrolled);
        if !found.is_some_and(|h| entitlement.hosts.covers(&h.name, &h.labels())) {
            return Err(Problem::bad_input(
                format!("{} does not cover a host {name} of this fleet", entitlement.name),
                "see its hosts: `stint entitlement ls`",
            ));
        }
        lock::refuse_locked_host(change.conn(), name.as_str(), now).await?;
    }
    let hosts: Vec<String> = terms.hosts.iter().map(ToString::to_string).collect();
    refuse_too_large(&mut change, terms.user.as_str(), &hosts, &text).await?;
    let id = terms.request.to_string();
    store::add(change.conn(), &terms, &text, &catalog.version, entitlement.reviews, now.secs()).await?;
    let detail = json!({
        "entitlement": terms.entitlement, "hosts": hosts, "terms": terms.digest(), "reviews": entitlement.reviews,
        "catalog": catalog.version, "reason": terms.reason, "ticket": terms.ticket,
    });
    change.record(&caller.name, "request.created", &id, detail).await?;
    if store::get(change.conn(), &id).await?.facts(0)?.made() == RequestState::Approved {
        store::set_state(change.conn(), &id, RequestState::Approved).await?;
        grant::store::add(change.conn(), &terms).await?;
        change.record("broker", "request.approved", &id, json!({ "reviews": 0 })).await?;
    }
    let view = store::show(change.conn(), &id, now.unix()).await?;
    change.commit().await?;
    Ok(Json(view))
}

#[derive(Deserialize, IntoParams)]
pub(crate) struct Filter {
    /// Only those in this state.
    state: Option<String>,
    /// Everybody's, not only those that concern the caller.
    #[serde(default)]
    all: bool,
}

/// Requests, newest first: the caller's own, for a reviewer also all that wait; with `all`, everybody's.
#[utoipa::path(get, path = "/v1/requests", params(Filter), responses((status = 200, body = Vec<RequestView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Asked(filter): Asked<Filter>,
) -> Outcome<Json<Vec<RequestView>>> {
    if let Some(state) = filter.state.as_deref().filter(|s| RequestState::from_word(s).is_none()) {
        return Err(Problem::bad_input(
            format!("{state:?} is not a state of requests"),
            "use pending, approved, denied, cancelled or expired",
        ));
    }
    if filter.all {
        caller.need(&READERS, "see everybody's requests")?;
    }
    let wanted = store::Wanted {
        state: filter.state.as_deref(),
        of: (!filter.all).then_some(caller.name.as_str()),
        and_pending: caller.is(Role::Reviewer),
    };
    let now = app.clock.now().unix();
    Ok(Json(store::list(&mut *app.db.read().await?, &wanted, now).await?))
}

/// A request. With `wait_version=N` the answer comes when its version is above N, or after 25 s.
#[utoipa::path(get, path = "/v1/requests/{id}", params(wait::Waiting), responses((status = 200, body = RequestView)))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(waiting): Asked<wait::Waiting>,
) -> Outcome<Json<RequestView>> {
    let load = || async {
        let view = store::show(&mut *app.db.read().await?, &id, app.clock.now().unix()).await?;
        if view.principal != caller.name && !caller.is_any(&READERS) {
            return Err(Problem::not_found(format!("you have no request {id}"), "see `stint request ls`"));
        }
        Ok(view)
    };
    Ok(Json(wait::newer(&app, &caller.name, waiting, load, |view| view.version).await?))
}

/// Takes a request back before it is approved.
#[utoipa::path(post, path = "/v1/requests/{id}/cancel", responses((status = 200, body = RequestView)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<Json<RequestView>> {
    let mut change = caller.change(&app).await?;
    let now = change.now.unix();
    let request = store::get(change.conn(), &id).await?;
    if request.principal != caller.name {
        return Err(Problem::denied(
            format!("request {id} is not yours to cancel"),
            "its requester can cancel it; a reviewer can deny it",
        ));
    }
    let state = request.facts(0)?.cancelled(now).map_err(settled)?;
    store::set_state(change.conn(), &id, state).await?;
    change.record(&caller.name, "request.cancelled", &id, json!({})).await?;
    let view = store::show(change.conn(), &id, now).await?;
    change.commit().await?;
    Ok(Json(view))
}

/// In words.
pub(crate) fn settled(Settled(state): Settled) -> Problem {
    let next = match state {
        RequestState::Approved => "there is a grant: see `stint grant ls`",
        _ => "make a new request",
    };
    Problem::conflict(format!("the request is {} already", state.word()), next)
}
