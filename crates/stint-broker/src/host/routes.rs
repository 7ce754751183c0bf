//! Hosts as people see them, and the routes of the host's own side.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use stint_api::hosts::HostView;

use crate::error::Outcome;
use crate::host::{ack, enroll, store, stream};
use crate::identity::Caller;
use crate::journal;
use crate::lock;
use crate::server::App;
use crate::store::Conn;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/hosts", get(list))
        .route("/v1/hosts/join", post(enroll::invite))
        .route("/v1/hosts/{name}", get(show))
        .route("/v1/host/enroll", post(enroll::enroll))
        .route("/v1/host/renew", post(enroll::renew))
        .route("/v1/host/stream", get(stream::stream))
        .route("/v1/host/update", get(stream::update))
        .route("/v1/host/ack", post(ack::acknowledge))
}

async fn view(app: &App, conn: &mut Conn, host: store::Host) -> Outcome<HostView> {
    let locked = lock::store::current(conn, "host", &host.name, app.clock.now().secs()).await?.is_some();
    let (connected, seen) = app.hub.state_of(&host.name);
    let state = match (locked, host.is_enrolled()) {
        (true, _) => "locked",
        (false, true) => "enrolled",
        (false, false) => "invited",
    };
    Ok(HostView {
        labels: host.labels(),
        state: state.to_owned(),
        connected,
        last_seen: seen.max(host.last_seen),
        bundle_version: host.bundle_version.unsigned_abs(),
        acknowledged_version: host.ack_version.map(i64::unsigned_abs),
        mode: host.mode,
        journal_size: journal::store::size(conn, &host.name).await?,
        name: host.name,
    })
}

/// All hosts.
#[utoipa::path(get, path = "/v1/hosts", responses((status = 200, body = Vec<HostView>)))]
pub(crate) async fn list(State(app): State<App>, _caller: Caller) -> Outcome<Json<Vec<HostView>>> {
    let conn = &mut *app.db.read().await?;
    let mut views = Vec::new();
    for host in store::list(conn).await? {
        views.push(view(&app, conn, host).await?);
    }
    Ok(Json(views))
}

/// One host.
#[utoipa::path(get, path = "/v1/hosts/{name}", responses((status = 200, body = HostView)))]
pub(crate) async fn show(
    State(app): State<App>,
    _caller: Caller,
    Path(name): Path<String>,
) -> Outcome<Json<HostView>> {
    let conn = &mut *app.db.read().await?;
    let host = store::get(conn, &name).await?;
    Ok(Json(view(&app, conn, host).await?))
}
