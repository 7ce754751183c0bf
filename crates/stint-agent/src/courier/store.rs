//! The courier's folder: its key and certificate in one file (so that both change at once), the broker's CA, and where the broker is.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;
use serde::{Deserialize, Serialize};
use stint_api::tls::TlsError;
use stint_grant::ids::{FleetName, HostName, Sha256Hex};
use stint_grant::keys::PublicKey;

/// Where the folder is.
pub(crate) const FOLDER: &str = "/var/lib/stint/courier";
/// The key and, before it, the certificate (PEM).
pub(crate) const TRANSPORT: &str = "transport.pem";
/// The broker's CA (PEM).
pub(crate) const CA: &str = "ca.pem";
/// [`CourierConfig`].
pub(crate) const CONFIG: &str = "courier.json";
/// The largest of these files, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// `courier.json`: written at enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CourierConfig {
    /// The broker's URL, without a path.
    pub(crate) broker: String,
    /// The fleet.
    pub(crate) fleet: FleetName,
    /// This host's name.
    pub(crate) host: HostName,
    /// SHA-256 of this host's machine-id: a copied disk shows.
    pub(crate) machine: Sha256Hex,
    /// The identity key that was enrolled with this certificate.
    pub(crate) identity_key: PublicKey,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file cannot be read or written.
    #[error("{path}: {source}: if this host is not enrolled, run `stintd enroll` as root")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} is not as `stintd enroll` wrote it ({cause}): enrol again with `stintd enroll --again`")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The certificates do not fit.
    #[error("the courier's certificates: {0}: enrol again with `stintd enroll --again`")]
    Tls(#[from] TlsError),
}

/// The folder, read.
#[derive(Clone)]
pub(crate) struct Store {
    folder: PathBuf,
    /// `courier.json`.
    pub(crate) config: CourierConfig,
    /// The broker's CA (PEM).
    pub(crate) ca: String,
    /// Certificate and key (PEM); no `Debug` on purpose.
    pub(crate) transport: String,
}

impl Store {
    /// Reads the folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(CONFIG);
        let config = serde_json::from_str(&read(&path)?)
            .map_err(|e| StoreError::Malformed { path, cause: e.to_string() })?;
        let ca = read(&folder.join(CA))?;
        let transport = read(&folder.join(TRANSPORT))?;
        Ok(Self { folder: folder.to_owned(), config, ca, transport })
    }

    /// Puts a new certificate and key in the place of the old ones, both or neither.
    pub(crate) fn replace_transport(&mut self, transport: String) -> Result<(), StoreError> {
        let path = self.folder.join(TRANSPORT);
        let new = self.folder.join(".transport.pem.new");
        write_new(&new, transport.as_bytes())
            .and_then(|()| std::fs::rename(&new, &path))
            .and_then(|()| std::fs::File::open(&self.folder)?.sync_all())
            .map_err(|source| StoreError::File { path, source })?;
        self.transport = transport;
        Ok(())
    }
}

/// Certificate and key in one text.
pub(crate) fn transport_pem(certificate: &str, key: &str) -> String {
    format!("{}\n{}\n", certificate.trim_end(), key.trim_end())
}

fn read(path: &Path) -> Result<String, StoreError> {
    let file = |source| StoreError::File { path: path.to_owned(), source };
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(file)?;
    let mut text = String::new();
    opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(file)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(StoreError::Malformed { path: path.to_owned(), cause: "it is too large".to_owned() });
    }
    Ok(text)
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
