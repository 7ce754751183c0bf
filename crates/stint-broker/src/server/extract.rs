//! What handlers take from a call, with errors in the broker's own words.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::{Outcome, Problem};
use crate::server::App;

/// How long the body of a call may take to come.
const SLOWEST_BODY: Duration = Duration::from_mins(1);

/// A body as it came, in time.
pub struct Raw(pub Bytes);

impl FromRequest<App> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Outcome<Self> {
        let bad = |what: String| {
            Problem::bad_input(what, "see the call in /v1/openapi.json, or use the `stint` of this release")
        };
        match tokio::time::timeout(SLOWEST_BODY, Bytes::from_request(request, app)).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(e)) => Err(bad(format!("the body of the call cannot be taken: {e}"))),
            Err(_) => Err(bad(format!("the body of the call took longer than {} s", SLOWEST_BODY.as_secs()))),
        }
    }
}

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Outcome<Self> {
        let next = "see the call in /v1/openapi.json, or use the `stint` of this release";
        let Raw(bytes) = Raw::from_request(request, app).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|e| Problem::bad_input(format!("the body of the call cannot be read: {e}"), next))
    }
}

/// The query of a URL.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Outcome<Self> {
        match Query::from_request_parts(parts, app).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(e) => Err(Problem::bad_input(
                format!("the query of the call cannot be read: {e}"),
                "see the call in /v1/openapi.json",
            )),
        }
    }
}

/// Where the connection comes from. Put there by the server.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

impl FromRequestParts<App> for PeerAddress {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Outcome<Self> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| Problem::internal("a connection without an address"))
    }
}

/// One printable line of 1 to 500 characters.
pub fn plain_line<'a>(what: &str, text: &'a str) -> Outcome<&'a str> {
    let text = text.trim();
    if (1..=500).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Err(Problem::bad_input(
        format!("the {what} is not one line of 1 to 500 printable characters"),
        format!("say the {what} in one line"),
    ))
}
