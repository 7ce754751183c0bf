//! Whose signature a journal's mark needs, and whose journal it may be for.

mod common;

use common::{World, id, key};
use ed25519_dalek::SigningKey;
use stint_grant::dsse::{self, EnvelopeError};
use stint_grant::ids::Sha256Hex;
use stint_grant::keys::PublicKey;
use stint_grant::mark::{self, JournalMark, MarkError, RecordingMark};
use stint_grant::root;

fn mark_of(world: &World) -> JournalMark {
    JournalMark {
        format: 1,
        fleet: id("example"),
        host: id("web-01"),
        host_key: PublicKey::of(&world.host_key),
        epoch: 0,
        size: 3,
        hash: Sha256Hex::of(b"record 2"),
    }
}

fn open(world: &World, envelope: &[u8]) -> Result<JournalMark, MarkError> {
    let bytes = world.root_envelope();
    let root = root::open_pinned(&bytes, &root::pin_of(&bytes)).unwrap();
    mark::open(envelope, &root, &world.me()).map(dsse::Verified::into_inner)
}

#[test]
fn a_mark_by_the_pulse_key_for_this_very_host_is_taken() {
    let world = World::new();
    let mark = mark_of(&world);
    assert_eq!(open(&world, &dsse::sign(&mark, &[&world.pulse_key])), Ok(mark));
}

#[test]
fn a_mark_by_any_other_key_or_by_none_is_refused() {
    let world = World::new();
    let mark = mark_of(&world);
    let stranger = key(99);
    let others: [&[&SigningKey]; 5] =
        [&[&world.bundle_key], &[&world.root_key], &[&world.host_key], &[&stranger], &[]];
    for keys in others {
        let refused = open(&world, &dsse::sign(&mark, keys));
        let few = EnvelopeError::TooFewSignatures { good: 0, threshold: 1 };
        assert_eq!(refused, Err(MarkError::Envelope(few)), "{} keys", keys.len());
    }
    let bare = serde_json::to_vec(&mark).unwrap();
    assert!(matches!(open(&world, &bare), Err(MarkError::Envelope(EnvelopeError::Malformed(_)))));
}

#[test]
fn a_mark_of_another_fleet_host_or_enrolment_is_refused() {
    let world = World::new();
    let sign = |mark: JournalMark| dsse::sign(&mark, &[&world.pulse_key]);
    let other = open(&world, &sign(JournalMark { host: id("web-02"), ..mark_of(&world) }));
    assert!(matches!(other, Err(MarkError::OtherHost { .. })), "{other:?}");
    let other = open(&world, &sign(JournalMark { fleet: id("other"), ..mark_of(&world) }));
    assert!(matches!(other, Err(MarkError::OtherHost { .. })), "{other:?}");
    let earlier = PublicKey::of(&key(55));
    let other = open(&world, &sign(JournalMark { host_key: earlier, ..mark_of(&world) }));
    assert_eq!(other, Err(MarkError::OtherKey));
}

#[test]
fn another_kind_of_document_by_the_same_key_is_no_mark() {
    let world = World::new();
    let payload = serde_json::to_vec(&mark_of(&world)).unwrap();
    let pulse = dsse::sign_bytes("application/vnd.stint.pulse+json", &payload, &[&world.pulse_key]);
    assert!(matches!(open(&world, &pulse), Err(MarkError::Envelope(EnvelopeError::WrongType { .. }))));
}

#[test]
fn a_recording_s_mark_needs_the_same_key_and_host_and_is_no_journal_s_mark() {
    let world = World::new();
    let bytes = world.root_envelope();
    let root = root::open_pinned(&bytes, &root::pin_of(&bytes)).unwrap();
    let held = RecordingMark {
        format: 1,
        fleet: id("example"),
        host: id("web-01"),
        host_key: PublicKey::of(&world.host_key),
        run: "r1".to_owned(),
        bytes: 7,
        sha256: Sha256Hex::of(b"printed"),
    };
    let open = |mark: &RecordingMark, key: &SigningKey| {
        mark::open_recording(&dsse::sign(mark, &[key]), &root, &world.me()).map(dsse::Verified::into_inner)
    };
    assert_eq!(open(&held, &world.pulse_key), Ok(held.clone()));
    assert!(matches!(open(&held, &world.bundle_key), Err(MarkError::Envelope(_))));
    assert!(matches!(open(&held, &world.host_key), Err(MarkError::Envelope(_))));
    let other = RecordingMark { host: id("web-02"), ..held.clone() };
    assert!(matches!(open(&other, &world.pulse_key), Err(MarkError::OtherHost { .. })));
    let earlier = RecordingMark { host_key: PublicKey::of(&key(55)), ..held };
    assert_eq!(open(&earlier, &world.pulse_key), Err(MarkError::OtherKey));
    let journal = dsse::sign(&mark_of(&world), &[&world.pulse_key]);
    assert!(matches!(mark::open_recording(&journal, &root, &world.me()), Err(MarkError::Envelope(_))));
}
