//! How much of the broker anybody may hold open at once: connections, waiting calls. What is counted is given back when its guard goes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections that one host may have: its courier needs one, and one more while a broken one is found to be broken.
const PER_HOST: usize = 8;
/// Waiting calls that one person may have.
const WAITING_PER_PERSON: usize = 32;

/// People of one network who sign in or change passwords at the same moment: a flood from one place leaves room in the queue for others.
const SIGNING_IN_PER_NETWORK: usize = 16;

/// The network that an address stands for: whoever has an IPv6 address has the other 2^64 beside it.
pub fn network_of(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Every connection.
    All,
    /// One that has shown no host's certificate: a person's, a stranger's, or one that has not said yet.
    Stranger,
    /// The same, from one network.
    Network(IpAddr),
    /// Somebody of this network who signs in.
    SigningIn(IpAddr),
    /// One with this certificate.
    Host(String),
    /// A waiting call of this person.
    Person(String),
}

/// All that is counted.
#[derive(Clone, Debug)]
pub struct Places {
    taken: Arc<Mutex<HashMap<Place, usize>>>,
    connections: usize,
}

/// One place that is taken, until it is dropped.
#[derive(Debug)]
pub struct Taken {
    places: Places,
    place: Place,
}

/// The places of one connection.
#[derive(Debug)]
pub struct Connection {
    /// Kept as long as the connection.
    held: Vec<Taken>,
    /// Given back once it shows that it is a host's.
    as_stranger: Vec<Taken>,
}

impl Places {
    /// With so many connections in all. Who shows no certificate gets half of them, and one network half of that: however many
    /// strangers come, hosts get in.
    pub fn new(connections: u32) -> Self {
        Self { taken: Arc::default(), connections: usize::try_from(connections).unwrap_or(usize::MAX) }
    }

    /// A connection that was accepted; nothing is known of it but its address. `None`: there is no room for it.
    pub fn connection(&self, from: IpAddr) -> Option<Connection> {
        Some(Connection {
            held: vec![self.take(Place::All, self.connections)?],
            as_stranger: vec![
                self.take(Place::Stranger, self.connections / 2)?,
                self.take(Place::Network(network_of(from)), self.connections / 4)?,
            ],
        })
    }

    /// Somebody who signs in from there. `None`: too many do at this moment.
    pub fn signing_in(&self, from: IpAddr) -> Option<Taken> {
        self.take(Place::SigningIn(network_of(from)), SIGNING_IN_PER_NETWORK)
    }

    /// A call of a person that waits. `None`: they have too many already.
    pub fn waiting_call(&self, person: &str) -> Option<Taken> {
        self.take(Place::Person(person.to_owned()), WAITING_PER_PERSON)
    }

    fn take(&self, place: Place, most: usize) -> Option<Taken> {
        let mut taken = self.lock();
        let count = taken.entry(place.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Taken { places: self.clone(), place })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// It has shown this host's certificate. False: the host has too many connections already.
    pub fn is_of_host(&mut self, certificate: &str) -> bool {
        let Some(places) = self.held.first().map(|taken| taken.places.clone()) else { return false };
        let taken = places.take(Place::Host(certificate.to_owned()), PER_HOST);
        self.as_stranger.clear();
        let has_room = taken.is_some();
        self.held.extend(taken);
        has_room
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    #[test]
    fn strangers_get_half_of_all_connections_and_hosts_the_rest() {
        let places = Places::new(16);
        let strangers: Vec<_> = (0..16).filter_map(|n| places.connection(from(n))).collect();
        assert_eq!(strangers.len(), 8);
        drop(strangers);
        let mut hosts: Vec<Connection> = Vec::new();
        for n in 0..16 {
            let mut connection = places.connection(from(1)).expect("room for a host");
            assert!(connection.is_of_host(&format!("certificate {n}")));
            hosts.push(connection);
        }
        assert!(places.connection(from(1)).is_none(), "the cap holds for all");
        hosts.clear();
        assert!(places.lock().is_empty(), "nothing is counted that is gone");
    }

    #[test]
    fn one_address_cannot_take_what_is_for_all_strangers() {
        let places = Places::new(16);
        let one: Vec<_> = (0..16).filter_map(|_| places.connection(from(1))).collect();
        assert_eq!(one.len(), 4);
        assert!(places.connection(from(2)).is_some());
    }

    #[test]
    fn all_addresses_of_one_network_count_together() {
        let places = Places::new(16);
        let of = |n: u128| IpAddr::V6(Ipv6Addr::from((0x2001_0db8 << 96) | n));
        let near: Vec<_> = (0..16).filter_map(|n| places.connection(of(n))).collect();
        assert_eq!(near.len(), 4);
        assert!(places.connection(of(1 << 64)).is_some(), "the network beside it");
        let flood: Vec<_> = (0..100).map_while(|n| places.signing_in(of(n))).collect();
        assert_eq!(flood.len(), SIGNING_IN_PER_NETWORK);
        assert!(places.signing_in(of(1 << 64)).is_some());
    }

    #[test]
    fn one_host_has_a_bounded_number_of_connections() {
        let places = Places::new(1000);
        let mut held = Vec::new();
        for n in 0..=PER_HOST {
            let mut connection = places.connection(from(1)).unwrap();
            assert_eq!(connection.is_of_host("web-01"), n < PER_HOST);
            held.push(connection);
        }
        assert!(places.connection(from(1)).unwrap().is_of_host("web-02"));
    }

    #[test]
    fn one_person_has_a_bounded_number_of_waiting_calls() {
        let places = Places::new(16);
        let mut held: Vec<_> =
            (0..2 * WAITING_PER_PERSON).filter_map(|_| places.waiting_call("alice")).collect();
        assert_eq!(held.len(), WAITING_PER_PERSON);
        assert!(places.waiting_call("bob").is_some());
        held.pop();
        assert!(places.waiting_call("alice").is_some());
    }
}
