//! Why something was refused: one shape for the decision's denials and for the module's own.

use stint_grant::decision::Denial;
use stint_grant::ids::GrantId;

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// One short word for logs and records.
    pub code: &'static str,
    /// The grants that it names.
    pub grants: Vec<GrantId>,
    /// The words for people.
    pub words: String,
}

impl Cause {
    /// The gate cannot be used.
    pub fn gate(why: impl std::fmt::Display) -> Self {
        Denial::Gate(why.to_string()).into()
    }
    /// It cannot be said who it is about.
    pub fn unknown_account(name: &str, why: &str) -> Self {
        Self {
            code: "unknown-account",
            grants: Vec::new(),
            words: format!("account {name:?} cannot be looked up on this host ({why})"),
        }
    }
    /// Root over the network, which `host.toml` does not allow.
    pub fn remote_root() -> Self {
        Self {
            code: "remote-root",
            grants: Vec::new(),
            words: "root may not log in over the network on this host. Log in as yourself, or set managed.remote_root in host.toml"
                .to_owned(),
        }
    }
    /// The module itself is at fault.
    pub fn module(fault: &str) -> Self {
        Self {
            code: "module",
            grants: Vec::new(),
            words: format!("this host's gate is broken: {fault}. Tell its administrator"),
        }
    }
    /// The warden gave no answer.
    pub fn no_warden(why: &str) -> Self {
        Self {
            code: "no-warden",
            grants: Vec::new(),
            words: format!(
                "this host's warden did not answer ({why}), so nobody could end this in time. Try again; then tell its administrator"
            ),
        }
    }
    /// A break-glass code opened nothing.
    pub fn code(why: &str) -> Self {
        Self { code: "code", grants: Vec::new(), words: why.to_owned() }
    }
    /// The warden refused.
    pub fn warden(message: String) -> Self {
        Self { code: "refused-by-warden", grants: Vec::new(), words: message }
    }
}

impl From<Denial> for Cause {
    fn from(denial: Denial) -> Self {
        let grant = match &denial {
            Denial::Ended { grant, .. }
            | Denial::Refused { grant, .. }
            | Denial::NotYet { grant, .. }
            | Denial::NotCovered { grant, .. }
            | Denial::Origin { grant, .. }
            | Denial::Credential { grant }
            | Denial::Sealed { grant } => Some(grant.clone()),
            Denial::NoGrant | Denial::Stale { .. } | Denial::Locked { .. } | Denial::Gate(_) => None,
        };
        Self { code: denial.code(), grants: grant.into_iter().collect(), words: denial.to_string() }
    }
}
