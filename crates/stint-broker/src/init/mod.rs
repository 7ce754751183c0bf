//! `stint-broker init`: makes a fleet. All of it, or nothing: it grows in a hidden folder and is moved up at the end, `broker.toml`
//! last, without which nothing starts.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use stint_api::people::NewUserSecrets;
use stint_grant::dsse;
use stint_grant::ids::{FleetName, KeyId, Principal, UserName};
use stint_grant::keys::PublicKey;
use stint_grant::root::{self, Keys, Role as RootRole, Root};
use stint_grant::time::Seconds;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::error::Problem;
use crate::identity::{self, Role, password, totp};
use crate::random;
use crate::server::Layout;
use crate::store::Db;
use crate::trust::{self, ca, keys};

const ROOT_LIFE: Seconds = Seconds(365 * 24 * 3600);
const SHORTEST_PASSPHRASE: usize = 8;

/// What to make.
pub struct Plan {
    /// Where.
    pub data: PathBuf,
    /// The fleet's name.
    pub fleet: FleetName,
    /// Names and addresses by which the broker is reached.
    pub names: Vec<String>,
    /// The first administrator.
    pub admin: Principal,
    /// Where the broker will listen.
    pub listen: SocketAddr,
    /// Encrypts the keys that are taken away.
    pub passphrase: Zeroizing<String>,
}

/// What was made; the secrets are shown once.
pub struct Made {
    /// What clients pin.
    pub ca_pin: String,
    /// What hosts pin.
    pub root_pin: String,
    /// The first administrator.
    pub admin: NewUserSecrets,
    /// The folder to take away.
    pub take_away: PathBuf,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InitError(String);

impl InitError {
    fn at(path: &Path, cause: impl std::fmt::Display) -> Self {
        Self(format!("{}: {cause}", path.display()))
    }
}

impl From<Problem> for InitError {
    fn from(problem: Problem) -> Self {
        Self(problem.to_string())
    }
}
impl From<keys::KeyFileError> for InitError {
    fn from(error: keys::KeyFileError) -> Self {
        Self(error.to_string())
    }
}
impl From<ca::CaError> for InitError {
    fn from(error: ca::CaError) -> Self {
        Self(error.to_string())
    }
}

/// Makes a fleet.
pub async fn init(plan: &Plan) -> Result<Made, InitError> {
    check(plan)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&plan.data)
        .map_err(|e| InitError::at(&plan.data, e))?;
    let growing = plan.data.join(format!(".init-{}", random::id()));
    let made = match grow(plan, &growing).await {
        Ok(made) => move_up(&growing, &plan.data).map(|()| made),
        Err(error) => Err(error),
    };
    if made.is_err() {
        // The directory was empty before. The first error is the one to tell.
        for name in CONTENTS {
            let path = plan.data.join(name);
            let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        }
        let _ = std::fs::remove_dir_all(&growing);
    }
    made
}

/// What a data directory holds. What the broker looks for first comes last.
const CONTENTS: [&str; 6] = ["keys", "tls", "catalog", "take-away", "broker.db", "broker.toml"];

fn move_up(growing: &Path, data: &Path) -> Result<(), InitError> {
    for name in CONTENTS {
        std::fs::rename(growing.join(name), data.join(name))
            .map_err(|e| InitError::at(&data.join(name), e))?;
    }
    std::fs::remove_dir(growing).map_err(|e| InitError::at(growing, e))?;
    std::fs::File::open(data).and_then(|d| d.sync_all()).map_err(|e| InitError::at(data, e))
}

fn check(plan: &Plan) -> Result<(), InitError> {
    if plan.names.is_empty() {
        return Err(InitError(
            "name the broker as hosts and people reach it: --name broker.example.org".to_owned(),
        ));
    }
    if plan.passphrase.chars().count() < SHORTEST_PASSPHRASE {
        return Err(InitError(format!(
            "the passphrase of the keys to be taken away is too short: use {SHORTEST_PASSPHRASE} characters at least"
        )));
    }
    match std::fs::read_dir(&plan.data) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(InitError::at(
                &plan.data,
                "the directory is not empty: choose another, nothing is overwritten",
            )),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(InitError::at(&plan.data, e)),
    }
}

async fn grow(plan: &Plan, growing: &Path) -> Result<Made, InitError> {
    let layout = Layout::new(growing);
    let now = Clock::default().now();
    for folder in ["", "keys", "tls", "catalog", "take-away"] {
        let path = growing.join(folder);
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|e| InitError::at(&path, e))?;
    }
    let write = |path: PathBuf, text: &str| {
        keys::write_secret(&path, text.as_bytes()).map_err(|e| InitError::at(&path, e))
    };

    let [root_key, roster_key, bundle_key, pulse_key, certificate_key] =
        std::array::from_fn(|_| keys::generate());
    let passphrase = Some(plan.passphrase.as_str());
    let away = layout.take_away();
    keys::write(&away.join("root.key"), &root_key, &format!("stint root {}", plan.fleet), passphrase)?;
    keys::write(&away.join("roster.key"), &roster_key, &format!("stint roster {}", plan.fleet), passphrase)?;
    keys::write(&layout.key("bundle"), &bundle_key, "stint bundle", None)?;
    keys::write(&layout.key("pulse"), &pulse_key, "stint pulse", None)?;
    keys::write(&layout.key("certificate"), &certificate_key, "stint certificate", None)?;

    let public = [&root_key, &roster_key, &bundle_key, &pulse_key, &certificate_key].map(PublicKey::of);
    let role = |n: usize| RootRole { keys: vec![public[n].id()], threshold: 1 };
    let root = Root {
        format: 1,
        fleet: plan.fleet.clone(),
        version: 1,
        issued_at: now.unix(),
        expires_at: now.unix().plus(ROOT_LIFE),
        epoch: 1,
        keys: Keys(
            public.iter().map(|k| (k.id(), k.clone())).collect::<std::collections::BTreeMap<KeyId, _>>(),
        ),
        root: role(0),
        roster: role(1),
        bundle: role(2),
        pulse: role(3),
        certificate: role(4),
    };
    let envelope =
        String::from_utf8(dsse::sign(&root, &[&root_key])).map_err(|e| InitError(e.to_string()))?;
    let root_pin = root::pin_of(envelope.as_bytes());
    write(away.join("root-1.json"), &envelope)?;

    let (certificate, key) = ca::create(plan.fleet.as_str(), now.secs())?;
    let authority = ca::Ca::load(&certificate, &key)?;
    // A name that no certificate can carry is refused now, not at the first start.
    authority.server(&plan.names, now.secs())?;
    write(layout.ca("crt"), &certificate)?;
    write(layout.ca("key"), &key)?;
    write(layout.config(), &config_text(plan))?;

    let admin = fill_database(plan, &layout, now, &root_pin, &envelope).await?;
    Ok(Made {
        ca_pin: authority.pin(),
        root_pin: root_pin.to_string(),
        admin,
        take_away: Layout::new(&plan.data).take_away(),
    })
}

fn config_text(plan: &Plan) -> String {
    let names: Vec<_> = plan.names.iter().map(|n| format!("{n:?}")).collect();
    format!(
        "# The broker of one fleet. Unknown fields are refused.\n\
         fleet = \"{}\"\nlisten = \"{}\"\nnames = [{}]\n\n\
         # How often a connected host gets a pulse.\n# pulse_interval = \"60s\"\n\
         # How long a bundle is believed at most.\n# bundle_validity = \"7d\"\n\
         # The longest window that the catalog may offer, extensions included.\n# max_window = \"24h\"\n\
         # How many connections may be open at once; half of them are kept for hosts.\n# max_connections = 8192\n\
         # How often a connection is asked whether it lives.\n# keep_alive = \"2m\"\n\
         # How long a host's certificate holds; hosts renew it by themselves.\n# host_certificate_life = \"7d\"\n\
         # How long an SSH certificate of a person holds at most, and whether only from the address from which it was asked for.\n\
         # ssh_certificate_life = \"5m\"\n# ssh_certificate_bound_to_address = true\n",
        plan.fleet,
        plan.listen,
        names.join(", ")
    )
}

async fn fill_database(
    plan: &Plan,
    layout: &Layout,
    now: crate::clock::Now,
    root_pin: &stint_grant::ids::Sha256Hex,
    envelope: &str,
) -> Result<NewUserSecrets, InitError> {
    let (name, fleet) = (plan.admin.as_str(), plan.fleet.as_str());
    let account = UserName::new(name).map_err(|e| InitError(format!("--admin: {e}")))?;
    let first_password = random::password();
    let hash = password::hash(&password::queue()?, first_password.clone()).await?;
    let totp_secret = totp::new_secret();
    let totp_url = totp::url(&totp_secret, fleet, name)?;

    let db = Db::create(&layout.database()).await.map_err(|e| InitError(e.to_string()))?;
    let mut change = db.change(now).await?;
    trust::store::begin(change.conn(), fleet, root_pin, envelope).await?;
    identity::store::add(change.conn(), name, account.as_str(), &[Role::Administrator], &hash, &totp_secret)
        .await?;
    change.record("init", "fleet.made", fleet, json!({ "root": root_pin, "administrator": name })).await?;
    change.commit().await?;
    db.close().await;
    Ok(NewUserSecrets { name: name.to_owned(), password: first_password.to_string(), totp_url, totp_secret })
}
