//! The broker's answer, checked whole before anything is stored. Pure.

use stint_api::hosts::Enrolled;
use stint_api::tls::{self, PinnedCa};
use stint_grant::dsse::Verified;
use stint_grant::ids::{FleetName, HostName, Sha256Hex};
use stint_grant::root::{self, Root};
use stint_grant::time::UnixTime;

use crate::commands::failure::{Exit, Failure};

/// What was asked, and with what.
pub(super) struct Asked<'a> {
    /// The CA's hash in the token.
    pub(super) ca_pin: &'a str,
    /// The first root's hash in the token.
    pub(super) root_pin: &'a Sha256Hex,
    /// The transport key (PEM) that the certificate must be for.
    pub(super) key: &'a str,
    /// By this host's clock.
    pub(super) now: UnixTime,
}

/// What the answer says, once it was checked.
#[derive(Debug)]
pub(super) struct Known {
    /// The fleet.
    pub(super) fleet: FleetName,
    /// This host's name.
    pub(super) host: HostName,
}

/// Checks the answer, in this order. Each step names what it stops.
pub(super) fn check(answer: &Enrolled, asked: &Asked<'_>) -> Result<Known, Failure> {
    // 1. The first root is the one that the token pins: another fleet's root is refused.
    // 2. Each later root is signed by the one before: a broker cannot slip in its own.
    let root = newest_root(&answer.roots, asked.root_pin)?;
    root.check_time(asked.now).map_err(refused)?;
    // 3. The fleet's name is the root's, and the host's name is one.
    let host = HostName::new(&answer.host).map_err(refused)?;
    if answer.fleet != root.fleet.as_str() {
        return Err(refused(format!(
            "it speaks for the fleet {:?}, and its root for {}",
            answer.fleet, root.fleet
        )));
    }
    // 4. The CA that will be believed from now on is the pinned one.
    let ca = PinnedCa::from_ca_pem(&answer.ca).map_err(refused)?;
    if ca.pin() != asked.ca_pin {
        return Err(refused(format!("its CA is {}, not the pinned {}", ca.pin(), asked.ca_pin)));
    }
    // 5. The certificate is for the key that was made here, and holds now.
    tls::client_config_with_certificate(&ca, &answer.certificate, asked.key).map_err(refused)?;
    let validity = tls::validity_of_pem(&answer.certificate).map_err(refused)?;
    if validity.not_after <= asked.now.0 {
        return Err(refused(format!(
            "its certificate for this host ended at {}: is this host's clock right ({})?",
            UnixTime(validity.not_after),
            asked.now
        )));
    }
    Ok(Known { fleet: root.fleet.clone(), host })
}

fn newest_root(roots: &[String], pin: &Sha256Hex) -> Result<Verified<Root>, Failure> {
    let (first, later) = roots.split_first().ok_or_else(|| refused("it has no root"))?;
    let first = root::open_pinned(first.as_bytes(), pin).map_err(refused)?;
    later.iter().try_fold(first, |root, next| root::rotate(&root, next.as_bytes()).map_err(refused))
}

fn refused(why: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Broker, format!("the broker's answer was refused: {why}; nothing was stored"))
        .next("the token is used up: find out which broker answered, then ask for a new token")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ed25519_dalek::SigningKey;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use stint_grant::dsse;
    use stint_grant::keys::PublicKey;
    use stint_grant::root::{Keys, Role};

    use super::*;

    const NOW: UnixTime = UnixTime(1_795_000_000);

    struct Fleet {
        ca: CertifiedIssuer<'static, KeyPair>,
        /// Signs roots.
        key: SigningKey,
        /// Signs all else.
        online: SigningKey,
    }

    impl Fleet {
        fn new(seed: u8) -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            Self {
                ca,
                key: SigningKey::from_bytes(&[seed; 32]),
                online: SigningKey::from_bytes(&[seed + 100; 32]),
            }
        }
        fn root(&self, version: u64, expires_at: UnixTime) -> String {
            let (offline, online) = (PublicKey::of(&self.key), PublicKey::of(&self.online));
            let role = |key: &PublicKey| Role { keys: vec![key.id()], threshold: 1 };
            let root = Root {
                format: 1,
                fleet: "demo".parse().unwrap(),
                version,
                issued_at: UnixTime(0),
                expires_at,
                epoch: 1,
                root: role(&offline),
                roster: role(&offline),
                bundle: role(&online),
                pulse: role(&online),
                certificate: role(&online),
                keys: Keys(BTreeMap::from([(offline.id(), offline), (online.id(), online)])),
            };
            String::from_utf8(dsse::sign(&root, &[&self.key])).unwrap()
        }
        fn answer(&self, host_key: &KeyPair) -> Enrolled {
            let certificate = CertificateParams::new(vec!["web-1".to_owned()])
                .unwrap()
                .signed_by(host_key, &self.ca)
                .unwrap();
            Enrolled {
                fleet: "demo".to_owned(),
                host: "web-1".to_owned(),
                certificate: certificate.pem(),
                ca: self.ca.pem(),
                roots: vec![self.root(1, NOW.plus(stint_grant::time::Seconds(1000)))],
            }
        }
    }

    /// The verdict on an answer, for a host whose token is of `fleet`.
    fn verdict(fleet: &Fleet, answer: &Enrolled, key: &KeyPair, now: UnixTime) -> Result<Known, String> {
        let pinned = Sha256Hex::of(fleet.root(1, NOW.plus(stint_grant::time::Seconds(1000))).as_bytes());
        let ca_pin = tls::pin_of_pem(&fleet.ca.pem()).unwrap();
        let asked = Asked { ca_pin: &ca_pin, root_pin: &pinned, key: &key.serialize_pem(), now };
        check(answer, &asked).map_err(|f| f.message)
    }

    #[test]
    fn a_good_answer_says_who_this_host_is() {
        let (fleet, key) = (Fleet::new(1), KeyPair::generate().unwrap());
        let known = verdict(&fleet, &fleet.answer(&key), &key, NOW).unwrap();
        assert_eq!((known.fleet.as_str(), known.host.as_str()), ("demo", "web-1"));
    }
    #[test]
    fn a_root_that_the_token_does_not_pin_is_refused() {
        let (fleet, other, key) = (Fleet::new(1), Fleet::new(2), KeyPair::generate().unwrap());
        let mut answer = fleet.answer(&key);
        answer.roots = other.answer(&key).roots;
        assert!(verdict(&fleet, &answer, &key, NOW).unwrap_err().contains("not the pinned"));
        answer.roots.clear();
        assert!(verdict(&fleet, &answer, &key, NOW).is_err());
    }
    #[test]
    fn a_second_root_that_the_first_did_not_sign_is_refused() {
        let (fleet, other, key) = (Fleet::new(1), Fleet::new(2), KeyPair::generate().unwrap());
        let mut answer = fleet.answer(&key);
        answer.roots.push(fleet.root(2, NOW.plus(stint_grant::time::Seconds(1))));
        assert!(verdict(&fleet, &answer, &key, NOW).is_ok());
        answer.roots[1] = other.root(2, NOW.plus(stint_grant::time::Seconds(1)));
        assert!(verdict(&fleet, &answer, &key, NOW).is_err());
    }
    #[test]
    fn a_root_past_its_end_is_refused() {
        let (fleet, key) = (Fleet::new(1), KeyPair::generate().unwrap());
        let later = NOW.plus(stint_grant::time::Seconds(2000));
        assert!(verdict(&fleet, &fleet.answer(&key), &key, later).unwrap_err().contains("ended"));
    }
    #[test]
    fn a_name_that_is_no_host_name_is_refused() {
        let (fleet, key) = (Fleet::new(1), KeyPair::generate().unwrap());
        for name in ["", "../web-1", "Web-1", "web 1", "web-1\n"] {
            let mut answer = fleet.answer(&key);
            name.clone_into(&mut answer.host);
            assert!(verdict(&fleet, &answer, &key, NOW).is_err(), "{name:?}");
        }
    }
    #[test]
    fn another_fleets_name_or_ca_is_refused() {
        let (fleet, other, key) = (Fleet::new(1), Fleet::new(2), KeyPair::generate().unwrap());
        let mut answer = fleet.answer(&key);
        "other".clone_into(&mut answer.fleet);
        assert!(verdict(&fleet, &answer, &key, NOW).unwrap_err().contains("speaks for"));
        let mut answer = fleet.answer(&key);
        answer.ca = other.ca.pem();
        assert!(verdict(&fleet, &answer, &key, NOW).unwrap_err().contains("its CA is"));
    }
    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let (fleet, key, other) = (Fleet::new(1), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        assert!(verdict(&fleet, &fleet.answer(&other), &key, NOW).is_err());
    }
}
