//! The catalog: what may be requested, from the administrator's TOML files, one entitlement in each.

mod file;
pub mod judge;
mod load;
mod rejudge;
pub(crate) mod routes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use stint_grant::ids::{EntitlementName, HostName, Principal};
use stint_grant::record::CommandRecord;
use stint_grant::rights::Rights;
use stint_grant::time::Seconds;

use crate::identity::Role;

pub use load::load;
pub use rejudge::rejudge;

/// Stands for the requester's own account in the name of one that is made for a window.
pub(crate) const REQUESTER: &str = "{user}";

/// All entitlements.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By name.
    pub entitlements: BTreeMap<EntitlementName, Entitlement>,
    /// A hash of all files: which catalog a request was made under.
    pub version: String,
}

/// What may be requested.
#[derive(Clone, Debug)]
pub struct Entitlement {
    /// Its name.
    pub name: EntitlementName,
    /// What it is for.
    pub description: String,
    /// Where.
    pub hosts: Selector,
    /// What.
    pub rights: Rights,
    /// The name of the account that exists for the window only, with [`REQUESTER`] for the requester's own.
    pub account_name: Option<String>,
    /// What is recorded of its commands.
    pub record: CommandRecord,
    /// The longest window.
    pub max_window: Seconds,
    /// The most that extensions may add.
    pub max_extension: Seconds,
    /// How long an approved grant waits for its activation.
    pub claim_within: Seconds,
    /// The oldest news that the right survives.
    pub max_staleness: Seconds,
    /// After how long idle sessions end.
    pub idle_limit: Option<Seconds>,
    /// Whether the right ends with the last logout.
    pub end_on_logout: bool,
    /// If it is sealed: the most break-glass codes of one request. With 0 it is not.
    pub codes: u32,
    /// How many reviews it takes.
    pub reviews: u32,
    /// Who may ask.
    pub requesters: Requesters,
}

/// Which hosts: those named, and those that carry all of the labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// By name.
    pub names: BTreeSet<HostName>,
    /// By labels; none means none.
    pub labels: BTreeMap<String, String>,
}

/// Who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requesters {
    /// By name.
    pub names: BTreeSet<Principal>,
    /// By role.
    pub roles: Vec<Role>,
}

impl Selector {
    /// Whether it covers a host.
    pub fn covers(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let by_label =
            !self.labels.is_empty() && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        by_label || self.names.iter().any(|n| n.as_str() == name)
    }
}

impl Requesters {
    /// Whether a person may ask.
    pub fn include(&self, name: &str, roles: &[Role]) -> bool {
        self.names.iter().any(|n| n.as_str() == name) || self.roles.iter().any(|r| roles.contains(r))
    }
}

impl Entitlement {
    /// The account on the hosts that a person's grant is for.
    pub fn account_of(&self, own: &str) -> String {
        self.account_name.as_ref().map_or_else(|| own.to_owned(), |name| name.replacen(REQUESTER, own, 1))
    }
    /// What it allows, a line for each right.
    pub fn allows(&self) -> Vec<String> {
        let login = self.rights.login.iter().map(|login| {
            let mut line = format!("log in by {}", login.services.join(", "));
            if !login.origins.is_empty() {
                let origins: Vec<_> = login.origins.iter().map(ToString::to_string).collect();
                line.extend([" from ", &origins.join(", ")]);
            }
            let forwarding = &login.forwarding;
            let kinds =
                [(forwarding.port, "ports"), (forwarding.agent, "the agent"), (forwarding.x11, "X11")];
            let kinds: Vec<_> = kinds.iter().filter(|(on, _)| *on).map(|(_, what)| *what).collect();
            if !kinds.is_empty() {
                line.extend([", forwarding ", &kinds.join(", ")]);
            }
            line
        });
        let sudo = self.rights.sudo.iter().map(|rule| format!("sudo {rule}"));
        let groups = self.rights.groups.iter().map(|group| format!("group {group}"));
        let account = self.rights.account.iter().map(|account| {
            let (name, home) = (self.account_name.as_deref().unwrap_or_default(), account.home.word());
            format!("an account of its own, {name}, with {} (home: {home} at the end)", account.shell)
        });
        let sealed = (self.codes > 0).then(|| {
            format!(
                "nothing, until a break-glass code opens it on its host (up to {} codes, good for {})",
                self.codes, self.claim_within
            )
        });
        login.chain(sudo).chain(groups).chain(account).chain(sealed).collect()
    }
}
