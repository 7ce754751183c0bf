//! The mark of a host's journal: up to where the broker holds it durably and without a gap; and that of a recording.
//!
//! A host deletes what the broker says that it holds, so a mark is signed like a pulse and names whose journal it is: the courier, which carries it, can
//! neither make one up nor bring another host's, nor that of an earlier enrolment. Whether it fits the host's own records is for the
//! journal to say.

use crate::bundle::HostIdentity;
use crate::dsse::{self, Document, EnvelopeError, Verified};
use crate::ids::{FleetName, HostName, Sha256Hex};
use crate::keys::PublicKey;
use crate::root::Root;
use crate::strict::document;

document! {
    /// What the broker holds of one host's journal.
    pub struct JournalMark {
        /// The document's format.
        pub format: u32,
        /// The fleet.
        pub fleet: FleetName,
        /// The host.
        pub host: HostName,
        /// The host's identity key: a journal belongs to one enrolment.
        pub host_key: PublicKey,
        /// The log's epoch.
        pub epoch: u64,
        /// How many records of that epoch are held, from 0 without a gap.
        pub size: u64,
        /// The hash of the last one; zeros if there is none.
        pub hash: Sha256Hex,
    }
}

impl Document for JournalMark {
    const PAYLOAD_TYPE: &'static str = "application/vnd.stint.journal-mark+json";
    const FORMAT: u32 = 1;
    fn format(&self) -> u32 {
        self.format
    }
}

document! {
    /// That the broker holds a recording of what a command printed, whole and durably. The host may delete its own by it.
    pub struct RecordingMark {
        /// The document's format.
        pub format: u32,
        /// The fleet.
        pub fleet: FleetName,
        /// The host.
        pub host: HostName,
        /// The host's identity key.
        pub host_key: PublicKey,
        /// The run that was recorded, as the journal names it.
        pub run: String,
        /// How long it is.
        pub bytes: u64,
        /// The SHA-256 of all of it.
        pub sha256: Sha256Hex,
    }
}

impl Document for RecordingMark {
    const PAYLOAD_TYPE: &'static str = "application/vnd.stint.recording-mark+json";
    const FORMAT: u32 = 1;
    fn format(&self) -> u32 {
        self.format
    }
}

/// Why a mark was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// Its envelope.
    #[error("mark: {0}")]
    Envelope(#[from] EnvelopeError),
    /// Another fleet's or another host's.
    #[error("mark: it is for host {host} of fleet {fleet}")]
    OtherHost {
        /// The fleet that it names.
        fleet: FleetName,
        /// The host that it names.
        host: HostName,
    },
    /// The same name with another identity key.
    #[error("mark: it is for another host key: an earlier enrolment, or another machine of this name")]
    OtherKey,
}

/// Verifies a mark for this host. The keys that sign pulses sign marks: both say how the broker stands, neither gives a right.
pub fn open(
    envelope: &[u8],
    root: &Verified<Root>,
    me: &HostIdentity,
) -> Result<Verified<JournalMark>, MarkError> {
    let mark: Verified<JournalMark> = dsse::verify(envelope, &[root.pulse_signers()])?;
    is_for((&mark.fleet, &mark.host, &mark.host_key), root, me)?;
    Ok(mark)
}

/// The same for the mark of a recording.
pub fn open_recording(
    envelope: &[u8],
    root: &Verified<Root>,
    me: &HostIdentity,
) -> Result<Verified<RecordingMark>, MarkError> {
    let mark: Verified<RecordingMark> = dsse::verify(envelope, &[root.pulse_signers()])?;
    is_for((&mark.fleet, &mark.host, &mark.host_key), root, me)?;
    Ok(mark)
}

fn is_for(
    (fleet, host, key): (&FleetName, &HostName, &PublicKey),
    root: &Root,
    me: &HostIdentity,
) -> Result<(), MarkError> {
    if *fleet != root.fleet || *host != me.host {
        return Err(MarkError::OtherHost { fleet: fleet.clone(), host: host.clone() });
    }
    if *key != me.key {
        return Err(MarkError::OtherKey);
    }
    Ok(())
}
