//! The newest bundle of each host in the database.

use crate::bundle::build::Built;
use crate::error::{Outcome, Problem};
use crate::store::Conn;

/// A host's newest bundle.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Bundle {
    /// The host.
    pub host: String,
    /// The root's epoch.
    pub epoch: i64,
    /// Rises by one with each.
    pub version: i64,
    /// When it was made.
    pub issued_at: i64,
    /// The digest of the head.
    pub digest: String,
    /// The head's envelope.
    pub head: String,
    shards: String,
    /// The reviews of its grants.
    pub reviews: String,
}

impl Bundle {
    /// The shards' texts.
    pub fn shards(&self) -> Outcome<Vec<String>> {
        serde_json::from_str(&self.shards).map_err(Problem::internal)
    }
}

/// The newest bundle, if there is one.
pub async fn find(conn: &mut Conn, host: &str) -> Outcome<Option<Bundle>> {
    Ok(sqlx::query_as("SELECT * FROM bundle WHERE host = $1").bind(host).fetch_optional(conn).await?)
}

/// The newest bundle.
pub async fn newest(conn: &mut Conn, host: &str) -> Outcome<Bundle> {
    find(conn, host).await?.ok_or_else(|| {
        Problem::unavailable(format!("there is no bundle for {host} yet"), "try again in a moment")
    })
}

/// What is kept of a new bundle.
pub struct New {
    /// The host.
    pub host: String,
    /// The root's epoch.
    pub epoch: i64,
    /// Its version.
    pub version: i64,
    /// When it was made.
    pub issued_at: i64,
    /// Head and shards.
    pub bundle: Built,
    /// The reviews.
    pub reviews: String,
    /// Up to which change it goes.
    pub built: i64,
}

/// Keeps a new bundle in place of the one before.
pub async fn put(conn: &mut Conn, new: &New) -> Outcome<()> {
    sqlx::query(
        "INSERT INTO bundle (host, epoch, version, issued_at, digest, head, shards, reviews)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (host) DO UPDATE SET epoch = excluded.epoch, version = excluded.version,
         issued_at = excluded.issued_at, digest = excluded.digest, head = excluded.head, shards = excluded.shards,
         reviews = excluded.reviews",
    )
    .bind(&new.host)
    .bind(new.epoch)
    .bind(new.version)
    .bind(new.issued_at)
    .bind(new.bundle.digest.as_str())
    .bind(&new.bundle.head)
    .bind(serde_json::to_string(&new.bundle.shards).map_err(Problem::internal)?)
    .bind(&new.reviews)
    .execute(&mut *conn)
    .await?;
    sqlx::query("UPDATE host SET built = $2, bundle_version = $3 WHERE name = $1")
        .bind(&new.host)
        .bind(new.built)
        .bind(new.version)
        .execute(conn)
        .await?;
    Ok(())
}

/// Hosts whose bundle is behind.
pub async fn behind(conn: &mut Conn) -> Outcome<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT name FROM host WHERE identity_key IS NOT NULL AND wanted > built ORDER BY name",
    )
    .fetch_all(conn)
    .await?)
}

/// Lets bundles that are older than this be made anew. Answers how many.
pub async fn age(conn: &mut Conn, issued_before: i64) -> Outcome<u64> {
    let done = sqlx::query(
        "UPDATE host SET wanted = wanted + 1
         WHERE wanted = built AND name IN (SELECT host FROM bundle WHERE issued_at < $1)",
    )
    .bind(issued_before)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
