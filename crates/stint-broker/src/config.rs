//! `broker.toml`, and TOML files in general: what is wrong is said with file and line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use stint_grant::host_config::parse_duration;
use stint_grant::ids::FleetName;
use stint_grant::time::Seconds;

/// The longest window that this release grants, whatever the catalog says.
pub const LONGEST_WINDOW: Seconds = Seconds(7 * 24 * 3600);

/// All of `broker.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The fleet.
    pub fleet: FleetName,
    /// Where the broker listens.
    pub listen: SocketAddr,
    /// The names and addresses by which hosts and people reach it: they stand in its certificate.
    pub names: Vec<String>,
    /// How often each connected host gets a pulse.
    #[serde(default = "default_pulse", deserialize_with = "length")]
    pub pulse_interval: Seconds,
    /// How long a bundle is believed at most. Freshness is the pulse's matter; this is the last line.
    #[serde(default = "default_validity", deserialize_with = "length")]
    pub bundle_validity: Seconds,
    /// The longest window that an entitlement of the catalog may have, extensions included.
    #[serde(default = "default_window", deserialize_with = "length")]
    pub max_window: Seconds,
    /// How many connections may be open at once. Half of them are kept for hosts.
    #[serde(default = "default_connections")]
    pub max_connections: u32,
    /// How often a connection is asked whether it lives, and how long it may take to answer.
    #[serde(default = "default_keep_alive", deserialize_with = "length")]
    pub keep_alive: Seconds,
    /// How long a host's certificate holds. Hosts renew by themselves when two thirds of it are over; one that was away for longer than
    /// the rest must be enrolled anew.
    #[serde(default = "default_certificate", deserialize_with = "length")]
    pub host_certificate_life: Seconds,
    /// How long an SSH certificate of a person holds at most. It is asked for at the login, and a session outlives it.
    #[serde(default = "default_ssh_certificate", deserialize_with = "length")]
    pub ssh_certificate_life: Seconds,
    /// Whether an SSH certificate holds only from the address from which it was asked for. To be switched off only where hosts see people
    /// under other addresses than the broker does.
    #[serde(default = "default_bound")]
    pub ssh_certificate_bound_to_address: bool,
    /// How much room recordings may take, in MiB. When it is full none is taken any more, and nothing is deleted: hosts keep theirs.
    #[serde(default = "default_recordings")]
    pub recordings_quota_mib: u64,
}

fn default_recordings() -> u64 {
    10 * 1024
}

fn default_ssh_certificate() -> Seconds {
    Seconds(5 * 60)
}
fn default_bound() -> bool {
    true
}

/// Once a minute: it wakes every host of the fleet.
fn default_pulse() -> Seconds {
    Seconds(60)
}
fn default_validity() -> Seconds {
    Seconds(7 * 24 * 3600)
}
fn default_window() -> Seconds {
    Seconds(24 * 3600)
}

fn default_connections() -> u32 {
    8192
}
fn default_certificate() -> Seconds {
    Seconds(7 * 24 * 3600)
}
/// Seldom: it wakes every host as well, and couriers give up a silent stream by themselves.
fn default_keep_alive() -> Seconds {
    Seconds(120)
}

/// `"20s"`, `"1h 30m"`.
pub(crate) fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", path.display(), line.map(|l| format!(", line {l}")).unwrap_or_default())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, and what to write.
    pub message: String,
}

impl FileError {
    /// Without a line.
    pub fn new(path: &Path, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, message: message.into() }
    }
    /// At a place in the text.
    pub fn at(path: &Path, text: &str, offset: usize, message: impl Into<String>) -> Self {
        let line = text[..offset.min(text.len())].matches('\n').count() + 1;
        Self { path: path.to_owned(), line: Some(line), message: message.into() }
    }
}

/// Reads a TOML text that came from `path`.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|e| match e.span() {
        Some(span) => FileError::at(path, text, span.start, e.message()),
        None => FileError::new(path, e.message()),
    })
}

impl Config {
    /// Reads `broker.toml`.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            FileError::new(path, format!("cannot be read: {e}: `stint-broker init` makes it"))
        })?;
        let config: Self = parse(path, &text)?;
        config.check(path, &text)?;
        Ok(config)
    }

    fn check(&self, path: &Path, text: &str) -> Result<(), FileError> {
        let wrong = |field: &str, message: &str| {
            // The line that sets it, not a comment that names it.
            let at = text
                .match_indices(field)
                .map(|(at, _)| at)
                .find(|at| text[..*at].ends_with('\n') || *at == 0);
            FileError::at(path, text, at.unwrap_or(0), format!("{field}: {message}"))
        };
        if self.names.is_empty() {
            return Err(wrong("names", "name at least one, such as \"broker.example.org\""));
        }
        if self.pulse_interval > Seconds(300) {
            return Err(wrong("pulse_interval", "at most 5m: hosts stop believing old news soon after"));
        }
        if self.bundle_validity < Seconds(3600) {
            return Err(wrong("bundle_validity", "at least 1h"));
        }
        if self.max_window > LONGEST_WINDOW {
            return Err(wrong("max_window", "at most 7d"));
        }
        if !(64..=1_000_000).contains(&self.max_connections) {
            return Err(wrong(
                "max_connections",
                "64 to 1000000, and no more than the unit's LimitNOFILE leaves room for",
            ));
        }
        if !(Seconds(1)..=Seconds(300)).contains(&self.keep_alive) {
            return Err(wrong("keep_alive", "1s to 5m"));
        }
        if self.recordings_quota_mib > 1 << 30 {
            return Err(wrong("recordings_quota_mib", "at most 1073741824 (1 PiB)"));
        }
        if !(Seconds(30)..=Seconds(3600)).contains(&self.ssh_certificate_life) {
            return Err(wrong("ssh_certificate_life", "30s to 1h: it need only last for a login"));
        }
        if !(Seconds(30)..=Seconds(90 * 24 * 3600)).contains(&self.host_certificate_life) {
            return Err(wrong(
                "host_certificate_life",
                "30s to 90d: a week is good; less than an hour is for tests",
            ));
        }
        Ok(())
    }

    /// How often a pulse goes out.
    pub fn pulse_every(&self) -> Duration {
        Duration::from_secs(self.pulse_interval.0)
    }
}
