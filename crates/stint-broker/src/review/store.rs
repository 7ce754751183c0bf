//! Reviews in the database.

use stint_api::hosts::WireReview;
use stint_api::requests::ReviewView;
use stint_grant::review::{ReviewDecision, SignedReview};

use crate::bundle::size::Load;
use crate::error::{Outcome, Problem};
use crate::store::Conn;

/// The word of a decision.
pub fn word(decision: ReviewDecision) -> &'static str {
    match decision {
        ReviewDecision::Approve => "approve",
        ReviewDecision::Deny => "deny",
    }
}

/// Keeps a review; false if this reviewer has reviewed already.
pub async fn add(
    conn: &mut Conn,
    request: &str,
    reviewer: &str,
    decision: ReviewDecision,
    signed: &SignedReview,
    comment: Option<&str>,
    at: i64,
) -> Outcome<bool> {
    let done = sqlx::query(
        "INSERT INTO review (request, reviewer, decision, statement, signature, comment, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (request, reviewer) DO NOTHING",
    )
    .bind(request)
    .bind(reviewer)
    .bind(word(decision))
    .bind(&signed.statement)
    .bind(&signed.signature)
    .bind(comment)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Approvals so far.
pub async fn approvals(conn: &mut Conn, request: &str) -> Outcome<u32> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM review WHERE request = $1 AND decision = 'approve'")
            .bind(request)
            .fetch_one(conn)
            .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether somebody approved it.
pub async fn approved_by(conn: &mut Conn, request: &str, reviewer: &str) -> Outcome<bool> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM review WHERE request = $1 AND reviewer = $2 AND decision = 'approve'",
    )
    .bind(request)
    .bind(reviewer)
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// The reviews of a request as they are shown.
pub async fn views(conn: &mut Conn, request: &str) -> Outcome<Vec<ReviewView>> {
    let rows: Vec<(String, String, i64, Option<String>)> = sqlx::query_as(
        "SELECT reviewer, decision, at, comment FROM review WHERE request = $1 ORDER BY at, reviewer",
    )
    .bind(request)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(reviewer, decision, at, comment)| ReviewView { reviewer, decision, at, comment })
        .collect())
}

/// The reviews of all grants that are active on a host.
pub async fn for_host(conn: &mut Conn, host: &str) -> Outcome<Vec<WireReview>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.statement, r.signature FROM review r
         JOIN access_grant g ON g.id = r.request JOIN grant_host h ON h.access_grant = g.id
         WHERE h.host = $1 AND g.state = 'active' ORDER BY r.request, r.reviewer",
    )
    .bind(host)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(statement, signature)| WireReview { statement, signature }).collect())
}

/// The reviews of all grants that are active on a host, in numbers.
pub async fn load_of(conn: &mut Conn, host: &str) -> Outcome<Load> {
    Ok(sqlx::query_as(
        "SELECT count(*) AS grants, coalesce(sum(octet_length(r.statement) + octet_length(r.signature)), 0) AS bytes
         FROM review r JOIN access_grant g ON g.id = r.request JOIN grant_host h ON h.access_grant = g.id
         WHERE h.host = $1 AND g.state = 'active'",
    )
    .bind(host)
    .fetch_one(conn)
    .await?)
}

/// The text in which a bundle's reviews are kept.
pub fn to_text(reviews: &[WireReview]) -> Outcome<String> {
    serde_json::to_string(reviews).map_err(Problem::internal)
}

/// Reads what [`to_text`] wrote.
pub fn from_text(text: &str) -> Outcome<Vec<WireReview>> {
    serde_json::from_str(text).map_err(Problem::internal)
}
