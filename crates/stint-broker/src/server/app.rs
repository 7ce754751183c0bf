//! The state that all handlers share.

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use ed25519_dalek::SigningKey;
use stint_grant::keys::PublicKey;
use tokio::sync::{Mutex, watch};

use crate::bundle;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Outcome, Problem};
use crate::host::Hub;
use crate::identity::Attempts;
use crate::recording::Folder;
use crate::server::Places;
use crate::store::{Change, Db};
use crate::trust::Trust;
use crate::trust::ca::Ca;

/// The keys that the broker signs with by itself.
pub struct OnlineKeys {
    /// Signs bundles.
    pub bundle: SigningKey,
    /// Signs pulses.
    pub pulse: SigningKey,
    /// Signs SSH certificates of people.
    pub certificate: SigningKey,
    /// Issues the TLS certificates of hosts.
    pub ca: Ca,
}

impl OnlineKeys {
    /// The public halves for bundles, pulses and SSH certificates, which the root names.
    pub fn public(&self) -> [PublicKey; 3] {
        [&self.bundle, &self.pulse, &self.certificate].map(PublicKey::of)
    }
}

/// Tells when the broker stops, and that it has stopped already.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Waits until the broker is told to stop.
    pub async fn wait(&mut self) {
        // The sender lives as long as the state; without it there is nothing to wait for.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// The shared state.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What [`App`] points to.
pub struct Inner {
    /// `broker.toml`.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// The clock.
    pub clock: Clock,
    /// The online keys.
    pub keys: OnlineKeys,
    /// Who is connected.
    pub hub: Hub,
    /// How much is held open.
    pub places: Places,
    /// Attempts to sign in that did not succeed.
    pub attempts: Attempts,
    /// What commands printed on hosts.
    pub recordings: Arc<Folder>,
    /// Bundles are made one round at a time.
    pub(crate) publishing: Mutex<()>,
    trust: RwLock<Arc<Trust>>,
    catalog: RwLock<Arc<Catalog>>,
    stopping: watch::Sender<bool>,
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Puts it together.
    pub fn new(
        config: Config,
        db: Db,
        clock: Clock,
        keys: OnlineKeys,
        trust: Trust,
        catalog: Catalog,
        recordings: Folder,
    ) -> Self {
        Self(Arc::new(Inner {
            places: Places::new(config.max_connections),
            config,
            db,
            clock,
            keys,
            hub: Hub::default(),
            attempts: Attempts::default(),
            recordings: Arc::new(recordings),
            publishing: Mutex::default(),
            trust: RwLock::new(Arc::new(trust)),
            catalog: RwLock::new(Arc::new(catalog)),
            stopping: watch::Sender::new(false),
        }))
    }
    /// What the fleet trusts now.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// After something was published.
    pub fn set_trust(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }
    /// The catalog now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// After the catalog was read anew.
    pub fn set_catalog(&self, catalog: Catalog) {
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }
    /// Commits a change, and then brings what is in memory in line with it. A task does both: a caller whose connection breaks meanwhile
    /// cannot leave memory behind what is durable.
    pub async fn commit_then(
        &self,
        change: Change,
        then: impl FnOnce(&Self) + Send + 'static,
    ) -> Outcome<()> {
        let app = self.clone();
        let task = tokio::spawn(async move { change.commit().await.map(|()| then(&app)) });
        task.await.map_err(Problem::internal)?
    }
    /// Makes all bundles that are behind.
    pub async fn publish(&self) -> Outcome<()> {
        bundle::publish(self).await
    }
    /// As long as this is held no bundle is made: what changes meanwhile waits, as it does over a crash.
    pub async fn hold_publishing(&self) -> impl Drop + '_ {
        self.publishing.lock().await
    }
    /// Tells when the broker stops.
    pub fn stopping(&self) -> Stopping {
        Stopping(self.stopping.subscribe())
    }
    /// Lets streams and background work end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }
}
