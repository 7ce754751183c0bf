//! The whole warden on a tree of its own: a courier that brings and takes, PAM that registers and tells, records that verify.
//!
//! No PAM service has a line of ours there, so it is inert: it verifies, writes the gate and records, and ends nobody.

use std::path::Path;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use stint_api::hosts::{ACK_PAYLOAD_TYPE, Acknowledgement};
use stint_grant::dsse::{Envelope, pre_authentication_encoding};
use stint_grant::keys::PublicKey;
use stint_grant::mark::JournalMark;
use stint_grant::register::{DecisionNote, Register, RegisterAnswer, SessionKind};
use stint_grant::time::Seconds;
use stint_log::Hash;
use stint_log::chain::{self, Chain};
use stint_log::record::Record;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixDatagram, UnixStream};

use super::super::paths::Paths;
use super::super::status::{self, Status};
use super::super::{event_loop, files, sockets, start, time, trust};
use super::*;
use crate::journal::Journal;
use crate::wire::{ToCourier, ToWarden};

/// Each of these makes many files durable, and the disk may be busy.
const BOUND: Duration = Duration::from_mins(5);

/// The broker of these tests, with all times around the real now.
fn broker_now() -> Broker {
    let now = time::read_clocks().unwrap().wall;
    let later = now.plus(Seconds(86_400));
    let mut broker = broker();
    broker.world.root.expires_at = later;
    broker.world.roster.expires_at = later;
    broker.world.terms.not_before = UnixTime(now.0 - 300);
    broker.world.terms.claim_by = later;
    broker.roots = vec![text(broker.world.root_envelope())];
    broker.roster = Some(text(broker.world.roster_envelope()));
    let terms = [broker.world.terms.clone(), dave(&broker.world.terms)];
    let in_window =
        |t: &Terms| Grant { from: UnixTime(now.0 - 60), until: now.plus(Seconds(1800)), ..grant(t) };
    broker.shards = terms.iter().map(|t| shard(t.user.as_str(), vec![in_window(t)])).collect();
    broker.reviews = terms.iter().map(|t| broker.world.approval_of(t, "bob", &broker.world.bob)).collect();
    (broker.pulse_at, broker.expires_at) = (now, later);
    broker
}

struct Installed {
    _dir: tempfile::TempDir,
    paths: Paths,
    broker: Broker,
}

fn installed() -> Installed {
    let dir = tempfile::tempdir().unwrap();
    let (paths, broker) = (Paths::under(dir.path()), broker_now());
    files::ensure_dir(paths.identity_key().parent().unwrap(), 0o700).unwrap();
    files::replace(&paths.identity_key(), &broker.world.host_key.to_bytes(), 0o600).unwrap();
    trust::write(&paths, &broker.trust()).unwrap();
    Installed { _dir: dir, paths, broker }
}

/// All of them: the one for sudo is systemd's to make, and here it stands at any port.
fn open_sockets(paths: &Paths) -> sockets::Sockets {
    let mut sockets = sockets::open(paths).unwrap();
    let sudo = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    sockets.sudo = Some(sudo);
    sockets
}

impl Installed {
    /// Runs the warden for as long as the script lasts.
    async fn run<T>(&self, script: impl Future<Output = T>) -> T {
        let machine = Ok(Sha256Hex::of(b"machine"));
        let mut warden = Box::new(Box::pin(start::start(self.paths.clone(), machine)).await.unwrap());
        let sockets = open_sockets(&self.paths);
        tokio::select! {
            end = Box::pin(event_loop::run(&mut warden, sockets)) => panic!("the warden ended: {end:?}"),
            done = tokio::time::timeout(BOUND, script) => done.expect("in time"),
        }
    }
    async fn status_where(&self, holds: impl Fn(&Status) -> bool) -> Status {
        loop {
            if let Ok(Some(status)) = status::read(&self.paths)
                && holds(&status)
            {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Courier {
    from: Lines<BufReader<OwnedReadHalf>>,
    to: OwnedWriteHalf,
}

impl Courier {
    async fn connect(paths: &Paths) -> Self {
        let (from, to) = UnixStream::connect(paths.courier_socket()).await.unwrap().into_split();
        Self { from: BufReader::new(from).lines(), to }
    }
    async fn say(&mut self, what: &ToWarden) {
        let mut line = serde_json::to_vec(what).unwrap();
        line.push(b'\n');
        self.to.write_all(&line).await.unwrap();
    }
    async fn hear(&mut self) -> ToCourier {
        serde_json::from_str(&self.from.next_line().await.unwrap().unwrap()).unwrap()
    }
}

fn acknowledgement(what: ToCourier, broker: &Broker) -> Acknowledgement {
    let ToCourier::Acknowledge(envelope) = what else { panic!("no acknowledgement: {what:?}") };
    let envelope: Envelope = serde_json::from_str(&envelope).unwrap();
    let decode = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).unwrap();
    let payload = decode(&envelope.payload);
    let message = pre_authentication_encoding(ACK_PAYLOAD_TYPE, &payload);
    let key = stint_grant::keys::PublicKey::of(&broker.world.host_key);
    assert!(key.verifies(&message, &decode(&envelope.signatures[0].sig)));
    serde_json::from_slice(&payload).unwrap()
}

/// What the broker says it holds of the host's journal.
fn mark(broker: &Broker, size: u64, hash: Hash) -> JournalMark {
    JournalMark {
        format: 1,
        fleet: id("example"),
        host: id("web-01"),
        host_key: PublicKey::of(&broker.world.host_key),
        epoch: 0,
        size,
        hash: id(&hash.to_string()),
    }
}

fn signed(mark: &JournalMark, key: &SigningKey) -> String {
    text(dsse::sign(mark, &[key]))
}

async fn register(socket: &Path, register: &Register) -> RegisterAnswer {
    let (from, mut to) = UnixStream::connect(socket).await.unwrap().into_split();
    let mut line = serde_json::to_vec(register).unwrap();
    line.push(b'\n');
    to.write_all(&line).await.unwrap();
    let answer = BufReader::new(from).lines().next_line().await.unwrap().unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn login(grants: Vec<GrantId>) -> Register {
    Register {
        format: 1,
        service: "sshd".to_owned(),
        kind: SessionKind::Login,
        user: "alice".to_owned(),
        target: "alice".to_owned(),
        pid: std::process::id(),
        tty: None,
        origin: None,
        session_id: None,
        grants,
        until: UnixTime(0),
    }
}

#[tokio::test]
async fn an_update_is_acknowledged_when_it_is_in_force_and_the_records_verify_at_the_broker() {
    let mut host = installed();
    host.broker.shards[1].grants[0].until = UnixTime(i64::MAX);
    let (kinds, shown) = host
        .run(async {
            let mut courier = Courier::connect(&host.paths).await;
            courier.say(&ToWarden::Connected(true)).await;
            courier.say(&ToWarden::Update(Box::new(host.broker.update()))).await;
            let said = acknowledgement(courier.hear().await, &host.broker);
            assert_eq!((said.version, said.mode.as_str()), (7, "inert"));
            assert_eq!(said.refused.len(), 1);
            assert!(host.paths.gate().join("current").exists());

            let note = DecisionNote {
                format: 1,
                service: "sshd".to_owned(),
                user: "alice".to_owned(),
                caller: None,
                origin: None,
                allowed: true,
                enforced: true,
                grants: vec![alices()],
                code: "allowed".to_owned(),
                cause: String::new(),
            };
            let datagram = serde_json::to_vec(&note).unwrap();
            UnixDatagram::unbound().unwrap().send_to(&datagram, host.paths.decisions_socket()).await.unwrap();
            assert!(register(&host.paths.warden_socket(), &login(vec![alices()])).await.ok);

            let mut records: Vec<Vec<u8>> = Vec::new();
            let mut checkpoints = Vec::new();
            let kinds = |records: &[Vec<u8>]| -> Vec<String> {
                records.iter().map(|r| Record::parse(r).unwrap().body.kind().to_owned()).collect()
            };
            let mut mark = mark(&host.broker, 0, Hash::ZERO);
            while !kinds(&records).contains(&"decision".to_owned()) {
                courier.say(&ToWarden::HighWater(signed(&mark, &host.broker.world.pulse_key))).await;
                let ToCourier::Ship(shipment) = courier.hear().await else { panic!("no shipment") };
                records.extend(shipment.records.into_iter().map(String::into_bytes));
                checkpoints.extend(shipment.checkpoint);
                mark.size = records.len() as u64;
                mark.hash = Sha256Hex::of(records.last().unwrap());
            }
            let report = chain::verify(
                Chain::new("web-01", 0).unwrap(),
                records.iter().map(Vec::as_slice),
                checkpoints.iter().map(String::as_bytes),
                &host.broker.world.host_key.verifying_key(),
            )
            .unwrap();
            assert_eq!(report.unsigned, 0);
            let shown = host.status_where(|status| status.live.len() == 1).await;
            (kinds(&records), shown)
        })
        .await;
    for kind in ["agent_started", "bundle_installed", "grant_accepted", "grant_refused", "gate_written"] {
        assert!(kinds.contains(&kind.to_owned()), "{kind} in {kinds:?}");
    }
    assert_eq!(shown.live[0].user, "alice");
    assert_eq!(shown.refused.len(), 1);
    assert_eq!((shown.courier.present, shown.courier.connected), (true, true));
    assert!(shown.faults.is_empty(), "{:?}", shown.faults);
}

/// A journal that is old enough to be deleted, and the size and hash that its broker holds of it.
fn old_journal(host: &Installed) -> (u64, Hash) {
    let (key, boot) = (host.broker.world.host_key.clone(), "0b3c7f6e-5a1d-4b7e-9a39-2f4d1c6a8e11");
    let mut journal = Journal::open(host.paths.journal(), "web-01", key, boot, UnixTime(1000)).unwrap();
    let mut chain = Chain::new("web-01", 0).unwrap();
    while segments(host).len() < 3 {
        for _ in 0..200 {
            journal.record(Event::Heartbeat {});
            chain.append(&Event::Heartbeat {}, 1000, boot).unwrap();
        }
        journal.commit().unwrap();
    }
    let long_ago = std::time::SystemTime::now() - Duration::from_hours(8 * 24);
    for segment in segments(host) {
        std::fs::File::options().append(true).open(segment).unwrap().set_modified(long_ago).unwrap();
    }
    (chain.next_seq(), chain.prev_hash())
}

fn segments(host: &Installed) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(host.paths.journal()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect()
}

#[tokio::test]
async fn a_mark_that_the_broker_did_not_sign_for_this_host_deletes_nothing_and_is_an_alarm_once() {
    let host = installed();
    let (size, hash) = old_journal(&host);
    let before = segments(&host);
    let world = &host.broker.world;
    let good = mark(&host.broker, size, hash);
    let forged = [
        serde_json::to_string(&good).unwrap(),
        text(dsse::sign(&good, &[])),
        signed(&good, &world.bundle_key),
        signed(&JournalMark { host: id("web-02"), ..good.clone() }, &world.pulse_key),
        signed(&JournalMark { host_key: PublicKey::of(&world.root_key), ..good.clone() }, &world.pulse_key),
        signed(&JournalMark { size: size + 1_000_000, ..good.clone() }, &world.pulse_key),
    ];
    host.run(async {
        let mut courier = Courier::connect(&host.paths).await;
        courier.say(&ToWarden::Update(Box::new(host.broker.update()))).await;
        acknowledgement(courier.hear().await, &host.broker);
        for mark in &forged {
            courier.say(&ToWarden::HighWater(mark.clone())).await;
            courier.say(&ToWarden::HighWater(mark.clone())).await;
        }
        // The last alarm is shipped only once it is on disk.
        let on_disk = || {
            let texts = segments(&host).into_iter().map(|path| std::fs::read(path).unwrap());
            texts.map(|text| String::from_utf8_lossy(&text).matches("journal-mark").count()).sum::<usize>()
        };
        host.status_where(|s| {
            s.journal.shipping_stopped.as_ref().is_some_and(|w| w.contains("went back")) && on_disk() >= 5
        })
        .await;
        assert_eq!(segments(&host), before);

        courier.say(&ToWarden::HighWater(signed(&good, &world.pulse_key))).await;
        let ToCourier::Ship(shipment) = courier.hear().await else { panic!("no shipment") };
        assert!(segments(&host).len() < before.len(), "the broker's own mark lets them go");
        let alarms = shipment.records.iter().filter(|record| record.contains("journal-mark")).count();
        // The second and the third say the same: no key of the role signed it.
        assert_eq!(alarms, 5);
    })
    .await;
}

#[tokio::test]
async fn a_mark_that_comes_before_the_first_bundle_waits_for_it() {
    let host = installed();
    host.run(async {
        let mut courier = Courier::connect(&host.paths).await;
        let mark = mark(&host.broker, 0, Hash::ZERO);
        courier.say(&ToWarden::HighWater(signed(&mark, &host.broker.world.pulse_key))).await;
        courier.say(&ToWarden::Update(Box::new(host.broker.update()))).await;
        acknowledgement(courier.hear().await, &host.broker);
        let ToCourier::Ship(shipment) = courier.hear().await else { panic!("no shipment") };
        assert!(!shipment.records.iter().any(|record| record.contains("journal-mark")));
    })
    .await;
}

#[tokio::test]
async fn a_mark_waits_for_the_root_that_names_its_key_and_a_revoked_key_marks_nothing() {
    let mut host = installed();
    let old_key = host.broker.world.pulse_key.clone();
    let before = host.broker.update();
    let new_key = SigningKey::from_bytes(&[44; 32]);
    host.broker.next_root(|root| {
        root.keys.0.remove(&PublicKey::of(&old_key).id());
        root.keys.0.insert(PublicKey::of(&new_key).id(), PublicKey::of(&new_key));
        root.pulse.keys = vec![PublicKey::of(&new_key).id()];
    });
    host.broker.world.pulse_key = new_key.clone();
    host.broker.version += 1;
    let (broker, paths) = (&host.broker, &host.paths);
    host.run(async {
        let mut courier = Courier::connect(paths).await;
        courier.say(&ToWarden::Update(Box::new(before))).await;
        assert!(matches!(courier.hear().await, ToCourier::Acknowledge(_)));
        let mark = mark(broker, 0, Hash::ZERO);
        courier.say(&ToWarden::HighWater(signed(&mark, &new_key))).await;
        courier.say(&ToWarden::Update(Box::new(broker.update()))).await;
        let said = [courier.hear().await, courier.hear().await];
        assert!(said.iter().any(|what| matches!(what, ToCourier::Ship(_))), "{said:?}");

        courier.say(&ToWarden::HighWater(signed(&mark, &old_key))).await;
        let refused = host.status_where(|s| s.journal.shipping_stopped.is_some()).await;
        assert!(refused.journal.shipping_stopped.unwrap().contains("0 good signatures"));
    })
    .await;
}

#[tokio::test]
async fn an_update_that_is_refused_whole_is_answered_and_changes_nothing() {
    let mut host = installed();
    host.broker.epoch = 2;
    host.run(async {
        let mut courier = Courier::connect(&host.paths).await;
        courier.say(&ToWarden::Update(Box::new(host.broker.update()))).await;
        let ToCourier::Refused(cause) = courier.hear().await else { panic!("not refused") };
        assert!(cause.contains("epoch 2 is not the root's epoch 1"), "{cause}");
        assert!(!host.paths.gate().join("current").exists());
    })
    .await;
}

#[tokio::test]
async fn what_was_in_force_is_in_force_after_a_restart_before_any_courier_comes() {
    let host = installed();
    host.run(async {
        let mut courier = Courier::connect(&host.paths).await;
        courier.say(&ToWarden::Update(Box::new(host.broker.update()))).await;
        acknowledgement(courier.hear().await, &host.broker);
    })
    .await;
    std::fs::remove_file(host.paths.status()).ok();
    let status = host.run(host.status_where(|status| status.live.len() == 2)).await;
    assert_eq!(status.bundle.unwrap().version, 7);
    assert!(!status.courier.present);
}

#[tokio::test]
async fn on_a_copied_disk_nothing_is_taken_from_the_broker() {
    let host = installed();
    let mut warden = start::start(host.paths.clone(), Ok(Sha256Hex::of(b"another"))).await.unwrap();
    let sockets = open_sockets(&host.paths);
    let script = async {
        let mut courier = Courier::connect(&host.paths).await;
        courier.say(&ToWarden::Update(Box::new(host.broker.update()))).await;
        let ToCourier::Refused(cause) = courier.hear().await else { panic!("not refused") };
        assert!(cause.contains("not the machine that was enrolled"), "{cause}");
    };
    tokio::select! {
        end = event_loop::run(&mut warden, sockets) => panic!("the warden ended: {end:?}"),
        done = tokio::time::timeout(BOUND, script) => done.expect("in time"),
    }
}

#[tokio::test]
async fn a_malformed_host_toml_at_the_start_leaves_the_last_good_one_and_says_so() {
    let host = installed();
    files::ensure_dir(&host.paths.etc, 0o755).unwrap();
    std::fs::write(host.paths.host_config(), "[ceiling]\nmax_window = \"10m\"\n").unwrap();
    host.run(host.status_where(|status| status.faults.is_empty())).await;
    std::fs::write(host.paths.host_config(), "[ceiling]\nmax_window = ten\n").unwrap();
    std::fs::remove_file(host.paths.status()).unwrap();
    host.run(async {
        let status = host.status_where(|status| !status.faults.is_empty()).await;
        assert!(status.faults[0].contains("host.toml, line 2"), "{:?}", status.faults);
        let mut courier = Courier::connect(&host.paths).await;
        courier.say(&ToWarden::Update(Box::new(host.broker.update()))).await;
        let said = acknowledgement(courier.hear().await, &host.broker);
        assert!(said.refused.iter().all(|r| r.cause.contains("ceiling of 10 min")), "{:?}", said.refused);
        assert_eq!(said.refused.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_host_that_is_not_enrolled_does_not_start_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error =
        start::start(Paths::under(dir.path()), Ok(Sha256Hex::of(b"m"))).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("stintd enroll"), "{error}");
}

#[tokio::test]
async fn an_edit_of_host_toml_and_of_the_mode_is_taken_when_it_is_made() {
    let host = installed();
    for folder in [&host.paths.etc, &host.paths.pam, &host.paths.sudoers] {
        files::ensure_dir(folder, 0o755).unwrap();
    }
    std::fs::write(host.paths.pam.join("common-account"), "account required pam_stint.so account\n").unwrap();
    files::replace(&host.paths.mode(), b"observe\n", 0o644).unwrap();
    host.run(async {
        // The round that is made at the start is over.
        host.status_where(|status| status.mode == "observe").await;
        files::replace(&host.paths.host_config(), b"[ceiling]\nmax_window = ten\n", 0o644).unwrap();
        host.status_where(|status| status.faults.iter().any(|f| f.contains("host.toml, line 2"))).await;
        std::fs::remove_file(host.paths.pam.join("common-account")).unwrap();
        host.status_where(|status| status.mode == "inert").await;
    })
    .await;
}

#[tokio::test]
async fn neither_a_user_who_poses_as_sudo_nor_a_courier_s_nonsense_silences_an_alarm() {
    let mut host = installed();
    let mut warden = start::start(host.paths.clone(), Ok(Sha256Hex::of(b"machine"))).await.unwrap();
    for n in 0..200 {
        warden.note_stranger(format!("uid 1001 ({n}) is not root"));
    }
    warden.hear_courier(ToWarden::Update(Box::new(host.broker.update()))).await;
    for epoch in 2..140 {
        host.broker.epoch = epoch;
        warden.hear_courier(ToWarden::Update(Box::new(host.broker.update()))).await;
    }
    (host.broker.epoch, host.broker.version) = (1, 6);
    warden.hear_courier(ToWarden::Update(Box::new(host.broker.update()))).await;
    warden.commit().unwrap();
    let records = warden.journal.records_since(0, 0).unwrap();
    let alarms = |what: &str| {
        let is_one = |bytes: &Vec<u8>| {
            matches!(
                Record::parse(bytes).unwrap().body,
                stint_log::record::Body::Known(Event::Alarm { what: found, .. }) if found == what
            )
        };
        records.iter().filter(|record| is_one(record)).count()
    };
    assert_eq!(alarms("rollback"), 1);
    assert_eq!(alarms("sudo-log-stranger"), 120, "users do not fill the disk");
}

#[tokio::test]
async fn who_is_denied_without_end_fills_no_journal() {
    let host = installed();
    let mut warden = start::start(host.paths.clone(), Ok(Sha256Hex::of(b"machine"))).await.unwrap();
    let note = DecisionNote {
        format: 1,
        service: "sudo".to_owned(),
        user: "alice".to_owned(),
        caller: None,
        origin: None,
        allowed: false,
        enforced: true,
        grants: Vec::new(),
        code: "no-grant".to_owned(),
        cause: String::new(),
    };
    for _ in 0..1200 {
        warden.note_decision(note.clone()).await;
    }
    warden.commit().unwrap();
    let count = warden.journal.records_since(0, 0).unwrap().len();
    assert!((1001..1100).contains(&count), "{count}");
}
