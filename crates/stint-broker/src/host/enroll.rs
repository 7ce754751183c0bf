//! Invitations, enrolment and renewal.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use stint_api::hosts::{
    ENROLL_PAYLOAD_TYPE, EnrollRequest, Enrolled, Invitation, InviteHost, Renew, Renewed,
};
use stint_api::token::JoinToken;
use stint_grant::dsse::{self, Document, Envelope, Signers, Verified};
use stint_grant::ids::{HostName, Sha256Hex};
use stint_grant::keys::PublicKey;

use crate::catalog;
use crate::error::{Outcome, Problem};
use crate::grant::effect;
use crate::host::PeerHost;
use crate::host::store::{self, Joining};
use crate::identity::{Caller, Role};
use crate::random;
use crate::server::{App, Body, Raw};

const DEFAULT_TTL: u64 = 3600;
const LONGEST_TTL: u64 = 7 * 24 * 3600;
const MOST_LABELS: usize = 32;

/// Invites a host: gives a token that lets it join once.
#[utoipa::path(post, path = "/v1/hosts/join", request_body = InviteHost, responses((status = 200, body = Invitation)))]
pub(crate) async fn invite(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<InviteHost>,
) -> Outcome<Json<Invitation>> {
    caller.need(&[Role::Administrator], "invite hosts")?;
    let host = HostName::new(asked.host)?;
    let plain = |s: &str| {
        (1..=63).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b))
    };
    if asked.labels.len() > MOST_LABELS || !asked.labels.iter().all(|(k, v)| plain(k) && plain(v)) {
        return Err(Problem::bad_input(
            "a label is not plain",
            format!("use at most {MOST_LABELS}, each name and value of 1 to 63 letters, digits and . _ / -"),
        ));
    }
    let ttl = asked.ttl.unwrap_or(DEFAULT_TTL);
    if ttl == 0 || ttl > LONGEST_TTL {
        return Err(Problem::bad_input("the token's time is zero or too long", "give at most 7 days"));
    }
    let mut change = caller.change(&app).await?;
    let expires_at = change.now.secs().saturating_add_unsigned(ttl);
    let secret = random::secret();
    store::invite(change.conn(), host.as_str(), &asked.labels).await?;
    store::add_invitation(change.conn(), &random::hash_of(&secret), host.as_str(), expires_at).await?;
    let detail = json!({ "labels": asked.labels, "expires_at": expires_at });
    change.record(&caller.name, "host.invited", host.as_str(), detail).await?;
    // Other labels are another answer to what an entitlement covers.
    catalog::rejudge(&mut change, &app.catalog(), &caller.name, None).await?;
    change.commit().await?;
    let token = JoinToken {
        secret: secret.to_string(),
        ca_pin: app.keys.ca.pin(),
        root: app.trust().pin.to_string(),
    };
    Ok(Json(Invitation { host: host.to_string(), token: token.to_text(), expires_at }))
}

/// [`EnrollRequest`] as a signed document.
#[derive(Deserialize)]
#[serde(transparent)]
struct Enrolling(EnrollRequest);

impl Document for Enrolling {
    const PAYLOAD_TYPE: &'static str = ENROLL_PAYLOAD_TYPE;
    const FORMAT: u32 = 1;
    fn format(&self) -> u32 {
        1
    }
}

/// The request, signed by the key that it names: the host holds that key.
fn open(body: &[u8]) -> Outcome<(EnrollRequest, PublicKey)> {
    let bad = |what: &str| {
        Problem::bad_input(format!("enrolment: {what}"), "use the `stintd enroll` of this release")
    };
    let envelope: Envelope = serde_json::from_slice(body).map_err(|e| bad(&e.to_string()))?;
    let payload = data_encoding::BASE64
        .decode(envelope.payload.as_bytes())
        .map_err(|_| bad("the payload is not base64"))?;
    let claimed: EnrollRequest = serde_json::from_slice(&payload).map_err(|e| bad(&e.to_string()))?;
    let key = store::key_from(&claimed.identity_key)
        .ok_or_else(|| bad("the identity key is not an Ed25519 key"))?;
    let signers = Signers { keys: vec![&key], threshold: 1 };
    let verified: Verified<Enrolling> = dsse::verify(body, &[signers]).map_err(|e| bad(&e.to_string()))?;
    Ok((verified.into_inner().0, key))
}

/// Enrols a host: takes its invitation, keeps its identity key, and issues the certificate of its transport key.
#[utoipa::path(post, path = "/v1/host/enroll", request_body = EnrollRequest, responses((status = 200, body = Enrolled)))]
pub(crate) async fn enroll(State(app): State<App>, Raw(body): Raw) -> Outcome<Json<Enrolled>> {
    let (asked, _) = open(&body)?;
    Sha256Hex::new(asked.machine.as_str())?;
    let mut change = app.db.change(app.clock.now()).await?;
    let now = change.now.secs();
    let secret_hash = random::hash_of(&asked.secret);
    let refused =
        |what: &str| Problem::denied(format!("the join token {what}"), "make a new one: `stint host join`");
    let (host, expires_at, used_at) = store::invitation(change.conn(), &secret_hash)
        .await?
        .ok_or_else(|| refused("is not known here, or a newer one was made for its host"))?;
    if used_at.is_some() {
        change.record(&host, "alarm.token_used_twice", &host, json!({})).await?;
        change.commit().await?;
        return Err(refused("was used before: if it was not you, somebody else has it"));
    }
    if expires_at <= now {
        return Err(refused("has ended"));
    }
    if let Some(other) = store::other_with(change.conn(), &host, &asked.identity_key, &asked.machine).await? {
        if other.identity_text() == Some(asked.identity_key.as_str()) {
            return Err(Problem::conflict(
                format!("this identity key is that of host {} already", other.name),
                "let the host make its own keys: remove the copied ones, then enrol",
            ));
        }
        change.record(&host, "alarm.same_machine", &host, json!({ "other": other.name })).await?;
    }
    let issued = app
        .keys
        .ca
        .host(&host, &asked.transport_csr, now, app.config.host_certificate_life)
        .map_err(|e| Problem::bad_input(e.to_string(), "use the `stintd enroll` of this release"))?;
    store::use_invitation(change.conn(), &secret_hash, now).await?;
    let again = store::get(change.conn(), &host).await?.is_enrolled();
    let joining =
        Joining { identity_key: &asked.identity_key, machine: &asked.machine, formats: asked.formats };
    store::enroll(change.conn(), &host, &joining, now).await?;
    store::add_certificate(change.conn(), &host, &issued, now).await?;
    effect::touch(change.conn(), &host).await?;
    let detail = json!({ "identity_key": asked.identity_key, "machine": asked.machine, "again": again });
    change.record(&host, "host.enrolled", &host, detail).await?;
    change.commit().await?;
    Ok(Json(Enrolled {
        fleet: app.config.fleet.to_string(),
        host,
        certificate: issued.pem,
        ca: app.keys.ca.pem().to_owned(),
        roots: app.trust().roots.clone(),
    }))
}

/// A new certificate for the same host.
#[utoipa::path(post, path = "/v1/host/renew", request_body = Renew, responses((status = 200, body = Renewed)))]
pub(crate) async fn renew(
    State(app): State<App>,
    PeerHost(host): PeerHost,
    Body(asked): Body<Renew>,
) -> Outcome<Json<Renewed>> {
    let mut change = app.db.change(app.clock.now()).await?;
    let now = change.now.secs();
    let issued = app
        .keys
        .ca
        .host(&host.name, &asked.transport_csr, now, app.config.host_certificate_life)
        .map_err(|e| Problem::bad_input(e.to_string(), "update stint on the host"))?;
    store::add_certificate(change.conn(), &host.name, &issued, now).await?;
    let detail = json!({ "certificate": issued.sha256, "not_after": issued.not_after });
    change.record(&host.name, "host.renewed", &host.name, detail).await?;
    change.commit().await?;
    Ok(Json(Renewed { certificate: issued.pem }))
}
