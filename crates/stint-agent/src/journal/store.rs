//! The journal: appending, commits in groups, the broker's mark.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use stint_api::audit::ShipRecords;
use stint_grant::dsse::Verified;
use stint_grant::keys::PublicKey;
use stint_grant::mark::JournalMark;
use stint_grant::time::UnixTime;
use stint_log::Hash;
use stint_log::chain::Chain;
use stint_log::record::{Event, RecordError};

use super::Recorder;
use super::auth_log::AuthLog;
use super::recovery::{self, Owner};
use super::segment::{self, SegmentId};
use super::shipping::{self, Compared};
use super::tail::Tail;
use crate::warden::allowance::Allowance;
use crate::warden::files::{self, FileError};
use crate::warden::time;

/// A new segment is begun after so many bytes.
const SEGMENT_BYTES: u64 = 256 * 1024;
/// What is kept in memory while the disk takes nothing. Beyond it records are counted, and the count is recorded.
const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;
/// How long records are kept after the broker acknowledged them: a broker that is restored from a backup asks for them again.
const KEPT_AFTER_ACKNOWLEDGEMENT: Duration = Duration::from_hours(7 * 24);

/// Why the journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// A file cannot be read or written.
    #[error("the journal: {0}")]
    File(#[from] FileError),
    /// The host's name or the boot's id cannot stand in a record.
    #[error("the journal: {0}")]
    Record(#[from] RecordError),
}

/// What the broker acknowledged last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// The log epoch.
    pub(crate) epoch: u64,
    /// How many records.
    pub(crate) size: u64,
    /// The hash of the last one.
    pub(crate) hash: Hash,
}

/// How the journal stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalStatus {
    /// The log epoch.
    pub(crate) epoch: u64,
    /// How many records are durable.
    pub(crate) size: u64,
    /// How many the broker holds.
    pub(crate) acknowledged: u64,
    /// Why nothing can be recorded, if so.
    pub(crate) fault: Option<String>,
    /// Why nothing is shipped, if so.
    pub(crate) shipping_stopped: Option<String>,
}

/// The host's journal.
pub(crate) struct Journal {
    dir: PathBuf,
    identity: SigningKey,
    boot: String,
    now: UnixTime,
    /// With what is pending.
    chain: Chain,
    /// What is on disk.
    durable: Chain,
    pending: Vec<u8>,
    /// What the broker does not hold yet, as far as it is in memory.
    tail: Tail,
    /// The segment that the mark was in when old ones were deleted last.
    cleared: Option<SegmentId>,
    dropped: u64,
    open: Option<Open>,
    cursor: Option<Cursor>,
    mark: Option<(u64, u64)>,
    in_flight: bool,
    untold: bool,
    fault: Option<String>,
    stopped: Option<String>,
    /// How many more alarms about marks may be recorded: a courier can show the broker's old ones again and again.
    mark_alarms: Allowance,
    auth_log: Option<AuthLog>,
}

struct Open {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Journal {
    /// Opens the journal, or begins it. What was found damaged is recorded first.
    pub(crate) fn open(
        dir: PathBuf,
        host: &str,
        identity: SigningKey,
        boot: &str,
        now: UnixTime,
    ) -> Result<Self, JournalError> {
        files::ensure_dir(&dir, 0o700)?;
        let owner = Owner { host: host.to_owned(), key: PublicKey::of(&identity).id() };
        let anew = recovery::claim(&dir, &owner)?;
        let cursor = files::read(&cursor_path(&dir), 4096)?.and_then(|b| serde_json::from_slice(&b).ok());
        let mut found = recovery::recover(&dir, host, cursor.as_ref())?;
        if let Some(epoch) = anew {
            found.chain = Chain::new(host, epoch)?;
        }
        let open = match found.last {
            Some((id, length)) if length < SEGMENT_BYTES => {
                let path = id.path(&dir);
                Some(Open { file: segment::open(&path)?, path, length })
            }
            _ => None,
        };
        let mut journal = Self {
            dir,
            identity,
            boot: boot.to_owned(),
            now,
            durable: found.chain.clone(),
            tail: Tail::after(&found.chain),
            chain: found.chain,
            pending: Vec::new(),
            cleared: None,
            dropped: 0,
            open,
            cursor,
            mark: None,
            in_flight: false,
            untold: true,
            fault: None,
            stopped: None,
            mark_alarms: Allowance::default(),
            auth_log: None,
        };
        for event in found.tell {
            journal.record(event);
        }
        Ok(journal)
    }

    /// The time that records carry from here on.
    pub(crate) fn set_now(&mut self, now: UnixTime) {
        self.now = now;
    }
    /// Whether something waits for a commit.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }
    /// Why nothing can be recorded, if so: then nothing new may begin.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
    /// Why nothing is shipped, if so.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }
    /// How it stands.
    pub(crate) fn status(&self) -> JournalStatus {
        let acknowledged = self.cursor.as_ref().filter(|c| c.epoch == self.durable.epoch());
        JournalStatus {
            epoch: self.durable.epoch(),
            size: self.durable.next_seq(),
            acknowledged: acknowledged.map_or(0, |c| c.size),
            fault: self.fault.clone(),
            shipping_stopped: self.stopped.clone(),
        }
    }

    /// Makes everything that was recorded durable. What cannot be written stays pending.
    pub(crate) fn commit(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.write_pending();
        self.fault = written.as_ref().err().map(ToString::to_string);
        written?;
        if self.untold {
            self.untold = recovery::told(&self.dir).is_err();
        }
        if self.dropped > 0 {
            let detail = format!("{} records were lost while nothing could be written", self.dropped);
            self.dropped = 0;
            self.record(Event::Alarm { what: "records-lost".to_owned(), detail });
            return self.commit();
        }
        Ok(())
    }

    fn write_pending(&mut self) -> Result<(), FileError> {
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let id = SegmentId::at(&self.durable);
                let file = segment::create(&self.dir, &self.durable, &[])?;
                let path = id.path(&self.dir);
                let length = file.metadata().map_err(FileError::at("look at", &path))?.len();
                none.insert(Open { file, path, length })
            }
        };
        segment::append(&mut open.file, &open.path, open.length, &self.pending)?;
        open.length += self.pending.len() as u64;
        self.durable = self.chain.clone();
        self.tail.extend(&self.pending, &self.durable);
        self.pending.clear();
        if open.length >= SEGMENT_BYTES {
            self.open = None;
        }
        Ok(())
    }

    /// Takes the broker's mark: compares it with the journal, moves the cursor, deletes what is held there long enough.
    ///
    /// A mark that contradicts the journal stops the shipping, and is recorded.
    pub(crate) fn take_mark(&mut self, mark: &Verified<JournalMark>) -> Result<(), JournalError> {
        self.in_flight = false;
        self.mark = None;
        let hash: Hash = mark.hash.as_str().parse().expect("both are SHA-256 in lowercase hexadecimal");
        let compared = match self.tail.hash_at(mark.epoch, mark.size) {
            Some(own) => shipping::same(hash, own, mark.epoch, mark.size),
            None => shipping::compare(&self.dir, mark.epoch, mark.size, hash, &self.durable)?,
        };
        match compared {
            Compared::Same => {}
            Compared::Contradiction(why) => {
                self.stop(why);
                return Ok(());
            }
        }
        self.stopped = None;
        self.mark = Some((mark.epoch, mark.size));
        self.tail.forget(mark.epoch, mark.size);
        let cursor = Cursor { epoch: mark.epoch, size: mark.size, hash };
        let before = self.cursor.as_ref().map(|c| (c.epoch, c.size));
        if before.is_some_and(|before| (mark.epoch, mark.size) < before) {
            let detail = format!("the broker held more than {} records before: was it restored?", mark.size);
            self.tell_of_mark("broker-mark-back", detail);
        }
        if before != Some((mark.epoch, mark.size)) {
            let bytes = serde_json::to_vec(&cursor).expect("a cursor is plain data");
            // An older one after a power cut is true as well. There must be one: it tells a journal that is gone from one that never was.
            let path = cursor_path(&self.dir);
            if before.is_some_and(|(epoch, _)| epoch == mark.epoch) {
                files::replace_volatile(&path, &bytes, 0o600)?;
            } else {
                files::replace(&path, &bytes, 0o600)?;
            }
            self.cursor = Some(cursor);
            self.delete_below(mark.epoch, mark.size)?;
        }
        Ok(())
    }

    /// A mark that is not the broker's, or not for this journal. Nothing is deleted by it, and nothing shipped until there is a good one.
    pub(crate) fn refuse_mark(&mut self, why: String) {
        self.in_flight = false;
        self.mark = None;
        self.stop(why);
    }

    fn stop(&mut self, why: String) {
        if self.stopped.as_ref() != Some(&why) {
            self.tell_of_mark("journal-mark", why.clone());
        }
        self.stopped = Some(why);
    }

    fn tell_of_mark(&mut self, what: &str, detail: String) {
        if self.mark_alarms.take(time::boottime_ms()) {
            self.record(Event::Alarm { what: what.to_owned(), detail });
        }
    }

    fn delete_below(&mut self, epoch: u64, size: u64) -> Result<(), FileError> {
        // Only where a segment has come to be held whole there is something to do.
        let ids = segment::list(&self.dir)?;
        let held = ids.iter().rev().find(|id| (id.epoch, id.first) <= (epoch, size)).cloned();
        if held.is_some() && held == self.cleared {
            return Ok(());
        }
        self.cleared = held;
        for pair in ids.windows(2) {
            // A segment ends where the next one begins; the last one is never deleted.
            let (id, next) = (&pair[0], &pair[1]);
            let below = id.epoch < epoch || (id.epoch == epoch && next.epoch == epoch && next.first <= size);
            let path = id.path(&self.dir);
            if below && is_old(&path) {
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    /// The next records for the broker, if its mark is known and nothing is on its way.
    pub(crate) fn next_shipment(&mut self) -> Result<Option<ShipRecords>, JournalError> {
        let Some((epoch, size)) = self.mark.filter(|_| !self.in_flight && self.stopped.is_none()) else {
            return Ok(None);
        };
        if (epoch, size) == (self.durable.epoch(), self.durable.next_seq()) {
            return Ok(None);
        }
        let shipment = match self.tail.since(epoch, size) {
            Some((before, records)) => Some(shipping::shipment(Some(before), records, &self.identity)),
            None => shipping::cut(&self.dir, epoch, size, &self.identity)?,
        };
        self.in_flight = shipment.is_some();
        Ok(shipment)
    }

    /// Whether the broker holds all of it.
    pub(crate) fn is_held(&self) -> bool {
        let all = (self.durable.epoch(), self.durable.next_seq());
        self.mark == Some(all) && self.pending.is_empty() && self.stopped.is_none()
    }

    /// The durable records from a place on, and some before it.
    pub(crate) fn records_since(&self, epoch: u64, size: u64) -> Result<Vec<Vec<u8>>, JournalError> {
        let ids = segment::list(&self.dir)?;
        let begin = ids.iter().rposition(|id| (id.epoch, id.first) <= (epoch, size)).unwrap_or(0);
        let mut records = Vec::new();
        for id in &ids[begin..] {
            records.extend(segment::read(&self.dir, id)?.map_or_else(|_| Vec::new(), |read| read.records));
        }
        Ok(records)
    }

    /// Says alarms to the machine's auth log as well, from now on.
    pub(crate) fn tell_auth_log(&mut self, log: AuthLog) {
        self.auth_log = Some(log);
    }

    /// The courier is gone: what was on its way may never arrive.
    pub(crate) fn disconnected(&mut self) {
        self.in_flight = false;
        self.mark = None;
    }
}

impl Recorder for Journal {
    fn record(&mut self, event: Event) {
        if let Some(log) = &self.auth_log {
            log.tell(&event);
        }
        if self.pending.len() > MAX_PENDING_BYTES {
            self.dropped += 1;
            return;
        }
        match self.chain.append(&event, self.now.0, &self.boot) {
            Ok(line) => {
                self.pending.extend_from_slice(&line);
                self.pending.push(b'\n');
            }
            Err(error) => {
                tracing::error!(kind = event.kind(), %error, "an event could not be recorded");
                let detail = format!("an event of kind {} could not be recorded: {error}", event.kind());
                let alarm = Event::Alarm { what: "record-refused".to_owned(), detail };
                if let Ok(line) = self.chain.append(&alarm, self.now.0, &self.boot) {
                    self.pending.extend_from_slice(&line);
                    self.pending.push(b'\n');
                }
            }
        }
    }
}

fn cursor_path(dir: &Path) -> PathBuf {
    dir.join(recovery::CURSOR)
}

fn is_old(path: &Path) -> bool {
    std::fs::metadata(path)
        .and_then(|m| m.modified())
        .ok()
        .and_then(|modified| modified.elapsed().ok())
        .is_some_and(|age| age > KEPT_AFTER_ACKNOWLEDGEMENT)
}
