//! The call.

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use stint_api::grants::{CertificateView, NewCertificate};
use stint_grant::ids::HostName;

use super::issue::{self, Circumstances, IssueError, Wanted};
use crate::error::{Outcome, Problem};
use crate::grant;
use crate::identity::Caller;
use crate::lock;
use crate::random;
use crate::request;
use crate::server::{App, Body, PeerAddress};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/grants/{id}/certificate", post(certify))
}

/// Certifies a key for logins by the caller's own active grant.
#[utoipa::path(post, path = "/v1/grants/{id}/certificate", request_body = NewCertificate, responses((status = 200, body = CertificateView)))]
pub(crate) async fn certify(
    State(app): State<App>,
    caller: Caller,
    PeerAddress(from): PeerAddress,
    Path(id): Path<String>,
    Body(asked): Body<NewCertificate>,
) -> Outcome<Json<CertificateView>> {
    let key = issue::read_key(&asked.public_key).map_err(|e| in_words(&e))?;
    let host = HostName::new(asked.host.as_str())?;
    let mut change = caller.change(&app).await?;
    let row = grant::store::get(change.conn(), &id).await?;
    grant::routes::refuse_other_holder(&caller, &row, "log in by")?;
    let now = change.now;
    let standing = row.grant()?;
    if standing.sealed {
        return Err(Problem::conflict(
            format!("grant {id} is sealed: a break-glass code opens it on its host, and no certificate"),
            "log in with keyboard-interactive: your password, then a code",
        ));
    }
    let until = grant::routes::end_of_active(&standing, now.unix())?;
    lock::refuse_locked_grant(change.conn(), &id, now).await?;
    lock::refuse_locked_host(change.conn(), host.as_str(), now).await?;
    let terms = request::store::get(change.conn(), &id).await?.checked_terms()?;
    // Through a loopback address the broker sees itself, and not how hosts will see the caller.
    let seen = from.ip().to_canonical();
    let bound = app.config.ssh_certificate_bound_to_address && !seen.is_loopback();
    let wanted = Wanted { terms: &terms, until, host: &host, key: &key, caller: bound.then_some(seen) };
    let circumstances = Circumstances {
        now: now.unix(),
        life: app.config.ssh_certificate_life,
        // JSON numbers are safe in every client up to 2^53.
        serial: u64::from_be_bytes(*random::bytes::<8>()) >> 11,
        nonce: *random::bytes::<32>(),
    };
    let issued = issue::issue(&app.keys.certificate, &wanted, &circumstances).map_err(|e| in_words(&e))?;
    let origins: Vec<String> = issued.origins.iter().map(ToString::to_string).collect();
    let detail = json!({
        "serial": circumstances.serial, "host": host, "key": issued.key, "origins": origins, "until": issued.until,
    });
    change.record(&caller.name, "certificate.issued", &id, detail).await?;
    let view = CertificateView {
        certificate: issued.certificate.to_openssh().map_err(Problem::internal)?,
        serial: circumstances.serial,
        user: terms.user.to_string(),
        origins,
        until: issued.until.0,
    };
    change.commit().await?;
    Ok(Json(view))
}

fn in_words(error: &IssueError) -> Problem {
    let message = error.to_string();
    match error {
        IssueError::NoLogin => Problem::conflict(message, "request an entitlement that has a login"),
        IssueError::OtherHost(_) => Problem::denied(message, "see its hosts: `stint grant show`"),
        IssueError::Key(_) => Problem::bad_input(message, "give an Ed25519 key: `ssh-keygen -t ed25519`"),
        IssueError::OtherKey(_) => {
            Problem::denied(message, "use one of the keys that the request named: `stint request show`")
        }
        IssueError::Failed(_) => Problem::internal(message),
    }
}
