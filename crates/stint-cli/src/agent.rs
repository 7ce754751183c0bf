//! The SSH agent: one question, one answer, over its socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use ssh_key::{PublicKey, Signature};

use crate::exit::{Exit, Failure, Outcome};

const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// A key in hardware may ask its owner for a touch.
const PATIENCE: Duration = Duration::from_mins(1);
const MAX_ANSWER: usize = 16 * 1024;

/// Where the agent listens.
pub(crate) struct Agent(PathBuf);

impl Agent {
    /// The agent of `SSH_AUTH_SOCK`.
    pub(crate) fn from_environment() -> Outcome<Self> {
        match std::env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty()) {
            Some(socket) => Ok(Self(socket.into())),
            None => Err(Failure::usage("a public key was given, and there is no SSH agent (SSH_AUTH_SOCK)")
                .next("start an agent and `ssh-add` the key, or give the private key with --key")),
        }
    }
    #[cfg(test)]
    pub(crate) fn at(socket: PathBuf) -> Self {
        Self(socket)
    }
}

/// Has the agent sign `data` with a key.
pub(crate) fn sign(agent: &Agent, key: &PublicKey, data: &[u8]) -> Outcome<Signature> {
    let broken = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Refused, format!("the SSH agent at {}: {e}", agent.0.display()))
    };
    let blob = key.to_bytes().map_err(|e| broken(&e))?;
    let answer = exchange(&agent.0, &request(&blob, data)).map_err(|e| broken(&e))?;
    let blob = signature_blob(&answer).ok_or_else(|| {
        Failure::new(Exit::Refused, "the SSH agent did not sign")
            .next("`ssh-add -l` lists the keys that it holds")
    })?;
    Signature::try_from(blob).map_err(|e| broken(&e))
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).expect("keys and statements are short").to_be_bytes());
    out.extend_from_slice(bytes);
}

fn request(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut body = vec![SIGN_REQUEST];
    string(&mut body, key);
    string(&mut body, data);
    body.extend_from_slice(&0_u32.to_be_bytes());
    let mut message = Vec::new();
    string(&mut message, &body);
    message
}

fn exchange(socket: &std::path::Path, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_ANSWER {
        return Err(std::io::Error::other("its answer is too long"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// The signature in an answer; none if the agent refused.
fn signature_blob(answer: &[u8]) -> Option<&[u8]> {
    let (&kind, rest) = answer.split_first()?;
    let (length, blob) = rest.split_first_chunk::<4>()?;
    (kind == SIGN_RESPONSE && u32::from_be_bytes(*length) as usize == blob.len()).then_some(blob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_framed_as_the_protocol_says() {
        assert_eq!(
            request(b"K", b"DD"),
            [0, 0, 0, 16, 13, 0, 0, 0, 1, b'K', 0, 0, 0, 2, b'D', b'D', 0, 0, 0, 0]
        );
    }

    #[test]
    fn only_a_whole_signature_is_taken() {
        assert_eq!(signature_blob(&[14, 0, 0, 0, 2, 7, 8]), Some(&[7, 8][..]));
        for bad in [&[5][..], &[], &[14, 0, 0], &[14, 0, 0, 0, 3, 7, 8], &[13, 0, 0, 0, 2, 7, 8]] {
            assert_eq!(signature_blob(bad), None, "{bad:?}");
        }
    }
}
