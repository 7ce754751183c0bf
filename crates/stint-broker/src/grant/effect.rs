//! How far a change has come: from the change to each host's signed acknowledgement.
//!
//! Each change that a host must hear of raises the host's `wanted`. The next bundle of that host covers all changes up to some
//! `wanted`, and the host's acknowledgement of that bundle's version says that they took effect.

use stint_api::grants::{Effect, HostEffect};

use crate::clock::Now;
use crate::error::Outcome;
use crate::store::Conn;

/// A host's bundle must be made anew.
pub async fn touch(conn: &mut Conn, host: &str) -> Outcome<i64> {
    Ok(sqlx::query_scalar("UPDATE host SET wanted = wanted + 1 WHERE name = $1 RETURNING wanted")
        .bind(host)
        .fetch_one(conn)
        .await?)
}

/// All hosts' bundles must be made anew.
pub async fn touch_all(conn: &mut Conn) -> Outcome<()> {
    sqlx::query("UPDATE host SET wanted = wanted + 1").execute(conn).await?;
    Ok(())
}

/// A grant or lock changed: each host that it concerns must hear of it, and how long that takes is measured.
pub async fn begin(conn: &mut Conn, kind: &str, subject: &str, hosts: &[String], now: Now) -> Outcome<()> {
    for host in hosts {
        let wanted = touch(conn, host).await?;
        sqlx::query(
            "INSERT INTO effect (kind, subject, host, wanted, changed_ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (kind, subject, host) DO UPDATE SET wanted = excluded.wanted,
             changed_ms = excluded.changed_ms, version = NULL, effective_ms = NULL, refused = NULL",
        )
        .bind(kind)
        .bind(subject)
        .bind(host)
        .bind(wanted)
        .bind(now.ms)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// A bundle covers all changes up to `wanted`.
pub async fn bundled(conn: &mut Conn, host: &str, wanted: i64, version: i64) -> Outcome<()> {
    sqlx::query("UPDATE effect SET version = $3 WHERE host = $1 AND version IS NULL AND wanted <= $2")
        .bind(host)
        .bind(wanted)
        .bind(version)
        .execute(conn)
        .await?;
    Ok(())
}

/// A host acknowledged a version: what it covers took effect. Answers with the grants and locks whose effect is new.
pub async fn acknowledged(
    conn: &mut Conn,
    host: &str,
    version: i64,
    now: Now,
) -> Outcome<Vec<(String, String)>> {
    Ok(sqlx::query_as(
        "UPDATE effect SET effective_ms = CASE WHEN $3 > changed_ms THEN $3 - changed_ms ELSE 0 END
         WHERE host = $1 AND version <= $2 AND effective_ms IS NULL RETURNING kind, subject",
    )
    .bind(host)
    .bind(version)
    .bind(now.ms)
    .fetch_all(conn)
    .await?)
}

/// What the host refuses now, and nothing else.
pub async fn refused(conn: &mut Conn, host: &str, refused: &[(String, String)]) -> Outcome<Vec<String>> {
    let mut changed: Vec<String> = sqlx::query_scalar(
        "SELECT subject FROM effect WHERE host = $1 AND kind = 'grant' AND refused IS NOT NULL",
    )
    .bind(host)
    .fetch_all(&mut *conn)
    .await?;
    changed.retain(|subject| !refused.iter().any(|(grant, _)| grant == subject));
    for subject in &changed {
        set_refused(conn, host, subject, None).await?;
    }
    for (grant, cause) in refused {
        if set_refused(conn, host, grant, Some(cause)).await? {
            changed.push(grant.clone());
        }
    }
    Ok(changed)
}

async fn set_refused(conn: &mut Conn, host: &str, grant: &str, cause: Option<&str>) -> Outcome<bool> {
    let done = sqlx::query(
        "UPDATE effect SET refused = $3 WHERE host = $1 AND kind = 'grant' AND subject = $2 AND refused IS NOT $3",
    )
    .bind(host)
    .bind(grant)
    .bind(cause)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// How far the newest change of something has come.
pub async fn of(conn: &mut Conn, kind: &str, subject: &str) -> Outcome<Effect> {
    let rows: Vec<(String, Option<i64>, Option<String>)> = sqlx::query_as(
        "SELECT host, effective_ms, refused FROM effect WHERE kind = $1 AND subject = $2 ORDER BY host",
    )
    .bind(kind)
    .bind(subject)
    .fetch_all(conn)
    .await?;
    let hosts = rows.into_iter().map(|(host, ms, refused)| HostEffect {
        host,
        effective_after_ms: ms.map(i64::unsigned_abs),
        refused,
    });
    Ok(Effect { hosts: hosts.collect() })
}
