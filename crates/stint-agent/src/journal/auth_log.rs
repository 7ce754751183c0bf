//! Alarms, said to the machine's own auth log as well: who watches that log hears of them even when the broker does not.
//!
//! A thread of its own does the writing, so that a log daemon that hangs never holds the warden up. It connects anew for each line, since the
//! syslog crate does not reconnect, and alarms are rare.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use stint_grant::words::printable;
use stint_log::record::Event;
use syslog::{Facility, Formatter3164};

/// Where the log daemon listens.
const LOG_SOCKET: &str = "/dev/log";
/// Lines that may wait for a log daemon that is slow; what is more is in the journal only.
const WAITING: usize = 64;

/// The way to the auth log.
pub(crate) struct AuthLog(SyncSender<String>);

impl AuthLog {
    /// The machine's own.
    pub(crate) fn system() -> std::io::Result<Self> {
        Self::at(Path::new(LOG_SOCKET))
    }

    fn at(socket: &Path) -> std::io::Result<Self> {
        let (sender, lines) = sync_channel::<String>(WAITING);
        let socket = PathBuf::from(socket);
        std::thread::Builder::new().name("auth-log".to_owned()).spawn(move || {
            for line in lines {
                if let Err(error) = write(&socket, &line) {
                    tracing::warn!(%error, "an alarm could not be written to the auth log");
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// Says an alarm, or that a break-glass code was used. Other events are none of that log's.
    pub(super) fn tell(&self, event: &Event) {
        let Some(line) = line(event) else { return };
        if self.0.try_send(line).is_err() {
            tracing::warn!("the auth log is slow: an alarm is in the journal only");
        }
    }
}

fn line(event: &Event) -> Option<String> {
    match event {
        Event::Alarm { what, detail } => Some(format!("alarm {}: {}", printable(what), printable(detail))),
        Event::CodeUsed { grant, user, service, origin, code, reason, .. } => Some(format!(
            "alarm break-glass: {} opened grant {} with code {} by {} from {}: {}",
            printable(user),
            printable(grant),
            printable(code),
            printable(service),
            printable(origin.as_deref().unwrap_or("this host")),
            printable(reason)
        )),
        _ => None,
    }
}

fn write(socket: &Path, line: &str) -> syslog::Result<()> {
    let formatter = Formatter3164 {
        facility: Facility::LOG_AUTH,
        hostname: None,
        process: "stintd".to_owned(),
        pid: std::process::id(),
    };
    syslog::unix_custom(formatter, socket)?.alert(line)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::*;

    fn alarm(detail: &str) -> Event {
        Event::Alarm { what: "equivocation".to_owned(), detail: detail.to_owned() }
    }

    #[test]
    fn an_alarm_reaches_the_auth_log_on_one_line_without_control_characters() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        daemon.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        let log = AuthLog::at(&path).unwrap();
        log.tell(&alarm("version 7\n\u{1b}[2J has two contents"));
        let mut buffer = [0; 1024];
        let length = daemon.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap().trim_end();
        // Facility auth (4), severity alert (1): RFC 3164, section 4.1.1.
        assert!(text.starts_with("<33>"), "{text:?}");
        assert!(text.contains("stintd["), "{text:?}");
        assert!(text.contains("alarm equivocation: version 7\\n\\u{1b}[2J has two contents"), "{text:?}");
    }

    #[test]
    fn a_code_that_is_used_is_in_the_auth_log_with_its_reason_on_one_line() {
        let used = Event::CodeUsed {
            grant: "aaaabbbbcccc".to_owned(),
            user: "alice".to_owned(),
            service: "sshd".to_owned(),
            origin: Some("192.0.2.7".to_owned()),
            code: "7F3A".to_owned(),
            reason: "gone\nalarm: all is well".to_owned(),
            until: 0,
        };
        let expected = "alarm break-glass: alice opened grant aaaabbbbcccc with code 7F3A by sshd from 192.0.2.7: \
                        gone\\nalarm: all is well";
        assert_eq!(line(&used).unwrap(), expected);
    }

    #[test]
    fn what_is_no_alarm_stays_in_the_journal() {
        assert_eq!(line(&Event::AgentStopped { why: String::new() }), None);
    }

    #[test]
    fn a_missing_log_daemon_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuthLog::at(&dir.path().join("nobody")).unwrap();
        for _ in 0..10 * WAITING {
            log.tell(&alarm("again"));
        }
    }
}
