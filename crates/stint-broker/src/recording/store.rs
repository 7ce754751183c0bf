//! What the hosts' journals say of recordings.

use stint_api::recordings::RecordingView;
use stint_log::record::{CommandLine, Event, IoLog};

use crate::error::{Outcome, Problem};
use crate::store::Conn;

/// A recording as it is known here.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Known {
    host: String,
    run: String,
    access_grant: Option<String>,
    what: String,
    began: i64,
    bytes: Option<i64>,
    sha256: Option<String>,
    whole: Option<bool>,
    received: Option<i64>,
}

impl Known {
    /// How long it is and its SHA-256, once the host's journal says that.
    pub fn named(&self) -> Option<(u64, &str)> {
        Some((self.bytes?.unsigned_abs(), self.sha256.as_deref()?))
    }
    /// Whether it is here.
    pub fn is_here(&self) -> bool {
        self.received.is_some()
    }
    /// As people see it.
    pub fn view(self) -> Outcome<RecordingView> {
        let what: CommandLine = serde_json::from_str(&self.what).map_err(Problem::internal)?;
        Ok(RecordingView {
            host: self.host,
            run: self.run,
            grant: self.access_grant,
            user: what.user,
            run_as: what.run_as,
            command: what.command,
            argv: what.argv,
            began: self.began,
            bytes: self.bytes.map(i64::unsigned_abs),
            sha256: self.sha256,
            whole: self.whole,
            received: self.received,
        })
    }
}

/// Keeps what a record of a host's journal says of a recording. The first word of a run counts: ids are used once.
pub async fn note(conn: &mut Conn, host: &str, event: &Event, at: i64) -> Outcome<()> {
    match event {
        Event::CommandAccepted { run, grant, io: true, sub: false, what, .. } => {
            begun(conn, host, run, grant.as_deref(), what, at).await
        }
        event => match event.recording() {
            Some((run, io)) => over(conn, host, run, io).await,
            None => Ok(()),
        },
    }
}

async fn begun(
    conn: &mut Conn,
    host: &str,
    run: &str,
    grant: Option<&str>,
    what: &CommandLine,
    at: i64,
) -> Outcome<()> {
    // A host speaks of grants on itself only: of another's it is kept nowhere but in its journal.
    sqlx::query(
        "INSERT INTO recording (host, run, access_grant, what, began)
         VALUES ($1, $2, (SELECT access_grant FROM grant_host WHERE host = $1 AND access_grant = $3), $4, $5)
         ON CONFLICT (host, run) DO NOTHING",
    )
    .bind(host)
    .bind(run)
    .bind(grant)
    .bind(serde_json::to_string(what).map_err(Problem::internal)?)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

async fn over(conn: &mut Conn, host: &str, run: &str, io: &IoLog) -> Outcome<()> {
    let absurd = |_| Problem::bad_input("a recording's length is absurd", "look at the host");
    sqlx::query(
        "UPDATE recording SET bytes = $3, sha256 = $4, whole = $5 WHERE host = $1 AND run = $2 AND bytes IS NULL",
    )
    .bind(host)
    .bind(run)
    .bind(i64::try_from(io.bytes).map_err(absurd)?)
    .bind(io.sha256.to_string())
    .bind(io.whole)
    .execute(conn)
    .await?;
    Ok(())
}

/// One recording.
pub async fn get(conn: &mut Conn, host: &str, run: &str) -> Outcome<Option<Known>> {
    Ok(sqlx::query_as("SELECT * FROM recording WHERE host = $1 AND run = $2")
        .bind(host)
        .bind(run)
        .fetch_optional(conn)
        .await?)
}

/// The newest ones: of one host, of one grant, of runs that begin like this, where that is asked for.
pub async fn list(
    conn: &mut Conn,
    host: Option<&str>,
    grant: Option<&str>,
    run: Option<&str>,
    limit: i64,
) -> Outcome<Vec<Known>> {
    Ok(sqlx::query_as(
        "SELECT * FROM recording WHERE ($1 IS NULL OR host = $1) AND ($2 IS NULL OR access_grant = $2)
         AND ($3 IS NULL OR substr(run, 1, length($3)) = $3) ORDER BY began DESC, host, run LIMIT $4",
    )
    .bind(host)
    .bind(grant)
    .bind(run)
    .bind(limit)
    .fetch_all(conn)
    .await?)
}

/// How many bytes are here.
pub async fn held_bytes(conn: &mut Conn) -> Outcome<u64> {
    let held: Option<i64> = sqlx::query_scalar("SELECT SUM(bytes) FROM recording WHERE received IS NOT NULL")
        .fetch_one(conn)
        .await?;
    Ok(held.unwrap_or(0).unsigned_abs())
}

/// From now on it is here.
pub async fn set_received(conn: &mut Conn, host: &str, run: &str, at: i64) -> Outcome<()> {
    sqlx::query("UPDATE recording SET received = $3 WHERE host = $1 AND run = $2")
        .bind(host)
        .bind(run)
        .bind(at)
        .execute(conn)
        .await?;
    Ok(())
}
