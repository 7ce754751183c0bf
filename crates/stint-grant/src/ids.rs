//! Names, each a type of its own, each checked when it is made: what is not plain never gets into a document.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::Digest;

/// A name that is not allowed, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?} is not allowed: {rule}")]
pub struct NameError {
    /// What kind of name it was to be.
    pub kind: &'static str,
    /// The value that was given.
    pub value: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Makes the name if it keeps the rule.
            pub fn new(value: impl Into<String>) -> Result<Self, NameError> {
                let value = value.into();
                let check: fn(&str) -> bool = $check;
                if check(&value) { Ok(Self(value)) } else { Err(NameError { kind: $kind, value, rule: $rule }) }
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                Self::new(s)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn plain(s: &str, max: usize, extra: &[u8]) -> bool {
    let bytes = s.as_bytes();
    (1..=max).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || extra.contains(b))
}

fn account(s: &str) -> bool {
    let bytes = s.as_bytes();
    (1..=32).contains(&bytes.len())
        && (bytes[0].is_ascii_lowercase() || bytes[0] == b'_')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

fn hex(s: &str, len: usize) -> bool {
    s.len() == len && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

name!(
    /// A fleet: all hosts that one root speaks for.
    FleetName, "fleet", "1 to 63 of a-z 0-9 . -, beginning with a letter or digit", |s| plain(s, 63, b".-")
);
name!(
    /// A host, as the broker names it.
    HostName, "host", "1 to 253 of a-z 0-9 . -, beginning with a letter or digit", |s| plain(s, 253, b".-")
);
name!(
    /// A person, as the broker knows them.
    Principal, "principal", "1 to 64 of a-z 0-9 . _ @ + -, beginning with a letter or digit", |s| plain(s, 64, b"._@+-")
);
name!(
    /// A local account on a host (useradd's own rule, without a trailing `$`).
    UserName, "account", "1 to 32 of a-z 0-9 _ -, beginning with a letter or _", account
);
name!(
    /// A local group on a host.
    GroupName, "group", "1 to 32 of a-z 0-9 _ -, beginning with a letter or _", account
);
name!(
    /// An entitlement of the catalog.
    EntitlementName, "entitlement", "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit", |s| plain(s, 64, b"._-")
);
name!(
    /// A request, and the grant that comes of it: 12 lowercase base-32 characters. Safe as a file name and a unit name.
    GrantId, "grant id", "8 to 26 of a-z and 2-7", |s| (8..=26).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
);
name!(
    /// A lock.
    LockId, "lock id", "8 to 26 of a-z and 2-7", |s| (8..=26).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
);
name!(
    /// SHA-256 of something, in lowercase hexadecimal.
    Sha256Hex, "sha256", "64 lowercase hexadecimal digits", |s| hex(s, 64)
);
name!(
    /// The id of a key: SHA-256 of the raw public key, in lowercase hexadecimal.
    KeyId, "key id", "64 lowercase hexadecimal digits", |s| hex(s, 64)
);
name!(
    /// The fingerprint of an SSH key as `ssh-keygen -l` prints it: `SHA256:` and 43 characters of base64 without padding.
    Fingerprint, "key fingerprint", "SHA256: and 43 characters of base64", |s| s
        .strip_prefix("SHA256:")
        .is_some_and(|b| b.len() == 43 && b.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/')))
);

name!(
    /// A break-glass code of a grant: its first characters, which are no secret.
    CodeId, "code id", "4 of 0-9 and A-Z without I, L, O and U", |s| s.len() == 4
        && s.bytes().all(|b| crate::codes::ALPHABET.contains(&b))
);
name!(
    /// The salt of a code's hash.
    CodeSalt, "salt", "32 lowercase hexadecimal digits", |s| hex(s, 32)
);
name!(
    /// The hash of a code.
    CodeHash, "code hash", "64 lowercase hexadecimal digits", |s| hex(s, 64)
);

impl Sha256Hex {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(&sha2::Sha256::digest(bytes).into())
    }
    /// A digest that was made already.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        Self(data_encoding::HEXLOWER.encode(digest))
    }
}

impl KeyId {
    /// The id of a raw public key.
    pub fn of(key: &[u8; 32]) -> Self {
        Self(data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(key)))
    }
}
