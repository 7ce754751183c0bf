//! The right to an account that exists only for the window. Its name is the account that the terms are for.

use serde::Serialize;

use super::RightError;
use crate::strict::{self, document};

/// The most SSH keys of one account.
pub const MAX_KEYS: usize = 8;
/// The longest SSH key, in bytes: an RSA key of 16384 bits is shorter.
pub const MAX_KEY_BYTES: usize = 4096;
/// The kinds of SSH keys that are taken.
pub const KEY_TYPES: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

document! {
    /// An account that is made when the window begins, and is gone after it. It has no password.
    pub struct AccountRight {
        /// Its shell: an absolute path.
        pub shell: String,
        /// What becomes of its home.
        pub home: HomeEnd,
        /// The SSH keys that let in, each as `TYPE BASE64`: what stands in its `authorized_keys`.
        pub keys: Vec<String>,
    }
}

/// What becomes of the home when the window is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HomeEnd {
    /// It is removed.
    Remove,
    /// It is put into an archive that only root reads, and removed.
    Archive,
    /// It is left, under another name and as root's.
    Keep,
}
strict::word!(HomeEnd { Remove = "remove", Archive = "archive", Keep = "keep" });

impl HomeEnd {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Archive => "archive",
            Self::Keep => "keep",
        }
    }
}

impl AccountRight {
    pub(super) fn check(&self) -> Result<(), RightError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
        let parts = |path: &str| path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        let holds = self.shell.len() <= 256 && self.shell.chars().all(plain);
        if !holds || !self.shell.strip_prefix('/').is_some_and(parts) {
            return Err(RightError::Account(format!(
                "shell {:?}: write the absolute path of a shell",
                self.shell
            )));
        }
        if self.keys.len() > MAX_KEYS {
            return Err(RightError::Account(format!("more than {MAX_KEYS} SSH keys")));
        }
        self.keys.iter().try_for_each(|key| check_key(key))
    }
}

/// Type and base64, nothing else: no options, which could run a command, and no comment, which nobody checks.
fn check_key(key: &str) -> Result<(), RightError> {
    let wrong = || {
        let begin: String = key.chars().take(40).collect();
        RightError::Account(format!(
            "SSH key {begin:?}: write `TYPE BASE64` of a public key, without options or comment"
        ))
    };
    let (kind, body) = key.split_once(' ').ok_or_else(wrong)?;
    let bytes = data_encoding::BASE64.decode(body.as_bytes()).map_err(|_| wrong())?;
    // The key names its type once more, after the length of that name.
    let named = bytes.get(4..4 + kind.len()) == Some(kind.as_bytes());
    let length = bytes.get(..4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let same = named && length == u32::try_from(kind.len()).ok();
    if key.len() > MAX_KEY_BYTES || !KEY_TYPES.contains(&kind) || !same {
        return Err(wrong());
    }
    Ok(())
}
