//! A fleet for one test: made by `init`, served on a port of its own, and people who sign in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use stint_api::client::Client;
use stint_api::hosts::InviteHost;
use stint_api::people::{NewUser, RosterDocument, SignIn};
use stint_api::requests::{NewRequest, NewReview, RequestView};
use stint_api::tls::PinnedCa;
use stint_broker::clock::Clock;
use stint_broker::identity::totp;
use stint_broker::init::{self, Made, Plan};
use stint_broker::server::{self, App, Running, StartError};
use stint_broker::trust::keys;
use stint_grant::dsse;
use stint_grant::review::{self, ReviewDecision, Statement};
use stint_grant::roster::{Reviewer, Roster};
use stint_grant::time::{Seconds, UnixTime};

use crate::host::TestHost;

pub(crate) const PASSPHRASE: &str = "offline keys of a test";

pub(crate) const CATALOG: &str = r#"
name = "nginx-restart"
description = "Restart nginx"
max_window = "1h"
max_extension = "30m"
claim_within = "2h"
reviews = 1

[hosts]
labels = { role = "web" }

[login]

[[sudo]]
command = "/usr/bin/systemctl"
arguments = ["restart", "nginx"]
"#;

/// A fleet that is made, not served.
pub(crate) struct Data {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) away: PathBuf,
    pub(crate) made: Made,
}

pub(crate) fn plan(path: &Path) -> Plan {
    Plan {
        data: path.to_owned(),
        fleet: "test".parse().unwrap(),
        names: vec!["127.0.0.1".to_owned()],
        admin: "admin".parse().unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        passphrase: PASSPHRASE.to_owned().into(),
    }
}

pub(crate) async fn make() -> Data {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let made = init::init(&plan(&path)).await.unwrap();
    let away = folder.path().join("away");
    std::fs::rename(&made.take_away, &away).unwrap();
    std::fs::write(path.join("catalog/nginx.toml"), CATALOG).unwrap();
    let free = CATALOG.replace("nginx-restart", "look").replace("reviews = 1", "reviews = 0");
    std::fs::write(path.join("catalog/look.toml"), free).unwrap();
    Data { _folder: folder, path, away, made }
}

/// A fleet that is served.
pub(crate) struct Fleet {
    pub(crate) data: Data,
    pub(crate) app: App,
    pub(crate) clock: Clock,
    url: String,
    running: Running,
}

#[derive(Clone)]
pub(crate) struct Secrets {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) totp: String,
}

pub(crate) async fn start(data: &Data, clock: &Clock) -> Result<(App, Running), StartError> {
    let app = server::open(&data.path, clock.clone()).await?;
    let running = server::run(app.clone()).await?;
    Ok((app, running))
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With more lines in `broker.toml`.
    pub(crate) async fn with(lines: &str) -> Self {
        let (data, clock) = (make().await, Clock::stopped());
        let config = data.path.join("broker.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}{lines}\n")).unwrap();
        let (app, running) = start(&data, &clock).await.unwrap();
        Self { url: format!("https://{}", running.address), data, app, clock, running }
    }

    /// Stops the broker in order, and starts it again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self { data, app, clock, running, .. } = self;
        app.stop();
        running.stopped().await;
        let (app, running) = start(&data, &clock).await.unwrap();
        Self { url: format!("https://{}", running.address), data, app, clock, running }
    }

    /// Leaves the running broker to itself, as a crash would: nothing is ended in order.
    pub(crate) fn abandon(self) -> (Data, Clock) {
        (self.data, self.clock)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn pinned(&self) -> PinnedCa {
        PinnedCa::from_hex(&self.data.made.ca_pin).unwrap()
    }

    pub(crate) fn stranger(&self) -> Client {
        Client::new(&self.url, &self.pinned()).unwrap()
    }

    pub(crate) fn admin_secrets(&self) -> Secrets {
        let admin = &self.data.made.admin;
        Secrets {
            user: admin.name.clone(),
            password: admin.password.clone(),
            totp: admin.totp_secret.clone(),
        }
    }

    pub(crate) fn sign_in_of(&self, who: &Secrets) -> SignIn {
        SignIn {
            user: who.user.clone(),
            password: who.password.clone(),
            totp: totp::code_at(&who.totp, self.clock.now().secs()).unwrap(),
        }
    }

    /// Signs in with the next code: each is taken once.
    pub(crate) async fn sign_in(&self, who: &Secrets) -> Client {
        self.clock.advance(30);
        let signed_in = self.stranger().sign_in(&self.sign_in_of(who)).await.unwrap();
        self.stranger().with_token(signed_in.token)
    }

    pub(crate) async fn admin(&self) -> Client {
        self.sign_in(&self.admin_secrets()).await
    }

    pub(crate) async fn add_user(&self, admin: &Client, name: &str, roles: &[&str]) -> Secrets {
        let roles = roles.iter().map(|r| (*r).to_owned()).collect();
        let made = admin.add_user(&NewUser { name: name.to_owned(), account: None, roles }).await.unwrap();
        Secrets { user: made.name, password: made.password, totp: made.totp_secret }
    }

    pub(crate) async fn person(&self, admin: &Client, name: &str, roles: &[&str]) -> Client {
        let secrets = self.add_user(admin, name, roles).await;
        self.sign_in(&secrets).await
    }

    /// Signs a roster with the key that was taken away, and publishes it.
    pub(crate) async fn publish_roster(
        &self,
        admin: &Client,
        version: u64,
        reviewers: &[(&str, &PrivateKey)],
    ) {
        admin.publish_roster(&self.roster(version, reviewers)).await.unwrap();
    }

    /// A key that was taken away.
    pub(crate) fn offline_key(&self, name: &str) -> SigningKey {
        keys::read_encrypted(&self.data.away.join(name), PASSPHRASE).unwrap()
    }

    pub(crate) fn roster(&self, version: u64, reviewers: &[(&str, &PrivateKey)]) -> RosterDocument {
        let now = self.clock.now().unix();
        let roster = Roster {
            format: 1,
            fleet: "test".parse().unwrap(),
            version,
            issued_at: now,
            expires_at: now.plus(Seconds(86400 * 30)),
            reviewers: reviewers
                .iter()
                .map(|(name, key)| Reviewer {
                    name: name.parse().unwrap(),
                    keys: vec![key.public_key().to_openssh().unwrap()],
                    groups: Vec::new(),
                })
                .collect(),
        };
        let envelope = String::from_utf8(dsse::sign(&roster, &[&self.offline_key("roster.key")])).unwrap();
        RosterDocument { envelope }
    }

    pub(crate) async fn enroll(&self, admin: &Client, name: &str) -> TestHost {
        let labels = [("role".to_owned(), "web".to_owned())].into();
        let invitation =
            admin.invite_host(&InviteHost { host: name.to_owned(), labels, ttl: None }).await.unwrap();
        TestHost::enroll(self, &invitation.token).await.unwrap()
    }
}

pub(crate) fn ssh_key(seed: u8) -> PrivateKey {
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])), "reviewer").unwrap()
}

pub(crate) fn ask(entitlement: &str, hosts: &[&str]) -> NewRequest {
    NewRequest {
        entitlement: entitlement.to_owned(),
        hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        reason: "OPS-12 certificate rollover".to_owned(),
        ticket: None,
        window: Some(600),
        not_before: None,
        class: None,
        keys: Vec::new(),
        codes: Vec::new(),
        credentials: Vec::new(),
    }
}

/// A review as the reviewer's client makes it: the digest is of the terms that it was shown.
pub(crate) fn sign_review(
    request: &RequestView,
    by: &str,
    key: &PrivateKey,
    decision: ReviewDecision,
) -> NewReview {
    let statement = Statement {
        format: 1,
        fleet: "test".parse().unwrap(),
        request: request.id.parse().unwrap(),
        terms: stint_grant::terms::digest_of(&request.terms),
        decision,
        reviewer: by.parse().unwrap(),
        reviewed_at: UnixTime(1_795_444_800),
    };
    let signed = review::sign(&statement, key).unwrap();
    NewReview { statement: signed.statement, signature: signed.signature, comment: None }
}
