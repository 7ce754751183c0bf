//! SSH certificates: for whom, when, and what stands on record.

use ssh_key::{Certificate, HashAlg, PublicKey};
use stint_api::client::Client;
use stint_api::grants::NewCertificate;
use stint_api::locks::NewLock;

use crate::fleet::{Fleet, ask, ssh_key};

struct World {
    fleet: Fleet,
    admin: Client,
    alice: Client,
    /// An active grant of alice's.
    id: String,
}

async fn world(lines: &str) -> World {
    let fleet = Fleet::with(lines).await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    fleet.publish_roster(&admin, 1, &[("bob", &ssh_key(1))]).await;
    fleet.enroll(&admin, "web-01").await;
    let id = alice.request(&ask("look", &["web-01"])).await.unwrap().id;
    World { fleet, admin, alice, id }
}

fn wanted(host: &str) -> NewCertificate {
    NewCertificate { host: host.to_owned(), public_key: ssh_key(9).public_key().to_openssh().unwrap() }
}

#[tokio::test]
async fn the_holder_of_an_active_grant_gets_one_and_it_stands_on_record() {
    let World { fleet, admin, alice, id } = world("").await;
    assert_eq!(alice.certify(&id, &wanted("web-01")).await.unwrap_err().code(), Some("conflict"));
    let grant = alice.activate(&id).await.unwrap();

    let answer = alice.certify(&id, &wanted("web-01")).await.unwrap();
    let certificate = Certificate::from_openssh(&answer.certificate).unwrap();
    let root = &fleet.app.trust().root;
    let authority = PublicKey::from_openssh(&root.certificate_signers().keys[0].to_openssh()).unwrap();
    let now = fleet.clock.now().secs().unsigned_abs();
    certificate.validate_at(now, &[authority.fingerprint(HashAlg::Sha256)]).unwrap();
    assert_eq!(certificate.public_key(), ssh_key(9).public_key().key_data());
    assert_eq!(certificate.serial(), answer.serial);
    assert_eq!(answer.user, "alice");
    assert_eq!(answer.until, fleet.clock.now().secs() + 300);
    assert!(answer.until <= grant.until.unwrap());

    let event = admin.events(0, 1000).await.unwrap().pop().unwrap();
    assert_eq!(
        (event.kind.as_str(), event.actor.as_str(), event.subject),
        ("certificate.issued", "alice", id)
    );
    assert_eq!(event.detail["serial"], answer.serial);
    assert_eq!(event.detail["key"], ssh_key(9).fingerprint(HashAlg::Sha256).to_string());
}

#[tokio::test]
async fn nobody_else_gets_one_nor_the_holder_for_another_host_or_after_the_end() {
    let World { fleet, admin, alice, id } = world("").await;
    alice.activate(&id).await.unwrap();
    let bob = fleet.person(&admin, "bob", &["requester", "reviewer"]).await;
    let code = |refused: Result<_, stint_api::client::ClientError>| {
        let refused: Result<stint_api::grants::CertificateView, _> = refused;
        refused.unwrap_err().code().map(str::to_owned)
    };
    assert_eq!(code(bob.certify(&id, &wanted("web-01")).await).as_deref(), Some("denied"));
    assert_eq!(code(admin.certify(&id, &wanted("web-01")).await).as_deref(), Some("denied"));
    assert_eq!(code(alice.certify(&id, &wanted("web-02")).await).as_deref(), Some("denied"));
    assert_eq!(code(alice.certify("aaaaaaaaaaaa", &wanted("web-01")).await).as_deref(), Some("not-found"));
    let nonsense = NewCertificate { public_key: "ssh-rsa AAAA".to_owned(), ..wanted("web-01") };
    assert_eq!(code(alice.certify(&id, &nonsense).await).as_deref(), Some("bad-input"));
    assert_eq!(
        code(fleet.stranger().certify(&id, &wanted("web-01")).await).as_deref(),
        Some("unauthenticated")
    );

    let sec = fleet.person(&admin, "sec", &["security"]).await;
    let lock =
        NewLock { kind: "grant".to_owned(), target: id.clone(), reason: "a look".to_owned(), duration: None };
    let lock = sec.add_lock(&lock).await.unwrap();
    assert_eq!(code(alice.certify(&id, &wanted("web-01")).await).as_deref(), Some("denied"));
    sec.remove_lock(&lock.id).await.unwrap();
    alice.certify(&id, &wanted("web-01")).await.unwrap();

    alice.end(&id).await.unwrap();
    assert_eq!(code(alice.certify(&id, &wanted("web-01")).await).as_deref(), Some("conflict"));
    let events = admin.events(0, 1000).await.unwrap();
    let issued = events.iter().filter(|e| e.kind == "certificate.issued").count();
    assert_eq!(issued, 1, "what is refused is not on record as issued");
}

#[tokio::test]
async fn one_does_not_outlive_its_window_though_the_setting_would_let_it() {
    let World { fleet, alice, id, .. } = world("ssh_certificate_life = \"1h\"").await;
    let grant = alice.activate(&id).await.unwrap();
    assert_eq!(alice.certify(&id, &wanted("web-01")).await.unwrap().until, grant.until.unwrap());
    fleet.clock.advance(600);
    assert_eq!(alice.certify(&id, &wanted("web-01")).await.unwrap_err().code(), Some("conflict"));
}

#[tokio::test]
async fn a_broker_without_the_key_that_the_root_names_does_not_start() {
    let data = crate::fleet::make().await;
    let key = data.path.join("keys/certificate.key");
    std::fs::copy(data.path.join("keys/pulse.key"), &key).unwrap();
    let clock = stint_broker::clock::Clock::default();
    let refused = crate::fleet::start(&data, &clock).await.err().unwrap().to_string();
    assert!(refused.contains("certificate keys"), "{refused}");
}
