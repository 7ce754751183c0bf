use super::*;

fn session(pid: u32, at_ms: u64) -> Awaited {
    Awaited {
        run: format!("run{pid}"),
        pid,
        started: 7,
        user: "alice".to_owned(),
        loginuid: Some(1000),
        session: Some("s1".to_owned()),
        grant: Some("aaaaaaaaaaaa".to_owned()),
        boot: "b0".to_owned(),
        monotonic_us: at_ms * 1000,
        at_ms,
        wall: 1_795_671_878,
        epoch: 0,
        size: 12,
        told: false,
        missed: false,
        ended_ms: None,
    }
}

fn entry(pid: u32, monotonic_us: u64) -> Entry {
    Entry {
        cursor: "s=1".to_owned(),
        boot: "b0".to_owned(),
        monotonic_us,
        pid,
        uid: Some(1000),
        exe: Some("/usr/bin/sudo".to_owned()),
        loginuid: Some(1000),
        message: None,
    }
}

fn lines(dir: &tempfile::TempDir, now_ms: u64, lives: bool) -> AwaitedLines {
    AwaitedLines::open(dir.path().join("sudo-rs.json"), now_ms, "b0", |_, _| lives)
}

fn runs(lines: &[Awaited]) -> Vec<&str> {
    lines.iter().map(|one| one.run.as_str()).collect()
}

#[test]
fn only_the_process_that_was_registered_wrote_it_and_only_after_that() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = lines(&dir, 0, true);
    all.add(session(10, 1000), 1000);
    assert!(all.writer(&entry(10, 1_000_500)).is_some());
    let of = |change: fn(&mut Entry)| {
        let mut entry = entry(10, 1_000_500);
        change(&mut entry);
        all.writer(&entry).is_some()
    };
    assert!(!of(|entry| entry.pid = 11), "another process");
    assert!(!of(|entry| entry.monotonic_us = 999_999), "one before it with the same number");
    assert!(!of(|entry| entry.boot = "b1".to_owned()), "one in another boot");
    assert!(!of(|entry| entry.loginuid = Some(1001)), "another login");
    assert!(of(|entry| entry.loginuid = None), "journald came too late to look");
}

#[test]
fn a_line_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = lines(&dir, 0, true);
    all.add(session(10, 1000), 1000);
    assert_eq!(all.told("run10", None, 1100), None);
    assert!(all.writer(&entry(10, 1_000_500)).is_none());
    assert!(all.due(100_000).is_empty());
}

#[test]
fn the_end_of_a_command_is_told_whether_it_comes_before_its_line_or_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = lines(&dir, 0, true);
    all.add(session(10, 1000), 1000);
    all.add(session(11, 1000), 1000);
    assert_eq!(all.logins().len(), 2);
    all.told("run10", None, 1100);
    assert_eq!(all.over(&Login { pid: 10, started: 8 }, 1500), None, "another process of that number");
    let over = all.over(&Login { pid: 10, started: 7 }, 1500).unwrap();
    assert_eq!((over.run.as_str(), over.ended_ms), ("run10", Some(1500)));
    assert_eq!(all.over(&Login { pid: 11, started: 7 }, 1600), None);
    let over = all.told("run11", None, 1700).unwrap();
    assert_eq!((over.run.as_str(), over.ended_ms), ("run11", Some(1600)));
    assert!(all.logins().is_empty() && all.over(&Login { pid: 11, started: 7 }, 1800).is_none());
}

#[test]
fn a_line_that_does_not_come_is_told_once_and_taken_all_the_same_when_it_is_late() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = lines(&dir, 0, true);
    all.add(session(10, 20_000), 20_000);
    assert_eq!(all.next(20_000), Some(25_000));
    assert!(all.due(24_999).is_empty());
    assert_eq!(runs(&all.due(25_000)), ["run10"]);
    assert!(all.due(26_000).is_empty());
    assert!(all.writer(&entry(10, 20_000_001)).is_some());
    all.over(&Login { pid: 10, started: 7 }, 30_000);
    all.due(30_000 + LISTEN_MS);
    assert!(all.writer(&entry(10, 20_000_001)).is_none(), "given up for good");
}

#[test]
fn the_journal_is_followed_only_while_a_line_is_waited_for_and_a_little_longer() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = lines(&dir, 0, true);
    assert!(!all.listens(0) && all.wanted(0).is_none() && all.next(0).is_none());
    all.add(session(10, 1000), 1000);
    assert!(all.listens(1000 + LISTEN_MS - 1) && !all.listens(1000 + LISTEN_MS));
    let since = Wanted { from: From::Since(1_795_671_876), boot: "b0".to_owned(), past: false };
    assert_eq!(all.wanted(1000), Some(since.clone()));
    all.read_to("s=2".to_owned());
    all.told("run10", None, 2000);
    assert_eq!(all.next(2000), Some(2000 + LINGER_MS));
    assert!(!all.listens(2000 + LINGER_MS));
    // What was written between is not read again for the next one.
    all.add(session(11, 90_000), 90_000);
    assert_eq!(all.wanted(90_000), Some(since));
}

#[test]
fn the_next_warden_waits_for_what_did_not_come_and_begins_where_this_one_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = lines(&dir, 0, true);
    before.add(session(10, 1000), 1000);
    before.add(session(11, 1000), 1000);
    before.read_to("s=5".to_owned());
    before.told("run10", None, 1100);
    before.save().unwrap();
    let mut after = lines(&dir, 30_000, false);
    assert!(after.writer(&entry(10, 2_000_000)).is_none() && after.writer(&entry(11, 2_000_000)).is_some());
    assert_eq!(after.wanted(30_000).map(|wanted| wanted.from), Some(From::Cursor("s=5".to_owned())));
    assert!(after.due(30_000).is_empty(), "the journal has not been read yet");
    assert_eq!(runs(&after.due(40_000)), ["run11"]);
    assert!(after.logins().is_empty(), "both were over");
}

#[test]
fn of_another_boot_only_lines_are_waited_for_and_damage_is_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = lines(&dir, 0, true);
    before.add(session(10, 1_000_000), 1_000_000);
    before.add(session(11, 1_000_000), 1_000_000);
    before.told("run10", None, 1_000_100);
    before.save().unwrap();
    let path = dir.path().join("sudo-rs.json");
    let after = AwaitedLines::open(path.clone(), 500, "b1", |_, _| true);
    assert_eq!(after.open_runs().map(|one| one.run.as_str()).collect::<Vec<_>>(), ["run11"]);
    assert!(after.logins().is_empty() && after.next(500).is_some_and(|at| at < 60_000));
    assert!(after.wanted(500).is_some_and(|wanted| wanted.past && wanted.boot == "b1"));
    std::fs::write(&path, "{").unwrap();
    assert!(lines(&dir, 0, true).open_runs().next().is_none());
}
