//! What a certificate says. Pure: time, randomness and the caller's address come in.

use std::net::IpAddr;

use ed25519_dalek::SigningKey;
use ipnet::IpNet;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::KeyData;
use ssh_key::{Certificate, HashAlg, PrivateKey, PublicKey};
use stint_grant::ids::{Fingerprint, HostName};
use stint_grant::rights::LoginRight;
use stint_grant::rights::login::{Forwarding, certificate_principal};
use stint_grant::terms::CheckedTerms;
use stint_grant::time::{Seconds, UnixTime};
use zeroize::Zeroizing;

/// Clocks differ. A host whose clock is further behind refuses the certificate.
const BACKDATED: Seconds = Seconds(60);
/// The longest public key that is read.
const MAX_KEY: usize = 4096;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The terms of the grant.
    pub terms: &'a CheckedTerms,
    /// When its window ends.
    pub until: UnixTime,
    /// On which host.
    pub host: &'a HostName,
    /// The key that is to be certified.
    pub key: &'a PublicKey,
    /// Where the caller is, if certificates are bound to that.
    pub caller: Option<IpAddr>,
}

/// What the broker adds.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Now.
    pub now: UnixTime,
    /// How long a certificate holds at most.
    pub life: Seconds,
    /// Its number.
    pub serial: u64,
    /// What makes its signature unpredictable.
    pub nonce: [u8; 32],
}

/// A certificate, and what it says.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// From where it holds; anywhere if empty.
    pub origins: Vec<IpNet>,
    /// Until when.
    pub until: UnixTime,
    /// The fingerprint of its key.
    pub key: String,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The grant has no login by sshd.
    #[error("the grant allows no login by sshd")]
    NoLogin,
    /// Another host.
    #[error("the grant is not for host {0}")]
    OtherHost(HostName),
    /// What was sent is no key, or one of a kind that is not certified.
    #[error("{0}")]
    Key(String),
    /// The terms name keys, and this is none of them.
    #[error("the grant is bound to other SSH keys than {0}")]
    OtherKey(String),
    /// The certificate could not be made.
    #[error("the certificate cannot be made: {0}")]
    Failed(String),
}

impl From<ssh_key::Error> for IssueError {
    fn from(error: ssh_key::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Reads a public key. Keys that OpenSSH has long called weak are not certified.
pub fn read_key(text: &str) -> Result<PublicKey, IssueError> {
    let wrong = |message: String| IssueError::Key(message);
    if text.len() > MAX_KEY {
        return Err(wrong(format!("the public key is longer than {MAX_KEY} bytes")));
    }
    let key = PublicKey::from_openssh(text).map_err(|e| wrong(format!("not an OpenSSH public key: {e}")))?;
    match key.key_data() {
        KeyData::Ed25519(_) | KeyData::SkEd25519(_) => Ok(key),
        _ => Err(wrong(format!("a key of type {}: only Ed25519 keys are certified", key.algorithm()))),
    }
}

/// Makes a certificate.
pub fn issue(authority: &SigningKey, wanted: &Wanted<'_>, at: &Circumstances) -> Result<Issued, IssueError> {
    let terms = wanted.terms;
    let login = terms.rights.login.as_ref().filter(|login| login.covers_service("sshd"));
    let login = login.ok_or(IssueError::NoLogin)?;
    if !terms.hosts.contains(wanted.host) {
        return Err(IssueError::OtherHost(wanted.host.clone()));
    }
    let fingerprint = wanted.key.fingerprint(HashAlg::Sha256).to_string();
    let is_named = |named: &Fingerprint| named.as_str() == fingerprint;
    if !terms.credentials.is_empty() && !terms.credentials.iter().any(is_named) {
        return Err(IssueError::OtherKey(fingerprint));
    }
    let until = wanted.until.min(at.now.plus(at.life));
    let origins = origins(login, wanted.caller);

    let seconds = |time: UnixTime| time.0.max(0).unsigned_abs();
    let from = UnixTime(at.now.0.saturating_sub_unsigned(BACKDATED.0));
    let mut builder =
        Builder::new(at.nonce.to_vec(), wanted.key.key_data().clone(), seconds(from), seconds(until))?;
    builder.serial(at.serial)?.cert_type(CertType::User)?;
    builder.key_id(format!("stint {} {}", terms.request, terms.principal))?;
    builder.valid_principal(certificate_principal(&terms.request, wanted.host))?;
    if !origins.is_empty() {
        let list: Vec<_> = origins.iter().map(ToString::to_string).collect();
        builder.critical_option("source-address", list.join(","))?;
    }
    for extension in extensions(login.forwarding) {
        builder.extension(extension, "")?;
    }
    let pair = Ed25519Keypair::from_seed(&Zeroizing::new(authority.to_bytes()));
    let authority = PrivateKey::new(KeypairData::Ed25519(pair), "")?;
    Ok(Issued { certificate: builder.sign(&authority)?, origins, until, key: fingerprint })
}

/// Where the caller is, if the grant allows it from there; else from where the grant allows it: people may reach hosts on another way.
fn origins(login: &LoginRight, caller: Option<IpAddr>) -> Vec<IpNet> {
    match caller.filter(|_| login.covers_origin(caller)) {
        Some(address) => vec![IpNet::from(address)],
        None => login.origins.clone(),
    }
}

/// A terminal, and what the terms say. `~/.ssh/rc` is not among them: nothing needs it.
fn extensions(forwarding: Forwarding) -> Vec<&'static str> {
    let Forwarding { port, agent, x11 } = forwarding;
    [
        (true, "permit-pty"),
        (port, "permit-port-forwarding"),
        (agent, "permit-agent-forwarding"),
        (x11, "permit-X11-forwarding"),
    ]
    .into_iter()
    .filter_map(|(on, name)| on.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests;
