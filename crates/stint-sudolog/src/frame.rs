//! A message in bytes: its length in four bytes, the highest first, and the message.

use prost::Message;

use crate::message::{ClientMessage, ServerKind, ServerMessage};

/// The most bytes that a message may have: sudo's own limit.
pub const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// The bytes before a message.
pub const HEADER_BYTES: usize = 4;

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too long, or nothing at all.
    #[error("a message of {0} bytes: 1 to {MAX_MESSAGE_BYTES} are taken")]
    Length(u32),
    /// Not a message of the protocol.
    #[error("not a message of sudo's log server protocol: {0}")]
    Malformed(String),
    /// A kind of message that is not known here.
    #[error("a kind of message that is not known here")]
    UnknownKind,
}

/// The length that a header announces.
pub fn length(header: [u8; HEADER_BYTES]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(header);
    match usize::try_from(length) {
        Ok(bytes) if (1..=MAX_MESSAGE_BYTES).contains(&bytes) => Ok(bytes),
        _ => Err(FrameError::Length(length)),
    }
}

/// Reads what sudo says, without its header.
pub fn parse(body: &[u8]) -> Result<ClientMessage, FrameError> {
    let message = ClientMessage::decode(body).map_err(|e| FrameError::Malformed(e.to_string()))?;
    if message.kind.is_some() { Ok(message) } else { Err(FrameError::UnknownKind) }
}

/// What the server says, with its header.
pub fn server(kind: ServerKind) -> Vec<u8> {
    framed(&ServerMessage { kind: Some(kind) })
}

/// What sudo says, with its header.
pub fn client(message: &ClientMessage) -> Vec<u8> {
    framed(message)
}

/// A message without its header, and what follows it.
pub type Split<'a> = (&'a [u8], &'a [u8]);

/// Takes one message off the beginning; `None` where not all of it is there.
pub fn split(bytes: &[u8]) -> Result<Option<Split<'_>>, FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    Ok(rest.split_at_checked(length(*header)?))
}

fn framed(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), body.as_slice()].concat()
}
