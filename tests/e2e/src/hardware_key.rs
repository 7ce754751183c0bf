//! A security key that somebody touches at each login: what it signs is what hardware would, and an agent of its own hands it to ssh.
//!
//! The agent speaks draft-miller-ssh-agent, the signature is of OpenSSH's PROTOCOL.u2f. Only the piece of hardware is missing.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use stint_grant::ids::Sha256Hex;

use crate::error::E2eError;

const ALGORITHM: &[u8] = b"sk-ssh-ed25519@openssh.com";
const APPLICATION: &[u8] = b"ssh:";
/// Somebody touched it.
const PRESENT: u8 = 1;
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGNATURE: u8 = 14;

/// A security key, behind an agent that lives as long as the test.
#[derive(Debug)]
pub struct HardwareKey {
    path: PathBuf,
    socket: PathBuf,
}

impl HardwareKey {
    /// A new one, whose public half stands at this path with `.pub`, as `ssh-keygen -t ed25519-sk` leaves it.
    pub fn new(path: &Path) -> Result<Self, E2eError> {
        let mut seed = [0; 32];
        let random = Path::new("/dev/urandom");
        fs::File::open(random)
            .and_then(|mut file| file.read_exact(&mut seed))
            .map_err(E2eError::file(random))?;
        let held = Held { key: SigningKey::from_bytes(&seed), touches: 0 };
        let public = path.with_extension("pub");
        let line = format!("sk-ssh-ed25519@openssh.com {}\n", BASE64.encode(&held.public()));
        fs::write(&public, line).map_err(E2eError::file(&public))?;
        let socket = path.with_extension("agent");
        let listener = UnixListener::bind(&socket).map_err(E2eError::file(&socket))?;
        thread::spawn(move || serve(&listener, held));
        Ok(Self { path: path.to_owned(), socket })
    }

    /// Where its handle would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The agent's socket, for `SSH_AUTH_SOCK`.
    pub fn agent(&self) -> &Path {
        &self.socket
    }
}

struct Held {
    key: SigningKey,
    touches: u32,
}

impl Held {
    fn public(&self) -> Vec<u8> {
        [string(ALGORITHM), string(self.key.verifying_key().as_bytes()), string(APPLICATION)].concat()
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let (kind, rest) = request.split_first().map_or((0, request), |(kind, rest)| (*kind, rest));
        match kind {
            REQUEST_IDENTITIES => {
                [&[IDENTITIES][..], &1u32.to_be_bytes(), &string(&self.public()), &string(b"touch me")]
                    .concat()
            }
            SIGN_REQUEST => match take(rest) {
                Some((blob, rest)) if blob == self.public() => {
                    take(rest).map_or(vec![FAILURE], |(data, _)| self.sign(data))
                }
                _ => vec![FAILURE],
            },
            _ => vec![FAILURE],
        }
    }

    fn sign(&mut self, data: &[u8]) -> Vec<u8> {
        self.touches += 1;
        let touched = [&[PRESENT][..], &self.touches.to_be_bytes()].concat();
        let signed = [&digest(APPLICATION)[..], &touched, &digest(data)].concat();
        let raw = self.key.sign(&signed).to_bytes();
        let signature = [string(ALGORITHM), string(&raw), touched].concat();
        [vec![SIGNATURE], string(&signature)].concat()
    }
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    HEXLOWER.decode(Sha256Hex::of(bytes).as_str().as_bytes()).expect("a digest is hexadecimal")
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a message of this test is short");
    [&length.to_be_bytes()[..], bytes].concat()
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(4)?;
    rest.split_at_checked(u32::from_be_bytes(length.try_into().ok()?) as usize)
}

fn serve(listener: &UnixListener, mut held: Held) {
    for client in listener.incoming() {
        // A client that goes away in mid-sentence has no answer coming.
        let _ = client.and_then(|client| talk(client, &mut held));
    }
}

fn talk(mut client: UnixStream, held: &mut Held) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        client.read_exact(&mut request)?;
        client.write_all(&string(&held.answer(&request)))?;
    }
}
