//! Sealed grants: asked for with verifiers, on the host as long as the codes are good, and what the host tells of their use.

use stint_api::client::Client;
use stint_api::grants::NewCertificate;
use stint_api::requests::{NewCode, NewRequest};
use stint_broker::server;
use stint_grant::review::ReviewDecision;
use stint_grant::terms::CheckedTerms;
use stint_log::chain::Chain;
use stint_log::record::Event;

use crate::fleet::{Fleet, ask, sign_review, ssh_key};
use crate::host::TestHost;

const GLASS: &str = r#"
name = "glass"
description = "The way in when the broker is gone"
hosts = { labels = { role = "web" } }
login = {}
max_window = "10m"
claim_within = "60d"
codes = 2
reviews = 1
"#;

struct World {
    fleet: Fleet,
    alice: Client,
    bob: Client,
    auditor: Client,
    web: TestHost,
}

async fn world() -> World {
    let fleet = Fleet::new().await;
    write_catalog(&fleet, GLASS).await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let bob = fleet.person(&admin, "bob", &["requester", "reviewer"]).await;
    let auditor = fleet.person(&admin, "aud", &["auditor"]).await;
    fleet.publish_roster(&admin, 1, &[("bob", &ssh_key(1))]).await;
    let web = fleet.enroll(&admin, "web-01").await;
    World { fleet, alice, bob, auditor, web }
}

async fn write_catalog(fleet: &Fleet, text: &str) {
    std::fs::write(fleet.data.path.join("catalog/glass.toml"), text).unwrap();
    server::reload_catalog(&fleet.app, &fleet.data.path).await.unwrap();
}

fn code(id: &str) -> NewCode {
    NewCode { id: id.to_owned(), salt: "0".repeat(32), hash: "0".repeat(64), memory_kib: 19_456, passes: 2 }
}

fn sealed() -> NewRequest {
    NewRequest { codes: vec![code("AAAA"), code("BBBB")], ..ask("glass", &["web-01"]) }
}

/// Asked for, reviewed by bob, and on its host.
async fn standing(world: &World) -> String {
    let request = world.alice.request(&sealed()).await.unwrap();
    let review = sign_review(&request, "bob", &ssh_key(1), ReviewDecision::Approve);
    world.bob.review(&request.id, &review).await.unwrap();
    world.alice.activate(&request.id).await.unwrap();
    request.id
}

#[tokio::test]
async fn a_sealed_grant_stands_on_its_host_until_its_codes_are_good_no_more() {
    let world = world().await;
    let mut stream = world.web.stream().await;
    stream.update().await;
    let id = standing(&world).await;
    let grant = world.alice.grant(&id).await.unwrap();
    assert!(grant.sealed && grant.state == "active" && grant.openings.is_empty());
    assert_eq!(grant.until, Some(grant.claim_by));
    assert_eq!(grant.extension_left, 0);
    let known = world.web.verify(&stream.update().await);
    let bundled = &known.shards[0].grants[0];
    let terms = CheckedTerms::parse(&bundled.terms).unwrap();
    assert!(terms.is_sealed() && terms.codes.len() == 2 && bundled.is_within(&terms));
    // It is no way in by itself: neither a certificate nor an extension makes it one.
    let key = ssh_key(9).public_key().to_openssh().unwrap();
    let wanted = NewCertificate { host: "web-01".to_owned(), public_key: key };
    assert!(world.alice.certify(&id, &wanted).await.is_err());
    assert!(world.alice.extend(&id, 60).await.is_err());
}

#[tokio::test]
async fn the_use_of_a_code_is_an_event_and_stands_with_the_grant_once() {
    let world = world().await;
    let id = standing(&world).await;
    let before = world.alice.grant(&id).await.unwrap().version;
    let mut journal = Chain::new("web-01", 0).unwrap();
    let used = |grant: &str| Event::CodeUsed {
        grant: grant.to_owned(),
        user: "alice".to_owned(),
        service: "sshd".to_owned(),
        origin: Some("192.0.2.7".to_owned()),
        code: "AAAA".to_owned(),
        reason: "the broker is gone".to_owned(),
        until: 1_795_445_400,
    };
    let wrong = Event::CodeRefused {
        grant: None,
        user: "alice".to_owned(),
        code: "CCCC".to_owned(),
        cause: "wrong".to_owned(),
    };
    let events = [wrong, used(&id), used("zzzzzzzzzzzz")];
    let records: Vec<_> = events.iter().map(|e| journal.append(e, 1_795_444_800, "b0").unwrap()).collect();
    world.web.ship(&records, None).await.unwrap();
    // Shipped again, it is not told again.
    world.web.ship(&records, None).await.unwrap();

    let grant = world.alice.grant(&id).await.unwrap();
    assert!(grant.version > before, "whoever waits for the grant hears of it");
    let [opening] = grant.openings.as_slice() else { panic!("not one opening: {:?}", grant.openings) };
    assert_eq!((opening.host.as_str(), opening.code.as_str()), ("web-01", "AAAA"));
    assert_eq!((opening.reason.as_str(), opening.until), ("the broker is gone", 1_795_445_400));
    let told = world.auditor.events(0, 5000).await.unwrap();
    let opened: Vec<_> = told.iter().filter(|e| e.kind == "break_glass.opened").collect();
    assert_eq!(opened.len(), 2, "what a host says of a grant that is not its own is told, and shown nowhere");
    assert_eq!((opened[0].actor.as_str(), opened[0].subject.as_str()), ("web-01", id.as_str()));
    assert_eq!((&opened[0].detail["review"], &opened[0].detail["user"]), (&"owed".into(), &"alice".into()));
    assert_eq!(told.iter().filter(|e| e.kind == "break_glass.refused").count(), 1);
}

#[tokio::test]
async fn what_is_sealed_is_asked_for_with_codes_and_what_is_not_without() {
    let world = world().await;
    let asked: [(&str, NewRequest); 4] = [
        ("no codes", NewRequest { codes: Vec::new(), ..sealed() }),
        ("too many", NewRequest { codes: ["AAAA", "BBBB", "CCCC"].map(code).to_vec(), ..sealed() }),
        ("another entitlement", NewRequest { entitlement: "nginx-restart".to_owned(), ..sealed() }),
        ("another class", NewRequest { class: Some("routine".to_owned()), ..sealed() }),
    ];
    for (what, asked) in asked {
        assert!(world.alice.request(&asked).await.is_err(), "{what} was taken");
    }
}

#[tokio::test]
async fn a_catalog_that_is_not_for_codes_any_more_takes_back_what_is_sealed() {
    let world = world().await;
    let id = standing(&world).await;
    write_catalog(&world.fleet, &GLASS.replace("codes = 2", "codes = 1")).await;
    assert_eq!(world.alice.grant(&id).await.unwrap().state, "revoked");
}
