//! Recordings in words.

use stint_api::recordings::RecordingView;
use stint_grant::time::UnixTime;
use stint_log::record::CommandLine;

use super::record::command_as;
use super::{safe, table};

fn state(it: &RecordingView) -> &'static str {
    match (it.bytes, it.received, it.whole) {
        (None, ..) => "being recorded",
        (Some(_), None, _) => "on the host",
        (Some(_), Some(_), Some(true)) => "here",
        (Some(_), Some(_), _) => "here, NOT WHOLE",
    }
}

/// The list, by the broker's word.
pub(crate) fn list(recordings: &[RecordingView]) -> String {
    let row = |it: &RecordingView| {
        let what = CommandLine {
            user: it.user.clone(),
            run_as: it.run_as.clone(),
            command: it.command.clone(),
            argv: it.argv.clone(),
            argv_sha256: None,
            cwd: String::new(),
            tty: None,
        };
        [
            safe(&it.run),
            safe(&it.host),
            UnixTime(it.began).to_string(),
            it.grant.as_deref().map_or_else(|| "-".to_owned(), safe),
            it.bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            state(it).to_owned(),
            format!("{}: {}", safe(&it.user), command_as(&what)),
        ]
    };
    let header = ["RUN", "HOST", "BEGAN", "GRANT", "BYTES", "RECORDING", "COMMAND"];
    table(header, recordings.iter().map(row).collect(), "no recordings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_where_it_is_and_a_hostile_command_is_text() {
        let it = RecordingView {
            host: "web-01".into(),
            run: "abcd".into(),
            grant: None,
            user: "alice".into(),
            run_as: "root".into(),
            command: "/bin/sh".into(),
            argv: vec!["sh".into(), "\x1b[2J".into()],
            began: 1_795_442_400,
            bytes: None,
            sha256: None,
            whole: None,
            received: None,
        };
        let of = |it: RecordingView| list(&[it]);
        let running = of(it.clone());
        assert!(running.contains("alice: /bin/sh") && running.contains("as root"), "{running}");
        assert!(running.contains("being recorded") && !running.contains('\x1b'), "{running}");
        let ended = RecordingView { bytes: Some(9), whole: Some(false), ..it };
        assert!(of(ended.clone()).contains("on the host"));
        assert!(of(RecordingView { received: Some(1), ..ended.clone() }).contains("here, NOT WHOLE"));
        let whole = of(RecordingView { received: Some(1), whole: Some(true), ..ended });
        assert!(whole.contains("here") && !whole.contains("NOT"), "{whole}");
        assert_eq!(list(&[]), "no recordings\n");
    }
}
