//! The SSH keys of a login, from sshd's `SSH_AUTH_INFO_0`: one line for each method that succeeded, `publickey TYPE BLOB` for a key.

use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};
use stint_grant::ids::Fingerprint;

/// Fingerprints of the keys that were used. A certificate counts as the key that it certifies.
pub fn fingerprints(info: &str) -> Vec<Fingerprint> {
    info.lines().filter_map(fingerprint).collect()
}

fn fingerprint(line: &str) -> Option<Fingerprint> {
    let mut words = line.split_ascii_whitespace();
    let ("publickey", kind, blob) = (words.next()?, words.next()?, words.next()?) else { return None };
    let blob = BASE64.decode(blob.as_bytes()).ok()?;
    let (inner, rest) = field(&blob)?;
    if inner != kind.as_bytes() {
        return None;
    }
    let key = match kind.split_once("-cert-v0") {
        Some((plain, _)) => certified(plain, rest)?,
        None => blob.clone(),
    };
    Fingerprint::new(format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(&key)))).ok()
}

/// The blob of the key that a certificate certifies: the fields after the nonce, under the plain type's name.
fn certified(plain: &str, rest: &[u8]) -> Option<Vec<u8>> {
    let fields = match plain {
        "ssh-ed25519" => 1,
        "ssh-rsa" | "sk-ssh-ed25519" => 2,
        _ if plain.starts_with("ecdsa-sha2-nistp") => 2,
        "sk-ecdsa-sha2-nistp256" => 3,
        _ => return None,
    };
    // The hardware kinds carry a suffix in their plain name too.
    let name = if plain.starts_with("sk-") { format!("{plain}@openssh.com") } else { plain.to_owned() };
    let mut key = Vec::new();
    put(&mut key, name.as_bytes())?;
    let (_nonce, mut rest) = field(rest)?;
    for _ in 0..fields {
        let (value, after) = field(rest)?;
        put(&mut key, value)?;
        rest = after;
    }
    Some(key)
}

/// A field of SSH's wire format: four bytes of length, and the rest.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn put(out: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    out.extend_from_slice(&u32::try_from(value.len()).ok()?.to_be_bytes());
    out.extend_from_slice(value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    include!("../tests/support/ssh_keys.rs");

    #[test]
    fn the_fingerprint_is_the_one_that_ssh_keygen_prints() {
        let info = format!("publickey {KEY}\n");
        assert_eq!(fingerprints(&info), [Fingerprint::new(KEY_FINGERPRINT).unwrap()]);
    }

    #[test]
    fn certificates_count_as_the_keys_that_they_certify() {
        for (certificate, fingerprint) in CERTIFICATES {
            let info = format!("publickey {certificate}");
            assert_eq!(fingerprints(&info), [Fingerprint::new(*fingerprint).unwrap()], "{certificate}");
        }
    }

    #[test]
    fn other_methods_and_malformed_lines_give_no_key() {
        for line in [
            "password",
            "keyboard-interactive/pam",
            "publickey",
            "publickey ssh-ed25519",
            "publickey ssh-ed25519 !!!",
            "publickey ssh-ed25519 AAAA",
            "publickey ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA==",
            "hostbased ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==",
        ] {
            assert_eq!(fingerprints(line), [], "{line}");
        }
    }

    #[test]
    fn each_line_with_a_key_counts() {
        let info = format!("publickey {KEY}\npassword\npublickey {KEY}\n");
        assert_eq!(fingerprints(&info).len(), 2);
    }
}
