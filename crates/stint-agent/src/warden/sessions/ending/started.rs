//! What PID 1 runs since a grant had root: transient units (`systemd-run`, `machinectl shell`) that appeared while it did.
//!
//! The rule. A process in such a unit that has the audit identity of the grant's sessions (a scope: `systemd-run --scope`) is swept like any
//! other, and PID 1 takes away the empty scope. What PID 1 itself started has no audit identity, and PID 1 does not tell who asked: it may
//! have been the grant, but also an administrator, a package, or another grant that had root at the same time. To stop the service of
//! somebody else is worse than to leave one that a person is told of. So it is never stopped here, and always reported, with its name.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use stint_grant::words::printable;

use super::super::enforcer::Enforcer;
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
        let all = closing.sessions.iter().chain(&closing.past);
        let Some(oldest) = all.filter(|session| session.was_root()).map(|session| session.started).min()
        else {
            return Vec::new();
        };
        let since = age_of(oldest, closing.at_ms) + closing.began.elapsed();
        let mut units = self.transient_since(since);
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
}
