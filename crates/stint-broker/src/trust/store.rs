//! Roots and rosters in the database.

use stint_grant::ids::Sha256Hex;

use crate::error::{Outcome, Problem};
use crate::store::Conn;
use crate::trust::Trust;

/// All roots, version 1 first, and the newest roster, as text.
pub async fn texts(conn: &mut Conn) -> Outcome<(Vec<String>, Option<String>)> {
    let roots =
        sqlx::query_scalar("SELECT envelope FROM root ORDER BY version").fetch_all(&mut *conn).await?;
    let roster = sqlx::query_scalar("SELECT envelope FROM roster ORDER BY version DESC LIMIT 1")
        .fetch_optional(conn)
        .await?;
    Ok((roots, roster))
}

/// All that is trusted, verified anew.
pub async fn load(conn: &mut Conn) -> Outcome<Trust> {
    let pin: String =
        sqlx::query_scalar("SELECT value FROM meta WHERE key = 'root_pin'").fetch_one(&mut *conn).await?;
    let (roots, roster) = texts(conn).await?;
    let pin = Sha256Hex::new(pin)?;
    Trust::open(pin, roots, roster)
        .map_err(|e| Problem::internal(format!("the stored root does not hold: {e}")))
}

/// Pins the first root.
pub async fn begin(conn: &mut Conn, fleet: &str, pin: &Sha256Hex, envelope: &str) -> Outcome<()> {
    for (key, value) in [("fleet", fleet), ("root_pin", pin.as_str())] {
        sqlx::query("INSERT INTO meta (key, value) VALUES ($1, $2)")
            .bind(key)
            .bind(value)
            .execute(&mut *conn)
            .await?;
    }
    add_root(conn, 1, envelope).await
}

/// Adds a root.
pub async fn add_root(conn: &mut Conn, version: u64, envelope: &str) -> Outcome<()> {
    sqlx::query("INSERT INTO root (version, envelope) VALUES ($1, $2)")
        .bind(i64::try_from(version).map_err(Problem::internal)?)
        .bind(envelope)
        .execute(conn)
        .await?;
    Ok(())
}

/// The highest version of all rosters that were ever published; 0 without any.
pub async fn highest_roster(conn: &mut Conn) -> Outcome<u64> {
    let highest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM roster").fetch_one(conn).await?;
    Ok(highest.unwrap_or(0).unsigned_abs())
}

/// Adds a roster.
pub async fn add_roster(conn: &mut Conn, version: u64, envelope: &str) -> Outcome<()> {
    sqlx::query("INSERT INTO roster (version, envelope) VALUES ($1, $2)")
        .bind(
            i64::try_from(version).map_err(|_| {
                Problem::bad_input("the roster's version is too high", "number rosters 1, 2, 3")
            })?,
        )
        .bind(envelope)
        .execute(conn)
        .await?;
    Ok(())
}
