//! The `Match` blocks that sshd includes: whose certificates it takes for whom, and what connections may forward, whatever they logged
//! in with. Pure.
//!
//! They meet gated accounts only: another authority that the host trusts for others stays as it is.
//!
//! A key of a user's own brings no restriction, and PAM cannot add one. So gated accounts may forward nothing, but what their live grants
//! allow; several grants of one account add up. The blocks only ever forbid: what the administrator forbids stays forbidden.
//! `DisableForwarding` would be shorter, and before OpenSSH 10.0 it forgets X11 and the agent (CVE-2025-32728).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use stint_grant::ids::UserName;
use stint_grant::rights::login::Forwarding;

use super::accounts::Gated;
use super::{AUTHORITY, PRINCIPALS};

const HEAD: &str =
    "# Made by the stint warden from host.toml and the grants in force: changes do not last.\n";

/// The text that sshd includes. `folder` is where the authority and the principals stand.
pub(super) fn text(folder: &Path, gated: &Gated, allowed: &BTreeMap<&UserName, Forwarding>) -> String {
    let mut text = HEAD.to_owned();
    if let Some(everybody) = patterns(gated, &[]) {
        let at = |name: &str| folder.join(name).display().to_string();
        let _ = writeln!(
            text,
            "Match User {everybody}\n    TrustedUserCAKeys {}\n    AuthorizedPrincipalsFile {}/%u",
            at(AUTHORITY),
            at(PRINCIPALS)
        );
    }
    let allowed: Vec<_> = allowed
        .iter()
        .map(|(user, forwarding)| (user.as_str(), *forwarding))
        .filter(|(user, forwarding)| gated.includes(user) && *forwarding != Forwarding::NONE)
        .collect();
    let with_some: Vec<_> = allowed.iter().map(|(user, _)| *user).collect();
    if let Some(others) = patterns(gated, &with_some) {
        block(&mut text, &others, Forwarding::NONE);
    }
    for (user, forwarding) in &allowed {
        block(&mut text, user, *forwarding);
    }
    text
}

/// The pattern that matches whoever is gated and not spared; `None` if that is nobody.
fn patterns(gated: &Gated, spared: &[&str]) -> Option<String> {
    let list: Vec<String> = match gated {
        Gated::AllBut(free) => {
            let spared = free.iter().map(String::as_str).chain(spared.iter().copied());
            std::iter::once("*".to_owned()).chain(spared.map(|name| format!("!{name}"))).collect()
        }
        Gated::Only(names) => names.iter().filter(|name| !spared.contains(&name.as_str())).cloned().collect(),
    };
    (!list.is_empty()).then(|| list.join(","))
}

/// Forbids for some users all that is not allowed.
fn block(text: &mut String, users: &str, allowed: Forwarding) {
    let _ = writeln!(text, "Match User {users}");
    let Forwarding { port, agent, x11 } = allowed;
    let keywords: [(bool, &[&str]); 4] = [
        (port, &["AllowTcpForwarding", "AllowStreamLocalForwarding"]),
        (agent, &["AllowAgentForwarding"]),
        (x11, &["X11Forwarding"]),
        // A tunnel device carries more than any grant says.
        (false, &["PermitTunnel"]),
    ];
    for keyword in keywords.iter().filter(|(on, _)| !on).flat_map(|(_, keywords)| *keywords) {
        let _ = writeln!(text, "    {keyword} no");
    }
}

#[cfg(test)]
mod tests;
