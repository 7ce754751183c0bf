//! When the module itself is at fault (a line that it cannot read, a panic): who gets in all the same, so that somebody can mend it.
//!
//! Root on the console, root's own su and sudo, and the break-glass account, each with an alert in syslog. A host that only observes
//! lets everybody in. All others are denied.

use crate::asks::{self, WayIn};
use crate::call::Call;
use crate::cause::Cause;
use crate::pam::{Answer, Level, Pam};
use crate::settings::Settings;
use crate::{place, tell};

/// The word of a line that exempts an account.
pub const BREAK_GLASS: &str = "break_glass=";

/// Answers without deciding. `words` are those of the line, whatever they are.
pub fn run(pam: &impl Pam, words: &[String], fault: &str) -> Answer {
    let host = place::anyway(words);
    let call = Call::read(pam);
    let alert = |who: &str| {
        let (fault, who, service) = (tell::words(fault), tell::words(who), tell::words(&call.service));
        pam.log(
            Level::Alert,
            &format!("let in without a decision: user={who} service={service}: {fault}. Mend it"),
        );
    };
    // Before host.toml: root on the console needs no disk.
    if asks::is_local_root(&call, &host) {
        alert(&call.user);
        return Answer::NotOurs;
    }
    let settings = Settings::load(pam, &host, None);
    let named: Vec<u32> =
        words.iter().filter_map(|word| word.strip_prefix(BREAK_GLASS)?.parse().ok()).collect();
    match asks::way_in(&call, &host, |uid| named.contains(&uid) || settings.is_break_glass(uid)) {
        Some(WayIn::Root) => alert(&call.user),
        Some(WayIn::BreakGlass(account)) => {
            alert(&account.name);
            tell::note_break_glass(pam, &host, &call, &account);
        }
        None => return tell::refuse(pam, &host, &call, &call.user, &Cause::module(fault)),
    }
    Answer::NotOurs
}
