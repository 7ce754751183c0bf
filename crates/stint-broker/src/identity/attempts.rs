//! Attempts to sign in, by name and address: a stranger who does not know the password makes only themselves wait, and a name that
//! nobody has is answered as one that somebody has. In memory; wrong codes after a right password are kept with the person.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::identity::lockout::Lockout;
use crate::server::network_of;

/// Names and addresses that are remembered at most.
const MOST: usize = 10_000;

type Key = (String, IpAddr);

/// All attempts that have not succeeded.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<Key, Lockout>>);

fn key(name: &str, from: IpAddr) -> Key {
    (name.to_owned(), network_of(from))
}

impl Attempts {
    /// Begins an attempt, which counts as failed until it is forgiven: so attempts at the same time are counted too. Answers the
    /// seconds to wait if it is not to be looked at.
    pub fn begin(&self, name: &str, from: IpAddr, now: i64) -> Result<(), i64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(name, from);
        let before = all.get(&key).copied().unwrap_or_default();
        if let Some(seconds) = before.wait(now) {
            return Err(seconds);
        }
        if all.len() >= MOST {
            // Those who need not wait lose little by being forgotten.
            all.retain(|_, lockout| lockout.wait(now).is_some());
        }
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(key, before.failed(now));
        Ok(())
    }
    /// After the right password.
    pub fn forgive(&self, name: &str, from: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(name, from));
    }
    /// After an administrator reset a user.
    pub fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(n, _), _| n != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(attempts: &Attempts, name: &str, at: &str) {
        while attempts.begin(name, from(at), 1000).is_ok() {}
    }

    #[test]
    fn a_stranger_cannot_make_somebody_else_wait() {
        let attempts = Attempts::default();
        fail(&attempts, "alice", "192.0.2.1");
        assert_eq!(attempts.begin("alice", from("192.0.2.1"), 1000), Err(15));
        assert_eq!(attempts.begin("alice", from("192.0.2.2"), 1000), Ok(()));
        assert_eq!(attempts.begin("bob", from("192.0.2.1"), 1000), Ok(()));
    }

    #[test]
    fn all_addresses_of_one_network_wait_together() {
        let attempts = Attempts::default();
        fail(&attempts, "alice", "2001:db8::1");
        assert_eq!(attempts.begin("alice", from("2001:db8::2"), 1000), Err(15));
        assert_eq!(attempts.begin("alice", from("2001:db8:0:1::2"), 1000), Ok(()));
        fail(&attempts, "alice", "192.0.2.1");
        assert_eq!(attempts.begin("alice", from("::ffff:192.0.2.1"), 1000), Err(15));
    }

    #[test]
    fn the_right_password_or_a_reset_ends_the_wait() {
        let attempts = Attempts::default();
        fail(&attempts, "alice", "192.0.2.1");
        attempts.forgive("alice", from("192.0.2.1"));
        assert_eq!(attempts.begin("alice", from("192.0.2.1"), 1000), Ok(()));
        fail(&attempts, "alice", "192.0.2.1");
        attempts.forget("alice");
        assert_eq!(attempts.begin("alice", from("192.0.2.1"), 1000), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_waits_is_not_forgotten_for_it() {
        let attempts = Attempts::default();
        fail(&attempts, "alice", "192.0.2.1");
        for n in 0..2 * MOST {
            attempts.begin(&format!("n{n}"), from("192.0.2.1"), 1000).unwrap();
        }
        assert!(attempts.0.lock().unwrap().len() <= MOST);
        assert_eq!(attempts.begin("alice", from("192.0.2.1"), 1000), Err(15));
    }
}
