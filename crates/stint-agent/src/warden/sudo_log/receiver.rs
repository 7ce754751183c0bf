//! Takes sudo's connections.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use super::connection::serve;
use super::peer::{self, Stranger};
use super::recordings::Recordings;
use crate::warden::clients::Message;

/// How many commands may be told of at once. More wait in the socket's queue.
const MAX_CONNECTIONS: usize = 256;
/// How many connections are looked at together: the table of sockets is read once for all of them, however many a user opens.
const MAX_TOGETHER: usize = 256;
/// How long to pause when the socket gives an error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// How often strangers are told of.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Takes connections on a thread of its own, for ever.
pub(in crate::warden) fn start(
    listener: TcpListener,
    folder: PathBuf,
    to: mpsc::Sender<Message>,
) -> io::Result<()> {
    let SocketAddr::V4(address) = listener.local_addr()? else {
        return Err(io::Error::other("sudo's log server needs an address of IPv4"));
    };
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // One looks at the table of sockets, some look for processes or wait for the disk.
        .max_blocking_threads(8)
        .thread_name("sudo-log-io")
        .build()?;
    let run = move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => take(listener, address, Arc::new(Recordings::at(folder)), to).await,
                Err(error) => tracing::error!(%error, "sudo's connections cannot be taken"),
            }
        });
    };
    std::thread::Builder::new().name("sudo-log".to_owned()).spawn(run)?;
    Ok(())
}

async fn take(
    listener: tokio::net::TcpListener,
    address: SocketAddrV4,
    recordings: Arc<Recordings>,
    to: mpsc::Sender<Message>,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut strangers = Strangers::default();
    loop {
        let arrived = arrived(&listener).await;
        let found = spawn_blocking(move || peer::owners(address)).await;
        let owners = match found.unwrap_or_else(|error| Err(Stranger::Unknown(error.to_string()))) {
            Ok(owners) => owners,
            Err(stranger) => {
                strangers.tell(&stranger, &to);
                continue;
            }
        };
        for (stream, from) in arrived {
            let inode = match from {
                SocketAddr::V4(from) => owners.root_s(from),
                SocketAddr::V6(_) => Err(Stranger::Gone),
            };
            let inode = match inode {
                Ok(inode) => inode,
                Err(stranger) => {
                    strangers.tell(&stranger, &to);
                    continue;
                }
            };
            let Ok(place) = room.clone().acquire_owned().await else { return };
            let peer = match spawn_blocking(move || peer::find(inode)).await {
                Ok(Ok(peer)) => peer,
                Ok(Err(stranger)) => {
                    strangers.tell(&stranger, &to);
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "the peer could not be looked for");
                    continue;
                }
            };
            let (to, recordings) = (to.clone(), recordings.clone());
            tokio::spawn(async move {
                let _place = place;
                serve(stream, peer, &recordings, &to).await;
            });
        }
    }
}

/// One connection, and all others that wait.
async fn arrived(listener: &tokio::net::TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let mut arrived = Vec::new();
    loop {
        match listener.accept().await {
            Ok(one) => arrived.push(one),
            Err(error) => {
                tracing::error!(%error, "a connection of sudo's could not be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        while arrived.len() < MAX_TOGETHER
            && let Some(Ok(more)) = listener.accept().now_or_never()
        {
            arrived.push(more);
        }
        return arrived;
    }
}

/// Tells of strangers, now and then: one who connects without end fills neither the log nor the loop's queue.
#[derive(Default)]
struct Strangers {
    told: Option<Instant>,
    untold: u64,
}

impl Strangers {
    fn tell(&mut self, stranger: &Stranger, to: &mpsc::Sender<Message>) {
        if *stranger == Stranger::Gone {
            return;
        }
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            self.untold += 1;
            return;
        }
        let before = match std::mem::take(&mut self.untold) {
            0 => String::new(),
            n => format!(" ({n} more connections were dropped before)"),
        };
        let detail = format!("{stranger}; dropped{before}");
        tracing::warn!("{detail}");
        // With the loop's queue full this one is not on record; the next one is.
        if to.try_send(Message::Stranger { detail }).is_ok() {
            self.told = Some(Instant::now());
        }
    }
}
