//! Recordings on their way to the broker: one at a time, in parts, after the journal that names them.
//!
//! The folder in which a recording lies says how it stands, so nothing need be remembered: in the folder itself it is being written, in
//! `closed` its end is on record and it waits for the broker, in `held` the broker has said, signed, that it holds it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use stint_api::recordings::MAX_PART_BYTES;
use stint_grant::mark::RecordingMark;
use stint_grant::words::printable;
use stint_log::Hash;
use stint_log::record::IoLog;
use tokio::sync::mpsc;

use super::recordings::{CLOSED, HELD, SUFFIX, prune_held, runs_in};
use crate::warden::clients::Message;
use crate::warden::files::{self, FileError};
use crate::wire::RecordingPart;

/// So many characters of a cause.
const MAX_WHY: usize = 300;

/// What is on its way, and what waits.
#[derive(Debug)]
pub(crate) struct Outgoing {
    folder: PathBuf,
    /// Their ends are recorded, and not yet durable.
    ended: Vec<String>,
    /// What is sent now.
    sending: Option<Sending>,
    /// What the broker would not take, and why: not tried again before the next heartbeat.
    put_off: BTreeMap<String, String>,
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
        Self { folder, ended: vec![], sending: None, put_off: BTreeMap::new(), may_wait: true }
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
        waiting.into_iter().filter(|run| !self.put_off.contains_key(run)).find_map(|run| {
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
            // All of it, and no word of the broker's that it is held: asked again later.
            self.put_off(run, "the broker has all of it, and does not say so by its signature");
        }
    }

    /// The broker says, signed, that it holds it. The host's copy is kept a while.
    pub(crate) fn is_held(&mut self, mark: &RecordingMark) -> Result<(), String> {
        let Some(sending) = self.sending.as_ref().filter(|sending| sending.run == mark.run) else {
            return Err(format!(
                "the broker says that it holds the recording of run {}, which was not sent",
                mark.run
            ));
        };
        if sending.bytes != mark.bytes {
            return Err(format!("the broker holds {} bytes of it, here are {}", mark.bytes, sending.bytes));
        }
        self.move_to(HELD, &self.path(&mark.run), &mark.run).map_err(|error| error.to_string())?;
        (self.sending, self.may_wait) = (None, true);
        prune_held(&self.folder);
        Ok(())
    }

    /// It is not taken now. Only of what is on its way that can be: a courier that names what it likes fills no memory, and its words are
    /// for people.
    pub(crate) fn put_off(&mut self, run: &str, why: &str) {
        if self.sending.take_if(|sending| sending.run == run).is_none() {
            return;
        }
        let why = printable(&why.chars().take(MAX_WHY).collect::<String>());
        tracing::warn!(run, "a recording stays on this host for now: {why}");
        self.put_off.insert(run.to_owned(), why);
        self.may_wait = true;
    }

    /// What does not get to the broker, for people.
    pub(crate) fn fault(&self) -> Option<String> {
        let (run, why) = self.put_off.iter().next()?;
        Some(format!("{} recordings stay on this host, the first is of run {run}: {why}", self.put_off.len()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use stint_grant::ids::Sha256Hex;
    use stint_grant::keys::PublicKey;

    fn write(root: &Path, place: &str, run: &str, bytes: &[u8]) {
        fs::create_dir_all(root.join(place)).unwrap();
        fs::write(root.join(place).join(named(run)), bytes).unwrap();
    }
    fn mark(run: &str, bytes: u64) -> RecordingMark {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        RecordingMark {
            format: 1,
            fleet: "f".parse().unwrap(),
            host: "web-01".parse().unwrap(),
            host_key: PublicKey::of(&key),
            run: run.to_owned(),
            bytes,
            sha256: Sha256Hex::of(b""),
        }
    }
    fn part(outgoing: &mut Outgoing) -> (String, u64, usize) {
        let part = outgoing.next().expect("a part");
        (part.run, part.at, BASE64.decode(part.data.as_bytes()).unwrap().len())
    }

    #[test]
    fn a_recording_goes_out_in_parts_from_where_the_broker_has_it_and_is_kept_until_it_is_held() {
        let root = tempfile::tempdir().unwrap();
        let mut outgoing = Outgoing::of(root.path().to_owned());
        assert_eq!(outgoing.next(), None);
        let bytes = vec![7; MAX_PART_BYTES + 10];
        write(root.path(), "", "r1", &bytes);
        assert_eq!(outgoing.next(), None, "its end is not on record");
        outgoing.note_end("r1");
        assert_eq!(outgoing.next(), None, "the record is not durable");
        outgoing.committed();
        assert_eq!(part(&mut outgoing), ("r1".to_owned(), 0, 0), "it asks first");
        assert_eq!(outgoing.next(), None, "one at a time");
        outgoing.heard("r1", 0);
        assert_eq!(part(&mut outgoing), ("r1".to_owned(), 0, MAX_PART_BYTES));
        outgoing.heard("another", 5);
        assert_eq!(outgoing.next(), None);

        // The link breaks, and the warden begins anew: the broker says where to go on.
        let mut outgoing = Outgoing::of(root.path().to_owned());
        assert_eq!(part(&mut outgoing), ("r1".to_owned(), 0, 0));
        outgoing.heard("r1", MAX_PART_BYTES as u64);
        assert_eq!(part(&mut outgoing), ("r1".to_owned(), MAX_PART_BYTES as u64, 10));
        outgoing.disconnected();
        assert_eq!(part(&mut outgoing), ("r1".to_owned(), 0, 0));
        outgoing.is_held(&mark("r2", 3)).unwrap_err();
        outgoing.is_held(&mark("r1", bytes.len() as u64)).unwrap();
        assert_eq!(runs_in(&root.path().join(HELD)), ["r1"]);
        assert_eq!((outgoing.next(), outgoing.fault()), (None, None));
    }

    #[test]
    fn what_the_broker_will_not_take_or_holds_otherwise_stays_and_keeps_no_other_back() {
        let root = tempfile::tempdir().unwrap();
        let mut outgoing = Outgoing::of(root.path().to_owned());
        for run in ["r1", "r2", "r3"] {
            write(root.path(), CLOSED, run, b"1234");
        }
        assert_eq!(part(&mut outgoing).0, "r1");
        outgoing.put_off("r1", "its room is full");
        assert_eq!(part(&mut outgoing).0, "r2");
        let other = outgoing.is_held(&mark("r2", 3)).unwrap_err();
        outgoing.put_off("r2", &other);
        assert_eq!(part(&mut outgoing).0, "r3");
        outgoing.heard("r3", 4);
        assert_eq!(outgoing.next(), None, "without the broker's signature nothing is held");
        assert!(outgoing.fault().unwrap().starts_with("3 recordings stay"));
        assert_eq!(runs_in(&root.path().join(CLOSED)), ["r1", "r2", "r3"]);
        outgoing.retry();
        assert_eq!((part(&mut outgoing).0.as_str(), outgoing.fault()), ("r1", None));
    }

    #[test]
    fn a_courier_s_words_about_what_was_not_sent_count_for_nothing_and_drive_no_terminal() {
        let root = tempfile::tempdir().unwrap();
        let mut outgoing = Outgoing::of(root.path().to_owned());
        write(root.path(), CLOSED, "r1", b"1234");
        assert_eq!(part(&mut outgoing).0, "r1");
        for n in 0..1000 {
            outgoing.put_off(&format!("x{n}"), "made up");
        }
        assert_eq!((outgoing.fault(), outgoing.next()), (None, None), "r1 is on its way yet");
        outgoing.put_off("r1", &"\x1b[2J".repeat(1000));
        let fault = outgoing.fault().unwrap();
        assert!(fault.starts_with("1 recordings stay") && !fault.contains('\x1b'), "{fault}");
        assert!(fault.len() < 4096, "{}", fault.len());
    }

    #[test]
    fn what_lies_open_is_summed_up_and_a_link_in_its_place_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "", "r1", b"something");
        let io = sum(&root.path().join(named("r1"))).unwrap();
        assert_eq!(io, IoLog { bytes: 9, sha256: Hash::of(b"something"), whole: false });
        std::os::unix::fs::symlink(root.path().join(named("r1")), root.path().join(named("r2"))).unwrap();
        sum(&root.path().join(named("r2"))).unwrap_err();
        assert_eq!(Outgoing::of(root.path().to_owned()).left_open(), ["r1", "r2"]);
    }
}
