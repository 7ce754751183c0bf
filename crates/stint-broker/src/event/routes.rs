//! `GET /v1/events`.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use stint_api::audit::EventView;
use utoipa::IntoParams;

use crate::error::Outcome;
use crate::identity::{Caller, Role};
use crate::server::{App, Asked};

/// This module's routes.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/events", get(list))
}

#[derive(Deserialize, IntoParams)]
pub(crate) struct Page {
    /// The first number.
    from: Option<i64>,
    /// How many at most: 500 if not given, 5000 at most.
    limit: Option<i64>,
}

/// The broker's own events, oldest first.
#[utoipa::path(get, path = "/v1/events", params(Page), responses((status = 200, body = Vec<EventView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Asked(page): Asked<Page>,
) -> Outcome<Json<Vec<EventView>>> {
    caller.need(&[Role::Auditor, Role::Security, Role::Administrator], "read the broker's events")?;
    let limit = page.limit.unwrap_or(500).clamp(1, 5000);
    Ok(Json(super::list(&mut *app.db.read().await?, page.from.unwrap_or(0), limit).await?))
}
