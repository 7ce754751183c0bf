//! The line `session register`: decides again, tells the warden of the session, and waits for its answer.
//!
//! Again, because sshd decides accounts in another process and tells the keys only here, and because the gate may have changed since.

use stint_grant::ids::Fingerprint;
use stint_grant::register::{Register, RegisterAnswer, SessionKind};
use stint_grant::time::UnixTime;
use stint_grant::words;

use crate::call::Call;
use crate::cause::Cause;
use crate::gate::Allowed;
use crate::host::Host;
use crate::line::Line;
use crate::pam::{Answer, Level, Pam, Style};
use crate::settings::Settings;
use crate::{limit, ssh_auth, tell, warden};

/// Services whose users read what a session says when it opens.
const GREETED: &[&str] = &["sshd", "login"];

/// Decides again, and registers.
pub fn run(pam: &impl Pam, host: &impl Host, line: &Line, call: &Call) -> Answer {
    let settings = Settings::load(pam, host, line.break_glass);
    let keys = credentials(pam, call);
    let allowed = match limit::in_force(host, &settings, call, keys.as_deref()) {
        Ok(allowed) => allowed,
        Err((about, cause)) => return tell::refuse(pam, host, call, &about, &cause),
    };
    let Some(first) = allowed.first() else { return Answer::NotOurs };
    let about = first.account.name.clone();
    let message = message(pam, call, &about, &allowed);
    let timeout = settings.config.limits.register_timeout_ms;
    match warden::register(&host.socket(stint_grant::register::WARDEN_SOCKET), &message, timeout) {
        Ok(RegisterAnswer { ok: true, message }) => {
            greet(pam, call, first, &message);
            Answer::Allowed
        }
        Ok(RegisterAnswer { ok: false, message }) => {
            tell::refuse(pam, host, call, &about, &Cause::warden(message))
        }
        Err(why) if !ends_by_itself(pam, call) => {
            tell::refuse(pam, host, call, &about, &Cause::no_warden(&why))
        }
        Err(why) => {
            // PID 1 holds the limit; the warden finds the session when it is back.
            let (why, about) = (tell::words(&why), tell::words(&about));
            pam.log(Level::Warning, &format!("session of user={about} is not registered: {why}"));
            greet(pam, call, first, "");
            Answer::Allowed
        }
    }
}

/// Whether PID 1 ends the session without the warden: a login that pam_systemd has given a scope, with the limit that was noted for it.
/// sudo, su and doas wait for the warden to make theirs, and what cron and at start has none. Nor has a login with logind away.
fn ends_by_itself(pam: &impl Pam, call: &Call) -> bool {
    !call.kind().elevates() && pam.variable("XDG_SESSION_ID").is_some()
}

/// The keys of an SSH login. An SSH login without one used none; elsewhere there is nothing to know.
fn credentials(pam: &impl Pam, call: &Call) -> Option<Vec<Fingerprint>> {
    (call.service == "sshd")
        .then(|| ssh_auth::fingerprints(&pam.variable("SSH_AUTH_INFO_0").unwrap_or_default()))
}

fn message(pam: &impl Pam, call: &Call, about: &str, allowed: &[Allowed]) -> Register {
    let mut grants: Vec<_> = allowed.iter().flat_map(|a| &a.permit.grants).map(|g| g.id.clone()).collect();
    grants.sort();
    grants.dedup();
    Register {
        format: 1,
        service: call.service.clone(),
        kind: if call.kind().elevates() { SessionKind::Elevation } else { SessionKind::Login },
        user: about.to_owned(),
        target: call.user.clone(),
        pid: std::process::id(),
        tty: call.terminal.clone(),
        origin: call.remote.clone(),
        session_id: pam.variable("XDG_SESSION_ID"),
        grants,
        // Two accounts' permits must both last.
        until: allowed.iter().map(|a| a.permit.until()).min().unwrap_or(UnixTime(0)),
    }
}

fn greet(pam: &impl Pam, call: &Call, allowed: &Allowed, message: &str) {
    if !GREETED.contains(&call.service.as_str()) {
        return;
    }
    pam.show(Style::Info, &tell::words(&words::welcome(&allowed.permit)));
    if !message.is_empty() {
        pam.show(Style::Info, &format!("stint: {}", tell::words(message)));
    }
}
