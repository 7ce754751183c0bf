//! What `host.toml` says, or the strict defaults.

use stint_grant::host_config::{HostConfig, MAX_HOST_CONFIG_BYTES};

use crate::files::{FileFault, Folder};
use crate::host::Host;
use crate::pam::{Level, Pam};

/// The folder of `host.toml`.
const FOLDER: &str = "etc/stint";

/// What is in force.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `host.toml`.
    pub config: HostConfig,
    /// The account that the PAM line itself exempts.
    pub break_glass: Option<u32>,
}

impl Settings {
    /// Reads `host.toml`. Without one, and with one that cannot be used, the strict defaults hold.
    pub fn load(pam: &impl Pam, host: &impl Host, break_glass: Option<u32>) -> Self {
        let config = read(host).unwrap_or_else(|fault| {
            if let Some(fault) = fault {
                pam.log(Level::Warning, &format!("host.toml is not used, the strict defaults hold: {fault}"));
            }
            HostConfig::default()
        });
        Self { config, break_glass }
    }

    /// Whether an account is the break-glass account.
    pub fn is_break_glass(&self, uid: u32) -> bool {
        self.break_glass == Some(uid) || self.config.managed.break_glass_uid == Some(uid)
    }
    /// Whether an account is managed at all.
    pub fn is_managed(&self, uid: u32) -> bool {
        !self.is_break_glass(uid) && self.config.is_managed(uid)
    }
    /// Whether a login by an account through a service needs a grant.
    pub fn gates(&self, uid: u32, service: &str) -> bool {
        !self.is_break_glass(uid) && self.config.gates(uid, service)
    }
    /// Whether anybody's logins through a service need a grant.
    pub fn gates_anybody(&self, service: &str) -> bool {
        let mut only = self.config.managed.only.iter().flat_map(|only| &only.services);
        self.lists(service) || only.any(|s| s == service)
    }
    /// Whether a service is gated for those who have no list of their own.
    pub fn lists(&self, service: &str) -> bool {
        self.config.managed.services.iter().any(|s| s == service)
    }
}

/// `Err(None)` if there is no such file.
fn read(host: &impl Host) -> Result<HostConfig, Option<String>> {
    let bytes = Folder::base(host.base())
        .and_then(|base| base.descend(FOLDER))
        .and_then(|folder| folder.read("host.toml", MAX_HOST_CONFIG_BYTES));
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(FileFault::Missing(_)) => return Err(None),
        Err(fault) => return Err(Some(fault.to_string())),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| Some("it is not UTF-8".to_owned()))?;
    HostConfig::parse(text).map_err(|e| Some(e.to_string()))
}
