//! What is written, and that it means what was meant.

use proptest::prelude::*;
use stint_grant::ids::Sha256Hex;

use super::*;

pub(in crate::warden::sudoers) fn rule(path: &str, arguments: Arguments) -> SudoRule {
    SudoRule {
        run_as: UserName::new("root").unwrap(),
        command: Command::Program(Program { path: path.to_owned(), arguments }),
        digest: None,
        noexec: false,
    }
}

pub(in crate::warden::sudoers) fn exact(arguments: &[&str]) -> Arguments {
    Arguments::Exact(arguments.iter().map(|a| (*a).to_owned()).collect())
}

fn line(rule: SudoRule) -> Result<String, RenderError> {
    let (grant, user) = (GrantId::new("aaaabbbbcccc").unwrap(), UserName::new("alice").unwrap());
    // 2026-11-23 13:00:00 UTC
    let until = UnixTime(1_795_438_800);
    let record = CommandRecord::NONE;
    let text = DropIn { grant: &grant, user: &user, until, rules: &[rule], record }.render(Dialect::Sudo)?;
    Ok(text.lines().last().unwrap().to_owned())
}

#[test]
fn a_whole_drop_in() {
    let (grant, user) = (GrantId::new("aaaabbbbcccc").unwrap(), UserName::new("alice").unwrap());
    let mut with_digest = rule("/usr/bin/systemctl", exact(&["restart", "nginx.service"]));
    with_digest.digest = Some(Sha256Hex::of(b""));
    with_digest.noexec = true;
    let rules = [with_digest, rule("/usr/bin/id", Arguments::Any)];
    let drop_in = DropIn {
        grant: &grant,
        user: &user,
        until: UnixTime(1_795_438_800),
        rules: &rules,
        record: CommandRecord { fail_closed: true, ..CommandRecord::COMMANDS },
    };
    assert_eq!(drop_in.file_name(), "zz-stint-aaaabbbbcccc");
    assert_eq!(
        drop_in.render(Dialect::Sudo).unwrap(),
        "# Made by stint for grant aaaabbbbcccc. It is made anew when it is changed, and removed at the end.\n\
         Defaults:alice use_pty, timestamp_timeout=0, timestamp_type=tty, !setenv\n\
         Defaults:alice log_servers=\"127.0.0.1:343\", log_server_timeout=3, !ignore_logfile_errors\n\
         alice ALL = (root) NOTAFTER=20261123125959Z NOPASSWD: NOSETENV: NOEXEC: \
         sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 \
         /usr/bin/systemctl restart nginx.service\n\
         alice ALL = (root) NOTAFTER=20261123125959Z NOPASSWD: NOSETENV: /usr/bin/id\n"
    );
}

#[test]
fn the_last_second_is_the_one_before_the_end() {
    assert!(line(rule("/bin/id", Arguments::Any)).unwrap().contains(" NOTAFTER=20261123125959Z "));
}

#[test]
fn no_arguments_and_any_arguments_differ() {
    assert!(line(rule("/bin/id", exact(&[]))).unwrap().ends_with(" /bin/id \"\""));
    assert!(line(rule("/bin/id", Arguments::Any)).unwrap().ends_with(" /bin/id"));
}

#[test]
fn a_comment_sign_does_not_begin_a_comment() {
    assert!(line(rule("/bin/id", exact(&["a", "#foo"]))).unwrap().ends_with("/bin/id a \\#foo"));
}

#[test]
fn patterns_are_taken_by_their_letters() {
    assert!(line(rule("/bin/cat", exact(&["/var/log/*"]))).unwrap().ends_with("/bin/cat /var/log/\\*"));
}

#[test]
fn a_leading_caret_does_not_begin_a_regular_expression() {
    assert!(line(rule("/bin/id", exact(&["^.*$"]))).unwrap().ends_with("/bin/id \\^.\\*$"));
}

#[test]
fn two_quotes_as_an_argument_are_not_no_argument() {
    assert!(line(rule("/bin/id", exact(&["\"\""]))).unwrap().ends_with("/bin/id [\"]\""));
}

#[test]
fn what_cannot_be_written_is_refused() {
    for bad in ["a\nroot ALL = ALL", "a\0", "a\tb", "\u{85}"] {
        assert_eq!(line(rule("/bin/id", exact(&[bad]))), Err(RenderError::Control(bad.to_owned())));
    }
    assert_eq!(line(rule("/bin/id", exact(&[""]))), Err(RenderError::LoneEmpty("/bin/id".to_owned())));
    for bad in ["id", "/bin/id -u", "/bin/*", "/bin/id,/bin/sh", "/bin/i\\d"] {
        assert_eq!(line(rule(bad, Arguments::Any)), Err(RenderError::Path(bad.to_owned())));
    }
}

#[test]
fn an_end_outside_the_calendar_is_refused() {
    let (grant, user) = (GrantId::new("aaaabbbbcccc").unwrap(), UserName::new("alice").unwrap());
    for until in [i64::MAX, i64::MIN] {
        let drop_in = DropIn {
            grant: &grant,
            user: &user,
            until: UnixTime(until),
            rules: &[],
            record: CommandRecord::NONE,
        };
        assert_eq!(drop_in.render(Dialect::Sudo), Err(RenderError::Calendar));
    }
}

/// What sudo's reader makes of arguments: it drops a backslash before `, : = # space` and before a backslash.
fn as_sudo_reads(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some(next @ (',' | ':' | '=' | '#' | ' ' | '\\' | '!'))) => {
                out.push(*next);
                rest.next();
            }
            _ => out.push(c),
        }
    }
    out
}

proptest! {
    #[test]
    fn every_printable_text_means_itself(text in "[ -~\u{a1}-\u{17f}\u{4e00}-\u{4e80}]{1,40}") {
        let written = escape(&text);
        prop_assert_eq!(meaning(&as_sudo_reads(&written)), Some(text));
    }

    #[test]
    fn every_list_of_arguments_means_itself(list in proptest::collection::vec("[ -~]{0,6}", 1..6)) {
        prop_assume!(list != [""]);
        let written = line(rule("/bin/id", Arguments::Exact(list.clone()))).unwrap();
        let (_, pattern) = written.split_once(" /bin/id ").unwrap();
        prop_assert_eq!(meaning(&as_sudo_reads(pattern)), Some(list.join(" ")));
    }

    #[test]
    fn texts_of_special_characters_mean_themselves(text in r#"[\\"'#,:=*?!^$ \[\]-]{1,12}"#) {
        let written = escape(&text);
        prop_assert_eq!(meaning(&as_sudo_reads(&written)), Some(text));
    }

    #[test]
    fn nothing_that_is_written_ends_the_line_or_begins_a_comment(text in "[ -~]{1,40}") {
        let written = escape(&text);
        prop_assert!(!written.contains('\n'));
        let mut before = ' ';
        for c in written.chars() {
            prop_assert!(c != '#' || before == '\\');
            before = c;
        }
    }
}

fn for_sudo_rs(path: &str, arguments: Arguments) -> Result<String, RenderError> {
    let (grant, user) = (GrantId::new("aaaabbbbcccc").unwrap(), UserName::new("alice").unwrap());
    let rule = SudoRule {
        run_as: UserName::new("root").unwrap(),
        command: Command::Program(Program { path: path.to_owned(), arguments }),
        digest: None,
        noexec: true,
    };
    // It has no log server: the record that a grant asks for by default leaves no trace.
    let record = CommandRecord::COMMANDS;
    let drop_in = DropIn { grant: &grant, user: &user, until: UnixTime(0), rules: &[rule], record };
    let text = drop_in.render(Dialect::SudoRs);
    assert!(text.as_ref().map_or(true, |text| !text.contains("log_")), "{text:?}");
    text.map(|text| text.lines().next_back().unwrap_or_default().to_owned())
}

#[test]
fn for_sudo_rs_a_rule_has_no_end_and_means_its_arguments_one_by_one() {
    let exact = |list: &[&str]| Arguments::Exact(list.iter().map(|a| (*a).to_owned()).collect());
    let rule = "alice ALL = (root) NOPASSWD: NOSETENV: NOEXEC: /usr/bin/journalctl";
    assert_eq!(for_sudo_rs("/usr/bin/journalctl", Arguments::Any).unwrap(), rule);
    assert_eq!(for_sudo_rs("/usr/bin/journalctl", exact(&[])).unwrap(), format!("{rule} \"\""));
    let some = exact(&["-u", "nginx.service", "--since=12:00"]);
    let escaped = format!("{rule} -u nginx.service --since\\=12\\:00");
    assert_eq!(for_sudo_rs("/usr/bin/journalctl", some).unwrap(), escaped);
}

#[test]
fn what_sudo_rs_would_read_as_something_else_is_refused() {
    let long = "x".repeat(MAX_COMMAND_RS);
    for odd in ["", "a b", "*", "\"\"", "a*", "^a", "#1", "a\\b", "!a", "ü", &long] {
        let refused = for_sudo_rs("/usr/bin/x", Arguments::Exact(vec![odd.to_owned()]));
        assert!(matches!(refused, Err(RenderError::NotInSudoRs { .. })), "{odd:?}: {refused:?}");
    }
}
