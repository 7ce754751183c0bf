//! The line `account`: may this be?

use crate::asks::{self, Who};
use crate::call::Call;
use crate::cause::Cause;
use crate::gate::{self, Allowed};
use crate::host::Host;
use crate::line::Line;
use crate::pam::{Answer, Pam};
use crate::settings::Settings;
use crate::{glass, tell};

/// Decides.
pub fn run(pam: &impl Pam, host: &impl Host, line: &Line, call: &Call) -> Answer {
    let settings = Settings::load(pam, host, line.break_glass);
    let decided = match decide(host, &settings, call) {
        Err((about, cause)) => match glass::offer(pam, host, call, &about, &cause) {
            // The warden's yes is no decision: the gate is asked again.
            Some(Ok(())) => decide(host, &settings, call),
            Some(Err(refused)) => Err((about, refused)),
            None => Err((about, cause)),
        },
        decided => decided,
    };
    match decided {
        Ok(Decided::NotOurs) => Answer::NotOurs,
        Ok(Decided::BreakGlass(account)) => {
            tell::note_break_glass(pam, host, call, &account);
            Answer::NotOurs
        }
        Ok(Decided::Allowed(allowed)) => {
            tell::note_allowed(pam, host, call, &allowed);
            Answer::Allowed
        }
        Err((about, cause)) => tell::refuse(pam, host, call, &about, &cause),
    }
}

enum Decided {
    NotOurs,
    BreakGlass(crate::host::Account),
    Allowed(Vec<Allowed>),
}

fn decide(host: &impl Host, settings: &Settings, call: &Call) -> Result<Decided, (String, Cause)> {
    let who = asks::who(call, host, settings).map_err(|cause| (call.user.clone(), cause))?;
    Ok(match who {
        Who::NotOurs => Decided::NotOurs,
        Who::BreakGlass(account) => Decided::BreakGlass(account),
        // sshd tells the keys in the session phase only.
        Who::Asks(asks) => gate::allows(host, settings, call, &asks, None)
            .map(Decided::Allowed)
            .map_err(|(account, cause)| (account.name, cause))?,
    })
}
