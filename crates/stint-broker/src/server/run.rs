//! The port: accepts, speaks TLS, serves HTTP/1.1 and 2, and stops in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use crate::host::PeerCertificate;
use crate::server::places::Connection;
use crate::server::router::router;
use crate::server::{App, PeerAddress, StartError, background, tls};
use crate::trust::ca;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// Refused connections are told of at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The port's certificate is made anew after so many seconds: long before its end, however long the broker runs.
const RENEWED: i64 = 30 * 24 * 3600;
/// How long calls may take to end when the broker stops.
const DRAIN: Duration = Duration::from_secs(10);

/// A broker that serves.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    /// Waits until it has stopped.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the server ended by a fault");
        }
    }
}

/// Binds the port and begins to serve, until [`App::stop`].
pub async fn run(app: App) -> Result<Running, StartError> {
    let now = app.clock.now().secs();
    let tls = Renewed { made_at: now, value: acceptor(&app, now).map_err(StartError::Other)? };
    let listen = app.config.listen;
    let listener = TcpListener::bind(listen).await.map_err(|e| {
        let next = match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program has the port: stop it, or change `listen` in broker.toml"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE: or change `listen` in broker.toml"
            }
            _ => "change `listen` in broker.toml",
        };
        StartError::Other(format!("cannot listen on {listen} ({e}): {next}"))
    })?;
    let address = listener.local_addr().map_err(|e| StartError::Other(e.to_string()))?;
    let task = tokio::spawn(serve(app, listener, tls));
    Ok(Running { address, task })
}

/// A value, and when it was made. The clock may have been far off then: at a boot it is set late.
struct Renewed<T> {
    made_at: i64,
    value: T,
}

impl<T: Clone> Renewed<T> {
    fn at(&mut self, now: i64, make: impl FnOnce() -> Result<T, String>) -> T {
        if !(0..RENEWED).contains(&now.saturating_sub(self.made_at)) {
            match make() {
                Ok(value) => *self = Self { made_at: now, value },
                Err(error) => tracing::error!(error, "the port's certificate could not be made anew"),
            }
        }
        self.value.clone()
    }
}

fn acceptor(app: &App, now: i64) -> Result<TlsAcceptor, String> {
    tls::config(&app.keys.ca, &app.config.names, now).map(TlsAcceptor::from)
}

async fn serve(app: App, listener: TcpListener, mut tls: Renewed<TlsAcceptor>) {
    let publisher = tokio::spawn(background::publisher(app.clone()));
    let clockwork = tokio::spawn(background::clockwork(app.clone()));
    let router = router(app.clone());
    let mut stopping = app.stopping();
    let mut connections = JoinSet::new();
    let mut refusals = Refusals::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => match app.places.connection(from.ip()) {
                    Some(places) => {
                        let open = Open { stream, from, places };
                        let now = app.clock.now().secs();
                        let tls = tls.at(now, || acceptor(&app, now));
                        connections.spawn(connection(app.clone(), tls, open, router.clone()));
                    }
                    // Closed at once: to let it wait would only hide that there is no room.
                    None => refusals.tell(from),
                },
                Err(error) => {
                    // Out of file descriptors, for instance: others may end meanwhile.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stopping.wait() => break,
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some connections did not end in time and were cut");
    }
    let (_, _) = tokio::join!(publisher, clockwork);
    app.db.close().await;
}

/// Connections that were refused for want of room, so that a flood of them does not flood the log.
#[derive(Default)]
struct Refusals {
    count: u64,
    told: Option<Instant>,
}

impl Refusals {
    fn tell(&mut self, from: SocketAddr) {
        self.count += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            let refused = std::mem::take(&mut self.count);
            tracing::warn!(refused, last = %from, "no room for more connections: see max_connections in broker.toml");
            self.told = Some(Instant::now());
        }
    }
}

/// A connection that was accepted, and what it takes up.
struct Open {
    stream: TcpStream,
    from: SocketAddr,
    places: Connection,
}

async fn connection(app: App, acceptor: TlsAcceptor, open: Open, router: Router) {
    let Open { stream, from, mut places } = open;
    let mut stopping = app.stopping();
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%from, %error, "no TLS"),
        Err(_) => return tracing::debug!(%from, "TLS took too long"),
    };
    let certificate = PeerCertificate(fingerprint(&stream));
    if let Some(host) = &certificate.0
        && !places.is_of_host(host)
    {
        return tracing::warn!(%from, certificate = host, "a host has too many connections: this one is closed");
    }
    let service = router.map_request(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(certificate.clone());
        request.extensions_mut().insert(PeerAddress(from));
        request.map(axum::body::Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    // A host whose network went away is noticed, so that its next stream is no second one.
    let ping = Duration::from_secs(app.config.keep_alive.0);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(ping).keep_alive_timeout(ping);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, error, "the connection broke");
    }
    drop(places);
}

fn fingerprint(stream: &TlsStream<TcpStream>) -> Option<String> {
    let chain = stream.get_ref().1.peer_certificates()?;
    chain.first().map(|leaf| ca::fingerprint(leaf))
}
