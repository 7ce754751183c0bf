//! Requests in the database.

use std::collections::BTreeMap;

use stint_api::requests::RequestView;
use stint_grant::terms::CheckedTerms;
use stint_grant::time::UnixTime;

use crate::error::{Outcome, Problem};
use crate::request::state::{Facts, State};
use crate::review;
use crate::store::Conn;

/// A request.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// Rises with each change.
    pub version: i64,
    state: String,
    /// Who asked.
    pub principal: String,
    /// The entitlement.
    pub entitlement: String,
    /// The text of the terms.
    pub terms: String,
    /// The catalog's version.
    pub policy: String,
    reviews_needed: i64,
    /// When it was made.
    pub created_at: i64,
    claim_by: i64,
    cancelled_why: Option<String>,
}

impl Request {
    /// Its terms.
    pub fn checked_terms(&self) -> Outcome<CheckedTerms> {
        CheckedTerms::parse(&self.terms).map_err(|e| Problem::internal(format!("request {}: {e}", self.id)))
    }
    /// Reviews needed.
    pub fn reviews_needed(&self) -> u32 {
        u32::try_from(self.reviews_needed).unwrap_or(u32::MAX)
    }
    /// What decides over it.
    pub fn facts(&self, approvals: u32) -> Outcome<Facts> {
        let state = State::from_word(&self.state)
            .ok_or_else(|| Problem::internal(format!("request {}: state {:?}", self.id, self.state)))?;
        Ok(Facts { state, claim_by: UnixTime(self.claim_by), approvals, needed: self.reviews_needed() })
    }
}

/// A new request.
pub async fn add(
    conn: &mut Conn,
    terms: &CheckedTerms,
    text: &str,
    policy: &str,
    reviews_needed: u32,
    now: i64,
) -> Outcome<()> {
    sqlx::query(
        "INSERT INTO request (id, version, state, principal, entitlement, terms, policy, reviews_needed, created_at, claim_by)
         VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(terms.request.as_str())
    .bind(State::Pending.word())
    .bind(terms.principal.as_str())
    .bind(terms.entitlement.as_str())
    .bind(text)
    .bind(policy)
    .bind(i64::from(reviews_needed))
    .bind(now)
    .bind(terms.claim_by.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// A request by id.
pub async fn get(conn: &mut Conn, id: &str) -> Outcome<Request> {
    sqlx::query_as("SELECT * FROM request WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no request {id}"), "see `stint request ls`"))
}

/// The next state, or the same one with one more review.
pub async fn set_state(conn: &mut Conn, id: &str, state: State) -> Outcome<()> {
    sqlx::query("UPDATE request SET state = $2, version = version + 1 WHERE id = $1")
        .bind(id)
        .bind(state.word())
        .execute(conn)
        .await?;
    Ok(())
}

/// Cancelled, and not by who asked.
pub async fn cancel(conn: &mut Conn, id: &str, why: &str) -> Outcome<()> {
    sqlx::query("UPDATE request SET state = $2, cancelled_why = $3, version = version + 1 WHERE id = $1")
        .bind(id)
        .bind(State::Cancelled.word())
        .bind(why)
        .execute(conn)
        .await?;
    Ok(())
}

/// Pending requests whose time is over.
pub async fn overdue(conn: &mut Conn, now: i64) -> Outcome<Vec<String>> {
    Ok(sqlx::query_scalar("SELECT id FROM request WHERE state = 'pending' AND claim_by < $1")
        .bind(now)
        .fetch_all(conn)
        .await?)
}

/// Requests of which something may still come, or comes now: pending, or with a live grant. Of one person, or of all.
pub async fn open(conn: &mut Conn, person: Option<&str>) -> Outcome<Vec<Request>> {
    Ok(sqlx::query_as(
        "SELECT r.* FROM request r LEFT JOIN access_grant g ON g.id = r.id
         WHERE (r.state = 'pending' OR g.state IN ('claimable', 'active')) AND ($1 IS NULL OR r.principal = $1)
         ORDER BY r.created_at, r.id",
    )
    .bind(person)
    .fetch_all(conn)
    .await?)
}

/// Which requests a list holds.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Only those in this state.
    pub state: Option<&'a str>,
    /// Those of this person.
    pub of: Option<&'a str>,
    /// And all pending ones.
    pub and_pending: bool,
}

/// Requests, newest first, 500 at most.
pub async fn list(conn: &mut Conn, wanted: &Wanted<'_>, now: UnixTime) -> Outcome<Vec<RequestView>> {
    let rows: Vec<Request> = sqlx::query_as(
        "SELECT * FROM request
         WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR principal = $2 OR ($3 AND state = 'pending'))
         ORDER BY created_at DESC, id LIMIT 500",
    )
    .bind(wanted.state)
    .bind(wanted.of)
    .bind(wanted.and_pending)
    .fetch_all(&mut *conn)
    .await?;
    let mut reviews = BTreeMap::new();
    for row in &rows {
        reviews.insert(row.id.clone(), review::store::views(conn, &row.id).await?);
    }
    rows.iter().map(|row| view(row, reviews.remove(&row.id).unwrap_or_default(), now)).collect()
}

/// One request as it is shown.
pub async fn show(conn: &mut Conn, id: &str, now: UnixTime) -> Outcome<RequestView> {
    let row = get(conn, id).await?;
    let reviews = review::store::views(conn, id).await?;
    view(&row, reviews, now)
}

fn view(row: &Request, reviews: Vec<stint_api::requests::ReviewView>, now: UnixTime) -> Outcome<RequestView> {
    let terms = row.checked_terms()?;
    Ok(RequestView {
        id: row.id.clone(),
        version: row.version.unsigned_abs(),
        state: row.facts(0)?.at(now).word().to_owned(),
        principal: row.principal.clone(),
        entitlement: row.entitlement.clone(),
        hosts: terms.hosts.iter().map(ToString::to_string).collect(),
        reason: terms.reason.clone(),
        ticket: terms.ticket.clone(),
        created_at: row.created_at,
        claim_by: row.claim_by,
        window: terms.max_window.0,
        terms: row.terms.clone(),
        reviews_needed: row.reviews_needed(),
        reviews,
        cancelled_why: row.cancelled_why.clone(),
    })
}
