//! Ed25519 keys by id. The id is the hash of the key, so one key cannot stand under two ids.
//!
//! A key that stands in a document is checked for weakness when it is read, and for lying on the curve when it is used: a document
//! names several keys, and a login verifies with two of them. A key off the curve verifies nothing.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::KeyId;

/// An Ed25519 public key that is not weak.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A public key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes of base64 that lie on the curve.
    #[error("not an Ed25519 public key (32 bytes in base64)")]
    Malformed,
    /// A key of small order: anybody can make signatures that it accepts.
    #[error("a key of small order: it accepts anybody's signatures")]
    Weak,
}

impl PublicKey {
    /// From 32 raw bytes, which must lie on the curve.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let key = Self::not_weak(bytes)?;
        key.check()?;
        Ok(key)
    }
    /// From 32 raw bytes that are no encoding of a weak key; they may still lie off the curve.
    fn not_weak(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::Malformed)?;
        if is_small_order(&bytes) { Err(KeyError::Weak) } else { Ok(Self(bytes)) }
    }
    /// Refuses a key off the curve, and once more a weak one.
    pub fn check(&self) -> Result<(), KeyError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::Malformed)?;
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(()) }
    }
    /// The public half of a signing key.
    pub fn of(key: &ed25519_dalek::SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }
    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// As OpenSSH writes it, without a comment: `ssh-ed25519 AAAA...`.
    pub fn to_openssh(&self) -> String {
        const KIND: &str = "ssh-ed25519";
        let mut blob = Vec::with_capacity(51);
        for field in [KIND.as_bytes(), &self.0] {
            blob.extend_from_slice(&u32::try_from(field.len()).unwrap_or_default().to_be_bytes());
            blob.extend_from_slice(field);
        }
        format!("{KIND} {}", data_encoding::BASE64.encode(&blob))
    }
    /// SHA-256 of the raw key.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }
    /// Whether `signature` is this key's over `message`; strict, so that each key and message has few valid signatures.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        // Strict verification refuses a weak key as well.
        let key = VerifyingKey::from_bytes(&self.0);
        let signature = Signature::from_slice(signature);
        key.is_ok_and(|key| signature.is_ok_and(|s| key.verify_strict(message, &s).is_ok()))
    }
}

/// The y coordinates of the eight points of small order, little-endian, with the sign of x taken off: 0, 1, -1 and two of order 8; then
/// p and p + 1, under which 0 and 1 can be written as well.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    edge(0x01, 0x00, 0x00),
    edge(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    edge(0xed, 0xff, 0x7f),
    edge(0xee, 0xff, 0x7f),
];

const fn edge(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Whether bytes encode a point of small order, without finding the point.
fn is_small_order(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = data_encoding::BASE64
            .decode(text.as_bytes())
            .map_err(|_| serde::de::Error::custom(KeyError::Malformed))?;
        Self::not_weak(&bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each encoding of a point of small order: either sign.
    fn small_order() -> impl Iterator<Item = [u8; 32]> {
        SMALL_ORDER.into_iter().flat_map(|y| {
            let mut negative = y;
            negative[31] |= 0x80;
            [y, negative]
        })
    }

    fn read(bytes: &[u8]) -> Result<PublicKey, serde_json::Error> {
        serde_json::from_value(data_encoding::BASE64.encode(bytes).into())
    }

    /// Some bytes that no one chose, from a counter.
    fn arbitrary(n: u32) -> [u8; 32] {
        let text = crate::ids::Sha256Hex::of(&n.to_be_bytes());
        data_encoding::HEXLOWER.decode(text.as_str().as_bytes()).unwrap().try_into().unwrap()
    }

    #[test]
    fn each_encoding_in_the_list_is_a_weak_key() {
        for bytes in small_order() {
            assert!(VerifyingKey::from_bytes(&bytes).unwrap().is_weak(), "{bytes:02x?}");
        }
    }

    /// The list is whole: eight points have five y among them, and only y below 19 can be written in a second way.
    #[test]
    fn a_key_in_a_document_is_refused_as_weak_exactly_if_it_is() {
        let p = |low: u8| edge(low, 0xff, 0x7f);
        let small = (0..=255).map(|low| edge(low, 0, 0));
        let near_p = (0..=255).map(p);
        let flipped = small_order().flat_map(|bytes| {
            (0..256).map(move |bit| {
                let mut other = bytes;
                other[bit / 8] ^= 1 << (bit % 8);
                other
            })
        });
        let all = small.chain(near_p).chain(flipped).chain((0..2000).map(arbitrary)).chain(small_order());
        for bytes in all.flat_map(|bytes| {
            let mut other = bytes;
            other[31] ^= 0x80;
            [bytes, other]
        }) {
            let weak = VerifyingKey::from_bytes(&bytes).is_ok_and(|key| key.is_weak());
            assert_eq!(read(&bytes).is_err(), weak, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_key_off_the_curve_is_refused_where_keys_are_taken_in_and_verifies_nothing() {
        let off = (0..100).map(arbitrary).find(|bytes| VerifyingKey::from_bytes(bytes).is_err()).unwrap();
        assert_eq!(PublicKey::from_bytes(&off), Err(KeyError::Malformed));
        let key = read(&off).unwrap();
        assert_eq!(key.check(), Err(KeyError::Malformed));
        assert!(!key.verifies(b"", &[0; 64]));
        // A neutral R and s = 0: what a weak key would accept.
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!key.verifies(b"", &signature));
    }

    #[test]
    fn a_key_is_written_as_it_was_read() {
        let key = PublicKey::of(&ed25519_dalek::SigningKey::from_bytes(&[7; 32]));
        assert_eq!(read(key.as_bytes()).unwrap(), key);
        assert_eq!(
            serde_json::to_value(&key).unwrap(),
            serde_json::Value::from(data_encoding::BASE64.encode(key.as_bytes()))
        );
    }
}
