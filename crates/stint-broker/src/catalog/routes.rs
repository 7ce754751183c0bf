//! `GET /v1/entitlements`.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use stint_api::people::EntitlementView;

use crate::error::Outcome;
use crate::host;
use crate::identity::Caller;
use crate::server::App;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/entitlements", get(list))
}

/// What the caller may request.
#[utoipa::path(get, path = "/v1/entitlements", responses((status = 200, body = Vec<EntitlementView>)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Outcome<Json<Vec<EntitlementView>>> {
    let hosts = host::store::list(&mut *app.db.read().await?).await?;
    let catalog = app.catalog();
    let theirs = catalog.entitlements.values().filter(|e| e.requesters.include(&caller.name, &caller.roles));
    let views = theirs.map(|e| EntitlementView {
        name: e.name.to_string(),
        description: e.description.clone(),
        hosts: hosts
            .iter()
            .filter(|h| h.is_enrolled() && e.hosts.covers(&h.name, &h.labels()))
            .map(|h| h.name.clone())
            .collect(),
        allows: e.allows(),
        max_window: e.max_window.0,
        max_extension: e.max_extension.0,
        reviews: e.reviews,
    });
    Ok(Json(views.collect()))
}
