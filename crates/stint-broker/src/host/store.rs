//! Hosts in the database.

use std::collections::BTreeMap;

use stint_grant::keys::PublicKey;

use crate::error::{Outcome, Problem};
use crate::store::Conn;
use crate::trust::ca::Issued;

/// A host.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Host {
    /// Its name.
    pub name: String,
    labels: String,
    identity_key: Option<String>,
    /// The hash of its machine-id.
    pub machine: Option<String>,
    /// What it said of itself last.
    pub mode: Option<String>,
    /// When it acknowledged last.
    pub last_seen: Option<i64>,
    /// How often something changed for it.
    pub wanted: i64,
    /// Up to which change its newest bundle goes.
    pub built: i64,
    /// The version of its newest bundle.
    pub bundle_version: i64,
    /// The version that it acknowledged.
    pub ack_version: Option<i64>,
    /// When it said so, by its own time.
    pub ack_at: Option<i64>,
}

impl Host {
    /// Its labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.labels).unwrap_or_default()
    }
    /// Whether it has joined.
    pub fn is_enrolled(&self) -> bool {
        self.identity_key.is_some()
    }
    /// Whether something changed that its newest bundle does not show.
    pub fn is_behind(&self) -> bool {
        self.wanted > self.built
    }
    /// Its identity key in base64.
    pub fn identity_text(&self) -> Option<&str> {
        self.identity_key.as_deref()
    }
    /// Its identity key.
    pub fn identity(&self) -> Outcome<PublicKey> {
        let text = self.identity_key.as_deref().ok_or_else(|| {
            Problem::conflict(format!("host {} has not joined yet", self.name), "enrol it: `stintd enroll`")
        })?;
        key_from(text)
            .ok_or_else(|| Problem::internal(format!("host {}: its stored key is malformed", self.name)))
    }
}

/// A public key from base64.
pub fn key_from(text: &str) -> Option<PublicKey> {
    PublicKey::from_bytes(&data_encoding::BASE64.decode(text.as_bytes()).ok()?).ok()
}

/// A host by name.
pub async fn find(conn: &mut Conn, name: &str) -> Outcome<Option<Host>> {
    Ok(sqlx::query_as("SELECT * FROM host WHERE name = $1").bind(name).fetch_optional(conn).await?)
}

/// A host by name, which must exist.
pub async fn get(conn: &mut Conn, name: &str) -> Outcome<Host> {
    find(conn, name)
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no host {name}"), "see `stint host ls`"))
}

/// All hosts, by name.
pub async fn list(conn: &mut Conn) -> Outcome<Vec<Host>> {
    Ok(sqlx::query_as("SELECT * FROM host ORDER BY name").fetch_all(conn).await?)
}

/// Another host with this identity key or machine.
pub async fn other_with(conn: &mut Conn, name: &str, key: &str, machine: &str) -> Outcome<Option<Host>> {
    Ok(sqlx::query_as("SELECT * FROM host WHERE name <> $1 AND (identity_key = $2 OR machine = $3) LIMIT 1")
        .bind(name)
        .bind(key)
        .bind(machine)
        .fetch_optional(conn)
        .await?)
}

/// A new host, or new labels for one that is there.
pub async fn invite(conn: &mut Conn, name: &str, labels: &BTreeMap<String, String>) -> Outcome<()> {
    sqlx::query(
        "INSERT INTO host (name, labels, formats, wanted, built, bundle_version) VALUES ($1, $2, 0, 0, 0, 0)
         ON CONFLICT (name) DO UPDATE SET labels = excluded.labels",
    )
    .bind(name)
    .bind(serde_json::json!(labels).to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps the hash of an invitation's secret. Older invitations of the same host are void.
pub async fn add_invitation(conn: &mut Conn, secret_hash: &str, host: &str, expires_at: i64) -> Outcome<()> {
    sqlx::query("DELETE FROM invitation WHERE host = $1 AND used_at IS NULL")
        .bind(host)
        .execute(&mut *conn)
        .await?;
    sqlx::query("INSERT INTO invitation (secret_hash, host, expires_at) VALUES ($1, $2, $3)")
        .bind(secret_hash)
        .bind(host)
        .bind(expires_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// An invitation: which host, until when, and when it was used.
pub async fn invitation(conn: &mut Conn, secret_hash: &str) -> Outcome<Option<(String, i64, Option<i64>)>> {
    Ok(sqlx::query_as("SELECT host, expires_at, used_at FROM invitation WHERE secret_hash = $1")
        .bind(secret_hash)
        .fetch_optional(conn)
        .await?)
}

/// Uses an invitation up; false if somebody did before.
pub async fn use_invitation(conn: &mut Conn, secret_hash: &str, now: i64) -> Outcome<bool> {
    let done = sqlx::query("UPDATE invitation SET used_at = $2 WHERE secret_hash = $1 AND used_at IS NULL")
        .bind(secret_hash)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// What a host says of itself when it joins.
pub struct Joining<'a> {
    /// Its identity key, base64.
    pub identity_key: &'a str,
    /// The hash of its machine-id.
    pub machine: &'a str,
    /// The newest format that it reads.
    pub formats: u32,
}

/// Enrols a host. All certificates of an earlier enrolment are void.
pub async fn enroll(conn: &mut Conn, name: &str, joining: &Joining<'_>, now: i64) -> Outcome<()> {
    sqlx::query("DELETE FROM host_certificate WHERE host = $1").bind(name).execute(&mut *conn).await?;
    sqlx::query(
        "UPDATE host SET identity_key = $2, machine = $3, formats = $4, enrolled_at = $5, ack_version = NULL, ack_at = NULL,
         mode = NULL WHERE name = $1",
    )
    .bind(name)
    .bind(joining.identity_key)
    .bind(joining.machine)
    .bind(i64::from(joining.formats))
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets a certificate speak for a host.
pub async fn add_certificate(conn: &mut Conn, host: &str, issued: &Issued, now: i64) -> Outcome<()> {
    sqlx::query("DELETE FROM host_certificate WHERE not_after < $1").bind(now).execute(&mut *conn).await?;
    sqlx::query("INSERT INTO host_certificate (sha256, host, not_after) VALUES ($1, $2, $3)")
        .bind(&issued.sha256)
        .bind(host)
        .bind(issued.not_after)
        .execute(conn)
        .await?;
    Ok(())
}

/// The host that a certificate speaks for.
pub async fn of_certificate(conn: &mut Conn, sha256: &str, now: i64) -> Outcome<Option<Host>> {
    Ok(sqlx::query_as(
        "SELECT h.* FROM host h JOIN host_certificate c ON c.host = h.name WHERE c.sha256 = $1 AND c.not_after >= $2",
    )
    .bind(sha256)
    .bind(now)
    .fetch_optional(conn)
    .await?)
}

/// What an acknowledgement says of the host.
pub struct Acknowledged<'a> {
    /// The bundle's version.
    pub version: i64,
    /// When the host said so, by its own time.
    pub at: i64,
    /// Whether it enforces.
    pub mode: &'a str,
}

/// Keeps an acknowledgement that is not behind the one before.
pub async fn acknowledge(conn: &mut Conn, name: &str, said: &Acknowledged<'_>, now: i64) -> Outcome<()> {
    sqlx::query("UPDATE host SET ack_version = $2, ack_at = $3, mode = $4, last_seen = $5 WHERE name = $1")
        .bind(name)
        .bind(said.version)
        .bind(said.at)
        .bind(said.mode)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}
