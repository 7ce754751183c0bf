//! Windows, and what is tried in them.

use super::case::Case;
use crate::fleet::Fleet;

/// Cases that belong together; each family has hosts of its own.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its rounds, in order.
    pub rounds: &'static [Round],
}

/// One window, and what is tried in it.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// What is granted, in the words of the table.
    pub grant: &'static str,
    /// The entitlement.
    pub entitlement: &'static str,
    /// How the window ends.
    pub end: End,
    /// The host's own settings: `None` for those of every round. Other settings need another host.
    pub host_toml: Option<&'static str>,
    /// Whether it needs a host that no other round has touched.
    pub own_host: bool,
    /// A line of root's shell that makes the host ready, before the window.
    pub prepare: &'static str,
    /// A line of shell on the control side, before the window.
    pub beside: &'static str,
    /// What is tried.
    pub cases: &'static [Case],
}

impl Round {
    /// A round that needs nothing special.
    pub(super) const fn new(
        grant: &'static str,
        entitlement: &'static str,
        end: End,
        cases: &'static [Case],
    ) -> Self {
        Self {
            grant,
            entitlement,
            end,
            host_toml: None,
            own_host: false,
            prepare: "true",
            beside: "true",
            cases,
        }
    }

    /// The same, on a host that this line of root's shell makes ready.
    pub(super) const fn on(self, prepare: &'static str) -> Self {
        Self { prepare, ..self }
    }

    /// The same, with this line of shell run on the control side before it.
    pub(super) const fn beside(self, beside: &'static str) -> Self {
        Self { beside, ..self }
    }

    /// The same, on a host of its own.
    pub(super) const fn alone(self) -> Self {
        Self { own_host: true, ..self }
    }

    /// The same, on a host with these settings.
    pub(super) const fn with(self, host_toml: &'static str) -> Self {
        Self { host_toml: Some(host_toml), own_host: true, ..self }
    }
}

/// How a window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its time is over. So many seconds, where nothing else goes on.
    Natural(u64),
    /// Somebody revokes it.
    Revoked,
    /// Its holder gives it back.
    GivenBack,
    /// A lock comes down on the holder.
    Locked,
}

impl End {
    /// How long the window is asked for.
    pub(super) fn length(self, fleet: &Fleet) -> String {
        if let Self::Natural(seconds) = self { fleet.window(seconds) } else { "20m".to_owned() }
    }

    /// The word of the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Natural(_) => "its time",
            Self::Revoked => "revoked",
            Self::GivenBack => "given back",
            Self::Locked => "locked",
        }
    }
}
