//! Rights and terms: what is malformed is refused, at the broker and again on the host, by the same code.

#![allow(missing_docs, clippy::pedantic)]

mod common;
use common::*;

use stint_grant::rights::login::LOGIN_SERVICES;
use stint_grant::rights::sudo::{MAX_ARGUMENT_BYTES, Program};
use stint_grant::rights::{Arguments, Command, RightError, Rights, SudoRule};
use stint_grant::terms::{CheckedTerms, MAX_TERMS_BYTES, Terms, TermsError, digest_of};
use stint_grant::time::Seconds;

fn of_rule(rule: SudoRule) -> Result<(), RightError> {
    Rights { sudo: vec![rule], ..rights() }.check()
}
fn of_path(path: &str) -> Result<(), RightError> {
    let command = Command::Program(Program { path: path.into(), arguments: Arguments::Any });
    of_rule(SudoRule { run_as: id("root"), command, digest: None, noexec: false })
}
fn of_arguments(arguments: &[&str]) -> Result<(), RightError> {
    let arguments = Arguments::Exact(arguments.iter().map(|a| (*a).to_owned()).collect());
    let command = Command::Program(Program { path: "/usr/bin/x".into(), arguments });
    of_rule(SudoRule { run_as: id("root"), command, digest: None, noexec: false })
}

#[test]
fn a_command_is_one_absolute_plain_path() {
    for path in ["/usr/bin/systemctl", "/opt/app-1.2/bin/run_it", "/usr/bin/g++", "/a"] {
        assert_eq!(of_path(path), Ok(()), "{path}");
    }
    let long = format!("/{}", "a".repeat(1024));
    for path in [
        "",
        "/",
        "systemctl",
        "./x",
        "usr/bin/x",
        "/usr/bin/",
        "//usr/bin/x",
        "/usr//bin/x",
        "/usr/./x",
        "/usr/../x",
        "/usr/bin/..",
        "/usr/bin/*",
        "/usr/bin/?",
        "/usr/bin/[a-z]",
        "/usr/bin/a b",
        "/usr/bin/a\nb",
        "/usr/bin/a\0",
        "/usr/bin/a,b",
        "/usr/bin/a:b",
        "/usr/bin/a=b",
        "/usr/bin/a\\b",
        "/usr/bin/a#b",
        "/usr/bin/!a",
        "/usr/bin/\u{e4}",
        "/usr/bin/a\"b",
        "^/usr/bin/.*$",
        "ALL",
        "/usr/bin/$(x)",
        "/usr/bin/%x",
        &long,
    ] {
        assert_eq!(of_path(path), Err(RightError::Path(path.into())));
    }
    for path in ["/usr/bin/sudoedit", "/sudoedit"] {
        assert_eq!(of_path(path), Err(RightError::Sudoedit(path.into())));
    }
}

#[test]
fn arguments_are_plain_text_of_a_bounded_length() {
    let most = "a".repeat(MAX_ARGUMENT_BYTES - 1);
    for arguments in [
        &[][..],
        &["restart", "nginx.service"],
        &["-c", "select 1"],
        &["*", "!", "#", "^a$", "\\", "\""],
        &[most.as_str()],
    ] {
        assert_eq!(of_arguments(arguments), Ok(()), "{arguments:?}");
    }
    for bad in [
        "",
        "\"\"",
        "a\nb",
        "a\rb",
        "a\tb",
        "\0",
        "\u{1b}[2J",
        "\u{7f}",
        "\u{85}",
        "\u{9b}",
        "\u{202e}",
        "\u{200b}",
    ] {
        assert_eq!(of_arguments(&["ok", bad]), Err(RightError::Argument(bad.into())));
    }
    let long = "a".repeat(MAX_ARGUMENT_BYTES);
    assert_eq!(of_arguments(&[&long]), Err(RightError::TooLong("/usr/bin/x".into())));
    let many = vec!["a"; MAX_ARGUMENT_BYTES / 2 + 1];
    assert_eq!(of_arguments(&many), Err(RightError::TooLong("/usr/bin/x".into())));
}

#[test]
fn all_takes_no_digest_and_a_login_only_known_services() {
    let digest = Some(stint_grant::ids::Sha256Hex::of(b"x"));
    let rule = SudoRule { run_as: id("root"), command: Command::All, digest, noexec: false };
    assert_eq!(of_rule(rule), Err(RightError::AllWithDetails));
    for (services, refused) in [(vec![], ""), (vec!["sshd", "telnet"], "telnet"), (vec!["SSHD"], "SSHD")] {
        let mut rights = rights();
        rights.login.as_mut().unwrap().services = services.into_iter().map(str::to_owned).collect();
        assert_eq!(rights.check(), Err(RightError::Service(refused.into())));
    }
    let mut rights = rights();
    rights.login.as_mut().unwrap().services = LOGIN_SERVICES.iter().map(|s| (*s).to_owned()).collect();
    assert_eq!(rights.check(), Ok(()));
}

#[test]
fn a_right_to_nothing_is_refused() {
    let nothing = Rights { login: None, sudo: vec![], groups: vec![], account: None };
    assert_eq!(nothing.check(), Err(RightError::Empty));
    assert_eq!(Rights { groups: vec![id("adm")], ..nothing }.check(), Ok(()));
}

fn refused(edit: impl Fn(&mut Terms)) -> TermsError {
    let mut world = World::new();
    edit(&mut world.terms);
    CheckedTerms::parse(&world.terms.to_text()).unwrap_err()
}

#[test]
fn terms_that_do_not_hold_together_are_refused() {
    assert_eq!(refused(|t| t.format = 2), TermsError::UnknownFormat(2));
    assert_eq!(refused(|t| t.format = 0), TermsError::UnknownFormat(0));
    assert_eq!(refused(|t| t.hosts.clear()), TermsError::Hosts);
    assert_eq!(refused(|t| t.hosts.push(id("web-01"))), TermsError::Hosts);
    assert_eq!(refused(|t| t.reason.clear()), TermsError::Reason);
    assert_eq!(refused(|t| t.reason = "x".repeat(501)), TermsError::Reason);
    assert_eq!(refused(|t| t.reason = "two\nlines".into()), TermsError::Reason);
    assert_eq!(refused(|t| t.ticket = Some(String::new())), TermsError::Reason);
    assert_eq!(refused(|t| t.ticket = Some("x".repeat(101))), TermsError::Reason);
    assert_eq!(refused(|t| t.max_window = Seconds(0)), TermsError::Window);
    assert_eq!(refused(|t| t.claim_by = at(-301)), TermsError::Window);
    assert!(matches!(
        refused(|t| t.rights.sudo.push(SudoRule {
            digest: Some(id(&"0".repeat(64))),
            command: Command::All,
            ..restart_nginx()
        })),
        TermsError::Right(_)
    ));
}

#[test]
fn terms_over_the_cap_are_refused_and_their_digest_is_of_the_very_text() {
    let text = World::new().terms.to_text();
    assert_eq!(*CheckedTerms::parse(&text).unwrap().digest(), digest_of(&text));
    let padded = format!("{text} ");
    assert_ne!(*CheckedTerms::parse(&padded).unwrap().digest(), digest_of(&text));
    let huge = format!("{text}{}", " ".repeat(MAX_TERMS_BYTES));
    assert!(matches!(CheckedTerms::parse(&huge), Err(TermsError::Malformed(_))));
}

#[test]
fn a_rule_reads_as_what_it_is() {
    assert_eq!(restart_nginx().to_string(), "/usr/bin/systemctl restart nginx.service");
    let any = SudoRule { run_as: id("postgres"), command: Command::All, digest: None, noexec: false };
    assert_eq!(any.to_string(), "any command as postgres");
}
