//! Who is connected now. In memory: a broker that starts anew is told by the hosts themselves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// All hosts' streams.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    hosts: Arc<Mutex<HashMap<String, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    version: watch::Sender<u64>,
    stream: Option<Stream>,
    next: u64,
    last_seen: Option<i64>,
}

impl Default for Entry {
    fn default() -> Self {
        Self { version: watch::Sender::new(0), stream: None, next: 0, last_seen: None }
    }
}

#[derive(Debug)]
struct Stream {
    number: u64,
    from: SocketAddr,
    /// Dropped to end the stream.
    _alive: watch::Sender<()>,
}

/// One live stream. Dropped, the host is not connected any more, unless a newer stream is there.
#[derive(Debug)]
pub struct Connected {
    hub: Hub,
    host: String,
    number: u64,
    /// Changes when there is a newer bundle.
    pub version: watch::Receiver<u64>,
    /// Closed when a newer stream of the same host takes over.
    pub alive: watch::Receiver<()>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new stream. The newest wins; answers with where the other one came from.
    pub fn connect(&self, host: &str, from: SocketAddr) -> (Connected, Option<SocketAddr>) {
        let mut hosts = self.lock();
        let entry = hosts.entry(host.to_owned()).or_default();
        let (alive, watching) = watch::channel(());
        let number = entry.next;
        entry.next += 1;
        let replaced = entry.stream.replace(Stream { number, from, _alive: alive });
        let connected = Connected {
            hub: self.clone(),
            host: host.to_owned(),
            number,
            version: entry.version.subscribe(),
            alive: watching,
        };
        (connected, replaced.map(|s| s.from))
    }

    /// There is a newer bundle for a host.
    pub fn announce(&self, host: &str, version: u64) {
        self.lock().entry(host.to_owned()).or_default().version.send_replace(version);
    }

    /// A host was heard from.
    pub fn seen(&self, host: &str, now: i64) {
        self.lock().entry(host.to_owned()).or_default().last_seen = Some(now);
    }

    /// Whether a host's stream is open, and when it was heard from since the broker started.
    pub fn state_of(&self, host: &str) -> (bool, Option<i64>) {
        self.lock().get(host).map_or((false, None), |e| (e.stream.is_some(), e.last_seen))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut hosts = self.hub.lock();
        if let Some(entry) = hosts.get_mut(&self.host)
            && entry.stream.as_ref().is_some_and(|s| s.number == self.number)
        {
            entry.stream = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn the_newest_stream_wins_and_the_older_one_hears_of_it() {
        let hub = Hub::default();
        let (first, replaced) = hub.connect("web-01", addr(1));
        assert_eq!(replaced, None);
        let (second, replaced) = hub.connect("web-01", addr(2));
        assert_eq!(replaced, Some(addr(1)));
        assert!(first.alive.has_changed().is_err());
        assert!(second.alive.has_changed().is_ok());
        drop(first);
        assert!(hub.state_of("web-01").0);
        drop(second);
        assert!(!hub.state_of("web-01").0);
    }

    #[test]
    fn a_stream_hears_of_its_own_hosts_bundles_only() {
        let hub = Hub::default();
        let (web, _) = hub.connect("web-01", addr(1));
        let (db, _) = hub.connect("db-01", addr(2));
        hub.announce("web-01", 7);
        assert!(web.version.has_changed().unwrap());
        assert!(!db.version.has_changed().unwrap());
    }
}
