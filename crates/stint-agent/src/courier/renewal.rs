//! The certificate, renewed by itself when two thirds of its life are over, with a fresh key.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use stint_api::tls::{TlsError, Validity};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::Shared;
use super::backoff::{Backoff, Limits, random, spread};
use super::broker::{Broker, CallError};
use super::store::{Store, StoreError, transport_pem};
use crate::clock::wall_clock;

/// The longest sleep: a clock that was set, or a host that was suspended, is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);
/// Between attempts that failed.
const RETRY: Limits = Limits::new(Duration::from_secs(5), Duration::from_mins(15));

/// A key, and the request that is signed with it.
pub(crate) struct KeyAndRequest {
    /// The key (PEM).
    pub(crate) key: Zeroizing<String>,
    /// The certificate signing request (PEM). It names nobody: the broker knows who asks.
    pub(crate) request: String,
}

/// Makes a new transport key (ECDSA P-256).
pub(crate) fn new_key() -> Result<KeyAndRequest, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key)?.pem()?;
    Ok(KeyAndRequest { key: Zeroizing::new(key.serialize_pem()), request })
}

#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("no new key could be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the new certificate cannot be used: {0}")]
    Certificate(#[from] TlsError),
    #[error("the new certificate ends at {new}, not later than the old one")]
    NotLater { new: i64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Renews, for ever.
pub(crate) async fn run(mut store: Store, brokers: watch::Sender<Arc<Broker>>, shared: Shared) {
    let mut backoff = Backoff::new(RETRY);
    loop {
        let wait = match stint_api::tls::validity_of_pem(&store.transport) {
            Ok(validity) => until_renewal(validity, wall_clock().0),
            Err(error) => {
                // It was good when the courier started, or it would not have started.
                tracing::error!("the courier's certificate cannot be read: {error}");
                LONGEST_SLEEP
            }
        };
        if !wait.is_zero() {
            // Spread: hosts that were enrolled together do not come back together. But never into the last of a short life.
            let spread = spread((wait / 4).min(Duration::from_mins(1)), random());
            tokio::time::sleep(wait.min(LONGEST_SLEEP) + spread).await;
            continue;
        }
        match renew(&mut store, &shared).await {
            Ok(broker) => {
                tracing::info!("the courier's certificate was renewed");
                backoff.reset();
                brokers.send_replace(Arc::new(broker));
            }
            Err(error) => {
                tracing::error!("the courier's certificate was not renewed: {error}");
                backoff.pause().await;
            }
        }
    }
}

/// The new certificate is tried on before it replaces the old one.
async fn renew(store: &mut Store, shared: &Shared) -> Result<Broker, RenewError> {
    let new = new_key()?;
    let renewed = shared.broker().renew(&new.request).await?;
    let old_end = stint_api::tls::validity_of_pem(&store.transport)?.not_after;
    let new_end = stint_api::tls::validity_of_pem(&renewed.certificate)?.not_after;
    if new_end <= old_end {
        return Err(RenewError::NotLater { new: new_end });
    }
    let mut candidate = store.clone();
    candidate.transport = transport_pem(&renewed.certificate, &new.key);
    let broker = Broker::new(&candidate)?;
    store.replace_transport(candidate.transport)?;
    Ok(broker)
}

/// How long until two thirds of the certificate's life are over; zero once they are.
fn until_renewal(validity: Validity, now: i64) -> Duration {
    let life = validity.not_after.saturating_sub(validity.not_before).max(0);
    let at = validity.not_before.saturating_add(life / 3 * 2);
    Duration::from_secs(u64::try_from(at.saturating_sub(now)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
        let validity = Validity { not_before: 1_000_000, not_after: 1_000_000 + 30 * DAY };
        let wait = |now| until_renewal(validity, now);
        assert_eq!(wait(1_000_000), 20 * Duration::from_hours(24));
        assert_eq!(wait(1_000_000 + 19 * DAY), Duration::from_hours(24));
        assert_eq!(wait(1_000_000 + 20 * DAY), Duration::ZERO);
        assert_eq!(wait(1_000_000 + 40 * DAY), Duration::ZERO);
    }
    #[test]
    fn a_certificate_that_ends_before_it_begins_is_renewed_at_once_or_when_it_begins() {
        let validity = Validity { not_before: 100, not_after: 50 };
        assert_eq!(until_renewal(validity, 100), Duration::ZERO);
    }
    #[test]
    fn no_clock_makes_it_overflow() {
        let validity = Validity { not_before: i64::MIN, not_after: i64::MAX };
        for now in [i64::MIN, 0, i64::MAX] {
            until_renewal(validity, now);
        }
    }
    #[test]
    fn each_request_has_a_key_of_its_own() {
        let (a, b) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(*a.key, *b.key);
        assert!(a.request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{}", a.request);
    }
}
