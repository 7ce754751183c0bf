//! The broker's own record: every change is an event, in the same transaction, each with the hash of the one before.

pub(crate) mod routes;

use serde_json::Value;
use stint_api::audit::EventView;

use crate::error::Outcome;
use crate::store::Conn;

const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes the next event.
pub async fn append(
    conn: &mut Conn,
    at: i64,
    actor: &str,
    kind: &str,
    subject: &str,
    detail: &Value,
) -> Outcome<()> {
    let last: Option<(i64, String)> = sqlx::query_as("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *conn)
        .await?;
    let (seq, prev) = last.map_or((0, NOTHING_BEFORE.to_owned()), |(seq, hash)| (seq + 1, hash));
    let mut event = EventView {
        seq: seq.unsigned_abs(),
        at,
        actor: actor.to_owned(),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        detail: detail.clone(),
        prev,
        hash: String::new(),
    };
    event.hash = event.computed_hash();
    sqlx::query(
        "INSERT INTO event (seq, at, actor, kind, subject, detail, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(seq)
    .bind(at)
    .bind(actor)
    .bind(kind)
    .bind(subject)
    .bind(detail.to_string())
    .bind(&event.prev)
    .bind(&event.hash)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    at: i64,
    actor: String,
    kind: String,
    subject: String,
    detail: String,
    prev: String,
    hash: String,
}

/// Events from a number on, oldest first.
pub async fn list(conn: &mut Conn, from: i64, limit: i64) -> Outcome<Vec<EventView>> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM event WHERE seq >= $1 ORDER BY seq LIMIT $2")
        .bind(from)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|r| EventView {
            seq: r.seq.unsigned_abs(),
            at: r.at,
            actor: r.actor,
            kind: r.kind,
            subject: r.subject,
            detail: serde_json::from_str(&r.detail).unwrap_or(Value::Null),
            prev: r.prev,
            hash: r.hash,
        })
        .collect())
}

/// The first event that does not follow from the one before, if there is one.
pub fn first_broken(events: &[EventView]) -> Option<u64> {
    let mut prev: Option<&EventView> = None;
    for event in events {
        let follows = match prev {
            Some(p) => event.seq == p.seq + 1 && event.prev == p.hash,
            None => event.seq > 0 || event.prev == NOTHING_BEFORE,
        };
        if !follows || event.hash != event.computed_hash() {
            return Some(event.seq);
        }
        prev = Some(event);
    }
    None
}

/// Checks the whole chain: at start, so that a change behind the broker's back shows.
pub async fn verify(conn: &mut Conn) -> Outcome<Option<u64>> {
    let mut from = 0;
    let mut last: Option<EventView> = None;
    loop {
        let page = list(conn, from, 1000).await?;
        let Some(end) = page.last().cloned() else { return Ok(None) };
        from = i64::try_from(end.seq).unwrap_or(i64::MAX) + 1;
        let chained: Vec<EventView> = last.into_iter().chain(page).collect();
        if let Some(broken) = first_broken(&chained) {
            return Ok(Some(broken));
        }
        last = Some(end);
    }
}
