//! What holds for every input, not only for the ones that somebody thought of.

#![allow(missing_docs, clippy::pedantic)]

mod common;
use common::*;

use proptest::prelude::*;
use serde_json::Value;
use stint_grant::bundle::{Grant, Head, LockTarget, Shard};
use stint_grant::decision::{Purpose, Question, Verdict, decide};
use stint_grant::dsse::{self, Envelope, Verified};
use stint_grant::gate::{Current, UserHeader};
use stint_grant::host_config::{Ceiling, HostConfig, parse_duration};
use stint_grant::ids::*;
use stint_grant::register::{DecisionNote, Register, RegisterAnswer, SessionKind};
use stint_grant::review::Statement;
use stint_grant::root::Root;
use stint_grant::terms::CheckedTerms;
use stint_grant::time::{ClockReading, Floor, Seconds, UnixTime};
use stint_grant::tree::{self, Proof};
use stint_grant::{gate, words};

// The tree.

fn leaves(size: u64) -> Vec<Vec<u8>> {
    (0..size).map(|n| format!("leaf {n}").into_bytes()).collect()
}

#[test]
fn every_leaf_of_every_tree_proves_and_nothing_else_does() {
    for size in 1..=70 {
        let leaves = leaves(size);
        let root = tree::root(&leaves);
        let proofs = tree::proofs(&leaves);
        for (at, proof) in proofs.iter().enumerate() {
            let leaf = &leaves[at];
            assert!(tree::includes(&root, size, leaf, proof), "{at} of {size}");
            assert!(!tree::includes(&root, size, b"another leaf", proof));
            assert!(!tree::includes(&Sha256Hex::of(b"x"), size, leaf, proof));
            for index in (0..=size).filter(|index| *index != at as u64).chain([u64::MAX]) {
                let moved = Proof { index, path: proof.path.clone() };
                assert!(!tree::includes(&root, size, leaf, &moved), "{at} as {index} of {size}");
            }
            let mut longer = proof.clone();
            longer.path.push(Sha256Hex::of(b"x"));
            assert!(!tree::includes(&root, size, leaf, &longer));
            for step in 0..proof.path.len() {
                let mut shorter = proof.clone();
                shorter.path.remove(step);
                assert!(!tree::includes(&root, size, leaf, &shorter), "{at} of {size} without {step}");
                let mut changed = proof.clone();
                changed.path[step] = Sha256Hex::of(b"x");
                assert!(!tree::includes(&root, size, leaf, &changed), "{at} of {size} with another {step}");
            }
        }
    }
}

/// Another size may give a leaf the same path: RFC 6962 binds the root to its size by signing both, as the head does. So what must hold
/// is that no size makes room for a leaf that is not there, nor for one leaf in two places.
#[test]
fn no_other_size_moves_a_leaf_or_makes_room_for_one() {
    for size in 1..=70u64 {
        let leaves = leaves(size);
        let root = tree::root(&leaves);
        for (at, proof) in tree::proofs(&leaves).into_iter().enumerate() {
            assert!(!tree::includes(&root, at as u64, &leaves[at], &proof), "a tree too small for its leaf");
            assert!(!tree::includes(&root, 0, &leaves[at], &proof));
        }
        for other in (1..=70u64).filter(|other| *other != size) {
            assert_ne!(root, tree::root(&self::leaves(other)));
        }
    }
}

#[test]
fn an_inner_node_is_not_taken_for_a_leaf() {
    let leaves = leaves(4);
    let (root, proofs) = (tree::root(&leaves), tree::proofs(&leaves));
    let decode = |h: &Sha256Hex| data_encoding_hex(h.as_str());
    let inner = [decode(&proofs[1].path[0]), decode(&proofs[0].path[0])].concat();
    let proof = Proof { index: 0, path: vec![proofs[0].path[1].clone()] };
    assert!(!tree::includes(&root, 2, &inner, &proof));
}
fn data_encoding_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

// Strict reading.

/// Parses a text as a document and renders it again.
type Reader = fn(&str) -> Result<String, String>;

fn reread<T: serde::de::DeserializeOwned + serde::Serialize>(text: &str) -> Result<String, String> {
    let document: T = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(serde_json::to_string(&document).unwrap())
}

/// One of each document, with every optional part in it once.
fn documents() -> Vec<(&'static str, String, Reader)> {
    fn one<T: serde::de::DeserializeOwned + serde::Serialize>(
        name: &'static str,
        document: &T,
    ) -> (&'static str, String, Reader) {
        (name, serde_json::to_string(document).unwrap(), reread::<T>)
    }
    let mut world = World::new();
    world.terms.ticket = Some("OPS-12".into());
    world.terms.idle_limit = Some(Seconds(60));
    world.terms.credentials = vec![id("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    world.terms.rights.login.as_mut().unwrap().origins = vec!["10.0.0.0/8".parse().unwrap()];
    let mut shard = world.shard();
    let ending = stint_grant::bundle::Ending {
        grant: id("bbbbbbbbbbbb"),
        how: stint_grant::bundle::EndingKind::Revoked,
        by: Some(id("bob")),
        at: at(-1),
    };
    shard.endings = vec![ending];
    let mut head = world.head(&[]);
    head.locks = vec![lock(LockTarget::User(id("bob"))), lock(LockTarget::Host(id("web-01")))];
    let root = world.trusted_root();
    let verified: Verified<Head> = dsse::verify(&world.sign_head(&head), &[root.bundle_signers()]).unwrap();
    let gate = Gate::of(&world);
    let file = gate.user.clone().unwrap();
    let header = file.split(|b| *b == b'\n').next().unwrap();
    let header: UserHeader = serde_json::from_slice(header).unwrap();
    let envelope: Envelope = serde_json::from_slice(&gate.head).unwrap();
    let statement: Statement = serde_json::from_str(&world.approval().statement).unwrap();
    let note = DecisionNote {
        format: 1,
        service: "sshd".into(),
        user: "alice".into(),
        caller: None,
        origin: Some("10.1.2.3".into()),
        allowed: true,
        enforced: true,
        grants: vec![id("aaaaaaaaaaaa")],
        code: "allowed".into(),
        cause: String::new(),
    };
    let register = Register {
        format: 1,
        service: "sshd".into(),
        kind: SessionKind::Login,
        user: "alice".into(),
        target: "alice".into(),
        pid: 7,
        tty: None,
        origin: None,
        session_id: Some("4".into()),
        grants: vec![],
        until: at(60),
    };
    vec![
        one("root", &world.root),
        one("roster", &world.roster),
        one("head", &head),
        one("shard", &shard),
        one("pulse", &world.pulse(&verified)),
        one("terms", &world.terms),
        one("statement", &statement),
        one("review", &world.approval()),
        one("envelope", &envelope),
        one("current", &gate.current),
        one("header", &header),
        one("note", &note),
        one("register", &register),
        one("answer", &RegisterAnswer { ok: true, message: String::new() }),
    ]
}

/// Every way to render a value with one change somewhere in one of its objects.
fn changed(value: &Value, change: fn(&[(String, String)], usize) -> String) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let fields: Vec<_> = map.iter().map(|(k, v)| (k.clone(), v.to_string())).collect();
            let mut all: Vec<_> = (0..fields.len()).map(|at| change(&fields, at)).collect();
            for (key, inner) in map {
                let with = |inner: String| {
                    let fields: Vec<_> = fields
                        .iter()
                        .map(|(k, v)| (k.clone(), if k == key { inner.clone() } else { v.clone() }))
                        .collect();
                    object(&fields)
                };
                all.extend(changed(inner, change).into_iter().map(with));
            }
            all
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(at, inner)| {
                changed(inner, change).into_iter().map(move |inner| {
                    let items: Vec<_> = items
                        .iter()
                        .enumerate()
                        .map(|(n, item)| if n == at { inner.clone() } else { item.to_string() })
                        .collect();
                    format!("[{}]", items.join(","))
                })
            })
            .collect(),
        _ => Vec::new(),
    }
}
fn object(fields: &[(String, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
    format!("{{{}}}", fields.join(","))
}
fn without(fields: &[(String, String)], at: usize) -> String {
    let rest: Vec<_> = fields.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, f)| f.clone()).collect();
    object(&rest)
}
fn doubled(fields: &[(String, String)], at: usize) -> String {
    let mut all = fields.to_vec();
    all.push(fields[at].clone());
    object(&all)
}
fn doubled_in_disguise(fields: &[(String, String)], at: usize) -> String {
    let (key, value) = &fields[at];
    let escaped = format!("\"\\u{:04x}{}\"", key.as_bytes()[0], &key[1..]);
    object(fields).replacen('{', &format!("{{{escaped}:{value},"), 1)
}
fn extended(fields: &[(String, String)], at: usize) -> String {
    let mut all = fields.to_vec();
    all.insert(at, ("surprise".into(), "null".into()));
    object(&all)
}
fn as_array(fields: &[(String, String)], _: usize) -> String {
    let values: Vec<_> = fields.iter().map(|(_, v)| v.clone()).collect();
    format!("[{}]", values.join(","))
}

#[test]
fn every_document_reads_back_as_it_was_written() {
    for (name, text, read) in documents() {
        assert_eq!(read(&text).as_ref(), Ok(&text), "{name}");
    }
}

#[test]
fn a_field_more_or_less_anywhere_in_any_document_is_refused() {
    type Change = fn(&[(String, String)], usize) -> String;
    let changes: [(&str, Change); 5] = [
        ("without a field", without),
        ("with a field twice", doubled),
        ("with a field twice in disguise", doubled_in_disguise),
        ("with a field more", extended),
        ("with an array in place of an object", as_array),
    ];
    let mut tried = 0;
    for (name, text, read) in documents() {
        let value: Value = serde_json::from_str(&text).unwrap();
        for (what, change) in changes {
            for broken in changed(&value, change) {
                // The keys of a root are a map: one key less is another map, which the roles must then miss.
                let a_key_less = name == "root" && what == "without a field" && {
                    let now: Value = serde_json::from_str(&broken).unwrap();
                    now.as_object().unwrap().len() == value.as_object().unwrap().len()
                        && now["keys"] != value["keys"]
                };
                if a_key_less {
                    let root: Root = serde_json::from_str(&broken).unwrap();
                    assert!(root.check_roles().is_err());
                } else {
                    assert!(read(&broken).is_err(), "{name} {what} was taken: {broken}");
                }
                tried += 1;
            }
        }
        for tail in ["{}", "x", "\0", ",", "null"] {
            assert!(read(&format!("{text}{tail}")).is_err(), "{name} with {tail:?} after it");
        }
    }
    assert!(tried > 300, "{tried}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// One flipped bit: refused, or read as something that renders differently from the original.
    #[test]
    fn no_flipped_bit_goes_unseen(which in 0usize..14, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (name, text, read) = documents().swap_remove(which);
        let mut bytes = text.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes)
            && let Ok(read) = read(&changed)
        {
            prop_assert_ne!(&read, &text, "{}: {}", name, changed);
        }
    }

    #[test]
    fn a_signed_document_with_one_byte_changed_is_refused_or_the_same(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let world = World::new();
        let good = world.sign_head(&world.head(&[]));
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let opened = stint_grant::bundle::open_head(&bytes, &world.trusted_root(), &world.me(), None, NOW);
        prop_assert_eq!(opened.is_ok(), bytes == good);
    }

    #[test]
    fn arbitrary_bytes_never_panic_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let world = World::new();
        let (root, me) = (world.trusted_root(), world.me());
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(stint_grant::bundle::open_head(&bytes, &root, &me, None, NOW).is_err());
        prop_assert!(stint_grant::root::rotate(&root, &bytes).is_err());
        prop_assert!(stint_grant::roster::open(&bytes, &root, None, NOW).is_err());
        prop_assert!(Current::parse(&bytes).is_err());
        prop_assert!(CheckedTerms::parse(&text).is_err());
        let _ = HostConfig::parse(&text);
        let mut gate = Gate::of(&world);
        gate.user = Some(bytes);
        prop_assert!(gate.open().is_err());
    }

// Time.

    #[test]
    fn the_floor_never_goes_back_and_now_only_forward_within_a_boot(
        events in prop::collection::vec((0u8..10, -100_000i64..200_000, -200_000i64..200_000, 0u64..100_000_000), 1..40)
    ) {
        let mut floor = Floor { time: NOW, boot_id: "boot-0".into(), boottime_ms: 0 };
        let (mut boot, mut boottime_ms, mut last) = (0, 0, None);
        for (kind, signed, wall, elapsed) in events {
            if kind == 0 {
                boot += 1;
                boottime_ms = 0;
                last = None;
            }
            boottime_ms += elapsed;
            let reading = ClockReading { wall: at(wall), boottime_ms, boot_id: format!("boot-{boot}") };
            if kind > 3 && let Ok(after) = floor.advance(at(signed), &reading) {
                prop_assert!(after.time >= floor.time);
                prop_assert!(after.time == floor.time || after.time == at(signed), "only signed times raise the floor");
                floor = after;
            }
            // Once a signed time anchored this boot, the wall clock has no say.
            if floor.boot_id == reading.boot_id {
                let now = floor.now(&reading).unwrap();
                prop_assert!(now >= floor.time);
                prop_assert!(last.is_none_or(|last| now >= last), "{last:?} {now:?}");
                last = Some(now);
            } else if let Ok(now) = floor.now(&reading) {
                prop_assert!(now >= floor.time);
            }
        }
    }

    #[test]
    fn a_signed_time_more_than_a_day_ahead_of_both_clocks_raises_nothing(ahead in 86_401i64..i64::MAX / 2, wall in -1000i64..1000) {
        let floor = Floor { time: NOW, boot_id: "boot-1".into(), boottime_ms: 0 };
        let reading = ClockReading { wall: at(wall.min(0)), boottime_ms: 0, boot_id: "boot-1".into() };
        prop_assert!(floor.advance(at(ahead), &reading).is_err());
    }

    #[test]
    fn no_clock_overflows(time: i64, wall: i64, signed: i64, seen: u64, boottime_ms: u64, same: bool) {
        let floor = Floor { time: UnixTime(time), boot_id: "a".into(), boottime_ms: seen };
        let boot_id = if same { "a" } else { "b" };
        let reading = ClockReading { wall: UnixTime(wall), boottime_ms, boot_id: boot_id.into() };
        if let Ok(now) = floor.now(&reading) {
            prop_assert!(now >= floor.time);
        }
        if let Ok(after) = floor.advance(UnixTime(signed), &reading) {
            prop_assert!(after.time >= floor.time);
        }
        let _ = (UnixTime(time).to_string(), UnixTime(time).since(UnixTime(wall)).to_string());
    }

// Acceptance.

    #[test]
    fn no_accepted_grant_exceeds_its_terms_or_the_ceiling(
        from in window_edge(), until in window_edge(),
        max_window in 1u64..10_000, max_extension in 0u64..10_000,
        not_before in -5000i64..5000, claim in 0i64..5000, ceiling in 1u64..20_000, reviewed: bool,
    ) {
        let mut world = World::new();
        world.terms.not_before = at(not_before);
        world.terms.claim_by = at(not_before + claim);
        world.terms.max_window = Seconds(max_window);
        world.terms.max_extension = Seconds(max_extension);
        let grant = Grant { from: UnixTime(from), until: UnixTime(until), ..world.grant() };
        let ceiling = Ceiling { max_window: Seconds(ceiling), ..Ceiling::default() };
        let reviews = if reviewed { vec![world.approval()] } else { vec![] };
        let taken = world.judge(&grant, &reviews, &ceiling).is_ok();
        let (from, until) = (i128::from(from), i128::from(until));
        let longest = i128::from(max_window + max_extension).min(i128::from(ceiling.max_window.0));
        let claim = i128::from(at(not_before).0)..=i128::from(at(not_before + claim).0);
        let should = reviewed && until > from && until - from <= longest && claim.contains(&from);
        prop_assert_eq!(taken, should);
    }

// The decision.

    #[test]
    fn nothing_is_allowed_that_any_one_rule_forbids(
        from in -100i64..100, length in 1i64..3000, elapsed in 0u64..4000,
        accepted in prop::bool::weighted(0.9), ended in prop::bool::weighted(0.1), refused in prop::bool::weighted(0.1),
        lock_target in 0u8..12, lock_until in prop::option::of(-100i64..4000),
        issued_at in -1200i64..100, staleness in 1u64..1500, purpose in 0u8..4,
    ) {
        let world = World::new();
        let until = from + length;
        let mut shard: Shard = world.shard();
        shard.grants[0].from = at(from);
        shard.grants[0].until = at(until);
        let target = match lock_target {
            0 => Some(LockTarget::Principal(id("alice"))),
            1 => Some(LockTarget::User(id("alice"))),
            2 => Some(LockTarget::Host(id("web-01"))),
            3 => Some(LockTarget::Grant(id("aaaaaaaaaaaa"))),
            _ => None,
        };
        let locks: Vec<_> = target.map(|target| {
            let mut lock = lock(target);
            lock.until = lock_until.map(at);
            lock
        }).into_iter().collect();
        let mut gate = Gate::with(&world, shard, |h| h.locks = locks.clone(), |p| p.issued_at = at(issued_at));
        gate.reading.boottime_ms += elapsed * 1000;
        gate.edit_header(|h| if !accepted { h.accepted.clear() });
        if refused { gate.refuse("for a test") }
        if ended { gate.current.ended.push(id("aaaaaaaaaaaa")) }
        let mut config = HostConfig::default();
        config.limits.staleness = Seconds(staleness);
        let purpose = match purpose {
            0 => Purpose::Sudo,
            1 => Purpose::BecomeRoot,
            2 => Purpose::Login { service: "sshd" },
            _ => Purpose::Login { service: "login" },
        };
        let now = i64::try_from(elapsed).unwrap();
        let locked = !locks.is_empty() && lock_until.is_none_or(|until| now < until);
        let fresh = issued_at <= now + 60 && now - issued_at <= i64::try_from(staleness.min(900)).unwrap();
        let covered = matches!(purpose, Purpose::Sudo | Purpose::Login { service: "sshd" });
        let should = covered && accepted && !refused && !ended && !locked && fresh && from <= now && now < until;
        let allowed = match gate.open() {
            Ok(open) => match decide(&open, &config, &Question { purpose, origin: None, credentials: None }) {
                Verdict::Allow(permit) => {
                    prop_assert!(!permit.grants.is_empty() && permit.until() == at(until) && permit.until() > permit.now);
                    true
                }
                Verdict::Deny(denial) => {
                    prop_assert!(!denial.to_string().is_empty() && !denial.code().is_empty());
                    false
                }
            },
            Err(_) => false,
        };
        prop_assert_eq!(allowed, should);
    }

// Names and words.

    #[test]
    fn no_name_is_a_path_a_flag_or_anything_but_plain(text in prop_oneof!["\\PC{0,40}", "[a-z0-9._@+/ -]{0,40}", any::<String>()]) {
        fn holds<T: std::str::FromStr + std::fmt::Display + serde::Serialize + serde::de::DeserializeOwned>(text: &str) {
            let json = serde_json::to_string(text).unwrap();
            let parsed = text.parse::<T>();
            assert_eq!(parsed.is_ok(), serde_json::from_str::<T>(&json).is_ok());
            if let Ok(name) = parsed {
                assert_eq!(name.to_string(), text);
                assert_eq!(serde_json::to_string(&name).unwrap(), json);
                assert!(text.is_ascii() && !text.is_empty() && text.len() <= 253);
                assert!(!text.starts_with(['-', '.', '@', '+']));
                assert!(!text.contains(|c: char| c.is_control() || c.is_whitespace() || "/\\%#!*?\"'$&;|<>(){}[],=~`".contains(c)));
            }
        }
        holds::<FleetName>(&text);
        holds::<HostName>(&text);
        holds::<Principal>(&text);
        holds::<UserName>(&text);
        holds::<GroupName>(&text);
        holds::<EntitlementName>(&text);
        holds::<GrantId>(&text);
        holds::<LockId>(&text);
        prop_assert!(gate::user_file(&text).bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn what_is_printed_is_plain_and_plain_text_stays_as_it_is(text in any::<String>()) {
        let printed = words::printable(&text);
        prop_assert!(printed.chars().all(words::is_plain));
        prop_assert_eq!(printed == text, text.chars().all(words::is_plain));
        prop_assert_eq!(words::printable(&printed), printed.clone());
    }

    #[test]
    fn a_length_of_time_reads_back(seconds in 1u64..10_000_000) {
        prop_assert_eq!(parse_duration(&Seconds(seconds).to_string()), Ok(Seconds(seconds)));
    }

    #[test]
    fn no_text_panics_the_reader_of_lengths(text in prop_oneof!["[0-9]{0,25}[dhms ]{0,3}[0-9]{0,25}[dhms]{0,2}", any::<String>()]) {
        if let Ok(length) = parse_duration(&text) {
            prop_assert!(length.0 > 0);
        }
    }

    #[test]
    fn terms_read_back_and_any_change_changes_the_digest(reason in "[a-zA-Z0-9 .,äöü-]{1,80}", window in 1u64..100_000, at in any::<prop::sample::Index>()) {
        let mut world = World::new();
        world.terms.reason = reason;
        world.terms.max_window = Seconds(window);
        let text = world.terms.to_text();
        let checked = CheckedTerms::parse(&text).unwrap();
        prop_assert_eq!(&*checked, &world.terms);
        let at = at.index(text.len());
        let mut bytes = text.into_bytes();
        bytes[at] ^= 1;
        if let Ok(changed) = String::from_utf8(bytes) && let Ok(other) = CheckedTerms::parse(&changed) {
            prop_assert_ne!(other.digest(), checked.digest());
            prop_assert_ne!(&*other, &*checked);
        }
    }
}

fn window_edge() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => (-6000i64..12_000).prop_map(|offset| at(offset).0),
        1 => any::<i64>(),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(-1)],
    ]
}
