//! The gate: what the warden leaves for the module to decide on, and how it is opened.
//!
//! `/var/lib/stint/gate/current` names a generation folder and carries all that changes often: the newest pulse, the floor of time, and
//! the grants that ended. A generation folder `gen-N` holds `root.json`, `head.json` and one file for each account under `users/`.
//! `current` is replaced by rename; a generation is complete before `current` names it.

use crate::bundle::{self, BundleError, Grant, Head, HostIdentity, Pulse, PulseError, VerifiedShard};
use crate::dsse::Verified;
use crate::host_config::Ceiling;
use crate::ids::{GrantId, HostName, Sha256Hex, UserName};
use crate::keys::PublicKey;
use crate::root::{self, Root, RootError};
use crate::strict::document;
use crate::terms::CheckedTerms;
use crate::time::{ClockFault, ClockReading, Floor, UnixTime};
use crate::tree::Proof;
use crate::words::printable;

/// Where the gate is.
pub const GATE_DIR: &str = "/var/lib/stint/gate";
/// The largest `current`, in bytes.
pub const MAX_CURRENT_BYTES: usize = 256 * 1024;
/// The largest account file, in bytes: a shard and its header.
pub const MAX_USER_BYTES: usize = bundle::MAX_SHARD_BYTES + MAX_HEADER_BYTES;
/// Room for a verdict on each of the most grants that an account may have.
const MAX_HEADER_BYTES: usize = 256 * 1024;
/// The most characters that a header keeps of a cause.
const MAX_CAUSE: usize = 200;

document! {
    /// The file `current`.
    pub struct Current {
        /// The file's format.
        pub format: u32,
        /// The generation folder: `gen-N`.
        pub generation: u64,
        /// This host's name.
        pub host: HostName,
        /// This host's identity key.
        pub host_key: PublicKey,
        /// The hash of the root that the warden verified up from the pinned one.
        pub root: Sha256Hex,
        /// The digest of the head in that generation.
        pub head: Sha256Hex,
        /// The newest pulse's envelope.
        pub pulse: String,
        /// The floor of time.
        pub floor: Floor,
        /// Grants in the generation that ended since it was written.
        pub ended: Vec<GrantId>,
        /// Sealed grants that a break-glass code has opened.
        pub opened: Vec<Opening>,
    }
}
document! {
    /// The window of a sealed grant that a code has opened. Only the warden says so: no document that the broker signs has it.
    pub struct Opening {
        /// Which grant.
        pub grant: GrantId,
        /// Since when.
        pub from: UnixTime,
        /// Until when.
        pub until: UnixTime,
        /// In which boot. It is over with that boot: until the next signed time the next one has the wall clock only, which could be set
        /// back.
        pub boot_id: String,
        /// `CLOCK_BOOTTIME` in milliseconds at which it is over, however the wall clock was set.
        pub ends_ms: u64,
    }
}

impl Opening {
    /// Whether it lasts.
    pub fn is_open(&self, now: UnixTime, reading: &ClockReading) -> bool {
        self.from <= now
            && now < self.until
            && self.boot_id == reading.boot_id
            && reading.boottime_ms < self.ends_ms
    }
    /// Whether it is no longer than the terms and the host's own ceiling allow, and within the time in which the grant's codes are good.
    pub(crate) fn is_within(&self, grant: &Grant, terms: &CheckedTerms, ceiling: &Ceiling) -> bool {
        let longest = terms.max_window.min(ceiling.break_glass.max_window);
        self.grant == grant.id
            && self.from >= grant.from
            && self.until <= grant.until
            && self.until.since(self.from) <= longest
    }
}
document! {
    /// The first line of an account's file; after its newline come the shard's bytes.
    pub struct UserHeader {
        /// The head that it belongs to.
        pub head: Sha256Hex,
        /// The shard's place in the head's tree.
        pub proof: Proof,
        /// The grants that the warden accepted. What is not here allows nothing.
        pub accepted: Vec<GrantId>,
        /// The grants that the warden refused, and why.
        pub refused: Vec<RefusedGrant>,
    }
}
document! {
    /// A grant that the warden refused.
    pub struct RefusedGrant {
        /// Which.
        pub grant: GrantId,
        /// Why, in words.
        pub cause: String,
    }
}

/// The name of a generation's folder under [`GATE_DIR`].
pub fn generation_dir(generation: u64) -> String {
    format!("gen-{generation}")
}

/// The name of an account's file under `users/`: from a hash, because a name is no safe file name.
pub fn user_file(user: &str) -> String {
    Sha256Hex::of(user.as_bytes()).as_str()[..32].to_owned()
}

/// An account's file as it is written. A cause may quote what came from outside: it is cut short, so that one bad grant never makes
/// the file too large for the module to read.
pub fn user_file_bytes(header: &UserHeader, shard: &[u8]) -> Vec<u8> {
    let mut header = header.clone();
    for refused in &mut header.refused {
        refused.cause = printable(&refused.cause).chars().take(MAX_CAUSE).collect();
    }
    let mut out = serde_json::to_vec(&header).expect("a header is plain data");
    out.push(b'\n');
    out.extend_from_slice(shard);
    out
}

/// Why the gate cannot be used. Each denies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateFault {
    /// A file of the gate is malformed.
    #[error("the gate's {file} is malformed ({why}): run `stintd status` as root")]
    Malformed {
        /// Which file.
        file: &'static str,
        /// Why.
        why: String,
    },
    /// The files are of two generations.
    #[error("the gate's files do not belong together ({0}): run `stintd status` as root")]
    Torn(&'static str),
    /// The root does not hold.
    #[error("{0}")]
    Root(#[from] RootError),
    /// The head or shard does not hold.
    #[error("{0}")]
    Bundle(#[from] BundleError),
    /// The pulse does not hold.
    #[error("{0}")]
    Pulse(#[from] PulseError),
    /// It cannot be said what time it is.
    #[error("{0}")]
    Clock(#[from] ClockFault),
}

/// The bytes of the gate's files for one account, read by the caller.
#[derive(Clone, Copy, Debug)]
pub struct GateFiles<'a> {
    /// `gen-N/root.json`.
    pub root: &'a [u8],
    /// `gen-N/head.json`.
    pub head: &'a [u8],
    /// `gen-N/users/HASH`; `None` if the account has no file.
    pub user: Option<&'a [u8]>,
}

/// A gate that was verified, for one account, at one moment. The only thing that the decision takes.
#[derive(Clone, Debug)]
pub struct OpenGate {
    pub(crate) head: Verified<Head>,
    pub(crate) pulse: Verified<Pulse>,
    pub(crate) account: Option<Account>,
    pub(crate) ended: Vec<GrantId>,
    /// Those that last now.
    pub(crate) opened: Vec<Opening>,
    pub(crate) now: UnixTime,
}

/// What the gate holds for the account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) shard: VerifiedShard,
    pub(crate) header: UserHeader,
}

impl Current {
    /// The format that is written.
    pub const FORMAT: u32 = 1;

    /// Reads the file `current`.
    pub fn parse(bytes: &[u8]) -> Result<Self, GateFault> {
        let current: Self = serde_json::from_slice(bytes).map_err(|e| malformed("current", &e))?;
        if current.format != Self::FORMAT {
            return Err(malformed("current", &format!("format {} is not known here", current.format)));
        }
        Ok(current)
    }
}

impl OpenGate {
    /// Verifies the gate for one account: root by its hash, head, pulse, and the account's shard against the head.
    pub fn open(
        current: &Current,
        files: &GateFiles<'_>,
        user: &UserName,
        reading: &ClockReading,
    ) -> Result<Self, GateFault> {
        let now = current.floor.now(reading)?;
        let root: Verified<Root> = root::open_pinned(files.root, &current.root)?;
        root.check_time(now)?;
        let me = HostIdentity { host: current.host.clone(), key: current.host_key.clone() };
        let head = bundle::open_head_that_may_be_over(files.head, &root, &me, None, now)?;
        if *head.digest() != current.head {
            return Err(GateFault::Torn("head.json is not the one that `current` names"));
        }
        let pulse = bundle::open_pulse(current.pulse.as_bytes(), &root, &head)?;
        pulse.check_time(now)?;
        let account = files.user.map(|bytes| open_account(&head, bytes, user)).transpose()?;
        // What is sealed is for the time in which no new bundle comes. Nobody else gets anywhere with one that is over.
        let in_time = head.check_time(now);
        if in_time.is_err() && !account.as_ref().is_some_and(Account::has_sealed) {
            in_time?;
        }
        let opened = current.opened.iter().filter(|opening| opening.is_open(now, reading)).cloned().collect();
        Ok(Self { head, pulse, account, ended: current.ended.clone(), opened, now })
    }

    /// Why only sealed grants count: the bundle is over.
    pub(crate) fn over(&self) -> Option<BundleError> {
        self.head.check_time(self.now).err()
    }

    /// What time it was when the gate was opened, by the rule of [`crate::time`].
    pub fn now(&self) -> UnixTime {
        self.now
    }
}

impl Account {
    fn has_sealed(&self) -> bool {
        self.shard
            .grants
            .iter()
            .any(|grant| CheckedTerms::parse(&grant.terms).is_ok_and(|terms| terms.is_sealed()))
    }
}

fn open_account(head: &Verified<Head>, bytes: &[u8], user: &UserName) -> Result<Account, GateFault> {
    let end =
        bytes.iter().position(|b| *b == b'\n').ok_or_else(|| malformed("account file", &"no header line"))?;
    let (header, shard) = (&bytes[..end], &bytes[end + 1..]);
    let header: UserHeader = serde_json::from_slice(header).map_err(|e| malformed("account file", &e))?;
    if header.head != *head.digest() {
        return Err(GateFault::Torn("the account's file belongs to another head"));
    }
    let shard = bundle::open_shard(head, shard, &header.proof)?;
    if shard.user != *user {
        return Err(GateFault::Torn("the account's file is another account's"));
    }
    Ok(Account { shard, header })
}

fn malformed(file: &'static str, why: &dyn std::fmt::Display) -> GateFault {
    GateFault::Malformed { file, why: why.to_string() }
}
