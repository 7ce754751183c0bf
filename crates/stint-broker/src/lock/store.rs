//! Locks in the database.

use stint_grant::bundle::{Lock, LockTarget};
use stint_grant::ids::{GrantId, HostName, LockId, Principal};
use stint_grant::time::UnixTime;

use crate::error::{Outcome, Problem};
use crate::store::Conn;

/// A lock as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// `principal`, `host` or `grant`.
    pub kind: String,
    /// Its name or id.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Who set it.
    pub set_by: String,
    /// Since when.
    pub since: i64,
    /// Until when.
    pub until_at: Option<i64>,
}

impl Row {
    /// As a bundle carries it.
    pub fn signed(&self) -> Outcome<Lock> {
        let target = match self.kind.as_str() {
            "principal" => LockTarget::Principal(Principal::new(self.target.as_str())?),
            "host" => LockTarget::Host(HostName::new(self.target.as_str())?),
            "grant" => LockTarget::Grant(GrantId::new(self.target.as_str())?),
            other => return Err(Problem::internal(format!("lock {}: kind {other:?}", self.id))),
        };
        Ok(Lock {
            id: LockId::new(self.id.as_str())?,
            target,
            reason: self.reason.clone(),
            since: UnixTime(self.since),
            until: self.until_at.map(UnixTime),
        })
    }
}

/// A new lock.
pub async fn add(conn: &mut Conn, lock: &Row) -> Outcome<()> {
    sqlx::query(
        "INSERT INTO access_lock (id, kind, target, reason, set_by, since, until_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&lock.id)
    .bind(&lock.kind)
    .bind(&lock.target)
    .bind(&lock.reason)
    .bind(&lock.set_by)
    .bind(lock.since)
    .bind(lock.until_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A lock by id.
pub async fn get(conn: &mut Conn, id: &str) -> Outcome<Row> {
    sqlx::query_as("SELECT * FROM access_lock WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no lock {id}"), "see `stint lock ls`"))
}

/// All locks, oldest first.
pub async fn list(conn: &mut Conn) -> Outcome<Vec<Row>> {
    Ok(sqlx::query_as("SELECT * FROM access_lock ORDER BY since, id").fetch_all(conn).await?)
}

/// How many there are.
pub async fn count(conn: &mut Conn) -> Outcome<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM access_lock").fetch_one(conn).await?)
}

/// The lock that stands on something now.
pub async fn current(conn: &mut Conn, kind: &str, target: &str, now: i64) -> Outcome<Option<Row>> {
    Ok(sqlx::query_as(
        "SELECT * FROM access_lock WHERE kind = $1 AND target = $2 AND (until_at IS NULL OR until_at > $3)
         ORDER BY since LIMIT 1",
    )
    .bind(kind)
    .bind(target)
    .bind(now)
    .fetch_optional(conn)
    .await?)
}

/// Locks whose time is over.
pub async fn overdue(conn: &mut Conn, now: i64) -> Outcome<Vec<Row>> {
    Ok(sqlx::query_as("SELECT * FROM access_lock WHERE until_at <= $1").bind(now).fetch_all(conn).await?)
}

/// Removes a lock.
pub async fn remove(conn: &mut Conn, id: &str) -> Outcome<()> {
    sqlx::query("DELETE FROM access_lock WHERE id = $1").bind(id).execute(&mut *conn).await?;
    sqlx::query("DELETE FROM effect WHERE kind = 'lock' AND subject = $1").bind(id).execute(conn).await?;
    Ok(())
}

/// The hosts that a lock concerns. A person's lock concerns all: they may get a grant anywhere later.
pub async fn hosts(conn: &mut Conn, lock: &Row) -> Outcome<Vec<String>> {
    let all = "SELECT name FROM host WHERE identity_key IS NOT NULL ORDER BY name";
    Ok(match lock.kind.as_str() {
        "host" => {
            sqlx::query_scalar("SELECT name FROM host WHERE name = $1 AND identity_key IS NOT NULL")
                .bind(&lock.target)
                .fetch_all(conn)
                .await?
        }
        "grant" => crate::grant::store::hosts(conn, &lock.target).await?,
        _ => sqlx::query_scalar(all).fetch_all(conn).await?,
    })
}

/// The locks that a host must know.
pub async fn for_host(conn: &mut Conn, host: &str) -> Outcome<Vec<Row>> {
    Ok(sqlx::query_as(
        "SELECT * FROM access_lock WHERE kind = 'principal' OR (kind = 'host' AND target = $1)
         OR (kind = 'grant' AND target IN (SELECT access_grant FROM grant_host WHERE host = $1)) ORDER BY since, id",
    )
    .bind(host)
    .fetch_all(conn)
    .await?)
}
