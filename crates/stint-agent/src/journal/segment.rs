//! One file of the journal, `EPOCH-FIRST.seg`: the first line is the chain's state before the first record, each further line a record.
//!
//! So a segment can be verified and shipped on its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use stint_log::chain::Chain;
use stint_log::record;

use crate::warden::files::{self, FileError};

/// The largest segment that is read: far above what is written.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Where a segment begins, and its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentId {
    /// The log epoch.
    pub(crate) epoch: u64,
    /// The number of its first record.
    pub(crate) first: u64,
}

impl SegmentId {
    /// The segment that begins where a chain stands.
    pub(crate) fn at(chain: &Chain) -> Self {
        Self { epoch: chain.epoch(), first: chain.next_seq() }
    }
    /// Its file.
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:010}-{:020}.seg", self.epoch, self.first))
    }
    fn parse(name: &str) -> Option<Self> {
        let (epoch, first) = name.strip_suffix(".seg")?.split_once('-')?;
        Some(Self { epoch: epoch.parse().ok()?, first: first.parse().ok()? })
    }
}

/// A segment that was read and verified.
#[derive(Debug)]
pub(crate) struct Read {
    /// The chain before its first record.
    pub(crate) start: Chain,
    /// The chain after its last good record.
    pub(crate) end: Chain,
    /// The good records.
    pub(crate) records: Vec<Vec<u8>>,
    /// How many bytes of the file are good.
    pub(crate) good_bytes: u64,
    /// What follows the good bytes.
    pub(crate) rest: Rest,
}

/// What follows the good part of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: it is whole.
    Nothing,
    /// A last line without its newline: a write that a power cut stopped. It was never acknowledged.
    Torn,
    /// Lines that do not verify.
    Damaged {
        /// How many lines follow.
        lines: u64,
        /// What is wrong with the first.
        why: String,
    },
}

/// All segments in a folder, in order.
pub(crate) fn list(dir: &Path) -> Result<Vec<SegmentId>, FileError> {
    let entries = fs::read_dir(dir).map_err(FileError::at("list", dir))?;
    let mut found: Vec<_> =
        entries.filter_map(|entry| SegmentId::parse(entry.ok()?.file_name().to_str()?)).collect();
    found.sort();
    Ok(found)
}

/// Reads and verifies a segment. `Err` in the result says why not even its first line is good.
pub(crate) fn read(dir: &Path, id: &SegmentId) -> Result<Result<Read, String>, FileError> {
    let path = id.path(dir);
    let Some(bytes) = files::read(&path, MAX_BYTES)? else {
        return Err(FileError::new("open", &path, io::ErrorKind::NotFound.into()));
    };
    Ok(verify(id, &bytes))
}

fn verify(id: &SegmentId, bytes: &[u8]) -> Result<Read, String> {
    let (lines, torn) = record::lines(bytes);
    let mut lines = lines.peekable();
    let header = lines.next().ok_or("its first line is missing")?;
    let start: Chain = serde_json::from_slice(header).map_err(|e| e.to_string())?;
    if SegmentId::at(&start) != *id {
        return Err("its first line belongs to another segment".to_owned());
    }
    let mut read = Read {
        end: start.clone(),
        start,
        records: Vec::new(),
        good_bytes: header.len() as u64 + 1,
        rest: Rest::Nothing,
    };
    while let Some(line) = lines.peek() {
        match read.end.verify_next(line) {
            Ok(_) => {
                read.good_bytes += line.len() as u64 + 1;
                read.records.push(line.to_vec());
                lines.next();
            }
            Err(fault) => {
                read.rest = Rest::Damaged { lines: lines.count() as u64, why: fault.to_string() };
                return Ok(read);
            }
        }
    }
    if !torn.is_empty() {
        read.rest = Rest::Torn;
    }
    Ok(read)
}

/// Begins a segment where a chain stands, with records that follow it, and opens it for appending.
pub(crate) fn create(dir: &Path, start: &Chain, records: &[Vec<u8>]) -> Result<File, FileError> {
    let path = SegmentId::at(start).path(dir);
    let mut bytes = serde_json::to_vec(start).expect("a chain is plain data");
    bytes.push(b'\n');
    for record in records {
        bytes.extend_from_slice(record);
        bytes.push(b'\n');
    }
    files::replace(&path, &bytes, 0o600)?;
    open(&path)
}

/// Opens a segment for appending.
pub(crate) fn open(path: &Path) -> Result<File, FileError> {
    OpenOptions::new().append(true).custom_flags_nofollow().open(path).map_err(FileError::at("open", path))
}

trait NoFollow {
    fn custom_flags_nofollow(&mut self) -> &mut Self;
}
impl NoFollow for OpenOptions {
    fn custom_flags_nofollow(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.custom_flags(libc::O_NOFOLLOW)
    }
}

/// Appends bytes durably. If it fails the file is cut back to `length`, so that no half line stays.
pub(crate) fn append(file: &mut File, path: &Path, length: u64, bytes: &[u8]) -> Result<(), FileError> {
    let written = files::failpoint(path)
        .and_then(|()| file.write_all(bytes).map_err(FileError::at("append to", path)))
        .and_then(|()| file.sync_data().map_err(FileError::at("sync", path)));
    if written.is_err() {
        // If this fails too, the torn line is cut off at the next start.
        let _ = file.set_len(length);
    }
    written
}
