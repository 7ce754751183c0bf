//! The journal as a whole: appending to it, and verifying it from one end to the other.
//!
//! A journal that was damaged, or whose state is lost, is not patched: the host begins a new log epoch, whose first
//! record is a [`gap`](crate::record::Event::Gap) that says what cannot be read.

mod verify;

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

pub use verify::{Report, verify};

use crate::Hash;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::record::{self, Event, Header, Record, RecordError};
use crate::strict::Object;
use crate::tree::{CompactRange, RangeError};

/// Where a journal stands: all that is needed to append the next record or to verify it.
///
/// It is small (at most 64 hashes). Append to a clone, make the bytes durable, then keep the clone: a write that fails
/// leaves the old state as it was. It serialises as one flat JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Object")]
pub struct Chain {
    host: String,
    epoch: u64,
    prev: Hash,
    #[serde(flatten)]
    tree: CompactRange,
}

/// Why a stored state is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The stored form is not the right JSON.
    #[error("the stored state of the journal is unreadable: {0}")]
    Unreadable(String),
    /// The tree in it is impossible.
    #[error(transparent)]
    Tree(#[from] RangeError),
    /// The names in it are impossible.
    #[error("the stored state of the journal is wrong: {0}")]
    Name(#[from] RecordError),
    /// An empty journal with a record before it.
    #[error("the stored state of the journal contradicts itself: its size and its last hash do not fit")]
    Contradiction,
}

/// What is wrong with a journal, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no record.
    #[error("record {seq}: {cause}")]
    Unreadable {
        /// Where a record was expected.
        seq: u64,
        /// What is wrong with the bytes.
        cause: RecordError,
    },
    /// A record of another host or log epoch.
    #[error("record {seq}: it belongs to the journal of {host}, epoch {epoch}")]
    OtherJournal {
        /// Where it was found.
        seq: u64,
        /// The host that it names.
        host: String,
        /// The log epoch that it names.
        epoch: u64,
    },
    /// Records are missing.
    #[error("record {expected} is missing: {found} follows where it should stand")]
    Gap {
        /// The number that should follow.
        expected: u64,
        /// The number that was found.
        found: u64,
    },
    /// A number that was there already.
    #[error("record {found} stands again where {expected} should stand")]
    Duplicate {
        /// The number that should follow.
        expected: u64,
        /// The number that was found.
        found: u64,
    },
    /// The record does not carry the hash of the one before.
    #[error("record {seq}: the chain is broken; this record or the one before it was changed")]
    BrokenChain {
        /// The record whose `prev` is wrong.
        seq: u64,
    },
    /// The signed root is another than that of the records.
    #[error("the records 0 to {last} are not those that the host signed: their root differs from its checkpoint's", last = .size.saturating_sub(1))]
    RootMismatch {
        /// The size of the checkpoint.
        size: u64,
    },
    /// A checkpoint that is not the host's, or was changed.
    #[error("checkpoint {index}: {cause}")]
    Checkpoint {
        /// Which of those given, from 0.
        index: usize,
        /// What is wrong with it.
        cause: CheckpointError,
    },
    /// Fewer records than the host signed.
    #[error("the journal ends after {records} records, but the host signed {signed}: the end was cut off")]
    Truncated {
        /// How many records there are, from 0.
        records: u64,
        /// How many the largest checkpoint covers.
        signed: u64,
    },
}

impl Chain {
    /// The empty journal of a host in a log epoch.
    pub fn new(host: &str, epoch: u64) -> Result<Self, RecordError> {
        record::check_host(host)?;
        Ok(Self { host: host.to_owned(), epoch, prev: Hash::ZERO, tree: CompactRange::new() })
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The log epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number that the next record gets; also how many there are.
    pub const fn next_seq(&self) -> u64 {
        self.tree.size()
    }

    /// The hash of the last record, or zeros.
    pub const fn prev_hash(&self) -> Hash {
        self.prev
    }

    /// The tree over all records so far.
    pub const fn tree(&self) -> &CompactRange {
        &self.tree
    }

    /// The origin of the journal's checkpoints, which is also the name of the host's key in them.
    pub fn origin(&self) -> String {
        format!("stint/journal/{}/{}", self.host, self.epoch)
    }

    /// Makes the next record: one line, without its newline. On an error nothing has changed.
    pub fn append(&mut self, event: &Event, at: i64, boot: &str) -> Result<Vec<u8>, RecordError> {
        let header = Header {
            host: self.host.clone(),
            epoch: self.epoch,
            seq: self.next_seq(),
            prev: self.prev,
            at,
            boot: boot.to_owned(),
        };
        let bytes = header.write(event)?;
        self.push(&bytes);
        Ok(bytes)
    }

    /// Takes the next record if it is the next one. On a fault nothing has changed.
    pub fn verify_next(&mut self, bytes: &[u8]) -> Result<Record, Fault> {
        let seq = self.next_seq();
        let record = Record::parse(bytes).map_err(|cause| Fault::Unreadable { seq, cause })?;
        let header = &record.header;
        if header.host != self.host || header.epoch != self.epoch {
            return Err(Fault::OtherJournal { seq, host: header.host.clone(), epoch: header.epoch });
        }
        if header.seq > seq {
            return Err(Fault::Gap { expected: seq, found: header.seq });
        }
        if header.seq < seq {
            return Err(Fault::Duplicate { expected: seq, found: header.seq });
        }
        if header.prev != self.prev {
            return Err(Fault::BrokenChain { seq });
        }
        self.push(bytes);
        Ok(record)
    }

    /// The signed checkpoint of the journal as it stands.
    ///
    /// # Panics
    ///
    /// Never: a host name that was accepted makes an origin that can be signed.
    pub fn sign(&self, identity: &SigningKey) -> String {
        self.checkpoint().sign(identity).expect("a checked host name makes a valid origin")
    }

    /// The checkpoint of the journal as it stands, not signed.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.origin(), size: self.tree.size(), root: self.tree.root() }
    }

    /// Verifies the signature of a checkpoint of this journal, of any size.
    pub fn open_checkpoint(&self, signed: &[u8], key: &VerifyingKey) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(signed, &self.origin(), key)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.prev = Hash::of(bytes);
        self.tree.append(bytes);
    }
}

impl TryFrom<Object> for Chain {
    type Error = StateError;

    fn try_from(object: Object) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            host: String,
            epoch: u64,
            prev: Hash,
            size: u64,
            peaks: Vec<Hash>,
        }
        let wire: Wire = object.build().map_err(|error| StateError::Unreadable(error.to_string()))?;
        record::check_host(&wire.host)?;
        let tree = CompactRange::from_parts(wire.size, wire.peaks)?;
        if (tree.size() == 0) != (wire.prev == Hash::ZERO) {
            return Err(StateError::Contradiction);
        }
        Ok(Self { host: wire.host, epoch: wire.epoch, prev: wire.prev, tree })
    }
}

#[cfg(test)]
mod tests;
