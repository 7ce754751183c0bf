//! The verifier, against certificates made here.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{PinnedCa, TlsError, client, client_with_certificate, describe, pin_of_pem, validity_of_pem};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(ca: &Ca, name: &str) -> (CertificateDer<'static>, String, String) {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    (cert.der().clone(), cert.pem(), key.serialize_pem())
}

fn check(
    pinned: &PinnedCa,
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    name: &str,
) -> Result<(), String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_795_000_000));
    pinned.verify_server_cert(leaf, rest, &name, &[], now).map(|_| ()).map_err(|e| describe(&e))
}

#[test]
fn a_server_under_the_pinned_ca_is_taken() {
    let ca = ca();
    let pinned = PinnedCa::from_hex(&pin_of_pem(&ca.pem()).unwrap()).unwrap();
    let (leaf, ..) = leaf(&ca, "broker.example");
    assert_eq!(check(&pinned, &leaf, &[ca.der().clone()], "broker.example"), Ok(()));
}

#[test]
fn a_server_named_by_its_address_is_taken() {
    let ca = ca();
    let pinned = PinnedCa::from_ca_pem(&ca.pem()).unwrap();
    let (leaf, ..) = leaf(&ca, "127.0.0.1");
    assert_eq!(check(&pinned, &leaf, &[], "127.0.0.1"), Ok(()));
}

#[test]
fn a_stored_ca_need_not_be_sent_by_the_server() {
    let ca = ca();
    let (leaf, ..) = leaf(&ca, "broker.example");
    assert_eq!(check(&PinnedCa::from_ca_pem(&ca.pem()).unwrap(), &leaf, &[], "broker.example"), Ok(()));
    let by_hash = PinnedCa::from_hex(&pin_of_pem(&ca.pem()).unwrap()).unwrap();
    let refused = check(&by_hash, &leaf, &[], "broker.example").unwrap_err();
    assert!(refused.contains("does not hold the pinned CA"), "{refused}");
}

#[test]
fn another_ca_is_refused_even_with_the_right_name() {
    let (ours, theirs) = (ca(), ca());
    let pinned = PinnedCa::from_hex(&pin_of_pem(&ours.pem()).unwrap()).unwrap();
    let (leaf, ..) = leaf(&theirs, "broker.example");
    let refused = check(&pinned, &leaf, &[theirs.der().clone()], "broker.example").unwrap_err();
    assert!(refused.contains(&pinned.pin()), "{refused}");
}

#[test]
fn a_leaf_of_another_ca_with_the_pinned_ca_appended_is_refused() {
    let (ours, theirs) = (ca(), ca());
    let pinned = PinnedCa::from_hex(&pin_of_pem(&ours.pem()).unwrap()).unwrap();
    let (leaf, ..) = leaf(&theirs, "broker.example");
    let chain = [theirs.der().clone(), ours.der().clone()];
    assert!(check(&pinned, &leaf, &chain, "broker.example").is_err());
}

#[test]
fn the_pinned_ca_must_stand_last() {
    let (ours, theirs) = (ca(), ca());
    let pinned = PinnedCa::from_hex(&pin_of_pem(&ours.pem()).unwrap()).unwrap();
    let (leaf, ..) = leaf(&ours, "broker.example");
    let chain = [ours.der().clone(), theirs.der().clone()];
    assert!(check(&pinned, &leaf, &chain, "broker.example").is_err());
}

#[test]
fn a_server_of_another_name_is_refused() {
    let ca = ca();
    let pinned = PinnedCa::from_ca_pem(&ca.pem()).unwrap();
    let (leaf, ..) = leaf(&ca, "broker.example");
    assert!(check(&pinned, &leaf, &[], "other.example").is_err());
}

#[test]
fn a_certificate_past_its_end_is_refused() {
    let ca = ca();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["broker.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let old = params.signed_by(&key, &ca).unwrap();
    let pinned = PinnedCa::from_ca_pem(&ca.pem()).unwrap();
    let refused = check(&pinned, old.der(), &[], "broker.example").unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
}

fn leaf_of(ca: &Ca, from: (i32, u8), to: (i32, u8)) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["broker.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from.0, from.1, 1);
    params.not_after = rcgen::date_time_ymd(to.0, to.1, 1);
    params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap().der().clone()
}

#[test]
fn a_clock_that_is_behind_does_not_keep_the_broker_out_and_lets_nobody_else_in() {
    let (ours, theirs) = (ca(), ca());
    let pinned = PinnedCa::from_ca_pem(&ours.pem()).unwrap();
    let later = leaf_of(&ours, (2031, 1), (2032, 1));
    assert_eq!(check(&pinned, &later, &[], "broker.example"), Ok(()));
    assert!(check(&pinned, &later, &[], "other.example").is_err());
    assert!(check(&pinned, &leaf_of(&theirs, (2031, 1), (2032, 1)), &[], "broker.example").is_err());
    // It ends before it begins: at no time is it good.
    assert!(check(&pinned, &leaf_of(&ours, (2031, 1), (2030, 1)), &[], "broker.example").is_err());
}

#[test]
fn a_pin_that_is_no_hash_is_refused() {
    for bad in ["", "abcd", "zz", &"0".repeat(63), &"0".repeat(66)] {
        assert!(matches!(PinnedCa::from_hex(bad), Err(TlsError::BadPin)), "{bad}");
    }
}

#[test]
fn clients_are_made_with_and_without_a_certificate() {
    let ca = ca();
    let pinned = PinnedCa::from_ca_pem(&ca.pem()).unwrap();
    let (_, certificate, key) = leaf(&ca, "web-1");
    client(&pinned).unwrap();
    client_with_certificate(&pinned, &certificate, &key).unwrap();
}

#[test]
fn a_key_that_does_not_fit_the_certificate_is_refused() {
    let ca = ca();
    let pinned = PinnedCa::from_ca_pem(&ca.pem()).unwrap();
    let (_, certificate, _) = leaf(&ca, "web-1");
    let (_, _, other_key) = leaf(&ca, "web-1");
    assert!(client_with_certificate(&pinned, &certificate, &other_key).is_err());
}

#[test]
fn a_certificate_says_when_it_begins_and_ends() {
    let mut params = CertificateParams::new(vec!["web-1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 2, 1);
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let validity = validity_of_pem(&certificate.pem()).unwrap();
    assert_eq!(validity.not_after - validity.not_before, 31 * 24 * 3600);
    assert!(validity_of_pem("nothing").is_err());
}
