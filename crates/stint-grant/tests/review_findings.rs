//! What a review of this crate with an attacker's eye found: each test is one hole, closed.

#![allow(missing_docs, clippy::pedantic)]

mod common;
use common::*;

use stint_grant::acceptance::Refusal;
use stint_grant::bundle::{self, BundleError, Ending, EndingKind, Grant, PulseError, Seen};
use stint_grant::decision::{Denial, Purpose, Question, Verdict, decide};
use stint_grant::dsse::{self, Envelope, EnvelopeError};
use stint_grant::gate::{self, GateFault, RefusedGrant, UserHeader};
use stint_grant::host_config::{Ceiling, HostConfig, Unreviewed};
use stint_grant::ids::*;
use stint_grant::review::{ReviewDecision, Statement};
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, SudoRule};
use stint_grant::root::RootError;
use stint_grant::roster::{self, Reviewer, RosterError};
use stint_grant::terms::{CheckedTerms, TermsError};
use stint_grant::time::{ClockReading, Floor, Seconds, UnixTime};
use stint_grant::{tree, words};

fn ssh() -> Question<'static> {
    Question { purpose: Purpose::Login { service: "sshd" }, origin: None, credentials: None }
}
fn ask(gate: &Gate, question: &Question<'_>) -> Verdict {
    decide(&gate.open().unwrap(), &HostConfig::default(), question)
}
fn program(path: &str, arguments: Arguments) -> SudoRule {
    let command = Command::Program(Program { path: path.into(), arguments });
    SudoRule { run_as: id("root"), command, digest: None, noexec: false }
}
fn exact(arguments: &[&str]) -> Arguments {
    Arguments::Exact(arguments.iter().map(|a| (*a).to_owned()).collect())
}

// Time.

#[test]
fn a_pulse_from_before_a_reboot_shown_again_anchors_no_clock_that_lost_its_time() {
    let floor = Floor { time: NOW, boot_id: "boot-1".into(), boottime_ms: 0 };
    let dead_clock = ClockReading { wall: UnixTime(10), boottime_ms: 500, boot_id: "boot-2".into() };
    for replayed in [at(-500), NOW] {
        let after = floor.advance(replayed, &dead_clock).unwrap();
        assert!(after.now(&dead_clock).is_err(), "{replayed}");
    }
    assert_eq!(floor.advance(at(1), &dead_clock).unwrap().now(&dead_clock), Ok(at(1)));
}

#[test]
fn the_length_between_two_extremes_is_the_whole_length() {
    assert_eq!(UnixTime(i64::MAX).since(UnixTime(i64::MIN)), Seconds(u64::MAX));
    assert_eq!(UnixTime(i64::MIN).since(UnixTime(i64::MAX)), Seconds(0));
}

#[test]
fn a_pulse_signed_for_a_time_to_come_freshens_nothing() {
    let world = World::new();
    let gate = Gate::with(&world, world.shard(), |_| {}, |pulse| pulse.issued_at = at(61));
    let refused = gate.open().unwrap_err();
    assert_eq!(refused, GateFault::Pulse(PulseError::Ahead { issued_at: at(61), now: NOW }));
    Gate::with(&world, world.shard(), |_| {}, |pulse| pulse.issued_at = at(60)).open().unwrap();
}

#[test]
fn a_window_that_may_end_outside_the_calendar_is_refused() {
    type Edit = fn(&mut stint_grant::terms::Terms);
    let edits: [Edit; 4] = [
        |t| t.claim_by = UnixTime(i64::MAX),
        |t| t.max_window = Seconds(u64::MAX),
        |t| t.max_extension = Seconds(1 << 40),
        |t| t.not_before = UnixTime(-1),
    ];
    for edit in edits {
        let mut world = World::new();
        edit(&mut world.terms);
        assert_eq!(CheckedTerms::parse(&world.terms.to_text()), Err(TermsError::Window));
    }
}

// Root, roster, epoch, envelope.

#[test]
fn a_head_of_an_epoch_that_was_made_void_is_refused_even_if_its_old_root_is_shown_again() {
    let world = World::new();
    let seen = Seen { epoch: 2, version: 1, head: Sha256Hex::of(b"the newer head") };
    let envelope = world.sign_head(&world.head(&[]));
    let refused = bundle::open_head(&envelope, &world.trusted_root(), &world.me(), Some(&seen), NOW);
    assert_eq!(refused, Err(BundleError::WrongEpoch { found: 1, root: 2 }));
}

#[test]
fn a_root_past_its_end_vouches_for_no_bundle_and_no_roster() {
    let mut world = World::new();
    world.root.expires_at = at(-1);
    let root = world.trusted_root();
    let head = bundle::open_head(&world.sign_head(&world.head(&[])), &root, &world.me(), None, NOW);
    assert_eq!(head, Err(BundleError::RootExpired(at(-1))));
    let roster = roster::open(&world.roster_envelope(), &root, None, NOW);
    assert_eq!(roster, Err(RosterError::RootExpired(at(-1))));
}

#[test]
fn an_online_key_may_not_sign_rosters_or_roots() {
    let mut world = World::new();
    world.root.roster = role(&[&world.roster_key, &world.bundle_key], 1);
    assert_eq!(world.root.check_roles(), Err(RootError::OnlineKey("roster")));
    let mut world = World::new();
    world.root.root = role(&[&world.pulse_key], 1);
    assert_eq!(world.root.check_roles(), Err(RootError::OnlineKey("root")));
    let mut world = World::new();
    let authority = key(60);
    assert_eq!(world.root.certificate, role(&[&authority], 1));
    world.root.roster = role(&[&world.roster_key, &authority], 1);
    assert_eq!(world.root.check_roles(), Err(RootError::OnlineKey("roster")));
}

#[test]
fn a_certificate_role_that_promises_two_signatures_is_refused_as_sshd_takes_one() {
    let mut world = World::new();
    world.root.certificate = role(&[&world.pulse_key, &world.bundle_key], 2);
    assert_eq!(world.root.check_roles(), Err(RootError::BadRole("certificate")));
    world.root.certificate.threshold = 1;
    world.root.check_roles().unwrap();
}

#[test]
fn one_key_of_two_reviewers_is_refused() {
    let mut world = World::new();
    let line = world.bob.public_key().to_openssh().unwrap();
    let keys = vec![format!("{line} carol@laptop")];
    world.roster.reviewers.push(Reviewer { name: id("carol"), keys, groups: vec![] });
    let refused = roster::open(&world.roster_envelope(), &world.trusted_root(), None, NOW);
    assert_eq!(refused, Err(RosterError::SharedKey(id("bob"), id("carol"))));
}

#[test]
fn an_envelope_stuffed_with_signatures_is_refused_before_any_is_checked() {
    let world = World::new();
    let mut envelope: Envelope = serde_json::from_slice(&world.sign_head(&world.head(&[]))).unwrap();
    envelope.signatures = vec![envelope.signatures[0].clone(); dsse::MAX_SIGNATURES + 1];
    let bytes = serde_json::to_vec(&envelope).unwrap();
    let refused = bundle::open_head(&bytes, &world.trusted_root(), &world.me(), None, NOW);
    let stuffed = EnvelopeError::TooManySignatures(dsse::MAX_SIGNATURES + 1);
    assert_eq!(refused, Err(BundleError::Envelope(stuffed)));
}

#[test]
fn a_shard_that_the_module_could_not_read_is_refused_by_the_warden_too() {
    let world = World::new();
    let shards = [vec![b' '; bundle::MAX_SHARD_BYTES + 1]];
    let root = world.trusted_root();
    let head = dsse::verify(&world.sign_head(&world.head(&shards)), &[root.bundle_signers()]).unwrap();
    let refused = bundle::open_all_shards(&head, &shards).unwrap_err();
    assert!(refused.to_string().contains("more than"), "{refused}");
}

// The decision.

#[test]
fn a_second_copy_of_an_accepted_grant_with_a_longer_window_allows_nothing() {
    let world = World::new();
    let mut shard = world.shard();
    shard.grants.push(Grant { until: at(3000), ..world.grant() });
    let gate = Gate::with(&world, shard, |_| {}, |_| {});
    assert!(matches!(ask(&gate, &ssh()), Verdict::Deny(Denial::Refused { .. })));
}

#[test]
fn the_module_holds_a_grant_to_its_terms_even_if_the_warden_accepted_it() {
    let world = World::new();
    let longer = Grant { until: at(9000), ..world.grant() };
    let mut bobs = World::new();
    bobs.terms.user = id("bob");
    let other = Grant { id: id("bbbbbbbbbbbb"), ..world.grant() };
    for grant in [longer, bobs.grant(), other] {
        let shard = bundle::Shard { grants: vec![grant.clone()], ..world.shard() };
        let mut gate = Gate::with(&world, shard, |_| {}, |_| {});
        gate.edit_header(|h| h.accepted = vec![grant.id.clone()]);
        assert!(matches!(ask(&gate, &ssh()), Verdict::Deny(Denial::Refused { .. })), "{grant:?}");
    }
}

#[test]
fn a_revocation_outranks_the_grant_that_stands_beside_it() {
    let world = World::new();
    let mut shard = world.shard();
    let ending =
        Ending { grant: id("aaaaaaaaaaaa"), how: EndingKind::Revoked, by: Some(id("bob")), at: at(-1) };
    shard.endings.push(ending);
    let gate = Gate::with(&world, shard, |_| {}, |_| {});
    assert!(matches!(ask(&gate, &ssh()), Verdict::Deny(Denial::Ended { .. })));
}

#[test]
fn a_login_that_has_no_ssh_key_does_not_pass_where_the_terms_name_one() {
    let mut world = World::new();
    world.terms.credentials = vec![id("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    world.terms.rights.login.as_mut().unwrap().services = vec!["sshd".into(), "login".into(), "cron".into()];
    let gate = Gate::of(&world);
    for service in ["login", "cron"] {
        let question = Question { purpose: Purpose::Login { service }, ..ssh() };
        assert!(matches!(ask(&gate, &question), Verdict::Deny(Denial::Credential { .. })), "{service}");
    }
    assert!(matches!(ask(&gate, &ssh()), Verdict::Allow(_)));
}

#[test]
fn full_root_without_starting_programs_does_not_become_root_through_su() {
    let mut world = World::new();
    let rule = SudoRule { command: Command::All, ..program("/x", exact(&[])) };
    world.terms.rights.sudo = vec![SudoRule { noexec: true, ..rule.clone() }];
    let become_root = Question { purpose: Purpose::BecomeRoot, ..ssh() };
    assert!(matches!(ask(&Gate::of(&world), &become_root), Verdict::Deny(Denial::NotCovered { .. })));
    world.terms.rights.sudo = vec![rule];
    assert!(matches!(ask(&Gate::of(&world), &become_root), Verdict::Allow(_)));
}

#[test]
fn a_long_cause_does_not_make_the_accounts_file_too_large_to_read() {
    let refused = |n: usize| RefusedGrant {
        grant: id(&format!("{:a>12}", "b".repeat(n % 10))),
        cause: "\u{1b}😀".repeat(9000),
    };
    let header = UserHeader {
        head: Sha256Hex::of(b"head"),
        proof: tree::Proof { index: 0, path: vec![Sha256Hex::of(b"x"); 64] },
        accepted: vec![],
        refused: (0..bundle::MAX_GRANTS_PER_USER).map(refused).collect(),
    };
    let bytes = gate::user_file_bytes(&header, &vec![b' '; bundle::MAX_SHARD_BYTES]);
    assert!(bytes.len() <= gate::MAX_USER_BYTES, "{}", bytes.len());
}

// Acceptance.

fn refusal_of_rule(rule: SudoRule) -> Option<Refusal> {
    let mut world = World::new();
    world.terms.rights.sudo = vec![rule];
    world.judge(&world.grant(), &[world.approval()], &Ceiling::default()).err()
}

#[test]
fn a_shell_by_another_name_is_full_root() {
    let open = [
        program("/bin/bash", Arguments::Any),
        program("/bin/sh", exact(&[])),
        program("/usr/bin/zsh", exact(&["-i"])),
        program("/usr/bin/python3.13", Arguments::Any),
        program("/usr/bin/su", exact(&["-", "root"])),
        program("/usr/bin/sudo", exact(&["/usr/bin/true"])),
    ];
    for rule in open {
        assert_eq!(refusal_of_rule(rule.clone()), Some(Refusal::FullRoot), "{rule:?}");
    }
    let closed = [
        program("/bin/bash", exact(&["/opt/deploy/run.sh"])),
        program("/usr/bin/systemctl", Arguments::Any),
        SudoRule { run_as: id("postgres"), ..program("/bin/bash", Arguments::Any) },
    ];
    for rule in closed {
        assert_eq!(refusal_of_rule(rule.clone()), None, "{rule:?}");
    }
}

#[test]
fn a_grant_for_the_root_account_itself_is_full_root() {
    let mut world = World::new();
    world.terms.user = id("root");
    let (roster, me, fleet, reviews) =
        (world.trusted_roster(), world.me(), id("example"), [world.approval()]);
    let judge = |ceiling: &Ceiling| {
        let judge = stint_grant::acceptance::Judge {
            fleet: &fleet,
            me: &me,
            ceiling,
            roster: Some(&roster),
            reviews: &reviews,
        };
        judge.judge(&id("root"), &world.grant(), None)
    };
    assert_eq!(judge(&Ceiling::default()).unwrap_err(), Refusal::FullRoot);
    let mut strict = Ceiling { full_root: true, ..Ceiling::default() };
    judge(&strict).unwrap();
    strict.reviews.root = 2;
    assert_eq!(judge(&strict).unwrap_err(), Refusal::Reviews { found: 1, needed: 2 });
}

#[test]
fn a_rule_that_leaves_the_caller_a_choice_never_comes_without_a_review() {
    for command in [Command::All, program("/usr/bin/less", Arguments::Any).command] {
        let mut world = World::new();
        let rule = SudoRule { command, ..program("/x", exact(&[])) };
        world.terms.rights.login = None;
        world.terms.rights.sudo = vec![rule.clone()];
        let ceiling = Ceiling {
            full_root: true,
            unreviewed: vec![Unreviewed { user: id("alice"), login: false, sudo: Some(rule) }],
            ..Ceiling::default()
        };
        let refused = world.judge(&world.grant(), &[], &ceiling).unwrap_err();
        assert_eq!(refused, Refusal::Reviews { found: 0, needed: 1 });
    }
}

// Reading.

#[test]
fn each_word_has_one_spelling() {
    let refused = |text: &str, why: serde_json::Result<()>| assert!(why.is_err(), "{text} was taken");
    for text in [r#"{"all":null}"#, r#"{"program":null}"#, "[]", "null", "0", "\"All\"", "{}"] {
        refused(text, serde_json::from_str::<Command>(text).map(|_| ()));
    }
    for text in [r#"{"any":null}"#, "{}", r#"{"exact":[],"exact":[]}"#, r#"{"exact":[],"any":null}"#] {
        refused(text, serde_json::from_str::<Arguments>(text).map(|_| ()));
    }
    refused("class", serde_json::from_str::<stint_grant::terms::Class>(r#"{"routine":null}"#).map(|_| ()));
    refused("decision", serde_json::from_str::<ReviewDecision>(r#"{"approve":null}"#).map(|_| ()));
    refused("ending", serde_json::from_str::<EndingKind>(r#"{"revoked":null}"#).map(|_| ()));
    for text in ["-0", "1e2", "1.0", "01", "+1", "9223372036854775808", "\"1\"", "null"] {
        refused(text, serde_json::from_str::<UnixTime>(text).map(|_| ()));
    }
    let trailing_bits = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=";
    refused(
        trailing_bits,
        serde_json::from_str::<stint_grant::keys::PublicKey>(&format!("{trailing_bits:?}")).map(|_| ()),
    );
}

#[test]
fn a_review_statement_in_another_spelling_of_its_decision_is_no_review() {
    let world = World::new();
    let good = world.approval();
    let text = good.statement.replace("\"approve\"", "{\"approve\":null}");
    let signature = world.bob.sign("stint-review", ssh_key::HashAlg::Sha512, text.as_bytes()).unwrap();
    let review = stint_grant::review::SignedReview {
        statement: text,
        signature: signature.to_pem(ssh_key::LineEnding::LF).unwrap(),
    };
    assert!(serde_json::from_str::<Statement>(&good.statement).is_ok());
    assert!(world.judge(&world.grant(), &[review], &Ceiling::default()).is_err());
}

// Words.

const DECEIVING: &[char] = &[
    '\u{7}',
    '\u{1b}',
    '\u{7f}',
    '\u{85}',
    '\u{9b}',
    '\u{ad}',
    '\u{61c}',
    '\u{200b}',
    '\u{200d}',
    '\u{200e}',
    '\u{2028}',
    '\u{2029}',
    '\u{202a}',
    '\u{202e}',
    '\u{2060}',
    '\u{2066}',
    '\u{2069}',
    '\u{feff}',
    '\u{fe0f}',
    '\u{e0041}',
];

#[test]
fn what_a_reviewer_would_not_see_is_refused_in_reason_ticket_and_arguments() {
    for c in DECEIVING {
        let mut world = World::new();
        world.terms.reason = format!("OPS-12 {c}gnihton");
        assert_eq!(world.terms.check(), Err(TermsError::Reason), "{c:?}");
        let mut world = World::new();
        world.terms.ticket = Some(format!("OPS{c}"));
        assert_eq!(world.terms.check(), Err(TermsError::Reason), "{c:?}");
        let mut world = World::new();
        world.terms.rights.sudo =
            vec![program("/usr/bin/systemctl", exact(&["restart", &format!("ng{c}inx")]))];
        assert!(matches!(world.terms.check(), Err(TermsError::Right(_))), "{c:?}");
    }
    let mut world = World::new();
    world.terms.reason = "Zertifikat für „müller“ — 証明書 — شهادة — é (e\u{301})".into();
    world.terms.check().unwrap();
}

#[test]
fn no_text_from_outside_hides_or_turns_what_is_shown_or_fills_the_screen() {
    for c in DECEIVING {
        let denial = Denial::Locked { reason: format!("a{c}b"), lock: "bbbbbbbbbbbb".into() };
        assert!(!denial.to_string().contains(*c), "{c:?}");
        assert!(!words::printable(&c.to_string()).contains(*c), "{c:?}");
    }
    let denial = Denial::Locked { reason: "x".repeat(100_000), lock: "bbbbbbbbbbbb".into() };
    assert!(denial.to_string().len() < 500);
}

#[test]
fn an_argument_that_sudoers_reads_as_no_arguments_is_refused() {
    for arguments in [exact(&[""]), exact(&["restart", ""]), exact(&["\"\""])] {
        let mut world = World::new();
        world.terms.rights.sudo = vec![program("/usr/bin/systemctl", arguments)];
        assert!(matches!(world.terms.check(), Err(TermsError::Right(_))));
    }
}
