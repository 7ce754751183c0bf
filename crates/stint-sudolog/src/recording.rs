//! What a command printed, as a file: a line that says what it is, then sudo's own messages as they came, each with its length.
//!
//! The first message is the accepted command, without the environments. The record in the journal holds the SHA-256 of the whole file.

use std::time::Duration;

use stint_log::record::CommandLine;

use crate::command::describe;
use crate::conversation::delay_of;
use crate::frame::{self, FrameError};
use crate::message::ClientKind;

/// How a file begins.
pub const MAGIC: &[u8] = b"stint-recording 1\n";

/// Why a file cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// Something else, or a newer version's.
    #[error("not a recording of this version of stint")]
    NotOne,
    /// A damaged message.
    #[error("damaged at byte {at}: {cause}")]
    Damaged {
        /// Where the message begins.
        at: usize,
        /// What is wrong.
        cause: FrameError,
    },
    /// A message that has no place there.
    #[error("damaged at byte {at}: a message that does not belong there")]
    Misplaced {
        /// Where it begins.
        at: usize,
    },
}

/// A recording that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The command.
    pub what: CommandLine,
    /// What happened, in order.
    pub pieces: Vec<Piece>,
    /// Whether it goes to the command's end. One that was cut by a crash does not.
    pub whole: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// When, from the command's beginning.
    pub at: Duration,
    /// Which stream.
    pub stream: Stream,
    /// The bytes.
    pub data: Vec<u8>,
}

/// Where bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// To the terminal, or to a pipe that was the command's output.
    Output,
    /// From the terminal, or from a pipe.
    Input,
}

/// Reads a file.
pub fn read(file: &[u8]) -> Result<Recording, RecordingError> {
    let mut rest = file.strip_prefix(MAGIC).ok_or(RecordingError::NotOne)?;
    let mut what = None;
    let mut pieces = Vec::new();
    let (mut at, mut whole) = (Duration::ZERO, false);
    loop {
        let place = file.len() - rest.len();
        let damaged = |cause| RecordingError::Damaged { at: place, cause };
        let misplaced = RecordingError::Misplaced { at: place };
        let Some((body, after)) = frame::split(rest).map_err(damaged)? else { break };
        rest = after;
        let Some(kind) = frame::parse(body).map_err(damaged)?.kind else { return Err(misplaced) };
        match kind {
            _ if whole => return Err(misplaced),
            ClientKind::Accept(accept) if what.is_none() => what = Some(describe(&accept.info_msgs)),
            _ if what.is_none() => return Err(misplaced),
            ClientKind::Exit(_) => whole = true,
            kind => {
                let Some(Ok(delay)) = delay_of(&kind) else { return Err(misplaced) };
                at = at.checked_add(delay).ok_or(misplaced)?;
                pieces.extend(bytes_of(kind).map(|(stream, data)| Piece { at, stream, data }));
            }
        }
    }
    let what = what.ok_or(RecordingError::NotOne)?;
    Ok(Recording { what, pieces, whole: whole && rest.is_empty() })
}

fn bytes_of(kind: ClientKind) -> Option<(Stream, Vec<u8>)> {
    match kind {
        ClientKind::TtyOut(buffer) | ClientKind::Stdout(buffer) | ClientKind::Stderr(buffer) => {
            Some((Stream::Output, buffer.data))
        }
        ClientKind::TtyIn(buffer) | ClientKind::Stdin(buffer) => Some((Stream::Input, buffer.data)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::text;
    use crate::message::{AcceptMessage, ClientMessage, ExitMessage, IoBuffer, TimeSpec};

    fn file(kinds: &[ClientKind]) -> Vec<u8> {
        let frames = kinds.iter().map(|kind| frame::client(&ClientMessage { kind: Some(kind.clone()) }));
        [MAGIC.to_vec(), frames.collect::<Vec<_>>().concat()].concat()
    }
    fn accept() -> ClientKind {
        let info_msgs = vec![text("command", b"/bin/id")];
        ClientKind::Accept(AcceptMessage { submit_time: None, info_msgs, expect_iobufs: true })
    }
    fn output(data: &[u8]) -> ClientKind {
        let delay = Some(TimeSpec { tv_sec: 1, tv_nsec: 0 });
        ClientKind::TtyOut(IoBuffer { delay, data: data.to_vec() })
    }
    fn exit() -> ClientKind {
        ClientKind::Exit(ExitMessage::default())
    }

    #[test]
    fn what_was_printed_is_read_back_with_its_times() {
        let recording = read(&file(&[accept(), output(b"a"), output(b"b"), exit()])).unwrap();
        assert_eq!((recording.what.command.as_str(), recording.whole), ("/bin/id", true));
        let told: Vec<_> = recording.pieces.iter().map(|p| (p.at.as_secs(), p.data.as_slice())).collect();
        assert_eq!(told, [(1, b"a".as_slice()), (2, b"b")]);
    }

    #[test]
    fn one_that_was_cut_anywhere_is_read_as_far_as_it_goes_and_is_not_whole() {
        let whole = file(&[accept(), output(b"a"), output(b"b"), exit()]);
        let begins = file(&[accept()]).len();
        for length in begins..whole.len() {
            let cut = read(&whole[..length]).unwrap();
            assert!(!cut.whole && cut.pieces.len() <= 2, "{length}");
        }
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        assert_eq!(read(b"asciicast"), Err(RecordingError::NotOne));
        assert_eq!(read(MAGIC), Err(RecordingError::NotOne));
        for misplaced in [vec![output(b"a")], vec![accept(), accept()], vec![accept(), exit(), output(b"a")]]
        {
            assert!(matches!(read(&file(&misplaced)), Err(RecordingError::Misplaced { .. })));
        }
        let mut damaged = file(&[accept()]);
        damaged.extend([0xff; 8]);
        assert!(matches!(read(&damaged), Err(RecordingError::Damaged { .. })));
    }
}
