//! Which host is at the other end, from its client certificate.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::error::{Outcome, Problem};
use crate::host::store::{self, Host};
use crate::server::App;

/// SHA-256 of the client certificate of this connection, which the CA issued. Put there by the server.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub Option<String>);

/// The host that calls. A certificate counts only as long as the database knows it: an earlier enrolment's does not.
pub struct PeerHost(pub Host);

impl FromRequestParts<App> for PeerHost {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Outcome<Self> {
        let sha256 =
            parts.extensions.get::<PeerCertificate>().and_then(|p| p.0.clone()).ok_or_else(|| {
                Problem::unauthenticated(
                    "this call is for hosts, which come with their client certificate",
                    "enrol the host: `stintd enroll`",
                )
            })?;
        let now = app.clock.now().secs();
        let host =
            store::of_certificate(&mut *app.db.read().await?, &sha256, now).await?.ok_or_else(|| {
                Problem::unauthenticated(
                    "this client certificate ended, or is of an earlier enrolment",
                    "enrol the host anew with a new invitation: `stint host join`, then `stintd enroll`",
                )
            })?;
        app.hub.seen(&host.name, now);
        Ok(Self(host))
    }
}
