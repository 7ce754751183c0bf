//! The identity key: signs checkpoints and acknowledgements. Only root reads it; it never leaves the host.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::files::{self, FileError};

/// Why there is no identity key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// The file cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// There is none.
    #[error("there is no identity key in {0}: enrol this host with `stintd enroll`")]
    Missing(String),
    /// It is not 32 bytes.
    #[error("the identity key in {0} is damaged: enrol this host anew with `stintd enroll`")]
    Damaged(String),
    /// Others may read it.
    #[error(
        "the identity key in {0} can be read by others (mode {1:o}): chmod 600 it, and enrol this host anew"
    )]
    Exposed(String, u32),
    /// The kernel gave no randomness.
    #[error("no randomness for a new identity key: {0}")]
    Random(String),
}

/// Makes a new identity key. One that is there already is not overwritten.
pub(crate) fn create(path: &Path) -> Result<SigningKey, KeyFileError> {
    if let Some(dir) = path.parent() {
        files::ensure_dir(dir, 0o700)?;
    }
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut()).map_err(|e| KeyFileError::Random(e.to_string()))?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(FileError::at("create", path))?;
    file.write_all(seed.as_ref()).and_then(|()| file.sync_all()).map_err(FileError::at("write", path))?;
    files::sync_parent(path)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Loads the identity key.
pub(crate) fn load(path: &Path) -> Result<SigningKey, KeyFileError> {
    let shown = path.display().to_string();
    let bytes = files::read(path, 32).map_err(|e| {
        if e.is_missing() { KeyFileError::Missing(shown.clone()) } else { KeyFileError::File(e) }
    })?;
    let bytes = Zeroizing::new(bytes.ok_or_else(|| KeyFileError::Missing(shown.clone()))?);
    let mode = std::fs::metadata(path).map_err(FileError::at("look at", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed(shown, mode));
    }
    let seed: Zeroizing<[u8; 32]> =
        Zeroizing::new(bytes.as_slice().try_into().map_err(|_| KeyFileError::Damaged(shown))?);
    Ok(SigningKey::from_bytes(&seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_loaded_as_it_was_made_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/identity.key");
        let made = create(&path).unwrap();
        assert_eq!(load(&path).unwrap().to_bytes(), made.to_bytes());
        create(&path).unwrap_err();
        assert_eq!(load(&path).unwrap().to_bytes(), made.to_bytes());
    }

    #[test]
    fn a_key_that_is_missing_short_or_readable_by_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        assert!(matches!(load(&path), Err(KeyFileError::Missing(_))));
        files::replace(&path, b"short", 0o600).unwrap();
        assert!(matches!(load(&path), Err(KeyFileError::Damaged(_))));
        files::replace(&path, &[7; 32], 0o600).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(&path), Err(KeyFileError::Exposed(..))));
    }
}
