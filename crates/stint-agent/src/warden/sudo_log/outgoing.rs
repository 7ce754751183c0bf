//! Recordings on their way to the broker: one at a time, in parts, after the journal that names them.
//!
//! The folder in which a recording lies says how it stands, so nothing need be remembered: in the folder itself it is being written, in
//! `closed` its end is on record and it waits for the broker, in `held` the broker has said, signed, that it holds it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use stint_api::recordings::MAX_PART_BYTES;
use stint_grant::mark::RecordingMark;
use stint_log::Hash;
use stint_log::record::IoLog;
use tokio::sync::mpsc;

use super::recordings::{CLOSED, HELD, SUFFIX, prune_held, runs_in};
use crate::warden::clients::Message;
use crate::warden::files::{self, FileError};
use crate::wire::RecordingPart;

/// What is on its way, and what waits.
#[derive(Debug)]
pub(crate) struct Outgoing {
    folder: PathBuf,
    /// Their ends are recorded, and not yet durable.
    ended: Vec<String>,
    /// What is sent now.
    sending: Option<Sending>,
    /// What the broker would not take: not tried again before the next round.
    put_off: BTreeSet<String>,
    /// Whether something may wait: a folder that is empty is not read at every turn of the loop.
    may_wait: bool,
}

#[derive(Debug)]
struct Sending {
    run: String,
    bytes: u64,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// To ask what the broker holds: a part without bytes.
    Ask,
    /// The part that begins here.
    Part(u64),
    /// The answer to the last one.
    Answer,
}

impl Outgoing {
    /// Of a folder of recordings.
    pub(crate) fn of(folder: PathBuf) -> Self {
        Self { folder, ended: vec![], sending: None, put_off: BTreeSet::new(), may_wait: true }
    }

    /// The runs whose recordings nobody closed. To be asked before anything new is recorded.
    fn left_open(&self) -> Vec<String> {
        runs_in(&self.folder)
    }

    /// The end of a run is recorded.
    pub(crate) fn note_end(&mut self, run: &str) {
        self.ended.push(run.to_owned());
    }

    /// All that was recorded is durable: what has ended may go out.
    pub(crate) fn committed(&mut self) {
        for run in std::mem::take(&mut self.ended) {
            match self.move_to(CLOSED, &self.folder.join(named(&run)), &run) {
                Ok(()) => self.may_wait = true,
                // It stays where it is: the next start finds it, and says anew what there is of it.
                Err(error) => tracing::error!(run, %error, "a recording cannot be sent"),
            }
        }
    }

    /// The link to the broker is another one: what was on its way is asked for.
    pub(crate) fn disconnected(&mut self) {
        self.sending = None;
        self.may_wait = true;
    }

    /// What the broker would not take is tried again.
    pub(crate) fn retry(&mut self) {
        self.put_off.clear();
        self.may_wait = true;
        prune_held(&self.folder);
    }

    /// What to send next, if nothing is on its way.
    pub(crate) fn next(&mut self) -> Option<RecordingPart> {
        if self.sending.is_none() {
            if !self.may_wait {
                return None;
            }
            self.sending = self.choose();
            self.may_wait = self.sending.is_some();
        }
        let sending = self.sending.as_mut()?;
        let next = std::mem::replace(&mut sending.next, Next::Answer);
        let run = sending.run.clone();
        let (at, read) = match next {
            Next::Answer => return None,
            Next::Ask => (0, Ok(Vec::new())),
            Next::Part(at) => (at, read_part(&self.path(&run), at)),
        };
        match read {
            Ok(bytes) => Some(RecordingPart { run, at, data: BASE64.encode(&bytes) }),
            Err(error) => {
                self.put_off(&run, &error.to_string());
                None
            }
        }
    }

    fn choose(&self) -> Option<Sending> {
        let waiting = runs_in(&self.folder.join(CLOSED));
        waiting.into_iter().filter(|run| !self.put_off.contains(run)).find_map(|run| {
            let bytes = fs::symlink_metadata(self.path(&run)).ok()?.len();
            Some(Sending { run, bytes, next: Next::Ask })
        })
    }

    /// The broker holds so much of it.
    pub(crate) fn heard(&mut self, run: &str, have: u64) {
        let Some(sending) = self.sending.as_mut().filter(|sending| sending.run == run) else { return };
        if have < sending.bytes {
            sending.next = Next::Part(have);
        } else {
            // All of it, and no word of the broker's that it is held: asked again in the next round.
            self.put_off(run, "the broker has all of it, and does not say so by its signature");
        }
    }

    /// The broker says, signed, that it holds it. The host's copy is kept a while.
    pub(crate) fn is_held(&mut self, mark: &RecordingMark) -> Result<(), String> {
        let Some(sending) = self.sending.take_if(|sending| sending.run == mark.run) else {
            return Err(format!(
                "the broker says that it holds the recording of run {}, which was not sent",
                mark.run
            ));
        };
        self.may_wait = true;
        if sending.bytes != mark.bytes {
            self.put_off.insert(sending.run);
            return Err(format!(
                "the broker holds {} bytes of run {}, here are {}",
                mark.bytes, mark.run, sending.bytes
            ));
        }
        let moved = self.move_to(HELD, &self.path(&sending.run), &sending.run);
        prune_held(&self.folder);
        moved.map_err(|error| error.to_string())
    }

    /// It is not taken now.
    pub(crate) fn put_off(&mut self, run: &str, why: &str) {
        tracing::warn!(run, "a recording stays on this host for now: {why}");
        self.put_off.insert(run.to_owned());
        self.sending = None;
        self.may_wait = true;
    }

    fn path(&self, run: &str) -> PathBuf {
        self.folder.join(CLOSED).join(named(run))
    }

    fn move_to(&self, place: &str, from: &Path, run: &str) -> Result<(), FileError> {
        let to = self.folder.join(place);
        files::ensure_dir(&to, 0o700)?;
        fs::rename(from, to.join(named(run))).map_err(FileError::at("move", from))?;
        files::sync_dir(&to)
    }
}

fn named(run: &str) -> String {
    format!("{run}{SUFFIX}")
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

fn read_part(path: &Path, at: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = vec![0; MAX_PART_BYTES];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], at + length as u64)? {
            0 => break,
            n => length += n,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Tells of recordings that lie open, on a thread of its own: they are read whole.
pub(in crate::warden) fn close_what_lies_open(
    folder: &Path,
    outgoing: &Outgoing,
    to: mpsc::Sender<Message>,
) -> io::Result<()> {
    let (folder, open) = (folder.to_owned(), outgoing.left_open());
    if open.is_empty() {
        return Ok(());
    }
    let tell = move || {
        for run in open {
            match sum(&folder.join(named(&run))) {
                Ok(io) => drop(to.blocking_send(Message::RecordingCut { run, io })),
                Err(error) => tracing::error!(run, %error, "a recording that was cut cannot be read"),
            }
        }
    };
    std::thread::Builder::new().name("recordings".to_owned()).spawn(tell).map(drop)
}

/// What there is of a recording that nobody closed.
fn sum(path: &Path) -> io::Result<IoLog> {
    let mut file = open(path)?;
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; MAX_PART_BYTES], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
    // What is on record must be on disk.
    file.sync_all()?;
    let digest: [u8; 32] = hash.finalize().into();
    Ok(IoLog { bytes, sha256: Hash::from_bytes(digest), whole: false })
}
