//! Checks of the parsers of stint-log.

use ed25519_dalek::SigningKey;
use stint_log::chain::{self, Chain};
use stint_log::checkpoint::Checkpoint;
use stint_log::note;
use stint_log::record::{self, Body, Event, Mode, Record};

const HOST: &str = "web-01";
const BOOT: &str = "0b3c7f6e-5a1d-4b7e-9a39-2f4d1c6a8e11";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A journal file: each record that is taken reads back as it was written, and no file verifies that was not signed.
pub fn record(data: &[u8]) {
    let (whole, torn) = record::lines(data);
    let lines: Vec<&[u8]> = whole.collect();
    let together = lines.iter().map(|line| line.len() + 1).sum::<usize>() + torn.len();
    assert_eq!(together, data.len(), "no byte of a file is lost");
    for line in lines.iter().copied().chain([torn]) {
        let Ok(taken) = Record::parse(line) else { continue };
        assert!(!line.contains(&b'\n'));
        assert!(!taken.body.kind().is_empty());
        if let Body::Known(event) = &taken.body
            && let Ok(written) = taken.header.write(event)
        {
            assert_eq!(Record::parse(&written).as_ref(), Ok(&taken), "a record reads back as another");
        }
    }
    let start = Chain::new(HOST, 0).expect("a good name");
    if let Ok(report) = chain::verify(start, lines.iter().copied(), [], &key().verifying_key()) {
        assert_eq!(report.records, report.unsigned, "nothing was signed");
    }
}

/// A checkpoint: raw bytes, and the same bytes as the text of a note that is signed well.
pub fn checkpoint(data: &[u8]) {
    let (origin, public) = (Chain::new(HOST, 0).expect("a good name").origin(), key().verifying_key());
    if let Ok(taken) = Checkpoint::open(data, &origin, &public) {
        assert_eq!(taken.origin, origin);
        let again = taken.sign(&key()).expect("what was taken can be signed");
        assert_eq!(Checkpoint::open(again.as_bytes(), &origin, &public), Ok(taken));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(signed) = note::sign(text, &origin, &key()) else { return };
    if signed.len() <= 60_000 {
        assert_eq!(note::open(signed.as_bytes(), &origin, &public), Ok(text), "a note that was signed opens");
    }
    if let Ok(taken) = Checkpoint::open(signed.as_bytes(), &origin, &public) {
        let again = taken.sign(&key()).expect("what was taken can be signed");
        assert_eq!(Checkpoint::open(again.as_bytes(), &origin, &public), Ok(taken));
    }
}

/// Good inputs of each target.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut journal = Chain::new(HOST, 0).expect("a good name");
    let mut file = Vec::new();
    let events = [
        Event::AgentStarted { version: "0.1.0".into(), mode: Mode::Enforce },
        Event::AgentStopped { why: "reboot".into() },
    ];
    for event in events {
        let line = journal.append(&event, 1_795_444_800, BOOT).expect("a good event");
        file.extend_from_slice(&line);
        file.push(b'\n');
    }
    let checkpoint = journal.checkpoint();
    let signed = journal.sign(&key());
    let text = signed.split("\n\n").next().unwrap_or_default().to_owned() + "\n";
    assert!(text.starts_with(&checkpoint.origin));
    vec![("record", file), ("checkpoint", signed.into_bytes()), ("checkpoint", text.into_bytes())]
}
