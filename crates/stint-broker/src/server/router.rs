//! All routes, and what happens around each.

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::get;
use axum::{Json, Router};
use stint_api::people::Health;
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::{Outcome, Problem};
use crate::server::{App, openapi};
use crate::{
    catalog, certificate, event, grant, host, identity, journal, lock, recording, request, review, trust,
};

/// The largest body of most calls, those of strangers among them. A call that takes more says so with its route.
const MAX_BODY: usize = 1024 * 1024;

/// The whole API.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/health", get(health))
        .route("/v1/openapi.json", get(openapi::serve))
        .merge(identity::routes::routes())
        .merge(trust::routes::routes())
        .merge(catalog::routes::routes())
        .merge(request::routes::routes())
        .merge(review::routes::routes())
        .merge(grant::routes::routes())
        .merge(certificate::routes::routes())
        .merge(lock::routes::routes())
        .merge(host::routes::routes())
        .merge(journal::routes::routes())
        .merge(recording::routes::routes())
        .merge(event::routes::routes())
        .fallback(nowhere)
        .method_not_allowed_fallback(nowhere)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            axum::response::IntoResponse::into_response(Problem::internal("a handler panicked"))
        }))
        .with_state(app)
}

async fn nowhere() -> Problem {
    Problem::not_found("there is no such call", "see /v1/openapi.json for all calls")
}

/// The broker answers, and its database too.
#[utoipa::path(get, path = "/v1/health", responses((status = 200, body = Health)))]
pub(crate) async fn health(State(app): State<App>) -> Outcome<Json<Health>> {
    sqlx::query("SELECT 1").execute(&mut *app.db.read().await?).await?;
    Ok(Json(Health {
        status: "ok".to_owned(),
        fleet: app.config.fleet.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        root_expires_at: app.trust().root.expires_at.0,
    }))
}
