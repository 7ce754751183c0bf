//! One entry of systemd's journal, as `journalctl -o json` prints it: what the sender wrote, and what journald itself found out about the
//! sender, which is all that may be believed.

use serde::Deserialize;
use serde_json::Value;

/// The fields that are asked for, besides those that are always printed.
pub const FIELDS: &str = "MESSAGE,_BOOT_ID,_PID,_UID,_EXE,_AUDIT_LOGINUID,_TRANSPORT";

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the journal.
    pub cursor: String,
    /// In which boot it came.
    pub boot: String,
    /// When, in microseconds of `CLOCK_MONOTONIC`.
    pub monotonic_us: u64,
    /// The sender, as the kernel told it.
    pub pid: u32,
    /// Its real uid.
    pub uid: Option<u32>,
    /// The program, as its name stood in `/proc`. `None` if the sender was gone before journald looked.
    pub exe: Option<String>,
    /// The uid that logged in.
    pub loginuid: Option<u32>,
    /// What the sender wrote; `None` if it is too long, or no text. Any user can write anything there.
    pub message: Option<String>,
}

/// Why a line is no entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not what journalctl prints.
    #[error("not an entry of the journal: {0}")]
    Json(#[from] serde_json::Error),
    /// A number that is none.
    #[error("an entry whose {0} is no number")]
    Number(&'static str),
    /// It came by another way than syslog(3).
    #[error("an entry that did not come by syslog")]
    Transport,
}

#[derive(Deserialize)]
struct Printed {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__MONOTONIC_TIMESTAMP")]
    monotonic: String,
    #[serde(rename = "_BOOT_ID")]
    boot: String,
    #[serde(rename = "_PID")]
    pid: String,
    #[serde(rename = "_TRANSPORT")]
    transport: String,
    #[serde(rename = "_UID")]
    uid: Option<String>,
    #[serde(rename = "_AUDIT_LOGINUID")]
    loginuid: Option<String>,
    #[serde(rename = "_EXE")]
    exe: Option<Value>,
    #[serde(rename = "MESSAGE")]
    message: Option<Value>,
}

impl Entry {
    /// Reads a line.
    pub fn read(line: &[u8]) -> Result<Self, EntryError> {
        let printed: Printed = serde_json::from_slice(line)?;
        if printed.transport != "syslog" {
            return Err(EntryError::Transport);
        }
        let optional = |text: Option<String>, name| text.map(|text| number(&text, name)).transpose();
        Ok(Self {
            pid: number(&printed.pid, "_PID")?,
            uid: optional(printed.uid, "_UID")?,
            loginuid: optional(printed.loginuid, "_AUDIT_LOGINUID")?,
            monotonic_us: number(&printed.monotonic, "__MONOTONIC_TIMESTAMP")?,
            cursor: printed.cursor,
            boot: printed.boot,
            // A name that is no text is printed as numbers: it is some program, and not the one that is looked for.
            exe: printed.exe.map(|exe| text(exe).unwrap_or_default()),
            message: printed.message.and_then(text),
        })
    }
}

fn number<N: std::str::FromStr>(text: &str, name: &'static str) -> Result<N, EntryError> {
    text.parse().map_err(|_| EntryError::Number(name))
}

fn text(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795671878000000","__MONOTONIC_TIMESTAMP":"5000123",
        "_BOOT_ID":"b0","_PID":"812","_UID":"1000","_EXE":"/usr/bin/sudo","_AUDIT_LOGINUID":"1000","_TRANSPORT":"syslog",
        "MESSAGE":"alice : hello"}"#;

    fn with(field: &str, value: &str) -> String {
        let mut entry: serde_json::Map<String, Value> = serde_json::from_str(LINE).unwrap();
        entry.insert(field.to_owned(), serde_json::from_str(value).unwrap());
        serde_json::to_string(&entry).unwrap()
    }

    #[test]
    fn an_entry_is_read_with_what_journald_says_of_its_sender() {
        let entry = Entry::read(LINE.as_bytes()).unwrap();
        assert_eq!((entry.pid, entry.uid, entry.loginuid), (812, Some(1000), Some(1000)));
        assert_eq!(
            (entry.exe.as_deref(), entry.message.as_deref()),
            (Some("/usr/bin/sudo"), Some("alice : hello"))
        );
        assert_eq!((entry.boot.as_str(), entry.monotonic_us), ("b0", 5_000_123));
    }

    #[test]
    fn a_program_without_a_readable_name_is_not_one_that_is_not_known() {
        let entry = Entry::read(with("_EXE", "[47,255]").as_bytes()).unwrap();
        assert_eq!(entry.exe.as_deref(), Some(""));
        let gone = LINE.replace(r#""_EXE":"/usr/bin/sudo","#, "");
        assert_eq!(Entry::read(gone.as_bytes()).unwrap().exe, None);
    }

    #[test]
    fn a_message_that_is_too_long_or_no_text_is_none() {
        for message in ["null", "[1,2]", "[\"a\",\"b\"]"] {
            assert_eq!(Entry::read(with("MESSAGE", message).as_bytes()).unwrap().message, None);
        }
    }

    #[test]
    fn what_is_no_entry_by_syslog_is_refused() {
        for (field, value) in [
            ("_TRANSPORT", "\"journal\""),
            ("_TRANSPORT", "[\"syslog\",\"journal\"]"),
            ("_PID", "\"x\""),
            ("_PID", "812"),
            ("_UID", "\"-1\""),
            ("__MONOTONIC_TIMESTAMP", "\"\""),
        ] {
            assert!(Entry::read(with(field, value).as_bytes()).is_err(), "{field} {value}");
        }
        assert!(Entry::read(b"-- No entries --").is_err());
    }
}
