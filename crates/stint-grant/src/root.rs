//! The root document: who may sign what. Its keys are never online.

use std::collections::BTreeMap;

use crate::dsse::{self, Document, EnvelopeError, Signers, Verified};
use crate::ids::{FleetName, KeyId, Sha256Hex};
use crate::keys::PublicKey;
use crate::strict::document;
use crate::time::UnixTime;

document! {
    /// Who may sign what, for one fleet.
    pub struct Root {
        /// The document's format.
        pub format: u32,
        /// The fleet that it speaks for.
        pub fleet: FleetName,
        /// Rises by one with each root.
        pub version: u64,
        /// When it was made.
        pub issued_at: UnixTime,
        /// After this nothing that it vouches for is believed.
        pub expires_at: UnixTime,
        /// The epoch that bundles and pulses carry: a new one makes all older ones void and lowers floors and versions.
        pub epoch: u64,
        /// The keys of all roles, by id.
        pub keys: Keys,
        /// Signs the next root.
        pub root: Role,
        /// Signs the roster of reviewers.
        pub roster: Role,
        /// Signs bundles; online, in the broker.
        pub bundle: Role,
        /// Signs pulses; online, in the broker.
        pub pulse: Role,
        /// Signs SSH certificates of people; online, in the broker. It stands here so that a broker cannot exchange it.
        pub certificate: Role,
    }
}
document! {
    /// The keys of one role, and how many of them must sign.
    pub struct Role {
        /// The ids of its keys.
        pub keys: Vec<KeyId>,
        /// How many different ones must sign.
        pub threshold: u32,
    }
}

/// Public keys by id; no id twice, each id the hash of its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Keys(pub BTreeMap<KeyId, PublicKey>);

impl<'de> serde::Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;
        impl<'de> serde::de::Visitor<'de> for KeysVisitor {
            type Value = Keys;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of key ids and public keys")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                use serde::de::Error;
                let mut keys = BTreeMap::new();
                while let Some((id, key)) = map.next_entry::<KeyId, PublicKey>()? {
                    if key.id() != id {
                        return Err(A::Error::custom(format!("key {id} is not the hash of its key")));
                    }
                    if keys.insert(id, key).is_some() {
                        return Err(A::Error::custom("a key id stands twice"));
                    }
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(KeysVisitor)
    }
}

impl Document for Root {
    const PAYLOAD_TYPE: &'static str = "application/vnd.stint.root+json";
    const FORMAT: u32 = 1;
    fn format(&self) -> u32 {
        self.format
    }
}

/// Why a root was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// The envelope does not hold.
    #[error("root: {0}")]
    Envelope(#[from] EnvelopeError),
    /// Not the bytes whose hash was pinned at enrolment.
    #[error(
        "root: its hash is {found}, not the pinned {pinned}: enrol this host with a token of its own fleet"
    )]
    NotPinned {
        /// The hash of what was given.
        found: Sha256Hex,
        /// The pinned hash.
        pinned: Sha256Hex,
    },
    /// A role names a key that is not there, names one twice, or can never reach its threshold.
    #[error(
        "root: role {0} does not hold together: unknown or repeated keys, or a threshold that cannot be reached"
    )]
    BadRole(&'static str),
    /// A key that is online could sign what only a key kept offline may sign.
    #[error(
        "root: a key that signs bundles, pulses or certificates, which is online, may not be in role {0} as well"
    )]
    OnlineKey(&'static str),
    /// For another fleet.
    #[error("root: it is for fleet {found}, not for {wanted}")]
    OtherFleet {
        /// The fleet that it names.
        found: FleetName,
        /// This host's fleet.
        wanted: FleetName,
    },
    /// Not the next version.
    #[error(
        "root: version {found} does not follow version {current}: each root must be given, one after the other"
    )]
    NotNext {
        /// The version that it has.
        found: u64,
        /// The version that is trusted now.
        current: u64,
    },
    /// Its epoch goes back.
    #[error("root: its epoch {found} is behind the trusted epoch {current}")]
    EpochBack {
        /// The epoch that it has.
        found: u64,
        /// The epoch that is trusted now.
        current: u64,
    },
    /// Past its end.
    #[error("root: it ended at {0}: sign and publish a new root")]
    Expired(UnixTime),
}

impl Root {
    fn signers<'a>(&'a self, role: &'a Role) -> Signers<'a> {
        let keys = role.keys.iter().filter_map(|id| self.keys.0.get(id)).collect();
        Signers { keys, threshold: role.threshold as usize }
    }
    /// Who signs the next root.
    pub fn root_signers(&self) -> Signers<'_> {
        self.signers(&self.root)
    }
    /// Who signs rosters.
    pub fn roster_signers(&self) -> Signers<'_> {
        self.signers(&self.roster)
    }
    /// Who signs bundles.
    pub fn bundle_signers(&self) -> Signers<'_> {
        self.signers(&self.bundle)
    }
    /// Who signs pulses.
    pub fn pulse_signers(&self) -> Signers<'_> {
        self.signers(&self.pulse)
    }

    /// Who signs SSH certificates: sshd takes any one of them, so the threshold says nothing there.
    pub fn certificate_signers(&self) -> Signers<'_> {
        self.signers(&self.certificate)
    }

    /// Refuses roles that name unknown or repeated keys, or that can never be, or are always, satisfied; and online keys in the
    /// roles that are kept offline.
    pub fn check_roles(&self) -> Result<(), RootError> {
        let roles = [
            ("root", &self.root),
            ("roster", &self.roster),
            ("bundle", &self.bundle),
            ("pulse", &self.pulse),
            ("certificate", &self.certificate),
        ];
        for (name, role) in roles {
            let mut ids = role.keys.clone();
            ids.sort();
            ids.dedup();
            let whole = ids.len() == role.keys.len() && ids.iter().all(|id| self.keys.0.contains_key(id));
            // sshd knows no threshold: a role that asked for two signatures would promise what nobody checks.
            let whole = whole && (name != "certificate" || role.threshold == 1);
            if !whole || role.threshold == 0 || role.threshold as usize > ids.len() {
                return Err(RootError::BadRole(name));
            }
        }
        let by_itself = [&self.bundle, &self.pulse, &self.certificate];
        let online = |id: &KeyId| by_itself.iter().any(|role| role.keys.contains(id));
        match [("root", &self.root), ("roster", &self.roster)]
            .iter()
            .find(|(_, role)| role.keys.iter().any(online))
        {
            Some((name, _)) => Err(RootError::OnlineKey(name)),
            None => Ok(()),
        }
    }

    /// Refuses a key that cannot be used: a new root is taken once, and every key of it is looked at then.
    fn check_keys(&self) -> Result<(), RootError> {
        let fault = self.keys.0.values().find_map(|key| key.check().err());
        fault.map_or(Ok(()), |e| Err(EnvelopeError::Body(e.to_string()).into()))
    }

    /// Refuses a root past its end.
    pub fn check_time(&self, now: UnixTime) -> Result<(), RootError> {
        if now > self.expires_at { Err(RootError::Expired(self.expires_at)) } else { Ok(()) }
    }
}

/// The hash by which a root envelope is pinned: SHA-256 of the envelope's bytes.
pub fn pin_of(envelope: &[u8]) -> Sha256Hex {
    Sha256Hex::of(envelope)
}

/// Takes a root whose hash is pinned: the first one at enrolment, or the one that the warden verified and the gate names.
pub fn open_pinned(envelope: &[u8], pinned: &Sha256Hex) -> Result<Verified<Root>, RootError> {
    let found = pin_of(envelope);
    if found != *pinned {
        return Err(RootError::NotPinned { found, pinned: pinned.clone() });
    }
    let root: Verified<Root> = dsse::parse_pinned(envelope)?;
    root.check_roles()?;
    Ok(root)
}

/// Takes root N+1, given root N: signed by the threshold of both, the same fleet, the next version, no epoch behind.
pub fn rotate(current: &Verified<Root>, envelope: &[u8]) -> Result<Verified<Root>, RootError> {
    let claimed: Root = dsse::peek(envelope)?;
    claimed.check_keys()?;
    claimed.check_roles()?;
    let next: Verified<Root> = dsse::verify(envelope, &[current.root_signers(), claimed.root_signers()])?;
    if next.fleet != current.fleet {
        return Err(RootError::OtherFleet { found: next.fleet.clone(), wanted: current.fleet.clone() });
    }
    if Some(next.version) != current.version.checked_add(1) {
        return Err(RootError::NotNext { found: next.version, current: current.version });
    }
    if next.epoch < current.epoch {
        return Err(RootError::EpochBack { found: next.epoch, current: current.epoch });
    }
    Ok(next)
}
