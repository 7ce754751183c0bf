//! The attacks on signed documents that must be refused. Each test is named after its attack; the numbers are those of the list that
//! the project was designed from (1 to 30). Attacks on files, on enrolment and on the host's own store are tested where these live.

#![allow(missing_docs, clippy::pedantic)]

mod common;
use common::*;

use stint_grant::bundle::{self, BundleError, Head, PulseError, Seen};
use stint_grant::dsse::{self, EnvelopeError, Verified};
use stint_grant::gate::GateFault;
use stint_grant::ids::*;
use stint_grant::keys::{KeyError, PublicKey};
use stint_grant::root::{self, Root, RootError};
use stint_grant::roster::{self, RosterError};
use stint_grant::terms::CheckedTerms;
use stint_grant::time::{ClockFault, ClockReading, Floor, UnixTime};

fn seen(version: u64) -> Seen {
    Seen { epoch: 1, version, head: Sha256Hex::of(b"another head") }
}
fn open(world: &World, head: &Head, seen: Option<&Seen>) -> Result<Verified<Head>, BundleError> {
    bundle::open_head(&world.sign_head(head), &world.trusted_root(), &world.me(), seen, NOW)
}

#[test]
fn a_good_head_is_taken() {
    let world = World::new();
    open(&world, &world.head(&[]), Some(&seen(6))).unwrap();
}

#[test]
fn a01_a_lower_version_is_refused() {
    let world = World::new();
    let refused = open(&world, &world.head(&[]), Some(&seen(8)));
    assert_eq!(refused, Err(BundleError::Rollback { found: 7, known: 8 }));
}

#[test]
fn a01_a_lower_epoch_is_refused_even_with_a_higher_version() {
    let mut world = World::new();
    world.root.epoch = 2;
    let head = Head { epoch: 1, version: 1000, ..world.head(&[]) };
    assert_eq!(open(&world, &head, None), Err(BundleError::WrongEpoch { found: 1, root: 2 }));
}

#[test]
fn a02_the_same_version_with_other_bytes_is_an_alarm() {
    let world = World::new();
    assert_eq!(open(&world, &world.head(&[]), Some(&seen(7))), Err(BundleError::Equivocation(7)));
}

#[test]
fn a02_the_same_version_with_the_same_bytes_is_taken_again() {
    let world = World::new();
    let head = open(&world, &world.head(&[]), None).unwrap();
    let again = Seen { epoch: 1, version: 7, head: head.digest().clone() };
    open(&world, &world.head(&[]), Some(&again)).unwrap();
}

#[test]
fn a03_an_expired_bundle_is_refused() {
    let world = World::new();
    let head = Head { expires_at: at(-1), ..world.head(&[]) };
    assert_eq!(open(&world, &head, None), Err(BundleError::Expired(at(-1))));
}

#[test]
fn a03_an_expired_root_denies_at_the_gate() {
    let mut world = World::new();
    world.root.expires_at = at(-1);
    assert_eq!(Gate::of(&world).open().unwrap_err(), GateFault::Root(RootError::Expired(at(-1))));
}

#[test]
fn a03_an_expired_roster_is_refused() {
    let mut world = World::new();
    world.roster.expires_at = at(-1);
    let refused = roster::open(&world.roster_envelope(), &world.trusted_root(), None, NOW);
    assert_eq!(refused.unwrap_err(), RosterError::Expired(at(-1)));
}

#[test]
fn a05_another_hosts_bundle_is_refused() {
    let world = World::new();
    let head = Head { host: id("web-02"), ..world.head(&[]) };
    assert_eq!(open(&world, &head, None), Err(BundleError::OtherHost(id("web-02"))));
}

#[test]
fn a05_a_bundle_for_the_same_name_with_another_host_key_is_refused() {
    let world = World::new();
    let head = Head { host_key: PublicKey::of(&key(99)), ..world.head(&[]) };
    assert_eq!(open(&world, &head, None), Err(BundleError::OtherHost(id("web-01"))));
}

#[test]
fn a06_another_fleets_bundle_is_refused() {
    let world = World::new();
    let head = Head { fleet: id("elsewhere"), ..world.head(&[]) };
    assert_eq!(open(&world, &head, None), Err(BundleError::OtherFleet(id("elsewhere"))));
}

#[test]
fn a07_a_bundle_that_the_pulse_does_not_name_is_refused() {
    let world = World::new();
    let gate = Gate::with(&world, world.shard(), |_| {}, |pulse| pulse.head = Sha256Hex::of(b"another"));
    assert!(matches!(gate.open(), Err(GateFault::Pulse(PulseError::OtherBundle { .. }))));
}

#[test]
fn a08_a_root_that_skips_a_version_is_refused() {
    let world = World::new();
    let current = world.trusted_root();
    let skipping = Root { version: 3, ..world.root.clone() };
    let refused = root::rotate(&current, &dsse::sign(&skipping, &[&world.root_key]));
    assert_eq!(refused.unwrap_err(), RootError::NotNext { found: 3, current: 1 });
}

fn rotated(world: &World, signers: &[&ed25519_dalek::SigningKey]) -> Result<Verified<Root>, RootError> {
    let new_key = key(40);
    let mut next = Root { version: 2, ..world.root.clone() };
    next.keys.0.insert(PublicKey::of(&new_key).id(), PublicKey::of(&new_key));
    next.root = role(&[&new_key], 1);
    root::rotate(&world.trusted_root(), &dsse::sign(&next, signers))
}

#[test]
fn a08_a_root_signed_by_the_new_key_only_is_refused() {
    let world = World::new();
    assert!(matches!(
        rotated(&world, &[&key(40)]),
        Err(RootError::Envelope(EnvelopeError::TooFewSignatures { .. }))
    ));
}

#[test]
fn a08_a_root_signed_by_the_old_key_only_is_refused() {
    let world = World::new();
    assert!(matches!(
        rotated(&world, &[&world.root_key]),
        Err(RootError::Envelope(EnvelopeError::TooFewSignatures { .. }))
    ));
}

#[test]
fn a08_a_root_signed_by_old_and_new_is_taken() {
    let world = World::new();
    assert_eq!(rotated(&world, &[&world.root_key, &key(40)]).unwrap().version, 2);
}

#[test]
fn a08_a_root_of_another_fleet_is_refused() {
    let world = World::new();
    let next = Root { version: 2, fleet: id("elsewhere"), ..world.root.clone() };
    let refused = root::rotate(&world.trusted_root(), &dsse::sign(&next, &[&world.root_key]));
    assert!(matches!(refused, Err(RootError::OtherFleet { .. })));
}

#[test]
fn a09_one_signature_counted_twice_does_not_reach_a_threshold_of_two() {
    let mut world = World::new();
    let second = key(41);
    world.root.keys.0.insert(PublicKey::of(&second).id(), PublicKey::of(&second));
    world.root.bundle = role(&[&world.bundle_key, &second], 2);
    let twice = dsse::sign(&world.head(&[]), &[&world.bundle_key, &world.bundle_key]);
    let refused = bundle::open_head(&twice, &world.trusted_root(), &world.me(), None, NOW);
    assert!(matches!(
        refused,
        Err(BundleError::Envelope(EnvelopeError::TooFewSignatures { good: 1, threshold: 2 }))
    ));
    let both = dsse::sign(&world.head(&[]), &[&world.bundle_key, &second]);
    bundle::open_head(&both, &world.trusted_root(), &world.me(), None, NOW).unwrap();
}

#[test]
fn a09_one_key_under_two_ids_is_refused() {
    let world = World::new();
    let text = serde_json::to_string(&world.root).unwrap();
    let honest = PublicKey::of(&world.bundle_key).id();
    let forged = Sha256Hex::of(b"an alias");
    let doubled = text.replacen(
        "\"keys\":{",
        &format!(
            "\"keys\":{{\"{forged}\":{},",
            serde_json::to_string(&PublicKey::of(&world.bundle_key)).unwrap()
        ),
        1,
    );
    let error = serde_json::from_str::<Root>(&doubled).unwrap_err().to_string();
    assert!(error.contains("is not the hash of its key"), "{error} {honest}");
}

#[test]
fn a09_a_role_that_names_a_key_twice_is_refused() {
    let mut world = World::new();
    world.root.bundle = role(&[&world.bundle_key, &world.bundle_key], 2);
    assert_eq!(world.root.check_roles(), Err(RootError::BadRole("bundle")));
}

#[test]
fn a09_a_threshold_of_zero_is_refused() {
    let mut world = World::new();
    world.root.pulse.threshold = 0;
    assert_eq!(world.root.check_roles(), Err(RootError::BadRole("pulse")));
}

#[test]
fn a10_a_good_key_in_the_wrong_role_is_refused() {
    let world = World::new();
    let by_pulse = dsse::sign(&world.head(&[]), &[&world.pulse_key]);
    let refused = bundle::open_head(&by_pulse, &world.trusted_root(), &world.me(), None, NOW);
    assert!(matches!(refused, Err(BundleError::Envelope(EnvelopeError::TooFewSignatures { good: 0, .. }))));
    let by_bundle = dsse::sign(&world.roster, &[&world.bundle_key]);
    let refused = roster::open(&by_bundle, &world.trusted_root(), None, NOW);
    assert!(matches!(refused, Err(RosterError::Envelope(EnvelopeError::TooFewSignatures { good: 0, .. }))));
}

#[test]
fn a11_one_kind_of_document_is_not_taken_for_another() {
    let mut world = World::new();
    world.root.bundle = role(&[&world.pulse_key], 1);
    let head = open_as_pulse(&world);
    assert!(matches!(head, Err(PulseError::Envelope(EnvelopeError::WrongType { .. }))));
}

fn open_as_pulse(world: &World) -> Result<(), PulseError> {
    let envelope = dsse::sign(&world.head(&[]), &[&world.pulse_key]);
    let root = world.trusted_root();
    let head: Verified<Head> = dsse::verify(&envelope, &[root.bundle_signers()]).unwrap();
    bundle::open_pulse(&envelope, &root, &head).map(|_| ())
}

#[test]
fn a11_the_payload_type_is_signed_too() {
    let world = World::new();
    let payload = serde_json::to_vec(&world.head(&[])).unwrap();
    let other = dsse::sign_bytes("application/vnd.stint.other+json", &payload, &[&world.bundle_key]);
    let renamed = String::from_utf8(other).unwrap().replace("vnd.stint.other", "vnd.stint.bundle-head");
    let refused = bundle::open_head(renamed.as_bytes(), &world.trusted_root(), &world.me(), None, NOW);
    assert!(matches!(refused, Err(BundleError::Envelope(EnvelopeError::TooFewSignatures { good: 0, .. }))));
}

#[test]
fn a12_an_envelope_without_signatures_is_refused() {
    let world = World::new();
    let bare = dsse::sign(&world.head(&[]), &[]);
    let refused = bundle::open_head(&bare, &world.trusted_root(), &world.me(), None, NOW);
    assert!(matches!(refused, Err(BundleError::Envelope(EnvelopeError::TooFewSignatures { good: 0, .. }))));
}

#[test]
fn a12_the_bare_payload_is_refused() {
    let world = World::new();
    let payload = serde_json::to_vec(&world.head(&[])).unwrap();
    let refused = bundle::open_head(&payload, &world.trusted_root(), &world.me(), None, NOW);
    assert!(matches!(refused, Err(BundleError::Envelope(EnvelopeError::Malformed(_)))));
}

#[test]
fn a13_an_unknown_key_is_refused_and_a_borrowed_key_id_helps_nobody() {
    let world = World::new();
    let stranger = String::from_utf8(dsse::sign(&world.head(&[]), &[&key(77)])).unwrap();
    let borrowed = stranger
        .replace(PublicKey::of(&key(77)).id().as_str(), PublicKey::of(&world.bundle_key).id().as_str());
    for forged in [stranger, borrowed] {
        let refused = bundle::open_head(forged.as_bytes(), &world.trusted_root(), &world.me(), None, NOW);
        assert!(matches!(
            refused,
            Err(BundleError::Envelope(EnvelopeError::TooFewSignatures { good: 0, .. }))
        ));
    }
}

#[test]
fn a14_a_key_of_small_order_is_refused() {
    let mut neutral = [0u8; 32];
    neutral[0] = 1;
    assert_eq!(PublicKey::from_bytes(&neutral), Err(KeyError::Weak));
    assert_eq!(PublicKey::from_bytes(&[0u8; 32]), Err(KeyError::Weak));
}

/// A root that names one more key, which the type of keys would not make: its text is changed before it is signed.
fn root_with_key(world: &World, version: u64, bytes: &[u8; 32]) -> Vec<u8> {
    let mut root = serde_json::to_value(Root { version, ..world.root.clone() }).unwrap();
    let key = data_encoding::BASE64.encode(bytes);
    root["keys"][KeyId::of(bytes).as_str()] = key.into();
    let text = serde_json::to_vec(&root).unwrap();
    dsse::sign_bytes("application/vnd.stint.root+json", &text, &[&world.root_key])
}

#[test]
fn a14_a_root_with_a_key_of_small_order_is_refused_pinned_or_not() {
    let world = World::new();
    let good = root_with_key(&world, 2, PublicKey::of(&key(60)).as_bytes());
    assert_eq!(root::rotate(&world.trusted_root(), &good).unwrap().version, 2);
    let mut neutral = [0u8; 32];
    neutral[0] = 1;
    let mut signed_neutral = neutral;
    signed_neutral[31] = 0x80;
    for weak in [[0; 32], neutral, signed_neutral] {
        let bytes = root_with_key(&world, 2, &weak);
        let pinned = root::open_pinned(&bytes, &root::pin_of(&bytes)).unwrap_err();
        let next = root::rotate(&world.trusted_root(), &bytes).unwrap_err();
        for refused in [pinned, next] {
            assert!(refused.to_string().contains("small order"), "{refused}");
        }
    }
}

#[test]
fn a14_a_new_root_with_a_key_off_the_curve_is_refused() {
    let world = World::new();
    // No point has y = 2.
    let mut off = [0u8; 32];
    off[0] = 2;
    assert_eq!(PublicKey::from_bytes(&off), Err(KeyError::Malformed));
    let refused = root::rotate(&world.trusted_root(), &root_with_key(&world, 2, &off)).unwrap_err();
    assert!(refused.to_string().contains("not an Ed25519 public key"), "{refused}");
}

#[test]
fn a15_version_u64_max_is_taken_and_a_new_epoch_recovers_from_it() {
    let mut world = World::new();
    let last = Head { version: u64::MAX, ..world.head(&[]) };
    let taken = open(&world, &last, None).unwrap();
    let seen = Seen { epoch: 1, version: u64::MAX, head: taken.digest().clone() };
    assert!(matches!(open(&world, &world.head(&[]), Some(&seen)), Err(BundleError::Rollback { .. })));
    world.root.epoch = 2;
    let recovered = Head { epoch: 2, version: 1, ..world.head(&[]) };
    open(&world, &recovered, Some(&seen)).unwrap();
}

#[test]
fn a16_an_epoch_that_root_does_not_authorise_is_refused() {
    let world = World::new();
    let head = Head { epoch: 9, ..world.head(&[]) };
    assert_eq!(open(&world, &head, None), Err(BundleError::WrongEpoch { found: 9, root: 1 }));
}

#[test]
fn a16_a_root_whose_epoch_goes_back_is_refused() {
    let mut world = World::new();
    world.root.epoch = 5;
    let back = Root { version: 2, epoch: 4, ..world.root.clone() };
    let refused = root::rotate(&world.trusted_root(), &dsse::sign(&back, &[&world.root_key]));
    assert_eq!(refused.unwrap_err(), RootError::EpochBack { found: 4, current: 5 });
}

/// Signs a head whose text was changed by hand, and says how it is refused.
fn refusal_of_text(edit: impl Fn(String) -> String) -> String {
    let world = World::new();
    let text = edit(serde_json::to_string(&world.head(&[])).unwrap());
    let envelope =
        dsse::sign_bytes("application/vnd.stint.bundle-head+json", text.as_bytes(), &[&world.bundle_key]);
    match bundle::open_head(&envelope, &world.trusted_root(), &world.me(), None, NOW) {
        Err(BundleError::Envelope(EnvelopeError::Body(why))) => why,
        other => panic!("not refused for its body: {other:?}"),
    }
}

#[test]
fn a17_an_unknown_field_is_refused() {
    assert!(refusal_of_text(|t| t.replacen('{', "{\"extra\":1,", 1)).contains("unknown field `extra`"));
}

#[test]
fn a18_a_field_that_stands_twice_is_refused() {
    assert!(refusal_of_text(|t| t.replacen('{', "{\"version\":1,", 1)).contains("duplicate field `version`"));
}

#[test]
fn a18_a_key_that_stands_twice_in_a_map_is_refused() {
    let world = World::new();
    let text = serde_json::to_string(&world.root).unwrap();
    let id = PublicKey::of(&world.bundle_key).id();
    let entry = format!("\"{id}\":{},", serde_json::to_string(&PublicKey::of(&world.bundle_key)).unwrap());
    let doubled = text.replacen("\"keys\":{", &format!("\"keys\":{{{entry}"), 1);
    assert!(serde_json::from_str::<Root>(&doubled).unwrap_err().to_string().contains("stands twice"));
}

#[test]
fn a19_an_array_in_place_of_an_object_is_refused() {
    let why = refusal_of_text(|t| {
        let value: serde_json::Value = serde_json::from_str(&t).unwrap();
        serde_json::to_string(&value.as_object().unwrap().values().collect::<Vec<_>>()).unwrap()
    });
    assert!(why.contains("expected an object"), "{why}");
}

#[test]
fn a19_an_array_in_place_of_the_envelope_is_refused() {
    let world = World::new();
    let refused = bundle::open_head(br#"["a","b",[]]"#, &world.trusted_root(), &world.me(), None, NOW);
    assert!(matches!(refused, Err(BundleError::Envelope(EnvelopeError::Malformed(_)))));
}

#[test]
fn a20_a_missing_optional_field_is_refused() {
    let world = World::new();
    let text = world.terms.to_text();
    let without = text.replace("\"ticket\":null,", "");
    assert_ne!(text, without);
    assert!(CheckedTerms::parse(&without).unwrap_err().to_string().contains("missing field `ticket`"));
}

#[test]
fn a21_floats_trailing_data_a_byte_order_mark_and_deep_nesting_are_refused() {
    refusal_of_text(|t| t.replacen("\"version\":7", "\"version\":7.0", 1));
    refusal_of_text(|t| t.replacen("\"version\":7", "\"version\":7e0", 1));
    refusal_of_text(|t| t + "{}");
    refusal_of_text(|t| format!("\u{feff}{t}"));
    refusal_of_text(|t| {
        t.replacen("\"locks\":[]", &format!("\"locks\":{}{}", "[".repeat(5000), "]".repeat(5000)), 1)
    });
}

#[test]
fn a22_an_envelope_over_the_cap_is_refused_before_it_is_parsed() {
    let world = World::new();
    let huge = vec![b' '; dsse::MAX_ENVELOPE_BYTES + 1];
    let refused = bundle::open_head(&huge, &world.trusted_root(), &world.me(), None, NOW);
    assert_eq!(refused, Err(BundleError::Envelope(EnvelopeError::TooLarge(huge.len()))));
}

#[test]
fn a23_files_of_two_generations_do_not_open() {
    let world = World::new();
    let mut gate = Gate::of(&world);
    let newer = Gate::with(&world, world.shard(), |head| head.version = 8, |_| {});
    gate.user = newer.user.clone();
    assert!(matches!(gate.open(), Err(GateFault::Torn(_))));
    let mut gate = Gate::of(&world);
    gate.head = newer.head;
    assert!(matches!(gate.open(), Err(GateFault::Torn(_))));
}

#[test]
fn a25_a_wall_clock_behind_the_floor_denies_in_a_new_boot() {
    let world = World::new();
    let mut gate = Gate::of(&world);
    gate.reading = ClockReading { wall: at(-3600), boottime_ms: 100, boot_id: "boot-2".into() };
    assert_eq!(
        gate.open().unwrap_err(),
        GateFault::Clock(ClockFault::Behind { wall: at(-3600), floor: NOW })
    );
}

#[test]
fn a25_a_wall_clock_set_back_or_forward_within_a_boot_changes_nothing() {
    let world = World::new();
    for wall in [at(-86_400), at(86_400)] {
        let mut gate = Gate::of(&world);
        gate.reading = ClockReading { wall, boottime_ms: 65_000, boot_id: "boot-1".into() };
        assert_eq!(gate.open().unwrap().now(), at(15));
    }
}

#[test]
fn a25_a_signed_time_far_ahead_raises_nothing() {
    let floor = Floor { time: NOW, boot_id: "boot-1".into(), boottime_ms: 0 };
    let reading = ClockReading { wall: NOW, boottime_ms: 1000, boot_id: "boot-1".into() };
    let far = UnixTime(NOW.0 + 25 * 3600);
    assert!(matches!(floor.advance(far, &reading), Err(ClockFault::FarAhead { .. })));
    assert_eq!(floor.advance(at(3600), &reading).unwrap().time, at(3600));
}

#[test]
fn a25_the_floor_never_follows_the_wall_clock() {
    let floor = Floor { time: NOW, boot_id: "boot-1".into(), boottime_ms: 0 };
    let reading = ClockReading { wall: at(900_000), boottime_ms: 1000, boot_id: "boot-2".into() };
    assert_eq!(floor.advance(at(10), &reading).unwrap().time, at(10));
}

#[test]
fn a25_an_old_signed_time_does_not_turn_time_back() {
    let floor = Floor { time: NOW, boot_id: "boot-1".into(), boottime_ms: 0 };
    let reading = ClockReading { wall: NOW, boottime_ms: 60_000, boot_id: "boot-1".into() };
    let after = floor.advance(at(-500), &reading).unwrap();
    assert_eq!(after.now(&reading), Ok(at(60)));
    let reboot = ClockReading { wall: at(-5000), boottime_ms: 10, boot_id: "boot-2".into() };
    assert_eq!(floor.advance(at(-500), &reboot).unwrap().time, NOW);
}

#[test]
fn a27_the_gate_checks_what_the_warden_checks() {
    let world = World::new();
    let expired = Gate::with(&world, world.shard(), |h| h.expires_at = at(-1), |_| {});
    assert!(matches!(expired.open(), Err(GateFault::Bundle(BundleError::Expired(_)))));
    let wrong_epoch = Gate::with(&world, world.shard(), |h| h.epoch = 3, |_| {});
    assert!(matches!(wrong_epoch.open(), Err(GateFault::Bundle(BundleError::WrongEpoch { .. }))));
    let other_host = Gate::with(&world, world.shard(), |h| h.host = id("web-02"), |_| {});
    assert!(matches!(other_host.open(), Err(GateFault::Bundle(BundleError::OtherHost(_)))));
}

#[test]
fn a28_names_that_are_paths_are_refused() {
    for name in ["../etc/passwd", "a/b", "..", ".", "", "a\0b", "a\nb", "-rf", "A", "ä"] {
        assert!(UserName::new(name).is_err(), "{name:?}");
        assert!(HostName::new(name).is_err(), "{name:?}");
        assert!(GrantId::new(name).is_err(), "{name:?}");
        assert!(FleetName::new(name).is_err(), "{name:?}");
        assert!(EntitlementName::new(name).is_err(), "{name:?}");
    }
    assert!(!stint_grant::gate::user_file("../../etc/shadow").contains('/'));
}

#[test]
fn a29_a_key_that_a_newer_root_dropped_signs_nothing() {
    let world = World::new();
    let fresh = key(50);
    let mut next = Root { version: 2, ..world.root.clone() };
    next.keys.0.remove(&PublicKey::of(&world.bundle_key).id());
    next.keys.0.insert(PublicKey::of(&fresh).id(), PublicKey::of(&fresh));
    next.bundle = role(&[&fresh], 1);
    let rotated = root::rotate(&world.trusted_root(), &dsse::sign(&next, &[&world.root_key])).unwrap();
    let refused = bundle::open_head(&world.sign_head(&world.head(&[])), &rotated, &world.me(), None, NOW);
    assert!(matches!(refused, Err(BundleError::Envelope(EnvelopeError::TooFewSignatures { good: 0, .. }))));
}

#[test]
fn the_first_root_must_have_the_pinned_hash() {
    let world = World::new();
    let refused = root::open_pinned(&world.root_envelope(), &Sha256Hex::of(b"another root"));
    assert!(matches!(refused, Err(RootError::NotPinned { .. })));
}

#[test]
fn an_unknown_format_is_refused_with_what_to_do() {
    let world = World::new();
    let head = Head { format: 2, ..world.head(&[]) };
    assert!(open(&world, &head, None).unwrap_err().to_string().contains("update stint"));
}

#[test]
fn a_roster_that_goes_back_is_refused() {
    let world = World::new();
    let refused = roster::open(&world.roster_envelope(), &world.trusted_root(), Some(2), NOW);
    assert_eq!(refused.unwrap_err(), RosterError::Rollback { found: 1, known: 2 });
}
