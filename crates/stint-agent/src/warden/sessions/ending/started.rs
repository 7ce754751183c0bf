//! What PID 1 runs since a grant had root: transient units (`systemd-run`, `machinectl shell`) that appeared while it did.
//!
//! The rule. A process in such a unit that has the audit identity of the grant's sessions (a scope: `systemd-run --scope`) is swept like any
//! other, and PID 1 takes away the empty scope. What PID 1 itself started has no audit identity, and PID 1 does not tell who asked: it may
//! have been the grant, but also an administrator, a package, or another grant that had root at the same time. To stop the service of
//! somebody else is worse than to leave one that a person is told of. So it is never stopped here, and always reported, with its name.
//!
//! But run0 does tell: it gives PID 1 the account that asked (`SUDO_UID`, systemd 256), and a terminal's worth of work runs in it. That is
//! ended with the grant. Only root could say another account there, and would have what it runs reported instead.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use stint_grant::words::printable;

use super::super::enforcer::{Enforcer, uid_of};
use super::super::spool::changed_within;
use super::Closing;
use super::whole::age_of;

/// Where PID 1 writes down units that have no file of their own.
const TRANSIENT: &str = "run/systemd/transient";
/// A receipt is for people.
const MAX_NAMED: usize = 20;

impl Enforcer {
    /// Transient units that appeared since the first elevation to root of a grant that has ended, in words.
    pub(super) fn started_meanwhile(&self, closing: &Closing) -> Vec<String> {
        let Some(since) = since(closing) else { return Vec::new() };
        let mut units = self.transient_since(since);
        units.retain(|unit| !closing.stopped.contains(unit));
        let more = units.len().saturating_sub(MAX_NAMED);
        units.truncate(MAX_NAMED);
        let mut words: Vec<String> = units
            .iter()
            .map(|unit| {
                let unit = printable(unit);
                format!("PID 1 runs {unit} since the grant had root, and does not tell who asked (systemctl status {unit})")
            })
            .collect();
        if more > 0 {
            words.push(format!("{more} more units of PID 1 of that time"));
        }
        words
    }

    /// The groups of what run0 runs for the account of a grant that has ended, each with its unit.
    pub(super) async fn run0_groups(&mut self, closing: &Closing) -> Vec<(String, String)> {
        let (Some(since), Some(uid)) = (since(closing), uid_of(&closing.user)) else { return Vec::new() };
        let folder = self.root.join(TRANSIENT);
        let mut units = self.transient_since(since);
        units
            .retain(|unit| fs::read_to_string(folder.join(unit)).is_ok_and(|text| run0_asked_by(&text, uid)));
        let mut groups = Vec::new();
        for unit in units {
            match self.bus.main_pid(&unit).await {
                // The session that PAM opened for it has a scope of its own.
                Ok(Some(pid)) => groups.extend(self.proc.cgroup(pid).map(|group| (unit, group))),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "what run0 runs is not known; it is reported");
                    break;
                }
            }
        }
        groups
    }

    /// What was in it was swept: PID 1 takes it away in a moment.
    fn is_an_empty_scope(&self, unit: &str) -> bool {
        let group = format!("/system.slice/{unit}");
        unit.strip_suffix(".scope").is_some()
            && self.cgroups.exists(&group)
            && !self.cgroups.is_populated(&group)
    }

    fn transient_since(&self, age: Duration) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(TRANSIENT)) else { return Vec::new() };
        let mut units: Vec<String> = entries
            .flatten()
            .filter(|entry| {
                entry.metadata().is_ok_and(|m| m.is_file() && changed_within(m.ctime(), Some(age)))
            })
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|unit| !is_logind_s_or_ours(unit) && !self.is_an_empty_scope(unit))
            .collect();
        units.sort();
        units
    }
}

/// How long ago the first session opened that may have asked PID 1 for something.
fn since(closing: &Closing) -> Option<Duration> {
    let all = closing.sessions.iter().chain(&closing.past);
    let oldest = all.filter(|session| session.may_have_asked_pid_1()).map(|session| session.started).min()?;
    Some(age_of(oldest, closing.at_ms) + closing.began.elapsed())
}

/// Whether the file of a transient unit is of run0's making, for this account.
fn run0_asked_by(text: &str, uid: u32) -> bool {
    let asked = format!("\"SUDO_UID={uid}\"");
    let of_run0 = text.lines().any(|line| line == "PAMName=systemd-run0");
    let environment = text.lines().filter_map(|line| line.strip_prefix("Environment="));
    of_run0 && environment.flat_map(|line| line.split(' ')).any(|word| word == asked)
}

/// Scopes of sessions and of elevations: their ends are seen to.
fn is_logind_s_or_ours(unit: &str) -> bool {
    match unit.rsplit_once('.') {
        Some((name, "scope")) => name.starts_with("session-") || name.starts_with("stint-"),
        Some((_, "slice")) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warden::paths::Paths;

    #[test]
    fn transient_units_are_named_but_those_of_sessions_and_of_before() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(TRANSIENT);
        fs::create_dir_all(folder.join("x.service.d")).unwrap();
        let mut enforcer = Enforcer::new(&Paths::under(root.path()));
        enforcer.root = root.path().to_owned();
        let names = [
            "x.service",
            "run-r1.timer",
            "session-4.scope",
            "stint-a-1-1.scope",
            "user-1001.slice",
            "y.scope",
        ];
        for name in names {
            fs::write(folder.join(name), "").unwrap();
        }
        let found = enforcer.transient_since(Duration::from_mins(1));
        assert_eq!(found, ["run-r1.timer", "x.service", "y.scope"]);
        fs::remove_dir_all(&folder).unwrap();
        assert!(enforcer.transient_since(Duration::from_mins(1)).is_empty());
    }

    #[test]
    fn run0_tells_who_asked_and_other_services_do_not() {
        let unit = "[Service]\nPAMName=systemd-run0\nEnvironment=\"TERM=dumb\"\n\
                    Environment=\"SUDO_USER=alice\" \"SUDO_UID=1001\" \"SUDO_GID=1001\"\nExecStart=\n";
        assert!(run0_asked_by(unit, 1001));
        assert!(!run0_asked_by(unit, 100));
        assert!(!run0_asked_by(unit, 10011));
        assert!(!run0_asked_by(&unit.replace("PAMName=systemd-run0\n", ""), 1001));
        assert!(!run0_asked_by("[Service]\nPAMName=systemd-run0\nDescription=\"SUDO_UID=1001\"\n", 1001));
    }
}
