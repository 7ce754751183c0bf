//! Telling what was decided: the user, syslog, and the warden.

use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, UnixCredentials, sendmsg};
use nix::unistd::{getegid, geteuid, getpid};
use stint_grant::ids::GrantId;
use stint_grant::register::{DECISIONS_SOCKET, DecisionNote};
use stint_grant::words::printable;

use crate::call::Call;
use crate::cause::Cause;
use crate::files::Folder;
use crate::gate::Allowed;
use crate::host::{Account, Host};
use crate::pam::{Answer, Level, Pam, Style};

/// The folder of the file `mode`.
const MODE_FOLDER: &str = "var/lib/stint";
/// More than any word in it.
const MAX_MODE_BYTES: usize = 64;
/// The most characters of one field in a line of syslog.
const MAX_FIELD: usize = 256;
/// The most characters of a line for people.
const MAX_WORDS: usize = 600;

/// Refuses, unless the host only observes: says why to the user, syslog and the warden. `about` is the account that was decided on.
pub fn refuse(pam: &impl Pam, host: &impl Host, call: &Call, about: &str, cause: &Cause) -> Answer {
    let enforced = !observes(host);
    let said = if enforced { "denied" } else { "would deny" };
    pam.log(
        Level::Notice,
        &format!(
            "{said}: service={} user={} caller={} origin={} grant={} cause={}: {}",
            field(&call.service),
            field(about),
            field(call.caller.as_deref().unwrap_or("-")),
            field(call.remote.as_deref().unwrap_or("-")),
            cause.grants.first().map_or("-", GrantId::as_str),
            cause.code,
            words(&cause.words),
        ),
    );
    note(pam, host, call, about, &Outcome { allowed: false, enforced, cause });
    if !enforced {
        return Answer::NotOurs;
    }
    pam.show(Style::Error, &format!("stint: {}", words(&cause.words)));
    Answer::Denied
}

/// Tells the warden that something was allowed.
pub fn note_allowed(pam: &impl Pam, host: &impl Host, call: &Call, allowed: &[Allowed]) {
    for one in allowed {
        let grants = one.permit.grants.iter().map(|g| g.id.clone()).collect();
        let cause = Cause { code: "allowed", grants, words: String::new() };
        note(pam, host, call, &one.account.name, &Outcome { allowed: true, enforced: true, cause: &cause });
    }
}

/// Tells syslog and the warden that the break-glass account was used.
pub fn note_break_glass(pam: &impl Pam, host: &impl Host, call: &Call, account: &Account) {
    let (service, name) = (field(&call.service), field(&account.name));
    let origin = field(call.remote.as_deref().unwrap_or("-"));
    pam.log(Level::Notice, &format!("break-glass: service={service} user={name} origin={origin}"));
    let cause = Cause { code: "break-glass", grants: Vec::new(), words: String::new() };
    note(pam, host, call, &account.name, &Outcome { allowed: true, enforced: true, cause: &cause });
}

struct Outcome<'a> {
    allowed: bool,
    enforced: bool,
    cause: &'a Cause,
}

/// One datagram that nobody waits for. The warden's absence changes no decision.
fn note(pam: &impl Pam, host: &impl Host, call: &Call, about: &str, outcome: &Outcome<'_>) {
    let note = DecisionNote {
        format: 1,
        service: field(&call.service),
        user: field(about),
        caller: call.caller.as_deref().map(field),
        origin: call.remote.as_deref().map(field),
        allowed: outcome.allowed,
        enforced: outcome.enforced,
        grants: outcome.cause.grants.clone(),
        code: outcome.cause.code.to_owned(),
        cause: words(&outcome.cause.words),
    };
    if let Err(error) = send(host, &note) {
        pam.log(Level::Debug, &format!("the warden was not told of this decision: {error}"));
    }
}

/// With the effective ids, as root's process: unasked, the kernel names the real ones, which in sudo and su are the caller's.
fn send(host: &impl Host, note: &DecisionNote) -> std::io::Result<()> {
    let message = serde_json::to_vec(note)?;
    let socket = UnixDatagram::unbound()?;
    let address = UnixAddr::new(&host.socket(DECISIONS_SOCKET))?;
    let sender = UnixCredentials::from(libc::ucred {
        pid: getpid().as_raw(),
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    });
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let credentials = [ControlMessage::ScmCredentials(&sender)];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(&message)], &credentials, flags, Some(&address))?;
    Ok(())
}

/// Whether the host only observes. Whatever is not exactly the word means enforce, and so does a file that cannot be trusted.
pub fn observes(host: &impl Host) -> bool {
    Folder::base(host.base())
        .and_then(|base| base.descend(MODE_FOLDER))
        .and_then(|folder| folder.read("mode", MAX_MODE_BYTES))
        .is_ok_and(|bytes| bytes.trim_ascii() == b"observe")
}

/// A line for people, with nothing in it that drives a terminal, and no longer than one can read.
pub fn words(text: &str) -> String {
    shortened(text, MAX_WORDS)
}

fn field(text: &str) -> String {
    shortened(text, MAX_FIELD)
}

fn shortened(text: &str, max: usize) -> String {
    let clean = printable(text);
    match clean.char_indices().nth(max) {
        None => clean,
        Some((end, _)) => format!("{}...", clean.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(words("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ä".repeat(MAX_FIELD + 1);
        assert_eq!(field(&long), format!("{}...", "ä".repeat(MAX_FIELD)));
        assert_eq!(field(&"ä".repeat(MAX_FIELD)), "ä".repeat(MAX_FIELD));
    }
}
