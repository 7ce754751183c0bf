//! The principals file of an account: which certificates log in to it. Pure.
//!
//! sshd compares the certificate's principals with the lines, and a line's options restrict the login further: of line and certificate the
//! stricter counts (sshd(8), AuthorizedPrincipalsFile in sshd_config(5)).

use std::fmt::Write as _;

use stint_grant::ids::HostName;
use stint_grant::rights::login::{Forwarding, certificate_principal};
use stint_grant::time::UnixTime;

use crate::warden::live::LiveGrant;

/// The line of a grant; `None` if it allows no login by sshd, or has no end that can be written.
pub(super) fn line(grant: &LiveGrant, host: &HostName) -> Option<String> {
    let login = grant.rights().login.as_ref().filter(|login| login.covers_service("sshd"))?;
    let mut options = Vec::new();
    if !login.origins.is_empty() {
        let origins: Vec<_> = login.origins.iter().map(ToString::to_string).collect();
        options.push(format!("from=\"{}\"", origins.join(",")));
    }
    let Forwarding { port, agent, x11 } = login.forwarding;
    let forbidden =
        [(port, "no-port-forwarding"), (agent, "no-agent-forwarding"), (x11, "no-X11-forwarding")];
    options.extend(forbidden.into_iter().filter(|(on, _)| !on).map(|(_, option)| option.to_owned()));
    options.push(format!("expiry-time=\"{}\"", stamp(grant.until())?));
    Some(format!("{} {}\n", options.join(","), certificate_principal(grant.id(), host)))
}

/// The text of an account's file.
pub(super) fn text<'a>(grants: impl IntoIterator<Item = &'a LiveGrant>, host: &HostName) -> String {
    let mut text = String::new();
    for line in grants.into_iter().filter_map(|grant| line(grant, host)) {
        let _ = write!(text, "{line}");
    }
    text
}

/// As sshd reads a time: always with `Z`, else its own time zone shifts it (OpenSSH 9.1; an older one refuses the line).
fn stamp(until: UnixTime) -> Option<String> {
    let text = until.to_timestamp()?.strftime("%Y%m%d%H%M%SZ").to_string();
    (text.len() == 15).then_some(text)
}
