//! The journal through restarts, torn ends, damage, a full disk, and a broker that holds more or other than it should.

use ed25519_dalek::SigningKey;
use stint_api::audit::ShipRecords;
use stint_grant::dsse::{self, Signers, Verified};
use stint_grant::ids::Sha256Hex;
use stint_grant::keys::PublicKey;
use stint_grant::mark::JournalMark;
use stint_grant::time::UnixTime;
use stint_log::Hash;
use stint_log::chain::{self, Chain};
use stint_log::record::{Body, Event, Record};

use super::{Journal, Recorder};
use crate::warden::files::faults::fail_after;

const BOOT: &str = "0b3c7f6e-5a1d-4b7e-9a39-2f4d1c6a8e11";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}
fn open(dir: &tempfile::TempDir) -> Journal {
    Journal::open(dir.path().join("journal"), "web-01", key(), BOOT, UnixTime(1000)).unwrap()
}
fn event(n: usize) -> Event {
    Event::AgentStopped { why: format!("{n}") }
}
fn write(journal: &mut Journal, range: std::ops::Range<usize>) {
    for n in range {
        journal.record(event(n));
    }
    journal.commit().unwrap();
}
/// What the warden hands in: a mark whose signature holds.
fn mark(epoch: u64, size: u64, hash: Hash) -> Verified<JournalMark> {
    let broker = SigningKey::from_bytes(&[9; 32]);
    let mark = JournalMark {
        format: 1,
        fleet: "example".parse().unwrap(),
        host: "web-01".parse().unwrap(),
        host_key: PublicKey::of(&key()),
        epoch,
        size,
        hash: Sha256Hex::new(hash.to_string()).unwrap(),
    };
    let public = PublicKey::of(&broker);
    let signers = Signers { keys: vec![&public], threshold: 1 };
    dsse::verify(&dsse::sign(&mark, &[&broker]), &[signers]).unwrap()
}
fn nothing_yet() -> Verified<JournalMark> {
    mark(0, 0, Hash::ZERO)
}

/// A broker that takes what comes in order, as the real one does.
#[derive(Default)]
struct Broker {
    records: Vec<Vec<u8>>,
    checkpoints: Vec<String>,
}

impl Broker {
    fn take(&mut self, shipment: &ShipRecords) -> Verified<JournalMark> {
        self.records.extend(shipment.records.iter().map(|r| r.clone().into_bytes()));
        self.checkpoints.extend(shipment.checkpoint.clone());
        self.mark()
    }
    fn mark(&self) -> Verified<JournalMark> {
        let Some(last) = self.records.last() else { return nothing_yet() };
        let header = Record::parse(last).unwrap().header;
        mark(header.epoch, header.seq + 1, Hash::of(last))
    }
    /// Asks until there is no more.
    fn drain(&mut self, journal: &mut Journal) {
        journal.take_mark(&self.mark()).unwrap();
        while let Some(shipment) = journal.next_shipment().unwrap() {
            let mark = self.take(&shipment);
            journal.take_mark(&mark).unwrap();
        }
    }
    fn verify(&self) {
        let records = self.records.iter().map(Vec::as_slice);
        let checkpoints = self.checkpoints.iter().map(String::as_bytes);
        let start = Chain::new("web-01", 0).unwrap();
        let report = chain::verify(start, records, checkpoints, &key().verifying_key()).unwrap();
        assert_eq!(report.unsigned, 0);
    }
    fn kinds(&self) -> Vec<String> {
        self.records.iter().map(|r| Record::parse(r).unwrap().body.kind().to_owned()).collect()
    }
}

fn segments(dir: &tempfile::TempDir) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir.path().join("journal"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    found.sort();
    found
}

#[test]
fn what_was_recorded_is_shipped_in_order_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut broker) = (open(&dir), Broker::default());
    write(&mut journal, 0..1200);
    broker.drain(&mut journal);
    assert_eq!(broker.records.len(), 1200);
    assert!(broker.checkpoints.len() >= 3);
    broker.verify();
    assert_eq!(journal.status().acknowledged, 1200);
    write(&mut journal, 0..3);
    broker.drain(&mut journal);
    broker.verify();
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::default();
    for _ in 0..3 {
        let mut journal = open(&dir);
        write(&mut journal, 0..700);
        broker.drain(&mut journal);
    }
    assert_eq!(broker.records.len(), 2100);
    assert!(segments(&dir).len() > 1);
    broker.verify();
}

#[test]
fn nothing_is_shipped_before_the_mark_is_known_and_one_shipment_is_on_its_way_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir);
    write(&mut journal, 0..600);
    assert!(journal.next_shipment().unwrap().is_none());
    journal.take_mark(&nothing_yet()).unwrap();
    assert!(journal.next_shipment().unwrap().is_some());
    assert!(journal.next_shipment().unwrap().is_none());
    journal.disconnected();
    assert!(journal.next_shipment().unwrap().is_none());
    journal.take_mark(&nothing_yet()).unwrap();
    assert!(journal.next_shipment().unwrap().is_some());
}

#[test]
fn what_is_not_committed_is_not_shipped() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir);
    journal.take_mark(&nothing_yet()).unwrap();
    journal.record(event(0));
    assert!(journal.next_shipment().unwrap().is_none());
    journal.commit().unwrap();
    assert_eq!(journal.next_shipment().unwrap().unwrap().records.len(), 1);
}

#[test]
fn a_torn_last_line_is_cut_off_wherever_it_was_torn_and_a_record_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir);
    write(&mut journal, 0..5);
    drop(journal);
    let path = segments(&dir).pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for cut in [last + 1, last + 40, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (mut journal, mut broker) = (open(&dir), Broker::default());
        journal.commit().unwrap();
        broker.drain(&mut journal);
        assert_eq!(broker.records.len(), 5, "four whole ones, and one that tells of the fifth");
        assert_eq!(broker.kinds()[4], "alarm");
        broker.verify();
    }
}

#[test]
fn damage_in_the_middle_is_put_aside_and_a_new_epoch_tells_of_the_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir);
    write(&mut journal, 0..9);
    drop(journal);
    let path = segments(&dir).pop().unwrap();
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    std::fs::write(&path, text.replace("\"why\":\"4\"", "\"why\":\"X\"")).unwrap();

    let (mut journal, mut broker) = (open(&dir), Broker::default());
    write(&mut journal, 0..1);
    broker.drain(&mut journal);
    let records: Vec<Record> = broker.records.iter().map(|r| Record::parse(r).unwrap()).collect();
    // The changed record still follows the one before it; the one after it shows the change.
    let epochs: Vec<_> = records.iter().map(|r| (r.header.epoch, r.header.seq)).collect();
    assert_eq!(epochs, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1)]);
    let Body::Known(Event::Gap { epoch: 0, from: 5, to: 8, .. }) = &records[5].body else {
        panic!("{:?}", records[5].body)
    };
    let aside = dir.path().join("journal/quarantine");
    assert_eq!(std::fs::read_dir(aside).unwrap().count(), 1);
    drop(journal);
    assert_eq!(open(&dir).status().epoch, 1);
}

#[test]
fn a_segment_that_cannot_be_read_at_all_is_put_aside_and_the_journal_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut broker) = (open(&dir), Broker::default());
    write(&mut journal, 0..9);
    broker.drain(&mut journal);
    drop(journal);
    let path = segments(&dir).pop().unwrap();
    std::fs::remove_file(&path).unwrap();
    // As a bad block, to the reader: it opens, and gives nothing.
    std::fs::create_dir(&path).unwrap();
    let mut journal = open(&dir);
    write(&mut journal, 0..1);
    broker.drain(&mut journal);
    assert_eq!(broker.kinds()[9], "gap");
    assert_eq!(journal.status().epoch, 1);
}

#[test]
fn a_gap_that_was_found_is_recorded_though_the_host_stops_before_that() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir);
    write(&mut journal, 0..9);
    drop(journal);
    let path = segments(&dir).pop().unwrap();
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    std::fs::write(&path, text.replace("\"why\":\"4\"", "\"why\":\"X\"")).unwrap();
    // Found, put aside, and the power goes before anything is committed.
    drop(open(&dir));
    let (mut journal, mut broker) = (open(&dir), Broker::default());
    journal.commit().unwrap();
    broker.drain(&mut journal);
    assert_eq!(broker.kinds().last().unwrap(), "gap");
}

#[test]
fn segments_that_are_gone_begin_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut broker) = (open(&dir), Broker::default());
    write(&mut journal, 0..9);
    broker.drain(&mut journal);
    drop(journal);
    for path in segments(&dir) {
        std::fs::remove_file(path).unwrap();
    }
    let mut journal = open(&dir);
    write(&mut journal, 0..1);
    broker.drain(&mut journal);
    assert_eq!(broker.kinds()[9], "gap");
    assert_eq!(Record::parse(&broker.records[9]).unwrap().header.epoch, 1);
}

#[test]
fn a_full_disk_loses_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir);
    write(&mut journal, 0..2);
    for n in 2..6 {
        journal.record(event(n));
        fail_after(Some(0));
        journal.commit().unwrap_err();
        fail_after(None);
        assert!(journal.fault().is_some());
    }
    journal.commit().unwrap();
    assert!(journal.fault().is_none());
    let mut broker = Broker::default();
    broker.drain(&mut journal);
    assert_eq!(broker.records.len(), 6);
    broker.verify();
}

#[test]
fn a_broker_that_holds_another_past_is_an_alarm_and_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir);
    write(&mut journal, 0..5);
    let other = mark(0, 3, Hash::of(b"other"));
    journal.take_mark(&other).unwrap();
    assert!(journal.next_shipment().unwrap().is_none());
    assert!(journal.status().shipping_stopped.is_some());
    journal.commit().unwrap();
    // The same again is not recorded again.
    let size = journal.status().size;
    journal.take_mark(&other).unwrap();
    journal.commit().unwrap();
    assert_eq!(journal.status().size, size);
    // A broker that is right again gets all of it, the alarm included.
    let mut broker = Broker::default();
    broker.drain(&mut journal);
    assert!(broker.kinds().contains(&"alarm".to_owned()));
    broker.verify();
}

#[test]
fn a_broker_that_holds_more_than_this_host_has_is_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir);
    write(&mut journal, 0..5);
    for (epoch, size) in [(0, 6), (1, 0)] {
        journal.take_mark(&mark(epoch, size, Hash::of(b"x"))).unwrap();
        assert!(journal.status().shipping_stopped.unwrap().contains("went back"));
    }
}

#[test]
fn marks_that_a_courier_shows_again_and_again_do_not_fill_the_disk_with_alarms() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut broker) = (open(&dir), Broker::default());
    let mut old = Vec::new();
    for n in 0..2 {
        write(&mut journal, n..n + 1);
        broker.drain(&mut journal);
        old.push(broker.mark());
    }
    // Too many for this host, each time that it has one more record itself: told once.
    for _ in 0..10 {
        journal.take_mark(&mark(0, 1_000_000, Hash::of(b"x"))).unwrap();
        journal.commit().unwrap();
    }
    assert_eq!(journal.status().size, 3);
    for _ in 0..1000 {
        for mark in &old {
            journal.take_mark(mark).unwrap();
        }
        journal.commit().unwrap();
    }
    assert!((50..200).contains(&journal.status().size), "{}", journal.status().size);
}

#[test]
fn a_broker_that_was_restored_gets_records_again_and_it_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut broker) = (open(&dir), Broker::default());
    write(&mut journal, 0..900);
    broker.drain(&mut journal);
    broker.records.truncate(400);
    broker.checkpoints.truncate(0);
    broker.drain(&mut journal);
    journal.commit().unwrap();
    broker.drain(&mut journal);
    assert_eq!(broker.records.len(), 901);
    assert_eq!(broker.kinds()[900], "alarm");
    broker.verify();
}

#[test]
fn an_event_that_is_too_large_leaves_a_record_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut broker) = (open(&dir), Broker::default());
    journal.record(Event::AgentStopped { why: "x".repeat(70_000) });
    journal.commit().unwrap();
    broker.drain(&mut journal);
    assert_eq!(broker.kinds(), ["alarm"]);
}

#[test]
fn a_host_that_is_enrolled_anew_begins_a_journal_of_its_own_and_shows_nobody_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, mut broker) = (open(&dir), Broker::default());
    write(&mut journal, 0..9);
    broker.drain(&mut journal);
    drop(journal);
    let new_key = SigningKey::from_bytes(&[8; 32]);
    let path = dir.path().join("journal");
    let mut journal = Journal::open(path, "web-01", new_key, BOOT, UnixTime(2000)).unwrap();
    write(&mut journal, 0..2);
    let mut other = Broker::default();
    other.drain(&mut journal);
    let places: Vec<_> =
        other.records.iter().map(|r| Record::parse(r).unwrap().header).map(|h| (h.epoch, h.seq)).collect();
    assert_eq!(places, [(1, 0), (1, 1)]);
    // The same broker takes it too: a new epoch follows.
    broker.drain(&mut journal);
    assert_eq!(broker.records.len(), 11);
}
