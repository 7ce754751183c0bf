//! Sign-in, users, the roster and the catalog.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/session`: sign in.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// Who.
    pub user: String,
    /// Their password.
    pub password: String,
    /// The six digits of now.
    pub totp: String,
}

/// A short-lived token. `POST /v1/session/renew` gives a new one, until the session's own end; `DELETE /v1/session` ends it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// Sent as `Authorization: Bearer`.
    pub token: String,
    /// When the token ends (unix seconds).
    pub expires_at: i64,
    /// When the session ends, renewed or not (unix seconds).
    pub session_ends_at: i64,
    /// Who is signed in.
    pub principal: String,
}

/// `GET /v1/me`: who is signed in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Who.
    pub principal: String,
    /// `requester`, `reviewer`, `security`, `administrator`, `auditor`.
    pub roles: Vec<String>,
    /// The fleet.
    pub fleet: String,
    /// Their account on hosts.
    pub account: String,
}

/// `POST /v1/users` (administrator): a new user.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Their name.
    pub name: String,
    /// Their local account on hosts; the name itself if not given.
    pub account: Option<String>,
    /// Their roles.
    pub roles: Vec<String>,
}

/// What the administrator hands to the new user, shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct NewUserSecrets {
    /// Their name.
    pub name: String,
    /// A first password, to be changed.
    pub password: String,
    /// The TOTP secret as an `otpauth://` URL.
    pub totp_url: String,
    /// The TOTP secret alone, base32.
    pub totp_secret: String,
}

/// `POST /v1/me/password`: change one's own password.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The old one.
    pub old: String,
    /// The new one.
    pub new: String,
}

/// `GET /v1/users`: a user.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Their name.
    pub name: String,
    /// Their local account on hosts.
    pub account: String,
    /// Their roles.
    pub roles: Vec<String>,
    /// Whether they may sign in.
    pub enabled: bool,
}

/// `PATCH /v1/users/{name}` (administrator): what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeUser {
    /// Their local account on hosts, for requests from now on.
    pub account: Option<String>,
    /// Their roles.
    pub roles: Option<Vec<String>>,
    /// Whether they may sign in.
    pub enabled: Option<bool>,
}

/// `GET /v1/roster` and `PUT /v1/roster`: the signed roster as text.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RosterDocument {
    /// The DSSE envelope.
    pub envelope: String,
}

/// `GET /v1/root`: all roots, from the first, as text. Clients verify the roster from their own pin.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RootChain {
    /// The DSSE envelopes, version 1 first.
    pub envelopes: Vec<String>,
}

/// `PUT /v1/root` (administrator): the next root, signed offline by the thresholds of the current one and of its own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NextRoot {
    /// The DSSE envelope.
    pub envelope: String,
}

/// `GET /v1/health`: the broker answers, and its database too.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The fleet.
    pub fleet: String,
    /// The broker's version.
    pub version: String,
    /// When the current root ends (unix seconds).
    pub root_expires_at: i64,
}

/// `GET /v1/entitlements`: what may be requested.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EntitlementView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The hosts that it covers now.
    pub hosts: Vec<String>,
    /// What it allows, a line for each right.
    pub allows: Vec<String>,
    /// The longest window (seconds).
    pub max_window: u64,
    /// The most that extensions may add (seconds).
    pub max_extension: u64,
    /// Reviews needed.
    pub reviews: u32,
}
