use proptest::prelude::*;

use super::*;

fn command(line: &str) -> CommandLine {
    match read(line) {
        Line::Command(what) => *what,
        other => panic!("{line}: {other:?}"),
    }
}

/// What sudo-rs 0.2.15 hands to syslog, piece by piece.
fn written(
    name: &str,
    tty: Option<&str>,
    cwd: &str,
    user: &str,
    command: &str,
    arguments: &[String],
) -> Vec<String> {
    let escaped = |text: &str| text.escape_default().to_string();
    let tty = tty.map_or(String::new(), |tty| format!("TTY={} ;", escaped(tty)));
    let arguments = arguments.iter().map(|argument| escaped(argument)).collect::<Vec<_>>().join(" ");
    let parts = [
        name,
        " : ",
        &tty,
        " PWD=",
        &escaped(cwd),
        " ; USER=",
        user,
        " ; COMMAND=",
        &escaped(command),
        " ",
        &arguments,
    ];
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    for part in parts {
        let mut part = part;
        while part.len() > 960 - piece.len() {
            let room = 960 - piece.len();
            let at = match part
                .as_bytes()
                .get(1..room)
                .and_then(|b| b.iter().rposition(u8::is_ascii_whitespace))
            {
                Some(position) => position + 1,
                None => part.floor_char_boundary(room),
            };
            piece.push_str(&part[..at]);
            pieces.push(piece + GOES_ON);
            piece = FOLLOWS.to_owned();
            part = &part[at..];
        }
        piece.push_str(part);
    }
    pieces.push(piece);
    // journald takes spaces off the end.
    pieces.into_iter().map(|piece| piece.trim_end().to_owned()).collect()
}

fn put_together(pieces: &[String]) -> Vec<String> {
    let mut open = Pieces::default();
    let mut whole: Vec<String> = pieces.iter().flat_map(|piece| open.put(7, piece)).collect();
    whole.extend(open.close(7));
    whole
}

#[test]
fn a_command_is_read_with_who_what_where() {
    let what = command(
        "alice : TTY=/dev/pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/systemctl restart nginx",
    );
    assert_eq!((what.user.as_str(), what.run_as.as_str()), ("alice", "root"));
    assert_eq!((what.command.as_str(), what.cwd.as_str()), ("/usr/bin/systemctl", "/home/alice"));
    assert_eq!((what.argv.join("|").as_str(), what.argv_sha256), ("/usr/bin/systemctl|restart|nginx", None));
    assert_eq!(what.tty.as_deref(), Some("/dev/pts/0"));
}

#[test]
fn without_a_terminal_and_without_arguments_it_is_read_as_well() {
    let what = command("alice :  PWD=/ ; USER=postgres ; COMMAND=/usr/bin/id");
    assert_eq!(
        (what.tty, what.argv, what.run_as.as_str()),
        (None, vec!["/usr/bin/id".to_owned()], "postgres")
    );
}

#[test]
fn what_was_escaped_is_what_was_typed() {
    let what = command(r"alice :  PWD=/tmp/\u{e4} ; USER=root ; COMMAND=/bin/echo a\nb \'c\' \\d \u{1f600}");
    assert_eq!(what.cwd, "/tmp/ä");
    assert_eq!(what.argv[1..], ["a\nb", "'c'", "\\d", "\u{1f600}"]);
}

#[test]
fn a_folder_or_an_argument_that_looks_like_the_line_s_own_words_makes_it_unclear() {
    for line in [
        "alice :  PWD=/tmp/x ; USER=root ; COMMAND=/bin/true ; USER=root ; COMMAND=/bin/sh",
        "alice :  PWD=/ ; USER=root ; COMMAND=/bin/echo x ; USER=root ; COMMAND=/bin/true",
        // The beginning is the program's name, which whoever runs sudo chooses.
        "x : TTY=/dev/pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/true: alice :  PWD=/ ; USER=root ; COMMAND=/bin/sh",
        "a b: alice :  PWD=/ ; USER=root ; COMMAND=/bin/sh",
        "alice : TTY=/dev/pts/0 ; x ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
        "alice :  PWD=/ ; USER=root ; COMMAND=/bin/sh \u{e4}",
        "alice :  PWD=/ ; USER=root ; COMMAND=/bin/sh \\q",
        "alice :  PWD=/ ; USER=root ; COMMAND=",
        "alice : command not found ; COMMAND=/bin/sh",
    ] {
        assert_eq!(read(line), Line::Unclear, "{line}");
    }
    assert_eq!(read("pam_unix(sudo:session): session opened for user root"), Line::Other);
}

#[test]
fn pieces_of_two_processes_are_not_mixed() {
    let mut open = Pieces::default();
    assert!(open.put(1, "one [...]").is_empty());
    assert!(open.put(2, "two [...]").is_empty());
    assert_eq!(open.put(2, "[...]  end"), ["two end"]);
    assert_eq!(open.put(1, "[...]  end"), ["one end"]);
}

#[test]
fn nothing_that_was_written_is_lost_whether_or_not_it_fits_together() {
    let mut open = Pieces::default();
    assert_eq!(open.put(1, "[...] of nothing"), ["[...] of nothing"]);
    assert!(open.put(1, "begun [...]").is_empty());
    assert_eq!(open.put(1, "another"), ["begun [...]", "another"]);
    assert!(open.put(1, "begun [...]").is_empty());
    assert_eq!((open.close(1), open.close(1)), (Some("begun [...]".to_owned()), None));
}

fn typed() -> impl Strategy<Value = String> {
    let odd = Just("; USER=root ; COMMAND=/bin/true".to_owned());
    prop_oneof![8 => "[a-z /;=.\\\\'\u{e4}\n]{0,40}", 1 => odd, 1 => "[a-z ]{0,2500}", 1 => Just("[...]".to_owned())]
}

proptest! {
    #[test]
    fn a_line_is_read_as_the_command_that_was_run_or_as_unclear(
        tty in prop::option::of(Just("/dev/pts/3")),
        cwd in typed(),
        arguments in prop::collection::vec(typed(), 0..6),
    ) {
        let cwd = format!("/{cwd}");
        let lines = put_together(&written("alice", tty, &cwd, "root", "/bin/echo", &arguments));
        prop_assert_eq!(lines.len(), 1);
        match read(&lines[0]) {
            Line::Command(what) => {
                prop_assert_eq!((what.user.as_str(), what.run_as.as_str(), what.tty.as_deref()), ("alice", "root", tty));
                prop_assert_eq!(what.command.as_str(), "/bin/echo");
                if cwd.len() <= MAX_PATH_BYTES {
                    prop_assert_eq!(what.cwd.as_str(), cwd.as_str());
                }
                if what.argv_sha256.is_none() {
                    let ran = [&["/bin/echo".to_owned()], &arguments[..]].concat().join(" ");
                    let read = what.argv.join(" ");
                    prop_assert_eq!(read.trim_end_matches(' '), ran.trim_end_matches(' '));
                }
            }
            Line::Unclear => {
                let looks = |text: &String| text.contains("USER=") || text.contains(';');
                prop_assert!(looks(&cwd) || arguments.iter().any(looks), "{}", lines[0]);
            }
            Line::Other => prop_assert!(false, "{}", lines[0]),
        }
    }
}
