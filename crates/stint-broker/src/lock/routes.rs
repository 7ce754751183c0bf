//! Setting, listing and removing locks.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use stint_api::locks::{LockView, NewLock};

use crate::bundle::size::MOST_LOCKS;
use crate::error::{Outcome, Problem};
use crate::grant::{self, effect};
use crate::host;
use crate::identity::{self, Caller, Role, session};
use crate::lock::store;
use crate::random;
use crate::server::{App, Body, plain_line};
use crate::store::Conn;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/locks", get(list).post(add)).route("/v1/locks/{id}", get(show).delete(remove))
}

async fn view(conn: &mut Conn, lock: store::Row) -> Outcome<LockView> {
    Ok(LockView {
        effect: effect::of(conn, "lock", &lock.id).await?,
        id: lock.id,
        kind: lock.kind,
        target: lock.target,
        reason: lock.reason,
        by: lock.set_by,
        since: lock.since,
        until: lock.until_at,
    })
}

const LONGEST: u64 = 10 * 365 * 24 * 3600;

async fn check_target(conn: &mut Conn, lock: &NewLock, caller: &Caller) -> Outcome<()> {
    match lock.kind.as_str() {
        "principal" if lock.target == caller.name => Err(Problem::conflict(
            "you cannot lock yourself: nobody might be left to remove the lock",
            "let somebody else with the security role do it",
        )),
        "principal" => identity::store::get(conn, &lock.target).await.map(drop),
        "host" => host::store::get(conn, &lock.target).await.map(drop),
        "grant" => grant::store::get(conn, &lock.target).await.map(drop),
        other => Err(Problem::bad_input(
            format!("{other:?} is not what can be locked"),
            "use principal, host or grant",
        )),
    }
}

/// Sets a lock. It goes to all hosts that it concerns at once; a locked person is signed out.
#[utoipa::path(post, path = "/v1/locks", request_body = NewLock, responses((status = 200, body = LockView)))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewLock>,
) -> Outcome<Json<LockView>> {
    caller.need(&[Role::Security], "set locks")?;
    let reason = plain_line("reason", &new.reason)?.to_owned();
    if new.duration.is_some_and(|d| d == 0 || d > LONGEST) {
        return Err(Problem::bad_input(
            "the lock's duration is zero or absurd",
            "give a length, or none: until removed",
        ));
    }
    let mut change = caller.change(&app).await?;
    check_target(change.conn(), &new, &caller).await?;
    if store::count(change.conn()).await? >= MOST_LOCKS {
        return Err(Problem::conflict(
            format!("there are {MOST_LOCKS} locks already, and hosts take no more"),
            "remove locks that are not needed any more (`stint lock ls`); disable people who left instead",
        ));
    }
    let since = change.now.secs();
    let lock = store::Row {
        id: random::id(),
        kind: new.kind,
        target: new.target,
        reason,
        set_by: caller.name.clone(),
        since,
        until_at: new.duration.map(|d| since.saturating_add_unsigned(d)),
    };
    store::add(change.conn(), &lock).await?;
    if lock.kind == "principal" {
        session::close_all(change.conn(), &lock.target, None).await?;
    }
    let hosts = store::hosts(change.conn(), &lock).await?;
    let now = change.now;
    effect::begin(change.conn(), "lock", &lock.id, &hosts, now).await?;
    let detail =
        json!({ "kind": lock.kind, "target": lock.target, "reason": lock.reason, "until": lock.until_at });
    change.record(&caller.name, "lock.set", &lock.id, detail).await?;
    let view = view(change.conn(), lock).await?;
    change.commit().await?;
    Ok(Json(view))
}

/// All locks, oldest first.
#[utoipa::path(get, path = "/v1/locks", responses((status = 200, body = Vec<LockView>)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Outcome<Json<Vec<LockView>>> {
    caller.need(&[Role::Security, Role::Administrator, Role::Auditor, Role::Reviewer], "list locks")?;
    let conn = &mut *app.db.read().await?;
    let mut views = Vec::new();
    for lock in store::list(conn).await? {
        views.push(view(conn, lock).await?);
    }
    Ok(Json(views))
}

/// One lock, and how far it has come.
#[utoipa::path(get, path = "/v1/locks/{id}", responses((status = 200, body = LockView)))]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<Json<LockView>> {
    caller.need(&[Role::Security, Role::Administrator, Role::Auditor, Role::Reviewer], "see locks")?;
    let conn = &mut *app.db.read().await?;
    let lock = store::get(conn, &id).await?;
    Ok(Json(view(conn, lock).await?))
}

/// Removes a lock.
#[utoipa::path(delete, path = "/v1/locks/{id}", responses((status = 204)))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<StatusCode> {
    caller.need(&[Role::Security], "remove locks")?;
    let mut change = caller.change(&app).await?;
    let lock = store::get(change.conn(), &id).await?;
    for host in store::hosts(change.conn(), &lock).await? {
        effect::touch(change.conn(), &host).await?;
    }
    store::remove(change.conn(), &id).await?;
    let detail = json!({ "kind": lock.kind, "target": lock.target });
    change.record(&caller.name, "lock.removed", &id, detail).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
