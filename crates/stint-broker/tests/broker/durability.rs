//! What stands before the broker starts, and what a crash cannot take.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use futures_util::FutureExt;
use stint_api::client::Client;
use stint_api::tls::PinnedCa;
use stint_broker::clock::Clock;
use stint_broker::init;
use stint_broker::server;
use stint_broker::store::Db;

use crate::fleet::{CATALOG, Data, Fleet, ask, make, plan, start};

async fn why_not(data: &Data) -> String {
    match server::open(&data.path, Clock::default()).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn it_starts_on_what_init_made() {
    let data = make().await;
    server::open(&data.path, Clock::default()).await.unwrap();
}

#[tokio::test]
async fn it_does_not_start_while_it_can_read_the_keys_that_were_to_be_taken_away() {
    let data = make().await;
    std::fs::rename(&data.away, data.path.join("take-away")).unwrap();
    let why = why_not(&data).await;
    assert!(why.contains("take-away") && why.contains("move the folder"), "{why}");
}

#[tokio::test]
async fn a_missing_open_or_foreign_key_is_told_and_nothing_starts() {
    let data = make().await;
    let bundle = data.path.join("keys/bundle.key");
    std::fs::set_permissions(&bundle, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(why_not(&data).await.contains("chmod 600"));
    std::fs::remove_file(&bundle).unwrap();
    let why = why_not(&data).await;
    assert!(why.contains("bundle.key") && why.contains("restore it"), "{why}");
    std::fs::copy(data.path.join("keys/pulse.key"), &bundle).unwrap();
    assert!(why_not(&data).await.contains("the root does not let"));
    let data = make().await;
    std::fs::remove_file(data.path.join("tls/ca.key")).unwrap();
    assert!(why_not(&data).await.contains("ca.key"));
}

#[tokio::test]
async fn a_damaged_or_missing_database_is_told_and_nothing_starts() {
    let data = make().await;
    let db = data.path.join("broker.db");
    let bytes = std::fs::read(&db).unwrap();
    let mut torn = bytes.clone();
    for byte in &mut torn[4096..40_960] {
        *byte ^= 0x5a;
    }
    std::fs::write(&db, &torn).unwrap();
    assert!(why_not(&data).await.contains("damaged"));
    std::fs::write(&db, b"this is no database at all, but long enough to be looked at as one").unwrap();
    assert!(why_not(&data).await.contains("damaged"));
    std::fs::remove_file(&db).unwrap();
    assert!(why_not(&data).await.contains("there is no database"));
    assert!(!db.exists());
}

#[tokio::test]
async fn a_record_that_was_changed_behind_the_brokers_back_is_told_and_nothing_starts() {
    let data = make().await;
    let db = Db::open(&data.path.join("broker.db")).await.unwrap();
    let conn = &mut *db.read().await.unwrap();
    sqlx::query("DROP TRIGGER event_is_never_changed").execute(&mut *conn).await.unwrap();
    sqlx::query("UPDATE event SET actor = 'nobody' WHERE seq = 0").execute(&mut *conn).await.unwrap();
    assert!(why_not(&data).await.contains("event 0"));
}

#[tokio::test]
async fn mistakes_in_configuration_are_told_with_file_and_line() {
    let data = make().await;
    let config = data.path.join("broker.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let lines = good.lines().count();
    let table = [
        ("listen_on = \"x\"", "unknown field `listen_on`"),
        ("pulse_interval = \"1h\"", "pulse_interval: at most 5m"),
        ("pulse_interval = 20", "invalid type"),
        ("max_window = \"30d\"", "max_window: at most 7d"),
        ("bundle_validity = \"1m\"", "bundle_validity: at least 1h"),
        ("max_connections = 10", "max_connections: 64 to 1000000"),
        ("keep_alive = \"6m\"", "keep_alive: 1s to 5m"),
        ("host_certificate_life = \"10s\"", "host_certificate_life: 30s to 90d"),
    ];
    for (line, words) in table {
        std::fs::write(&config, format!("{good}{line}\n")).unwrap();
        let why = why_not(&data).await;
        assert!(why.contains(words), "{line}: {why}");
        assert!(why.contains("broker.toml, line"), "{line}: {why}");
        assert!(why.contains(&format!("line {}", lines + 1)), "{line}: {why}");
    }
    std::fs::write(&config, good.replace("fleet = \"test\"", "fleet = \"other\"")).unwrap();
    assert!(why_not(&data).await.contains("fleet test"));
    std::fs::write(&config, &good).unwrap();
    std::fs::write(data.path.join("catalog/bad.toml"), CATALOG.replace("/usr/bin/", "")).unwrap();
    let why = why_not(&data).await;
    assert!(why.contains("bad.toml, line 15") && why.contains("absolute path"), "{why}");
}

#[tokio::test]
async fn a_wrong_catalog_leaves_the_old_one_in_place() {
    let fleet = Fleet::new().await;
    let path = fleet.data.path.join("catalog/bad.toml");
    std::fs::write(&path, "name = 1").unwrap();
    assert!(server::reload_catalog(&fleet.app, &fleet.data.path).await.is_err());
    assert_eq!(fleet.app.catalog().entitlements.len(), 2);
    std::fs::write(&path, CATALOG.replace("nginx-restart", "third")).unwrap();
    server::reload_catalog(&fleet.app, &fleet.data.path).await.unwrap();
    assert_eq!(fleet.app.catalog().entitlements.len(), 3);
}

#[tokio::test]
async fn init_makes_all_or_nothing() {
    let data = make().await;
    let again = init::init(&plan(&data.path)).await.err().unwrap().to_string();
    assert!(again.contains("not empty"), "{again}");
    server::open(&data.path, Clock::default()).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut bad = plan(folder.path());
    bad.names.push("not a name".to_owned());
    assert!(init::init(&bad).await.err().unwrap().to_string().contains("not a name"));
    bad.names.pop();
    bad.passphrase = "short".to_owned().into();
    assert!(init::init(&bad).await.err().unwrap().to_string().contains("too short"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_database_that_was_made_and_closed_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    for turn in 0..50 {
        let db = Db::create(&folder.path().join("broker.db")).await.unwrap();
        // Each gives its connection back behind the caller's back.
        for _ in 0..4 {
            drop(db.change(Clock::default().now()).await.unwrap());
        }
        db.close().await;
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["broker.db"], "turn {turn}");
        std::fs::remove_file(folder.path().join("broker.db")).unwrap();
    }
}

#[tokio::test]
async fn a_change_whose_push_was_lost_is_in_the_first_bundle_after_the_start() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let alice = fleet.person(&admin, "alice", &["requester"]).await;
    let web = fleet.enroll(&admin, "web-01").await;
    let before = web.verify(&web.update().await);

    // As after a crash between the commit and the making of the bundle: nobody makes bundles while this is held.
    let publishing = fleet.app.clone();
    let held = publishing.hold_publishing().await;
    let request = alice.request(&ask("look", &["web-01"])).await.unwrap();
    alice.activate(&request.id).await.unwrap();
    assert_eq!(admin.host("web-01").await.unwrap().bundle_version, before.head.version);
    let (data, clock) = fleet.abandon();
    let (app, running) = crate::fleet::start(&data, &clock).await.unwrap();
    app.publish().await.unwrap();
    let conn = &mut *app.db.read().await.unwrap();
    let bundle = stint_broker::bundle::store::newest(conn, "web-01").await.unwrap();
    assert_eq!(bundle.version.unsigned_abs(), before.head.version + 1);
    assert!(bundle.shards().unwrap()[0].contains(&request.id));
    drop((held, running));
}

#[tokio::test]
async fn a_change_that_sqlite_rolled_back_by_itself_spoils_no_later_one() {
    let fleet = Fleet::new().await;
    let db = &fleet.app.db;
    for _ in 0..16 {
        // As on a full disk: the transaction is gone when the change is dropped.
        let mut change = db.change(fleet.app.clock.now()).await.unwrap();
        sqlx::query("ROLLBACK").execute(change.conn()).await.unwrap();
        drop(change);
        let mut next = db.change(fleet.app.clock.now()).await.expect("the next change begins");
        next.record("test", "test.after", "it", serde_json::json!({})).await.unwrap();
        next.commit().await.unwrap();
    }
    let admin = fleet.admin().await;
    let events = admin.events(0, 5000).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "test.after").count(), 16);
}

#[tokio::test]
async fn what_was_published_counts_though_the_caller_was_cut_off_while_it_was_made_durable() {
    let fleet = Fleet::new().await;
    let mut change = fleet.app.db.change(fleet.app.clock.now()).await.unwrap();
    let roster = fleet.roster(1, &[]).envelope;
    stint_broker::trust::store::add_roster(change.conn(), 1, &roster).await.unwrap();
    change.record("admin", "roster.published", "test", serde_json::json!({})).await.unwrap();
    let trust = stint_broker::trust::store::load(change.conn()).await.unwrap();
    let (told, has_told) = tokio::sync::oneshot::channel();
    let publish = fleet.app.commit_then(change, move |app| {
        app.set_trust(trust);
        told.send(()).unwrap();
    });
    // As when the connection breaks: the call is begun, and dropped before it has come to its end.
    assert!(publish.now_or_never().is_none());
    tokio::time::timeout(Duration::from_mins(2), has_told).await.expect("in time").unwrap();
    assert_eq!(fleet.app.trust().roster.as_ref(), Some(&roster));
}

#[tokio::test]
async fn a_version_is_durable_before_any_host_sees_it() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let before = web.verify(&web.update().await);
    let fleet = fleet.restart().await;
    let web = web.at(&fleet);
    let after = web.verify(&web.update().await);
    assert_eq!(after.head, before.head);
    web.ack(&after, &[]).await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_open_streams_in_order() {
    let fleet = Fleet::new().await;
    let admin = fleet.admin().await;
    let web = fleet.enroll(&admin, "web-01").await;
    let mut stream = web.stream().await;
    stream.update().await;
    let fleet = fleet.restart().await;
    while stream.next().await.is_some() {}
    let web = web.at(&fleet);
    web.verify(&web.stream().await.update().await);
}

#[tokio::test]
async fn a_broker_whose_certificate_would_have_ended_makes_another_while_it_runs() {
    let (data, clock) = (make().await, Clock::default());
    // As it is by the clock of whoever comes: the broker was started long ago, or before its clock was set.
    clock.advance(-500 * 24 * 3600);
    let (_app, running) = start(&data, &clock).await.unwrap();
    let pin = PinnedCa::from_hex(&data.made.ca_pin).unwrap();
    let client = || Client::new(&format!("https://{}", running.address), &pin).unwrap();
    client().roots().await.unwrap_err();
    clock.advance(500 * 24 * 3600);
    client().roots().await.unwrap();
}
