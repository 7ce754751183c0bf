//! Randomness, from the kernel.

use sha2::Digest;
use zeroize::Zeroizing;

/// `N` random bytes.
///
/// # Panics
///
/// If the kernel gives no randomness: nothing here can go on without.
pub fn bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).expect("the kernel gives randomness");
    bytes
}

/// An id of 12 characters of a-z and 2-7: 60 bits.
pub fn id() -> String {
    let mut text = data_encoding::BASE32_NOPAD.encode(bytes::<8>().as_slice()).to_ascii_lowercase();
    text.truncate(12);
    text
}

/// A secret of 256 bits as base64url.
pub fn secret() -> Zeroizing<String> {
    Zeroizing::new(data_encoding::BASE64URL_NOPAD.encode(bytes::<32>().as_slice()))
}

/// A password that a person can copy: 20 characters of a-z and 2-7 in groups, 100 bits.
pub fn password() -> Zeroizing<String> {
    let text = data_encoding::BASE32_NOPAD.encode(bytes::<13>().as_slice()).to_ascii_lowercase();
    let groups: Vec<&str> = (0..4).map(|i| &text[i * 5..i * 5 + 5]).collect();
    Zeroizing::new(groups.join("-"))
}

/// What is stored of a secret: its SHA-256 in hexadecimal.
pub fn hash_of(secret: &str) -> String {
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(secret.as_bytes()))
}
