//! What the application told about a call.

use std::net::IpAddr;

use crate::pam::{Item, Pam};

/// What the application told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The service.
    pub service: String,
    /// The account that is asked for, or empty.
    pub user: String,
    /// The account that asks, if told.
    pub caller: Option<String>,
    /// The remote address or name, if told.
    pub remote: Option<String>,
    /// The terminal, if told.
    pub terminal: Option<String>,
}

impl Call {
    /// Asks PAM.
    pub fn read(pam: &impl Pam) -> Self {
        Self {
            service: pam.item(Item::Service).unwrap_or_default(),
            user: pam.item(Item::User).unwrap_or_default(),
            caller: pam.item(Item::CallingUser),
            remote: pam.item(Item::RemoteHost),
            terminal: pam.item(Item::Terminal),
        }
    }

    /// The remote address. A name (sshd under `UseDNS`) is nobody's proof of an address: then the origin is not known.
    pub fn origin(&self) -> Option<IpAddr> {
        let text = self.remote.as_deref()?;
        // An IPv6 link-local address comes with its zone.
        let address: IpAddr = text.split_once('%').map_or(text, |(address, _)| address).parse().ok()?;
        Some(address.to_canonical())
    }

    /// What kind of service calls.
    pub fn kind(&self) -> Kind {
        match self.service.as_str() {
            "sudo" | "sudo-i" => Kind::Sudo,
            "su" | "su-l" => Kind::Su,
            "doas" => Kind::Doas,
            "polkit-1" => Kind::Agent,
            _ => Kind::Login,
        }
    }
}

/// What kind of service calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Logs an account in.
    Login,
    /// sudo: the caller is decided on.
    Sudo,
    /// su: caller and target are decided on, each.
    Su,
    /// doas: as su, but the account phase does not know the target.
    Doas,
    /// polkit's agent: whoever is at the session proves to be some account, root for instance. As su, where the caller is known.
    Agent,
}

impl Kind {
    /// Whether it opens a session in which one account has turned into another.
    pub fn elevates(self) -> bool {
        matches!(self, Self::Sudo | Self::Su | Self::Doas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(remote: &str) -> Option<IpAddr> {
        Call { remote: Some(remote.to_owned()), ..Call::default() }.origin()
    }

    #[test]
    fn an_address_is_an_origin_and_a_name_is_not() {
        assert_eq!(from("192.0.2.7"), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(from("fe80::1%eth0"), Some("fe80::1".parse().unwrap()));
        assert_eq!(from("web.example.org"), None);
        assert_eq!(from("192.0.2.7.example.org"), None);
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_the_ipv4_address() {
        assert_eq!(from("::ffff:192.0.2.7"), Some("192.0.2.7".parse().unwrap()));
    }
}
