use super::*;

fn header() -> Header {
    Header {
        host: "web-01".into(),
        epoch: 2,
        seq: 7,
        prev: Hash::of(b"before"),
        at: 1_795_444_800,
        boot: "0b3c7f6e-5a1d-4b7e-9a39-2f4d1c6a8e11".into(),
    }
}

fn line() -> String {
    let event = Event::GrantRefused { grant: "7F3A".into(), cause: "ceiling_window".into() };
    String::from_utf8(header().write(&event).unwrap()).unwrap()
}

fn refused(text: &str) -> RecordError {
    Record::parse(text.as_bytes()).expect_err(text)
}

fn what() -> CommandLine {
    CommandLine {
        user: "alice".into(),
        run_as: "root".into(),
        command: "/usr/bin/id".into(),
        argv: vec!["id".into(), "-u".into()],
        argv_sha256: None,
        cwd: "/home/alice".into(),
        tty: Some("/dev/pts/0".into()),
    }
}

fn every_event() -> Vec<Event> {
    let s = |text: &str| text.to_owned();
    vec![
        Event::AgentStarted { version: s("0.1.0"), mode: Mode::Inert },
        Event::AgentStopped { why: s("update") },
        Event::Enrolled { fleet: s("f"), broker: s("b"), identity_key: s("k") },
        Event::RootInstalled { version: 1, sha256: Hash::ZERO },
        Event::BundleInstalled { epoch: 1, version: 2, head: Hash::ZERO, accepted: 3, refused: 1 },
        Event::BundleRefused { cause: s("expired"), detail: s("") },
        Event::GateWritten { generation: 4, head: Hash::ZERO },
        Event::LockApplied { lock: s("L1"), user: Some(s("alice")) },
        Event::LockLifted { lock: s("L1"), user: None },
        Event::GrantAccepted { grant: s("7F3A"), user: s("alice"), ends: 5 },
        Event::GrantRefused { grant: s("7F3A"), cause: s("c") },
        Event::Decision {
            service: s("sshd"),
            user: s("alice"),
            grant: None,
            verdict: Verdict::WouldDeny,
            cause: s("no_grant"),
        },
        Event::CodeTried {
            user: s("alice"),
            service: s("sshd"),
            origin: None,
            code: s("7F3A"),
            reason: s("r"),
        },
        Event::CodeRefused { grant: None, user: s("alice"), code: s("7F3A"), cause: s("wrong") },
        Event::CodeUsed {
            grant: s("7F3A"),
            user: s("alice"),
            service: s("sshd"),
            origin: Some(s("192.0.2.7")),
            code: s("7F3A"),
            reason: s("r"),
            until: 5,
        },
        Event::SessionOpened {
            grant: Some(s("7F3A")),
            user: s("alice"),
            service: s("sshd"),
            session: s("c4"),
            pid: 9,
            tty: Some(s("pts/0")),
            origin: None,
            ends: Some(6),
        },
        Event::SessionMoved { grant: None, user: s("alice"), pid: 9, scope: s("stint-1.scope") },
        Event::SessionClosed { grant: None, user: s("alice"), session: s("c4") },
        Event::SessionTerminated { grant: s("7F3A"), user: s("alice"), session: s("c4"), how: s("logind") },
        Event::ProcessesKilled {
            grant: s("7F3A"),
            scope: s("x"),
            count: 3,
            how: s("cgroup.kill"),
            took_ms: 8,
        },
        Event::CommandAccepted {
            run: s("r1"),
            grant: Some(s("7F3A")),
            session: None,
            pid: 9,
            sub: false,
            io: true,
            what: Box::new(what()),
        },
        Event::CommandRejected {
            run: s("r1"),
            grant: None,
            session: Some(s("c4")),
            pid: 9,
            sub: true,
            reason: s("command not allowed"),
            what: Box::new(CommandLine { argv_sha256: Some(Hash::ZERO), tty: None, ..what() }),
        },
        Event::CommandAlert { run: s("r1"), grant: None, session: None, pid: 9, reason: s("odd") },
        Event::CommandEnded {
            run: s("r1"),
            grant: Some(s("7F3A")),
            session: None,
            pid: 9,
            exit: Some(3),
            signal: None,
            took_ms: 12,
            io: Some(IoLog { bytes: 7, sha256: Hash::ZERO, whole: true }),
        },
        Event::RecordingCut { run: s("r1"), io: IoLog { bytes: 7, sha256: Hash::ZERO, whole: false } },
        Event::DropInWritten { grant: s("7F3A"), path: s("/p"), sha256: Hash::ZERO },
        Event::DropInRefused { grant: s("7F3A"), cause: s("c"), detail: s("d") },
        Event::DropInRemoved { grant: s("7F3A"), path: s("/p") },
        Event::GroupGiven { grant: s("7F3A"), user: s("alice"), group: s("adm") },
        Event::GroupRefused { grant: s("7F3A"), user: s("alice"), group: s("adm"), detail: s("d") },
        Event::GroupTakenBack { grant: s("7F3A"), user: s("alice"), group: s("adm") },
        Event::AccountMade { grant: s("7F3A"), user: s("alice-tmp"), uid: 50000 },
        Event::AccountRefused { grant: s("7F3A"), user: s("alice-tmp"), detail: s("d") },
        Event::AccountEnded { grant: s("7F3A"), user: s("alice-tmp"), uid: 50000, home: s("h") },
        Event::WindowWarned { grant: s("7F3A"), user: s("alice"), minutes_left: 5 },
        Event::WindowExtended { grant: s("7F3A"), from: 1, to: 2 },
        Event::WindowEnded { grant: s("7F3A"), how: Ending::Expired },
        Event::Receipt {
            grant: s("7F3A"),
            sessions: 1,
            killed: 3,
            removed: vec![s("/p")],
            restored: vec![],
            reported: vec![],
            not_excluded: vec![],
            not_scanned: vec![],
            also_open: vec![],
            took_ms: 90,
            nothing_found: true,
            clean: true,
        },
        Event::ModeChanged { from: Mode::Observe, to: Mode::Enforce, by: s("root"), why: s("arm") },
        Event::ClockJumped { seconds: -3 },
        Event::FloorLowered { from: 9, to: 1, by: s("root") },
        Event::Alarm { what: s("two_streams"), detail: s("d") },
        Event::Gap { epoch: 0, from: 4, to: 9, why: s("unreadable segment") },
        Event::Heartbeat {},
    ]
}

#[test]
fn every_kind_is_read_back_as_it_was_written_under_its_name() {
    for event in every_event() {
        let bytes = header().write(&event).unwrap();
        let record = Record::parse(&bytes).unwrap();
        assert_eq!(record.header, header());
        assert_eq!(record.body.kind(), event.kind());
        let name = format!(r#""kind":"{}","event":{{"#, event.kind());
        assert!(String::from_utf8(bytes).unwrap().contains(&name), "{name}");
        assert_eq!(record.body, Body::Known(event));
    }
}

#[test]
fn the_line_reads_as_documented() {
    let expected = format!(
        r#"{{"format":1,"host":"web-01","epoch":2,"seq":7,"prev":"{}","at":1795444800,"boot":"0b3c7f6e-5a1d-4b7e-9a39-2f4d1c6a8e11","kind":"grant_refused","event":{{"grant":"7F3A","cause":"ceiling_window"}}}}"#,
        Hash::of(b"before")
    );
    assert_eq!(line(), expected);
}

#[test]
fn a_kind_from_a_newer_version_is_kept_as_it_stands() {
    let newer = line().replace("grant_refused", "grant_teleported");
    let record = Record::parse(newer.as_bytes()).unwrap();
    assert_eq!(record.header, header());
    let Body::Other { kind, event } = record.body else { panic!("not a kind of this version") };
    assert_eq!(kind, "grant_teleported");
    assert_eq!(event["cause"], "ceiling_window");
}

#[test]
fn fields_that_this_version_does_not_know_are_kept_not_dropped() {
    for changed in [
        line().replace(r#""cause":"#, r#""new":1,"cause":"#),
        line().replace(r#""grant":"7F3A","#, ""),
        line().replace(r#""7F3A""#, "7"),
    ] {
        let record = Record::parse(changed.as_bytes()).unwrap();
        assert!(matches!(record.body, Body::Other { .. }), "{changed}");
        assert_eq!(record.body.kind(), "grant_refused");
    }
}

#[test]
fn a_missing_optional_field_is_not_taken_for_nothing() {
    let event = Event::LockApplied { lock: "L1".into(), user: None };
    let text = String::from_utf8(header().write(&event).unwrap()).unwrap();
    assert!(text.contains(r#""user":null"#));
    let without = text.replace(r#","user":null"#, "");
    assert!(matches!(Record::parse(without.as_bytes()).unwrap().body, Body::Other { .. }));
}

#[test]
fn an_unknown_header_field_is_refused() {
    assert!(matches!(refused(&line().replacen('{', r#"{"extra":1,"#, 1)), RecordError::Malformed(_)));
}

#[test]
fn every_missing_header_field_is_refused() {
    let full: Map<String, Value> = serde_json::from_str(&line()).unwrap();
    for field in full.keys() {
        let mut less = full.clone();
        less.remove(field);
        let text = serde_json::to_string(&less).unwrap();
        assert!(matches!(refused(&text), RecordError::Malformed(_)), "without {field}");
    }
}

#[test]
fn a_doubled_field_is_refused_in_the_header_and_in_the_event() {
    assert!(matches!(refused(&line().replacen('{', r#"{"seq":7,"#, 1)), RecordError::Malformed(_)));
    assert!(matches!(
        refused(&line().replace(r#""cause":"#, r#""cause":"x","cause":"#)),
        RecordError::Malformed(_)
    ));
}

#[test]
fn arrays_in_place_of_objects_are_refused() {
    let array = format!(r#"[1,"web-01",2,7,"{}",0,"b0","heartbeat",{{}}]"#, Hash::ZERO);
    assert!(matches!(refused(&array), RecordError::Malformed(_)));
    let event =
        line().replace(r#"{"grant":"7F3A","cause":"ceiling_window"}"#, r#"["7F3A","ceiling_window"]"#);
    assert!(matches!(refused(&event), RecordError::Malformed(_)));
}

#[test]
fn floats_negative_numbers_and_numbers_out_of_range_are_refused() {
    for number in ["7.0", "7e0", "-7", "18446744073709551616"] {
        let text = line().replace(r#""seq":7"#, &format!(r#""seq":{number}"#));
        assert!(matches!(refused(&text), RecordError::Malformed(_)), "{number}");
    }
}

#[test]
fn trailing_data_newlines_a_byte_order_mark_and_broken_utf8_are_refused() {
    for text in [line() + "{}", line() + "\n", line().replacen(',', ",\n", 1), format!("\u{feff}{}", line())]
    {
        assert!(matches!(refused(&text), RecordError::Malformed(_)));
    }
    let mut broken = line().into_bytes();
    let at = broken.windows(4).position(|part| part == b"7F3A").unwrap();
    broken[at] = 0xff;
    assert!(matches!(Record::parse(&broken), Err(RecordError::Malformed(_))));
}

#[test]
fn a_newer_format_is_refused_by_name_whatever_else_it_has() {
    let newer = line().replace(r#""format":1"#, r#""format":2,"colour":"blue""#);
    assert_eq!(refused(&newer), RecordError::NewerFormat(2));
    assert!(matches!(
        refused(&line().replace(r#""format":1"#, r#""format":0"#)),
        RecordError::BadField { field: "format", .. }
    ));
}

#[test]
fn names_that_would_break_a_line_or_an_origin_are_refused() {
    let long = "h".repeat(254);
    for host in ["", "a b", "a/b", "a\nb", "ä", "a+b", long.as_str()] {
        let bad = Header { host: host.into(), ..header() };
        assert!(
            matches!(bad.write(&Event::Heartbeat {}), Err(RecordError::BadField { field: "host", .. })),
            "{host}"
        );
    }
    let bad = Header { boot: "not a boot".into(), ..header() };
    assert!(matches!(bad.write(&Event::Heartbeat {}), Err(RecordError::BadField { field: "boot", .. })));
    assert!(matches!(
        refused(&line().replace("grant_refused", "Grant Refused")),
        RecordError::BadField { field: "kind", .. }
    ));
    assert!(matches!(
        refused(&line().replace("web-01", "web/01")),
        RecordError::BadField { field: "host", .. }
    ));
}

#[test]
fn a_record_fills_the_cap_and_no_more() {
    let of = |length: usize| Event::AgentStopped { why: "x".repeat(length) };
    let frame = header().write(&of(0)).unwrap().len();
    let full = header().write(&of(MAX_BYTES - frame)).unwrap();
    assert_eq!(full.len(), MAX_BYTES);
    assert!(Record::parse(&full).is_ok());
    assert_eq!(header().write(&of(MAX_BYTES - frame + 1)), Err(RecordError::TooLarge(MAX_BYTES + 1)));
    assert_eq!(Record::parse(&vec![b' '; MAX_BYTES + 1]), Err(RecordError::TooLarge(MAX_BYTES + 1)));
}

#[test]
fn control_characters_in_free_text_stay_inside_their_line() {
    let why = "a\nb\r\x1b[2J\0\u{7f}\"\\";
    let bytes = header().write(&Event::AgentStopped { why: why.into() }).unwrap();
    assert!(bytes.iter().all(|b| *b >= 0x20));
    assert_eq!(Record::parse(&bytes).unwrap().body, Body::Known(Event::AgentStopped { why: why.into() }));
}

#[test]
fn a_file_parts_into_its_lines_and_the_torn_tail() {
    let parted = |file: &'static [u8]| {
        let (whole, torn) = lines(file);
        (whole.collect::<Vec<_>>(), torn)
    };
    assert_eq!(parted(b""), (vec![], b"".as_slice()));
    assert_eq!(parted(b"a\nb\n"), (vec![b"a".as_slice(), b"b"], b"".as_slice()));
    assert_eq!(parted(b"a\nb"), (vec![b"a".as_slice()], b"b".as_slice()));
    assert_eq!(parted(b"torn"), (vec![], b"torn".as_slice()));
    assert_eq!(parted(b"a\n\nb\n"), (vec![b"a".as_slice(), b"", b"b"], b"".as_slice()));
}

#[test]
fn a_receipt_in_short_never_says_clean_after_root() {
    let of = |nothing_found, clean, reported: &[&str]| Event::Receipt {
        grant: "7F3A".into(),
        sessions: 1,
        killed: 0,
        removed: vec!["/p".into()],
        restored: vec![],
        reported: reported.iter().map(|text| (*text).to_owned()).collect(),
        not_excluded: vec![],
        not_scanned: vec![],
        also_open: vec![],
        took_ms: 1,
        nothing_found,
        clean,
    };
    assert_eq!(of(true, true, &[]).outcome().unwrap(), "clean; 1 undone");
    let root = of(true, false, &[]).outcome().unwrap();
    assert_eq!(root, "root was granted: no residue found in what was scanned; 1 undone");
    assert_eq!(of(false, false, &["x"]).outcome().unwrap(), "NOT CLEAN: 1 findings, 0 not scanned; 1 undone");
    assert_eq!(Event::Heartbeat {}.outcome(), None);
}
