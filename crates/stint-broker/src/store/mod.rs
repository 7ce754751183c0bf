//! The database, behind one seam: everything else says [`Conn`] and plain SQL that PostgreSQL takes too.
//!
//! A change is made through [`Change`] only. It takes its turn (SQLite has one writer), and cannot be committed without an event.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::clock::Now;
use crate::error::{Outcome, Problem};
use crate::event;

/// A connection: what every storage function takes.
pub type Conn = SqliteConnection;

/// The database.
#[derive(Clone, Debug)]
enum Pool {
    Sqlite(SqlitePool),
}

/// The database, whose turn it is to write, and who wants to hear of changes.
#[derive(Clone, Debug)]
pub struct Db {
    pool: Pool,
    turn: Arc<Mutex<()>>,
    changes: watch::Sender<u64>,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("{0}: there is no database: run `stint-broker init`, or restore the backup of this folder")]
    Missing(String),
    /// It is damaged.
    #[error(
        "{path}: the database is damaged ({found}): restore it from the backup; do not start the broker on it"
    )]
    Corrupt {
        /// Which file.
        path: String,
        /// What SQLite found.
        found: String,
    },
    /// There is no room.
    #[error("{0}: the disk is full: make room on the broker's data directory, then start again")]
    Full(String),
    /// Something else.
    #[error("{path}: {cause}")]
    Other {
        /// Which file.
        path: String,
        /// What went wrong.
        cause: String,
    },
}

impl Db {
    /// Makes a new, empty database.
    pub async fn create(path: &Path) -> Result<Self, StoreError> {
        // Made here, for its mode: SQLite gives the same to the files beside it, and they hold people's secrets.
        let fault = |e: std::io::Error| classify(&path.display().to_string(), &e.to_string());
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
        // Through one connection: of two that close at once each sees the other, and neither takes its log into the file.
        Self::connect(path, true, 1).await
    }

    /// Opens the database, checks that it is whole, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.display().to_string()));
        }
        Self::connect(path, false, 8).await
    }

    async fn connect(path: &Path, create: bool, connections: u32) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let fault = |e: &dyn std::fmt::Display| classify(&name, &e.to_string());
        let options = SqliteConnectOptions::from_str("sqlite:")
            .map_err(|e| fault(&e))?
            .filename(path)
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .after_release(|conn, _| Box::pin(is_usable(conn)))
            .connect_with(options)
            .await
            .map_err(|e| fault(&e))?;
        let found: Vec<String> =
            sqlx::query_scalar("PRAGMA quick_check").fetch_all(&pool).await.map_err(|e| fault(&e))?;
        if found != ["ok"] {
            return Err(StoreError::Corrupt { path: name, found: found.join("; ") });
        }
        sqlx::migrate!("./migrations/sqlite").run(&pool).await.map_err(|e| fault(&e))?;
        Ok(Self { pool: Pool::Sqlite(pool), turn: Arc::default(), changes: watch::Sender::new(0) })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Outcome<PoolConnection<Sqlite>> {
        let Pool::Sqlite(pool) = &self.pool;
        Ok(pool.acquire().await?)
    }

    /// A change, begun now.
    pub async fn change(&self, now: Now) -> Outcome<Change> {
        let turn = self.turn.clone().lock_owned().await;
        let Pool::Sqlite(pool) = &self.pool;
        let tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Change { tx, now, events: 0, changes: self.changes.clone(), _turn: turn })
    }

    /// Tells of every committed change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ends all connections; what was committed is on disk already.
    pub async fn close(&self) {
        let Pool::Sqlite(pool) = &self.pool;
        pool.close().await;
    }
}

/// Whether a connection that comes back can begin another transaction. On a full disk SQLite rolls back by itself, and then refuses the
/// rollback that is asked of it: the connection would be taken for one inside a transaction for ever, and each change on it fail.
async fn is_usable(conn: &mut Conn) -> Result<bool, sqlx::Error> {
    // The rollback of a change that was dropped waits in front of this.
    conn.ping().await?;
    Ok(!conn.is_in_transaction())
}

fn classify(path: &str, cause: &str) -> StoreError {
    if cause.contains("is full") {
        return StoreError::Full(path.to_owned());
    }
    let damaged = ["malformed", "not a database", "corrupt"].iter().any(|w| cause.contains(w));
    if damaged {
        StoreError::Corrupt { path: path.to_owned(), found: cause.to_owned() }
    } else {
        StoreError::Other { path: path.to_owned(), cause: cause.to_owned() }
    }
}

/// One change: a transaction with its events. Dropped without [`Change::commit`], nothing has happened.
#[derive(Debug)]
pub struct Change {
    tx: Transaction<'static, Sqlite>,
    /// When it is made.
    pub now: Now,
    events: u32,
    changes: watch::Sender<u64>,
    _turn: OwnedMutexGuard<()>,
}

impl Change {
    /// The connection inside the transaction.
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.tx
    }

    /// Writes an event.
    pub async fn record(&mut self, actor: &str, kind: &str, subject: &str, detail: Value) -> Outcome<()> {
        event::append(&mut self.tx, self.now.secs(), actor, kind, subject, &detail).await?;
        if kind.starts_with("alarm.") {
            tracing::warn!(actor, kind, subject, %detail, "alarm");
        } else {
            tracing::info!(actor, kind, subject, "event");
        }
        self.events += 1;
        Ok(())
    }

    /// Makes the change durable, and tells who waits for changes.
    pub async fn commit(self) -> Outcome<()> {
        if self.events == 0 {
            return Err(Problem::internal("a change without an event was refused"));
        }
        self.tx.commit().await?;
        self.changes.send_modify(|n| *n += 1);
        Ok(())
    }
}
