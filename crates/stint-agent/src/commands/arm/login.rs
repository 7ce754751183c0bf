//! Which login a command comes from. The kernel's audit session stays the same through su and sudo; where there is none, or a container
//! has that of whoever started it, the session's cgroup of the nearest ancestor tells.

use serde::{Deserialize, Serialize};

/// The kernel's word for "no session".
const UNSET: &str = "4294967295";

/// A login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Login {
    /// The audit session.
    Audit(u32),
    /// logind's session.
    Session(String),
}

/// The login that this process belongs to; `None` for what came of no login (a service, a timer).
pub(crate) fn current() -> Option<Login> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let audit = |path| read(path).as_deref().and_then(audit_session);
    if let Some(own) = audit("/proc/self/sessionid")
        && audit("/proc/1/sessionid") != Some(own)
    {
        return Some(Login::Audit(own));
    }
    let mut process = std::process::id();
    for _ in 0..64 {
        if let Some(session) = read(&format!("/proc/{process}/cgroup")).as_deref().and_then(cgroup_session) {
            return Some(Login::Session(session));
        }
        process = read(&format!("/proc/{process}/stat"))
            .as_deref()
            .and_then(parent)
            .filter(|parent| *parent > 1)?;
    }
    None
}

fn audit_session(text: &str) -> Option<u32> {
    let text = text.trim();
    if text == UNSET { None } else { text.parse().ok() }
}

/// `session-12.scope` in the unified hierarchy's path.
fn cgroup_session(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.split('/').find_map(|part| {
        let id = part.strip_prefix("session-")?.strip_suffix(".scope")?;
        Some(id.to_owned())
    })
}

/// The parent in `/proc/PID/stat`, whose second field may hold anything, brackets too.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Why this login may not confirm what another one armed.
pub(crate) fn refuses_confirmation(armed_by: Option<&Login>, now: Option<&Login>) -> Option<String> {
    match (armed_by, now) {
        (_, None) => Some("this does not come from a login that can be told from others".to_owned()),
        (Some(before), Some(now)) if before == now => {
            Some("this is the login that armed the host".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_audit_session_is_none() {
        assert_eq!(audit_session("4294967295"), None);
        assert_eq!(audit_session("12\n"), Some(12));
    }
    #[test]
    fn the_session_is_found_in_the_cgroup() {
        let of = |path: &str| cgroup_session(&format!("0::{path}\n"));
        assert_eq!(of("/user.slice/user-1000.slice/session-c3.scope").as_deref(), Some("c3"));
        assert_eq!(of("/user.slice/user-1000.slice/session-4.scope/sub").as_deref(), Some("4"));
        assert_eq!(of("/system.slice/cron.service"), None);
    }
    #[test]
    fn the_parent_is_read_past_any_name() {
        assert_eq!(parent("12 (a) b) (c) S 7 12 12"), Some(7));
        assert_eq!(parent("nothing"), None);
    }
    #[test]
    fn a_confirmation_comes_from_another_login_than_the_arming() {
        let (a, b) = (Login::Audit(1), Login::Audit(2));
        assert!(refuses_confirmation(Some(&a), Some(&a)).is_some());
        assert!(refuses_confirmation(Some(&a), None).is_some());
        assert!(refuses_confirmation(None, None).is_some());
        assert!(refuses_confirmation(Some(&a), Some(&b)).is_none());
        assert!(refuses_confirmation(None, Some(&b)).is_none());
    }
}
