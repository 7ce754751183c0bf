//! Which sessions a set of live grants permits.

use serde_json::{Value, json};
use stint_grant::acceptance::AcceptedGrant;
use stint_grant::bundle::Grant;
use stint_grant::terms::CheckedTerms;

use super::*;

const A: &str = "aaaabbbbcccc";
const B: &str = "ddddeeeeffff";

pub(in crate::warden::sessions) fn rule(run_as: &str, command: &str) -> Value {
    let command = if command == "ALL" {
        json!("all")
    } else {
        json!({ "program": { "path": command, "arguments": { "exact": [] } } })
    };
    json!({ "run_as": run_as, "command": command, "digest": null, "noexec": false })
}

pub(in crate::warden::sessions) fn grant(
    id: &str,
    user: &str,
    until: i64,
    login: &[&str],
    rules: impl Into<Value>,
) -> LiveGrant {
    let forwarding = json!({ "port": false, "agent": false, "x11": false });
    let login =
        (!login.is_empty()).then(|| json!({ "services": login, "origins": [], "forwarding": forwarding }));
    let text = json!({
        "format": 1, "fleet": "lab", "request": id, "entitlement": "e", "hosts": ["web-01"], "principal": user,
        "user": user, "class": "routine", "reason": "x", "ticket": null,
        "rights": { "login": login, "sudo": rules.into(), "groups": [], "account": null },
        "record": { "level": "none", "input": false, "subcommands": false, "fail_closed": false },
        "credentials": [], "not_before": 0, "claim_by": 1000, "max_window": 10_000, "max_extension": 0,
        "max_staleness": 900, "idle_limit": null, "end_on_logout": false, "codes": []
    })
    .to_string();
    let terms = CheckedTerms::parse(&text).unwrap();
    let id = GrantId::new(id).unwrap();
    let policy = "1".to_owned();
    let grant = Grant { id, terms: text, from: UnixTime(0), until: UnixTime(until), policy };
    LiveGrant { grant: AcceptedGrant { grant, terms, reviewers: Vec::new() } }
}

fn register(kind: SessionKind, service: &str, target: &str, grants: &[&LiveGrant]) -> Register {
    Register {
        format: 1,
        service: service.to_owned(),
        kind,
        user: "alice".to_owned(),
        target: target.to_owned(),
        pid: 7,
        tty: None,
        origin: None,
        session_id: None,
        grants: grants.iter().map(|g| g.id().clone()).collect(),
        until: UnixTime(0),
    }
}

pub(in crate::warden::sessions) fn session(
    kind: SessionKind,
    service: &str,
    target: &str,
    live: &[LiveGrant],
) -> Session {
    let all: Vec<&LiveGrant> = live.iter().collect();
    let (basis, limit) = basis_of(&register(kind, service, target, &all), live).unwrap();
    Session {
        name: "session-92.scope".to_owned(),
        kind,
        service: service.to_owned(),
        user: UserName::new("alice").unwrap(),
        target: target.to_owned(),
        pid: 7,
        started: 99,
        login_uid: Some(1000),
        audit: Some(92),
        cgroup: Some("/user.slice/user-1000.slice/session-92.scope".to_owned()),
        home: "/user.slice/user-1000.slice/session-92.scope".to_owned(),
        logind: Some("92".to_owned()),
        tty: None,
        basis,
        limit,
    }
}

/// A session, for the tests of other files.
pub(in crate::warden::sessions) fn example() -> Session {
    session(SessionKind::Login, "sshd", "alice", &[grant(A, "alice", 100, &["sshd"], json!([]))])
}

#[test]
fn a_session_rests_on_the_grants_that_the_module_named() {
    let live = [
        grant(A, "alice", 100, &["sshd"], json!([])),
        grant(B, "alice", 200, &["sshd"], json!([rule("root", "/bin/id")])),
    ];
    let (basis, until) =
        basis_of(&register(SessionKind::Login, "sshd", "alice", &[&live[0]]), &live).unwrap();
    assert_eq!(basis.iter().map(|b| b.grant.as_str()).collect::<Vec<_>>(), [A]);
    assert_eq!(until, UnixTime(100));
}

#[test]
fn a_session_one_of_whose_grants_ended_a_moment_ago_does_not_open() {
    let live = [grant(A, "alice", 100, &["sshd"], json!([])), grant(B, "bob", 100, &["su"], json!([]))];
    let asked = register(SessionKind::Elevation, "su", "bob", &[&live[0], &live[1]]);
    assert!(basis_of(&asked, &live).is_some());
    assert_eq!(basis_of(&asked, &live[..1]), None, "bob's right is gone");
    assert_eq!(basis_of(&asked, &live[1..]), None, "alice's right is gone");
    assert_eq!(basis_of(&register(SessionKind::Login, "sshd", "alice", &[]), &live), None);
}

#[test]
fn a_grant_of_another_account_does_not_stand_in_for_ones_own() {
    let bobs = grant(A, "bob", 100, &["sshd"], json!([]));
    let asked = register(SessionKind::Login, "sshd", "alice", &[&bobs]);
    assert_eq!(basis_of(&asked, std::slice::from_ref(&bobs)), None);
}

#[test]
fn a_session_of_two_accounts_lasts_as_long_as_both_may() {
    let live = [
        grant(A, "alice", 300, &["su"], json!([])),
        grant(B, "bob", 100, &["su"], json!([])),
        grant("gggghhhhiiii", "bob", 200, &["su"], json!([])),
    ];
    let both = session(SessionKind::Elevation, "su", "bob", &live);
    assert_eq!(both.limit, UnixTime(200));
    assert_eq!(both.permitted_until(&live), Some(UnixTime(200)));
    assert_eq!(both.permitted_until(&live[..2]), Some(UnixTime(100)));
    assert_eq!(both.permitted_until(&live[..1]), None);
    assert_eq!(both.permitted_until(&live[1..]), None);
    assert!(both.rests_on_account(&UserName::new("bob").unwrap()));
}

#[test]
fn what_root_opens_inside_an_elevation_ends_with_the_right_that_made_it_root() {
    let live = [
        grant(A, "alice", 100, &["sshd"], json!([rule("root", "ALL")])),
        grant(B, "alice", 200, &["sshd"], json!([rule("root", "/bin/id")])),
    ];
    for (service, target) in [("su-l", "bob"), ("sudo", "bob"), ("su", "root")] {
        let nested = session(SessionKind::Elevation, service, target, &live);
        assert_eq!(nested.permitted_until(&live), Some(UnixTime(200)), "{service}");
        assert_eq!(nested.permitted_until(&live[1..]), None, "{service}");
    }
}

#[test]
fn another_live_grant_with_the_same_login_keeps_a_login_and_moves_its_end() {
    let live = [grant(A, "alice", 100, &["sshd"], json!([])), grant(B, "alice", 200, &["sshd"], json!([]))];
    let login = session(SessionKind::Login, "sshd", "alice", &live[..1]);
    assert_eq!(login.permitted_until(&live), Some(UnixTime(200)));
    assert_eq!(login.permitted_until(&live[1..]), Some(UnixTime(200)));
    assert_eq!(login.permitted_until(&[]), None);
}

#[test]
fn a_grant_for_another_way_in_does_not_keep_a_login() {
    let live = [grant(A, "alice", 100, &["sshd"], json!([]))];
    let login = session(SessionKind::Login, "sshd", "alice", &live);
    let console = [grant(B, "alice", 200, &["login"], json!([rule("root", "ALL")]))];
    assert_eq!(login.permitted_until(&console), None);
}

#[test]
fn a_command_that_may_have_run_under_the_ended_grant_ends_with_it() {
    let live = [
        grant(A, "alice", 100, &[], json!([rule("root", "ALL")])),
        grant(B, "alice", 200, &[], json!([rule("root", "/bin/id")])),
    ];
    let shell = session(SessionKind::Elevation, "sudo", "root", &live);
    assert_eq!(shell.permitted_until(&live), Some(UnixTime(200)));
    assert_eq!(shell.permitted_until(&live[1..]), None, "it may be a root shell of the first");
}

#[test]
fn a_command_goes_on_when_what_is_left_allows_all_that_the_ended_grant_allowed() {
    let id = json!([rule("root", "/bin/id")]);
    let both = json!([rule("root", "/bin/id"), rule("root", "/bin/ls")]);
    let live = [grant(A, "alice", 100, &[], id), grant(B, "alice", 200, &[], both)];
    let running = session(SessionKind::Elevation, "sudo", "root", &live);
    assert_eq!(running.permitted_until(&live[1..]), Some(UnixTime(200)));
    assert_eq!(running.permitted_until(&live[..1]), None, "the second allowed more");
}

#[test]
fn a_grant_for_everything_covers_one_command_of_the_same_target_only() {
    let one = [grant(A, "alice", 100, &[], json!([rule("postgres", "/bin/psql")]))];
    let running = session(SessionKind::Elevation, "sudo", "postgres", &one);
    let all_as_root = [grant(B, "alice", 200, &[], json!([rule("root", "ALL")]))];
    let all_as_postgres = [grant(B, "alice", 200, &[], json!([rule("postgres", "ALL")]))];
    assert_eq!(running.permitted_until(&all_as_root), None);
    assert_eq!(running.permitted_until(&all_as_postgres), Some(UnixTime(200)));
}

#[test]
fn rules_for_another_target_do_not_make_a_command_ambiguous() {
    let live = [
        grant(A, "alice", 100, &[], json!([rule("postgres", "ALL")])),
        grant(B, "alice", 200, &[], json!([rule("root", "/bin/id")])),
    ];
    let as_root = session(SessionKind::Elevation, "sudo", "root", &live);
    assert_eq!(as_root.permitted_until(&live[1..]), Some(UnixTime(200)));
}

#[test]
fn a_later_grant_keeps_a_root_shell_of_su_only_if_it_is_full_root() {
    let live = [grant(A, "alice", 100, &[], json!([rule("root", "ALL")]))];
    let shell = session(SessionKind::Elevation, "su", "root", &live);
    let one = [grant(B, "alice", 200, &["su"], json!([rule("root", "/bin/id")]))];
    let full = [grant(B, "alice", 200, &[], json!([rule("root", "ALL")]))];
    assert_eq!(shell.permitted_until(&one), None);
    assert_eq!(shell.permitted_until(&full), Some(UnixTime(200)));
}

#[test]
fn only_an_elevation_by_full_root_could_have_used_pid_1() {
    let full = [grant(A, "alice", 100, &["sshd"], json!([rule("root", "ALL")]))];
    assert!(session(SessionKind::Elevation, "sudo", "root", &full).was_root());
    assert!(!session(SessionKind::Login, "sshd", "alice", &full).was_root());
    assert!(session(SessionKind::Login, "sshd", "alice", &full).may_have_asked_pid_1());
    let one = [grant(A, "alice", 100, &[], json!([rule("root", "/bin/id")]))];
    assert!(!session(SessionKind::Elevation, "sudo", "root", &one).was_root());
    assert!(!session(SessionKind::Login, "sshd", "alice", &one).may_have_asked_pid_1());
}

#[test]
fn the_grant_of_a_scope_is_in_its_name() {
    let name = format!("stint-{A}-4711-99.scope");
    assert_eq!(grant_of_scope(&name).unwrap().as_str(), A);
    for odd in ["stint-.scope", "stint-aaaabbbbcccc-x.scope", "session-1.scope", "stint-AAAABBBBCCCC-1.scope"]
    {
        assert_eq!(grant_of_scope(odd), None, "{odd}");
    }
}
