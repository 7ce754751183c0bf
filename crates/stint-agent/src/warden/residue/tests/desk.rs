//! The warden's side: what is owed, ordered, recorded and forgotten. The test is the process that sweeps.

use stint_grant::time::{ClockReading, UnixTime};
use stint_log::record::Event;

use super::super::desk::{Desk, Turn};
use super::*;
use crate::journal::Recorder;

const OTHER: &str = "ddddeeeeffff";

#[derive(Default)]
struct Notes(Vec<Event>);
impl Recorder for Notes {
    fn record(&mut self, event: Event) {
        self.0.push(event);
    }
}

/// A draft as the killing makes it.
fn draft(sessions: u32) -> Event {
    Event::Receipt {
        grant: GRANT.to_owned(),
        sessions,
        killed: sessions * 2,
        removed: Vec::new(),
        restored: Vec::new(),
        reported: Vec::new(),
        not_excluded: Vec::new(),
        not_scanned: Vec::new(),
        also_open: Vec::new(),
        took_ms: 1,
        nothing_found: true,
        clean: true,
    }
}

async fn turn(desk: &mut Desk, notes: &mut Notes, boottime_ms: u64, closing: &[GrantId]) {
    let reading = ClockReading { wall: UnixTime(1_000_000), boottime_ms, boot_id: "boot".to_owned() };
    let rules = Residue::default();
    desk.turn(&Turn { live: &[], closing, reading: &reading, rules: &rules, max_window: 3600 }, notes).await;
}

fn sweeps(host: &Host, grant: &str) {
    run_at(&host.paths(), host.root.path(), &host.rules, &GrantId::new(grant).unwrap()).unwrap();
}

#[tokio::test]
async fn a_grant_by_which_nobody_came_has_its_receipt_at_once() {
    let host = Host::new();
    let (mut desk, mut notes) = (Desk::in_test(&host.paths()), Notes::default());
    desk.drafts.push(draft(0));
    turn(&mut desk, &mut notes, 1_000, &[]).await;
    assert!(matches!(&notes.0[..], [Event::Receipt { clean: true, .. }]), "{:?}", notes.0);
    assert_eq!(desk.last(), [(GRANT.to_owned(), "clean".to_owned())]);
    assert_eq!(desk.next_deadline(), None);
}

#[tokio::test]
async fn a_receipt_waits_for_its_sweep_and_the_baseline_for_its_record() {
    let host = Host::new();
    host.opens(login());
    let (mut desk, mut notes) = (Desk::in_test(&host.paths()), Notes::default());
    host.write("home/alice/.bashrc", "evil\n");
    desk.drafts.push(draft(2));
    turn(&mut desk, &mut notes, 1_000, &[]).await;
    turn(&mut desk, &mut notes, 1_200, &[]).await;
    assert!(notes.0.is_empty(), "{:?}", notes.0);
    assert!(desk.owes(&GrantId::new(GRANT).unwrap()));
    sweeps(&host, GRANT);
    turn(&mut desk, &mut notes, 1_400, &[]).await;
    let [Event::Receipt { sessions: 2, killed: 4, removed, clean: true, .. }, Event::Alarm { what, .. }] =
        &notes.0[..]
    else {
        panic!("{:?}", notes.0)
    };
    assert!(says(removed, &[".bashrc"]) && what == "residue");
    assert_eq!(host.store().baselines().len(), 1, "not before it is recorded");
    assert!(desk.waits_for_commit());
    let grant = GrantId::new(GRANT).unwrap();
    assert!(desk.owes(&grant), "what another window began with now would be forgotten with it");
    desk.forget_done();
    assert!(!desk.owes(&grant));
    assert!(host.store().baselines().is_empty() && host.store().orders().is_empty());
    turn(&mut desk, &mut notes, 9_000, &[]).await;
    assert_eq!(notes.0.len(), 2, "one receipt");
}

#[tokio::test]
async fn what_a_warden_owed_when_it_was_killed_its_successor_owes() {
    let host = Host::new();
    host.opens(login());
    let grant = [GrantId::new(GRANT).unwrap()];
    let (mut desk, mut notes) = (Desk::in_test(&host.paths()), Notes::default());
    turn(&mut desk, &mut notes, 1_000, &grant).await;
    assert!(host.store().orders().is_empty(), "it is being ended");
    turn(&mut desk, &mut notes, 1_200, &[]).await;
    assert_eq!(host.store().orders(), grant);
    // Killed again, after the sweep was ordered.
    let mut desk = Desk::in_test(&host.paths());
    turn(&mut desk, &mut notes, 2_000, &[]).await;
    sweeps(&host, GRANT);
    turn(&mut desk, &mut notes, 2_200, &[]).await;
    assert!(matches!(&notes.0[..], [Event::Receipt { clean: true, .. }]), "{:?}", notes.0);
}

#[tokio::test]
async fn a_sweep_that_never_ends_is_said_to_be_none() {
    let host = Host::new();
    host.opens(login());
    let (mut desk, mut notes) = (Desk::in_test(&host.paths()), Notes::default());
    desk.drafts.push(draft(1));
    let mut now = 1_000;
    while notes.0.is_empty() && now < 3_600_000 {
        turn(&mut desk, &mut notes, now, &[]).await;
        now += 10_000;
    }
    let [Event::Receipt { not_scanned, clean: false, nothing_found: false, .. }, Event::Alarm { .. }] =
        &notes.0[..]
    else {
        panic!("{:?}", notes.0)
    };
    assert!(says(not_scanned, &["nothing was compared", "did not come to its end in time"]));
}

#[tokio::test]
async fn what_one_window_made_is_not_brought_back_at_the_end_of_another() {
    let host = Host::new();
    host.opens(login());
    host.write("home/alice/.bashrc", "evil\n");
    // The second window opens with what the first has planted.
    host.opens_as(OTHER, login());
    let other = [GrantId::new(OTHER).unwrap()];
    let (mut desk, mut notes) = (Desk::in_test(&host.paths()), Notes::default());
    desk.drafts.push(draft(1));
    turn(&mut desk, &mut notes, 1_000, &other).await;
    sweeps(&host, GRANT);
    turn(&mut desk, &mut notes, 1_200, &other).await;
    assert!(host.read("home/alice/.bashrc").is_none());
    let outcome = host.ends_as(OTHER);
    assert!(is_quiet(&outcome), "{outcome:?}");
    assert!(host.read("home/alice/.bashrc").is_none());
}

#[tokio::test]
async fn what_one_window_only_tells_is_not_taken_for_what_stood_before_another() {
    let host = Host::new();
    host.opens(some_root());
    host.opens_as(OTHER, full_root());
    host.write("etc/sudoers.d/evil", "alice ALL = (ALL) NOPASSWD: ALL\n");
    let other = [GrantId::new(OTHER).unwrap()];
    let (mut desk, mut notes) = (Desk::in_test(&host.paths()), Notes::default());
    desk.drafts.push(draft(1));
    turn(&mut desk, &mut notes, 1_000, &other).await;
    sweeps(&host, GRANT);
    turn(&mut desk, &mut notes, 1_200, &other).await;
    assert!(host.read("etc/sudoers.d/evil").is_some(), "the lesser grant may not undo it");
    let outcome = host.ends_as(OTHER);
    assert!(host.read("etc/sudoers.d/evil").is_none(), "{outcome:?}");
}

#[tokio::test]
async fn a_receipt_of_root_waits_for_what_is_taken_off_stint_s_files_but_not_for_ever() {
    for answered in [true, false] {
        let host = Host::new();
        host.opens(some_root());
        host.opens_as(OTHER, login());
        let (mut desk, mut notes) = (Desk::in_test(&host.paths()), Notes::default());
        turn(&mut desk, &mut notes, 1_000, &[]).await;
        desk.await_freeing(1_100);
        sweeps(&host, GRANT);
        sweeps(&host, OTHER);
        turn(&mut desk, &mut notes, 1_400, &[]).await;
        let of = |notes: &Notes, id: &str| {
            notes.0.iter().find_map(|event| match event {
                Event::Receipt { grant, reported, .. } if grant == id => Some(reported.clone()),
                _ => None,
            })
        };
        assert!(of(&notes, GRANT).is_none() && of(&notes, OTHER).is_some(), "{:?}", notes.0);
        if answered {
            desk.notice("a file was immutable");
            desk.freeing_is_told();
            turn(&mut desk, &mut notes, 1_700, &[]).await;
            assert!(says(&of(&notes, GRANT).unwrap(), &["a file was immutable"]));
        } else {
            // Asked once more, since it is still held: that does not begin the wait anew.
            desk.await_freeing(12_000);
            turn(&mut desk, &mut notes, 16_200, &[]).await;
            assert!(of(&notes, GRANT).is_some());
        }
    }
}

#[tokio::test]
async fn root_s_hand_on_stint_stands_in_the_receipt_of_who_could_be_root_then() {
    let host = Host::new();
    host.opens(full_root());
    host.opens_as(OTHER, login());
    let (mut desk, mut notes) = (Desk::in_test(&host.paths()), Notes::default());
    desk.notice("host.toml was changed: managed.exempt_uids");
    turn(&mut desk, &mut notes, 1_000, &[]).await;
    sweeps(&host, GRANT);
    sweeps(&host, OTHER);
    turn(&mut desk, &mut notes, 1_400, &[]).await;
    let told: Vec<(&str, bool)> = notes
        .0
        .iter()
        .filter_map(|event| match event {
            Event::Receipt { grant, reported, .. } => {
                Some((grant.as_str(), says(reported, &["host.toml was changed"])))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [(GRANT, true), (OTHER, false)]);
}
