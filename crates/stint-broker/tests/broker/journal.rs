//! Journals come in without a gap, once, and only the host's own.

use stint_api::client::Client;
use stint_log::Hash;
use stint_log::chain::{self, Chain};
use stint_log::record::Event;

use crate::fleet::Fleet;
use crate::host::TestHost;

async fn begin() -> (Fleet, Client, TestHost) {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let auditor = fleet.person(&admin, "aud", &["auditor"]).await;
    let web = fleet.enroll(&admin, "web-01").await;
    (fleet, auditor, web)
}

fn records(chain: &mut Chain, count: i64) -> Vec<Vec<u8>> {
    (0..count).map(|i| chain.append(&Event::Heartbeat {}, 1_795_444_800 + i, "b0").unwrap()).collect()
}

async fn kinds(auditor: &Client) -> Vec<String> {
    auditor.events(0, 5000).await.unwrap().into_iter().map(|e| e.kind).collect()
}

#[tokio::test]
async fn what_was_taken_is_held_once_and_verifies_for_the_auditor() {
    let (_fleet, auditor, web) = begin().await;
    let mut journal = Chain::new("web-01", 0).unwrap();
    let first = records(&mut journal, 3);
    let checkpoint = journal.sign(&web.identity);
    let mark = web.ship(&first, Some(checkpoint)).await.unwrap();
    assert_eq!((mark.epoch, mark.size, mark.hash.to_string()), (0, 3, Hash::of(&first[2]).to_string()));
    assert_eq!(web.mark().await.size, 3);

    // Again, and some more with it, and a checkpoint in their middle: nothing is doubled.
    let second = records(&mut journal, 2);
    let middle = journal.sign(&web.identity);
    let third = records(&mut journal, 1);
    let all = [first.clone(), second, third].concat();
    assert_eq!(web.ship(&all, Some(middle)).await.unwrap().size, 6);
    assert_eq!(web.ship(&all, None).await.unwrap().size, 6);

    let page = auditor.journal("web-01", None, 0, 100).await.unwrap();
    assert_eq!((page.records.len(), page.checkpoints.len(), page.size), (6, 2, 6));
    let lines = page.records.iter().map(String::as_bytes);
    let signed = page.checkpoints.iter().map(String::as_bytes);
    let start = Chain::new("web-01", 0).unwrap();
    let report = chain::verify(start, lines, signed, &web.identity.verifying_key()).unwrap();
    assert_eq!((report.records, report.checkpoints, report.unsigned), (6, 2, 1));
    assert_eq!(auditor.host("web-01").await.unwrap().journal_size, 6);
}

#[tokio::test]
async fn a_gap_is_refused_with_the_number_expected_and_is_no_alarm() {
    let (_fleet, auditor, web) = begin().await;
    let mut journal = Chain::new("web-01", 0).unwrap();
    let all = records(&mut journal, 5);
    web.ship(&all[..2], None).await.unwrap();
    let gap = web.ship(&all[3..], None).await.unwrap_err();
    assert_eq!(gap.code, "conflict");
    assert!(gap.message.contains("record 2"), "{gap}");
    let ahead = web.ship(&[], Some(journal.sign(&web.identity))).await.unwrap_err();
    assert!(ahead.message.contains("covers 5 records, 2 are held"), "{ahead}");
    assert!(!kinds(&auditor).await.iter().any(|k| k.starts_with("alarm.")));
}

#[tokio::test]
async fn another_past_under_the_same_numbers_is_an_alarm_and_nothing_of_it_is_kept() {
    let (_fleet, auditor, web) = begin().await;
    let mut journal = Chain::new("web-01", 0).unwrap();
    let mut all = records(&mut journal, 2);
    web.ship(&all, None).await.unwrap();
    let mut other = Chain::new("web-01", 0).unwrap();
    let rewritten: Vec<_> = (0..2).map(|i| other.append(&Event::Heartbeat {}, i, "b0").unwrap()).collect();
    let next = records(&mut journal, 1);
    let shipment = [next.clone(), rewritten].concat();
    assert_eq!(web.ship(&shipment, None).await.unwrap_err().code, "conflict");
    assert!(kinds(&auditor).await.contains(&"alarm.journal".to_owned()));
    assert_eq!(auditor.journal("web-01", None, 0, 100).await.unwrap().records.len(), 2);
    all.extend(next);
    assert_eq!(web.ship(&all, None).await.unwrap().size, 3);
}

#[tokio::test]
async fn a_checkpoint_that_is_forged_or_of_other_records_is_an_alarm() {
    let (_fleet, auditor, web) = begin().await;
    let mut journal = Chain::new("web-01", 0).unwrap();
    let all = records(&mut journal, 2);
    let forged = journal.sign(&ed25519_dalek::SigningKey::from_bytes(&[9; 32]));
    assert!(web.ship(&all, Some(forged)).await.unwrap_err().message.contains("checkpoint"));
    let mut other = Chain::new("web-01", 0).unwrap();
    for i in 0..2 {
        other.append(&Event::Heartbeat {}, i, "b0").unwrap();
    }
    let lie = other.sign(&web.identity);
    assert!(web.ship(&all, Some(lie)).await.unwrap_err().message.contains("other records"));
    assert_eq!(auditor.journal("web-01", None, 0, 100).await.unwrap().size, 0);
    assert_eq!(kinds(&auditor).await.iter().filter(|k| *k == "alarm.journal").count(), 2);
}

#[tokio::test]
async fn a_journal_that_begins_anew_is_taken_and_told() {
    let (_fleet, auditor, web) = begin().await;
    web.ship(&records(&mut Chain::new("web-01", 0).unwrap(), 3), None).await.unwrap();
    let mark = web.ship(&records(&mut Chain::new("web-01", 1).unwrap(), 2), None).await.unwrap();
    assert_eq!((mark.epoch, mark.size), (1, 2));
    assert!(kinds(&auditor).await.contains(&"alarm.journal_begun_anew".to_owned()));
    assert_eq!(auditor.journal("web-01", None, 0, 100).await.unwrap().epoch, 1);
}

#[tokio::test]
async fn no_host_ships_for_another() {
    let (_fleet, _, web) = begin().await;
    let records = records(&mut Chain::new("web-02", 0).unwrap(), 1);
    assert!(web.ship(&records, None).await.unwrap_err().message.contains("web-02"));
}
