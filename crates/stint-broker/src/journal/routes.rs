//! Shipping and reading journals.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::get;
use axum::{Json, Router};
use ed25519_dalek::VerifyingKey;
use serde::Deserialize;
use serde_json::{Value, json};
use stint_api::audit::{JournalPage, ShipRecords, SignedMark};
use stint_grant::dsse;
use stint_grant::ids::{HostName, Sha256Hex};
use stint_grant::mark::JournalMark;
use stint_log::record::Event;
use utoipa::IntoParams;

use crate::error::{Outcome, Problem};
use crate::host::store::Host;
use crate::host::{self, PeerHost};
use crate::identity::{Caller, Role};
use crate::journal::intake::{self, Fault, Mark};
use crate::journal::store;
use crate::server::{App, Asked, Body};

/// The largest shipment of records.
const MAX_SHIPMENT: usize = 16 * 1024 * 1024;

pub(crate) fn routes() -> Router<App> {
    let shipping = get(mark).post(ship).layer(DefaultBodyLimit::max(MAX_SHIPMENT));
    Router::new().route("/v1/host/audit", shipping).route("/v1/audit/hosts/{host}", get(read))
}

/// Up to where the host's journal is held.
#[utoipa::path(get, path = "/v1/host/audit", responses((status = 200, body = SignedMark)))]
pub(crate) async fn mark(State(app): State<App>, PeerHost(host): PeerHost) -> Outcome<Json<SignedMark>> {
    let chain = store::chain(&mut *app.db.read().await?, &host.name).await?;
    signed(&app, &host, chain.as_ref().map_or(Mark::NOTHING, Mark::of))
}

/// Says what is held in a way that the host can believe: it deletes what lies below, and the courier carries the answer.
fn signed(app: &App, host: &Host, mark: Mark) -> Outcome<Json<SignedMark>> {
    let document = JournalMark {
        format: 1,
        fleet: app.config.fleet.clone(),
        host: HostName::new(host.name.as_str())?,
        host_key: host.identity()?,
        epoch: mark.epoch,
        size: mark.size,
        hash: Sha256Hex::new(mark.hash.to_string())?,
    };
    let envelope = dsse::sign(&document, &[&app.keys.pulse]);
    Ok(Json(SignedMark { envelope: String::from_utf8(envelope).map_err(Problem::internal)? }))
}

/// Takes records in. The answer comes after they are durable.
#[utoipa::path(post, path = "/v1/host/audit", request_body = ShipRecords, responses((status = 200, body = SignedMark)))]
pub(crate) async fn ship(
    State(app): State<App>,
    PeerHost(host): PeerHost,
    Body(shipment): Body<ShipRecords>,
) -> Outcome<Json<SignedMark>> {
    let key = VerifyingKey::from_bytes(host.identity()?.as_bytes()).map_err(Problem::internal)?;
    let mut change = app.db.change(app.clock.now()).await?;
    let receipt = match intake::take(change.conn(), &host.name, &key, &shipment).await {
        Ok(receipt) => receipt,
        Err(Fault::Problem(problem)) => return Err(problem),
        Err(Fault::Alarm(what)) => {
            // What was taken of this shipment goes back; only the alarm stays.
            drop(change);
            let mut alarm = app.db.change(app.clock.now()).await?;
            alarm.record(&host.name, "alarm.journal", &host.name, json!({ "what": what })).await?;
            alarm.commit().await?;
            return Err(Problem::conflict(
                format!("the journal was not taken: {what}"),
                "this was reported; look at the host: somebody rewrote its journal, or copied its disk",
            ));
        }
    };
    if receipt.new == 0 && !receipt.checkpoint {
        return signed(&app, &host, receipt.mark);
    }
    if receipt.new_epoch {
        let detail = json!({ "epoch": receipt.mark.epoch });
        change.record(&host.name, "alarm.journal_begun_anew", &host.name, detail).await?;
    }
    for event in &receipt.codes {
        let (kind, subject, detail) = of_code(event, &host.name);
        change.record(&host.name, kind, &subject, detail).await?;
    }
    let detail = json!({ "new": receipt.new, "size": receipt.mark.size, "hash": receipt.mark.hash });
    change.record(&host.name, "journal.received", &host.name, detail).await?;
    change.commit().await?;
    signed(&app, &host, receipt.mark)
}

/// What a host tells of a break-glass code, as an event here: what nobody could look at before is to be looked at now.
fn of_code(event: &Event, host: &str) -> (&'static str, String, Value) {
    match event {
        Event::CodeUsed { grant, user, service, origin, code, reason, until } => (
            "break_glass.opened",
            grant.clone(),
            json!({
                "host": host, "user": user, "service": service, "origin": origin, "code": code, "reason": reason,
                "until": until, "review": "owed",
            }),
        ),
        Event::CodeRefused { grant, user, code, cause } => (
            "break_glass.refused",
            grant.clone().unwrap_or_else(|| host.to_owned()),
            json!({ "host": host, "user": user, "code": code, "cause": cause }),
        ),
        _ => ("break_glass.unknown", host.to_owned(), json!({})),
    }
}

#[derive(Deserialize, IntoParams)]
pub(crate) struct Page {
    /// The first record's number.
    from: Option<u64>,
    /// How many at most: 1000 if not given, 5000 at most.
    limit: Option<u64>,
    /// Which log epoch; the newest if not given.
    epoch: Option<u64>,
}

/// A host's journal as it is held here.
#[utoipa::path(get, path = "/v1/audit/hosts/{host}", params(Page), responses((status = 200, body = JournalPage)))]
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Asked(page): Asked<Page>,
) -> Outcome<Json<JournalPage>> {
    caller.need(&[Role::Auditor, Role::Security, Role::Administrator], "read hosts' journals")?;
    let conn = &mut *app.db.read().await?;
    let host = host::store::get(conn, &name).await?;
    let newest = store::chain(conn, &name).await?.map_or(0, |c| c.epoch());
    let (epoch, from) = (page.epoch.unwrap_or(newest), page.from.unwrap_or(0));
    let limit = page.limit.unwrap_or(1000).clamp(1, 5000);
    let (records, checkpoints) = store::page(conn, &name, epoch, from, limit).await?;
    Ok(Json(JournalPage {
        identity_key: host.identity_text().unwrap_or_default().to_owned(),
        size: store::count(conn, &name, epoch).await?,
        host: name,
        epoch,
        from,
        records,
        checkpoints,
    }))
}
