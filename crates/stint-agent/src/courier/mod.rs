//! The courier: unprivileged, networked. It carries signed bytes between the broker and the warden, and believes none of them.
//!
//! | File | Does |
//! |---|---|
//! | [`store`] | its folder: keys, certificate, CA, the broker's address |
//! | [`broker`] | the calls to the broker |
//! | [`sse`], [`stream`] | the long-lived stream of updates and pulses, and the poll in its place |
//! | [`outbox`] | what waits for the warden: the newest of each kind, so memory stays bounded however long the warden is away |
//! | [`warden_link`] | the socket to the warden |
//! | [`queue`] | what waits for the broker |
//! | [`upload`] | acknowledgements, records and recordings, to the broker |
//! | [`renewal`] | its certificate, renewed by itself |
//! | [`backoff`] | how long to wait after a failure |
//!
//! Nothing is kept here that would be missed: the warden keeps records until the broker has them, and after each connection the broker
//! says anew what it holds.

pub(crate) mod backoff;
pub(crate) mod broker;
pub(crate) mod outbox;
pub(crate) mod queue;
pub(crate) mod renewal;
pub(crate) mod sse;
pub(crate) mod store;
pub(crate) mod stream;
pub(crate) mod upload;
pub(crate) mod warden_link;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use stint_api::audit::ShipRecords;

use crate::rhythm::Rounds;
use crate::wire::{COURIER_SOCKET, RecordingPart};
use broker::Broker;
use outbox::Outbox;
use queue::Newest;
use store::Store;

/// Acknowledgements that wait for the broker. A newer one says all that an older one does.
const ACKNOWLEDGEMENTS: usize = 64;

/// What the courier is started with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// The warden's socket.
    pub(crate) socket: PathBuf,
    /// How it waits.
    pub(crate) pace: Pace,
}

/// How long the courier waits, and for what. Tests make it quick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The waits between attempts.
    pub(crate) retry: backoff::Limits,
    /// A stream without a byte for so long is dead.
    pub(crate) stream_silence: Duration,
    /// The pause before a refused update is asked for again.
    pub(crate) after_refusal: backoff::Limits,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: backoff::Limits::new(Duration::from_millis(500), Duration::from_mins(1)),
            // More than pulses are apart, or the comments that the broker sends in their place.
            stream_silence: Duration::from_mins(2),
            after_refusal: backoff::Limits::new(Duration::from_secs(5), Duration::from_mins(5)),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: Path::new(store::FOLDER).to_owned(),
            socket: Path::new(COURIER_SOCKET).to_owned(),
            pace: Pace::default(),
        }
    }
}

/// What the tasks share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// The broker, anew after each renewal of the certificate.
    pub(crate) broker: watch::Receiver<Arc<Broker>>,
    /// What waits for the warden.
    pub(crate) outbox: Arc<Outbox>,
    /// Signed acknowledgements that wait for the broker.
    pub(crate) acknowledgements: Arc<Newest<String>>,
    /// The newest shipment: the warden sends the next when it heard of this one.
    pub(crate) shipments: Arc<Newest<ShipRecords>>,
    /// The part of a recording that the warden sent last: it sends the next when it heard of this one.
    pub(crate) recordings: Arc<Newest<RecordingPart>>,
    /// Wakes the poll.
    pub(crate) want_update: Arc<Notify>,
    /// Wakes the question what the broker holds of the journal.
    pub(crate) want_high_water: Arc<Notify>,
    /// Told of each piece of the stream: what is due from time to time is done while the courier is awake for it.
    pub(crate) awake: Arc<Notify>,
    /// How it waits.
    pub(crate) pace: Pace,
}

impl Shared {
    /// The broker as it is now.
    pub(crate) fn broker(&self) -> Arc<Broker> {
        self.broker.borrow().clone()
    }
}

/// Why the courier stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CourierError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The runtime could not be made.
    #[error("the courier could not be started: {0}")]
    Start(#[source] std::io::Error),
    /// One of its tasks ended, which none should.
    #[error("a task of the courier ended ({0}): systemd starts it again")]
    Ended(String),
}

/// Runs until TERM or INT.
pub(crate) fn run(settings: &Settings) -> Result<(), CourierError> {
    let store = Store::open(&settings.folder)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CourierError::Start)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(CourierError::Start)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CourierError::Start)?;
        let mut tasks = start(store, settings)?;
        tell_systemd(&[NotifyState::Ready]);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            ended = tasks.join_next() => {
                let why = ended.map_or("none is left".to_owned(), |e| format!("{:?}", e.err()));
                return Err(CourierError::Ended(why));
            }
        }
        tell_systemd(&[NotifyState::Stopping]);
        tasks.shutdown().await;
        Ok(())
    })
}

/// Starts all tasks. None of them ends by itself.
pub(crate) fn start(store: Store, settings: &Settings) -> Result<JoinSet<()>, CourierError> {
    let first = Broker::new(&store).map_err(store::StoreError::from)?;
    let (broker_sender, broker) = watch::channel(Arc::new(first));
    let shared = Shared {
        broker,
        outbox: Arc::new(Outbox::default()),
        acknowledgements: Arc::new(Newest::new(ACKNOWLEDGEMENTS)),
        shipments: Arc::new(Newest::new(1)),
        recordings: Arc::new(Newest::new(1)),
        want_update: Arc::new(Notify::new()),
        want_high_water: Arc::new(Notify::new()),
        awake: Arc::new(Notify::new()),
        pace: settings.pace,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(warden_link::run(settings.socket.clone(), shared.clone()));
    tasks.spawn(stream::run(shared.clone()));
    tasks.spawn(stream::poll_on_demand(shared.clone()));
    tasks.spawn(upload::acknowledgements(shared.clone()));
    tasks.spawn(upload::records(shared.clone()));
    tasks.spawn(upload::recordings(shared.clone()));
    tasks.spawn(tell_that_it_lives(shared.awake.clone()));
    tasks.spawn(renewal::run(store, broker_sender, shared));
    Ok(tasks)
}

/// Tells systemd's watchdog, for ever; where it can, when something else has woken the courier.
async fn tell_that_it_lives(awake: Arc<Notify>) {
    let Some(bound) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut rounds = Rounds::new(Instant::now(), Some(bound));
    loop {
        if rounds.take(Instant::now()).is_some() {
            tell_systemd(&[NotifyState::Watchdog]);
        }
        tokio::select! {
            () = awake.notified() => {}
            () = tokio::time::sleep_until(rounds.next()) => {}
        }
    }
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd was not told");
    }
}
