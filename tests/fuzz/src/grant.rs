//! Checks of the parsers of stint-grant. Signed documents are tried twice: raw, as a courier may bring them, and as a payload that the
//! right key signed, as a broken broker may.

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;
use stint_grant::bundle::{self, Grant, Head, HostIdentity, Pulse, Shard};
use stint_grant::codes::{Code, CodeVerifier};
use stint_grant::decision::{Purpose, Question, Verdict, decide};
use stint_grant::dsse::{self, Document, Envelope, Verified};
use stint_grant::gate::{self, Current, GateFiles, OpenGate, UserHeader};
use stint_grant::host_config::HostConfig;
use stint_grant::ids::{HostName, Sha256Hex, UserName};
use stint_grant::keys::PublicKey;
use stint_grant::register::{DecisionNote, Register, RegisterAnswer, SessionKind, UseCode};
use stint_grant::review::{self, ReviewDecision, SignedReview, Statement};
use stint_grant::rights::login::Forwarding;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, LoginRight, Rights, SudoRule};
use stint_grant::root::{self, Keys, Role, Root};
use stint_grant::roster::{self, Reviewer, Roster};
use stint_grant::terms::{CheckedTerms, Class, Terms};
use stint_grant::time::{ClockReading, Floor, Seconds, UnixTime};
use stint_grant::tree::{self, Proof};
use stint_grant::words;

const NOW: UnixTime = UnixTime(1_795_444_800);

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}
fn bob() -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[20; 32]))
}
fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a good name")
}
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data")
}
fn at(offset: i64) -> UnixTime {
    UnixTime(NOW.0 + offset)
}

fn root_document() -> Root {
    let role = |n: u8| Role { keys: vec![PublicKey::of(&key(n)).id()], threshold: 1 };
    Root {
        format: 1,
        fleet: id("example"),
        version: 1,
        issued_at: at(-1000),
        expires_at: at(1_000_000),
        epoch: 1,
        keys: Keys((1..=4).map(|n| PublicKey::of(&key(n))).map(|key| (key.id(), key)).collect()),
        root: role(1),
        roster: role(2),
        bundle: role(3),
        pulse: role(4),
        certificate: role(4),
    }
}
/// The root, its envelope, and a good roster: made once.
static TRUST: LazyLock<(Vec<u8>, Verified<Root>, Verified<Roster>)> = LazyLock::new(|| {
    let envelope = dsse::sign(&root_document(), &[&key(1)]);
    let root = root::open_pinned(&envelope, &root::pin_of(&envelope)).expect("a good root");
    let roster = dsse::sign(&roster_document(), &[&key(2)]);
    let roster = roster::open(&roster, &root, None, NOW).expect("a good roster");
    (envelope, root, roster)
});
static APPROVAL: LazyLock<SignedReview> = LazyLock::new(approval);

fn trusted_root() -> (&'static [u8], &'static Verified<Root>) {
    (&TRUST.0, &TRUST.1)
}
fn me() -> HostIdentity {
    HostIdentity { host: id("web-01"), key: PublicKey::of(&key(5)) }
}
fn head_document(shards: &[&[u8]]) -> Head {
    Head {
        format: 1,
        fleet: id("example"),
        host: me().host,
        host_key: me().key,
        epoch: 1,
        version: 7,
        issued_at: at(-30),
        expires_at: at(86_400),
        locks: vec![],
        shard_count: shards.len() as u64,
        shard_root: tree::root(shards),
    }
}
fn roster_document() -> Roster {
    let keys = vec![bob().public_key().to_openssh().expect("a good key")];
    let reviewers = vec![Reviewer { name: id("bob"), keys, groups: vec!["ops".into()] }];
    let (issued_at, expires_at) = (at(-900), at(900_000));
    Roster { format: 1, fleet: id("example"), version: 1, issued_at, expires_at, reviewers }
}
fn pulse_document(head: &Verified<Head>) -> Pulse {
    Pulse {
        format: 1,
        fleet: id("example"),
        host: me().host,
        head: head.digest().clone(),
        epoch: head.epoch,
        version: head.version,
        issued_at: at(-10),
    }
}
fn terms_document() -> Terms {
    let program = Program {
        path: "/usr/bin/systemctl".into(),
        arguments: Arguments::Exact(vec!["restart".into(), "nginx.service".into()]),
    };
    let sudo =
        SudoRule { run_as: id("root"), command: Command::Program(program), digest: None, noexec: true };
    let all = SudoRule { run_as: id("postgres"), command: Command::All, digest: None, noexec: false };
    let login = LoginRight {
        services: vec!["sshd".into()],
        origins: vec!["10.0.0.0/8".parse().expect("a network"), "2001:db8::/32".parse().expect("a network")],
        forwarding: Forwarding { port: false, agent: false, x11: false },
    };
    Terms {
        format: 1,
        fleet: id("example"),
        request: id("aaaaaaaaaaaa"),
        entitlement: id("nginx-restart"),
        hosts: vec![id("web-01"), id("web-02")],
        principal: id("alice"),
        user: id("alice"),
        class: Class::Routine,
        reason: "OPS-12 certificate rollover".into(),
        ticket: Some("OPS-12".into()),
        rights: Rights { login: Some(login), sudo: vec![sudo, all], groups: vec![], account: None },
        record: stint_grant::record::CommandRecord::COMMANDS,
        credentials: vec![],
        not_before: at(-300),
        claim_by: at(300),
        max_window: Seconds(3600),
        max_extension: Seconds(1800),
        max_staleness: Seconds(900),
        idle_limit: None,
        end_on_logout: false,
        codes: Vec::new(),
    }
}
fn sealed_document() -> Terms {
    let code = CodeVerifier {
        id: id("7F3A"),
        salt: id(&"0".repeat(32)),
        hash: id(&"0".repeat(64)),
        memory_kib: 19_456,
        passes: 2,
    };
    Terms {
        class: Class::BreakGlass,
        hosts: vec![id("web-01")],
        max_extension: Seconds(0),
        codes: vec![code],
        ..terms_document()
    }
}
fn shard_document() -> Shard {
    let terms = terms_document();
    let grant = Grant {
        id: terms.request.clone(),
        terms: terms.to_text(),
        from: at(-60),
        until: at(1800),
        policy: "1".into(),
    };
    let (fleet, host, user) = (id("example"), me().host, id("alice"));
    Shard { format: 1, fleet, host, user, grants: vec![grant], endings: vec![] }
}
fn approval() -> SignedReview {
    let statement = Statement {
        format: 1,
        fleet: id("example"),
        request: id("aaaaaaaaaaaa"),
        terms: stint_grant::terms::digest_of(&terms_document().to_text()),
        decision: ReviewDecision::Approve,
        reviewer: id("bob"),
        reviewed_at: at(-100),
    };
    review::sign(&statement, &bob()).expect("a good key")
}

/// What is taken writes itself so that it is taken again, as the same.
fn reads_back<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    if let Ok(taken) = serde_json::from_slice::<T>(data) {
        let again: T = serde_json::from_slice(&json(&taken)).expect("what was written is taken");
        assert_eq!(again, taken, "it reads back as another");
    }
}
fn signed<T: Document>(data: &[u8], by: &SigningKey) -> Vec<u8> {
    dsse::sign_bytes(T::PAYLOAD_TYPE, data, &[by])
}

/// An envelope as a courier brings it: nothing that the key did not sign is taken.
pub fn envelope(data: &[u8]) {
    reads_back::<Envelope>(data);
    let (pinned, root) = trusted_root();
    if let Ok(head) = bundle::open_head(data, root, &me(), None, NOW) {
        // The seed is signed; whatever else is taken must carry the very same payload.
        assert_eq!(*head, head_document(&[&json(&shard_document())]));
    }
    if let Ok(root) = root::open_pinned(data, &root::pin_of(pinned)) {
        assert_eq!((data, root.check_roles()), (pinned, Ok(())));
    }
    let _ = root::open_pinned(data, &root::pin_of(data)).map(|root| assert_eq!(root.check_roles(), Ok(())));
}

/// The payload of a head that the right key signed.
pub fn head(data: &[u8]) {
    let (_, root) = trusted_root();
    reads_back::<Head>(data);
    if let Ok(head) = bundle::open_head(&signed::<Head>(data, &key(3)), root, &me(), None, NOW) {
        assert_eq!(
            (&head.host, &head.host_key, &head.fleet, head.epoch),
            (&me().host, &me().key, &root.fleet, 1)
        );
        assert!(NOW <= head.expires_at && *head.digest() == Sha256Hex::of(data));
    }
    assert!(
        bundle::open_head(&signed::<Head>(data, &key(4)), root, &me(), None, NOW).is_err(),
        "another role's key"
    );
}

/// The payload of a next root, signed by the old root key; and raw.
pub fn root_rotate(data: &[u8]) {
    let (_, current) = trusted_root();
    reads_back::<Root>(data);
    assert!(root::rotate(current, &signed::<Root>(data, &key(3))).is_err(), "an online key made a root");
    for envelope in [signed::<Root>(data, &key(1)), data.to_vec()] {
        if let Ok(next) = root::rotate(current, &envelope) {
            assert_eq!((next.version, &next.fleet), (2, &current.fleet));
            assert!(next.epoch >= current.epoch);
            assert_eq!(next.check_roles(), Ok(()));
        }
    }
}

/// The payload of a roster that the roster key signed.
pub fn roster(data: &[u8]) {
    let (_, root) = trusted_root();
    reads_back::<Roster>(data);
    assert!(
        roster::open(&signed::<Roster>(data, &key(3)), root, None, NOW).is_err(),
        "an online key made a roster"
    );
    if let Ok(roster) = roster::open(&signed::<Roster>(data, &key(2)), root, Some(1), NOW) {
        assert!(roster.version >= 1 && NOW <= roster.expires_at && roster.fleet == root.fleet);
        let mut names: Vec<_> = roster.reviewers.iter().map(|r| &r.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), roster.reviewers.len());
        let _ = review::verify(&APPROVAL, &roster);
    }
}

/// A line with a proof, then a shard: a shard is taken only under a head that commits to its bytes.
pub fn shard(data: &[u8]) {
    let (_, root) = trusted_root();
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (proof, bytes) = (&data[..end], &data[(end + 1).min(data.len())..]);
    reads_back::<Shard>(bytes);
    reads_back::<Proof>(proof);
    let other = json(&shard_document());
    let open = |shards: &[&[u8]]| -> Verified<Head> {
        let envelope = dsse::sign(&head_document(shards), &[&key(3)]);
        bundle::open_head(&envelope, root, &me(), None, NOW).expect("a good head")
    };
    if let Ok(proof) = serde_json::from_slice::<Proof>(proof) {
        let good = tree::proofs(&[bytes, other.as_slice(), b"third"]).swap_remove(0);
        let taken = tree::includes(&open(&[bytes, &other, b"third"]).shard_root, 3, bytes, &proof);
        assert!(
            !taken || proof == good || bytes == other || bytes == b"third",
            "a proof of another place was taken"
        );
        if *bytes != *other {
            assert!(
                bundle::open_shard(&open(&[&other]), bytes, &proof).is_err(),
                "a shard of another tree was taken"
            );
        }
    }
    let head = open(&[bytes]);
    let whole = bundle::open_all_shards(&head, &[bytes.to_vec()]);
    let single = bundle::open_shard(&head, bytes, &Proof { index: 0, path: vec![] });
    assert_eq!(whole.is_ok(), single.is_ok(), "warden and module differ");
    if let Ok(shard) = single {
        assert!(shard.grants.len() <= bundle::MAX_GRANTS_PER_USER && shard.host == head.host);
    }
}

/// The payload of a pulse that the pulse key signed.
pub fn pulse(data: &[u8]) {
    let (_, root) = trusted_root();
    reads_back::<Pulse>(data);
    let envelope = dsse::sign(&head_document(&[]), &[&key(3)]);
    let head = bundle::open_head(&envelope, root, &me(), None, NOW).expect("a good head");
    // The digest is not to be guessed: a place that says so takes it.
    let hit = String::from_utf8_lossy(data).replace(&"0".repeat(64), head.digest().as_str()).into_bytes();
    for payload in [data, &hit] {
        if let Ok(pulse) = bundle::open_pulse(&signed::<Pulse>(payload, &key(4)), root, &head) {
            assert_eq!((&pulse.head, pulse.version, &pulse.host), (head.digest(), head.version, &head.host));
            let (fresh, age) = (pulse.check_time(NOW).is_ok(), pulse.age(NOW));
            assert!(!fresh || pulse.issued_at <= at(60));
            assert!(age.0 == 0 || pulse.issued_at < NOW);
        }
        assert!(bundle::open_pulse(&signed::<Pulse>(payload, &key(3)), root, &head).is_err());
    }
}

/// The text of terms.
pub fn terms(data: &[u8]) {
    reads_back::<Terms>(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(terms) = CheckedTerms::parse(text) else { return };
    assert_eq!(*terms.digest(), Sha256Hex::of(data));
    let again = CheckedTerms::parse(&terms.to_text());
    // Escapes may make the text longer than it came.
    assert!(terms.to_text().len() > 60_000 || again.is_ok_and(|again| *again == *terms));
    assert!(!terms.hosts.is_empty() && terms.max_window.0 > 0 && terms.not_before <= terms.claim_by);
    assert!(terms.reason.chars().all(words::is_plain));
    let end = terms.claim_by.plus(terms.max_window).plus(terms.max_extension);
    assert!(end.to_timestamp().is_some(), "an end that no calendar has");
    for rule in &terms.rights.sudo {
        let shown = rule.to_string();
        assert!(shown.chars().all(words::is_plain), "{shown:?}");
        assert!(!rule.is_full_root() || rule.amounts_to_root());
        if let Command::Program(program) = &rule.command {
            assert!(program.path.starts_with('/') && !program.path.contains(char::is_whitespace));
            assert!(!program.path.split('/').any(|part| part == ".." || part == "."));
        }
    }
}

/// A review: as it travels, and as a signature over a good statement.
pub fn review(data: &[u8]) {
    let roster = &TRUST.2;
    reads_back::<SignedReview>(data);
    reads_back::<Statement>(data);
    let good = &*APPROVAL;
    let same = |review: &SignedReview| {
        let verified = review::verify(review, roster).ok()?;
        assert_eq!(review.statement, good.statement, "a statement that bob never signed");
        Some(verified)
    };
    if let Ok(review) = serde_json::from_slice::<SignedReview>(data) {
        same(&review);
    }
    let text = String::from_utf8_lossy(data).into_owned();
    same(&SignedReview { statement: good.statement.clone(), signature: text.clone() });
    same(&SignedReview { statement: text, signature: good.signature.clone() });
}

/// The gate's `current`.
pub fn current(data: &[u8]) {
    if let Ok(current) = Current::parse(data) {
        let again = Current::parse(&json(&current)).expect("what was written is taken");
        assert_eq!(again, current);
        let reading = ClockReading { wall: NOW, boottime_ms: 70_000, boot_id: "boot-1".into() };
        if let Ok(now) = current.floor.now(&reading) {
            assert!(now >= current.floor.time);
        }
        let (root, _) = trusted_root();
        let files = GateFiles { root, head: b"{}", user: None };
        assert!(OpenGate::open(&current, &files, &id("alice"), &reading).is_err());
    }
}

fn gate_of(header: &UserHeader, shard: &[u8], head: &Head) -> (Current, Vec<u8>, Vec<u8>, Vec<u8>) {
    let (root_envelope, root) = trusted_root();
    let head_envelope = dsse::sign(head, &[&key(3)]);
    let verified = bundle::open_head(&head_envelope, root, &me(), None, NOW).expect("a good head");
    let header = UserHeader {
        head: verified.digest().clone(),
        proof: Proof { index: 0, path: vec![] },
        ..header.clone()
    };
    let pulse = dsse::sign(&pulse_document(&verified), &[&key(4)]);
    let current = Current {
        format: 1,
        generation: 1,
        host: me().host,
        host_key: me().key,
        root: root::pin_of(root_envelope),
        head: verified.digest().clone(),
        pulse: String::from_utf8(pulse).expect("JSON is text"),
        floor: Floor { time: NOW, boot_id: "boot-1".into(), boottime_ms: 50_000 },
        ended: vec![],
        opened: vec![],
    };
    (current, root_envelope.to_vec(), head_envelope, gate::user_file_bytes(&header, shard))
}

/// An account's file, header and shard, all the way to the decision: what is allowed was accepted, and is within its terms.
pub fn account(data: &[u8]) {
    let reading = ClockReading { wall: NOW, boottime_ms: 50_000, boot_id: "boot-1".into() };
    let user: UserName = id("alice");
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (header, shard) = (&data[..end], &data[(end + 1).min(data.len())..]);
    reads_back::<UserHeader>(header);
    let head = head_document(&[shard]);
    let empty = UserHeader {
        head: Sha256Hex::of(b""),
        proof: Proof { index: 0, path: vec![] },
        accepted: vec![],
        refused: vec![],
    };
    let header = serde_json::from_slice::<UserHeader>(header).unwrap_or(empty);
    let (current, root, head, file) = gate_of(&header, shard, &head);
    let raw = GateFiles { root: &root, head: &head, user: Some(data) };
    let made = GateFiles { user: Some(&file), ..raw };
    for files in [raw, made] {
        let Ok(gate) = OpenGate::open(&current, &files, &user, &reading) else { continue };
        let purposes = [Purpose::Login { service: "sshd" }, Purpose::Login { service: "su" }, Purpose::Sudo];
        for purpose in purposes.into_iter().chain([Purpose::BecomeRoot]) {
            let question = Question { purpose, origin: Some([10, 1, 2, 3].into()), credentials: Some(&[]) };
            match decide(&gate, &HostConfig::default(), &question) {
                Verdict::Allow(permit) => {
                    let shard: Shard = serde_json::from_slice(shard).expect("a shard was opened");
                    for permitting in &permit.grants {
                        assert!(header.accepted.contains(&permitting.id), "nobody accepted it");
                        let grant = shard
                            .grants
                            .iter()
                            .find(|g| g.id == permitting.id)
                            .expect("it stands in the shard");
                        let terms = CheckedTerms::parse(&grant.terms).expect("good terms");
                        assert!(grant.is_within(&terms) && grant.from <= NOW && NOW < grant.until);
                        assert_eq!((&terms.user, &terms.request), (&user, &grant.id));
                        assert!(!terms.is_sealed(), "no code has opened it");
                    }
                    assert!(words::welcome(&permit).chars().all(words::is_plain));
                }
                Verdict::Deny(denial) => assert!(denial.to_string().chars().all(words::is_plain)),
            }
        }
    }
}

/// `host.toml`.
pub fn host_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match HostConfig::parse(text) {
        Ok(config) => {
            assert!(config.managed.first_uid > 0 && !config.is_managed(0) && !config.gates(0, "sshd"));
            assert!(config.ceiling.max_window.0 > 0 && config.limits.staleness.0 > 0);
            let rules = config.ceiling.unreviewed.iter().filter_map(|u| u.sudo.as_ref());
            rules.for_each(|rule| assert!(rule.is_exact()));
        }
        Err(refused) => assert!(refused.line.is_none_or(|line| line > 0 && line <= text.lines().count() + 1)),
    }
}

/// What the module tells the warden.
pub fn register(data: &[u8]) {
    reads_back::<DecisionNote>(data);
    reads_back::<Register>(data);
    reads_back::<UseCode>(data);
    reads_back::<RegisterAnswer>(data);
}

/// Good inputs of each target.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let shard = json(&shard_document());
    let head = head_document(&[&shard]);
    let head_envelope = dsse::sign(&head, &[&key(3)]);
    let (root_envelope, root) = trusted_root();
    let verified = bundle::open_head(&head_envelope, root, &me(), None, NOW).expect("a good head");
    let pulse = Pulse { head: id(&"0".repeat(64)), ..pulse_document(&verified) };
    let header = UserHeader {
        head: verified.digest().clone(),
        proof: Proof { index: 0, path: vec![] },
        accepted: vec![id("aaaaaaaaaaaa")],
        refused: vec![],
    };
    let (current, _, _, file) = gate_of(&header, &shard, &head);
    let proof = tree::proofs(&[b"{}".as_slice(), &shard, b"third"]).swap_remove(0);
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
        service: "sudo".into(),
        kind: SessionKind::Elevation,
        user: "alice".into(),
        target: "root".into(),
        pid: 4711,
        tty: Some("pts/0".into()),
        origin: None,
        session_id: Some("4".into()),
        grants: vec![id("aaaaaaaaaaaa")],
        until: at(1800),
    };
    let use_code = UseCode {
        format: 1,
        service: "sshd".into(),
        user: "alice".into(),
        origin: Some("10.1.2.3".into()),
        tty: None,
        code: Code::typed("7F3A-ABCD-EFGH-JKMN-PQRS").expect("a code"),
        reason: "the broker is gone".into(),
    };
    let config = b"[managed]\nfirst_uid = 1000\nexempt_uids = [1001]\nonly = [{uid = 7, services = ['sudo']}]\n[limits]\n\
        staleness = '15m'\n[ceiling]\nmax_window = '1h 30m'\nfull_root = false\n[[ceiling.unreviewed]]\nuser = 'a'\n\
        sudo = { run_as = 'root', noexec = true, command = { program = { path = '/x', arguments = { exact = ['a'] } } } }\n";
    let host: HostName = me().host;
    assert_eq!(host, head.host);
    vec![
        ("envelope", head_envelope),
        ("envelope", root_envelope.to_vec()),
        ("head", json(&head)),
        ("root_rotate", json(&Root { version: 2, ..root_document() })),
        ("roster", json(&roster_document())),
        ("shard", [json(&proof), b"\n{}".to_vec()].concat()),
        ("shard", [json(&proof), b"\n".to_vec(), shard].concat()),
        ("pulse", json(&pulse)),
        ("terms", terms_document().to_text().into_bytes()),
        ("terms", sealed_document().to_text().into_bytes()),
        ("review", json(&approval())),
        ("review", approval().signature.into_bytes()),
        ("review", approval().statement.into_bytes()),
        ("current", json(&current)),
        ("account", file),
        ("host_config", config.to_vec()),
        ("register", json(&note)),
        ("register", json(&register)),
        ("register", json(&use_code)),
        ("register", json(&RegisterAnswer { ok: true, message: String::new() })),
    ]
}
