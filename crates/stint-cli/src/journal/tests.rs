use ed25519_dalek::SigningKey;
use stint_log::record::{Event, Mode};

use super::*;

const BOOT: &str = "0b3c7f6e-5a1d-4b7e-9a39-2f4d1c6a8e11";

fn identity() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// `count` records of an epoch, and a checkpoint after `signed` of them.
fn records_of(epoch: u64, count: i64, signed: i64) -> (Vec<String>, Vec<String>) {
    let mut chain = Chain::new("web-01", epoch).unwrap();
    let (mut records, mut checkpoints) = (vec![], vec![]);
    for i in 0..count {
        let event = Event::AgentStarted { version: format!("0.1.{i}"), mode: Mode::Enforce };
        let bytes = chain.append(&event, 1_795_442_400 + i, BOOT).unwrap();
        records.push(String::from_utf8(bytes).unwrap());
        if i + 1 == signed {
            checkpoints.push(chain.sign(&identity()));
        }
    }
    (records, checkpoints)
}

fn journal() -> Journal {
    let (records, checkpoints) = records_of(0, 4, 3);
    Journal {
        host: "web-01".into(),
        identity_key: BASE64.encode(identity().verifying_key().as_bytes()),
        records,
        checkpoints,
    }
}

fn refused(journal: &Journal) -> String {
    let failure = verify(journal, Some(identity().verifying_key())).unwrap_err();
    assert_eq!(failure.exit, Exit::Unverified, "{}", failure.message);
    failure.message
}

#[test]
fn a_whole_journal_verifies_and_says_what_is_not_signed_yet() {
    let verified = verify(&journal(), Some(identity().verifying_key())).unwrap();
    assert_eq!(
        report(&verified),
        "\
Journal of web-01: verified
  records      4, 2026-11-23 14:00:00 UTC to 2026-11-23 14:00:03 UTC
  checkpoints  1, each signed by the host
  unsigned     1 after the last checkpoint: chained, and not signed
  key          sha256:KEY (the key that was given)
"
        .replace("KEY", Sha256Hex::of(identity().verifying_key().as_bytes()).as_str())
    );
}

#[test]
fn a_key_from_the_broker_is_called_so() {
    assert!(report(&verify(&journal(), None).unwrap()).contains("by the broker's word"));
}

#[test]
fn a_changed_record_is_found() {
    let mut journal = journal();
    journal.records[1] = journal.records[1].replace("0.1.1", "0.1.9");
    assert!(refused(&journal).contains("record 2: the chain is broken"));
}

#[test]
fn a_dropped_record_is_found() {
    let mut journal = journal();
    journal.records.remove(1);
    assert!(refused(&journal).contains("record 1 is missing"));
}

#[test]
fn an_end_that_was_cut_off_is_found() {
    let mut journal = journal();
    journal.records.truncate(2);
    assert!(refused(&journal).contains("the end was cut off"));
}

#[test]
fn another_hosts_key_does_not_fit() {
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
    assert_eq!(verify(&journal(), Some(other)).unwrap_err().exit, Exit::Unverified);
}

#[test]
fn records_that_nobody_signed_are_not_verified() {
    let mut journal = journal();
    journal.checkpoints.clear();
    assert_eq!(
        refused(&journal),
        "the 4 records of web-01 are chained, and none is signed: anybody could have written them"
    );
}

#[test]
fn a_journal_begun_anew_is_verified_epoch_by_epoch() {
    let mut journal = journal();
    let (records, checkpoints) = records_of(1, 2, 2);
    journal.records.extend(records);
    journal.checkpoints.extend(checkpoints);
    let verified = verify(&journal, None).unwrap();
    assert_eq!((verified.epochs.as_slice(), verified.records, verified.unsigned), (&[0, 1][..], 6, 1));
    assert!(report(&verified).contains("begun anew by the host: epochs 0, 1"));
}

#[test]
fn an_epoch_of_which_there_is_nothing_is_told() {
    let (records, checkpoints) = records_of(2, 2, 2);
    let journal = Journal { records, checkpoints, ..journal() };
    let text = report(&verify(&journal, None).unwrap());
    assert!(text.contains("begun anew by the host: epochs 2; of 2 others there is nothing"), "{text}");
}

#[test]
fn an_epoch_that_was_dropped_whole_is_found_by_its_checkpoint() {
    let mut journal = journal();
    journal.checkpoints.extend(records_of(1, 2, 2).1);
    assert!(refused(&journal).contains("stint/journal/web-01/1"));
}

#[test]
fn epochs_never_fall() {
    let mut journal = journal();
    let (records, checkpoints) = records_of(1, 2, 2);
    journal.records.splice(0..0, records);
    journal.checkpoints.extend(checkpoints);
    assert_eq!(refused(&journal), "record at position 2: epoch 0 after epoch 1");
}

#[test]
fn an_empty_journal_is_not_called_verified() {
    let mut journal = journal();
    journal.records.clear();
    assert_eq!(verify(&journal, None).unwrap_err().exit, Exit::NotFound);
}

#[test]
fn what_is_no_key_is_refused() {
    for text in ["", "x", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        assert_eq!(key(text).unwrap_err().exit, Exit::Usage, "{text}");
    }
}

#[test]
fn a_recording_is_what_a_signed_record_names_and_nothing_after_the_last_checkpoint() {
    let io = |n: u8| IoLog { bytes: u64::from(n), sha256: stint_log::Hash::of(&[n]), whole: true };
    let mut chain = Chain::new("web-01", 0).unwrap();
    let add = |chain: &mut Chain, run: &str, n: u8| {
        let event = Event::RecordingCut { run: run.into(), io: io(n) };
        String::from_utf8(chain.append(&event, 1_795_442_400, BOOT).unwrap()).unwrap()
    };
    let mut records = vec![add(&mut chain, "r1", 1)];
    let checkpoints = vec![chain.sign(&identity())];
    records.extend([add(&mut chain, "r2", 2), add(&mut chain, "r1", 3)]);
    let journal = Journal { records, checkpoints, ..journal() };
    let key = identity().verifying_key();
    assert_eq!(recording(&journal, &key, "r1").unwrap(), io(1), "the first word counts");
    let unsigned = recording(&journal, &key, "r2").unwrap_err();
    assert!(unsigned.exit == Exit::Unverified && unsigned.message.contains("not signed yet"), "{unsigned:?}");
    assert_eq!(recording(&journal, &key, "r3").unwrap_err().exit, Exit::Unverified);
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
    assert_eq!(recording(&journal, &other, "r1").unwrap_err().exit, Exit::Unverified);
}
