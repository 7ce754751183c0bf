//! The line `session limit`: has pam_systemd, which comes later, end the session by itself when the grant ends.

use stint_grant::time::Seconds;

use crate::asks::{self, Ask, Surrounding, Wants, Who};
use crate::call::Call;
use crate::cause::Cause;
use crate::gate::{self, Allowed};
use crate::host::Host;
use crate::line::Line;
use crate::pam::{Answer, Level, Pam};
use crate::settings::Settings;
use crate::tell;

/// Whether the process is in a session that logind knows. From there pam_systemd opens none: that session's limit holds for what sudo starts,
/// until `session register` moves it. (logind's CreateSession refuses a caller that is in a session already.)
fn is_in_a_session(host: &impl Host) -> bool {
    host.cgroups()
        .as_deref()
        .and_then(session_id)
        .is_some_and(|id| host.base().join("run/systemd/sessions").join(id).exists())
}

/// The session in the text of `/proc/self/cgroup`: `0::/user.slice/user-UID.slice/session-ID.scope`.
fn session_id(cgroups: &str) -> Option<&str> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/user.slice/"))?;
    let (_, scope) = path.split_once('/')?;
    let id = scope.strip_prefix("session-")?.strip_suffix(".scope")?;
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(id)
}

/// Sets the limit. It tells the user nothing: what is refused here, `session register` refuses with its cause.
pub fn run(pam: &impl Pam, host: &impl Host, line: &Line, call: &Call) -> Answer {
    // A sudo in a login opens no session of logind's, and waits for each decision. A host that only observes ends no session.
    if (call.kind().elevates() && is_in_a_session(host)) || tell::observes(host) {
        return Answer::NotOurs;
    }
    let settings = Settings::load(pam, host, line.break_glass);
    let allowed = match in_force(host, &settings, call, None) {
        Ok(allowed) if allowed.is_empty() => return Answer::NotOurs,
        Ok(allowed) => allowed,
        Err((about, cause)) => {
            let (about, words) = (tell::words(&about), tell::words(&cause.words));
            pam.log(Level::Debug, &format!("no limit for user={about} cause={}: {words}", cause.code));
            return Answer::Denied;
        }
    };
    let Some(remaining) = allowed.iter().map(|a| a.permit.remaining()).min() else { return Answer::NotOurs };
    // Zero would mean no limit.
    if pam.limit_session(remaining.max(Seconds(1)).0) {
        Answer::Allowed
    } else {
        pam.log(Level::Warning, "the session's limit could not be noted for pam_systemd");
        Answer::Denied
    }
}

/// All permits that a session hangs on: those of who opens it, and that of the account in whose session it opens. Empty if none does.
pub fn in_force(
    host: &impl Host,
    settings: &Settings,
    call: &Call,
    credentials: Option<&[stint_grant::ids::Fingerprint]>,
) -> Result<Vec<Allowed>, (String, Cause)> {
    let who = asks::who(call, host, settings).map_err(|cause| (call.user.clone(), cause))?;
    let surrounding = asks::surrounding(call, host, settings, &who);
    let mut allowed = match who {
        Who::Asks(asks) => gate::allows(host, settings, call, &asks, credentials)
            .map_err(|(account, cause)| (account.name, cause))?,
        Who::NotOurs | Who::BreakGlass(_) => Vec::new(),
    };
    if let Some(surrounding) = surrounding {
        allowed.extend(stays(host, settings, call, surrounding)?);
    }
    Ok(allowed)
}

fn stays(
    host: &impl Host,
    settings: &Settings,
    call: &Call,
    surrounding: Surrounding,
) -> Result<Vec<Allowed>, (String, Cause)> {
    let name = format!("uid {}", surrounding.uid);
    let unknown = |why: &str| (name.clone(), Cause::unknown_account(&name, why));
    let account = host.account_of(surrounding.uid).map_err(|e| unknown(&e))?;
    let account = account.ok_or_else(|| unknown("there is none"))?;
    let ask = Ask { account, wants: Wants::Stay };
    match gate::allows(host, settings, call, &[ask], None) {
        Ok(allowed) => Ok(allowed),
        Err(_) if surrounding.standing => Ok(Vec::new()),
        Err((account, cause)) => Err((account.name, cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_s_own_scope_is_a_session() {
        let at = |path: &str| format!("9:name=systemd:/x\n0::{path}\n");
        assert_eq!(session_id(&at("/user.slice/user-1000.slice/session-92.scope")), Some("92"));
        assert_eq!(session_id(&at("/user.slice/user-1000.slice/session-c4.scope")), Some("c4"));
        for elsewhere in [
            "/stint.slice/stint-aaaabbbbcccc-1-2.scope/7-8",
            "/user.slice/user-1000.slice/user@1000.service/session-92.scope",
            "/user.slice/user-1000.slice/session-92.scope/below",
            "/user.slice/user-1000.slice/session-../../x.scope",
            "/user.slice/user-1000.slice/session-.scope",
            "/user.slice/user-1000.slice",
            "/",
        ] {
            assert_eq!(session_id(&at(elsewhere)), None, "{elsewhere}");
        }
    }
}
