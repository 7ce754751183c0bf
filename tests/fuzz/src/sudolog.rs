//! Checks of what sudo tells its log server.

use stint_sudolog::conversation::{Conversation, Heard};
use stint_sudolog::frame;
use stint_sudolog::message::{
    AcceptMessage, ClientHello, ClientKind, ClientMessage, ExitMessage, InfoMessage, InfoValue, IoBuffer,
    RejectMessage, StringList, TimeSpec,
};
use stint_sudolog::recording::{self, MAGIC, Recording};
use stint_sudolog::screen::Screen;

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
    let Ok(Recording { pieces, whole, .. }) = recording::read(data) else { return };
    assert!(pieces.windows(2).all(|two| two[0].at <= two[1].at), "time runs backwards");
    assert!(!whole || recording::read(&data[..data.len() - 1]).is_ok_and(|cut| !cut.whole));
    let mut shown = Screen::default();
    for piece in &pieces {
        harmless(&shown.pass(&piece.data));
    }
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
    let printed = [output(b"\x1b[1mone\x1b[0m\r\n"), output(b"\x1b]0;title\x07two\xc3\xa4")].concat();
    vec![
        ("conversation", [&hello[..], &accept(true), &printed, &accept(false), &exit].concat()),
        ("conversation", [&hello[..], &reject].concat()),
        ("recording", [MAGIC, &accept(true), &printed, &exit].concat()),
    ]
}
