//! Sessions: opaque tokens of 256 bits, of which only the hash is stored. Short, and renewed up to a working day.

use stint_api::people::SignedIn;

use crate::error::{Outcome, Problem};
use crate::random;
use crate::store::Conn;

/// How long a token holds (seconds).
pub const TOKEN: i64 = 15 * 60;
/// How long a session can be renewed (seconds).
pub const SESSION: i64 = 12 * 3600;

#[derive(sqlx::FromRow)]
struct Row {
    person: String,
    expires_at: i64,
    ends_at: i64,
}

/// A new session, or the next token of one that ends at `ends_at`.
pub async fn open(conn: &mut Conn, person: &str, now: i64, ends_at: Option<i64>) -> Outcome<SignedIn> {
    let token = random::secret();
    let ends_at = ends_at.unwrap_or(now + SESSION);
    let expires_at = (now + TOKEN).min(ends_at);
    sqlx::query("DELETE FROM session WHERE expires_at <= $1").bind(now).execute(&mut *conn).await?;
    sqlx::query("INSERT INTO session (token_hash, person, expires_at, ends_at) VALUES ($1, $2, $3, $4)")
        .bind(random::hash_of(&token))
        .bind(person)
        .bind(expires_at)
        .bind(ends_at)
        .execute(conn)
        .await?;
    Ok(SignedIn {
        token: token.to_string(),
        expires_at,
        session_ends_at: ends_at,
        principal: person.to_owned(),
    })
}

/// Whose token this is.
pub async fn person_of(conn: &mut Conn, token_hash: &str, now: i64) -> Outcome<String> {
    Ok(find(conn, token_hash, now).await?.person)
}

/// Takes a token in for a new one of the same session. The old one is void.
pub async fn renew(conn: &mut Conn, token_hash: &str, now: i64) -> Outcome<SignedIn> {
    let row = find(conn, token_hash, now).await?;
    close(conn, token_hash).await?;
    open(conn, &row.person, now, Some(row.ends_at)).await
}

async fn find(conn: &mut Conn, token_hash: &str, now: i64) -> Outcome<Row> {
    let row: Option<Row> =
        sqlx::query_as("SELECT person, expires_at, ends_at FROM session WHERE token_hash = $1")
            .bind(token_hash)
            .fetch_optional(conn)
            .await?;
    row.filter(|r| r.expires_at > now).ok_or_else(|| {
        Problem::unauthenticated("you are not signed in, or your session ended", "stint login")
    })
}

/// Ends the session of one token.
pub async fn close(conn: &mut Conn, token_hash: &str) -> Outcome<()> {
    sqlx::query("DELETE FROM session WHERE token_hash = $1").bind(token_hash).execute(conn).await?;
    Ok(())
}

/// Ends all sessions of a person, but perhaps one.
pub async fn close_all(conn: &mut Conn, person: &str, but: Option<&str>) -> Outcome<()> {
    sqlx::query("DELETE FROM session WHERE person = $1 AND token_hash <> $2")
        .bind(person)
        .bind(but.unwrap_or_default())
        .execute(conn)
        .await?;
    Ok(())
}
