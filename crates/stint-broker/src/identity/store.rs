//! People in the database.

use crate::error::{Outcome, Problem};
use crate::identity::Role;
use crate::identity::lockout::Lockout;
use crate::store::Conn;

/// A person.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// Their local account on hosts.
    pub account: String,
    roles: String,
    /// Whether they may sign in.
    pub enabled: bool,
    /// The hash of the password.
    pub password: String,
    /// The TOTP secret, base32.
    pub totp_secret: String,
    /// The last TOTP step that was taken.
    pub totp_step: i64,
    failures: i64,
    locked_until: i64,
}

impl Person {
    /// Their roles.
    pub fn roles(&self) -> Vec<Role> {
        self.roles.split_whitespace().filter_map(Role::from_word).collect()
    }
    /// Their wrong attempts.
    pub fn lockout(&self) -> Lockout {
        Lockout { failures: u32::try_from(self.failures).unwrap_or(u32::MAX), until: self.locked_until }
    }
}

fn words(roles: &[Role]) -> String {
    roles.iter().map(|r| r.word()).collect::<Vec<_>>().join(" ")
}

/// A person by name.
pub async fn find(conn: &mut Conn, name: &str) -> Outcome<Option<Person>> {
    Ok(sqlx::query_as("SELECT * FROM person WHERE name = $1").bind(name).fetch_optional(conn).await?)
}

/// A person by name, who must exist.
pub async fn get(conn: &mut Conn, name: &str) -> Outcome<Person> {
    find(conn, name).await?.ok_or_else(|| {
        Problem::not_found(format!("there is no user {name}"), "see the names in `stint user ls`")
    })
}

/// Everybody, by name.
pub async fn list(conn: &mut Conn) -> Outcome<Vec<Person>> {
    Ok(sqlx::query_as("SELECT * FROM person ORDER BY name").fetch_all(conn).await?)
}

/// A new person; false if the name is taken.
pub async fn add(
    conn: &mut Conn,
    name: &str,
    account: &str,
    roles: &[Role],
    password_hash: &str,
    totp_secret: &str,
) -> Outcome<bool> {
    let done = sqlx::query(
        "INSERT INTO person (name, account, roles, enabled, password, totp_secret, totp_step, failures, locked_until)
         VALUES ($1, $2, $3, 1, $4, $5, 0, 0, 0) ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(account)
    .bind(words(roles))
    .bind(password_hash)
    .bind(totp_secret)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Other account, roles, or leave to sign in.
pub async fn change(
    conn: &mut Conn,
    name: &str,
    account: &str,
    roles: &[Role],
    enabled: bool,
) -> Outcome<()> {
    sqlx::query("UPDATE person SET account = $2, roles = $3, enabled = $4 WHERE name = $1")
        .bind(name)
        .bind(account)
        .bind(words(roles))
        .bind(enabled)
        .execute(conn)
        .await?;
    Ok(())
}

/// Another password.
pub async fn set_password(conn: &mut Conn, name: &str, hash: &str) -> Outcome<()> {
    sqlx::query("UPDATE person SET password = $2 WHERE name = $1")
        .bind(name)
        .bind(hash)
        .execute(conn)
        .await?;
    Ok(())
}

/// Another TOTP secret.
pub async fn set_totp(conn: &mut Conn, name: &str, secret: &str) -> Outcome<()> {
    sqlx::query(
        "UPDATE person SET totp_secret = $2, totp_step = 0, failures = 0, locked_until = 0 WHERE name = $1",
    )
    .bind(name)
    .bind(secret)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps what is known of wrong attempts.
pub async fn set_lockout(conn: &mut Conn, name: &str, lockout: Lockout) -> Outcome<()> {
    sqlx::query("UPDATE person SET failures = $2, locked_until = $3 WHERE name = $1")
        .bind(name)
        .bind(i64::from(lockout.failures))
        .bind(lockout.until)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes a TOTP step; false if it or a later one was taken before.
pub async fn take_step(conn: &mut Conn, name: &str, step: i64) -> Outcome<bool> {
    let done = sqlx::query("UPDATE person SET totp_step = $2 WHERE name = $1 AND totp_step < $2")
        .bind(name)
        .bind(step)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
