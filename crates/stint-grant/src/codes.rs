//! Break-glass codes: one-time codes that open a sealed grant on its one host, with the broker gone.
//!
//! The requester makes the codes and keeps them; the terms hold a verifier for each, so reviewers sign them and nobody else can add one.
//! What is hashed names fleet, host and account: a verifier that is moved to another of them fits no code.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::ids::{CodeHash, CodeId, CodeSalt, FleetName, HostName, UserName};
use crate::strict::document;

/// The most codes of one grant.
pub const MAX_CODES: usize = 16;
/// The characters of a code: those of its id, then 80 bits that are secret.
pub const CODE_CHARS: usize = ID_CHARS + 16;
/// The characters of a code that say which one it is. They stand in the terms.
const ID_CHARS: usize = 4;
/// Characters that are shown together.
const GROUP: usize = 4;
/// Crockford's base 32: no I, L, O and U, so that a code survives being read out and written down.
pub const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The least and the most memory that a hash may take, in KiB. The most is what the warden can spare; the least keeps guessing slow.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 8 * 1024..=64 * 1024;
/// The fewest and the most passes over it.
const PASSES: std::ops::RangeInclusive<u32> = 1..=4;

document! {
    /// What the host needs to know a code when it is typed. Argon2id, one lane, 32 bytes.
    pub struct CodeVerifier {
        /// Which code it is: its first characters.
        pub id: CodeId,
        /// The salt.
        pub salt: CodeSalt,
        /// The hash.
        pub hash: CodeHash,
        /// The memory that the hash takes, in KiB.
        pub memory_kib: u32,
        /// The passes over it.
        pub passes: u32,
    }
}

impl CodeVerifier {
    /// What is wrong with it, if something is.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        if !MEMORY_KIB.contains(&self.memory_kib) {
            return Some("a code's hash must take between 8 and 64 MiB");
        }
        (!PASSES.contains(&self.passes)).then_some("a code's hash must take between 1 and 4 passes")
    }
}

/// Where a code is good, and for which account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodePlace {
    /// The fleet.
    pub fleet: FleetName,
    /// The host.
    pub host: HostName,
    /// The local account.
    pub user: UserName,
}

/// A code, in its one spelling. Wiped when it is dropped, and never printed but by [`Code::for_paper`].
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

/// What was typed is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is no break-glass code: a code has {CODE_CHARS} letters and digits")]
pub struct NoCode;

impl Code {
    /// Reads a code as people type it: small letters, dashes and blanks, O for 0, I and L for 1.
    pub fn typed(text: &str) -> Result<Self, NoCode> {
        let mut code = Zeroizing::new(String::with_capacity(CODE_CHARS));
        for c in text.chars().filter(|c| !matches!(c, '-' | ' ' | '\t')) {
            let c = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                c => c,
            };
            if code.len() == CODE_CHARS || !c.is_ascii() || !ALPHABET.contains(&(c as u8)) {
                return Err(NoCode);
            }
            code.push(c);
        }
        if code.len() == CODE_CHARS { Ok(Self(code)) } else { Err(NoCode) }
    }

    /// Makes a code of random bytes: five bits of each count.
    pub fn of_random(bytes: &[u8; CODE_CHARS]) -> Self {
        let code = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
        Self(Zeroizing::new(code.collect()))
    }

    /// Which code it is: no secret.
    pub fn id(&self) -> CodeId {
        CodeId::new(&self.0[..ID_CHARS]).expect("the first characters of a code are an id")
    }

    /// As it is written down, in groups. The one way to see it.
    pub fn for_paper(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(CODE_CHARS + CODE_CHARS / GROUP));
        for (n, c) in self.0.chars().enumerate() {
            if n > 0 && n % GROUP == 0 {
                text.push('-');
            }
            text.push(c);
        }
        text
    }

    /// What is hashed. Names hold no NUL, so no two places give the same.
    #[cfg(feature = "codes")]
    fn input(&self, place: &CodePlace) -> Zeroizing<Vec<u8>> {
        let parts: [&str; 5] = [
            "stint break-glass code v1",
            place.fleet.as_str(),
            place.host.as_str(),
            place.user.as_str(),
            self.0.as_str(),
        ];
        let mut input = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum()));
        for part in parts {
            input.extend_from_slice(part.as_bytes());
            input.push(0);
        }
        input
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::typed(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "codes")]
mod hashing {
    use argon2::{Algorithm, Argon2, Params, Version};
    use data_encoding::HEXLOWER;

    use super::{Code, CodePlace, CodeVerifier, Zeroizing};
    use crate::ids::{CodeHash, CodeSalt};

    /// What new codes are hashed with: 19 MiB and two passes, as is usual for Argon2id.
    const USUAL: (u32, u32) = (19_456, 2);
    const HASH_BYTES: usize = 32;

    impl CodeVerifier {
        /// The verifier of a new code.
        pub fn of(code: &Code, place: &CodePlace, salt: &[u8; 16]) -> Self {
            let salt = CodeSalt::new(HEXLOWER.encode(salt)).expect("16 bytes in hexadecimal");
            let (memory_kib, passes) = USUAL;
            let hash = hash(code, place, &salt, memory_kib, passes).expect("these parameters are good");
            Self { id: code.id(), salt, hash, memory_kib, passes }
        }

        /// Whether a code is the one, for this place. Slow on purpose; it takes [`Self::memory_kib`] of memory.
        pub fn fits(&self, code: &Code, place: &CodePlace) -> bool {
            // Whoever could time the comparison would learn of a hash, and that stands in the bundle.
            self.id == code.id()
                && self.mistake().is_none()
                && hash(code, place, &self.salt, self.memory_kib, self.passes)
                    .is_ok_and(|hash| hash == self.hash)
        }
    }

    fn hash(
        code: &Code,
        place: &CodePlace,
        salt: &CodeSalt,
        memory_kib: u32,
        passes: u32,
    ) -> Result<CodeHash, String> {
        let params = Params::new(memory_kib, passes, 1, Some(HASH_BYTES)).map_err(|e| e.to_string())?;
        let salt = HEXLOWER.decode(salt.as_str().as_bytes()).map_err(|e| e.to_string())?;
        let mut out = Zeroizing::new([0; HASH_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&code.input(place), &salt, out.as_mut_slice())
            .map_err(|e| e.to_string())?;
        CodeHash::new(HEXLOWER.encode(out.as_slice())).map_err(|e| e.to_string())
    }
}
