//! One grant from its request to its end, with two hosts' and three people's eyes.

use stint_api::client::Filter;
use stint_api::locks::NewLock;
use stint_grant::bundle::{EndingKind, LockTarget};
use stint_grant::review::ReviewDecision;

use crate::fleet::{Fleet, ask, sign_review, ssh_key};

#[tokio::test]
async fn a_grant_is_requested_reviewed_activated_seen_by_the_host_and_ends() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let bob = fleet.person(&admin, "bob", &["requester", "reviewer"]).await;
    let bobs_key = ssh_key(1);
    fleet.publish_roster(&admin, 1, &[("bob", &bobs_key)]).await;
    let web = fleet.enroll(&admin, "web-01").await;

    // The host connects: an update without grants, whose head verifies from the pinned root.
    let mut stream = web.stream().await;
    let first = web.verify(&stream.update().await);
    assert!(first.shards.is_empty());
    web.ack(&first, &[]).await.unwrap();
    let seen = admin.host("web-01").await.unwrap();
    assert!(seen.connected);
    assert_eq!((seen.state.as_str(), seen.mode.as_deref()), ("enrolled", Some("enforce")));
    assert_eq!(seen.acknowledged_version, Some(seen.bundle_version));

    let offered = alice.entitlements().await.unwrap();
    let nginx = offered.iter().find(|e| e.name == "nginx-restart").unwrap();
    assert_eq!(nginx.hosts, ["web-01"]);
    assert!(nginx.allows.iter().any(|line| line.contains("systemctl restart nginx")));

    let request = alice.request(&ask("nginx-restart", &["web-01"])).await.unwrap();
    assert_eq!((request.state.as_str(), request.reviews_needed), ("pending", 1));
    let waiting = bob.requests(&Filter::default()).await.unwrap();
    assert_eq!(waiting.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), [request.id.as_str()]);

    let review = sign_review(&waiting[0], "bob", &bobs_key, ReviewDecision::Approve);
    let (reviewed, waited) =
        tokio::join!(bob.review(&request.id, &review), alice.wait_for_request(&request.id, request.version));
    assert_eq!(reviewed.unwrap().state, "approved");
    assert_eq!(waited.unwrap().state, "approved");

    let grant = alice.grant(&request.id).await.unwrap();
    assert_eq!((grant.state.as_str(), grant.from), ("claimable", None));
    let grant = alice.activate(&request.id).await.unwrap();
    assert_eq!(grant.state, "active");
    assert_eq!(grant.until.unwrap() - grant.from.unwrap(), 600);
    assert_eq!(grant.effect.hosts[0].effective_after_ms, None);

    // The push carries the grant with the very terms, and the review beside it.
    let update = stream.update().await;
    let known = web.verify(&update);
    assert_eq!(known.head.version, first.head.version + 1);
    assert_eq!(known.shards[0].user.as_str(), "alice");
    assert_eq!(known.shards[0].grants[0].terms, request.terms);
    assert_eq!(known.shards[0].grants[0].until.0, grant.until.unwrap());
    assert_eq!(update.reviews[0].statement, review.statement);

    let before = alice.grant(&request.id).await.unwrap().version;
    let (acked, waited) = tokio::join!(web.ack(&known, &[]), alice.wait_for_grant(&request.id, before));
    acked.unwrap();
    assert!(waited.unwrap().effect.hosts[0].effective_after_ms.is_some());

    let longer = alice.extend(&request.id, 300).await.unwrap();
    assert_eq!((longer.until, longer.extension_left), (grant.until.map(|u| u + 300), 1500));
    let known = web.verify(&stream.update().await);
    assert_eq!(Some(known.shards[0].grants[0].until.0), longer.until);

    // Bob approved it, so he may take it back.
    let revoked = bob.revoke(&request.id, "the rollover is done").await.unwrap();
    assert_eq!((revoked.state.as_str(), revoked.ended_by.as_deref()), ("revoked", Some("bob")));
    let known = web.verify(&stream.update().await);
    assert!(known.shards[0].grants.is_empty());
    assert_eq!(known.shards[0].endings[0].how, EndingKind::Revoked);
    web.ack(&known, &[]).await.unwrap();
    assert!(alice.grant(&request.id).await.unwrap().effect.hosts[0].effective_after_ms.is_some());
}

#[tokio::test]
async fn a_lock_signs_its_person_out_reaches_all_hosts_and_outlives_nothing_but_itself() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let sec = fleet.person(&admin, "sec", &["security"]).await;
    let (web, db) = (fleet.enroll(&admin, "web-01").await, fleet.enroll(&admin, "web-02").await);
    let (mut web_stream, mut db_stream) = (web.stream().await, db.stream().await);
    web_stream.update().await;
    db_stream.update().await;

    let new = NewLock {
        kind: "principal".to_owned(),
        target: "alice".to_owned(),
        reason: "laptop stolen".to_owned(),
        duration: None,
    };
    let lock = sec.add_lock(&new).await.unwrap();
    for (host, stream) in [(&web, &mut web_stream), (&db, &mut db_stream)] {
        let known = host.verify(&stream.update().await);
        assert_eq!(known.head.locks[0].target, LockTarget::Principal("alice".parse().unwrap()));
        assert_eq!(known.head.locks[0].reason, "laptop stolen");
        host.ack(&known, &[]).await.unwrap();
    }
    let effect = &sec.locks().await.unwrap()[0].effect;
    assert_eq!(effect.hosts.len(), 2);
    assert!(effect.hosts.iter().all(|h| h.effective_after_ms.is_some()));
    assert_eq!(alice.me().await.unwrap_err().code(), Some("unauthenticated"));

    sec.remove_lock(&lock.id).await.unwrap();
    assert!(web.verify(&web_stream.update().await).head.locks.is_empty());
}

#[tokio::test]
async fn what_needs_no_review_is_approved_at_once_and_ends_by_itself() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let web = fleet.enroll(&admin, "web-01").await;
    let mut stream = web.stream().await;
    stream.update().await;

    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    assert_eq!(request.state, "approved");
    alice.activate(&request.id).await.unwrap();
    let active = web.verify(&stream.update().await);
    assert_eq!(active.shards[0].grants.len(), 1);

    fleet.clock.advance(600);
    // The background work finds it; the update tells.
    let over = web.verify(&stream.update().await);
    assert!(over.shards[0].grants.is_empty());
    assert_eq!(over.shards[0].endings[0].how, EndingKind::Expired);
    assert_eq!(over.shards[0].endings[0].by, None);
    assert_eq!(alice.grant(&request.id).await.unwrap().state, "expired");
}

#[tokio::test]
async fn what_a_host_refuses_is_shown_with_its_cause() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let web = fleet.enroll(&admin, "web-01").await;
    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    alice.activate(&request.id).await.unwrap();

    let known = web.verify(&web.update().await);
    web.ack(&known, &[(&request.id, "0 valid signed reviews")]).await.unwrap();

    let effect = alice.grant(&request.id).await.unwrap().effect;
    assert_eq!(effect.hosts[0].refused.as_deref(), Some("0 valid signed reviews"));
}

#[tokio::test]
async fn between_changes_a_connected_host_gets_pulses_of_the_bundle_that_it_has() {
    let fleet = Fleet::new().await;
    let config = fleet.data.path.join("broker.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}pulse_interval = \"1s\"\n")).unwrap();
    let fleet = fleet.restart().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let mut stream = web.stream().await;
    let mut update = stream.update().await;
    let (event, pulse) = stream.next().await.unwrap();
    assert_eq!(event, "pulse");
    update.pulse = pulse;
    web.verify(&update);
}
