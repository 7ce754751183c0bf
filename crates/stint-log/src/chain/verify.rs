//! Verification of a whole journal against the checkpoints that its host signed.

use ed25519_dalek::VerifyingKey;

use super::{Chain, Fault};
use crate::checkpoint::Checkpoint;

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many records were read.
    pub records: u64,
    /// How many checkpoints were verified.
    pub checkpoints: u64,
    /// How many of those are of a size before the first record given: their signatures hold, their roots could not be compared.
    pub checkpoints_before: u64,
    /// How many records stand after the largest checkpoint. Their chain holds, but nobody has signed them yet.
    pub unsigned: u64,
    /// The times of the first and the last record.
    pub span: Option<(i64, i64)>,
    /// How often a record is older than the one before it: the host's clock was moved.
    pub times_back: u64,
    /// Where the journal stands after the last record; a later run can start from here.
    pub end: Chain,
}

/// Verifies that `records` go on from `start` without a change, a gap or a repetition, and that they are those that the
/// host signed. `start` is [`Chain::new`] for a whole journal, or a state that was kept from an earlier verification.
///
/// The checkpoints may come in any order. They are checked before the first record is looked at.
pub fn verify<'r, 'c>(
    start: Chain,
    records: impl IntoIterator<Item = &'r [u8]>,
    checkpoints: impl IntoIterator<Item = &'c [u8]>,
    key: &VerifyingKey,
) -> Result<Report, Fault> {
    let mut signed = open_all(&start, checkpoints, key)?;
    signed.sort_by_key(|checkpoint| checkpoint.size);

    let first = start.next_seq();
    let before = signed.partition_point(|checkpoint| checkpoint.size < first);
    let mut due = signed[before..].iter().peekable();
    let mut chain = start;
    let mut span: Option<(i64, i64)> = None;
    let mut times_back = 0;

    compare(&chain, &mut due)?;
    for bytes in records {
        let at = chain.verify_next(bytes)?.header.at;
        if span.is_some_and(|(_, last)| at < last) {
            times_back += 1;
        }
        span = Some((span.map_or(at, |(first, _)| first), at));
        compare(&chain, &mut due)?;
    }

    let largest = signed.last().map_or(0, |checkpoint| checkpoint.size);
    // Whatever was not compared lies beyond the last record: no checkpoint is ever passed over in silence.
    if due.next().is_some() {
        return Err(Fault::Truncated { records: chain.next_seq(), signed: largest });
    }
    Ok(Report {
        records: chain.next_seq() - first,
        checkpoints: signed.len() as u64,
        checkpoints_before: before as u64,
        unsigned: chain.next_seq() - largest.max(first),
        span,
        times_back,
        end: chain,
    })
}

fn open_all<'c>(
    start: &Chain,
    checkpoints: impl IntoIterator<Item = &'c [u8]>,
    key: &VerifyingKey,
) -> Result<Vec<Checkpoint>, Fault> {
    let open = |(index, signed)| {
        start.open_checkpoint(signed, key).map_err(|cause| Fault::Checkpoint { index, cause })
    };
    checkpoints.into_iter().enumerate().map(open).collect()
}

/// Compares the root with every checkpoint of just this size; there may be several, as after a restart.
fn compare<'a>(
    chain: &Chain,
    due: &mut std::iter::Peekable<impl Iterator<Item = &'a Checkpoint>>,
) -> Result<(), Fault> {
    let size = chain.next_seq();
    while let Some(checkpoint) = due.next_if(|checkpoint| checkpoint.size == size) {
        if checkpoint.root != chain.tree().root() {
            return Err(Fault::RootMismatch { size });
        }
    }
    Ok(())
}
