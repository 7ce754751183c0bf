//! The whole courier between a broker and a warden of the test, over real TLS and a real socket.

mod fake_broker;

use std::time::Duration;

use data_encoding::BASE64;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use stint_api::audit::{ShipRecords, SignedMark};
use stint_api::hosts::{HostUpdate, Renew, Renewed};
use stint_grant::ids::Sha256Hex;
use stint_grant::keys::PublicKey;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::backoff::Limits;
use super::store::{CA, CONFIG, CourierConfig, Store, TRANSPORT, transport_pem};
use super::{Pace, Settings, renewal, start};
use crate::wire::{RecordingPart, ToCourier, ToWarden};
use fake_broker::FakeBroker;

const STREAM: &str = "GET /v1/host/stream";
const UPDATE: &str = "GET /v1/host/update";
const AUDIT: &str = "GET /v1/host/audit";
const SHIP: &str = "POST /v1/host/audit";
const ACK: &str = "POST /v1/host/ack";
const DAY: Duration = Duration::from_hours(24);

struct Scene {
    broker: FakeBroker,
    warden: UnixListener,
    folder: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

/// The courier's end of the socket, held by the test's warden.
struct Link(BufReader<UnixStream>);

impl Scene {
    /// A courier whose certificate began so long ago, and holds for 30 days.
    async fn new(begun: Duration) -> Self {
        let broker = FakeBroker::start().await;
        let folder = tempfile::tempdir().unwrap();
        let key = renewal::new_key().unwrap();
        let certificate = broker.certificate(&key.request, begun, 30 * DAY);
        let config = CourierConfig {
            broker: broker.url.clone(),
            fleet: "demo".parse().unwrap(),
            host: "web-1".parse().unwrap(),
            machine: Sha256Hex::of(b"machine"),
            identity_key: PublicKey::of(&ed25519_dalek::SigningKey::from_bytes(&[1; 32])),
        };
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(CONFIG, &serde_json::to_string(&config).unwrap());
        write(CA, &broker.ca.pem());
        write(TRANSPORT, &transport_pem(&certificate, &key.key));

        let quick = Limits::new(Duration::from_millis(5), Duration::from_millis(20));
        let pace = Pace { retry: quick, stream_silence: Duration::from_secs(30), after_refusal: quick };
        let socket = folder.path().join("courier.sock");
        let warden = UnixListener::bind(&socket).unwrap();
        let settings = Settings { folder: folder.path().to_owned(), socket, pace };
        let tasks = start(Store::open(folder.path()).unwrap(), &settings).unwrap();
        Self { broker, warden, folder, _tasks: tasks }
    }
    async fn link(&self) -> Link {
        Link(BufReader::new(bound(self.warden.accept()).await.unwrap().0))
    }
}

impl Link {
    async fn heard(&mut self) -> ToWarden {
        let mut line = String::new();
        bound(self.0.read_line(&mut line)).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }
    /// Reads on until something fits.
    async fn hears<T>(&mut self, fits: impl Fn(&ToWarden) -> Option<T>) -> T {
        loop {
            if let Some(found) = fits(&self.heard().await) {
                return found;
            }
        }
    }
    async fn say(&mut self, message: &ToCourier) {
        let line = format!("{}\n", serde_json::to_string(message).unwrap());
        self.0.write_all(line.as_bytes()).await.unwrap();
    }
}

async fn bound<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(2), what).await.expect("within two minutes")
}

fn update(head: &str) -> String {
    let update = HostUpdate {
        roots: vec!["root".to_owned()],
        roster: None,
        head: head.to_owned(),
        shards: vec!["{}\n".to_owned()],
        reviews: vec![],
        pulse: "p".to_owned(),
    };
    serde_json::to_string(&update).unwrap()
}
/// The courier does not look into it.
fn high_water(size: u64) -> SignedMark {
    SignedMark { envelope: size.to_string() }
}
fn head(message: &ToWarden) -> Option<String> {
    if let ToWarden::Update(update) = message { Some(update.head.clone()) } else { None }
}
fn connected(message: &ToWarden) -> Option<bool> {
    if let ToWarden::Connected(connected) = message { Some(*connected) } else { None }
}
fn size(message: &ToWarden) -> Option<u64> {
    if let ToWarden::HighWater(envelope) = message { envelope.parse().ok() } else { None }
}

#[tokio::test]
async fn updates_and_pulses_of_the_stream_reach_the_warden() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    let stream = scene.broker.next_for(STREAM).await.stream();
    stream.send(format!(": hello\n\nevent: update\ndata: {}\n\n", update("h1"))).unwrap();
    assert_eq!(link.hears(head).await, "h1");
    stream.send("event: pulse\ndata: pul".to_owned()).unwrap();
    stream.send("se\n\n".to_owned()).unwrap();
    let pulse = link.hears(|m| if let ToWarden::Pulse(pulse) = m { Some(pulse.clone()) } else { None }).await;
    assert_eq!(pulse, "pulse");
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_and_the_warden_is_told() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    let stream = scene.broker.next_for(STREAM).await.stream();
    while !link.hears(connected).await {}
    drop(stream);
    while link.hears(connected).await {}
    let stream = scene.broker.next_for(STREAM).await.stream();
    while !link.hears(connected).await {}
    stream.send(format!("event: update\ndata: {}\n\n", update("h2"))).unwrap();
    assert_eq!(link.hears(head).await, "h2");
}

#[tokio::test]
async fn without_a_stream_the_update_is_fetched() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    loop {
        let request = scene.broker.next().await;
        if request.call == UPDATE {
            request.answer(200, &update("fetched"));
            break;
        }
        request.answer(503, "no");
    }
    assert_eq!(link.hears(head).await, "fetched");
}

#[tokio::test]
async fn what_the_warden_ships_arrives_and_the_answer_comes_back() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    scene.broker.next_for(AUDIT).await.answer(200, &serde_json::to_string(&high_water(3)).unwrap());
    assert_eq!(link.hears(size).await, 3);
    let records = ShipRecords { records: vec!["r3".to_owned(), "r4".to_owned()], checkpoint: None };
    link.say(&ToCourier::Ship(records.clone())).await;
    let shipped = scene.broker.next_for(SHIP).await;
    assert_eq!(serde_json::from_str::<ShipRecords>(&shipped.body).unwrap(), records);
    shipped.answer(200, &serde_json::to_string(&high_water(5)).unwrap());
    while link.hears(size).await != 5 {}
}

fn held(message: &ToWarden) -> Option<(String, u64)> {
    if let ToWarden::RecordingHeld { run, held } = message { Some((run.clone(), held.have)) } else { None }
}

#[tokio::test]
async fn a_part_of_a_recording_is_sent_until_it_arrives_or_is_refused_and_the_warden_hears_of_it() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    let part = |run: &str, at, data| RecordingPart { run: run.to_owned(), at, data: BASE64.encode(data) };
    link.say(&ToCourier::Recording(part("r1", 7, b"bytes"))).await;
    scene.broker.next_for("PUT /v1/host/recordings/r1?at=7").await.answer(500, "");
    let again = scene.broker.next_for("PUT /v1/host/recordings/r1?at=7").await;
    assert_eq!(again.body, "bytes");
    again.answer(200, "{\"have\":12,\"mark\":null}");
    assert_eq!(link.hears(held).await, ("r1".to_owned(), 12));
    for (status, code) in [(409, "conflict"), (503, "unavailable")] {
        link.say(&ToCourier::Recording(part("r2", 0, b""))).await;
        let refused = scene.broker.next_for("PUT /v1/host/recordings/r2?at=0").await;
        refused.answer(status, &format!("{{\"code\":\"{code}\",\"message\":\"no {code}\",\"next\":null}}"));
        let cause = link.hears(|m| match m {
            ToWarden::RecordingRefused { run, cause } if run == "r2" => Some(cause.clone()),
            _ => None,
        });
        assert!(cause.await.contains(code));
    }
}

#[tokio::test]
async fn a_shipment_that_fails_leads_to_the_question_what_the_broker_holds() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    link.say(&ToCourier::Ship(ShipRecords { records: vec!["r".to_owned()], checkpoint: None })).await;
    scene.broker.next_for(SHIP).await.answer(500, "");
    scene.broker.next_for(AUDIT).await.answer(200, &serde_json::to_string(&high_water(7)).unwrap());
    while link.hears(size).await != 7 {}
}

#[tokio::test]
async fn an_acknowledgement_is_sent_until_it_is_taken() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    link.say(&ToCourier::Acknowledge("signed".to_owned())).await;
    scene.broker.next_for(ACK).await.answer(503, "");
    let again = scene.broker.next_for(ACK).await;
    assert_eq!(again.body, "signed");
    again.answer(204, "");
}

#[tokio::test]
async fn a_refused_update_is_asked_for_again() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    let stream = scene.broker.next_for(STREAM).await.stream();
    stream.send(format!("event: update\ndata: {}\n\n", update("bad"))).unwrap();
    assert_eq!(link.hears(head).await, "bad");
    link.say(&ToCourier::Refused("forged".to_owned())).await;
    scene.broker.next_for(UPDATE).await.answer(200, &update("good"));
    while link.hears(head).await != "good" {}
}

#[tokio::test]
async fn a_warden_that_comes_back_is_told_everything_again() {
    let mut scene = Scene::new(DAY).await;
    let mut link = scene.link().await;
    let _stream = scene.broker.next_for(STREAM).await.stream();
    while !link.hears(connected).await {}
    drop(link);
    let mut link = scene.link().await;
    while !link.hears(connected).await {}
    scene.broker.next_for(UPDATE).await.answer(200, &update("again"));
    while link.hears(head).await != "again" {}
}

#[tokio::test]
async fn the_certificate_is_renewed_with_a_fresh_key_and_the_stream_opened_with_it() {
    let mut scene = Scene::new(21 * DAY).await;
    let before = std::fs::read_to_string(scene.folder.path().join(TRANSPORT)).unwrap();
    let request = scene.broker.next_for("POST /v1/host/renew").await;
    let renew: Renew = serde_json::from_str(&request.body).unwrap();
    let certificate = scene.broker.certificate(&renew.transport_csr, Duration::ZERO, 30 * DAY);
    request.answer(200, &serde_json::to_string(&Renewed { certificate: certificate.clone() }).unwrap());
    let mut link = scene.link().await;
    // A stream that it asked for before is not waited for any more.
    let new = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let request = loop {
        let request = scene.broker.next_for(STREAM).await;
        if request.certificate == *new {
            break request;
        }
        request.answer(503, "");
    };
    let _stream = request.stream();
    while !link.hears(connected).await {}
    let after = Store::open(scene.folder.path()).unwrap().transport;
    assert!(after.starts_with(certificate.trim_end()));
    assert_ne!(after, before);
}

#[tokio::test]
async fn a_new_certificate_that_cannot_be_used_does_not_replace_the_old_one() {
    let mut scene = Scene::new(21 * DAY).await;
    let before = std::fs::read_to_string(scene.folder.path().join(TRANSPORT)).unwrap();
    let of_another_key = renewal::new_key().unwrap();
    let certificate = scene.broker.certificate(&of_another_key.request, Duration::ZERO, 30 * DAY);
    let request = scene.broker.next_for("POST /v1/host/renew").await;
    request.answer(200, &serde_json::to_string(&Renewed { certificate }).unwrap());
    // The courier goes on with the old one: a connection that was made after the answer shows it.
    let mut link = scene.link().await;
    let _stream = scene.broker.next_for(STREAM).await.stream();
    while !link.hears(connected).await {}
    assert_eq!(std::fs::read_to_string(scene.folder.path().join(TRANSPORT)).unwrap(), before);
}
