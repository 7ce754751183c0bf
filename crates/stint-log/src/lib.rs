//! The tamper-evident log: what a host writes down, and how anyone checks it later.
//!
//! A journal is a list of [records](record), one line of JSON each. Every record carries its sequence number and the
//! hash of the one before it. An RFC 6962 [tree] stands over all of them, and the host signs its root in a C2SP
//! [checkpoint] that verifiers other than ours read too. So whoever holds the host's public key can tell whether a
//! record was changed, dropped, swapped, doubled or cut off.
//!
//! The crate is pure: bytes, keys and times come in as arguments. It opens no file, reads no clock, draws no
//! randomness and has no `unsafe`.
//!
//! The one call to start with is [`chain::verify`]:
//!
//! ```
//! use ed25519_dalek::SigningKey;
//! use stint_log::chain::{self, Chain};
//! use stint_log::record::{Event, Mode};
//!
//! let identity = SigningKey::from_bytes(&[7; 32]); // the host's identity key
//! let boot = "0b3c7f6e-5a1d-4b7e-9a39-2f4d1c6a8e11";
//!
//! // The host appends, and signs what it has.
//! let mut journal = Chain::new("web-01", 0)?;
//! let first = journal.append(&Event::AgentStarted { version: "0.1.0".into(), mode: Mode::Enforce }, 1_795_444_800, boot)?;
//! let second = journal.append(&Event::AgentStopped { why: "reboot".into() }, 1_795_444_860, boot)?;
//! let checkpoint = journal.sign(&identity);
//!
//! // Anyone verifies, from the public key alone.
//! let records = [first.as_slice(), second.as_slice()];
//! let start = Chain::new("web-01", 0)?;
//! let report = chain::verify(start, records, [checkpoint.as_bytes()], &identity.verifying_key())?;
//! assert_eq!((report.records, report.unsigned), (2, 0));
//!
//! // A record that is cut off below a checkpoint is missed.
//! let start = Chain::new("web-01", 0)?;
//! let fault = chain::verify(start, [first.as_slice()], [checkpoint.as_bytes()], &identity.verifying_key());
//! assert_eq!(fault.unwrap_err(), chain::Fault::Truncated { records: 1, signed: 2 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod chain;
pub mod checkpoint;
mod hash;
pub mod high_water;
pub mod note;
pub mod record;
mod strict;
pub mod text;
pub mod tree;

pub use hash::{Hash, HashError};
