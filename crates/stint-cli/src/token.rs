//! Where the short-lived token is kept: the kernel's keyring, or a file that only its owner reads.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use serde::{Deserialize, Serialize};
use stint_api::people::SignedIn;
use stint_grant::ids::Sha256Hex;
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure, Outcome};
use crate::profile::{self, Profile};

/// A place for the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreKind {
    /// The kernel's keyring of the user.
    Keyring,
    /// A file, mode 0600, under $XDG_RUNTIME_DIR or beside the profile.
    File,
}

/// The token as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    /// Sent as `Authorization: Bearer`.
    pub(crate) token: String,
    /// When it was taken, by this machine's clock (unix seconds).
    pub(crate) taken_at: i64,
    /// When it ends.
    pub(crate) expires_at: i64,
    /// When it can no longer be renewed.
    pub(crate) session_ends_at: i64,
    /// Whose it is.
    pub(crate) principal: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

impl Stored {
    pub(crate) fn new(signed_in: &SignedIn, now: i64) -> Self {
        Self {
            token: signed_in.token.clone(),
            taken_at: now,
            expires_at: signed_in.expires_at,
            session_ends_at: signed_in.session_ends_at,
            principal: signed_in.principal.clone(),
        }
    }
    /// Whether it has ended by this machine's clock. The broker's clock decides; this only says what is worth waiting for.
    pub(crate) fn is_over(&self, now: i64) -> bool {
        now >= self.expires_at.min(self.session_ends_at)
    }
    /// Whether a new one is asked for: half of its time is over, or five minutes are, for a laptop whose clock is behind the broker's.
    pub(crate) fn wants_renewal(&self, now: i64) -> bool {
        now - self.taken_at >= ((self.expires_at - self.taken_at) / 2).min(300)
    }
}

/// Where the token of one broker and one user is kept.
pub(crate) struct Store {
    chosen: Option<StoreKind>,
    description: String,
    file: PathBuf,
}

impl Store {
    pub(crate) fn of(profile: &Profile) -> Outcome<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_dir());
        let folder = match runtime {
            Some(runtime) => runtime.join("stint"),
            None => profile::config_dir()?,
        };
        let description = format!("stint:{}@{}", profile.user, profile.broker);
        let name = Sha256Hex::of(description.as_bytes());
        let file = folder.join(format!("token-{}", &name.as_str()[..16]));
        Ok(Self { chosen: profile.token_store, description, file })
    }

    /// Keeps a token. Says where: without a choice, the file only if there is no keyring.
    pub(crate) fn save(&self, stored: &Stored) -> Outcome<StoreKind> {
        let text = serde_json::to_vec(stored)
            .map_err(|e| Failure::new(Exit::Refused, format!("the token cannot be kept: {e}")))?;
        let text = Zeroizing::new(text);
        if self.chosen != Some(StoreKind::File) {
            match keyring_save(&self.description, &text, stored.session_ends_at - stored.taken_at) {
                Ok(()) => {
                    // An older token in the other place would be found first on another day.
                    let _ = std::fs::remove_file(&self.file);
                    return Ok(StoreKind::Keyring);
                }
                Err(e) if self.chosen == Some(StoreKind::Keyring) => return Err(no_keyring(e)),
                Err(_) => {}
            }
        }
        profile::write_private(&self.file, &text)?;
        Ok(StoreKind::File)
    }

    /// The kept token, and where it was. One that another version wrote is none: one signs in again.
    pub(crate) fn load(&self) -> Outcome<Option<(Stored, StoreKind)>> {
        let read = |text: &[u8]| serde_json::from_slice(text).ok();
        if self.chosen != Some(StoreKind::File) {
            match keyring_load(&self.description) {
                Ok(Some(text)) => return Ok(read(&text).map(|token| (token, StoreKind::Keyring))),
                Err(e) if self.chosen == Some(StoreKind::Keyring) => return Err(no_keyring(e)),
                Ok(None) | Err(_) => {}
            }
        }
        if self.chosen == Some(StoreKind::Keyring) {
            return Ok(None);
        }
        let text = file_load(&self.file)?;
        Ok(text.and_then(|text| read(&text)).map(|token| (token, StoreKind::File)))
    }

    /// Forgets the token, wherever it is.
    pub(crate) fn forget(&self) -> Outcome {
        if let Ok(key) = keyring().and_then(|ring| ring.search(&self.description)) {
            key.invalidate().map_err(no_keyring)?;
        }
        match std::fs::remove_file(&self.file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::file(&self.file, &e)),
            _ => Ok(()),
        }
    }
}

fn file_load(path: &Path) -> Outcome<Option<Zeroizing<Vec<u8>>>> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::file(path, &e)),
    };
    if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
        return Err(Failure::new(
            Exit::Refused,
            format!("{}: the token's file can be read by others, or is no file", path.display()),
        )
        .next("remove it, end the session and sign in again: stint login"));
    }
    std::fs::read(path).map(|text| Some(Zeroizing::new(text))).map_err(|e| Failure::file(path, &e))
}

fn no_keyring(error: KeyError) -> Failure {
    Failure::new(Exit::Refused, format!("the kernel's keyring cannot be used: {error}"))
        .next("keep the token in a file: stint login --token-store file")
}

/// The user's keyring. It is linked into this process's own first: where the session's keyring does not hold it (a service, a new
/// login by su), its keys could be found and not read.
fn keyring() -> Result<KeyRing, KeyError> {
    let process = KeyRing::from_special_id(KeyRingIdentifier::Process, true)?;
    process.link_keyring_id(KeyRingIdentifier::User)?;
    KeyRing::from_special_id(KeyRingIdentifier::User, false)
}

fn keyring_save(description: &str, text: &[u8], lifetime: i64) -> Result<(), KeyError> {
    let key = keyring()?.add_key(description, text)?;
    key.set_timeout(usize::try_from(lifetime).unwrap_or(0).max(1))
}

fn keyring_load(description: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
    match keyring()?.search(description) {
        Ok(key) => key.read_to_vec().map(|text| Some(Zeroizing::new(text))),
        Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Stored {
        Stored {
            token: "secret".into(),
            taken_at: 1000,
            expires_at: 1600,
            session_ends_at: 5000,
            principal: "alice".into(),
        }
    }

    fn store(folder: &Path) -> Store {
        Store {
            chosen: Some(StoreKind::File),
            description: "stint-test".into(),
            file: folder.join("token-test"),
        }
    }

    #[test]
    fn a_token_is_renewed_after_half_of_its_time() {
        let mut short = token();
        short.expires_at = 1100;
        assert!(!short.wants_renewal(1049));
        assert!(short.wants_renewal(1050));
    }

    #[test]
    fn a_clock_behind_the_brokers_does_not_put_the_renewal_off() {
        let mut far = token();
        far.expires_at = 9999;
        assert!(!far.wants_renewal(1299));
        assert!(far.wants_renewal(1300));
    }

    #[test]
    fn without_a_choice_the_token_is_kept_where_it_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let description = format!("stint-test-{}:{}", std::process::id(), folder.path().display());
        let store = Store { chosen: None, description, file: folder.path().join("token-test") };
        let kept_in = store.save(&token()).unwrap();
        let (loaded, found_in) = store.load().unwrap().unwrap();
        assert!(loaded == token() && found_in == kept_in);
        store.forget().unwrap();
        assert!(store.load().unwrap().is_none());
    }

    #[test]
    fn a_token_ends_with_its_session_too() {
        assert!(!token().is_over(1599));
        assert!(token().is_over(1600));
        let mut late = token();
        late.session_ends_at = 1500;
        assert!(late.is_over(1500));
    }

    #[test]
    fn a_file_keeps_the_token_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert!(store.load().unwrap().is_none());
        assert_eq!(store.save(&token()).unwrap(), StoreKind::File);
        let (loaded, kind) = store.load().unwrap().unwrap();
        assert!(loaded == token() && kind == StoreKind::File);
        store.forget().unwrap();
        assert!(store.load().unwrap().is_none());
    }

    #[test]
    fn a_token_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.save(&token()).unwrap();
        std::fs::set_permissions(&store.file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(store.load().err().unwrap().exit, Exit::Refused);
    }

    #[test]
    fn a_token_of_another_version_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        profile::write_private(&store.file, br#"{"token":"x"}"#).unwrap();
        assert!(store.load().unwrap().is_none());
    }
}
