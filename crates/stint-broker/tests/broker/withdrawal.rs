//! What ends because a person or the catalog changed.

use stint_api::client::Client;
use stint_api::hosts::InviteHost;
use stint_api::people::ChangeUser;
use stint_broker::server;

use crate::fleet::{CATALOG, Fleet, ask};
use crate::refusals::refused;

fn disable() -> ChangeUser {
    ChangeUser { account: None, roles: None, enabled: Some(false) }
}

/// The events about one thing, with their reasons.
async fn told(fleet: &Fleet, subject: &str) -> Vec<(String, String)> {
    let conn = &mut *fleet.app.db.read().await.unwrap();
    let events = stint_broker::event::list(conn, 0, 10_000).await.unwrap();
    let about = events.into_iter().filter(|e| e.subject == subject);
    about.map(|e| (e.kind, e.detail["reason"].as_str().unwrap_or_default().to_owned())).collect()
}

/// A live grant, one that waits for its activation, and a request that waits for a review.
async fn three(who: &Client) -> [String; 3] {
    let live = who.request(&ask("look", &["web-01"])).await.unwrap().id;
    who.activate(&live).await.unwrap();
    let waiting = who.request(&ask("look", &["web-01"])).await.unwrap().id;
    let open = who.request(&ask("nginx-restart", &["web-01"])).await.unwrap().id;
    [live, waiting, open]
}

async fn states(admin: &Client, [live, waiting, open]: &[String; 3]) -> [String; 3] {
    [
        admin.grant(live).await.unwrap().state,
        admin.grant(waiting).await.unwrap().state,
        admin.request_by_id(open).await.unwrap().state,
    ]
}

#[tokio::test]
async fn disabling_a_person_ends_all_that_they_hold_and_asked_for_in_the_same_change() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let bob = fleet.person(&admin, "bob", &["requester"]).await;
    let (alices, bobs) = (three(&alice).await, three(&bob).await);
    let mut stream = web.stream().await;
    assert_eq!(web.verify(&stream.update().await).shards.len(), 2);

    admin.change_user("alice", &disable()).await.unwrap();
    assert_eq!(states(&admin, &alices).await, ["revoked", "revoked", "cancelled"]);
    let reason = "alice was disabled".to_owned();
    assert_eq!(admin.request_by_id(&alices[2]).await.unwrap().cancelled_why.as_ref(), Some(&reason));
    for (id, kind) in alices.iter().zip(["grant.revoked", "grant.revoked", "request.cancelled"]) {
        assert_eq!(told(&fleet, id).await.last().unwrap(), &(kind.to_owned(), reason.clone()));
    }
    // One change: nothing else stands between.
    let mut kinds: Vec<_> = admin.events(0, 5000).await.unwrap().into_iter().map(|e| e.kind).collect();
    let at = kinds.iter().rposition(|kind| kind == "user.changed").unwrap();
    kinds[at + 1..at + 4].sort();
    assert_eq!(kinds[at + 1..at + 4], ["grant.revoked", "grant.revoked", "request.cancelled"]);
    let shown = web.verify(&stream.update().await);
    let alices_shard = shown.shards.iter().find(|s| s.user.as_str() == "alice").unwrap();
    assert!(alices_shard.grants.is_empty() && alices_shard.endings.len() == 1);
    refused("her token", alice.me().await, "unauthenticated", "not signed in");
    assert_eq!(states(&admin, &bobs).await, ["active", "claimable", "pending"]);
    assert_eq!(admin.grant(&alices[0]).await.unwrap().ended_by.as_deref(), Some("admin"));

    // Enabled again, nothing comes back by itself.
    let enable = ChangeUser { enabled: Some(true), ..disable() };
    admin.change_user("alice", &enable).await.unwrap();
    assert_eq!(states(&admin, &alices).await, ["revoked", "revoked", "cancelled"]);
}

#[tokio::test]
async fn a_person_who_loses_the_role_or_the_account_loses_what_they_got_by_it() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let bob = fleet.person(&admin, "bob", &["requester"]).await;
    let (alices, bobs) = (three(&alice).await, three(&bob).await);
    let other = ChangeUser { account: None, roles: Some(vec!["auditor".to_owned()]), enabled: None };
    admin.change_user("alice", &other).await.unwrap();
    assert_eq!(states(&admin, &alices).await, ["revoked", "revoked", "cancelled"]);
    let other = ChangeUser { account: Some("bsmith".to_owned()), roles: None, enabled: None };
    admin.change_user("bob", &other).await.unwrap();
    assert_eq!(states(&admin, &bobs).await, ["revoked", "revoked", "cancelled"]);
}

#[tokio::test]
async fn a_host_that_gets_other_labels_loses_what_was_granted_by_the_old_ones() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let hers = three(&alice).await;
    let same =
        InviteHost { host: "web-01".to_owned(), labels: [("role".into(), "web".into())].into(), ttl: None };
    admin.invite_host(&same).await.unwrap();
    assert_eq!(states(&admin, &hers).await, ["active", "claimable", "pending"]);
    let other = InviteHost { labels: [("role".into(), "db".into())].into(), ..same };
    admin.invite_host(&other).await.unwrap();
    assert_eq!(states(&admin, &hers).await, ["revoked", "revoked", "cancelled"]);
    assert_eq!(told(&fleet, &hers[0]).await.last().unwrap().1, "look does not cover web-01 any more");
}

fn write_catalog(fleet: &Fleet, file: &str, text: &str) {
    std::fs::write(fleet.data.path.join("catalog").join(file), text).unwrap();
}

fn free(text: &str) -> String {
    text.replace("nginx-restart", "look").replace("reviews = 1", "reviews = 0")
}

#[tokio::test]
async fn a_catalog_that_allows_less_ends_what_it_does_not_allow_any_more() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let hers = three(&alice).await;
    let mut stream = web.stream().await;
    stream.update().await;

    // More, or the same in other words: all stands.
    write_catalog(&fleet, "look.toml", &free(CATALOG).replace("\"1h\"", "\"2h\""));
    write_catalog(&fleet, "nginx.toml", &CATALOG.replace("Restart nginx", "Restart the web server"));
    server::reload_catalog(&fleet.app, &fleet.data.path).await.unwrap();
    assert_eq!(states(&admin, &hers).await, ["active", "claimable", "pending"]);

    // Another command: what was granted is not what is allowed now.
    write_catalog(&fleet, "look.toml", &free(CATALOG).replace("\"restart\", ", "\"reload\", "));
    server::reload_catalog(&fleet.app, &fleet.data.path).await.unwrap();
    assert_eq!(states(&admin, &hers).await, ["revoked", "revoked", "pending"]);
    let reason = "look does not allow all of these rights any more";
    assert_eq!(told(&fleet, &hers[0]).await.last().unwrap().1, reason);
    assert_eq!(admin.grant(&hers[0]).await.unwrap().end_reason.as_deref(), Some(reason));
    let shown = web.verify(&stream.update().await);
    assert!(shown.shards[0].grants.is_empty());

    // Gone: nobody can be asked to approve it any more.
    std::fs::remove_file(fleet.data.path.join("catalog/nginx.toml")).unwrap();
    server::reload_catalog(&fleet.app, &fleet.data.path).await.unwrap();
    assert_eq!(states(&admin, &hers).await[2], "cancelled");
    assert_eq!(
        told(&fleet, &hers[2]).await.last().unwrap().1,
        "the entitlement nginx-restart is gone from the catalog"
    );
}

#[tokio::test]
async fn a_catalog_that_changed_while_the_broker_was_down_is_applied_at_the_start() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let _web = fleet.enroll(&admin, "web-01").await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let hers = three(&alice).await;
    write_catalog(&fleet, "look.toml", &free(CATALOG).replace("reviews = 0", "reviews = 2"));
    let fleet = fleet.restart().await;
    let admin = fleet.admin().await;
    assert_eq!(states(&admin, &hers).await, ["revoked", "revoked", "pending"]);
    assert_eq!(told(&fleet, &hers[1]).await.last().unwrap().1, "look takes 2 reviews now");
}
