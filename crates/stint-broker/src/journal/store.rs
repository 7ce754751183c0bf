//! Journals in the database.

use stint_api::grants::{OpeningView, ReceiptView};
use stint_log::Hash;
use stint_log::chain::Chain;

use crate::error::{Outcome, Problem};
use crate::store::Conn;

/// Where a host's journal stands here.
pub async fn chain(conn: &mut Conn, host: &str) -> Outcome<Option<Chain>> {
    let state: Option<String> = sqlx::query_scalar("SELECT state FROM journal WHERE host = $1")
        .bind(host)
        .fetch_optional(conn)
        .await?;
    state
        .map(|s| serde_json::from_str(&s).map_err(|e| Problem::internal(format!("journal of {host}: {e}"))))
        .transpose()
}

/// How many records of the newest epoch are held.
pub async fn size(conn: &mut Conn, host: &str) -> Outcome<u64> {
    let size: Option<i64> = sqlx::query_scalar("SELECT size FROM journal WHERE host = $1")
        .bind(host)
        .fetch_optional(conn)
        .await?;
    Ok(size.unwrap_or(0).unsigned_abs())
}

fn number(n: u64) -> Outcome<i64> {
    i64::try_from(n)
        .map_err(|_| Problem::bad_input("a number in the journal is absurd", "begin a new log epoch"))
}

/// The hash of a record that is held.
pub async fn hash(conn: &mut Conn, host: &str, epoch: u64, seq: u64) -> Outcome<Option<Hash>> {
    let text: Option<String> =
        sqlx::query_scalar("SELECT hash FROM journal_record WHERE host = $1 AND epoch = $2 AND seq = $3")
            .bind(host)
            .bind(number(epoch)?)
            .bind(number(seq)?)
            .fetch_optional(conn)
            .await?;
    text.map(|t| t.parse().map_err(Problem::internal)).transpose()
}

/// Keeps a record.
pub async fn add_record(conn: &mut Conn, host: &str, epoch: u64, seq: u64, text: &str) -> Outcome<()> {
    sqlx::query("INSERT INTO journal_record (host, epoch, seq, hash, text) VALUES ($1, $2, $3, $4, $5)")
        .bind(host)
        .bind(number(epoch)?)
        .bind(number(seq)?)
        .bind(Hash::of(text.as_bytes()).to_string())
        .bind(text)
        .execute(conn)
        .await?;
    Ok(())
}

/// Keeps what a host says was left of a grant, in short: the newest word of each host.
pub async fn set_receipt(conn: &mut Conn, host: &str, grant: &str, line: &str, at: i64) -> Outcome<()> {
    sqlx::query(
        "INSERT INTO receipt (host, access_grant, line, at)
         SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM grant_host WHERE host = $1 AND access_grant = $2)
         ON CONFLICT (access_grant, host) DO UPDATE SET line = excluded.line, at = excluded.at",
    )
    .bind(host)
    .bind(grant)
    .bind(line)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps that a break-glass code opened a grant, and tells whether that is new. A host speaks of grants on itself only.
pub async fn add_opening(conn: &mut Conn, host: &str, grant: &str, opening: &OpeningView) -> Outcome<bool> {
    let done = sqlx::query(
        "INSERT INTO opening (host, access_grant, code, reason, at, until_at)
         SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM grant_host WHERE host = $1 AND access_grant = $2)
         ON CONFLICT (access_grant, host, code) DO NOTHING",
    )
    .bind(host)
    .bind(grant)
    .bind(&opening.code)
    .bind(&opening.reason)
    .bind(opening.at)
    .bind(opening.until)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// When codes opened a grant.
pub async fn openings(conn: &mut Conn, grant: &str) -> Outcome<Vec<OpeningView>> {
    let rows: Vec<(String, String, String, i64, i64)> = sqlx::query_as(
        "SELECT host, code, reason, at, until_at FROM opening WHERE access_grant = $1 ORDER BY at, code",
    )
    .bind(grant)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(host, code, reason, at, until)| OpeningView { host, code, reason, at, until })
        .collect())
}

/// What the hosts say was left of a grant.
pub async fn receipts(conn: &mut Conn, grant: &str) -> Outcome<Vec<ReceiptView>> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT host, line, at FROM receipt WHERE access_grant = $1 ORDER BY host")
            .bind(grant)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|(host, outcome, at)| ReceiptView { host, outcome, at }).collect())
}

/// Keeps a checkpoint.
pub async fn add_checkpoint(conn: &mut Conn, host: &str, epoch: u64, size: u64, text: &str) -> Outcome<()> {
    sqlx::query(
        "INSERT INTO journal_checkpoint (host, epoch, size, text) VALUES ($1, $2, $3, $4)
         ON CONFLICT (host, epoch, size) DO NOTHING",
    )
    .bind(host)
    .bind(number(epoch)?)
    .bind(number(size)?)
    .bind(text)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps where the journal stands.
pub async fn set_chain(conn: &mut Conn, host: &str, chain: &Chain) -> Outcome<()> {
    sqlx::query(
        "INSERT INTO journal (host, epoch, size, state) VALUES ($1, $2, $3, $4)
         ON CONFLICT (host) DO UPDATE SET epoch = excluded.epoch, size = excluded.size, state = excluded.state",
    )
    .bind(host)
    .bind(number(chain.epoch())?)
    .bind(number(chain.next_seq())?)
    .bind(serde_json::to_string(chain).map_err(Problem::internal)?)
    .execute(conn)
    .await?;
    Ok(())
}

/// A page: records, and the checkpoints that end in it.
pub async fn page(
    conn: &mut Conn,
    host: &str,
    epoch: u64,
    from: u64,
    limit: u64,
) -> Outcome<(Vec<String>, Vec<String>)> {
    let (epoch, first) = (number(epoch)?, number(from)?);
    let records: Vec<String> = sqlx::query_scalar(
        "SELECT text FROM journal_record WHERE host = $1 AND epoch = $2 AND seq >= $3 ORDER BY seq LIMIT $4",
    )
    .bind(host)
    .bind(epoch)
    .bind(first)
    .bind(number(limit)?)
    .fetch_all(&mut *conn)
    .await?;
    let end = first.saturating_add(number(records.len() as u64)?);
    // A checkpoint of the size where the page begins belongs to the page before, but for the very first.
    let checkpoints = sqlx::query_scalar(
        "SELECT text FROM journal_checkpoint WHERE host = $1 AND epoch = $2 AND size <= $4
         AND (size > $3 OR $3 = 0) ORDER BY size",
    )
    .bind(host)
    .bind(epoch)
    .bind(first)
    .bind(end)
    .fetch_all(conn)
    .await?;
    Ok((records, checkpoints))
}

/// How many records of an epoch are held.
pub async fn count(conn: &mut Conn, host: &str, epoch: u64) -> Outcome<u64> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM journal_record WHERE host = $1 AND epoch = $2")
        .bind(host)
        .bind(number(epoch)?)
        .fetch_one(conn)
        .await?;
    Ok(count.unsigned_abs())
}
