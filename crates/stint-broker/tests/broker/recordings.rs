//! Recordings are taken as the host's own journal names them, and no other; kept whole; and given to auditors, each time with an event.

use stint_api::client::Client;
use stint_api::recordings::WhichRecordings;
use stint_log::Hash;
use stint_log::chain::Chain;
use stint_log::record::{CommandLine, Event, IoLog};

use crate::fleet::Fleet;
use crate::host::TestHost;

const RUN: &str = "abcdefgh23456722";
const MIB: usize = 1024 * 1024;
const PART: usize = 256 * 1024;

struct World {
    fleet: Fleet,
    admin: Client,
    auditor: Client,
    web: TestHost,
    journal: Chain,
}

async fn begin(lines: &str) -> World {
    let fleet = Fleet::with(lines).await;
    let admin = fleet.admin().await;
    let auditor = fleet.person(&admin, "aud", &["auditor"]).await;
    let web = fleet.enroll(&admin, "web-01").await;
    World { fleet, admin, auditor, web, journal: Chain::new("web-01", 0).unwrap() }
}

fn accepted(run: &str) -> Event {
    let what = CommandLine {
        user: "alice".to_owned(),
        run_as: "root".to_owned(),
        command: "/bin/sh".to_owned(),
        argv: vec!["sh".to_owned()],
        argv_sha256: None,
        cwd: "/".to_owned(),
        tty: None,
    };
    let run = run.to_owned();
    Event::CommandAccepted {
        run,
        grant: None,
        session: None,
        pid: 1,
        sub: false,
        io: true,
        what: Box::new(what),
    }
}

fn ended(run: &str, bytes: &[u8]) -> Event {
    Event::CommandEnded {
        run: run.to_owned(),
        grant: None,
        session: None,
        pid: 1,
        exit: Some(0),
        signal: None,
        took_ms: 1,
        io: Some(IoLog { bytes: bytes.len() as u64, sha256: Hash::of(bytes), whole: true }),
    }
}

fn of(host: &str) -> WhichRecordings {
    WhichRecordings { host: Some(host.to_owned()), ..WhichRecordings::default() }
}

impl World {
    /// Has the host's journal name a recording.
    async fn name(&mut self, run: &str, bytes: &[u8]) {
        let events = [accepted(run), ended(run, bytes)];
        let records: Vec<_> =
            events.iter().map(|e| self.journal.append(e, 1_795_444_800, "b0").unwrap()).collect();
        self.web.ship(&records, None).await.unwrap();
    }
    async fn events(&self, kind: &str) -> Vec<stint_api::audit::EventView> {
        let all = self.auditor.events(0, 5000).await.unwrap();
        all.into_iter().filter(|event| event.kind == kind).collect()
    }
    fn files(&self) -> Vec<String> {
        let folder = self.fleet.data.path.join("recordings/web-01");
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn what_the_journal_names_is_taken_in_parts_kept_and_read_by_an_auditor_with_an_event() {
    let mut world = begin("").await;
    let bytes: Vec<u8> = (0..PART + 1000).map(|n| u8::try_from(n % 251).unwrap()).collect();
    world.name(RUN, &bytes).await;
    let (one, two) = bytes.split_at(PART);
    assert_eq!(world.web.record(RUN, 0, &[]).await.unwrap().have, 0);
    assert_eq!(world.web.record(RUN, 0, one).await.unwrap().have, PART as u64);
    // The same again, after an answer that was lost: it is not added twice.
    assert_eq!(world.web.record(RUN, 0, one).await.unwrap().have, PART as u64);
    assert!(world.auditor.recordings(&WhichRecordings::default()).await.unwrap()[0].received.is_none());
    let early = world.auditor.recording("web-01", RUN).await.unwrap_err();
    assert_eq!(early.code(), Some("not-found"), "{early}");

    let held = world.web.record(RUN, PART as u64, two).await.unwrap();
    let mark = world.web.open_recording_mark(&held.mark.expect("a mark")).await;
    assert_eq!((mark.run.as_str(), mark.bytes), (RUN, bytes.len() as u64));
    assert_eq!(mark.sha256.to_string(), Hash::of(&bytes).to_string());
    // Again, whatever is sent: it is held, and nothing changes.
    for (at, part) in [(0, &[][..]), (0, one), (7, b"other")] {
        assert!(world.web.record(RUN, at, part).await.unwrap().mark.is_some());
    }
    assert_eq!(world.events("recording.received").await.len(), 1);
    assert_eq!(world.files(), [RUN]);

    assert!(world.events("recording.read").await.is_empty());
    assert_eq!(world.auditor.recording("web-01", RUN).await.unwrap(), bytes);
    let read = world.events("recording.read").await;
    assert_eq!((read.len(), read[0].actor.as_str(), read[0].subject.as_str()), (1, "aud", RUN));
    let listed = world.admin.recordings(&of("web-01")).await.unwrap();
    assert_eq!((listed[0].user.as_str(), listed[0].whole), ("alice", Some(true)));
    assert!(listed[0].received.is_some());
    assert!(world.admin.recordings(&of("web-02")).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_no_record_names_is_refused_and_so_is_a_name_that_leads_elsewhere() {
    let mut world = begin("").await;
    let refused = world.web.record(RUN, 0, b"planted").await.unwrap_err();
    assert!(refused.code == "conflict" && refused.message.contains("no record"), "{refused}");
    // A run of which only the beginning is on record has no digest yet.
    let begun = world.journal.append(&accepted(RUN), 1_795_444_800, "b0").unwrap();
    world.web.ship(&[begun], None).await.unwrap();
    assert_eq!(world.web.record(RUN, 0, b"planted").await.unwrap_err().code, "conflict");
    // Another host's: named there, not here.
    let other = world.fleet.enroll(&world.admin, "web-02").await;
    let own = world.journal.append(&ended(RUN, b"mine"), 1_795_444_801, "b0").unwrap();
    world.web.ship(&[own], None).await.unwrap();
    assert_eq!(other.record(RUN, 0, b"mine").await.unwrap_err().code, "conflict");
    // Even where a broken host's journal names it.
    world.name("..", b"out").await;
    world.name("a/b", b"out").await;
    for run in ["..%2Fx", "%2e%2e", "a%2Fb", "ABC", "x.part"] {
        world.web.record(run, 0, b"out").await.unwrap_err();
    }
    assert!(world.files().is_empty());
}

#[tokio::test]
async fn other_bytes_than_the_record_names_are_an_alarm_and_are_thrown_away() {
    let mut world = begin("").await;
    world.name(RUN, b"what was printed").await;
    let refused = world.web.record(RUN, 0, b"what was Printed").await.unwrap_err();
    assert!(refused.code == "conflict" && refused.message.contains("not the one"), "{refused}");
    assert_eq!(world.events("alarm.recording").await.len(), 1);
    assert!(world.files().is_empty());
    // More than it should be is not added; and the right bytes are taken after all that.
    assert_eq!(world.web.record(RUN, 0, b"what was printed, and more").await.unwrap().have, 0);
    assert!(world.web.record(RUN, 0, b"what was printed").await.unwrap().mark.is_some());
}

#[tokio::test]
async fn what_is_on_its_way_survives_a_restart_and_a_file_without_its_row_is_looked_at_again() {
    let mut world = begin("").await;
    world.name(RUN, b"one two").await;
    world.web.record(RUN, 0, b"one ").await.unwrap();
    world.fleet = world.fleet.restart().await;
    let web = world.web.twin(world.fleet.address());
    assert_eq!(web.record(RUN, 0, &[]).await.unwrap().have, 4);
    // As a crash between the rename and the database leaves it.
    let folder = world.fleet.data.path.join("recordings/web-01");
    std::fs::write(folder.join(format!("{RUN}.part")), b"one two").unwrap();
    std::fs::rename(folder.join(format!("{RUN}.part")), folder.join(RUN)).unwrap();
    assert!(web.record(RUN, 0, &[]).await.unwrap().mark.is_some());
    assert_eq!(std::fs::read(folder.join(RUN)).unwrap(), b"one two");
}

#[tokio::test]
async fn a_host_has_one_recording_on_its_way() {
    let mut world = begin("").await;
    let other = "zzzzzzzz23456722";
    world.name(RUN, b"one two").await;
    world.name(other, b"three").await;
    world.web.record(RUN, 0, b"one ").await.unwrap();
    world.web.record(other, 0, b"th").await.unwrap();
    assert_eq!(world.files(), [format!("{other}.part")]);
    assert_eq!(world.web.record(RUN, 4, b"two").await.unwrap().have, 0, "it is begun anew");
}

#[tokio::test]
async fn a_full_quota_refuses_with_one_alarm_and_deletes_nothing() {
    let mut world = begin("recordings_quota_mib = 1").await;
    let big = vec![7_u8; MIB - 10];
    world.name(RUN, &big).await;
    for (n, part) in big.chunks(PART).enumerate() {
        world.web.record(RUN, (n * PART) as u64, part).await.unwrap();
    }
    let next = "zzzzzzzz23456722";
    world.name(next, b"eleven bytes").await;
    for _ in 0..2 {
        let full = world.web.record(next, 0, b"eleven bytes").await.unwrap_err();
        assert!(full.code == "unavailable" && full.message.contains("is full"), "{full}");
        assert!(full.next.unwrap().contains("recordings_quota_mib"));
    }
    assert_eq!(world.events("alarm.recordings_full").await.len(), 1);
    assert_eq!(world.files(), [RUN]);
    assert_eq!(world.auditor.recording("web-01", RUN).await.unwrap(), big);
}

#[tokio::test]
async fn nobody_but_auditors_and_administrators_sees_recordings_not_even_whose_they_are() {
    let mut world = begin("").await;
    world.name(RUN, b"secret").await;
    world.web.record(RUN, 0, b"secret").await.unwrap();
    for (name, roles) in [("alice", ["requester"]), ("bob", ["reviewer"]), ("sec", ["security"])] {
        let person = world.fleet.person(&world.admin, name, &roles).await;
        assert_eq!(
            person.recordings(&WhichRecordings::default()).await.unwrap_err().code(),
            Some("denied"),
            "{name}"
        );
        assert_eq!(person.recording("web-01", RUN).await.unwrap_err().code(), Some("denied"), "{name}");
    }
    assert!(world.events("recording.read").await.is_empty());
    let nobody = world.fleet.stranger();
    assert_eq!(nobody.recording("web-01", RUN).await.unwrap_err().code(), Some("unauthenticated"));
    let unknown = world.auditor.recording("web-01", "nothere").await.unwrap_err();
    assert_eq!(unknown.code(), Some("not-found"));
}

#[tokio::test]
async fn an_old_recording_is_found_by_the_beginning_of_its_run_however_many_are_newer() {
    let mut world = begin("").await;
    world.name("old23456", b"x").await;
    let newer: Vec<_> = (0..600)
        .map(|n| world.journal.append(&accepted(&format!("new{n}")), 1_795_444_900, "b0").unwrap())
        .collect();
    world.web.ship(&newer, None).await.unwrap();
    let all = world.auditor.recordings(&WhichRecordings::default()).await.unwrap();
    assert!(all.len() == 500 && all.iter().all(|it| it.run != "old23456"));
    let begins = |run: &str| WhichRecordings { run: Some(run.to_owned()), ..WhichRecordings::default() };
    assert_eq!(world.auditor.recordings(&begins("old2")).await.unwrap()[0].run, "old23456");
    assert!(world.auditor.recordings(&begins("o%")).await.unwrap().is_empty(), "no pattern");
}
