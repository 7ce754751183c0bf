use proptest::prelude::*;

use super::*;
use crate::note::NoteError;

const BOOT: &str = "0b3c7f6e-5a1d-4b7e-9a39-2f4d1c6a8e11";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn start() -> Chain {
    Chain::new("web-01", 0).unwrap()
}

fn event(i: u64) -> Event {
    Event::GrantAccepted { grant: format!("G{i}"), user: "alice".into(), ends: 1_795_444_800 }
}

/// A journal of `count` records and its state.
fn journal(count: u64) -> (Vec<Vec<u8>>, Chain) {
    let mut chain = start();
    let records = (0..count).map(|i| chain.append(&event(i), 1000, BOOT).unwrap()).collect();
    (records, chain)
}

/// A checkpoint of each size given.
fn checkpoints(sizes: &[u64]) -> Vec<String> {
    sizes.iter().map(|size| journal(*size).1.sign(&key())).collect()
}

fn check(records: &[Vec<u8>], signed: &[String]) -> Result<Report, Fault> {
    verify(
        start(),
        records.iter().map(Vec::as_slice),
        signed.iter().map(String::as_bytes),
        &key().verifying_key(),
    )
}

#[test]
fn an_honest_journal_verifies_with_checkpoints_in_any_order() {
    let (records, end) = journal(10);
    let report = check(&records, &checkpoints(&[8, 0, 3, 8])).unwrap();
    assert_eq!(
        report,
        Report {
            records: 10,
            checkpoints: 4,
            checkpoints_before: 0,
            unsigned: 2,
            span: Some((1000, 1000)),
            times_back: 0,
            end,
        }
    );
}

#[test]
fn an_empty_journal_verifies() {
    let report = check(&[], &[]).unwrap();
    assert_eq!((report.records, report.unsigned, report.span), (0, 0, None));
    assert!(check(&[], &checkpoints(&[0])).is_ok());
}

#[test]
fn records_that_nobody_signed_are_counted_and_are_no_fault() {
    let (records, _) = journal(5);
    assert_eq!(check(&records, &[]).unwrap().unsigned, 5);
    assert_eq!(check(&records, &checkpoints(&[5])).unwrap().unsigned, 0);
}

#[test]
fn a_record_changed_together_with_all_that_follow_is_caught_by_the_checkpoint() {
    let (_, honest) = journal(6);
    let mut forger = start();
    let forged: Vec<_> =
        (0..6).map(|i| forger.append(&event(if i == 2 { 99 } else { i }), 1000, BOOT).unwrap()).collect();
    assert!(check(&forged, &[]).is_ok(), "the chain alone holds");
    assert_eq!(check(&forged, &[honest.sign(&key())]), Err(Fault::RootMismatch { size: 6 }));
}

#[test]
fn the_fault_names_the_record_after_the_one_that_was_changed() {
    let (mut records, _) = journal(6);
    records[2] = String::from_utf8(records[2].clone()).unwrap().replace("alice", "mallo").into_bytes();
    assert_eq!(check(&records, &[]), Err(Fault::BrokenChain { seq: 3 }));
}

#[test]
fn dropped_doubled_and_swapped_records_are_named() {
    let (records, _) = journal(6);
    let mut dropped = records.clone();
    dropped.remove(2);
    assert_eq!(check(&dropped, &[]), Err(Fault::Gap { expected: 2, found: 3 }));
    let mut doubled = records.clone();
    doubled.insert(2, records[2].clone());
    assert_eq!(check(&doubled, &[]), Err(Fault::Duplicate { expected: 3, found: 2 }));
    let mut swapped = records;
    swapped.swap(2, 4);
    assert_eq!(check(&swapped, &[]), Err(Fault::Gap { expected: 2, found: 4 }));
}

#[test]
fn a_journal_cut_off_below_a_checkpoint_is_refused() {
    let (records, _) = journal(6);
    for kept in 0..6 {
        let verdict = check(&records[..kept], &checkpoints(&[6]));
        assert_eq!(verdict, Err(Fault::Truncated { records: kept as u64, signed: 6 }));
    }
}

#[test]
fn records_of_another_host_or_epoch_are_refused() {
    for (host, epoch) in [("web-02", 0), ("web-01", 1)] {
        let other = Chain::new(host, epoch).unwrap().append(&event(0), 0, BOOT).unwrap();
        assert_eq!(check(&[other], &[]), Err(Fault::OtherJournal { seq: 0, host: host.into(), epoch }));
    }
}

#[test]
fn checkpoints_of_another_host_epoch_or_key_are_refused() {
    for (chain, key) in [
        (Chain::new("web-02", 0).unwrap(), key()),
        (Chain::new("web-01", 1).unwrap(), key()),
        (start(), SigningKey::from_bytes(&[8; 32])),
    ] {
        let signed = [start().sign(&self::key()), chain.sign(&key)];
        let cause = CheckpointError::Note(NoteError::NotSigned("stint/journal/web-01/0".into()));
        assert_eq!(check(&[], &signed), Err(Fault::Checkpoint { index: 1, cause }));
    }
}

#[test]
fn two_signed_pasts_do_not_both_verify() {
    let (records, honest) = journal(3);
    let mut liar = start();
    (0..3).for_each(|i| drop(liar.append(&event(i + 50), 1000, BOOT).unwrap()));
    assert_eq!(
        check(&records, &[honest.sign(&key()), liar.sign(&key())]),
        Err(Fault::RootMismatch { size: 3 })
    );
}

#[test]
fn a_false_checkpoint_is_found_wherever_it_stands_among_true_ones() {
    let (records, _) = journal(8);
    let mut liar = start();
    (0..4).for_each(|i| drop(liar.append(&event(i + 50), 1000, BOOT).unwrap()));
    for place in 0..=3 {
        let mut signed = checkpoints(&[8, 2, 6]);
        signed.insert(place, liar.sign(&key()));
        assert_eq!(check(&records, &signed), Err(Fault::RootMismatch { size: 4 }), "at place {place}");
    }
}

#[test]
fn an_unreadable_record_is_named_by_its_place() {
    let (mut records, _) = journal(3);
    records[1] = b"{}".to_vec();
    assert!(matches!(check(&records, &[]), Err(Fault::Unreadable { seq: 1, .. })));
}

#[test]
fn a_kind_from_a_newer_version_still_verifies() {
    let first = {
        let (records, _) = journal(1);
        String::from_utf8(records[0].clone()).unwrap().replace("grant_accepted", "grant_dreamt").into_bytes()
    };
    let mut chain = start();
    chain.verify_next(&first).unwrap();
    let signed = [chain.sign(&key())];
    assert_eq!(check(&[first], &signed).unwrap().unsigned, 0);
}

#[test]
fn verification_goes_on_from_a_kept_state() {
    let (records, _) = journal(9);
    let (_, kept) = journal(4);
    let kept: Chain = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
    let signed = checkpoints(&[2, 4, 7]);
    let report = verify(
        kept,
        records[4..].iter().map(Vec::as_slice),
        signed.iter().map(String::as_bytes),
        &key().verifying_key(),
    )
    .unwrap();
    assert_eq!((report.records, report.checkpoints_before, report.unsigned), (5, 1, 2));
    assert_eq!(report.end, journal(9).1);
}

#[test]
fn a_clock_that_went_back_is_counted() {
    let mut chain = start();
    let records: Vec<_> =
        [5, 6, 3, 4, 2].iter().map(|at| chain.append(&event(0), *at, BOOT).unwrap()).collect();
    let report = check(&records, &[]).unwrap();
    assert_eq!((report.times_back, report.span), (2, Some((5, 2))));
}

#[test]
fn an_append_that_fails_changes_nothing() {
    let (_, mut chain) = journal(3);
    let before = chain.clone();
    let large = Event::AgentStopped { why: "x".repeat(record::MAX_BYTES) };
    assert!(matches!(chain.append(&large, 0, BOOT), Err(RecordError::TooLarge(_))));
    assert!(chain.append(&event(0), 0, "no boot id").is_err());
    assert!(chain.verify_next(b"{}").is_err());
    assert_eq!(chain, before);
}

#[test]
fn a_stored_state_is_read_from_one_shape_only() {
    let (_, chain) = journal(3);
    let good = serde_json::to_string(&chain).unwrap();
    assert_eq!(serde_json::from_str::<Chain>(&good).unwrap(), chain);
    let prev = chain.prev_hash().to_string();
    for bad in [
        good.replacen('{', r#"{"more":1,"#, 1),
        good.replacen('{', r#"{"epoch":0,"#, 1),
        good.replace("\"size\":3", "\"size\":4"),
        good.replace("web-01", "web/01"),
        good.replace(&prev, &Hash::ZERO.to_string()),
        good.replace("\"epoch\":0,", ""),
    ] {
        assert!(serde_json::from_str::<Chain>(&bad).is_err(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_of_a_signed_record_is_noticed(
        count in 1_u64..12, which in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
    ) {
        let (mut records, end) = journal(count);
        let record = which.get_mut(&mut records);
        let bit = bit.index(record.len() * 8);
        record[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&records, &[end.sign(&key())]).is_err());
    }

    #[test]
    fn any_flipped_bit_before_the_last_record_is_noticed_without_a_checkpoint(
        count in 2_u64..12, which in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
    ) {
        let (mut records, _) = journal(count);
        let before_last = records.len() - 1;
        let record = &mut records[which.index(before_last)];
        let bit = bit.index(record.len() * 8);
        record[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&records, &[]).is_err());
    }

    #[test]
    fn any_dropped_signed_record_is_noticed(count in 1_u64..24, which in any::<prop::sample::Index>()) {
        let (mut records, end) = journal(count);
        records.remove(which.index(records.len()));
        prop_assert!(check(&records, &[end.sign(&key())]).is_err());
    }

    #[test]
    fn any_doubled_record_is_noticed(
        count in 1_u64..24, which in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(),
    ) {
        let (mut records, _) = journal(count);
        let copy = which.get(&records).clone();
        records.insert(place.index(records.len() + 1), copy);
        prop_assert!(check(&records, &[]).is_err());
    }

    #[test]
    fn any_two_swapped_records_are_noticed(
        count in 2_u64..24, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
    ) {
        let (mut records, _) = journal(count);
        let (a, b) = (a.index(records.len()), b.index(records.len()));
        prop_assume!(a != b);
        records.swap(a, b);
        prop_assert!(check(&records, &[]).is_err());
    }

    #[test]
    fn any_text_is_written_and_verified(texts in prop::collection::vec(any::<String>(), 1..8), at in any::<i64>()) {
        let mut chain = start();
        let mut records = Vec::new();
        for why in &texts {
            records.push(chain.append(&Event::AgentStopped { why: why.clone() }, at, BOOT).unwrap());
        }
        let report = check(&records, &[chain.sign(&key())]).unwrap();
        prop_assert_eq!(report.end, chain);
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::parse(&bytes);
        let _ = start().verify_next(&bytes);
        let _ = start().open_checkpoint(&bytes, &key().verifying_key());
        let _ = serde_json::from_slice::<Chain>(&bytes);
    }
}
