//! Who is connected now. In memory: a broker that starts anew is told by the hosts themselves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Two live streams of one host are told of at most this often.
const TELL_EVERY: Duration = Duration::from_mins(1);

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
    told_of_two: Option<Instant>,
}

impl Default for Entry {
    fn default() -> Self {
        Self { version: watch::Sender::new(0), stream: None, next: 0, last_seen: None, told_of_two: None }
    }
}

#[derive(Debug)]
struct Stream {
    number: u64,
    /// Told where the stream comes from that takes over.
    newer: watch::Sender<Option<SocketAddr>>,
}

/// One live stream. Dropped, the host is not connected any more, unless a newer stream is there.
#[derive(Debug)]
pub struct Connected {
    hub: Hub,
    host: String,
    number: u64,
    /// Changes when there is a newer bundle.
    pub version: watch::Receiver<u64>,
    /// Tells of a newer stream of the same host.
    pub newer: Newer,
}

/// Tells when a newer stream of the same host takes over.
#[derive(Debug)]
pub struct Newer(watch::Receiver<Option<SocketAddr>>);

impl Hub {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new stream. The newest wins; the one before hears of it.
    pub fn connect(&self, host: &str, from: SocketAddr) -> Connected {
        let mut hosts = self.lock();
        let entry = hosts.entry(host.to_owned()).or_default();
        let (newer, watching) = watch::channel(None);
        let number = entry.next;
        entry.next += 1;
        if let Some(older) = entry.stream.replace(Stream { number, newer }) {
            older.newer.send_replace(Some(from));
        }
        Connected {
            hub: self.clone(),
            host: host.to_owned(),
            number,
            version: entry.version.subscribe(),
            newer: Newer(watching),
        }
    }

    /// Whether it is time to tell again that a host has two live streams: a host that opens them without end must not fill the record.
    pub fn may_tell_of_two(&self, host: &str) -> bool {
        let mut hosts = self.lock();
        let told = &mut hosts.entry(host.to_owned()).or_default().told_of_two;
        let may = told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if may {
            *told = Some(Instant::now());
        }
        may
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

impl Newer {
    /// Waits until there is a newer stream, and answers where it comes from.
    pub async fn stream(&mut self) -> SocketAddr {
        match self.0.wait_for(Option::is_some).await.map(|newer| *newer) {
            Ok(Some(newer)) => newer,
            // Nothing takes over from a stream that was forgotten: the hub keeps it as long as it lives.
            _ => std::future::pending().await,
        }
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

    #[tokio::test]
    async fn the_newest_stream_wins_and_the_older_one_hears_of_it() {
        let hub = Hub::default();
        let mut first = hub.connect("web-01", addr(1));
        let second = hub.connect("web-01", addr(2));
        assert_eq!(first.newer.stream().await, addr(2));
        assert!(second.newer.0.borrow().is_none());
        drop(first);
        assert!(hub.state_of("web-01").0);
        drop(second);
        assert!(!hub.state_of("web-01").0);
    }

    #[test]
    fn a_stream_hears_of_its_own_hosts_bundles_only() {
        let hub = Hub::default();
        let web = hub.connect("web-01", addr(1));
        let db = hub.connect("db-01", addr(2));
        hub.announce("web-01", 7);
        assert!(web.version.has_changed().unwrap());
        assert!(!db.version.has_changed().unwrap());
    }
}
