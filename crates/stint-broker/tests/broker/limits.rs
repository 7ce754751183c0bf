//! What anybody may take up: connections, streams, waiting calls, room in a bundle.

use std::net::SocketAddr;
use std::time::Duration;

use stint_broker::server::App;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::fleet::{Fleet, ask};
use crate::host::answer;
use crate::refusals::{alarms, check, refused};

const BOUND: Duration = Duration::from_mins(2);

/// A network between a host and the broker that can be cut: then nothing passes, and nobody is told.
struct Network {
    address: SocketAddr,
    cut: watch::Sender<bool>,
    /// The broker gave the connection up.
    given_up: oneshot::Receiver<()>,
}

impl Network {
    async fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(false);
        let (tell, given_up) = oneshot::channel();
        tokio::spawn(async move {
            let (host, _) = listener.accept().await.unwrap();
            let (from_host, to_host) = host.into_split();
            let (from_broker, to_broker) = TcpStream::connect(broker).await.unwrap().into_split();
            tokio::join!(pass(from_host, to_broker, is_cut.clone()), async {
                pass(from_broker, to_host, is_cut).await;
                let _ = tell.send(());
            })
        });
        Self { address, cut, given_up }
    }
}

/// Passes bytes on until one side ends. Once the network is cut they are lost.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !*is_cut.borrow() && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    if *is_cut.borrow() {
        // The other side must not hear of the end either.
        std::mem::forget(to);
    }
}

#[tokio::test]
async fn a_host_that_comes_back_after_its_network_was_cut_is_not_taken_for_two() {
    let fleet = Fleet::with("keep_alive = \"5s\"").await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let network = Network::to(fleet.address()).await;
    let mut before = web.twin(network.address).stream().await;
    before.update().await;
    network.cut.send_replace(true);
    let mut after = web.twin(fleet.address()).stream().await;
    after.update().await;
    tokio::time::timeout(BOUND, network.given_up).await.expect("the broker gives the cut one up").unwrap();
    assert!(alarms(&fleet).await.is_empty());
    assert!(admin.host("web-01").await.unwrap().connected);
}

#[tokio::test]
async fn two_machines_with_one_hosts_keys_are_an_alarm_once_and_the_newest_wins() {
    let fleet = Fleet::with("keep_alive = \"5s\"").await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let mut first = web.stream().await;
    first.update().await;
    let copy = web.twin(fleet.address());
    let mut second = copy.stream().await;
    second.update().await;
    while first.next().await.is_some() {}
    assert_eq!(alarms(&fleet).await, ["alarm.two_streams"]);
    // Back and forth: told of at most once a minute.
    let mut third = web.stream().await;
    third.update().await;
    while second.next().await.is_some() {}
    assert_eq!(alarms(&fleet).await, ["alarm.two_streams"]);
}

async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Whether the broker closed it, without a byte.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(BOUND, stream.read(&mut [0; 1])).await.expect("closed in time");
    matches!(read, Ok(0) | Err(_))
}

#[tokio::test]
async fn a_flood_of_connections_from_one_address_leaves_room_for_others() {
    let fleet = Fleet::with("max_connections = 64").await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let mut flood = Vec::new();
    for _ in 0..16 {
        flood.push(connect("127.0.0.2", fleet.address()).await);
    }
    assert!(is_closed(&mut connect("127.0.0.2", fleet.address()).await).await);
    web.twin(fleet.address()).update().await;
}

#[tokio::test]
async fn one_host_has_a_bounded_number_of_connections() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let connection = web.twin(fleet.address());
        connection.update().await;
        open.push(connection);
    }
    let ninth = web.twin(fleet.address()).http.get(fleet.url("/v1/host/update")).send().await;
    assert!(ninth.is_err(), "{ninth:?}");
    let other = fleet.enroll(&admin, "web-02").await;
    other.update().await;
}

#[tokio::test]
async fn one_person_has_a_bounded_number_of_waiting_calls() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let request = alice.request(&ask("nginx-restart", &["web-01"])).await.unwrap();
    let held: Vec<_> = (0..32).map_while(|_| fleet.app.places.waiting_call("alice")).collect();
    assert_eq!(held.len(), 32);
    let busy = alice.wait_for_request(&request.id, request.version).await;
    refused("one more", busy, "busy", "too many calls that wait");
    assert_eq!(
        alice.request_by_id(&request.id).await.unwrap().id,
        request.id,
        "who does not wait is answered"
    );
}

#[tokio::test]
async fn a_flood_of_sign_ins_is_told_to_come_again_and_is_not_counted_as_wrong() {
    let fleet = Fleet::new().await;
    let here = "127.0.0.1".parse().unwrap();
    let held: Vec<_> = std::iter::from_fn(|| fleet.app.places.signing_in(here)).collect();
    assert!(!held.is_empty());
    fleet.clock.advance(30);
    let attempt = fleet.sign_in_of(&fleet.admin_secrets());
    for _ in 0..10 {
        refused("one more", fleet.stranger().sign_in(&attempt).await, "busy", "too many people");
    }
    let http = stint_api::tls::client(&fleet.pinned()).unwrap();
    let answer = http.post(fleet.url("/v1/session")).json(&attempt).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    drop(held);
    fleet.stranger().sign_in(&attempt).await.unwrap();
}

async fn grow(app: &App, request: &str, bytes: usize) {
    let mut change = app.db.change(app.clock.now()).await.unwrap();
    sqlx::query("UPDATE request SET terms = $2 WHERE id = $1")
        .bind(request)
        .bind("x".repeat(bytes))
        .execute(change.conn())
        .await
        .unwrap();
    change.record("test", "test.grown", request, serde_json::json!({})).await.unwrap();
    change.commit().await.unwrap();
}

#[tokio::test]
async fn what_would_make_a_bundle_too_large_for_its_host_is_refused_and_not_pushed() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let bob = fleet.person(&admin, "bob", &["requester"]).await;
    let bobs = bob.request(&ask("look", &["web-01"])).await.unwrap();
    let waiting = alice.request(&ask("look", &["web-01"])).await.unwrap();
    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    alice.activate(&request.id).await.unwrap();
    web.update().await;

    grow(&fleet.app, &request.id, 300 * 1024).await;
    refused("activating", alice.activate(&waiting.id).await, "conflict", "no more fit");
    refused("asking", alice.request(&ask("look", &["web-01"])).await, "conflict", "no more fit");
    bob.request(&ask("look", &["web-01"])).await.unwrap();

    grow(&fleet.app, &request.id, 13 * 1024 * 1024).await;
    refused("bob", bob.activate(&bobs.id).await, "conflict", "no more fit into what it takes at once");
    assert_eq!(bob.grant(&bobs.id).await.unwrap().state, "claimable", "nothing was changed");

    // What got past all that, as by a mistake here, is not pushed: the host keeps its last bundle, and gets no fresh news of it.
    let sec = fleet.person(&admin, "sec", &["security"]).await;
    let (kind, target, reason) = ("host".to_owned(), "web-01".to_owned(), "forensics".to_owned());
    sec.add_lock(&stint_api::locks::NewLock { kind, target, reason, duration: None }).await.unwrap();
    let response = web.http.get(fleet.url("/v1/host/update")).send().await.unwrap();
    check("an update", &answer::<()>(response).await.unwrap_err(), "unavailable", "newest changes");
}
