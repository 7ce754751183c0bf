//! C2SP signed notes: a text, an empty line, and lines of signatures (<https://c2sp.org/signed-note>).

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::Hash;

/// The signature type Ed25519 in key ids and verifier keys.
const ED25519: u8 = 0x01;
/// Far above a checkpoint with a dozen cosignatures.
const MAX_BYTES: usize = 65_535;
/// As many signatures as other verifiers take.
const MAX_SIGNATURES: usize = 100;

/// Why a note is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note is too large to be looked at.
    #[error("the note has {0} bytes; at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// It is not UTF-8, or has control characters.
    #[error("the note is not plain UTF-8 text without control characters")]
    NotText,
    /// It is not text, empty line, signatures.
    #[error("the note is not a text, an empty line and signature lines")]
    Malformed,
    /// More signatures than anybody makes.
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A signature line that is not "— name base64".
    #[error("signature line {0} of the note is not `— name base64`")]
    BadLine(usize),
    /// The key of this name did not sign.
    #[error("the note is not signed by the key {0}; give the key that belongs to this log")]
    NotSigned(String),
    /// The same key stands twice.
    #[error("the note carries two signatures of the key {0}")]
    SignedTwice(String),
    /// The signature does not belong to this text and key.
    #[error("the note's signature by the key {0} is wrong: the note was changed or is forged")]
    WrongSignature(String),
    /// A key name that no verifier would take.
    #[error("a key name is not empty and has no blanks, no plus sign and no control characters")]
    BadName,
}

/// The first four bytes of SHA-256(name || 0x0A || 0x01 || public key): a hint which key signed, no authority.
pub fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let hash = Hash::of_parts(&[name.as_bytes(), &[b'\n', ED25519], key.as_bytes()]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

/// The public key as other verifiers read it: `name+id+base64`.
pub fn verifier_key(name: &str, key: &VerifyingKey) -> String {
    let typed = [&[ED25519], key.as_bytes().as_slice()].concat();
    format!("{name}+{}+{}", HEXLOWER.encode(&key_id(name, key)), BASE64.encode(&typed))
}

/// Signs `text`, which ends in a newline, under the key name `name`.
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    if !is_name(name) {
        return Err(NoteError::BadName);
    }
    if !text.ends_with('\n') || !is_text(text) {
        return Err(NoteError::NotText);
    }
    let signature = key.sign(text.as_bytes());
    let blob = [key_id(name, &key.verifying_key()).as_slice(), &signature.to_bytes()].concat();
    Ok(format!("{text}\n— {name} {}\n", BASE64.encode(&blob)))
}

/// The text of the note, once the named key's signature over it is verified.
///
/// Signatures of other keys, such as a witness's, are passed over.
pub fn open<'a>(note: &'a [u8], name: &str, key: &VerifyingKey) -> Result<&'a str, NoteError> {
    if note.len() > MAX_BYTES {
        return Err(NoteError::TooLarge(note.len()));
    }
    let note = str::from_utf8(note).ok().filter(|note| is_text(note)).ok_or(NoteError::NotText)?;
    let (above, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    let text = &note[..=above.len()];
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    if signatures.split('\n').count() > MAX_SIGNATURES {
        return Err(NoteError::TooManySignatures);
    }

    let wanted = key_id(name, key);
    let mut found = None;
    for (i, line) in signatures.split('\n').enumerate() {
        let (signer, id, signature) = parse_line(line).ok_or(NoteError::BadLine(i + 1))?;
        if signer == name && id == wanted && found.replace(signature).is_some() {
            return Err(NoteError::SignedTwice(name.to_owned()));
        }
    }
    let signature = found.ok_or_else(|| NoteError::NotSigned(name.to_owned()))?;
    let wrong = || NoteError::WrongSignature(name.to_owned());
    let signature = Signature::from_slice(&signature).map_err(|_| wrong())?;
    // `verify_strict` also refuses keys of small order, under which anything would verify.
    key.verify_strict(text.as_bytes(), &signature).map_err(|_| wrong())?;
    Ok(text)
}

/// Whether other verifiers take this as a key name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

fn is_text(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n')
}

fn parse_line(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, blob) = line.strip_prefix("— ")?.split_once(' ')?;
    let blob = BASE64.decode(blob.as_bytes()).ok()?;
    let (id, signature) = blob.split_first_chunk::<4>()?;
    (is_name(name) && !signature.is_empty()).then(|| (name, *id, signature.to_vec()))
}

#[cfg(test)]
mod tests;
