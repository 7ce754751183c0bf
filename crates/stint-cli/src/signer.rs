//! Signing with SSH keys: a reviewer's, from a file or through the agent, and the roster's.

use std::path::{Path, PathBuf};

use ssh_key::{Fingerprint, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use stint_grant::review::{self, NAMESPACE, SignedReview, Statement};

use crate::agent::{self, Agent};
use crate::exit::{Exit, Failure, Outcome};
use crate::prompt;
use crate::show::safe;

/// What signs a review.
pub(crate) enum Signer {
    /// A private key that was read and decrypted.
    Key(Box<PrivateKey>),
    /// A key that the agent holds.
    Agent(Agent, PublicKey),
}

/// The key that is used if none is named.
pub(crate) fn default_key() -> Outcome<PathBuf> {
    let home = std::env::var_os("HOME")
        .ok_or_else(|| Failure::usage("HOME is not set").next("name the key: --key FILE"))?;
    Ok(PathBuf::from(home).join(".ssh/id_ed25519"))
}

impl Signer {
    /// Takes the key in a file; a public key stands for the one that the agent holds.
    pub(crate) fn open(path: &Path, passphrase_file: Option<&Path>) -> Outcome<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::file(path, &e).next("name your Ed25519 SSH key: --key FILE"))?;
        if let Ok(public) = PublicKey::from_openssh(text.trim()) {
            only_ed25519(path, public.algorithm().as_str(), public.key_data().is_ed25519())?;
            return Ok(Self::Agent(Agent::from_environment()?, public));
        }
        private_key(path, &text, passphrase_file).map(|key| Self::Key(Box::new(key)))
    }

    /// The fingerprint, as `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::Key(key) => key.fingerprint(HashAlg::Sha256).to_string(),
            Self::Agent(_, public) => public.fingerprint(HashAlg::Sha256).to_string(),
        }
    }

    /// Signs a statement.
    pub(crate) fn sign(&self, statement: &Statement) -> Outcome<SignedReview> {
        let failed = |e: &dyn std::fmt::Display| {
            Failure::new(Exit::Refused, format!("the review cannot be signed: {e}"))
        };
        match self {
            Self::Key(key) => review::sign(statement, key).map_err(|e| failed(&e)),
            Self::Agent(agent, public) => {
                let text = statement.to_text();
                let data = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, text.as_bytes())
                    .map_err(|e| failed(&e))?;
                let signature = agent::sign(agent, public, &data)?;
                let armour = SshSig::new(public.key_data().clone(), NAMESPACE, HashAlg::Sha512, signature)
                    .and_then(|sig| sig.to_pem(LineEnding::LF))
                    .map_err(|e| failed(&e))?;
                Ok(SignedReview { statement: text, signature: armour })
            }
        }
    }
}

fn only_ed25519(path: &Path, algorithm: &str, is: bool) -> Outcome {
    if is {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{}: an {algorithm} key; reviews are signed with Ed25519 keys",
        path.display()
    ))
    .next("name an Ed25519 key with --key, or make one: ssh-keygen -t ed25519"))
}

/// An Ed25519 private key from its file, decrypted if it is encrypted.
pub(crate) fn private_key(path: &Path, text: &str, passphrase_file: Option<&Path>) -> Outcome<PrivateKey> {
    let key = PrivateKey::from_openssh(text.trim_start())
        .map_err(|e| Failure::usage(format!("{}: not an OpenSSH key: {e}", path.display())))?;
    only_ed25519(path, key.algorithm().as_str(), key.algorithm() == ssh_key::Algorithm::Ed25519)?;
    if !key.is_encrypted() {
        return Ok(key);
    }
    let question = format!("Passphrase of {}: ", path.display());
    let passphrase = prompt::secret(&question, passphrase_file, "--passphrase-file")?;
    key.decrypt(passphrase.as_bytes())
        .map_err(|_| Failure::usage(format!("{}: the passphrase is wrong", path.display())))
}

/// The fingerprint of a key as it stands in a roster.
pub(crate) fn fingerprint_of_line(line: &str) -> String {
    PublicKey::from_openssh(line).map_or_else(
        |_| format!("not a key: {}", safe(line)),
        |key| {
            let fingerprint: Fingerprint = key.fingerprint(HashAlg::Sha256);
            fingerprint.to_string()
        },
    )
}

#[cfg(test)]
mod tests;
