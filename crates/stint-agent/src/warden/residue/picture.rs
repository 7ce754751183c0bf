//! What was seen: the data of a picture of the host, as it stands on disk until its grant's receipt is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stint_grant::ids::{GrantId, Sha256Hex, UserName};
use stint_grant::residue::{Kind, Residue};
use stint_grant::words::printable;

use super::accounts::Accounts;

/// A path as the kernel has it: any bytes. In JSON it is text where it can be, else base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RawPath(pub(crate) PathBuf);

/// Marks a path that is not text.
const ENCODED: &str = "base64:";

impl Serialize for RawPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::os::unix::ffi::OsStrExt;
        if let Some(text) = self.0.to_str().filter(|text| !text.starts_with(ENCODED)) {
            return serializer.serialize_str(text);
        }
        let bytes = BASE64.encode(self.0.as_os_str().as_bytes());
        serializer.serialize_str(&format!("{ENCODED}{bytes}"))
    }
}
impl<'de> Deserialize<'de> for RawPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use std::os::unix::ffi::OsStringExt;
        let text = String::deserialize(deserializer)?;
        let Some(encoded) = text.strip_prefix(ENCODED) else { return Ok(Self(text.into())) };
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(serde::de::Error::custom)?;
        Ok(Self(std::ffi::OsString::from_vec(bytes).into()))
    }
}

/// The bytes of a small file, kept so that it can be put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content(pub(crate) Vec<u8>);

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}
impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Where something is: a path below a folder that was checked, so that it is found again the same way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Spot {
    /// A home, or the root: whose path root alone decides.
    pub(crate) anchor: RawPath,
    /// Below it.
    pub(crate) below: RawPath,
}

impl Spot {
    /// The whole path.
    pub(crate) fn path(&self) -> PathBuf {
        self.anchor.0.join(&self.below.0)
    }
    /// The whole path, escaped.
    pub(crate) fn shown(&self) -> String {
        printable(&self.path().to_string_lossy())
    }
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// A file with content.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A socket.
    Socket,
    /// A pipe, a device, anything else.
    Other,
}

/// What the kernel says of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// What it is.
    pub(crate) form: Form,
    /// The file system.
    pub(crate) dev: u64,
    /// Which on it.
    pub(crate) ino: u64,
    /// The permission bits.
    pub(crate) mode: u32,
    /// The owner.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// How many names it has.
    pub(crate) nlink: u64,
    /// In bytes.
    pub(crate) size: u64,
    /// When its content changed last: seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// When anything about it changed last. Nobody sets this but with the clock.
    pub(crate) ctime: (i64, u32),
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What kind of residue it would be.
    pub(crate) kind: Kind,
    /// Where.
    pub(crate) spot: Spot,
    /// Whose own place it is in, where a user can write without root.
    pub(crate) of: Option<UserName>,
    /// What the kernel says.
    pub(crate) meta: Meta,
    /// The hash of its content, if it is small enough and no secret.
    pub(crate) digest: Option<Sha256Hex>,
    /// Where a link points.
    pub(crate) target: Option<RawPath>,
    /// Its content, if it may be put back.
    pub(crate) content: Option<Content>,
    /// Why its content could not be read.
    pub(crate) unread: Option<String>,
}

/// How far a grant's rights reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reach {
    /// The accounts that it acts as: its own, and those that its rules run as.
    pub(crate) accounts: BTreeSet<UserName>,
    /// It runs some command as root.
    pub(crate) some_root: bool,
    /// It amounts to root.
    pub(crate) full_root: bool,
}

/// A picture of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Picture {
    /// All files that were seen.
    pub(crate) entries: Vec<Entry>,
    /// Accounts, passwords and groups.
    pub(crate) accounts: Accounts,
    /// When one of their files changed last.
    pub(crate) accounts_at: i64,
    /// What lives in the kernel, by its kind, in words.
    pub(crate) kernel: BTreeMap<Kind, BTreeSet<String>>,
    /// The uids of the accounts that the grant acts as.
    pub(crate) uids: BTreeSet<u32>,
    /// What was not reached, and why, in words.
    pub(crate) missed: Vec<String>,
    /// The places that were not reached, or not whole: what is not in the picture may be there.
    pub(crate) unseen: Vec<RawPath>,
    /// How long it took.
    pub(crate) took_ms: u64,
}

/// A picture taken when a grant's first session opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// The file's format.
    pub(crate) format: u32,
    /// Whose window it is.
    pub(crate) grant: GrantId,
    /// The account.
    pub(crate) user: UserName,
    /// How far its rights reach.
    pub(crate) reach: Reach,
    /// When its window began, by the host's own rule of time.
    pub(crate) from: i64,
    /// The wall clock then, which files are dated by.
    pub(crate) wall: i64,
    /// The wall clock against the boot clock, to see that it was set.
    pub(crate) offset: i64,
    /// The boot.
    pub(crate) boot: String,
    /// What was to be looked at and undone then.
    pub(crate) rules: Residue,
    /// It was complete only after its session had gone on: what is dated after that may be the session's own work already.
    pub(crate) late: bool,
    /// The picture.
    pub(crate) picture: Picture,
}

/// The entries by their paths. Of two of one path the first counts: what `watch` names as well is none the less of its own kind.
pub(crate) fn by_path(entries: &[Entry]) -> BTreeMap<PathBuf, &Entry> {
    let mut map = BTreeMap::new();
    for entry in entries {
        map.entry(entry.spot.path()).or_insert(entry);
    }
    map
}

/// The last part of a path.
pub(crate) fn name_of(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}
