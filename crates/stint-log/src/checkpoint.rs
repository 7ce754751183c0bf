//! C2SP checkpoints: the size and root of a log, as a signed note (<https://c2sp.org/tlog-checkpoint>).
//!
//! The key name is the log's origin, so one string tells a verifier what to expect.

use data_encoding::BASE64;
use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::note::{self, NoteError};
use crate::{Hash, tree};

/// What a log says of itself at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, unique in the world.
    pub origin: String,
    /// How many leaves the log has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why a checkpoint is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it is refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It speaks of another log.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    OtherLog {
        /// The log asked for.
        expected: String,
        /// The log that it names.
        found: String,
    },
    /// Not the three lines origin, size, root.
    #[error("the checkpoint is not an origin, a size and a root, each on its line")]
    Malformed,
    /// The size is not a plain decimal number.
    #[error("the checkpoint's size is not a plain decimal number")]
    BadSize,
    /// The root is not 32 bytes in base64, or not the root of nothing where the size is 0.
    #[error("the checkpoint's root is not the base64 of a possible SHA-256 root")]
    BadRoot,
}

impl Checkpoint {
    /// The signed note, by the key whose name is the origin.
    pub fn sign(&self, key: &SigningKey) -> Result<String, NoteError> {
        self.sign_as(&self.origin, key)
    }

    /// The signed note, by a key with a name of its own.
    pub fn sign_as(&self, name: &str, key: &SigningKey) -> Result<String, NoteError> {
        if self.origin.is_empty() || self.origin.contains('\n') {
            return Err(NoteError::BadName);
        }
        note::sign(&self.text(), name, key)
    }

    /// Verifies a signed note and reads it as the checkpoint of the log `origin`.
    pub fn open(signed: &[u8], origin: &str, key: &VerifyingKey) -> Result<Self, CheckpointError> {
        Self::open_as(signed, origin, origin, key)
    }

    /// As [`Checkpoint::open`], for a log whose key has a name of its own.
    pub fn open_as(
        signed: &[u8],
        origin: &str,
        name: &str,
        key: &VerifyingKey,
    ) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(note::open(signed, name, key)?)?;
        if checkpoint.origin == origin {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::OtherLog { expected: origin.to_owned(), found: checkpoint.origin })
        }
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.as_bytes()))
    }

    /// Reads the text of a verified note. Extension lines are allowed by the format and say nothing to us.
    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Malformed)?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(CheckpointError::Malformed);
        let (origin, size, root) = (line()?, line()?, line()?);
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Malformed);
        }
        let size = parse_size(size).ok_or(CheckpointError::BadSize)?;
        let root = BASE64.decode(root.as_bytes()).map_err(|_| CheckpointError::BadRoot)?;
        let root = Hash::from_bytes(root.try_into().map_err(|_| CheckpointError::BadRoot)?);
        if size == 0 && root != tree::empty_root() {
            return Err(CheckpointError::BadRoot);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// Decimal digits without sign or leading zero: one number, one spelling.
fn parse_size(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
