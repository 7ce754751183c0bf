//! What the broker refuses, and that it says what to do next.

use stint_api::client::ClientError;
use stint_api::hosts::{Enrolled, InviteHost};
use stint_api::locks::NewLock;
use stint_api::people::{NewUser, NextRoot};
use stint_api::tls;
use stint_api::token::JoinToken;
use stint_api::{ApiError, audit::EventView};
use stint_broker::trust::renew::{self, Renewal};
use stint_grant::review::ReviewDecision;
use stint_grant::time::Seconds;

use crate::fleet::{Fleet, Secrets, ask, sign_review, ssh_key};
use crate::host::{TestHost, answer, csr, enroll_body};

pub(crate) fn refused<T>(what: &str, answer: Result<T, ClientError>, code: &str, words: &str) {
    let ClientError::Refused { error, .. } = answer.err().expect(what) else {
        panic!("{what}: not an answer")
    };
    check(what, &error, code, words);
}

pub(crate) fn check(what: &str, error: &ApiError, code: &str, words: &str) {
    assert_eq!(error.code, code, "{what}: {error}");
    assert!(error.message.contains(words), "{what}: {error}");
    assert!(error.next.as_deref().is_some_and(|n| !n.is_empty()), "{what}: no next step");
}

pub(crate) async fn alarms(fleet: &Fleet) -> Vec<String> {
    let conn = &mut *fleet.app.db.read().await.unwrap();
    let events = stint_broker::event::list(conn, 0, 10_000).await.unwrap();
    events.into_iter().map(|e| e.kind).filter(|k| k.starts_with("alarm.")).collect()
}

#[tokio::test]
async fn a_code_is_not_taken_twice_and_a_wrong_password_not_at_all() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin_secrets();
    let attempt = fleet.sign_in_of(&admin);
    fleet.stranger().sign_in(&attempt).await.unwrap();
    refused("a replayed code", fleet.stranger().sign_in(&attempt).await, "unauthenticated", "used before");

    fleet.clock.advance(30);
    let wrong = Secrets { password: "wrong".to_owned(), ..admin.clone() };
    refused(
        "a wrong password",
        fleet.stranger().sign_in(&fleet.sign_in_of(&wrong)).await,
        "unauthenticated",
        "wrong",
    );
    let nobody = Secrets { user: "nobody".to_owned(), ..admin.clone() };
    refused(
        "an unknown user",
        fleet.stranger().sign_in(&fleet.sign_in_of(&nobody)).await,
        "unauthenticated",
        "wrong",
    );
    fleet.stranger().sign_in(&fleet.sign_in_of(&admin)).await.unwrap();
}

#[tokio::test]
async fn after_wrong_codes_one_must_wait_even_over_a_restart() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin_secrets();
    let wrong = Secrets { totp: stint_broker::identity::totp::new_secret(), ..admin.clone() };
    for _ in 0..5 {
        refused(
            "a wrong one",
            fleet.stranger().sign_in(&fleet.sign_in_of(&wrong)).await,
            "unauthenticated",
            "wrong",
        );
    }
    refused(
        "the right one, too soon",
        fleet.stranger().sign_in(&fleet.sign_in_of(&admin)).await,
        "denied",
        "too many",
    );
    let fleet = fleet.restart().await;
    refused(
        "after a restart",
        fleet.stranger().sign_in(&fleet.sign_in_of(&admin)).await,
        "denied",
        "too many",
    );
    fleet.clock.advance(30);
    fleet.stranger().sign_in(&fleet.sign_in_of(&admin)).await.unwrap();
}

#[tokio::test]
async fn a_token_is_short_is_renewed_for_a_new_one_and_ends_with_its_session() {
    let fleet = Fleet::new().await;
    fleet.clock.advance(30);
    let first = fleet.stranger().sign_in(&fleet.sign_in_of(&fleet.admin_secrets())).await.unwrap();
    assert_eq!(first.session_ends_at - first.expires_at, 12 * 3600 - 15 * 60);
    let old = fleet.stranger().with_token(first.token);
    let second = old.renew().await.unwrap();
    refused("the old token", old.me().await, "unauthenticated", "session ended");
    let client = fleet.stranger().with_token(second.token);
    client.me().await.unwrap();
    fleet.clock.advance(15 * 60);
    refused("a token past its end", client.me().await, "unauthenticated", "session ended");
    refused("renewing it", client.renew().await, "unauthenticated", "session ended");
    refused("no token", fleet.stranger().me().await, "unauthenticated", "not signed in");
}

#[tokio::test]
async fn a_join_token_is_taken_once_and_not_after_its_end() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let invite = async |host: &str| {
        let new = InviteHost { host: host.to_owned(), labels: [].into(), ttl: Some(600) };
        admin.invite_host(&new).await.unwrap().token
    };
    let token = invite("web-01").await;
    TestHost::enroll(&fleet, &token).await.unwrap();
    let twice = TestHost::enroll(&fleet, &token).await.err().unwrap();
    check("twice", &twice, "denied", "used before");

    let late = invite("web-02").await;
    fleet.clock.advance(600);
    check("late", &TestHost::enroll(&fleet, &late).await.err().unwrap(), "denied", "ended");

    let (older, newer) = (invite("web-03").await, invite("web-03").await);
    check("replaced", &TestHost::enroll(&fleet, &older).await.err().unwrap(), "denied", "not known");
    TestHost::enroll(&fleet, &newer).await.unwrap();
    assert_eq!(alarms(&fleet).await, ["alarm.token_used_twice"]);
}

#[tokio::test]
async fn enrolment_demands_both_keys_and_no_two_hosts_share_one() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let new = InviteHost { host: "web-01".to_owned(), labels: [].into(), ttl: None };
    let token = JoinToken::parse(&admin.invite_host(&new).await.unwrap().token).unwrap();
    let mine = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let theirs = ed25519_dalek::SigningKey::from_bytes(&[2; 32]);
    let http = tls::client(&fleet.pinned()).unwrap();
    let send = async |body: Vec<u8>| {
        let response = http.post(fleet.url("/v1/host/enroll")).body(body).send().await.unwrap();
        answer::<Enrolled>(response).await.err().unwrap()
    };
    let good = enroll_body(&token.secret, &mine, &csr(&rcgen::KeyPair::generate().unwrap()), 1);

    let mut envelope: serde_json::Value = serde_json::from_slice(&good).unwrap();
    let other: serde_json::Value =
        serde_json::from_slice(&enroll_body(&token.secret, &theirs, "", 1)).unwrap();
    envelope["signatures"] = other["signatures"].clone();
    let foreign = serde_json::to_vec(&envelope).unwrap();
    check("another's signature", &send(foreign).await, "bad-input", "signatures");
    check("no request", &send(enroll_body(&token.secret, &mine, "nothing", 1)).await, "bad-input", "request");
    check("nonsense", &send(b"{}".to_vec()).await, "bad-input", "enrolment");

    // Nothing of that used the token up.
    TestHost::enroll_as(&fleet, &token.to_text(), mine.clone(), 1).await.unwrap();
    let second = InviteHost { host: "web-02".to_owned(), labels: [].into(), ttl: None };
    let token = admin.invite_host(&second).await.unwrap().token;
    let same_key = TestHost::enroll_as(&fleet, &token, mine, 9).await.err().unwrap();
    check("a copied key", &same_key, "conflict", "web-01");
    TestHost::enroll_as(&fleet, &token, theirs, 1).await.unwrap();
    assert_eq!(alarms(&fleet).await, ["alarm.same_machine"]);
}

#[tokio::test]
async fn a_host_that_enrols_anew_voids_the_certificate_of_its_past() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let old = fleet.enroll(&admin, "web-01").await;
    old.update().await;
    let new = fleet.enroll(&admin, "web-01").await;
    new.verify(&new.update().await);
    let response = old.http.get(fleet.url("/v1/host/update")).send().await.unwrap();
    let error = answer::<()>(response).await.unwrap_err();
    check("the old certificate", &error, "unauthenticated", "earlier enrolment");
    let http = tls::client(&fleet.pinned()).unwrap();
    let response = http.get(fleet.url("/v1/host/update")).send().await.unwrap();
    check("no certificate", &answer::<()>(response).await.unwrap_err(), "unauthenticated", "for hosts");
}

#[tokio::test]
async fn two_live_streams_of_one_host_are_an_alarm_and_the_newest_wins() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let mut first = web.stream().await;
    first.update().await;
    let mut second = web.stream().await;
    second.update().await;
    while first.next().await.is_some() {}
    assert_eq!(alarms(&fleet).await, ["alarm.two_streams"]);
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    alice.activate(&request.id).await.unwrap();
    web.verify(&second.update().await);
}

#[tokio::test]
async fn an_acknowledgement_is_the_hosts_own_and_of_a_bundle_that_was_made() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let (web, other) = (fleet.enroll(&admin, "web-01").await, fleet.enroll(&admin, "web-02").await);
    let known = web.verify(&web.update().await);
    let forged = web.ack_with(&known, &[], &other.identity).await.unwrap_err();
    check("another's key", &forged, "bad-input", "signatures");
    let theirs = other.verify(&other.update().await);
    check("another's head", &web.ack(&theirs, &[]).await.unwrap_err(), "conflict", "another head");
    assert_eq!(alarms(&fleet).await, ["alarm.unknown_bundle"]);
    assert_eq!(admin.host("web-01").await.unwrap().acknowledged_version, None);
}

#[tokio::test]
async fn a_review_counts_only_if_all_of_it_holds() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester", "reviewer"]).await;
    let bob = fleet.person(&admin, "bob", &["reviewer"]).await;
    let carol = fleet.person(&admin, "carol", &["requester"]).await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let request = alice.request(&ask("nginx-restart", &["web-01"])).await.unwrap();
    let (alices, bobs, nobodys) = (ssh_key(1), ssh_key(2), ssh_key(3));
    let by = |who: &str, key| sign_review(&request, who, key, ReviewDecision::Approve);

    refused("no roster", bob.review(&request.id, &by("bob", &bobs)).await, "conflict", "no roster");
    fleet.publish_roster(&admin, 1, &[("alice", &alices), ("bob", &bobs)]).await;

    refused(
        "one's own",
        alice.review(&request.id, &by("alice", &alices)).await,
        "denied",
        "their own request",
    );
    refused("no reviewer", carol.review(&request.id, &by("bob", &bobs)).await, "denied", "role reviewer");
    refused("another's name", bob.review(&request.id, &by("alice", &alices)).await, "denied", "signed in");
    refused(
        "another's key",
        bob.review(&request.id, &by("bob", &nobodys)).await,
        "bad-input",
        "no key of bob",
    );
    let mut other = request.clone();
    other.terms = other.terms.replace("OPS-12", "OPS-13");
    let other = sign_review(&other, "bob", &bobs, ReviewDecision::Approve);
    refused("other terms", bob.review(&request.id, &other).await, "bad-input", "other terms");
    let mut changed = by("bob", &bobs);
    changed.statement = changed.statement.replace("approve", "deny");
    refused("a changed statement", bob.review(&request.id, &changed).await, "bad-input", "no key of bob");
    let gone = bob.review("abcdefgh2345", &by("bob", &bobs)).await;
    refused("no such request", gone, "not-found", "no request");
    assert_eq!(alice.request_by_id(&request.id).await.unwrap().state, "pending");

    let denied = sign_review(&request, "bob", &bobs, ReviewDecision::Deny);
    assert_eq!(bob.review(&request.id, &denied).await.unwrap().state, "denied");
    refused("after a denial", bob.review(&request.id, &by("bob", &bobs)).await, "conflict", "denied already");
    refused("no grant of it", alice.activate(&request.id).await, "not-found", "no grant");
}

#[tokio::test]
async fn a_roster_counts_only_if_the_key_that_was_taken_away_signed_it_and_it_is_newer() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let key = ssh_key(1);
    let second = fleet.roster(2, &[("bob", &key)]);
    admin.publish_roster(&second).await.unwrap();
    admin.publish_roster(&second).await.unwrap();
    refused("older", admin.publish_roster(&fleet.roster(1, &[])).await, "bad-input", "behind version 2");
    refused(
        "same version",
        admin.publish_roster(&fleet.roster(2, &[])).await,
        "conflict",
        "version 2 already",
    );
    let mut forged = fleet.roster(3, &[]);
    let mut envelope: serde_json::Value = serde_json::from_str(&forged.envelope).unwrap();
    envelope["signatures"] = serde_json::json!([]);
    forged.envelope = envelope.to_string();
    refused("unsigned", admin.publish_roster(&forged).await, "bad-input", "signatures");
    assert_eq!(admin.roster().await.unwrap().envelope, second.envelope);
}

#[tokio::test]
async fn each_call_demands_its_role() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let bob = fleet.person(&admin, "bob", &["requester"]).await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    let id = request.id.as_str();
    let lock = |target: &str| NewLock {
        kind: "principal".to_owned(),
        target: target.to_owned(),
        reason: "x".to_owned(),
        duration: None,
    };
    let user = NewUser { name: "eve".to_owned(), account: None, roles: vec!["security".to_owned()] };
    let invite = InviteHost { host: "x".to_owned(), labels: [].into(), ttl: None };
    refused("users", bob.add_user(&user).await, "denied", "administrator");
    refused("hosts", bob.invite_host(&invite).await, "denied", "administrator");
    refused("locks", bob.add_lock(&lock("alice")).await, "denied", "security");
    refused("events", bob.events(0, 5000).await, "denied", "auditor");
    refused("journals", bob.journal("web-01", None, 0, 10).await, "denied", "auditor");
    refused("a roster", bob.publish_roster(&fleet.roster(1, &[])).await, "denied", "administrator");
    refused("another's request", bob.request_by_id(id).await, "not-found", "no request");
    refused("another's grant", bob.grant(id).await, "not-found", "no grant");
    refused("cancelling it", bob.cancel_request(id).await, "denied", "not yours");
    refused("activating it", bob.activate(id).await, "denied", "not yours");
    refused("ending it", bob.end(id).await, "denied", "not yours");
    refused("extending it", bob.extend(id, 1).await, "denied", "not yours");
    refused("revoking it", bob.revoke(id, "x").await, "denied", "security");
    refused(
        "an administrator who asks",
        admin.request(&ask("look", &["web-01"])).await,
        "not-found",
        "may request",
    );
    let sec = fleet.person(&admin, "sec", &["security"]).await;
    refused("locking oneself", sec.add_lock(&lock("sec")).await, "conflict", "lock yourself");
    refused("locking nobody", sec.add_lock(&lock("nobody")).await, "not-found", "no user");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_anything_is_kept() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let other = InviteHost { host: "db-01".to_owned(), labels: [].into(), ttl: None };
    admin.invite_host(&other).await.unwrap();

    refused("no entitlement", alice.request(&ask("root", &["web-01"])).await, "not-found", "no entitlement");
    refused("an odd one", alice.request(&ask("../x", &["web-01"])).await, "not-found", "no entitlement");
    refused("no host", alice.request(&ask("look", &["web-09"])).await, "bad-input", "web-09");
    refused("an odd host", alice.request(&ask("look", &["web 01;"])).await, "bad-input", "not allowed");
    refused("not joined", alice.request(&ask("look", &["db-01"])).await, "bad-input", "db-01");
    let mut past = ask("look", &["web-01"]);
    past.not_before = Some(1);
    refused("the past", alice.request(&past).await, "bad-input", "past");
    let mut long = ask("look", &["web-01"]);
    long.window = Some(3601);
    refused("too long", alice.request(&long).await, "bad-input", "1 h");
    let user = |name: &str, roles: &[&str]| NewUser {
        name: name.to_owned(),
        account: None,
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
    };
    refused("an odd name", admin.add_user(&user("a b", &["requester"])).await, "bad-input", "not allowed");
    refused("no account", admin.add_user(&user("a.b@c", &["requester"])).await, "bad-input", "account");
    refused("an odd role", admin.add_user(&user("eve", &["god"])).await, "bad-input", "god");
    refused("no role", admin.add_user(&user("eve", &[])).await, "bad-input", "role");
    refused("a taken name", admin.add_user(&user("alice", &["requester"])).await, "conflict", "alice");
    assert!(alice.requests(&stint_api::client::Filter::default()).await.unwrap().is_empty());

    let http = tls::client(&fleet.pinned()).unwrap();
    let post = async |body: &'static str| {
        let response = http.post(fleet.url("/v1/session")).body(body).send().await.unwrap();
        answer::<()>(response).await.unwrap_err()
    };
    let unknown = post(r#"{"user":"a","password":"b","totp":"1","admin":true}"#).await;
    check("an unknown field", &unknown, "bad-input", "unknown field `admin`");
    check("no JSON", &post("user=a").await, "bad-input", "cannot be read");
    let nowhere = http.get(fleet.url("/v2/x")).send().await.unwrap();
    check("no such call", &answer::<()>(nowhere).await.unwrap_err(), "not-found", "no such call");
}

#[tokio::test]
async fn a_grant_waits_no_longer_than_it_may_and_is_used_no_longer_either() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.add_user(&admin, "alice", &["requester"]).await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let client = fleet.sign_in(&alice).await;
    let late = client.request(&ask("look", &["web-01"])).await.unwrap();
    let mut ahead = ask("look", &["web-01"]);
    ahead.not_before = Some(fleet.clock.now().secs() + 3600);
    let ahead = client.request(&ahead).await.unwrap();
    refused("too early", client.activate(&ahead.id).await, "conflict", "may not begin before");
    fleet.clock.advance(2 * 3600 + 60);
    let client = fleet.sign_in(&alice).await;
    refused("too late", client.activate(&late.id).await, "conflict", "lapsed already");
    client.activate(&ahead.id).await.unwrap();
    refused("twice", client.activate(&ahead.id).await, "conflict", "active already");
    refused("too much", client.extend(&ahead.id, 1801).await, "conflict", "30 min");
    client.end(&ahead.id).await.unwrap();
    refused("after its end", client.extend(&ahead.id, 1).await, "conflict", "ended already");
}

#[tokio::test]
async fn the_events_are_a_chain_that_shows_any_change() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    fleet.person(&admin, "alice", &["requester"]).await;
    let events = admin.events(0, 5000).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["fleet.made", "session.opened", "user.added", "session.opened"]);
    assert_eq!(stint_broker::event::first_broken(&events), None);
    let spoilt = |spoil: fn(&mut Vec<EventView>)| {
        let mut events = events.clone();
        spoil(&mut events);
        stint_broker::event::first_broken(&events)
    };
    assert_eq!(spoilt(|e| e[2].actor = "eve".to_owned()), Some(2));
    assert_eq!(spoilt(|e| e[2].detail = serde_json::json!({})), Some(2));
    assert_eq!(spoilt(|e| drop(e.remove(1))), Some(2));
    assert_eq!(spoilt(|e| e.swap(1, 2)), Some(2));
    assert_eq!(
        spoilt(|e| {
            e[1].at += 1;
            e[1].hash = e[1].computed_hash();
        }),
        Some(2)
    );
}

#[tokio::test]
async fn every_call_of_the_contract_stands_in_the_description_and_none_other() {
    let fleet = Fleet::new().await;
    let http = tls::client(&fleet.pinned()).unwrap();
    let response = http.get(fleet.url("/v1/openapi.json")).send().await.unwrap();
    let described: serde_json::Value = answer(response).await.unwrap();
    let described: std::collections::BTreeSet<String> =
        described["paths"].as_object().unwrap().keys().cloned().collect();

    let contract = include_str!("../../../stint-api/src/lib.rs");
    let words = contract.split(|c: char| c.is_whitespace() || "`?|,".contains(c));
    let mut wanted: std::collections::BTreeSet<String> =
        words.filter(|w| w.starts_with("/v1/") && !w.ends_with("openapi.json")).map(str::to_owned).collect();
    // The table says `/v1/grants/{id}/activate`, `.../end`.
    wanted.insert("/v1/grants/{id}/end".to_owned());
    assert_eq!(described, wanted);
}

#[tokio::test]
async fn the_next_root_reaches_the_hosts_and_one_that_was_not_signed_does_not() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let mut stream = web.stream().await;
    let before = web.verify(&stream.update().await);
    let publish = async |envelope: String| admin.publish_root(&NextRoot { envelope }).await;
    let now = fleet.clock.now().unix();
    let renewal = Renewal { now, life: Seconds(86400 * 365), new_epoch: true };
    let current = admin.roots().await.unwrap().envelopes.remove(0);
    let roster_key = fleet.offline_key("roster.key");
    assert!(renew::next(current.as_bytes(), &roster_key, renewal).is_err());
    refused("the same root", publish(current.clone()).await, "bad-input", "does not follow");

    let next = renew::next(current.as_bytes(), &fleet.offline_key("root.key"), renewal).unwrap();
    let chain = publish(String::from_utf8(next).unwrap()).await.unwrap();
    assert_eq!(chain.envelopes.len(), 2);
    let after = web.verify(&stream.update().await);
    assert_eq!(after.head.epoch, before.head.epoch + 1);
    web.ack(&after, &[]).await.unwrap();
}
