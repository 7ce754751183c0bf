//! The broker's mark against the journal, and the next shipment.

use std::path::Path;

use ed25519_dalek::SigningKey;
use stint_api::audit::ShipRecords;
use stint_log::Hash;
use stint_log::chain::Chain;

use super::segment::{self, Read, SegmentId};
use super::store::JournalError;

/// The most records in one shipment.
const MAX_RECORDS: usize = 500;
/// The most bytes of records in one shipment, beside its first record.
const MAX_BYTES: usize = 1024 * 1024;

/// What became of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// The broker holds the beginning of this journal.
    Same,
    /// It holds something else, or more, or needs what is gone here.
    Contradiction(String),
}

/// Compares the broker's mark (epoch, size, hash of the last record) with the journal, which stands at `tip`.
pub(crate) fn compare(
    dir: &Path,
    epoch: u64,
    size: u64,
    hash: Hash,
    tip: &Chain,
) -> Result<Compared, JournalError> {
    if (epoch, size) > (tip.epoch(), tip.next_seq()) {
        return Ok(Compared::Contradiction(format!(
            "the broker holds {size} records of log epoch {epoch}, more than this host has: its disk went back, or another machine has its key"
        )));
    }
    if (epoch, size) == (tip.epoch(), tip.next_seq()) {
        return Ok(same(hash, tip.prev_hash(), epoch, size));
    }
    let ids = segment::list(dir)?;
    let Some(id) = ids.iter().rev().find(|id| id.epoch == epoch && id.first <= size) else {
        // An older epoch that is gone here: what came after it is whole. But never the beginning of the newest.
        let later = ids.iter().any(|id| id.epoch > epoch && id.first == 0);
        return Ok(if later || (size == 0 && ids.first().is_none_or(|id| id.first == 0)) {
            Compared::Same
        } else {
            Compared::Contradiction(format!(
                "the broker holds {size} records of log epoch {epoch}, and those after them were deleted here when it held them: it lost records"
            ))
        });
    };
    let Ok(read) = segment::read(dir, id)? else {
        return Ok(Compared::Contradiction(format!("segment {} cannot be read", id.path(dir).display())));
    };
    match hash_at(&read, id, size) {
        Some(own) => Ok(same(hash, own, epoch, size)),
        // Beyond what was kept of a damaged epoch: the broker holds what is lost here.
        None if tip.epoch() > epoch => Ok(Compared::Same),
        None => Ok(Compared::Contradiction(format!("record {size} of log epoch {epoch} is not there"))),
    }
}

/// The same where the journal's own hash is known already.
pub(crate) fn same(theirs: Hash, own: Hash, epoch: u64, size: u64) -> Compared {
    if theirs == own {
        return Compared::Same;
    }
    Compared::Contradiction(format!(
        "the broker holds another record {} of log epoch {epoch}: {theirs}, here it is {own}",
        size.saturating_sub(1)
    ))
}

fn hash_at(read: &Read, id: &SegmentId, size: u64) -> Option<Hash> {
    match size.checked_sub(id.first)? {
        0 => Some(read.start.prev_hash()),
        n => read.records.get(usize::try_from(n - 1).ok()?).map(|record| Hash::of(record)),
    }
}

/// The records after the broker's mark, as many as go into one shipment, and the checkpoint over them.
pub(crate) fn cut(
    dir: &Path,
    epoch: u64,
    size: u64,
    identity: &SigningKey,
) -> Result<Option<ShipRecords>, JournalError> {
    let ids = segment::list(dir)?;
    let in_epoch = ids.iter().rev().find(|id| id.epoch == epoch && id.first <= size);
    let later = ids.iter().filter(|id| (id.epoch, id.first) > (epoch, size));
    for id in in_epoch.into_iter().chain(later) {
        let Ok(read) = segment::read(dir, id)? else { continue };
        let skip = if id.epoch == epoch { size.saturating_sub(id.first) } else { 0 };
        let records = read.records.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
        if !records.is_empty() {
            let before = &read.records[..read.records.len() - records.len()];
            let mut chain = read.start.clone();
            let whole = before.iter().all(|record| chain.verify_next(record).is_ok());
            return Ok(Some(shipment(whole.then_some(chain), records, identity)));
        }
    }
    Ok(None)
}

/// As many of the records as go into one shipment; with a checkpoint if the journal before them is known.
pub(crate) fn shipment(before: Option<Chain>, records: &[Vec<u8>], identity: &SigningKey) -> ShipRecords {
    let mut bytes = 0;
    let fits = |record: &&Vec<u8>| {
        bytes += record.len();
        bytes <= MAX_BYTES
    };
    let count = records.iter().take(MAX_RECORDS).take_while(fits).count().max(1);
    let shipped = &records[..count.min(records.len())];
    let after = before.and_then(|mut chain| {
        shipped.iter().all(|record| chain.verify_next(record).is_ok()).then_some(chain)
    });
    ShipRecords {
        records: shipped.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect(),
        checkpoint: after.map(|chain| chain.sign(identity)),
    }
}
