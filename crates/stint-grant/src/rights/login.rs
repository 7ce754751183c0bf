//! The right to log in.

use std::net::IpAddr;

use ipnet::IpNet;

use super::RightError;
use crate::ids::{GrantId, HostName};
use crate::strict::document;

/// Services by which a login can be granted.
pub const LOGIN_SERVICES: &[&str] =
    &["sshd", "login", "su", "su-l", "cron", "atd", "polkit-1", "systemd-run0"];

/// Those of them in which somebody logs in and out again.
pub const LOGOUT_SERVICES: &[&str] = &["sshd", "login"];

document! {
    /// How one may log in.
    pub struct LoginRight {
        /// PAM services, of [`LOGIN_SERVICES`].
        pub services: Vec<String>,
        /// Networks from which; empty means anywhere.
        pub origins: Vec<IpNet>,
        /// What a connection may forward.
        pub forwarding: Forwarding,
    }
}
document! {
    /// What an SSH connection may forward. All false unless the entitlement says so.
    #[derive(Copy)]
    pub struct Forwarding {
        /// TCP ports.
        pub port: bool,
        /// The authentication agent.
        pub agent: bool,
        /// X11.
        pub x11: bool,
    }
}

impl Forwarding {
    /// Nothing at all.
    pub const NONE: Self = Self { port: false, agent: false, x11: false };

    /// What either of two allows: the rights of an account are the union of its grants.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self { port: self.port || other.port, agent: self.agent || other.agent, x11: self.x11 || other.x11 }
    }
}

/// The principal of a certificate: one grant on one host. Broker and host make the same of it.
pub fn certificate_principal(grant: &GrantId, host: &HostName) -> String {
    format!("stint:{grant}@{host}")
}

impl LoginRight {
    pub(super) fn check(&self) -> Result<(), RightError> {
        match self.services.iter().find(|s| !LOGIN_SERVICES.contains(&s.as_str())) {
            Some(s) => Err(RightError::Service(s.clone())),
            None if self.services.is_empty() => Err(RightError::Service(String::new())),
            None => Ok(()),
        }
    }
    /// Whether it covers a PAM service.
    pub fn covers_service(&self, service: &str) -> bool {
        self.services.iter().any(|s| s == service)
    }
    /// Whether it covers an origin. A local login (no origin) is covered only when no origins are listed.
    pub fn covers_origin(&self, origin: Option<IpAddr>) -> bool {
        self.origins.is_empty() || origin.is_some_and(|ip| self.origins.iter().any(|net| net.contains(&ip)))
    }
}
