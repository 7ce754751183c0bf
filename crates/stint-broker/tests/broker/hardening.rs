//! What a stranger, a former colleague, a former host or a faulty row can do to others: nothing.

use stint_api::hosts::InviteHost;
use stint_api::locks::NewLock;
use stint_api::tls;
use stint_broker::identity::{Caller, totp};
use stint_broker::random;

use crate::fleet::{Fleet, Secrets, ask};
use crate::host::{TestHost, answer};
use crate::refusals::{check, refused};

#[tokio::test]
async fn a_name_that_nobody_has_is_answered_as_one_that_somebody_has() {
    let fleet = Fleet::new().await;
    let admin = Secrets { password: "wrong".to_owned(), ..fleet.admin_secrets() };
    let nobody = Secrets { user: "nobody".to_owned(), ..admin.clone() };
    for who in [&admin, &nobody] {
        for _ in 0..5 {
            let answer = fleet.stranger().sign_in(&fleet.sign_in_of(who)).await;
            refused(&who.user, answer, "unauthenticated", "the user, the password or the code is wrong");
        }
        let answer = fleet.stranger().sign_in(&fleet.sign_in_of(who)).await;
        refused(&who.user, answer, "denied", &format!("too many wrong attempts to sign in as {}", who.user));
    }
}

#[tokio::test]
async fn a_wrong_password_says_nothing_of_wrong_codes_before() {
    let fleet = Fleet::new().await;
    let right = fleet.admin_secrets();
    let wrong_code = Secrets { totp: totp::new_secret(), ..right.clone() };
    for _ in 0..4 {
        let answer = fleet.stranger().sign_in(&fleet.sign_in_of(&wrong_code)).await;
        refused("a wrong code", answer, "unauthenticated", "wrong");
    }
    fleet.app.attempts.forget(&right.user);
    let answer = fleet.stranger().sign_in(&fleet.sign_in_of(&wrong_code)).await;
    refused("the fifth", answer, "unauthenticated", "wrong");
    let wrong_password = Secrets { password: "wrong".to_owned(), ..right.clone() };
    let answer = fleet.stranger().sign_in(&fleet.sign_in_of(&wrong_password)).await;
    refused("without the password", answer, "unauthenticated", "wrong");
    let answer = fleet.stranger().sign_in(&fleet.sign_in_of(&right)).await;
    refused("with it", answer, "denied", "too many");
}

#[tokio::test]
async fn a_call_that_was_begun_before_its_caller_was_disabled_changes_nothing() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let mallory = fleet.add_user(&admin, "mallory", &["administrator"]).await;
    fleet.clock.advance(30);
    let token = fleet.stranger().sign_in(&fleet.sign_in_of(&mallory)).await.unwrap().token;
    // As the call has it once its head came, while its body is still on the way.
    let caller = Caller {
        name: mallory.user.clone(),
        account: mallory.user.clone(),
        roles: Vec::new(),
        token_hash: random::hash_of(&token),
    };
    drop(caller.change(&fleet.app).await.unwrap());
    let disable = stint_api::people::ChangeUser { account: None, roles: None, enabled: Some(false) };
    admin.change_user(&mallory.user, &disable).await.unwrap();
    let problem = caller.change(&fleet.app).await.err().unwrap();
    assert!(problem.to_string().contains("not signed in"), "{problem}");
}

#[tokio::test]
async fn the_stream_of_an_earlier_enrolment_ends_with_it() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let stolen = fleet.enroll(&admin, "web-01").await;
    let mut stream = stolen.stream().await;
    stream.update().await;
    let new = InviteHost { host: "web-01".to_owned(), labels: [].into(), ttl: None };
    let token = admin.invite_host(&new).await.unwrap().token;
    TestHost::enroll(&fleet, &token).await.unwrap();
    while let Some((event, _)) = stream.next().await {
        assert_ne!(event, "update");
    }
}

#[tokio::test]
async fn a_host_whose_bundle_cannot_be_made_gets_no_fresh_news_and_holds_no_other_up() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let (broken, web) = (fleet.enroll(&admin, "a-01").await, fleet.enroll(&admin, "web-01").await);
    broken.update().await;
    let mut stream = web.stream().await;
    stream.update().await;
    let mut change = fleet.app.db.change(fleet.app.clock.now()).await.unwrap();
    sqlx::query("UPDATE host SET identity_key = 'spoilt', wanted = wanted + 1 WHERE name = 'a-01'")
        .execute(change.conn())
        .await
        .unwrap();
    change.record("test", "test.spoilt", "a-01", serde_json::json!({})).await.unwrap();
    change.commit().await.unwrap();

    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    alice.activate(&request.id).await.unwrap();
    assert_eq!(web.verify(&stream.update().await).shards.len(), 1);
    let response = broken.http.get(fleet.url("/v1/host/update")).send().await.unwrap();
    check("a pulse", &answer::<()>(response).await.unwrap_err(), "unavailable", "newest changes");
}

#[tokio::test]
async fn an_old_acknowledgement_that_comes_again_changes_nothing() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    let old = web.verify(&web.update().await);
    alice.activate(&request.id).await.unwrap();
    let new = web.verify(&web.update().await);
    let cause = format!("no\u{1b}[2J {}", "x".repeat(1000));
    web.ack(&new, &[(&request.id, &cause)]).await.unwrap();
    let told = || async { alice.grant(&request.id).await.unwrap().effect.hosts[0].refused.clone() };
    let first = told().await.unwrap();
    assert!(first.starts_with("no [2J ") && first.len() == 500, "{first:?}");
    web.ack(&old, &[]).await.unwrap();
    assert_eq!(told().await, Some(first));
}

#[tokio::test]
async fn of_two_acknowledgements_of_one_version_the_later_one_counts_whatever_comes_last() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let known = web.verify(&web.update().await);
    let at = known.head.issued_at.0;
    let mode = || async { admin.host("web-01").await.unwrap().mode.unwrap() };
    web.ack_in(&known, &[], &web.identity, "enforce", at + 60).await.unwrap();
    // From before it enforced, shown again by a courier.
    web.ack_in(&known, &[], &web.identity, "observe", at + 59).await.unwrap();
    assert_eq!(mode().await, "enforce");
    web.ack_in(&known, &[], &web.identity, "observe", at + 61).await.unwrap();
    assert_eq!(mode().await, "observe");
}

#[tokio::test]
async fn a_grant_on_a_locked_host_is_not_extended() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let sec = fleet.person(&admin, "sec", &["security"]).await;
    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    alice.activate(&request.id).await.unwrap();
    let (kind, target, reason) = ("host".to_owned(), "web-01".to_owned(), "forensics".to_owned());
    sec.add_lock(&NewLock { kind, target, reason, duration: None }).await.unwrap();
    refused("extending it", alice.extend(&request.id, 60).await, "denied", "host web-01 is locked");
}

#[tokio::test]
async fn a_stranger_cannot_send_much_and_a_host_can() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let http = tls::client(&fleet.pinned()).unwrap();
    let much = vec![b'x'; 2 * 1024 * 1024];
    for path in ["/v1/session", "/v1/host/enroll"] {
        let response = http.post(fleet.url(path)).body(much.clone()).send().await.unwrap();
        check(path, &answer::<()>(response).await.unwrap_err(), "bad-input", "cannot be taken");
    }
    check("a shipment", &web.ship(&[much], None).await.unwrap_err(), "bad-input", "journal: ");
}
