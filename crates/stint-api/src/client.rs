//! The one typed client for people's tools: a method for each of their routes (the table stands in the crate's page).

use std::error::Error;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use rustls::CertificateError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ApiError;
use crate::audit::{EventView, JournalPage};
use crate::grants::{CertificateView, Extend, GrantView, NewCertificate, Revoke};
use crate::hosts::{HostView, Invitation, InviteHost};
use crate::locks::{LockView, NewLock};
use crate::people::{
    ChangePassword, ChangeUser, EntitlementView, Health, Me, NewUser, NewUserSecrets, NextRoot, RootChain,
    RosterDocument, SignIn, SignedIn, UserView,
};
use crate::recordings::{MAX_RECORDING_BYTES, RecordingView, WhichRecordings};
use crate::requests::{NewRequest, NewReview, RequestView};
use crate::tls::{self, PinnedCa, TlsError};

/// Longer than the broker holds a waiting call open (25 s).
const CALL: Duration = Duration::from_secs(40);
/// How long a recording may take to come.
const RECORDING: Duration = Duration::from_mins(10);

/// Why a call gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not a URL of a broker.
    #[error("{0:?} is not the URL of a broker: write https://NAME or https://NAME:PORT")]
    BadUrl(String),
    /// TLS could not be set up, before any connection.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No connection, or it broke.
    #[error("the broker at {broker} cannot be reached: {cause}")]
    Unreachable {
        /// Where it should be.
        broker: String,
        /// What the network said.
        cause: String,
    },
    /// Somebody answered who is not the pinned broker.
    #[error("whoever answers at {broker} is not the pinned broker: {cause}")]
    Untrusted {
        /// Where it should be.
        broker: String,
        /// What does not hold.
        cause: String,
    },
    /// The broker said no.
    #[error("{error}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the broker says.
        error: ApiError,
    },
    /// An answer that this version cannot read.
    #[error("the broker's answer to {call} cannot be read ({cause}): are both of the same version?")]
    Answer {
        /// Which call.
        call: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl ClientError {
    /// The stable short word of a refusal, if it is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => Some(&error.code),
            _ => None,
        }
    }
}

/// Which items a list holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Filter {
    /// Only those in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Everybody's, not only those that concern the caller.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// A connection to one broker, signed in or not.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

const NOTHING: Option<&()> = None;
const NO_QUERY: &[(&str, &str)] = &[];

impl Client {
    /// A client for the broker at `base` (`https://...`) that believes nobody but the pinned broker.
    pub fn new(base: &str, ca: &PinnedCa) -> Result<Self, ClientError> {
        let bad = || ClientError::BadUrl(base.to_owned());
        let url = Url::parse(base).map_err(|_| bad())?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if url.scheme() != "https" || url.host_str().is_none() || !plain || !matches!(url.path(), "" | "/") {
            return Err(bad());
        }
        Ok(Self { http: tls::client(ca)?, base: url, token: None })
    }

    /// The same client, with a token sent as `Authorization: Bearer`.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The broker's URL.
    pub fn broker(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn url(&self, path: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ClientError::BadUrl(self.base.to_string()))?
            .clear()
            .push("v1")
            .extend(path);
        Ok(url)
    }

    async fn call<Q: Serialize + ?Sized, B: Serialize + ?Sized>(
        &self,
        method: Method,
        path: &[&str],
        query: &Q,
        body: Option<&B>,
    ) -> Result<(String, Vec<u8>), ClientError> {
        let url = self.url(path)?;
        let name = format!("{method} {}", url.path());
        let mut request = self.http.request(method, url).timeout(CALL).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|e| self.failed(&e))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|e| self.failed(&e))?.to_vec();
        if status.is_success() {
            return Ok((name, bytes));
        }
        Err(refusal(&name, status, &bytes))
    }

    async fn ask<Q: Serialize + ?Sized, B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &Q,
        body: Option<&B>,
    ) -> Result<T, ClientError> {
        let (call, bytes) = self.call(method, path, query, body).await?;
        serde_json::from_slice(&bytes).map_err(|e| ClientError::Answer { call, cause: e.to_string() })
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.ask(Method::GET, path, NO_QUERY, NOTHING).await
    }

    async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &B,
    ) -> Result<T, ClientError> {
        self.ask(Method::POST, path, NO_QUERY, Some(body)).await
    }

    async fn act<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.ask(Method::POST, path, NO_QUERY, NOTHING).await
    }

    fn failed(&self, error: &reqwest::Error) -> ClientError {
        let broker = self.broker().to_owned();
        match certificate_fault(error) {
            Some(cause) => ClientError::Untrusted { broker, cause },
            None => ClientError::Unreachable { broker, cause: innermost(error) },
        }
    }

    /// Whether the broker answers; needs no sign-in.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get(&["health"]).await
    }
    /// Signs in.
    pub async fn sign_in(&self, who: &SignIn) -> Result<SignedIn, ClientError> {
        self.post(&["session"], who).await
    }
    /// A new token for the same session.
    pub async fn renew(&self) -> Result<SignedIn, ClientError> {
        self.act(&["session", "renew"]).await
    }
    /// Ends the session.
    pub async fn sign_out(&self) -> Result<(), ClientError> {
        self.call(Method::DELETE, &["session"], NO_QUERY, NOTHING).await.map(drop)
    }
    /// Who is signed in.
    pub async fn me(&self) -> Result<Me, ClientError> {
        self.get(&["me"]).await
    }
    /// Changes one's own password.
    pub async fn change_password(&self, change: &ChangePassword) -> Result<(), ClientError> {
        self.call(Method::POST, &["me", "password"], NO_QUERY, Some(change)).await.map(drop)
    }

    /// All users.
    pub async fn users(&self) -> Result<Vec<UserView>, ClientError> {
        self.get(&["users"]).await
    }
    /// A new user.
    pub async fn add_user(&self, user: &NewUser) -> Result<NewUserSecrets, ClientError> {
        self.post(&["users"], user).await
    }
    /// Changes a user.
    pub async fn change_user(&self, name: &str, change: &ChangeUser) -> Result<UserView, ClientError> {
        self.ask(Method::PATCH, &["users", name], NO_QUERY, Some(change)).await
    }
    /// A new first password and TOTP secret for a user.
    pub async fn reset_user(&self, name: &str) -> Result<NewUserSecrets, ClientError> {
        self.act(&["users", name, "reset"]).await
    }
    /// All roots, version 1 first.
    pub async fn roots(&self) -> Result<RootChain, ClientError> {
        self.get(&["root"]).await
    }
    /// Publishes the next root.
    pub async fn publish_root(&self, root: &NextRoot) -> Result<RootChain, ClientError> {
        self.ask(Method::PUT, &["root"], NO_QUERY, Some(root)).await
    }
    /// The roster.
    pub async fn roster(&self) -> Result<RosterDocument, ClientError> {
        self.get(&["roster"]).await
    }
    /// Publishes a signed roster.
    pub async fn publish_roster(&self, roster: &RosterDocument) -> Result<(), ClientError> {
        self.call(Method::PUT, &["roster"], NO_QUERY, Some(roster)).await.map(drop)
    }
    /// What may be requested.
    pub async fn entitlements(&self) -> Result<Vec<EntitlementView>, ClientError> {
        self.get(&["entitlements"]).await
    }

    /// Makes a request.
    pub async fn request(&self, request: &NewRequest) -> Result<RequestView, ClientError> {
        self.post(&["requests"], request).await
    }
    /// Requests.
    pub async fn requests(&self, filter: &Filter) -> Result<Vec<RequestView>, ClientError> {
        self.ask(Method::GET, &["requests"], filter, NOTHING).await
    }
    /// One request.
    pub async fn request_by_id(&self, id: &str) -> Result<RequestView, ClientError> {
        self.get(&["requests", id]).await
    }
    /// One request, once its version is above `version`, or after 25 s.
    pub async fn wait_for_request(&self, id: &str, version: u64) -> Result<RequestView, ClientError> {
        self.ask(Method::GET, &["requests", id], &[("wait_version", version)], NOTHING).await
    }
    /// Hands in a signed review.
    pub async fn review(&self, id: &str, review: &NewReview) -> Result<RequestView, ClientError> {
        self.post(&["requests", id, "reviews"], review).await
    }
    /// Takes a request back before it is approved.
    pub async fn cancel_request(&self, id: &str) -> Result<RequestView, ClientError> {
        self.act(&["requests", id, "cancel"]).await
    }

    /// Grants.
    pub async fn grants(&self, filter: &Filter) -> Result<Vec<GrantView>, ClientError> {
        self.ask(Method::GET, &["grants"], filter, NOTHING).await
    }
    /// One grant.
    pub async fn grant(&self, id: &str) -> Result<GrantView, ClientError> {
        self.get(&["grants", id]).await
    }
    /// One grant, once its version is above `version`, or after 25 s.
    pub async fn wait_for_grant(&self, id: &str, version: u64) -> Result<GrantView, ClientError> {
        self.ask(Method::GET, &["grants", id], &[("wait_version", version)], NOTHING).await
    }
    /// Starts the window.
    pub async fn activate(&self, id: &str) -> Result<GrantView, ClientError> {
        self.act(&["grants", id, "activate"]).await
    }
    /// Gives a grant back early.
    pub async fn end(&self, id: &str) -> Result<GrantView, ClientError> {
        self.act(&["grants", id, "end"]).await
    }
    /// Takes a grant away.
    pub async fn revoke(&self, id: &str, reason: &str) -> Result<GrantView, ClientError> {
        self.post(&["grants", id, "revoke"], &Revoke { reason: reason.to_owned() }).await
    }
    /// Lengthens the window.
    pub async fn extend(&self, id: &str, by: u64) -> Result<GrantView, ClientError> {
        self.post(&["grants", id, "extend"], &Extend { by }).await
    }

    /// Certifies an SSH key for logins by the caller's own active grant.
    pub async fn certify(&self, id: &str, key: &NewCertificate) -> Result<CertificateView, ClientError> {
        self.post(&["grants", id, "certificate"], key).await
    }

    /// Sets a lock.
    pub async fn add_lock(&self, lock: &NewLock) -> Result<LockView, ClientError> {
        self.post(&["locks"], lock).await
    }
    /// All locks.
    pub async fn locks(&self) -> Result<Vec<LockView>, ClientError> {
        self.get(&["locks"]).await
    }
    /// One lock.
    pub async fn lock(&self, id: &str) -> Result<LockView, ClientError> {
        self.get(&["locks", id]).await
    }
    /// Lifts a lock.
    pub async fn remove_lock(&self, id: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &["locks", id], NO_QUERY, NOTHING).await.map(drop)
    }

    /// All hosts.
    pub async fn hosts(&self) -> Result<Vec<HostView>, ClientError> {
        self.get(&["hosts"]).await
    }
    /// One host.
    pub async fn host(&self, name: &str) -> Result<HostView, ClientError> {
        self.get(&["hosts", name]).await
    }
    /// Invites a host to join.
    pub async fn invite_host(&self, invite: &InviteHost) -> Result<Invitation, ClientError> {
        self.post(&["hosts", "join"], invite).await
    }

    /// A page of a host's journal, from the record with number `from`; of the newest epoch if none is named.
    pub async fn journal(
        &self,
        host: &str,
        epoch: Option<u64>,
        from: u64,
        limit: u64,
    ) -> Result<JournalPage, ClientError> {
        let query = [("epoch", epoch), ("from", Some(from)), ("limit", Some(limit))];
        self.ask(Method::GET, &["audit", "hosts", host], &query, NOTHING).await
    }
    /// What is known of recordings, the newest first.
    pub async fn recordings(&self, which: &WhichRecordings) -> Result<Vec<RecordingView>, ClientError> {
        self.ask(Method::GET, &["recordings"], which, NOTHING).await
    }
    /// A recording's bytes. Whether they are those that the host recorded is for the caller to say, by the host's journal.
    pub async fn recording(&self, host: &str, run: &str) -> Result<Vec<u8>, ClientError> {
        let url = self.url(&["recordings", host, run])?;
        let name = format!("GET {}", url.path());
        let mut request = self.http.get(url).timeout(RECORDING);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut answer = request.send().await.map_err(|e| self.failed(&e))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| self.failed(&e))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > MAX_RECORDING_BYTES {
                let cause = format!("more than {MAX_RECORDING_BYTES} bytes");
                return Err(ClientError::Answer { call: name, cause });
            }
        }
        if status.is_success() { Ok(bytes) } else { Err(refusal(&name, status, &bytes)) }
    }
    /// The broker's own events, from number `from`, at most `limit`.
    pub async fn events(&self, from: u64, limit: u64) -> Result<Vec<EventView>, ClientError> {
        self.ask(Method::GET, &["events"], &[("from", from), ("limit", limit)], NOTHING).await
    }
}

/// What the broker says when it says no; a proxy's page in between is told apart from it.
fn refusal(call: &str, status: StatusCode, body: &[u8]) -> ClientError {
    match serde_json::from_slice(body) {
        Ok(error) => ClientError::Refused { status: status.as_u16(), error },
        Err(_) => ClientError::Answer {
            call: call.to_owned(),
            cause: format!("HTTP status {status} without a cause"),
        },
    }
}

fn sources(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |e| (**e).source())
}

/// The innermost cause: what the network said, without the layers around it.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    sources(error).last().map_or_else(String::new, ToString::to_string)
}

/// What does not hold in the server's certificate, if that is why there was no answer.
fn certificate_fault(error: &reqwest::Error) -> Option<String> {
    match sources(error).find_map(|e| tls_error(e))? {
        rustls::Error::InvalidCertificate(CertificateError::Other(cause)) => Some(cause.0.to_string()),
        fault @ rustls::Error::InvalidCertificate(_) => Some(fault.to_string()),
        _ => None,
    }
}

/// The TLS error in an error, which may lie in several I/O errors, one inside the other: `source` passes over what they hold.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    let held = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls_error(held)
}

#[cfg(test)]
mod tests;
