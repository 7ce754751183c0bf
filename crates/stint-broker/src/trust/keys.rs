//! Ed25519 keys as OpenSSH private key files: one form for online keys and for those that are taken away.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ed25519_dalek::SigningKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::rand_core::OsRng;
use ssh_key::{LineEnding, PrivateKey};
use zeroize::Zeroizing;

use crate::random;

/// What is wrong with a key file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct KeyFileError {
    /// The file.
    pub path: String,
    /// What is wrong, and what to do.
    pub cause: String,
}

fn fault(path: &Path, cause: impl std::fmt::Display) -> KeyFileError {
    KeyFileError { path: path.display().to_string(), cause: cause.to_string() }
}

/// A new key.
pub fn generate() -> SigningKey {
    SigningKey::from_bytes(&random::bytes::<32>())
}

/// A new file that only its owner reads.
pub fn write_secret(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Writes a key, encrypted if there is a passphrase.
pub fn write(
    path: &Path,
    key: &SigningKey,
    comment: &str,
    passphrase: Option<&str>,
) -> Result<(), KeyFileError> {
    let pair = Ed25519Keypair::from_seed(&Zeroizing::new(key.to_bytes()));
    let mut file = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(|e| fault(path, e))?;
    if let Some(passphrase) = passphrase {
        file = file.encrypt(&mut OsRng, passphrase).map_err(|e| fault(path, e))?;
    }
    let text = file.to_openssh(LineEnding::LF).map_err(|e| fault(path, e))?;
    write_secret(path, text.as_bytes()).map_err(|e| fault(path, e))
}

/// Reads an online key: there, not encrypted, and nobody else's to read.
pub fn read(path: &Path) -> Result<SigningKey, KeyFileError> {
    use std::os::unix::fs::PermissionsExt;
    let missing = |e: std::io::Error| {
        fault(
            path,
            format!(
                "the key cannot be read ({e}): restore it from the backup; without it nothing can be signed"
            ),
        )
    };
    let mode = std::fs::metadata(path).map_err(missing)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(fault(path, format!("others can read this key (mode {:o}): chmod 600 it", mode & 0o777)));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(missing)?);
    let key = PrivateKey::from_openssh(text.as_bytes())
        .map_err(|e| fault(path, format!("not an OpenSSH private key: {e}")))?;
    let pair = key.key_data().ed25519().ok_or_else(|| fault(path, "not an unencrypted Ed25519 key"))?;
    Ok(SigningKey::from_bytes(&pair.private.to_bytes()))
}

/// Reads a key that was taken away, with its passphrase.
pub fn read_encrypted(path: &Path, passphrase: &str) -> Result<SigningKey, KeyFileError> {
    let text = std::fs::read(path).map(Zeroizing::new).map_err(|e| fault(path, e))?;
    let key = PrivateKey::from_openssh(text.as_slice())
        .map_err(|e| fault(path, format!("not an OpenSSH private key: {e}")))?;
    let key = if key.is_encrypted() {
        key.decrypt(passphrase).map_err(|_| fault(path, "the passphrase is wrong"))?
    } else {
        key
    };
    let pair = key.key_data().ed25519().ok_or_else(|| fault(path, "not an Ed25519 key"))?;
    Ok(SigningKey::from_bytes(&pair.private.to_bytes()))
}
