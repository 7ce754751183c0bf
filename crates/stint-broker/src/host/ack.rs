//! Acknowledgements: signed by the host's identity key, so that no courier can make one up.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use stint_api::hosts::{ACK_PAYLOAD_TYPE, Acknowledgement};
use stint_grant::dsse::{self, Document, Signers, Verified};

use crate::bundle;
use crate::error::{Outcome, Problem};
use crate::grant::{self, effect};
use crate::host::{PeerHost, store};
use crate::server::{App, Raw};
use crate::store::Change;

/// [`Acknowledgement`] as a signed document.
#[derive(Deserialize)]
#[serde(transparent)]
struct Ack(Acknowledgement);

impl Document for Ack {
    const PAYLOAD_TYPE: &'static str = ACK_PAYLOAD_TYPE;
    const FORMAT: u32 = 1;
    fn format(&self) -> u32 {
        1
    }
}

/// What a host may write into the record with one acknowledgement.
const MOST_REFUSED: usize = 1000;
const LONGEST_CAUSE: usize = 500;

/// One line of what a host says, cut to a length.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_CAUSE).collect()
}

const MODES: [&str; 3] = ["inert", "observe", "enforce"];

/// Takes an acknowledgement in.
#[utoipa::path(post, path = "/v1/host/ack", request_body = Acknowledgement, responses((status = 204)))]
pub(crate) async fn acknowledge(
    State(app): State<App>,
    PeerHost(host): PeerHost,
    Raw(body): Raw,
) -> Outcome<StatusCode> {
    let key = host.identity()?;
    let bad = |what: String| {
        Problem::bad_input(format!("acknowledgement: {what}"), "enrol the host anew, or update it")
    };
    let ack: Verified<Ack> =
        dsse::verify(&body, &[Signers { keys: vec![&key], threshold: 1 }]).map_err(|e| bad(e.to_string()))?;
    let ack = &ack.0;
    if ack.host != host.name || !MODES.contains(&ack.mode.as_str()) {
        return Err(bad("it is for another host, or names no mode".to_owned()));
    }
    if ack.refused.len() > MOST_REFUSED {
        return Err(bad(format!("{} refused grants are more than {MOST_REFUSED}", ack.refused.len())));
    }
    let mut change = app.db.change(app.clock.now()).await?;
    let version = i64::try_from(ack.version).unwrap_or(i64::MAX);
    if let Some(what) = contradiction(&mut change, ack, version).await? {
        let detail = json!({ "version": ack.version, "epoch": ack.epoch, "head": ack.head, "what": what });
        change.record(&host.name, "alarm.unknown_bundle", &host.name, detail).await?;
        change.commit().await?;
        return Err(Problem::conflict(
            format!("the host acknowledges a bundle that this broker did not make: {what}"),
            "look for a second broker, or a restored database",
        ));
    }
    let known = store::get(change.conn(), &host.name).await?;
    if (Some(version), Some(ack.at)) < (known.ack_version, known.ack_at) {
        // Late, or replayed by a courier: what a newer one said of the mode and of refusals stands. A host says more than one thing of
        // one version, as when it begins to enforce; its own time tells which came last.
        return Ok(StatusCode::NO_CONTENT);
    }
    let now = change.now;
    let said = store::Acknowledged { version, at: ack.at, mode: &ack.mode };
    store::acknowledge(change.conn(), &host.name, &said, now.secs()).await?;
    let took_effect = effect::acknowledged(change.conn(), &host.name, version, now).await?;
    let refused: Vec<_> = ack.refused.iter().map(|r| (one_line(&r.grant), one_line(&r.cause))).collect();
    let mut grants = effect::refused(change.conn(), &host.name, &refused).await?;
    grants.extend(took_effect.iter().filter(|(kind, _)| kind == "grant").map(|(_, id)| id.clone()));
    grants.sort();
    grants.dedup();
    for id in &grants {
        grant::store::bump(change.conn(), id).await?;
    }
    let detail = json!({
        "version": ack.version, "head": ack.head, "mode": ack.mode, "refused": refused, "effective": took_effect,
    });
    change.record(&host.name, "host.acknowledged", &host.name, detail).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What does not fit the bundles that were made here. Old versions are not kept, only the newest can be compared.
async fn contradiction(
    change: &mut Change,
    ack: &Acknowledgement,
    version: i64,
) -> Outcome<Option<&'static str>> {
    let newest = bundle::store::find(change.conn(), &ack.host).await?;
    Ok(match newest {
        None => Some("there is none yet"),
        Some(b) if version > b.version => Some("its version is above the newest"),
        Some(b) if version == b.version && (ack.head != b.digest || b.epoch.unsigned_abs() != ack.epoch) => {
            Some("the same version with another head")
        }
        Some(_) => None,
    })
}
