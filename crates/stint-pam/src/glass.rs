//! A break-glass code: asked for when a sealed grant is all that is missing, and told to the warden, which alone can open the grant.
//!
//! Nothing is decided here. After a yes the gate says that the grant is open, or it does not.

use stint_grant::codes::Code;
use stint_grant::register::{CODE_TIMEOUT_MS, MAX_REASON, RegisterAnswer, UseCode, WARDEN_SOCKET};

use crate::call::Call;
use crate::cause::Cause;
use crate::host::Host;
use crate::pam::{Echo, Pam};
use crate::{tell, warden};

/// The denial that a code can turn.
const SEALED: &str = "sealed";
/// Services behind which somebody sits who can answer.
const ANSWERED: &[&str] = &["sshd", "login", "su", "su-l", "sudo", "sudo-i", "doas"];

/// Asks for a code and a reason, and has the warden open the grant. `None` if there was nothing to ask for or nobody answered: then the
/// denial stands as it is. An error is the denial to tell instead.
pub fn offer(
    pam: &impl Pam,
    host: &impl Host,
    call: &Call,
    about: &str,
    cause: &Cause,
) -> Option<Result<(), Cause>> {
    let is_answered = ANSWERED.contains(&call.service.as_str());
    if cause.code != SEALED || !is_answered || tell::observes(host) {
        return None;
    }
    let typed = pam.ask(Echo::Off, "Break-glass code: ")?;
    let code = match Code::typed(&typed) {
        Ok(code) => code,
        Err(fault) => return Some(Err(Cause::code(&fault.to_string()))),
    };
    let reason = pam.ask(Echo::On, "Reason: ")?;
    let message = UseCode {
        format: 1,
        service: call.service.clone(),
        user: about.to_owned(),
        origin: call.remote.clone(),
        tty: call.terminal.clone(),
        code,
        reason: reason.chars().take(MAX_REASON).collect(),
    };
    Some(match warden::use_code(&host.socket(WARDEN_SOCKET), &message, CODE_TIMEOUT_MS) {
        Ok(RegisterAnswer { ok: true, .. }) => Ok(()),
        Ok(RegisterAnswer { ok: false, message }) => Err(Cause::code(&message)),
        Err(why) => Err(Cause::code(&format!(
            "this host's warden did not answer ({why}), so no code can be used. Try again; then tell its administrator"
        ))),
    })
}
