//! Ends, on control groups and processes of a folder. What is asked over the bus is tested on booted hosts: here it would be the
//! machine's own.

use std::fs;
use std::path::Path;

use serde_json::json;
use stint_grant::host_config::HostConfig;
use stint_grant::time::UnixTime;

use super::super::book::tests::{example, grant, rule, session};
use super::super::cgroup::Cgroups;
use super::super::proc::Proc;
use super::super::spool::Spools;
use super::super::units::Units;
use super::*;
use crate::warden::paths::Paths;

const A: &str = "aaaabbbbcccc";
const B: &str = "ddddeeeeffff";
const SCOPE: &str = "/user.slice/user-1000.slice/session-92.scope";
const AT: Moment = Moment { now: UnixTime(50), boottime_ms: 1_000 };

#[derive(Default)]
struct Notes(Vec<Event>);
impl Recorder for Notes {
    fn record(&mut self, event: Event) {
        self.0.push(event);
    }
}

/// A host in a folder, on which one session is registered.
fn host(root: &Path, session: &Session) -> Enforcer {
    let paths = Paths::under(root);
    fs::create_dir_all(paths.warden()).unwrap();
    fs::create_dir_all(root.join("tickets")).unwrap();
    fs::create_dir_all(root.join("proc/1")).unwrap();
    fs::write(root.join("tickets/alice"), b"").unwrap();
    let mut enforcer = Enforcer::new(&paths);
    enforcer.proc = Proc::at(root.join("proc"));
    enforcer.cgroups = Cgroups::at(root.join("cgroup"));
    enforcer.units = Units::at(root.join("units"));
    enforcer.tickets = root.join("tickets");
    enforcer.root = root.to_owned();
    enforcer.spools = Spools::at(root, root.join("quarantine"));
    enforcer.config = HostConfig::parse("[managed]\nfirst_uid = 4000000000\n").unwrap();
    enforcer.armed = true;
    enforcer.sessions.push(session.clone());
    group(root, session.cgroup.as_deref().unwrap(), "7\n8\n9\n");
    enforcer
}

fn group(root: &Path, path: &str, members: &str) {
    let folder = root.join(format!("cgroup{path}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("cgroup.procs"), members).unwrap();
    fs::write(folder.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
    fs::write(folder.join("cgroup.kill"), "").unwrap();
}

fn was_killed(root: &Path, path: &str) -> bool {
    fs::read_to_string(root.join(format!("cgroup{path}/cgroup.kill"))).unwrap() == "1"
}

/// Does what the kernel does: a group that is killed is empty some time later.
async fn kernel(root: &Path, path: &str) {
    while !was_killed(root, path) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fs::write(root.join(format!("cgroup{path}/cgroup.events")), "populated 0\nfrozen 0\n").unwrap();
}

fn taken_back(id: &str) -> EndedGrant {
    EndedGrant {
        grant: GrantId::new(id).unwrap(),
        user: UserName::new("alice").unwrap(),
        how: Ending::Revoked,
        since: Some(UnixTime(0)),
        urgency: Urgency::AtOnce,
    }
}

#[tokio::test]
async fn what_was_taken_back_is_dead_when_the_call_returns_and_has_its_receipt() {
    let root = tempfile::tempdir().unwrap();
    let (mut enforcer, mut notes) = (host(root.path(), &example()), Notes::default());
    let ended = [taken_back(A)];
    tokio::join!(enforcer.end(&ended, &[], AT, &mut notes), kernel(root.path(), SCOPE));
    let [Event::SessionTerminated { how, .. }, killed, receipt] = &notes.0[..] else {
        panic!("{:?}", notes.0)
    };
    assert_eq!(how, "killed");
    assert!(matches!(killed, Event::ProcessesKilled { count: 3, scope, .. } if scope == SCOPE));
    let Event::Receipt { sessions: 1, killed: 3, clean: true, removed, .. } = receipt else {
        panic!("{receipt:?}")
    };
    assert_eq!(removed, &[root.path().join("tickets/alice").display().to_string()]);
    assert!(enforcer.sessions.is_empty());
    assert_eq!(enforcer.next_deadline(), None);
}

#[tokio::test]
async fn a_session_that_another_grant_permits_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let (mut enforcer, mut notes) = (host(root.path(), &example()), Notes::default());
    let other = [grant(B, "alice", 200, &["sshd"], json!([]))];
    enforcer.end(&[taken_back(A)], &other, AT, &mut notes).await;
    assert!(!was_killed(root.path(), SCOPE));
    assert_eq!(enforcer.sessions.len(), 1);
    let [Event::Receipt { sessions: 0, killed: 0, clean: true, .. }] = &notes.0[..] else {
        panic!("{:?}", notes.0)
    };
}

#[tokio::test]
async fn in_observe_mode_nothing_is_ended() {
    let root = tempfile::tempdir().unwrap();
    let (mut enforcer, mut notes) = (host(root.path(), &example()), Notes::default());
    enforcer.armed = false;
    enforcer.end(&[taken_back(A)], &[], AT, &mut notes).await;
    assert!(!was_killed(root.path(), SCOPE) && notes.0.is_empty());
    assert!(root.path().join("tickets/alice").exists());
}

#[tokio::test]
async fn a_group_that_does_not_empty_is_tried_again_and_then_told() {
    let root = tempfile::tempdir().unwrap();
    let (mut enforcer, mut notes) = (host(root.path(), &example()), Notes::default());
    enforcer.end(&[taken_back(A)], &[], AT, &mut notes).await;
    let mut tries = 1;
    while let Some(due) = enforcer.next_deadline().filter(|_| !enforcer.closings.is_empty()) {
        assert!(
            !notes.0.iter().any(|e| matches!(e, Event::Receipt { .. })),
            "no receipt before the last try"
        );
        enforcer.tick(due, &mut notes).await;
        tries += 1;
    }
    assert_eq!(tries, MAX_ATTEMPTS);
    let [.., Event::Receipt { clean: false, .. }, Event::Alarm { what, .. }] = &notes.0[..] else {
        panic!("{:?}", notes.0)
    };
    assert_eq!(what, "not-clean");
}

#[tokio::test]
async fn an_account_that_lives_by_grants_alone_is_ended_whole() {
    let root = tempfile::tempdir().unwrap();
    let mut login = example();
    // An account that no passwd file has: it is known by its login.
    login.user = UserName::new("of-no-passwd-file").unwrap();
    login.basis[0].user = login.user.clone();
    let (mut enforcer, mut notes) = (host(root.path(), &login), Notes::default());
    enforcer.config = HostConfig::default();
    let slice = user_slice(1000);
    group(root.path(), &slice, "");
    let ended = [EndedGrant { user: login.user.clone(), ..taken_back(A) }];
    tokio::join!(enforcer.end(&ended, &[], AT, &mut notes), kernel(root.path(), &slice));
    assert!(!was_killed(root.path(), SCOPE), "it lies within what is killed in one stroke");
    let counted = |e: &Event| matches!(e, Event::ProcessesKilled { count: 3, scope, .. } if *scope == slice);
    assert!(notes.0.iter().any(counted), "{:?}", notes.0);
    assert_eq!(enforcer.to_reset, [("user@1000.service".to_owned(), 1_000 + RESET_AFTER_MS)]);
}

#[tokio::test]
async fn a_session_that_ended_by_itself_is_closed_and_what_left_it_stays_known() {
    let root = tempfile::tempdir().unwrap();
    let live = [grant(A, "alice", 100, &["sshd"], json!([rule("root", "ALL")]))];
    let mut shell = session(SessionKind::Elevation, "sudo", "root", &live);
    shell.cgroup = Some("/stint.slice/stint-aaaabbbbcccc-7-1.scope".to_owned());
    let (mut enforcer, mut notes) = (host(root.path(), &shell), Notes::default());
    let events = root.path().join("cgroup/stint.slice/stint-aaaabbbbcccc-7-1.scope/cgroup.events");
    fs::write(events, "populated 0\n").unwrap();
    enforcer.tidy(&mut notes);
    assert!(matches!(&notes.0[..], [Event::SessionClosed { .. }]), "{:?}", notes.0);
    assert!(enforcer.sessions.is_empty());
    assert_eq!(enforcer.past, [shell]);
    enforcer.end(&[taken_back(A)], &[], AT, &mut notes).await;
    let Some(Event::Receipt { sessions: 0, not_excluded, .. }) = notes.0.last() else {
        panic!("{:?}", notes.0)
    };
    assert_eq!(not_excluded.len(), 1);
    assert!(enforcer.past.is_empty());
}

#[tokio::test]
async fn an_account_that_has_logged_in_again_by_a_new_grant_is_not_ended_whole() {
    let root = tempfile::tempdir().unwrap();
    let mut login = example();
    login.user = UserName::new("of-no-passwd-file").unwrap();
    login.basis[0].user = login.user.clone();
    let (mut enforcer, mut notes) = (host(root.path(), &login), Notes::default());
    enforcer.config = HostConfig::default();
    let ended = EndedGrant { user: login.user.clone(), ..taken_back(A) };
    let closing = enforcer.closing(&ended, &[], AT);
    assert_eq!(closing.whole, Some(1000));
    enforcer.closings.push(closing);
    let again = "/user.slice/user-1000.slice/session-93.scope";
    enforcer.sessions.push(Session { cgroup: Some(again.to_owned()), audit: Some(93), ..login });
    group(root.path(), again, "17\n");
    group(root.path(), &user_slice(1000), "");
    tokio::join!(enforcer.tick(AT.boottime_ms, &mut notes), kernel(root.path(), SCOPE));
    assert!(!was_killed(root.path(), &user_slice(1000)) && !was_killed(root.path(), again));
    assert_eq!(enforcer.sessions.len(), 1);
}

/// Ends the host's one session, and says whether its receipt claims that all is clean.
async fn ends_clean(root: &Path, change: impl FnOnce(&mut Enforcer)) -> bool {
    let (mut enforcer, mut notes) = (host(root, &example()), Notes::default());
    fs::write(root.join(format!("cgroup{SCOPE}/cgroup.events")), "populated 0\n").unwrap();
    change(&mut enforcer);
    let closing = enforcer.closing(&taken_back(A), &[], AT);
    enforcer.closings.push(closing);
    while let Some(due) = enforcer.next_deadline().filter(|_| !enforcer.closings.is_empty()) {
        enforcer.tick(due, &mut notes).await;
    }
    let clean = |e: &Event| if let Event::Receipt { clean, .. } = e { Some(*clean) } else { None };
    notes.0.iter().find_map(clean).expect("a receipt")
}

#[tokio::test]
async fn a_process_that_lives_on_is_never_called_clean_though_no_group_and_no_login_tell_of_it() {
    let root = tempfile::tempdir().unwrap();
    // No process has this pid, so nothing real is signalled.
    let process = root.path().join(format!("proc/{}", u32::MAX));
    fs::create_dir_all(&process).unwrap();
    fs::write(process.join("stat"), "1 (x) S 1 1 1 0 1 1 1 1 1 1 1 1 1 1 1 1 1 1 77 1").unwrap();
    let ungrouped = |enforcer: &mut Enforcer| {
        let session = &mut enforcer.sessions[0];
        (session.cgroup, session.audit) = (None, None);
        (session.pid, session.started) = (u32::MAX, 77);
    };
    assert!(!ends_clean(root.path(), ungrouped).await);
}

#[tokio::test]
async fn a_process_table_that_cannot_be_read_is_never_called_clean() {
    let root = tempfile::tempdir().unwrap();
    assert!(ends_clean(root.path(), |_| ()).await);
    let root = tempfile::tempdir().unwrap();
    assert!(!ends_clean(root.path(), |enforcer| enforcer.proc = Proc::at("/dev/null/proc")).await);
}

/// A host on which an account is about to be ended whole, and of which logind knows that already: it is never asked here.
fn whole_account(root: &Path) -> Enforcer {
    let mut login = example();
    login.user = UserName::new("of-no-passwd-file").unwrap();
    login.basis[0].user = login.user.clone();
    let mut enforcer = host(root, &login);
    enforcer.config = HostConfig::default();
    let ended = EndedGrant { user: login.user, ..taken_back(A) };
    let mut closing = enforcer.closing(&ended, &[], AT);
    closing.dismissed = true;
    enforcer.closings.push(closing);
    fs::write(root.join(format!("cgroup{SCOPE}/cgroup.events")), "populated 0\n").unwrap();
    group(root, &user_slice(1000), "");
    enforcer
}

#[tokio::test]
async fn the_receipt_waits_for_what_logind_takes_away_and_the_account_s_slice_is_killed_once() {
    let root = tempfile::tempdir().unwrap();
    let (mut enforcer, mut notes) = (whole_account(root.path()), Notes::default());
    let (slice, folder) = (user_slice(1000), root.path().join("run/user/1000"));
    fs::create_dir_all(&folder).unwrap();
    tokio::join!(enforcer.tick(AT.boottime_ms, &mut notes), kernel(root.path(), &slice));
    assert!(!notes.0.iter().any(|e| matches!(e, Event::Receipt { .. })), "{:?}", notes.0);
    // What takes the folder down works in the slice.
    group(root.path(), &slice, "");
    let due = enforcer.next_deadline().unwrap();
    enforcer.tick(due, &mut notes).await;
    assert!(!was_killed(root.path(), &slice));
    fs::remove_dir(folder).unwrap();
    let due = enforcer.next_deadline().unwrap();
    enforcer.tick(due, &mut notes).await;
    let receipt = notes.0.iter().find(|e| matches!(e, Event::Receipt { .. }));
    let Some(Event::Receipt { clean: true, reported, .. }) = receipt else { panic!("{:?}", notes.0) };
    assert!(reported.is_empty(), "{reported:?}");
}

#[tokio::test]
async fn what_logind_leaves_is_named_after_a_while() {
    let root = tempfile::tempdir().unwrap();
    let (mut enforcer, mut notes) = (whole_account(root.path()), Notes::default());
    let (slice, folder) = (user_slice(1000), root.path().join("run/user/1000"));
    fs::create_dir_all(&folder).unwrap();
    tokio::join!(enforcer.tick(AT.boottime_ms, &mut notes), kernel(root.path(), &slice));
    let mut last = AT.boottime_ms;
    while let Some(due) = enforcer.next_deadline().filter(|_| !enforcer.closings.is_empty()) {
        enforcer.tick(due, &mut notes).await;
        last = due;
    }
    assert!(last <= AT.boottime_ms + 500, "a receipt is there two seconds after the end");
    let Some(Event::Receipt { reported, .. }) = notes.0.iter().find(|e| matches!(e, Event::Receipt { .. }))
    else {
        panic!("{:?}", notes.0)
    };
    assert_eq!(reported, &[folder.display().to_string()]);
}

#[tokio::test]
async fn a_crontab_that_cannot_be_taken_out_is_never_called_clean() {
    let root = tempfile::tempdir().unwrap();
    let (mut enforcer, mut notes) = (whole_account(root.path()), Notes::default());
    fs::create_dir_all(root.path().join("var/spool/cron")).unwrap();
    // Of this test's own account, and larger than what is kept of one.
    let crontab = root.path().join("var/spool/cron/of-no-passwd-file");
    fs::File::create(&crontab).unwrap().set_len(64 * 1024 * 1024).unwrap();
    enforcer.closings[0].whole = Some(nix::unistd::getuid().as_raw());
    enforcer.closings[0].window = Some(Duration::from_mins(1));
    while let Some(due) = enforcer.next_deadline().filter(|_| !enforcer.closings.is_empty()) {
        enforcer.tick(due, &mut notes).await;
    }
    let Some(Event::Receipt { clean: false, reported, .. }) =
        notes.0.iter().find(|e| matches!(e, Event::Receipt { .. }))
    else {
        panic!("{:?}", notes.0)
    };
    assert!(reported.iter().any(|words| words.contains("was not taken out")), "{reported:?}");
    assert!(crontab.exists());
}
