//! Grants in the database.

use stint_api::grants::GrantView;
use stint_grant::terms::CheckedTerms;
use stint_grant::time::{Seconds, UnixTime};

use crate::bundle::size::Load;
use crate::error::{Outcome, Problem};
use crate::grant::effect;
use crate::grant::state::{Grant, State};
use crate::journal;
use crate::store::Conn;

/// A grant as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    /// Its id; the request's too.
    pub id: String,
    version: i64,
    state: String,
    /// Whose it is.
    pub principal: String,
    /// The local account.
    pub account: String,
    /// The entitlement.
    pub entitlement: String,
    not_before: i64,
    claim_by: i64,
    window_s: i64,
    extension_left: i64,
    from_at: Option<i64>,
    until_at: Option<i64>,
    ended_at: Option<i64>,
    ended_by: Option<String>,
    end_reason: Option<String>,
    sealed: i64,
}

impl Row {
    /// What its rules look at.
    pub fn grant(&self) -> Outcome<Grant> {
        let state = State::from_word(&self.state)
            .ok_or_else(|| Problem::internal(format!("grant {}: state {:?}", self.id, self.state)))?;
        Ok(Grant {
            state,
            not_before: UnixTime(self.not_before),
            claim_by: UnixTime(self.claim_by),
            window: Seconds(self.window_s.unsigned_abs()),
            sealed: self.sealed != 0,
            extension_left: Seconds(self.extension_left.unsigned_abs()),
            from: self.from_at.map(UnixTime),
            until: self.until_at.map(UnixTime),
            ended_at: self.ended_at.map(UnixTime),
        })
    }
    /// Who ended it, if a person did.
    pub fn ended_by(&self) -> Option<&str> {
        self.ended_by.as_deref()
    }
}

fn seconds(length: Seconds) -> Outcome<i64> {
    i64::try_from(length.0).map_err(Problem::internal)
}

/// The grant of an approved request.
pub async fn add(conn: &mut Conn, terms: &CheckedTerms) -> Outcome<()> {
    sqlx::query(
        "INSERT INTO access_grant (id, version, state, principal, account, entitlement, not_before, claim_by, window_s, extension_left, sealed)
         VALUES ($1, 1, 'claimable', $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(terms.request.as_str())
    .bind(terms.principal.as_str())
    .bind(terms.user.as_str())
    .bind(terms.entitlement.as_str())
    .bind(terms.not_before.0)
    .bind(terms.claim_by.0)
    .bind(seconds(terms.max_window)?)
    .bind(seconds(terms.max_extension)?)
    .bind(i64::from(terms.is_sealed()))
    .execute(&mut *conn)
    .await?;
    for host in &terms.hosts {
        sqlx::query("INSERT INTO grant_host (access_grant, host) VALUES ($1, $2)")
            .bind(terms.request.as_str())
            .bind(host.as_str())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// A grant by id.
pub async fn get(conn: &mut Conn, id: &str) -> Outcome<Row> {
    sqlx::query_as("SELECT * FROM access_grant WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no grant {id}"), "see `stint grant ls`"))
}

/// Its hosts.
pub async fn hosts(conn: &mut Conn, id: &str) -> Outcome<Vec<String>> {
    Ok(sqlx::query_scalar("SELECT host FROM grant_host WHERE access_grant = $1 ORDER BY host")
        .bind(id)
        .fetch_all(conn)
        .await?)
}

/// Keeps what its rules decided.
pub async fn set(
    conn: &mut Conn,
    id: &str,
    grant: &Grant,
    by: Option<&str>,
    why: Option<&str>,
) -> Outcome<()> {
    sqlx::query(
        "UPDATE access_grant SET version = version + 1, state = $2, extension_left = $3, from_at = $4, until_at = $5,
         ended_at = $6, ended_by = $7, end_reason = $8 WHERE id = $1",
    )
    .bind(id)
    .bind(grant.state.word())
    .bind(seconds(grant.extension_left)?)
    .bind(grant.from.map(|t| t.0))
    .bind(grant.until.map(|t| t.0))
    .bind(grant.ended_at.map(|t| t.0))
    .bind(by)
    .bind(why)
    .execute(conn)
    .await?;
    Ok(())
}

/// Its version rises: something that is shown with it changed.
pub async fn bump(conn: &mut Conn, id: &str) -> Outcome<()> {
    sqlx::query("UPDATE access_grant SET version = version + 1 WHERE id = $1").bind(id).execute(conn).await?;
    Ok(())
}

/// Live grants whose time is over.
pub async fn overdue(conn: &mut Conn, now: i64) -> Outcome<Vec<Row>> {
    Ok(sqlx::query_as(
        "SELECT * FROM access_grant
         WHERE (state = 'active' AND until_at <= $1) OR (state = 'claimable' AND claim_by < $1)",
    )
    .bind(now)
    .fetch_all(conn)
    .await?)
}

/// What an account has active on a host, or all accounts.
pub async fn load_of(conn: &mut Conn, account: Option<&str>, host: &str) -> Outcome<Load> {
    Ok(sqlx::query_as(
        "SELECT count(*) AS grants, coalesce(sum(octet_length(r.terms)), 0) AS bytes FROM access_grant g
         JOIN grant_host h ON h.access_grant = g.id JOIN request r ON r.id = g.id
         WHERE g.state = 'active' AND ($1 IS NULL OR g.account = $1) AND h.host = $2",
    )
    .bind(account)
    .bind(host)
    .fetch_one(conn)
    .await?)
}

/// How many grants that are over a host's bundle may tell of.
pub async fn endings_of(conn: &mut Conn, host: &str, since: i64) -> Outcome<i64> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM access_grant g JOIN grant_host h ON h.access_grant = g.id
         WHERE h.host = $1 AND g.from_at IS NOT NULL AND g.state <> 'active' AND g.ended_at >= $2",
    )
    .bind(host)
    .bind(since)
    .fetch_one(conn)
    .await?)
}

/// A grant with its terms and policy, for a bundle.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Bundled {
    /// The grant.
    #[sqlx(flatten)]
    pub row: Row,
    /// The text of its terms.
    pub terms: String,
    /// The catalog's version that it was made under.
    pub policy: String,
}

/// What a host's bundle holds: active grants, and those that ended after `since`, newest end first.
pub async fn for_host(conn: &mut Conn, host: &str, since: i64) -> Outcome<Vec<Bundled>> {
    Ok(sqlx::query_as(
        "SELECT g.*, r.terms, r.policy FROM access_grant g
         JOIN grant_host h ON h.access_grant = g.id JOIN request r ON r.id = g.id
         WHERE h.host = $1 AND g.from_at IS NOT NULL AND (g.state = 'active' OR g.ended_at >= $2)
         ORDER BY g.account, g.ended_at DESC, g.id",
    )
    .bind(host)
    .bind(since)
    .fetch_all(conn)
    .await?)
}

/// Grants as they are shown, newest first, 500 at most.
pub async fn list(
    conn: &mut Conn,
    state: Option<&str>,
    of: Option<&str>,
    now: UnixTime,
) -> Outcome<Vec<GrantView>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM access_grant WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR principal = $2)
         ORDER BY coalesce(from_at, claim_by) DESC, id LIMIT 500",
    )
    .bind(state)
    .bind(of)
    .fetch_all(&mut *conn)
    .await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in &rows {
        views.push(view(conn, row, now).await?);
    }
    Ok(views)
}

/// A grant as it is shown.
pub async fn show(conn: &mut Conn, id: &str, now: UnixTime) -> Outcome<GrantView> {
    let row = get(conn, id).await?;
    view(conn, &row, now).await
}

async fn view(conn: &mut Conn, row: &Row, now: UnixTime) -> Outcome<GrantView> {
    let grant = row.grant()?.at(now);
    Ok(GrantView {
        id: row.id.clone(),
        version: row.version.unsigned_abs(),
        state: grant.state.word().to_owned(),
        principal: row.principal.clone(),
        user: row.account.clone(),
        entitlement: row.entitlement.clone(),
        hosts: hosts(conn, &row.id).await?,
        claim_by: grant.claim_by.0,
        from: grant.from.map(|t| t.0),
        until: grant.until.map(|t| t.0),
        extension_left: grant.extension_left.0,
        ended_by: row.ended_by.clone(),
        end_reason: row.end_reason.clone(),
        effect: effect::of(conn, "grant", &row.id).await?,
        receipts: journal::store::receipts(conn, &row.id).await?,
        sealed: grant.sealed,
        openings: journal::store::openings(conn, &row.id).await?,
    })
}
