//! A sealed grant in real libpam: what is asked, whom the answer is told, and that the gate alone decides.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use stint_grant::codes::CodeVerifier;
use stint_grant::gate::Opening;
use stint_grant::register::{RegisterAnswer, UseCode};
use stint_grant::terms::{Class, Terms};
use stint_grant::time::{Seconds, UnixTime};
use support::fixture::{ALICE, GRANT, Holding, Host, Plan, id, reading, terms};
use support::libpam::{PERM_DENIED, PROMPT_ECHO_OFF, PROMPT_ECHO_ON, SUCCESS};
use support::warden::Decisions;

const CODES: &str = "[ceiling.break_glass]\ncodes = true\n";
const CODE: &str = "7f3a-abcd-efgh-jkmn-pqrs";
const ANSWERS: &[&str] = &[CODE, "OPS-12: the broker is gone"];

fn sealed_terms() -> Terms {
    let code = CodeVerifier {
        id: "7F3A".parse().unwrap(),
        salt: "0".repeat(32).parse().unwrap(),
        hash: "0".repeat(64).parse().unwrap(),
        memory_kib: 19_456,
        passes: 2,
    };
    Terms {
        class: Class::BreakGlass,
        codes: vec![code],
        not_before: UnixTime(reading().0.0 - 86_400),
        claim_by: UnixTime(reading().0.0 + 86_400),
        ..terms(GRANT, ALICE)
    }
}

/// A host on which alice has a sealed grant and nothing else, and heard from its broker a month ago.
fn sealed() -> (Arc<Host>, Plan) {
    let (host, mut plan) = Host::new();
    let holding = Holding { grants: vec![host.grant(&sealed_terms())], ..Holding::default() };
    plan.accounts.insert(ALICE.to_owned(), holding);
    plan.pulse_age = 30 * 86_400;
    host.write(&plan);
    host.host_toml(CODES).gated("sshd").gated("sudo").gated("cron");
    (Arc::new(host), plan)
}

/// As the warden writes it: from now on for ten minutes.
fn opening() -> Opening {
    let (now, boottime_ms, boot_id) = reading();
    Opening {
        grant: id(GRANT),
        from: UnixTime(now.0 - 1),
        until: now.plus(Seconds(600)),
        boot_id,
        ends_ms: boottime_ms + 600_000,
    }
}

/// A warden that is told one code, and does something before it answers.
fn warden(host: &Host, answer: RegisterAnswer, first: impl FnOnce() + Send + 'static) -> Receiver<UseCode> {
    let listener = UnixListener::bind(host.path("run/stint/warden.sock")).unwrap();
    let (sender, told) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        sender.send(serde_json::from_str(&line).unwrap()).unwrap();
        first();
        let mut line = serde_json::to_vec(&answer).unwrap();
        line.push(b'\n');
        stream.write_all(&line).unwrap();
    });
    told
}

fn yes() -> RegisterAnswer {
    RegisterAnswer { ok: true, message: String::new() }
}

#[test]
fn a_code_that_the_warden_takes_opens_the_gate_with_news_a_month_old() {
    let (host, mut plan) = sealed();
    let decisions = Decisions::listen(&host);
    let opened = host.clone();
    let told = warden(&host, yes(), move || {
        plan.opened = vec![opening()];
        opened.write(&plan);
    });
    let mut pam = host.ssh(ALICE).answering(ANSWERS);
    assert_eq!(pam.account(), SUCCESS, "{:?}", pam.shown());
    assert_eq!(pam.prompts(), [(PROMPT_ECHO_OFF, "Break-glass code: "), (PROMPT_ECHO_ON, "Reason: ")]);
    let told = told.recv_timeout(Duration::from_mins(2)).unwrap();
    assert_eq!((told.user.as_str(), told.service.as_str()), (ALICE, "sshd"));
    assert_eq!((told.code.id().as_str(), told.origin.as_deref()), ("7F3A", Some("192.0.2.7")));
    assert_eq!(told.reason, "OPS-12: the broker is gone");
    assert_eq!(decisions.next().grants, [id(GRANT)]);
    // From then on nobody is asked, with and without anybody who could answer.
    let mut by_key = host.ssh(ALICE);
    assert_eq!(by_key.account(), SUCCESS);
    assert!(by_key.prompts().is_empty());
}

#[test]
fn a_warden_that_says_yes_and_opens_nothing_lets_nobody_in() {
    let (host, _) = sealed();
    let _told = warden(&host, yes(), || ());
    let mut pam = host.ssh(ALICE).answering(ANSWERS);
    assert_eq!(pam.account(), PERM_DENIED);
    assert!(pam.shown().last().unwrap().contains("is sealed"), "{:?}", pam.shown());
}

#[test]
fn the_words_of_the_warden_are_those_of_the_denial() {
    let (host, _) = sealed();
    let decisions = Decisions::listen(&host);
    let no = RegisterAnswer { ok: false, message: "that break-glass code was used".to_owned() };
    let _told = warden(&host, no, || ());
    let mut pam = host.ssh(ALICE).answering(ANSWERS);
    assert_eq!(pam.account(), PERM_DENIED);
    assert_eq!(pam.shown().last(), Some(&"stint: that break-glass code was used"));
    assert_eq!(decisions.next().code, "code");
}

#[test]
fn where_nobody_answers_or_nothing_is_answered_the_denial_tells_the_way() {
    let (host, _) = sealed();
    let decisions = Decisions::listen(&host);
    for answers in [&[][..], &[""], &[CODE], &[CODE, ""]] {
        let mut pam = host.ssh(ALICE).answering(answers);
        assert_eq!(pam.account(), PERM_DENIED);
        let said = *pam.shown().last().unwrap();
        assert!(said.contains("PreferredAuthentications=keyboard-interactive"), "{said}");
        assert_eq!(decisions.next().code, "sealed");
    }
}

#[test]
fn what_is_no_code_is_told_to_nobody() {
    let (host, _) = sealed();
    for typed in
        ["hunter2", "7f3a-abcd-efgh-jkmn-pqr", "7f3a-abcd-efgh-jkmn-pqrss", "7f3a-abcd-efgh-jkmn-pqr\u{e9}"]
    {
        let mut pam = host.ssh(ALICE).answering(Vec::leak(vec![typed, "why"]));
        assert_eq!(pam.account(), PERM_DENIED);
        assert!(
            pam.shown().last().unwrap().contains("a code has 20 letters and digits"),
            "{:?}",
            pam.shown()
        );
        assert_eq!(pam.prompts().len(), 1);
    }
}

#[test]
fn without_the_warden_no_code_opens_anything() {
    let (host, _) = sealed();
    let mut pam = host.ssh(ALICE).answering(ANSWERS);
    assert_eq!(pam.account(), PERM_DENIED);
    assert!(pam.shown().last().unwrap().contains("warden did not answer"), "{:?}", pam.shown());
}

#[test]
fn only_who_has_a_sealed_grant_is_asked_and_only_where_somebody_sits() {
    let (host, _) = sealed();
    for mut pam in [host.ssh("bob"), host.start("cron", ALICE)] {
        pam = pam.answering(ANSWERS);
        assert_eq!(pam.account(), PERM_DENIED);
        assert!(pam.prompts().is_empty(), "{:?}", pam.shown());
    }
    host.real_uid(1000);
    let mut sudo = host.start("sudo", "root").caller(ALICE).answering(ANSWERS);
    assert_eq!(sudo.account_silently(), PERM_DENIED);
    assert_eq!(sudo.prompts().len(), 2);
}

#[test]
fn a_host_that_observes_asks_nobody() {
    let (host, _) = sealed();
    host.mode("observe");
    let mut pam = host.ssh(ALICE).answering(ANSWERS);
    assert_eq!(pam.account(), SUCCESS);
    assert!(pam.prompts().is_empty());
}

#[test]
fn an_opening_of_another_boot_or_one_that_is_over_or_too_long_opens_nothing() {
    let (host, mut plan) = sealed();
    let (now, boottime_ms, _) = reading();
    for (what, opening) in [
        ("another boot", Opening { boot_id: "another".to_owned(), ..opening() }),
        ("over by the clock", Opening { until: now, ..opening() }),
        ("over by the boot clock", Opening { ends_ms: boottime_ms, ..opening() }),
        ("not begun", Opening { from: now.plus(Seconds(60)), ..opening() }),
        ("longer than its terms", Opening { until: now.plus(Seconds(3601)), ..opening() }),
        ("another grant", Opening { grant: id("bbbbbbbbbbbb"), ..opening() }),
    ] {
        plan.opened = vec![opening];
        host.write(&plan);
        assert_eq!(host.ssh(ALICE).account(), PERM_DENIED, "{what}");
    }
    plan.opened = vec![opening()];
    host.write(&plan);
    assert_eq!(host.ssh(ALICE).account(), SUCCESS);
    // A host that takes no codes takes none that were opened either.
    host.host_toml("");
    assert_eq!(host.ssh(ALICE).account(), PERM_DENIED);
    host.host_toml("[ceiling.break_glass]\ncodes = true\nmax_window = \"5m\"\n");
    assert_eq!(host.ssh(ALICE).account(), PERM_DENIED);
}

#[test]
fn a_sealed_grant_outlives_the_bundle_and_nothing_else_in_it_does() {
    let (host, mut plan) = sealed();
    plan.head_expires = UnixTime(host.now.0 - 1);
    plan.opened = vec![opening()];
    let ordinary = host.grant(&terms("bbbbbbbbbbbb", "bob"));
    plan.accounts.insert("bob".to_owned(), Holding { grants: vec![ordinary], ..Holding::default() });
    host.write(&plan);
    assert_eq!(host.ssh(ALICE).account(), SUCCESS);
    let mut bob = host.ssh("bob");
    assert_eq!(bob.account(), PERM_DENIED);
    assert!(bob.line().contains("bundle: it ended at"), "{}", bob.line());
    // Beside a sealed one, too.
    let mut both = plan.accounts[ALICE].clone();
    both.grants = vec![host.grant(&terms("cccccccccccc", ALICE))];
    plan.accounts.insert(ALICE.to_owned(), both.clone());
    host.write(&plan);
    assert_eq!(host.ssh(ALICE).account(), PERM_DENIED);
    both.grants.push(host.grant(&sealed_terms()));
    plan.accounts.insert(ALICE.to_owned(), both);
    plan.opened.clear();
    host.write(&plan);
    let mut alice = host.ssh(ALICE);
    assert_eq!(alice.account(), PERM_DENIED);
    assert!(alice.shown().last().unwrap().contains("is sealed"), "{:?}", alice.shown());
}
