//! A host's records in words.

use stint_grant::time::UnixTime;
use stint_log::record::{Body, CommandLine, Ending, Event, IoLog, Mode, Record, Verdict};

use super::safe;
use crate::duration;

/// One record: number, time, and what it tells.
pub(crate) fn line(record: &Record) -> String {
    let words = match &record.body {
        Body::Known(event) => event_words(event),
        Body::Other { kind, event } => {
            let json = serde_json::Value::Object(event.clone()).to_string();
            format!("{} {}", safe(kind), safe(&json))
        }
    };
    format!("{:>6}  {}  {words}", record.header.seq, UnixTime(record.header.at))
}

fn event_words(event: &Event) -> String {
    let g = |grant: &Option<String>| {
        grant.as_deref().map_or_else(|| "no grant".to_owned(), |g| format!("grant {}", safe(g)))
    };
    let s = |text: &str| safe(text);
    let from = |origin: Option<&str>| origin.map_or_else(String::new, |o| format!(" from {}", safe(o)));
    match event {
        Event::AgentStarted { version, mode } => {
            format!("stintd {} started, mode {}", s(version), mode_word(*mode))
        }
        Event::AgentStopped { why } => format!("stintd stopped: {}", s(why)),
        Event::Enrolled { fleet, broker, identity_key } => {
            format!("enrolled in fleet {} at {}, identity key {}", s(fleet), s(broker), s(identity_key))
        }
        Event::RootInstalled { version, sha256 } => format!("root {version} taken, sha256 {sha256}"),
        Event::BundleInstalled { epoch, version, accepted, refused, .. } => {
            format!("bundle {epoch}.{version} in force: {accepted} grants accepted, {refused} refused")
        }
        Event::BundleRefused { cause, detail } => format!("bundle refused ({}): {}", s(cause), s(detail)),
        Event::GateWritten { generation, .. } => format!("gate generation {generation} written"),
        Event::LockApplied { lock, user } => {
            format!("lock {} in force on {}", s(lock), locked(user.as_deref()))
        }
        Event::LockLifted { lock, user } => {
            format!("lock {} lifted from {}", s(lock), locked(user.as_deref()))
        }
        Event::GrantAccepted { grant, user, ends } => {
            format!("grant {} of {} accepted until {}", s(grant), s(user), UnixTime(*ends))
        }
        Event::GrantRefused { grant, cause } => format!("grant {} refused: {}", s(grant), s(cause)),
        Event::Decision { service, user, grant, verdict, cause } => {
            let cause = if cause.is_empty() { String::new() } else { format!(": {}", s(cause)) };
            format!("{} {} at {} ({}){cause}", s(user), verdict_word(*verdict), s(service), g(grant))
        }
        Event::CodeTried { user, service, origin, code, reason } => format!(
            "{} typed break-glass code {} at {}{}: {}",
            s(user),
            s(code),
            s(service),
            from(origin.as_deref()),
            s(reason)
        ),
        Event::CodeRefused { grant, user, code, cause } => {
            format!("break-glass code {} of {} refused ({}): {}", s(code), s(user), g(grant), s(cause))
        }
        Event::CodeUsed { grant, user, service, origin, code, reason, until } => format!(
            "BREAK-GLASS: {} opened grant {} by {}{} until {} with code {}: {}",
            s(user),
            s(grant),
            s(service),
            from(origin.as_deref()),
            UnixTime(*until),
            s(code),
            s(reason)
        ),
        Event::SessionOpened { grant, user, service, session, origin, ends, .. } => {
            let from = from(origin.as_deref());
            let ends = ends.map_or_else(String::new, |e| format!(", until {}", UnixTime(e)));
            format!(
                "session {} of {} opened by {}{from} ({}){ends}",
                s(session),
                s(user),
                s(service),
                g(grant)
            )
        }
        Event::SessionMoved { grant, user, pid, scope } => {
            format!("process {pid} of {} moved to {} ({})", s(user), s(scope), g(grant))
        }
        Event::SessionClosed { grant, user, session } => {
            format!("session {} of {} closed ({})", s(session), s(user), g(grant))
        }
        Event::SessionTerminated { grant, user, session, how } => {
            format!("session {} of {} terminated (grant {}): {}", s(session), s(user), s(grant), s(how))
        }
        Event::ProcessesKilled { grant, scope, count, how, took_ms } => {
            let of = if scope.is_empty() { String::new() } else { format!(" of {}", s(scope)) };
            format!("{count} processes{of} killed in {took_ms} ms (grant {}): {}", s(grant), s(how))
        }
        Event::CommandAccepted { run, grant, sub, io, what, .. } => {
            let how = if *sub { "started in a command" } else { "ran" };
            let io = if *io { ", output recorded" } else { "" };
            format!("{} {how} {} ({}, run {}{io})", s(&what.user), command_line(what), g(grant), s(run))
        }
        Event::CommandRejected { run, grant, what, reason, .. } => format!(
            "{} was refused {} by sudo: {} ({}, run {})",
            s(&what.user),
            command_line(what),
            s(reason),
            g(grant),
            s(run)
        ),
        Event::CommandAlert { run, grant, reason, .. } => {
            format!("sudo alert: {} ({}, run {})", s(reason), g(grant), s(run))
        }
        Event::CommandEnded { run, grant, exit, signal, took_ms, io, .. } => {
            let how = match (signal.as_deref(), exit) {
                (Some(signal), _) => format!("ended by SIG{}", s(signal)),
                (None, Some(code)) => format!("ended with exit status {code}"),
                (None, None) => "ended".to_owned(),
            };
            let io = io.as_ref().map_or_else(String::new, |io| format!("; {}", recorded(io)));
            format!("run {} {how} after {took_ms} ms ({}){io}", s(run), g(grant))
        }
        Event::RecordingCut { run, io } => {
            format!("the warden was away before run {} ended; {}", s(run), recorded(io))
        }
        Event::DropInWritten { grant, path, .. } => format!("{} written (grant {})", s(path), s(grant)),
        Event::DropInRefused { grant, cause, detail } => {
            format!("sudo rules of grant {} not written ({}): {}", s(grant), s(cause), s(detail))
        }
        Event::DropInRemoved { grant, path } => format!("{} removed (grant {})", s(path), s(grant)),
        Event::GroupGiven { grant, user, group } => {
            format!("{} put into group {} (grant {})", s(user), s(group), s(grant))
        }
        Event::GroupRefused { grant, user, group, detail } => {
            format!("{} NOT put into group {} (grant {}): {}", s(user), s(group), s(grant), s(detail))
        }
        Event::GroupTakenBack { grant, user, group } => {
            format!("{} taken out of group {} (grant {})", s(user), s(group), s(grant))
        }
        Event::AccountMade { grant, user, uid } => {
            format!("account {} made with uid {uid} (grant {})", s(user), s(grant))
        }
        Event::AccountRefused { grant, user, detail } => {
            format!("account {} NOT made (grant {}): {}", s(user), s(grant), s(detail))
        }
        Event::AccountEnded { grant, user, uid, home } => {
            format!("account {} with uid {uid} removed, {} (grant {})", s(user), s(home), s(grant))
        }
        Event::WindowWarned { grant, user, minutes_left } => {
            format!("{} told that {minutes_left} min are left (grant {})", s(user), s(grant))
        }
        Event::WindowExtended { grant, from, to } => {
            format!("window of grant {} extended from {} to {}", s(grant), UnixTime(*from), UnixTime(*to))
        }
        Event::WindowEnded { grant, how } => format!("grant {} {}", s(grant), ending_word(*how)),
        Event::Receipt { .. } => receipt_words(event),
        Event::ModeChanged { from, to, by, why } => {
            format!("mode {} -> {} by {}: {}", mode_word(*from), mode_word(*to), s(by), s(why))
        }
        Event::ClockJumped { seconds } => {
            let way = if *seconds < 0 { "back" } else { "ahead" };
            format!("wall clock moved {way} by {}", duration::words(seconds.unsigned_abs()))
        }
        Event::FloorLowered { from, to, by } => {
            format!("floor of time lowered from {} to {} by {}", UnixTime(*from), UnixTime(*to), s(by))
        }
        Event::Alarm { what, detail } => format!("ALARM {}: {}", s(what), s(detail)),
        Event::Gap { epoch, from, to, why } => {
            format!("records {from} to {to} of epoch {epoch} cannot be read: {}", s(why))
        }
        Event::Heartbeat {} => "heartbeat".to_owned(),
        #[allow(unreachable_patterns, reason = "a kind that is newer than this program")]
        other => format!("{other:?}"),
    }
}

/// A command as it was typed, as far as it is on record.
fn recorded(io: &IoLog) -> String {
    let part = if io.whole { "" } else { ", NOT WHOLE" };
    format!("{} bytes recorded, sha256 {}{part}", io.bytes, io.sha256)
}

fn command_line(what: &CommandLine) -> String {
    format!("{} in {}", command_as(what), super::rights::word(&what.cwd))
}

/// A command, and as whom it ran.
pub(crate) fn command_as(what: &CommandLine) -> String {
    let name = super::rights::word(&what.command);
    let arguments = what.argv.iter().skip(1).map(|word| super::rights::word(word));
    let rest = what.argv_sha256.map(|hash| format!("... (all arguments: sha256 {hash})"));
    let words: Vec<_> = std::iter::once(name).chain(arguments).chain(rest).collect();
    format!("{} as {}", words.join(" "), safe(&what.run_as))
}

/// A receipt never says that all is clean after root: nobody can know it.
fn receipt_words(event: &Event) -> String {
    let Event::Receipt {
        grant,
        sessions,
        killed,
        removed,
        restored,
        reported,
        not_excluded,
        not_scanned,
        also_open,
        took_ms,
        nothing_found,
        clean,
    } = event
    else {
        return String::new();
    };
    let list = |what: &str, items: &[String]| match items {
        [] => String::new(),
        items => format!("; {what} {}", items.iter().map(|i| safe(i)).collect::<Vec<_>>().join(", ")),
    };
    let outcome = match (clean, nothing_found) {
        (true, _) => "clean",
        (false, true) => "root was granted: no residue found in what was scanned",
        (false, false) => "NOT CLEAN",
    };
    format!(
        "receipt of grant {}: {outcome}; {sessions} sessions ended, {killed} processes killed, {took_ms} ms in all{}{}{}{}{}{}",
        safe(grant),
        list("removed", removed),
        list("put back", restored),
        list("reported", reported),
        list("not scanned:", not_scanned),
        list("also open:", also_open),
        list("could not be excluded:", not_excluded)
    )
}

fn locked(user: Option<&str>) -> String {
    user.map_or_else(|| "the host".to_owned(), safe)
}

fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Inert => "inert",
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "let in",
        Verdict::Deny => "denied",
        Verdict::WouldDeny => "would have been denied",
        Verdict::Ignore => "not gated",
    }
}

fn ending_word(ending: Ending) -> &'static str {
    match ending {
        Ending::Expired => "expired",
        Ending::Ended => "was given back",
        Ending::LoggedOut => "ended with the last logout",
        Ending::Revoked => "was revoked",
        Ending::Locked => "was ended by a lock",
        Ending::Withdrawn => "was withdrawn",
        Ending::Stale => "ended without fresh word from the broker",
    }
}

#[cfg(test)]
mod tests {
    use stint_log::Hash;
    use stint_log::record::Header;

    use super::*;

    fn of(event: Event) -> String {
        let header = Header {
            host: "web-01".into(),
            epoch: 0,
            seq: 7,
            prev: Hash::ZERO,
            at: 1_795_444_800,
            boot: "b0".into(),
        };
        line(&Record { header, body: Body::Known(event) })
    }

    #[test]
    fn a_record_has_its_number_and_time() {
        assert_eq!(of(Event::Heartbeat {}), "     7  2026-11-23 14:40:00 UTC  heartbeat");
    }

    #[test]
    fn a_decision_names_who_where_and_why() {
        let event = Event::Decision {
            service: "sshd".into(),
            user: "alice".into(),
            grant: None,
            verdict: Verdict::Deny,
            cause: "no-grant".into(),
        };
        assert!(of(event).ends_with("UTC  alice denied at sshd (no grant): no-grant"));
    }

    #[test]
    fn a_command_is_shown_as_it_was_typed_and_a_hostile_argument_as_text() {
        let what = CommandLine {
            user: "alice".into(),
            run_as: "root".into(),
            command: "/usr/bin/printf".into(),
            argv: vec!["printf".into(), "a b".into(), "\x1b]0;x\x07".into()],
            argv_sha256: None,
            cwd: "/home/alice".into(),
            tty: None,
        };
        let event = Event::CommandAccepted {
            run: "r1".into(),
            grant: Some("7f3a".into()),
            session: None,
            pid: 7,
            sub: false,
            io: true,
            what: Box::new(what),
        };
        let text = of(event);
        assert!(text.contains("alice ran /usr/bin/printf 'a b' '"), "{text}");
        assert!(text.ends_with("as root in /home/alice (grant 7f3a, run r1, output recorded)"), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_command_s_end_says_how_and_whether_all_output_is_there() {
        let ended = |exit, signal: Option<&str>, whole| Event::CommandEnded {
            run: "r1".into(),
            grant: None,
            session: None,
            pid: 7,
            exit,
            signal: signal.map(str::to_owned),
            took_ms: 40,
            io: Some(stint_log::record::IoLog { bytes: 9, sha256: Hash::ZERO, whole }),
        };
        assert!(of(ended(Some(3), None, true)).contains("run r1 ended with exit status 3 after 40 ms"));
        let cut = of(ended(None, Some("KILL"), false));
        assert!(cut.contains("ended by SIGKILL") && cut.ends_with("NOT WHOLE"), "{cut}");
    }

    #[test]
    fn a_receipt_that_is_not_clean_shouts() {
        let text = of(receipt(false, false));
        assert!(
            text.ends_with(
                "receipt of grant 7f3a: NOT CLEAN; 1 sessions ended, 3 processes killed, 40 ms in all; removed /etc/sudoers.d/x; \
                 put back /root/.ssh/authorized_keys; reported account x; not scanned: /mnt; also open: d34d; \
                 could not be excluded: a copy of data"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_receipt_after_root_never_says_clean() {
        let text = of(receipt(true, false));
        assert!(text.contains(": root was granted: no residue found in what was scanned; "), "{text}");
        assert!(!text.to_lowercase().contains("clean"), "{text}");
        assert!(of(receipt(true, true)).contains("7f3a: clean; "));
    }

    fn receipt(nothing_found: bool, clean: bool) -> Event {
        Event::Receipt {
            grant: "7f3a".into(),
            sessions: 1,
            killed: 3,
            removed: vec!["/etc/sudoers.d/x".into()],
            restored: vec!["/root/.ssh/authorized_keys".into()],
            reported: vec!["account x".into()],
            not_excluded: vec!["a copy of data".into()],
            not_scanned: vec!["/mnt".into()],
            also_open: vec!["d34d".into()],
            took_ms: 40,
            nothing_found,
            clean,
        }
    }

    #[test]
    fn a_kind_that_is_not_known_is_shown_as_it_stands() {
        let header =
            Header { host: "web-01".into(), epoch: 0, seq: 1, prev: Hash::ZERO, at: 0, boot: "b0".into() };
        let event = serde_json::Map::from_iter([("a".to_owned(), serde_json::json!("\u{1b}"))]);
        let text = line(&Record { header, body: Body::Other { kind: "new_kind".into(), event } });
        assert!(text.ends_with(r#"new_kind {"a":"\\u001b"}"#), "{text}");
    }

    #[test]
    fn text_from_the_host_cannot_drive_the_terminal() {
        assert!(!of(Event::AgentStopped { why: "\x1b[2J".into() }).contains('\x1b'));
    }
}
