//! One record of a host's journal: one line of JSON.
//!
//! ```text
//! {"format":1,"host":"web-01","epoch":0,"seq":7,"prev":"<hex>","at":1795444800,"boot":"<id>","kind":"grant_accepted","event":{...}}
//! ```
//!
//! The bytes are the evidence: hashes stand over exactly what was written, and nothing is ever written anew from its
//! parsed form. The header is read strictly. What `event` holds is no matter of the chain, so a kind that is newer
//! than the reader still verifies.

mod command;
mod event;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use command::{CommandLine, IoLog};
pub use event::{Ending, Event, Mode, Verdict};

use crate::Hash;
use crate::strict::Object;

/// The newest form of a record that this crate reads and writes.
pub const FORMAT: u32 = 1;
/// The most bytes a record may have: what an entry of a public log may have.
pub const MAX_BYTES: usize = 65_535;

/// Where a record stands, and when and in which boot it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The host that wrote it.
    pub host: String,
    /// The log epoch: rises when a journal is begun anew.
    pub epoch: u64,
    /// The number in the journal, from 0 without a gap.
    pub seq: u64,
    /// The hash of the record before, or zeros for the first.
    pub prev: Hash,
    /// When, in seconds since 1970, by the host's trusted time.
    pub at: i64,
    /// The kernel's id of the boot.
    pub boot: String,
}

/// What a record tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An event that this version knows.
    Known(Event),
    /// A kind, or fields of a kind, that this version does not know. Authentic like any other; only its meaning is not.
    Other {
        /// The name of the kind.
        kind: String,
        /// The payload as it stands.
        event: Map<String, Value>,
    },
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub header: Header,
    /// What it tells.
    pub body: Body,
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Over the cap.
    #[error("the record has {0} bytes, more than {MAX_BYTES}; log a large payload by its hash")]
    TooLarge(usize),
    /// Not strict JSON of the right shape.
    #[error("the record is not readable: {0}")]
    Malformed(String),
    /// Written by a newer version.
    #[error("the record has format {0}; this version reads up to {FORMAT}: update it")]
    NewerFormat(u32),
    /// A header field holds what it may not.
    #[error("the record's `{field}` is not {expected}")]
    BadField {
        /// The field.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
}

/// The line as it is written.
#[derive(Serialize)]
struct Outgoing<'a> {
    format: u32,
    host: &'a str,
    epoch: u64,
    seq: u64,
    prev: Hash,
    at: i64,
    boot: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

/// The line as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Incoming {
    format: u32,
    host: String,
    epoch: u64,
    seq: u64,
    prev: Hash,
    at: i64,
    boot: String,
    kind: String,
    event: Map<String, Value>,
}

impl Header {
    /// The bytes of the record with this header: one line, without its newline.
    pub fn write(&self, event: &Event) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        let line = Outgoing {
            format: FORMAT,
            host: &self.host,
            epoch: self.epoch,
            seq: self.seq,
            prev: self.prev,
            at: self.at,
            boot: &self.boot,
            event,
        };
        let bytes = serde_json::to_vec(&line).map_err(|error| RecordError::Malformed(error.to_string()))?;
        if bytes.len() > MAX_BYTES { Err(RecordError::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    fn check(&self) -> Result<(), RecordError> {
        check_host(&self.host)?;
        let plain = |b: u8| b.is_ascii_hexdigit() || b == b'-';
        if self.boot.is_empty() || self.boot.len() > 64 || !self.boot.bytes().all(plain) {
            return Err(RecordError::BadField {
                field: "boot",
                expected: "a boot id of hex digits and hyphens",
            });
        }
        Ok(())
    }
}

/// A host's name stands in the checkpoint's origin: no blanks, no slash, nothing that breaks a line.
pub(crate) fn check_host(host: &str) -> Result<(), RecordError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=253).contains(&host.len()) && host.bytes().all(plain) {
        Ok(())
    } else {
        Err(RecordError::BadField {
            field: "host",
            expected: "a host name of 1 to 253 letters, digits, dots, hyphens and underscores",
        })
    }
}

impl Record {
    /// Reads one record: one line, without its newline.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_BYTES {
            return Err(RecordError::TooLarge(bytes.len()));
        }
        // JSON allows newlines between its parts; in a file of lines each would end the record.
        if bytes.contains(&b'\n') {
            return Err(RecordError::Malformed("it has a newline inside".to_owned()));
        }
        let malformed = |error: serde_json::Error| RecordError::Malformed(error.to_string());
        let object = Object::parse(bytes).map_err(malformed)?;
        // Said first: a newer format may well have other fields.
        if let Some(format) =
            object.0.get("format").and_then(Value::as_u64).and_then(|f| u32::try_from(f).ok())
            && format > FORMAT
        {
            return Err(RecordError::NewerFormat(format));
        }
        let line: Incoming = object.build().map_err(malformed)?;
        if line.format != FORMAT {
            return Err(RecordError::BadField { field: "format", expected: "a format that ever was" });
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if line.kind.is_empty() || line.kind.len() > 64 || !line.kind.bytes().all(plain) {
            return Err(RecordError::BadField {
                field: "kind",
                expected: "a name of small letters and underscores",
            });
        }
        let header = Header {
            host: line.host,
            epoch: line.epoch,
            seq: line.seq,
            prev: line.prev,
            at: line.at,
            boot: line.boot,
        };
        header.check()?;
        Ok(Self { header, body: Body::read(line.kind, line.event) })
    }
}

impl Body {
    fn read(kind: String, event: Map<String, Value>) -> Self {
        let tagged = Map::from_iter([
            ("kind".to_owned(), Value::String(kind.clone())),
            ("event".to_owned(), Value::Object(event.clone())),
        ]);
        match serde_json::from_value(Value::Object(tagged)) {
            Ok(known) => Self::Known(known),
            Err(_) => Self::Other { kind, event },
        }
    }

    /// The name of the kind, known or not.
    pub fn kind(&self) -> &str {
        match self {
            Self::Known(event) => event.kind(),
            Self::Other { kind, .. } => kind,
        }
    }
}

/// Parts a journal file into its records and the torn tail that a power cut may leave after the last newline.
pub fn lines(file: &[u8]) -> (impl Iterator<Item = &[u8]>, &[u8]) {
    let end = file.iter().rposition(|b| *b == b'\n').map_or(0, |last| last + 1);
    let (whole, torn) = file.split_at(end);
    (whole.split_inclusive(|b| *b == b'\n').map(|line| &line[..line.len() - 1]), torn)
}

#[cfg(test)]
mod tests;
