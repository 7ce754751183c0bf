//! Reading and publishing what is signed offline: roots and the roster.

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use stint_api::people::{NextRoot, RootChain, RosterDocument};
use stint_grant::{root, roster};

use crate::error::{Outcome, Problem};
use crate::grant::effect;
use crate::identity::{Caller, Role};
use crate::server::{App, Body};
use crate::trust::{Trust, store};

pub(crate) fn routes() -> Router<App> {
    // An envelope of the largest size, and its escapes in JSON.
    let documents = DefaultBodyLimit::max(2 * stint_grant::dsse::MAX_ENVELOPE_BYTES);
    Router::new()
        .route("/v1/root", get(roots).put(publish_root))
        .route("/v1/roster", get(current_roster).put(publish_roster))
        .layer(documents)
}

/// All roots. Public: clients verify them from their own pin.
#[utoipa::path(get, path = "/v1/root", responses((status = 200, body = RootChain)))]
pub(crate) async fn roots(State(app): State<App>) -> Json<RootChain> {
    Json(RootChain { envelopes: app.trust().roots.clone() })
}

/// Publishes the next root.
#[utoipa::path(put, path = "/v1/root", request_body = NextRoot, responses((status = 200, body = RootChain)))]
pub(crate) async fn publish_root(
    State(app): State<App>,
    caller: Caller,
    Body(next): Body<NextRoot>,
) -> Outcome<Json<RootChain>> {
    caller.need(&[Role::Administrator], "publish a root")?;
    let mut change = caller.change(&app).await?;
    let current = store::load(change.conn()).await?;
    let root = root::rotate(&current.root, next.envelope.as_bytes())
        .map_err(|e| Problem::bad_input(e.to_string(), "sign the root that follows the current one"))?;
    root.check_time(change.now.unix())
        .map_err(|e| Problem::bad_input(e.to_string(), "sign one that holds longer"))?;
    store::add_root(change.conn(), root.version, &next.envelope).await?;
    let trust = store::load(change.conn()).await?;
    if !trust.lets_sign(&app.keys.public()) {
        return Err(Problem::bad_input(
            "this root does not let this broker's own keys sign bundles, pulses and certificates: all hosts would refuse them",
            "name the broker's bundle, pulse and certificate keys in it",
        ));
    }
    effect::touch_all(change.conn()).await?;
    let detail = json!({ "version": root.version, "epoch": root.epoch, "sha256": root::pin_of(next.envelope.as_bytes()) });
    change.record(&caller.name, "root.published", app.config.fleet.as_str(), detail).await?;
    let answer = RootChain { envelopes: trust.roots.clone() };
    app.commit_then(change, |app| app.set_trust(trust)).await?;
    Ok(Json(answer))
}

/// The roster.
#[utoipa::path(get, path = "/v1/roster", responses((status = 200, body = RosterDocument)))]
pub(crate) async fn current_roster(State(app): State<App>, _caller: Caller) -> Outcome<Json<RosterDocument>> {
    let envelope = app.trust().roster.clone().ok_or_else(|| {
        Problem::not_found(
            "there is no roster yet",
            "sign one offline with `stint roster sign`, then publish it",
        )
    })?;
    Ok(Json(RosterDocument { envelope }))
}

/// Publishes a roster that was signed offline.
#[utoipa::path(put, path = "/v1/roster", request_body = RosterDocument, responses((status = 200, body = RosterDocument)))]
pub(crate) async fn publish_roster(
    State(app): State<App>,
    caller: Caller,
    Body(document): Body<RosterDocument>,
) -> Outcome<Json<RosterDocument>> {
    caller.need(&[Role::Administrator], "publish a roster")?;
    let mut change = caller.change(&app).await?;
    let current = store::load(change.conn()).await?;
    let now = change.now.unix();
    let open = |envelope: &str, known| roster::open(envelope.as_bytes(), &current.root, known, now);
    let known = version_of(&current);
    let roster = open(&document.envelope, known).map_err(|e| {
        Problem::bad_input(e.to_string(), "sign it with the fleet's roster key, with a higher version")
    })?;
    if current.roster.as_deref() == Some(document.envelope.as_str()) {
        return Ok(Json(document));
    }
    // One that a newer root voided counts too: the newest version is what hosts are sent.
    let highest = store::highest_roster(change.conn()).await?;
    if roster.version <= highest {
        return Err(Problem::conflict(
            format!("there is another roster of version {highest} already"),
            format!("sign it with version {}", highest.saturating_add(1)),
        ));
    }
    store::add_roster(change.conn(), roster.version, &document.envelope).await?;
    effect::touch_all(change.conn()).await?;
    let names: Vec<_> = roster.reviewers.iter().map(|r| r.name.as_str()).collect();
    let detail = json!({ "version": roster.version, "reviewers": names, "sha256": roster.digest() });
    change.record(&caller.name, "roster.published", app.config.fleet.as_str(), detail).await?;
    let trust = store::load(change.conn()).await?;
    app.commit_then(change, |app| app.set_trust(trust)).await?;
    Ok(Json(document))
}

/// The version of the roster that is there, even if it has ended. A root with other roster keys voids it: then any may follow.
fn version_of(trust: &Trust) -> Option<u64> {
    let long_ago = stint_grant::time::UnixTime(i64::MIN);
    let envelope = trust.roster.as_deref()?;
    roster::open(envelope.as_bytes(), &trust.root, None, long_ago).ok().map(|r| r.version)
}
