//! The calls to the broker, over mTLS.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stint_api::ApiError;
use stint_api::audit::{ShipRecords, SignedMark};
use stint_api::hosts::{HostUpdate, Renew, Renewed};
use stint_api::recordings::RecordingHeld;
use stint_api::tls::{self, PinnedCa, TlsError, describe};

use super::store::Store;

/// How long a call may take, its answer included. The stream has no such limit.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the broker may take until it begins to answer.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer but an update, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// The largest update, in bytes: what fits in a line to the warden.
const MAX_UPDATE_BYTES: usize = super::sse::MAX_EVENT_BYTES;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer: the network, TLS, or the broker is away.
    #[error("the broker does not answer: {0}")]
    NoAnswer(String),
    /// The broker refused.
    #[error("the broker refused ({status}): {error}{}", next(.error))]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        error: ApiError,
    },
    /// An answer that cannot be read.
    #[error("the broker's answer cannot be read: {0}")]
    BadAnswer(String),
}

fn next(error: &ApiError) -> String {
    error.next.as_ref().map_or(String::new(), |next| format!(" ({next})"))
}

impl CallError {
    /// Whether it makes no sense to send the same thing again: the broker read it and said no.
    pub(crate) fn is_final(&self) -> bool {
        let Self::Refused { status, .. } = self else { return false };
        status.is_client_error()
            && !matches!(
                *status,
                StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS
            )
    }
    /// Whether the broker itself says that it cannot do this for now.
    pub(crate) fn is_want_of_room(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error.code == "unavailable")
    }
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        Self::NoAnswer(describe(&error.without_url()))
    }
}

/// The broker, as this host's certificate shows it.
#[derive(Debug)]
pub(crate) struct Broker {
    url: String,
    client: reqwest::Client,
}

impl Broker {
    /// With the certificate in the store.
    pub(crate) fn new(store: &Store) -> Result<Self, TlsError> {
        let ca = PinnedCa::from_ca_pem(&store.ca)?;
        let client = tls::client_with_certificate(&ca, &store.transport, &store.transport)?;
        Ok(Self { url: store.config.broker.trim_end_matches('/').to_owned(), client })
    }

    /// `GET /v1/host/update`.
    pub(crate) async fn update(&self) -> Result<Box<HostUpdate>, CallError> {
        let answer = self.send(self.call(Method::GET, "/v1/host/update")).await?;
        parse(&body(answer, MAX_UPDATE_BYTES).await?)
    }
    /// `GET /v1/host/audit`.
    pub(crate) async fn high_water(&self) -> Result<SignedMark, CallError> {
        let answer = self.send(self.call(Method::GET, "/v1/host/audit")).await?;
        parse(&body(answer, MAX_ANSWER_BYTES).await?)
    }
    /// `POST /v1/host/audit`.
    pub(crate) async fn ship(&self, records: &ShipRecords) -> Result<SignedMark, CallError> {
        let answer = self.send(json(self.call(Method::POST, "/v1/host/audit"), records)?).await?;
        parse(&body(answer, MAX_ANSWER_BYTES).await?)
    }
    /// `POST /v1/host/ack`: the signed envelope as it is.
    pub(crate) async fn acknowledge(&self, envelope: &str) -> Result<(), CallError> {
        let call = self.call(Method::POST, "/v1/host/ack").header("content-type", "application/json");
        let answer = self.send(call.body(envelope.to_owned())).await?;
        body(answer, MAX_ANSWER_BYTES).await.map(|_| ())
    }
    /// `PUT /v1/host/recordings/{run}`.
    pub(crate) async fn record(&self, run: &str, at: u64, part: Vec<u8>) -> Result<RecordingHeld, CallError> {
        let call = self.call(Method::PUT, &format!("/v1/host/recordings/{run}")).query(&[("at", at)]);
        let call = call.header("content-type", "application/octet-stream").body(part);
        parse(&body(self.send(call).await?, MAX_ANSWER_BYTES).await?)
    }
    /// `POST /v1/host/renew`.
    pub(crate) async fn renew(&self, csr: &str) -> Result<Renewed, CallError> {
        let renew = Renew { transport_csr: csr.to_owned() };
        let answer = self.send(json(self.call(Method::POST, "/v1/host/renew"), &renew)?).await?;
        parse(&body(answer, MAX_ANSWER_BYTES).await?)
    }
    /// `GET /v1/host/stream`, opened.
    pub(crate) async fn stream(&self) -> Result<Response, CallError> {
        let call = self
            .client
            .get(format!("{}/v1/host/stream", self.url))
            .header("accept", "text/event-stream")
            .header("cache-control", "no-store");
        self.send(call).await
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).timeout(CALL_TIMEOUT)
    }
    async fn send(&self, call: RequestBuilder) -> Result<Response, CallError> {
        let answer = tokio::time::timeout(FIRST_BYTE_TIMEOUT, call.send()).await.map_err(|_| {
            CallError::NoAnswer(format!("nothing within {} s", FIRST_BYTE_TIMEOUT.as_secs()))
        })??;
        refusal(answer).await
    }
}

/// The answer, or what the broker said instead.
pub(crate) async fn refusal(answer: Response) -> Result<Response, CallError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = body(answer, MAX_ANSWER_BYTES).await.unwrap_or_default();
    let error = serde_json::from_slice(&text).unwrap_or_else(|_| ApiError {
        code: "internal".to_owned(),
        message: "it gave no reason that can be read".to_owned(),
        next: None,
    });
    Err(CallError::Refused { status, error })
}

/// The whole body, if it is not too large.
pub(crate) async fn body(mut answer: Response, max: usize) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if bytes.len() + piece.len() > max {
            return Err(CallError::BadAnswer(format!("more than {max} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// An answer as JSON.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(bytes).map_err(|e| CallError::BadAnswer(e.to_string()))
}

fn json(call: RequestBuilder, body: &impl Serialize) -> Result<RequestBuilder, CallError> {
    let bytes = serde_json::to_vec(body).map_err(|e| CallError::BadAnswer(e.to_string()))?;
    Ok(call.header("content-type", "application/json").body(bytes))
}
