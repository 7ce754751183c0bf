//! What enrolment pinned: whose host this is, which root it believes, and which machine it was.

use serde::{Deserialize, Serialize};
use stint_grant::ids::{FleetName, HostName, Sha256Hex};

use super::files::{self, FileError};
use super::paths::Paths;

/// `/var/lib/stint/warden/trust.json`: written once by `stintd enroll`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trust {
    /// The file's format.
    pub(crate) format: u32,
    /// The fleet.
    pub(crate) fleet: FleetName,
    /// This host's name.
    pub(crate) host: HostName,
    /// The hash of the root that the join token carried.
    pub(crate) root_pin: Sha256Hex,
    /// SHA-256 of the machine-id at enrolment: see [`machine`].
    pub(crate) machine: Sha256Hex,
}

/// Why the host's trust cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// The file cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// The host was never enrolled.
    #[error("this host is not enrolled (no {0}): run `stintd enroll`")]
    NotEnrolled(String),
    /// The file is damaged.
    #[error("{path} is damaged ({why}): enrol this host anew with `stintd enroll`")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// No machine-id.
    #[error("this host has no machine-id in /etc/machine-id: run `systemd-machine-id-setup`")]
    NoMachineId,
}

/// The format that is written.
pub(crate) const FORMAT: u32 = 1;

/// Writes what enrolment pinned. `stintd enroll` stages the same bytes together with the keys.
#[cfg(test)]
pub(crate) fn write(paths: &Paths, trust: &Trust) -> Result<(), TrustError> {
    files::ensure_dir(&paths.warden(), 0o700)?;
    let bytes = serde_json::to_vec_pretty(trust).expect("trust is plain data");
    Ok(files::replace(&paths.trust(), &bytes, 0o600)?)
}

/// Reads what enrolment pinned.
pub(crate) fn read(paths: &Paths) -> Result<Trust, TrustError> {
    let path = paths.trust();
    let shown = path.display().to_string();
    let bytes = files::read(&path, 64 * 1024)?.ok_or_else(|| TrustError::NotEnrolled(shown.clone()))?;
    let trust: Trust = serde_json::from_slice(&bytes)
        .map_err(|e| TrustError::Damaged { path: shown.clone(), why: e.to_string() })?;
    if trust.format != FORMAT {
        return Err(TrustError::Damaged {
            path: shown,
            why: format!("format {} is not known", trust.format),
        });
    }
    Ok(trust)
}

/// What the host's keys are bound to: SHA-256 of this machine's id.
pub(crate) fn machine() -> Result<Sha256Hex, TrustError> {
    let id = std::fs::read_to_string("/etc/machine-id").map_err(|_| TrustError::NoMachineId)?;
    let id = id.trim();
    if id.is_empty() { Err(TrustError::NoMachineId) } else { Ok(Sha256Hex::of(id.as_bytes())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_read_back_as_it_was_written_and_a_host_without_it_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        assert!(read(&paths).unwrap_err().to_string().contains("stintd enroll"));
        let trust = Trust {
            format: FORMAT,
            fleet: "demo".parse().unwrap(),
            host: "web-01".parse().unwrap(),
            root_pin: Sha256Hex::of(b"root"),
            machine: Sha256Hex::of(b"machine"),
        };
        write(&paths, &trust).unwrap();
        assert_eq!(read(&paths).unwrap(), trust);
    }

    #[test]
    fn damaged_trust_is_an_error_and_never_a_default() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        files::ensure_dir(&paths.warden(), 0o700).unwrap();
        for damaged in ["", "{}", "{\"format\":1", "null"] {
            files::replace(&paths.trust(), damaged.as_bytes(), 0o600).unwrap();
            assert!(matches!(read(&paths), Err(TrustError::Damaged { .. })), "{damaged}");
        }
    }
}
