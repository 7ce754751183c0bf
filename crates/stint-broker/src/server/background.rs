//! What happens by itself: bundles after changes, ends when their time comes.

use std::time::Duration;

use serde_json::json;

use crate::bundle;
use crate::error::Outcome;
use crate::grant::{self, effect};
use crate::lock;
use crate::request;
use crate::request::state::State as RequestState;
use crate::server::App;

const TICK: Duration = Duration::from_secs(1);
/// Ticks between looks at the age of bundles.
const REFRESH: u32 = 60;

/// Publishes after every change until the broker stops.
pub(crate) async fn publisher(app: App) {
    let (mut changes, mut stopping) = (app.db.subscribe(), app.stopping());
    loop {
        if let Err(problem) = app.publish().await {
            // Nothing is lost: what is behind stays marked, and is tried with the next change or tick.
            tracing::error!(%problem, "bundles could not be made");
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(TICK) => {}
            () = stopping.wait() => return,
        }
    }
}

/// Ends what is over, each second, until the broker stops.
pub(crate) async fn clockwork(app: App) {
    let mut stopping = app.stopping();
    let mut ticks = 0_u32;
    loop {
        if let Err(problem) = end_what_is_over(&app).await {
            tracing::error!(%problem, "what is over could not be ended");
        }
        if ticks.is_multiple_of(REFRESH)
            && let Err(problem) = bundle::refresh(&app).await
        {
            tracing::error!(%problem, "old bundles could not be marked");
        }
        ticks = ticks.wrapping_add(1);
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = stopping.wait() => return,
        }
    }
}

/// Requests, grants and locks whose time is over.
pub(crate) async fn end_what_is_over(app: &App) -> Outcome<()> {
    let now = app.clock.now();
    let conn = &mut *app.db.read().await?;
    let requests = request::store::overdue(conn, now.secs()).await?;
    let grants = grant::store::overdue(conn, now.secs()).await?;
    let locks = lock::store::overdue(conn, now.secs()).await?;
    if requests.is_empty() && grants.is_empty() && locks.is_empty() {
        return Ok(());
    }
    // Read again inside the change: somebody may have decided in between.
    let mut change = app.db.change(now).await?;
    for id in request::store::overdue(change.conn(), now.secs()).await? {
        request::store::set_state(change.conn(), &id, RequestState::Expired).await?;
        change.record("broker", "request.expired", &id, json!({})).await?;
    }
    for row in grant::store::overdue(change.conn(), now.secs()).await? {
        let over = row.grant()?.at(now.unix());
        if over.state.is_live() {
            continue;
        }
        grant::store::set(change.conn(), &row.id, &over, None, None).await?;
        if over.from.is_some() {
            let hosts = grant::store::hosts(change.conn(), &row.id).await?;
            effect::begin(change.conn(), "grant", &row.id, &hosts, now).await?;
        }
        change
            .record(
                "broker",
                &format!("grant.{}", over.state.word()),
                &row.id,
                json!({ "at": over.ended_at }),
            )
            .await?;
    }
    for row in lock::store::overdue(change.conn(), now.secs()).await? {
        for host in lock::store::hosts(change.conn(), &row).await? {
            effect::touch(change.conn(), &host).await?;
        }
        lock::store::remove(change.conn(), &row.id).await?;
        change
            .record("broker", "lock.ended", &row.id, json!({ "kind": row.kind, "target": row.target }))
            .await?;
    }
    change.commit().await
}
