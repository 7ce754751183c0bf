//! Everything that must hold before the broker serves: what does not is said, and nothing starts.

use std::path::{Path, PathBuf};

use crate::catalog::{self, Catalog};
use crate::clock::Clock;
use crate::config::{Config, FileError};
use crate::event;
use crate::recording::Folder;
use crate::server::{App, OnlineKeys};
use crate::store::{Db, StoreError};
use crate::trust::ca::Ca;
use crate::trust::{self, keys};

/// Where things are in the data directory.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The data directory.
    pub data: PathBuf,
}

impl Layout {
    /// Of a data directory.
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }
    /// `broker.toml`.
    pub fn config(&self) -> PathBuf {
        self.data.join("broker.toml")
    }
    /// The catalog's folder.
    pub fn catalog(&self) -> PathBuf {
        self.data.join("catalog")
    }
    /// The database.
    pub fn database(&self) -> PathBuf {
        self.data.join("broker.db")
    }
    /// What commands printed on hosts.
    pub fn recordings(&self) -> PathBuf {
        self.data.join("recordings")
    }
    /// An online key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.data.join("keys").join(format!("{name}.key"))
    }
    /// The CA's certificate or key.
    pub fn ca(&self, what: &str) -> PathBuf {
        self.data.join("tls").join(format!("ca.{what}"))
    }
    /// What must be taken away.
    pub fn take_away(&self) -> PathBuf {
        self.data.join("take-away")
    }
}

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file is wrong.
    #[error("{0}")]
    File(#[from] FileError),
    /// The catalog is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Catalog(Vec<FileError>),
    /// A key is missing or not usable.
    #[error("{0}")]
    Key(#[from] keys::KeyFileError),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The keys that were to be taken away are here.
    #[error(
        "{0} can be read here: move the folder take-away to a place that this host cannot reach (a stick in a safe, \
         better two), then start again: with these keys a stolen broker could sign reviewers of its own"
    )]
    TakeAway(String),
    /// The record was changed.
    #[error(
        "event {0} does not follow from the one before: somebody changed the broker's record; restore the backup"
    )]
    Record(u64),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

fn refuse_take_away(layout: &Layout) -> Result<(), StartError> {
    let Ok(entries) = std::fs::read_dir(layout.take_away()) else { return Ok(()) };
    for entry in entries.flatten() {
        if std::fs::File::open(entry.path()).is_ok() {
            return Err(StartError::TakeAway(entry.path().display().to_string()));
        }
    }
    Ok(())
}

/// Opens a data directory.
pub async fn open(data: &Path, clock: Clock) -> Result<App, StartError> {
    let layout = Layout::new(data);
    let config = Config::read(&layout.config())?;
    refuse_take_away(&layout)?;
    let keys = online_keys(&layout)?;
    let catalog = catalog::load(&layout.catalog(), config.max_window, config.pulse_interval)
        .map_err(StartError::Catalog)?;
    let db = Db::open(&layout.database()).await?;
    let other = |e: crate::error::Problem| StartError::Other(format!("{}: {e}", layout.database().display()));
    let mut conn = db.read().await.map_err(other)?;
    if let Some(seq) = event::verify(&mut conn).await.map_err(other)? {
        return Err(StartError::Record(seq));
    }
    let trust = trust::store::load(&mut conn).await.map_err(other)?;
    drop(conn);
    if trust.root.fleet != config.fleet {
        let message = format!("fleet: the database is of fleet {}: write that", trust.root.fleet);
        return Err(FileError::new(&layout.config(), message).into());
    }
    if !trust.lets_sign(&keys.public()) {
        return Err(StartError::Other(
            "the root does not let these bundle, pulse and certificate keys sign: restore `keys` from the same backup as the database".to_owned(),
        ));
    }
    // The catalog may have changed while the broker was down.
    let mut change = db.change(clock.now()).await.map_err(other)?;
    if catalog::rejudge(&mut change, &catalog, "broker", None).await.map_err(other)? > 0 {
        change.commit().await.map_err(other)?;
    }
    warn_of_the_end(trust.root.expires_at.0, clock.now().secs());
    let recordings = Folder::open(&layout.recordings())
        .map_err(|e| StartError::Other(format!("{}: {e}", layout.recordings().display())))?;
    Ok(App::new(config, db, clock, keys, trust, catalog, recordings))
}

fn warn_of_the_end(end: i64, now: i64) {
    let days = (end - now).div_euclid(24 * 3600);
    if days < 0 {
        tracing::error!("the root has ended: hosts believe nothing any more: sign and publish a new root");
    } else if days <= 90 {
        tracing::warn!(days, "the root ends soon: sign and publish a new one");
    }
}

fn online_keys(layout: &Layout) -> Result<OnlineKeys, StartError> {
    let text = |path: PathBuf| {
        std::fs::read_to_string(&path).map_err(|e| {
            StartError::File(FileError::new(
                &path,
                format!("cannot be read: {e}: restore it from the backup"),
            ))
        })
    };
    let ca = Ca::load(&text(layout.ca("crt"))?, &text(layout.ca("key"))?)
        .map_err(|e| StartError::Other(e.to_string()))?;
    Ok(OnlineKeys {
        bundle: keys::read(&layout.key("bundle"))?,
        pulse: keys::read(&layout.key("pulse"))?,
        certificate: keys::read(&layout.key("certificate"))?,
        ca,
    })
}

/// Reads the catalog anew, and ends what it does not allow any more. A wrong one is told, and the old one stays.
pub async fn reload_catalog(app: &App, data: &Path) -> Result<(), StartError> {
    let layout = Layout::new(data);
    let catalog = catalog::load(&layout.catalog(), app.config.max_window, app.config.pulse_interval)
        .map_err(|mistakes| {
            tracing::error!("the catalog is wrong: the old one stays");
            StartError::Catalog(mistakes)
        })?;
    let other = |e: crate::error::Problem| StartError::Other(e.to_string());
    let mut change = app.db.change(app.clock.now()).await.map_err(other)?;
    let names: Vec<_> = catalog.entitlements.keys().collect();
    let detail = serde_json::json!({ "entitlements": names });
    change.record("broker", "catalog.loaded", &catalog.version, detail).await.map_err(other)?;
    catalog::rejudge(&mut change, &catalog, "broker", None).await.map_err(other)?;
    // In force before the turn ends: the next request is made by it, or was there to be judged.
    let old = app.catalog();
    app.set_catalog(catalog);
    change.commit().await.inspect_err(|_| app.set_catalog(Catalog::clone(&old))).map_err(other)
}
