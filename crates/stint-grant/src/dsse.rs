//! DSSE envelopes: verify first, then parse the very bytes that were verified.
//!
//! Stricter than the DSSE specification: standard base64 only, no unknown fields, no signature by an unknown key counts, and each key
//! counts once.

use std::collections::BTreeSet;
use std::ops::Deref;

use ed25519_dalek::{Signer, SigningKey};
use serde::de::DeserializeOwned;

use crate::ids::{KeyId, Sha256Hex};
use crate::keys::PublicKey;
use crate::strict::document;

/// The largest envelope that is looked at, in bytes.
pub const MAX_ENVELOPE_BYTES: usize = 4 * 1024 * 1024;
/// The most signatures that are looked at: each costs a pass over the payload, and who carries an envelope can add to it.
pub const MAX_SIGNATURES: usize = 32;

/// A kind of signed document.
pub trait Document: DeserializeOwned {
    /// The DSSE payload type: what keeps one kind of document from being taken for another.
    const PAYLOAD_TYPE: &'static str;
    /// The newest format number that this code reads and writes.
    const FORMAT: u32;
    /// The format number that the document says it has.
    fn format(&self) -> u32;
}

/// The envelope in DSSE's own spelling.
mod envelope {
    #![allow(non_snake_case)]
    use super::{EnvelopeSignature, document};
    document! {
        /// The envelope as it is written.
        pub struct Envelope {
            /// What kind of document the payload is.
            pub payloadType: String,
            /// The payload in base64.
            pub payload: String,
            /// The signatures over both.
            pub signatures: Vec<EnvelopeSignature>,
        }
    }
}
pub use envelope::Envelope;

document! {
    /// One signature in an envelope. The key id only finds the key; it proves nothing.
    pub struct EnvelopeSignature {
        /// Which key is said to have signed.
        pub keyid: KeyId,
        /// The signature in base64.
        pub sig: String,
    }
}

/// Why an envelope was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Larger than [`MAX_ENVELOPE_BYTES`].
    #[error("the envelope has {0} bytes, more than the {MAX_ENVELOPE_BYTES} that are allowed")]
    TooLarge(usize),
    /// Not an envelope.
    #[error("not a signed envelope: {0}")]
    Malformed(String),
    /// More than [`MAX_SIGNATURES`].
    #[error("the envelope has {0} signatures, more than the {MAX_SIGNATURES} that are looked at")]
    TooManySignatures(usize),
    /// Another kind of document than the one asked for.
    #[error("the document is a {found:?}, not a {wanted:?}")]
    WrongType {
        /// The type in the envelope.
        found: String,
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// Too few good signatures by keys of the role.
    #[error("{good} good signatures by keys that may sign this, {threshold} needed")]
    TooFewSignatures {
        /// How many keys of the role signed well.
        good: usize,
        /// How many the role needs.
        threshold: usize,
    },
    /// A format that this version does not know.
    #[error(
        "format {found} of this document is not known here (newest known: {newest}): update stint on this side"
    )]
    UnknownFormat {
        /// The format that the document says it has.
        found: u32,
        /// The newest that is known here.
        newest: u32,
    },
    /// Signed, but not a well-formed document.
    #[error("signed, but not well-formed: {0}")]
    Body(String),
}

/// A document whose signatures were verified. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    document: T,
    digest: Sha256Hex,
}

impl<T> Verified<T> {
    /// SHA-256 of the signed payload.
    pub fn digest(&self) -> &Sha256Hex {
        &self.digest
    }
    /// The document itself.
    pub fn into_inner(self) -> T {
        self.document
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.document
    }
}

/// The keys that may sign one kind of document, and how many of them must.
#[derive(Clone, Debug)]
pub struct Signers<'a> {
    /// The keys.
    pub keys: Vec<&'a PublicKey>,
    /// How many different ones must have signed; never 0.
    pub threshold: usize,
}

/// The bytes that are signed: DSSE's pre-authentication encoding.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// Signs a document's bytes by each key.
pub fn sign<T: Document + serde::Serialize>(document: &T, keys: &[&SigningKey]) -> Vec<u8> {
    let payload = serde_json::to_vec(document).expect("documents are plain data");
    sign_bytes(T::PAYLOAD_TYPE, &payload, keys)
}

/// Signs bytes under a payload type.
pub fn sign_bytes(payload_type: &str, payload: &[u8], keys: &[&SigningKey]) -> Vec<u8> {
    let message = pre_authentication_encoding(payload_type, payload);
    let envelope = Envelope {
        payloadType: payload_type.to_owned(),
        payload: data_encoding::BASE64.encode(payload),
        signatures: keys
            .iter()
            .map(|k| EnvelopeSignature {
                keyid: PublicKey::of(k).id(),
                sig: data_encoding::BASE64.encode(&k.sign(&message).to_bytes()),
            })
            .collect(),
    };
    serde_json::to_vec(&envelope).expect("an envelope is plain data")
}

/// An envelope that was taken apart, not verified.
struct Opened {
    payload: Vec<u8>,
    signatures: Vec<(KeyId, Vec<u8>)>,
}

fn open(bytes: &[u8], wanted: &'static str) -> Result<Opened, EnvelopeError> {
    if bytes.len() > MAX_ENVELOPE_BYTES {
        return Err(EnvelopeError::TooLarge(bytes.len()));
    }
    let malformed = |e: &dyn std::fmt::Display| EnvelopeError::Malformed(e.to_string());
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|e| malformed(&e))?;
    if envelope.payloadType != wanted {
        return Err(EnvelopeError::WrongType { found: envelope.payloadType, wanted });
    }
    if envelope.signatures.len() > MAX_SIGNATURES {
        return Err(EnvelopeError::TooManySignatures(envelope.signatures.len()));
    }
    let decode = |s: &str| data_encoding::BASE64.decode(s.as_bytes());
    let payload = decode(&envelope.payload).map_err(|e| malformed(&e))?;
    let signatures = envelope
        .signatures
        .into_iter()
        .map(|s| Ok((s.keyid, decode(&s.sig).map_err(|e| malformed(&e))?)))
        .collect::<Result<_, EnvelopeError>>()?;
    Ok(Opened { payload, signatures })
}

fn count_good(opened: &Opened, payload_type: &str, signers: &Signers<'_>) -> usize {
    let message = pre_authentication_encoding(payload_type, &opened.payload);
    let mut good = BTreeSet::new();
    for key in &signers.keys {
        let id = key.id();
        if opened.signatures.iter().any(|(keyid, sig)| *keyid == id && key.verifies(&message, sig)) {
            good.insert(id);
        }
    }
    good.len()
}

/// Verifies an envelope against each set of signers (a root must satisfy the old and the new one), then parses the verified bytes.
pub fn verify<T: Document>(bytes: &[u8], signers: &[Signers<'_>]) -> Result<Verified<T>, EnvelopeError> {
    let opened = open(bytes, T::PAYLOAD_TYPE)?;
    for set in signers {
        let threshold = set.threshold.max(1);
        let good = count_good(&opened, T::PAYLOAD_TYPE, set);
        if good < threshold {
            return Err(EnvelopeError::TooFewSignatures { good, threshold });
        }
    }
    if signers.is_empty() {
        return Err(EnvelopeError::TooFewSignatures { good: 0, threshold: 1 });
    }
    parse(&opened.payload)
}

/// Takes the payload of an envelope whose bytes are pinned by hash (the first root). The caller has compared the hash.
pub(crate) fn parse_pinned<T: Document>(bytes: &[u8]) -> Result<Verified<T>, EnvelopeError> {
    parse(&open(bytes, T::PAYLOAD_TYPE)?.payload)
}

/// Reads the payload without verifying anything: only to learn which keys a self-signed root names.
pub(crate) fn peek<T: Document>(bytes: &[u8]) -> Result<T, EnvelopeError> {
    Ok(parse::<T>(&open(bytes, T::PAYLOAD_TYPE)?.payload)?.into_inner())
}

fn parse<T: Document>(payload: &[u8]) -> Result<Verified<T>, EnvelopeError> {
    let document: T = serde_json::from_slice(payload).map_err(|e| EnvelopeError::Body(e.to_string()))?;
    if document.format() == 0 || document.format() > T::FORMAT {
        return Err(EnvelopeError::UnknownFormat { found: document.format(), newest: T::FORMAT });
    }
    Ok(Verified { document, digest: Sha256Hex::of(payload) })
}
