//! A host's journal: taken in, kept in a file, verified from the host's key.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use stint_api::client::Client;
use stint_grant::ids::Sha256Hex;
use stint_log::chain::{self, Chain};
use stint_log::record::{Body, IoLog, Record};

use crate::exit::{Exit, Failure, Outcome};
use crate::show::{Facts, safe};

/// Records in one call.
const PAGE: u64 = 1000;
/// A host begins its journal anew after damage only.
const MOST_EPOCHS: u64 = 1000;

/// A whole journal, as `audit export` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    /// The host.
    pub(crate) host: String,
    /// Its identity key, base64, by the broker's word.
    pub(crate) identity_key: String,
    /// The records' exact texts.
    pub(crate) records: Vec<String>,
    /// The signed checkpoints.
    pub(crate) checkpoints: Vec<String>,
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verified {
    /// The host.
    pub(crate) host: String,
    /// How many records.
    pub(crate) records: u64,
    /// How many checkpoints, all signed by the key.
    pub(crate) checkpoints: u64,
    /// Records after each epoch's last checkpoint: chained, not signed.
    pub(crate) unsigned: u64,
    /// The journal's epochs, in order; more than one if the host began it anew.
    pub(crate) epochs: Vec<u64>,
    /// When the first and the last record were written (unix seconds).
    pub(crate) span: Option<(i64, i64)>,
    /// How often the host's clock went back between two records.
    pub(crate) times_back: u64,
    /// SHA-256 of the identity key, hexadecimal.
    pub(crate) key_sha256: String,
    /// Whether the key was given, not taken from the broker.
    pub(crate) key_given: bool,
}

/// Takes a host's journal from the broker: each epoch, page by page.
pub(crate) async fn download(client: &Client, host: &str) -> Outcome<Journal> {
    let newest = client.journal(host, None, 0, 1).await?;
    let mut journal = Journal {
        host: newest.host,
        identity_key: newest.identity_key,
        records: vec![],
        checkpoints: vec![],
    };
    if newest.epoch > MOST_EPOCHS {
        return Err(Failure::unverified(format!(
            "the broker says that {} began its journal anew {} times",
            safe(host),
            newest.epoch
        )));
    }
    for epoch in 0..=newest.epoch {
        download_epoch(client, host, epoch, &mut journal).await?;
    }
    Ok(journal)
}

async fn download_epoch(client: &Client, host: &str, epoch: u64, journal: &mut Journal) -> Outcome {
    let mut have = 0;
    loop {
        let page = client.journal(host, Some(epoch), have, PAGE).await?;
        let stuck = page.records.is_empty() && have < page.size;
        if stuck || (page.from, page.epoch) != (have, epoch) || page.host != journal.host {
            return Err(Failure::unverified(format!(
                "the broker says that it holds {} records of {}, epoch {epoch}, and hands out {have}",
                page.size,
                safe(host)
            )));
        }
        have += page.records.len() as u64;
        journal.records.extend(page.records);
        for checkpoint in page.checkpoints {
            if !journal.checkpoints.contains(&checkpoint) {
                journal.checkpoints.push(checkpoint);
            }
        }
        if have >= page.size {
            return Ok(());
        }
    }
}

/// The host's identity key from its base64.
pub(crate) fn key(base64: &str) -> Outcome<VerifyingKey> {
    let bytes = BASE64.decode(base64.trim().as_bytes()).ok();
    bytes
        .and_then(|b| <[u8; 32]>::try_from(b).ok())
        .and_then(|b| VerifyingKey::from_bytes(&b).ok())
        .filter(|key| !key.is_weak())
        .ok_or_else(|| {
            Failure::usage(format!("{:?} is not a host's identity key", safe(base64)))
                .next("it is 32 bytes in base64, as the host itself shows it")
        })
}

/// Verifies each epoch: chain, order, and what the host signed. `given` is the key if the caller knows it.
pub(crate) fn verify(journal: &Journal, given: Option<VerifyingKey>) -> Outcome<Verified> {
    let key = match given {
        Some(key) => key,
        None => key(&journal.identity_key)?,
    };
    if journal.records.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("there are no records of {}", safe(&journal.host))));
    }
    let mut verified = Verified {
        host: journal.host.clone(),
        records: 0,
        checkpoints: 0,
        unsigned: 0,
        epochs: vec![],
        span: None,
        times_back: 0,
        key_sha256: Sha256Hex::of(key.as_bytes()).to_string(),
        key_given: given.is_some(),
    };
    let wrong = |epoch: u64, e: &dyn std::fmt::Display| {
        Failure::unverified(format!("journal of {}, epoch {epoch}: {e}", safe(&journal.host)))
    };
    let mut checkpoints = by_origin(&journal.checkpoints);
    for (epoch, records) in by_epoch(journal)? {
        let start = Chain::new(&journal.host, epoch).map_err(|e| wrong(epoch, &e))?;
        let signed = checkpoints.remove(start.origin().as_str()).unwrap_or_default();
        let report = chain::verify(start, records, signed.iter().map(|c| c.as_bytes()), &key)
            .map_err(|e| wrong(epoch, &e))?;
        verified.records += report.records;
        verified.checkpoints += report.checkpoints;
        verified.unsigned += report.unsigned;
        verified.times_back += report.times_back;
        verified.epochs.push(epoch);
        verified.span = match (verified.span, report.span) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (span, new) => span.or(new),
        };
    }
    if let Some(origin) = checkpoints.keys().next() {
        return Err(Failure::unverified(format!(
            "a checkpoint of {:?} is among them, and there are no records of it",
            safe(origin)
        )));
    }
    if verified.checkpoints == 0 {
        return Err(Failure::unverified(format!(
            "the {} records of {} are chained, and none is signed: anybody could have written them",
            verified.records,
            safe(&journal.host)
        ))
        .next("wait for the host's next checkpoint, then verify again"));
    }
    Ok(verified)
}

/// What the host signed of a run's recording. The journal was verified before, with the same key.
pub(crate) fn recording(journal: &Journal, key: &VerifyingKey, run: &str) -> Outcome<IoLog> {
    let missing = |why: &str| {
        Failure::unverified(format!(
            "{why} a recording of run {} in the journal of {}",
            safe(run),
            safe(&journal.host)
        ))
    };
    let checkpoints = by_origin(&journal.checkpoints);
    for (epoch, records) in by_epoch(journal)? {
        let named = records.iter().enumerate().find_map(|(place, bytes)| {
            let Body::Known(event) = Record::parse(bytes).ok()?.body else { return None };
            event.recording().filter(|(of, _)| *of == run).map(|(_, io)| (place as u64, io.clone()))
        });
        let Some((place, io)) = named else { continue };
        // What stands after the last checkpoint is chained, and anybody could have written it.
        let start = Chain::new(&journal.host, epoch).map_err(Failure::unverified)?;
        let signed = checkpoints.get(start.origin().as_str()).into_iter().flatten();
        let largest =
            signed.filter_map(|c| start.open_checkpoint(c.as_bytes(), key).ok()).map(|c| c.size).max();
        if largest.is_none_or(|size| size <= place) {
            return Err(missing("the host has not signed yet what names")
                .next("wait for the host's next checkpoint, then try again"));
        }
        return Ok(io);
    }
    Err(missing("nothing names"))
}

/// The checkpoints by the name of their log, which is their first line.
fn by_origin(checkpoints: &[String]) -> BTreeMap<&str, Vec<&str>> {
    let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for checkpoint in checkpoints {
        map.entry(checkpoint.lines().next().unwrap_or("")).or_default().push(checkpoint);
    }
    map
}

/// An epoch and its records.
type Epoch<'a> = (u64, Vec<&'a [u8]>);

/// The records of each epoch; epochs only rise.
fn by_epoch(journal: &Journal) -> Outcome<Vec<Epoch<'_>>> {
    let mut epochs: Vec<Epoch<'_>> = Vec::new();
    for (index, text) in journal.records.iter().enumerate() {
        let record = Record::parse(text.as_bytes())
            .map_err(|e| Failure::unverified(format!("record at position {index}: {e}")))?;
        let epoch = record.header.epoch;
        match epochs.last_mut() {
            Some((current, records)) if *current == epoch => records.push(text.as_bytes()),
            Some((current, _)) if *current > epoch => {
                return Err(Failure::unverified(format!(
                    "record at position {index}: epoch {epoch} after epoch {current}"
                )));
            }
            _ => epochs.push((epoch, vec![text.as_bytes()])),
        }
    }
    Ok(epochs)
}

/// The records in words.
pub(crate) fn in_words(journal: &Journal) -> Outcome<String> {
    let mut text = String::new();
    for (index, record) in journal.records.iter().enumerate() {
        let record = Record::parse(record.as_bytes())
            .map_err(|e| Failure::unverified(format!("record at position {index}: {e}")))?;
        text.push_str(&crate::show::record::line(&record));
        text.push('\n');
    }
    Ok(text)
}

/// What was verified, in words.
pub(crate) fn report(verified: &Verified) -> String {
    let span = verified.span.map_or_else(String::new, |(first, last)| {
        let time = stint_grant::time::UnixTime;
        format!(", {} to {}", time(first), time(last))
    });
    let anew = (verified.epochs != [0]).then(|| {
        let epochs: Vec<_> = verified.epochs.iter().map(ToString::to_string).collect();
        let newest = verified.epochs.last().copied().unwrap_or(0);
        let missing = (newest + 1).saturating_sub(epochs.len() as u64);
        let missing =
            if missing == 0 { String::new() } else { format!("; of {missing} others there is nothing") };
        format!("begun anew by the host: epochs {}{missing}", epochs.join(", "))
    });
    let back = match verified.times_back {
        0 => None,
        1 => Some("the host's clock went back once".to_owned()),
        n => Some(format!("the host's clock went back {n} times")),
    };
    let unsigned = match verified.unsigned {
        0 => "none".to_owned(),
        n => format!("{n} after the last checkpoint: chained, and not signed"),
    };
    let whose = if verified.key_given {
        "the key that was given".to_owned()
    } else {
        "by the broker's word; give --key to verify without it".to_owned()
    };
    let facts = Facts::new()
        .add("records", format!("{}{span}", verified.records))
        .add("checkpoints", format!("{}, each signed by the host", verified.checkpoints))
        .add("unsigned", unsigned)
        .maybe("epochs", anew)
        .maybe("clock", back)
        .add("key", format!("sha256:{} ({whose})", verified.key_sha256))
        .text();
    format!("Journal of {}: verified\n{facts}", safe(&verified.host))
}

#[cfg(test)]
mod tests;
