//! Checks of what sudo tells its log server.

use stint_sudolog::conversation::{Conversation, Heard};
use stint_sudolog::entry::Entry;
use stint_sudolog::frame;
use stint_sudolog::message::{
    AcceptMessage, ClientHello, ClientKind, ClientMessage, ExitMessage, InfoMessage, InfoValue, IoBuffer,
    RejectMessage, StringList, TimeSpec,
};
use stint_sudolog::recording::{self, MAGIC, Recording, Stream};
use stint_sudolog::replay::{self, Look};
use stint_sudolog::screen::Screen;
use stint_sudolog::sudo_rs::{self, Line, Pieces};

/// The bytes of a connection: nothing is heard before the greeting, nothing runs twice, nothing comes after the end, and each message
/// writes itself so that it is read again as the same.
pub fn conversation(data: &[u8]) {
    let mut conversation = Conversation::default();
    let (mut greeted, mut accepted, mut over) = (false, false, false);
    let mut rest = data;
    while let Ok(Some((body, after))) = frame::split(rest) {
        rest = after;
        let Ok(message) = frame::parse(body) else { return };
        let again = frame::client(&message);
        assert_eq!(
            frame::parse(&again[frame::HEADER_BYTES..]).as_ref(),
            Ok(&message),
            "a message reads back as another"
        );
        let Ok(heard) = conversation.hear(message) else { return };
        assert!(!over, "something was heard after the end");
        match heard {
            Heard::Hello => assert!(!std::mem::replace(&mut greeted, true), "two greetings"),
            Heard::Accepted { sub, .. } => {
                assert!(greeted && sub == accepted, "one command, and those that it starts");
                accepted = true;
            }
            Heard::Rejected { sub, .. } => {
                assert!(greeted && sub == accepted);
                over = !sub;
            }
            Heard::Alert { .. } => assert!(greeted),
            Heard::Recorded => assert!(accepted),
            Heard::Exited(exit) => {
                assert!(accepted && (exit.status.is_none() || exit.signal.is_none()));
                over = true;
            }
        }
    }
}

/// A recording: what is read is in order, and nothing of it drives a terminal.
pub fn recording(data: &[u8]) {
    let Ok(it) = recording::read(data) else { return };
    let Recording { pieces, whole, .. } = &it;
    assert!(pieces.windows(2).all(|two| two[0].at <= two[1].at), "time runs backwards");
    assert!(!*whole || recording::read(&data[..data.len() - 1]).is_ok_and(|cut| !cut.whole));
    let mut shown = Screen::default();
    for piece in pieces {
        harmless(&shown.pass(&piece.data));
    }
    let text: Vec<u8> = replay::steps(&it, Look::Text, 1.0).flat_map(|step| step.bytes).collect();
    let text = String::from_utf8(text).expect("text is text");
    assert!(text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "a control passed into text");
    let raw: usize = replay::steps(&it, Look::Raw, 1.0).map(|step| step.bytes.len()).sum();
    let printed = pieces.iter().filter(|piece| piece.stream == Stream::Output);
    assert_eq!(raw, printed.map(|piece| piece.data.len()).sum::<usize>());
    screen(data);
}

fn screen(data: &[u8]) {
    let once = Screen::default().pass(data);
    harmless(&once);
    assert_eq!(Screen::default().pass(&once), once, "what passed does not pass again");
}

/// No string for the terminal itself, no question to it, no control of eight bits.
fn harmless(shown: &[u8]) {
    let text = std::str::from_utf8(shown).expect("what passes is text");
    for hostile in ["\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\x1bZ", "\x1bc", "\x05", "\u{9b}", "\u{9d}"]
    {
        assert!(!text.contains(hostile), "{hostile:?} passed");
    }
}

/// The journal as journalctl prints it: nothing that is put together is lost, and what is read as a command is in bounds and stands in the
/// line, once.
pub fn journal(data: &[u8]) {
    let mut pieces = Pieces::default();
    let mut pids = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(entry) = Entry::read(line) else { continue };
        let Some(message) = entry.message else { continue };
        pids.push(entry.pid);
        for whole in pieces.put(entry.pid, &message) {
            told(&whole);
        }
    }
    for pid in pids {
        pieces.close(pid).iter().for_each(|whole| told(whole));
    }
    told(&String::from_utf8_lossy(data));
}

fn told(line: &str) {
    let Line::Command(what) = sudo_rs::read(line) else { return };
    assert!(line.starts_with(&format!("{} : ", what.user)) || what.user.ends_with("..."), "another user");
    assert!(what.argv.iter().map(String::len).sum::<usize>() <= 8 * 1024, "arguments without bound");
    assert!(what.cwd.len() <= 1024 && what.command.len() <= 1024, "paths without bound");
    let reading = format!(" ; USER={} ; COMMAND=", what.run_as);
    assert!(
        what.run_as.ends_with("...") || line.matches(&reading).count() == 1,
        "it can be read in two ways"
    );
}

fn message(kind: ClientKind) -> Vec<u8> {
    frame::client(&ClientMessage { kind: Some(kind) })
}

/// Good inputs of each target.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let text =
        |key: &str, value: &str| InfoMessage { key: key.into(), value: Some(InfoValue::Text(value.into())) };
    let argv = StringList { strings: vec![b"sh".to_vec(), b"-c".to_vec(), b"id".to_vec()] };
    let info_msgs = vec![
        text("submituser", "alice"),
        text("runuser", "root"),
        text("command", "/bin/sh"),
        InfoMessage { key: b"runargv".to_vec(), value: Some(InfoValue::Texts(argv)) },
    ];
    let hello = message(ClientKind::Hello(ClientHello { client_id: b"Sudo 1.9.13p3".to_vec() }));
    let accept = |io| {
        let submit_time = Some(TimeSpec { tv_sec: 1_795_444_800, tv_nsec: 5 });
        message(ClientKind::Accept(AcceptMessage {
            submit_time,
            info_msgs: info_msgs.clone(),
            expect_iobufs: io,
        }))
    };
    let output = |data: &[u8]| {
        let delay = Some(TimeSpec { tv_sec: 0, tv_nsec: 1_000_000 });
        message(ClientKind::TtyOut(IoBuffer { delay, data: data.to_vec() }))
    };
    let exit = message(ClientKind::Exit(ExitMessage { exit_value: 3, ..ExitMessage::default() }));
    let reject = message(ClientKind::Reject(RejectMessage {
        submit_time: None,
        reason: b"command not allowed".to_vec(),
        info_msgs: info_msgs.clone(),
    }));
    let entry = |message: &str| {
        format!(
            r#"{{"__CURSOR":"s=1","__MONOTONIC_TIMESTAMP":"5","_BOOT_ID":"b0","_PID":"812","_UID":"1000","_EXE":"/usr/bin/sudo","_TRANSPORT":"syslog","MESSAGE":"{message}"}}"#
        )
    };
    let ran = [
        entry("alice : TTY=/dev/pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/echo a [...]"),
        entry("[...]  b ; USER=root ; COMMAND=/bin/true"),
        entry("alice :  PWD=/ ; USER=root ; COMMAND=/usr/bin/id -u"),
    ];
    let printed = [output(b"\x1b[1mone\x1b[0m\r\n"), output(b"\x1b]0;title\x07two\xc3\xa4")].concat();
    vec![
        ("conversation", [&hello[..], &accept(true), &printed, &accept(false), &exit].concat()),
        ("conversation", [&hello[..], &reject].concat()),
        ("recording", [MAGIC, &accept(true), &printed, &exit].concat()),
        ("journal", ran.join("\n").into_bytes()),
    ]
}
