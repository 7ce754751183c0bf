//! The key of a login: made in memory for it, or the user's own.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, Certificate, LineEnding, PrivateKey, PublicKey};

use crate::exit::{Exit, Failure, Outcome};

/// A key that can be certified.
pub(super) enum Identity {
    /// Made for one login; it is never in a file.
    Made(Box<PrivateKey>),
    /// The user's own: its private half stays where it is, in hardware too.
    Own {
        /// The private key, or the handle of one in hardware.
        path: PathBuf,
        /// Its public half.
        public: PublicKey,
    },
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Refused, format!("the key for the login cannot be made: {error}"))
}

impl Identity {
    /// A new key.
    pub(super) fn new() -> Outcome<Self> {
        PrivateKey::random(&mut OsRng, Algorithm::Ed25519)
            .map(|key| Self::Made(Box::new(key)))
            .map_err(broken)
    }

    /// The key of a file, whose public half stands beside it.
    pub(super) fn of_file(path: &Path) -> Outcome<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".pub");
        let beside = PathBuf::from(beside);
        let text = std::fs::read_to_string(&beside).map_err(|e| Failure::file(&beside, &e))?;
        let public = PublicKey::from_openssh(text.trim())
            .map_err(|e| Failure::usage(format!("{}: not an OpenSSH public key: {e}", beside.display())))?;
        let path = std::path::absolute(path).map_err(|e| Failure::file(path, &e))?;
        Ok(Self::Own { path, public })
    }

    /// The public half.
    pub(super) fn public(&self) -> &PublicKey {
        match self {
            Self::Made(key) => key.public_key(),
            Self::Own { public, .. } => public,
        }
    }

    /// The public half as OpenSSH writes it, without the comment: it tells where somebody made it.
    pub(super) fn public_line(&self) -> Outcome<String> {
        PublicKey::from(self.public().key_data().clone()).to_openssh().map_err(broken)
    }

    /// Refuses a certificate of another key.
    pub(super) fn check(&self, certificate: &str) -> Outcome {
        let certificate = Certificate::from_openssh(certificate)
            .map_err(|e| Failure::unverified(format!("what the broker sent is no SSH certificate: {e}")))?;
        if certificate.public_key() == self.public().key_data() {
            return Ok(());
        }
        Err(Failure::unverified("the broker's certificate is for another key")
            .next("do not use it; tell an administrator of the broker"))
    }

    /// What ssh reads as the key.
    pub(super) fn for_ssh(&self) -> Outcome<ForSsh> {
        match self {
            Self::Made(key) => {
                let text = key.to_openssh(LineEnding::LF).map_err(broken)?;
                ForSsh::in_memory(text.as_bytes())
            }
            Self::Own { path, .. } => Ok(ForSsh::At(path.clone())),
        }
    }
}

/// Something that ssh reads by a path.
pub(super) enum ForSsh {
    /// Memory of this process, gone with it.
    Memory(File),
    /// A file of the user's.
    At(PathBuf),
}

impl ForSsh {
    /// Bytes that never reach a disk.
    pub(super) fn in_memory(bytes: &[u8]) -> Outcome<Self> {
        let made = memfd_create(c"stint", MFdFlags::MFD_CLOEXEC).map_err(broken)?;
        let mut file = File::from(made);
        // ssh refuses a key that others may read.
        file.set_permissions(Permissions::from_mode(0o600)).map_err(broken)?;
        file.write_all(bytes).map_err(broken)?;
        Ok(Self::Memory(file))
    }

    /// The path, for as long as this and this process live.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Memory(file) => format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into(),
            Self::At(path) => path.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_memory_is_read_by_its_path_and_by_nobody_else() {
        let identity = Identity::new().unwrap();
        let key = identity.for_ssh().unwrap();
        let path = key.path();
        let read = PrivateKey::from_openssh(std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read.public_key().key_data(), identity.public().key_data());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        drop(key);
        assert!(!path.exists());
    }

    #[test]
    fn two_logins_have_two_keys() {
        let [one, other] = std::array::from_fn(|_| Identity::new().unwrap().public_line().unwrap());
        assert_ne!(one, other);
    }

    #[test]
    fn an_own_key_is_known_by_its_public_half_and_its_comment_is_told_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        assert_eq!(Identity::of_file(&path).err().unwrap().exit, Exit::NotFound);
        let line = Identity::new().unwrap().public_line().unwrap();
        std::fs::write(folder.path().join("id.pub"), format!("{line} alice@laptop\n")).unwrap();
        let own = Identity::of_file(&path).unwrap();
        assert_eq!(own.public_line().unwrap(), line);
        assert_eq!(own.for_ssh().unwrap().path(), path);
    }

    #[test]
    fn what_is_no_certificate_of_this_key_is_refused() {
        let identity = Identity::new().unwrap();
        assert_eq!(identity.check("nonsense").unwrap_err().exit, Exit::Unverified);
        let authority = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).unwrap();
        let certify = |key: &Identity| {
            let key = key.public().key_data().clone();
            let mut builder =
                ssh_key::certificate::Builder::new_with_random_nonce(&mut OsRng, key, 0, 10).unwrap();
            builder.valid_principal("stint:x").unwrap();
            builder.sign(&authority).unwrap().to_openssh().unwrap()
        };
        identity.check(&certify(&identity)).unwrap();
        let others = certify(&Identity::new().unwrap());
        assert_eq!(identity.check(&others).unwrap_err().exit, Exit::Unverified);
    }
}
