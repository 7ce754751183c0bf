//! Telling people how much time is left, where they are.

use std::path::PathBuf;

use stint_grant::register::SessionKind;
use stint_grant::time::Seconds;

use super::book::Session;
use super::enforcer::{Enforcer, uid_of};
use super::terminal;
use crate::warden::live::LiveGrant;

impl Enforcer {
    /// Tells the people on a grant's terminals how much time is left. Says whether there was a terminal.
    pub(crate) fn warn(&mut self, grant: &LiveGrant, remaining: Seconds) -> bool {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let line = format!(
            "stint: {} left on {} ({}). Extend: stint grant extend {}",
            in_words(remaining),
            host.as_deref().unwrap_or("this host"),
            grant.grant.terms.entitlement,
            grant.id()
        );
        let sessions = self.sessions.iter().filter(|s| s.rests_on(grant.id()));
        write_to(sessions.flat_map(|session| self.terminals_of(session)).collect(), &line)
    }

    /// Tells whoever may look at a session's terminal that it ends unless it is used.
    pub(super) fn warn_idle(&self, session: &Session, remaining: Seconds) {
        let line = format!("stint: idle: this session ends in {} unless it is used", in_words(remaining));
        write_to(self.terminals_of(session), &line);
    }

    /// The terminals of a login are those of its processes: sshd opens them after PAM. Those that sudo makes inside its scope only
    /// lead back to the one that PAM named.
    pub(super) fn terminals_of(&self, session: &Session) -> Vec<(PathBuf, u32)> {
        let Some(owner) = session.login_uid.or_else(|| uid_of(&session.user)) else { return Vec::new() };
        let named = session.tty.as_deref().and_then(terminal::path_named);
        let found = match (session.kind, session.cgroup.as_deref()) {
            (SessionKind::Login, Some(cgroup)) => self.cgroups.members(cgroup),
            (SessionKind::Login, None) => vec![session.pid],
            (SessionKind::Elevation, _) => Vec::new(),
        };
        let found = found.into_iter().filter_map(|pid| terminal::path_of(self.proc.stat(pid)?.terminal));
        named.into_iter().chain(found).map(|device| (device, owner)).collect()
    }
}

/// Writes a line to each of these terminals. Says whether there was one.
fn write_to(mut terminals: Vec<(PathBuf, u32)>, line: &str) -> bool {
    terminals.sort();
    terminals.dedup();
    let told: Vec<bool> =
        terminals.iter().map(|(device, owner)| terminal::write_line(device, *owner, line)).collect();
    told.contains(&true)
}

/// As it is said on a terminal: `5 minutes`, `1 minute`, `30 s`.
fn in_words(left: Seconds) -> String {
    match (left.0, left.0 / 60) {
        (60, _) => "1 minute".to_owned(),
        (seconds, minutes) if seconds % 60 == 0 && seconds > 0 => format!("{minutes} minutes"),
        _ => left.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_said_in_words() {
        assert_eq!(in_words(Seconds(300)), "5 minutes");
        assert_eq!(in_words(Seconds(60)), "1 minute");
        assert_eq!(in_words(Seconds(30)), "30 s");
        assert_eq!(in_words(Seconds(90)), "1 min 30 s");
    }
}
