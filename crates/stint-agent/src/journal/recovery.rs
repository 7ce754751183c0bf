//! What is there at a start: segments are verified from the oldest on. A torn end is cut off; what is damaged is put aside, never
//! deleted, and the journal goes on in a new log epoch that begins by saying so.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stint_grant::ids::KeyId;
use stint_log::chain::Chain;
use stint_log::record::Event;

use super::segment::{self, Read, Rest, SegmentId};
use super::store::{Cursor, JournalError};
use crate::warden::files::{self, FileError};

/// Where damaged segments are put.
pub(crate) const QUARANTINE: &str = "quarantine";
/// How often one segment can be put aside.
const MAX_ASIDE: u32 = 1000;
/// What the broker acknowledged last.
pub(crate) const CURSOR: &str = "cursor.json";
/// A gap that was found and is not recorded yet.
const PENDING: &str = "gap.json";

/// What was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Where the journal goes on.
    pub(crate) chain: Chain,
    /// The segment to append to and its length, if there is one.
    pub(crate) last: Option<(SegmentId, u64)>,
    /// What must be recorded first.
    pub(crate) tell: Vec<Event>,
}

/// A gap that was found and is not recorded yet: written before anything is moved, so that no crash makes it forgotten.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingGap {
    epoch: u64,
    from: u64,
    to: u64,
    why: String,
    next_epoch: u64,
}

/// Whose journal it is. Another host's, or one that another key signed, is put aside whole: its records are none of this enrolment's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    /// The host's name.
    pub(crate) host: String,
    /// The id of its identity key.
    pub(crate) key: KeyId,
}

/// Makes sure that what is there belongs to this owner. If it does not, says in which log epoch the owner's own begins.
pub(crate) fn claim(dir: &Path, owner: &Owner) -> Result<Option<u64>, FileError> {
    let path = dir.join("owner.json");
    let known: Option<Owner> =
        files::read(&path, 4096)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if known.as_ref() == Some(owner) {
        return Ok(None);
    }
    let bytes = serde_json::to_vec(owner).expect("an owner is plain data");
    let (ids, aside) = (segment::list(dir)?, dir.join(QUARANTINE));
    if known.is_none() && ids.is_empty() {
        files::replace(&path, &bytes, 0o600)?;
        return Ok(None);
    }
    put_aside(dir, &ids)?;
    files::remove(&dir.join(CURSOR))?;
    files::remove(&dir.join(PENDING))?;
    let newest = std::fs::read_dir(&aside)
        .map_err(FileError::at("list", &aside))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.split_once('-')?.0.parse::<u64>().ok())
        .max();
    files::replace(&path, &bytes, 0o600)?;
    Ok(newest.map(|epoch| epoch + 1))
}

/// Reads all segments.
pub(crate) fn recover(dir: &Path, host: &str, cursor: Option<&Cursor>) -> Result<Recovered, JournalError> {
    let mut found = read_all(dir, host)?;
    if found.last.is_none() && found.gap.is_none() {
        found.gap = cursor.map(|cursor| PendingGap {
            epoch: cursor.epoch,
            from: cursor.size,
            to: cursor.size,
            why: "the journal's segments are gone".to_owned(),
            next_epoch: cursor.epoch + 1,
        });
    }
    let gap = match found.gap {
        Some(gap) => Some(gap),
        None => pending(dir)?
            .filter(|gap| found.last.as_ref().is_none_or(|(_, read)| read.end.epoch() < gap.next_epoch)),
    };
    if let Some(gap) = gap {
        let chain = Chain::new(host, gap.next_epoch)?;
        found.tell.push(Event::Gap { epoch: gap.epoch, from: gap.from, to: gap.to, why: gap.why });
        return Ok(Recovered { chain, last: None, tell: found.tell });
    }
    Ok(match found.last {
        Some((id, read)) => {
            Recovered { chain: read.end, last: Some((id, read.good_bytes)), tell: found.tell }
        }
        None => Recovered { chain: Chain::new(host, 0)?, last: None, tell: found.tell },
    })
}

/// To be called once what recovery told is durable.
pub(crate) fn told(dir: &Path) -> Result<(), FileError> {
    files::remove(&dir.join(PENDING))
}

struct Found {
    last: Option<(SegmentId, Read)>,
    gap: Option<PendingGap>,
    tell: Vec<Event>,
}

fn read_all(dir: &Path, host: &str) -> Result<Found, JournalError> {
    let mut found = Found { last: None, gap: None, tell: Vec::new() };
    let ids = segment::list(dir)?;
    for (index, id) in ids.iter().enumerate() {
        let rest = &ids[index..];
        let before = found.last.as_ref().map(|(_, read)| &read.end);
        let read = match segment::read(dir, id) {
            Ok(Ok(read)) if follows(before, &read.start, host) => read,
            Ok(Ok(_)) => return Ok(put_all_aside(dir, rest, found, "it does not follow the one before it")?),
            Ok(Err(why)) => return Ok(put_all_aside(dir, rest, found, &why)?),
            // A bad block in an old record must not keep the warden from starting.
            Err(error) if error.is_damage() => {
                return Ok(put_all_aside(dir, rest, found, &error.to_string())?);
            }
            Err(error) => return Err(error.into()),
        };
        match &read.rest {
            Rest::Nothing => {}
            Rest::Torn if rest.len() == 1 => {
                cut(dir, id, read.good_bytes)?;
                found.tell.push(torn(&read));
            }
            Rest::Torn => return Ok(keep_good_part(dir, rest, read, found, 1, "a line is not whole")?),
            Rest::Damaged { lines, why } => {
                let (lines, why) = (*lines, why.clone());
                return Ok(keep_good_part(dir, rest, read, found, lines, &why)?);
            }
        }
        found.last = Some((id.clone(), read));
    }
    Ok(found)
}

fn torn(read: &Read) -> Event {
    let seq = read.end.next_seq();
    Event::Alarm {
        what: "journal-torn".to_owned(),
        detail: format!(
            "the last line was not whole and was cut off: record {seq} was being written when the host or the warden stopped"
        ),
    }
}

fn follows(before: Option<&Chain>, start: &Chain, host: &str) -> bool {
    start.host() == host
        && before
            .is_none_or(|before| before == start || (start.epoch() > before.epoch() && start.next_seq() == 0))
}

/// The good part of a damaged segment stays under its name; the original, and all that follow, are put aside.
fn keep_good_part(
    dir: &Path,
    ids: &[SegmentId],
    read: Read,
    found: Found,
    lost: u64,
    why: &str,
) -> Result<Found, FileError> {
    let from = read.end.next_seq();
    let gap = gap(ids, read.end.epoch(), from, from + lost.max(1) - 1, why);
    remember(dir, &gap)?;
    let (first, others) = ids.split_first().expect("the damaged one is among them");
    let path = first.path(dir);
    std::fs::hard_link(&path, free_name(dir, &path)?).map_err(FileError::at("put aside", &path))?;
    segment::create(dir, &read.start, &read.records)?;
    put_aside(dir, others)?;
    Ok(Found { last: Some((first.clone(), read)), gap: Some(gap), ..found })
}

/// A segment that cannot be used at all is put aside, with all that follow it.
fn put_all_aside(dir: &Path, ids: &[SegmentId], found: Found, why: &str) -> Result<Found, FileError> {
    let first = ids.first().expect("the damaged one is among them");
    let from = found
        .last
        .as_ref()
        .map(|(_, read)| &read.end)
        .filter(|end| end.epoch() == first.epoch)
        .map_or(first.first, Chain::next_seq);
    let to = ids.iter().filter(|id| id.epoch == first.epoch).map(|id| id.first).max().unwrap_or(from);
    let gap = gap(ids, first.epoch, from, from.max(to), why);
    remember(dir, &gap)?;
    put_aside(dir, ids)?;
    Ok(Found { gap: Some(gap), ..found })
}

fn gap(ids: &[SegmentId], epoch: u64, from: u64, to: u64, why: &str) -> PendingGap {
    let newest = ids.iter().map(|id| id.epoch).max().unwrap_or(epoch);
    let why = format!("damaged, and put aside in {QUARANTINE}/: {why}");
    PendingGap { epoch, from, to, why, next_epoch: newest.max(epoch) + 1 }
}

fn remember(dir: &Path, gap: &PendingGap) -> Result<(), FileError> {
    let bytes = serde_json::to_vec(gap).expect("a gap is plain data");
    files::replace(&dir.join(PENDING), &bytes, 0o600)
}

fn pending(dir: &Path) -> Result<Option<PendingGap>, FileError> {
    Ok(files::read(&dir.join(PENDING), 64 * 1024)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn put_aside(dir: &Path, ids: &[SegmentId]) -> Result<(), FileError> {
    files::ensure_dir(&dir.join(QUARANTINE), 0o700)?;
    for id in ids {
        let from = id.path(dir);
        fs::rename(&from, free_name(dir, &from)?).map_err(FileError::at("put aside", &from))?;
    }
    files::sync_dir(&dir.join(QUARANTINE))?;
    files::sync_dir(dir)
}

fn free_name(dir: &Path, path: &Path) -> Result<PathBuf, FileError> {
    let aside = dir.join(QUARANTINE);
    files::ensure_dir(&aside, 0o700)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (0..MAX_ASIDE).map(|n| aside.join(format!("{name}.{n}"))).find(|path| !path.exists()).ok_or_else(|| {
        FileError::new("find a free name in", &aside, std::io::ErrorKind::AlreadyExists.into())
    })
}

fn cut(dir: &Path, id: &SegmentId, length: u64) -> Result<(), FileError> {
    let path = id.path(dir);
    let file = segment::open(&path)?;
    file.set_len(length).and_then(|()| file.sync_all()).map_err(FileError::at("cut the torn end of", &path))
}
