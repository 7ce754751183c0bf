//! The broker on the control side: made by `init`, with its root and roster keys taken away, and served.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};

use stint_lab::{BROKER_NAME, CONTROL_ADDRESS, Lab, Outcome, PATIENCE, until};

use crate::error::E2eError;
use crate::fleet::broker_url;
use crate::packages::Packages;
use crate::person::{Person, Signing, text};

const PORT: u16 = 7443;
/// The first administrator.
pub(crate) const ADMIN: &str = "admin";
const PASSPHRASE: &str = "offline keys of the lab";

/// One file of the catalog each.
const CATALOG: &[(&str, &str)] = &[
    ("everywhere.toml", include_str!("catalog/everywhere.toml")),
    ("nginx-restart.toml", include_str!("catalog/nginx-restart.toml")),
    ("web-forward.toml", include_str!("catalog/web-forward.toml")),
    ("web-idle.toml", include_str!("catalog/web-idle.toml")),
    ("web-logs.toml", include_str!("catalog/web-logs.toml")),
    ("web-guest.toml", include_str!("catalog/web-guest.toml")),
    ("web-guest-archive.toml", include_str!("catalog/web-guest-archive.toml")),
    ("web-login.toml", include_str!("catalog/web-login.toml")),
    ("web-closed.toml", include_str!("catalog/web-closed.toml")),
    ("web-record.toml", include_str!("catalog/web-record.toml")),
    ("web-once.toml", include_str!("catalog/web-once.toml")),
    ("web-root.toml", include_str!("catalog/web-root.toml")),
];

/// What a client or a host pins.
#[derive(Debug, Clone)]
pub struct Pins {
    /// SHA-256 of the broker's CA.
    pub ca: String,
    /// SHA-256 of the first root.
    pub root: String,
}

/// A broker of its own data, running or not.
#[derive(Debug)]
pub struct Broker {
    lab: Lab,
    program: PathBuf,
    /// Its data.
    pub data: PathBuf,
    /// The root and roster keys, as they were taken away.
    pub offline: PathBuf,
    process: Mutex<Option<Child>>,
    pins: Pins,
    admin: Signing,
}

impl Broker {
    /// Makes a broker with further files in its catalog, and more lines in `broker.toml`, and takes its offline keys away.
    pub(crate) fn init(
        lab: &Lab,
        packages: &Packages,
        more: &str,
        catalog: &[(&str, &str)],
    ) -> Result<Self, E2eError> {
        let program = packages.unpack_broker(lab)?;
        let (data, offline) = (lab.dir().join("broker"), lab.dir().join("offline"));
        let passphrase = lab.dir().join("passphrase");
        fs::write(&passphrase, format!("{PASSPHRASE}\n")).map_err(E2eError::file(&passphrase))?;
        let line = [
            program.to_string_lossy().into_owned(),
            "init".into(),
            "--data".into(),
            data.to_string_lossy().into_owned(),
            "--fleet".into(),
            "lab".into(),
            "--listen".into(),
            format!("{CONTROL_ADDRESS}:{PORT}"),
            "--name".into(),
            BROKER_NAME.into(),
            "--admin".into(),
            ADMIN.into(),
            "--passphrase-file".into(),
            passphrase.to_string_lossy().into_owned(),
            "--output".into(),
            "json".into(),
        ];
        let made = lab.control(&line)?.check("stint-broker init")?;
        let made: serde_json::Value = serde_json::from_str(&made.stdout)
            .map_err(|error| E2eError::answer("stint-broker init", format!("{error}: {made}")))?;
        for (name, content) in CATALOG.iter().chain(catalog) {
            let path = data.join("catalog").join(name);
            fs::write(&path, content).map_err(E2eError::file(&path))?;
        }
        let config = data.join("broker.toml");
        let toml = fs::read_to_string(&config).map_err(E2eError::file(&config))?;
        fs::write(&config, toml + more).map_err(E2eError::file(&config))?;
        fs::rename(data.join("take-away"), &offline).map_err(E2eError::file(&offline))?;
        Ok(Self {
            lab: lab.clone(),
            program,
            data,
            offline,
            process: Mutex::default(),
            pins: Pins { ca: text(&made, "ca_pin")?, root: text(&made, "root")? },
            admin: Signing::read(&made["admin"])?,
        })
    }

    /// Its URL, as hosts and people reach it.
    pub fn url(&self) -> String {
        broker_url(PORT)
    }

    /// What clients and hosts pin.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// How the first administrator signs in.
    pub(crate) fn admin(&self) -> Signing {
        self.admin.clone()
    }

    /// Starts serving, and waits until it answers.
    pub fn start(&self) -> Result<(), E2eError> {
        let log_path = self.log_path();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(E2eError::file(&log_path))?;
        let errors = log.try_clone().map_err(E2eError::file(&log_path))?;
        let mut command = self.lab.control_command(&self.program);
        command.arg("serve").arg("--data").arg(&self.data);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        *self.lock() = Some(command.spawn().map_err(E2eError::file(&self.program))?);
        let knock = format!("exec 3<>/dev/tcp/{CONTROL_ADDRESS}/{PORT}");
        let answered = until("the broker to answer", PATIENCE, || {
            self.lab.control(&["bash", "-c", &knock]).is_ok_and(|outcome| outcome.success())
        });
        Ok(answered.inspect_err(|_| eprintln!("{}", self.log()))?)
    }

    /// Signs the root that follows one, with the key that was taken away, as somebody does where that key is.
    pub fn next_root(&self, current: &Path, to: &Path) -> Result<Outcome, E2eError> {
        let (key, passphrase) = (self.offline.join("root.key"), self.lab.dir().join("passphrase"));
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (program, current, to) = (text(&self.program), text(current), text(to));
        let (key, passphrase) = (text(&key), text(&passphrase));
        let line = [
            program.as_str(),
            "root",
            "next",
            "--current",
            &current,
            "--key",
            &key,
            "--passphrase-file",
            &passphrase,
            "--to",
            &to,
        ];
        Ok(self.lab.control(&line)?)
    }

    /// Runs another of its commands on its data, whatever comes of it.
    pub fn run(&self, args: &[&str]) -> Result<Outcome, E2eError> {
        let (program, data) = (self.program.to_string_lossy(), self.data.to_string_lossy());
        Ok(self.lab.control(&[&[&*program], args, &["--data", &data]].concat())?)
    }

    /// Ends it as a service manager does, and waits.
    pub fn stop(&self) -> Result<(), E2eError> {
        self.end("-TERM")
    }

    /// Ends it without a word, and waits.
    pub fn kill(&self) -> Result<(), E2eError> {
        self.end("-KILL")
    }

    fn end(&self, signal: &str) -> Result<(), E2eError> {
        let Some(mut child) = self.lock().take() else { return Ok(()) };
        self.lab.control(&["kill", signal, &child.id().to_string()])?.check("ending the broker")?;
        child.wait().map_err(E2eError::file(&self.program))?;
        Ok(())
    }

    /// Signs a roster with the offline key and has the administrator publish it. Reviewers use their lab keys.
    pub(crate) fn publish_roster(&self, admin: &Person, reviewers: &[&str]) -> Result<(), E2eError> {
        let mut toml = "fleet = \"lab\"\nversion = 1\nvalid-for = \"30d\"\n".to_owned();
        for name in reviewers {
            let public = self.lab.key(name).with_extension("pub");
            let key = fs::read_to_string(&public).map_err(E2eError::file(&public))?;
            let key = key.trim();
            toml.push_str(&["\n[[reviewer]]\nname = \"", name, "\"\nkeys = [\"", key, "\"]\n"].concat());
        }
        let input = admin.home().join("reviewers.toml");
        fs::write(&input, toml).map_err(E2eError::file(&input))?;
        let signed = admin.home().join("roster.json");
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let (key, passphrase) = (self.offline.join("roster.key"), self.lab.dir().join("passphrase"));
        let sign = [
            "roster",
            "sign",
            "--key",
            &path(&key),
            "--passphrase-file",
            &path(&passphrase),
            "--input",
            &path(&input),
            "--to",
            &path(&signed),
        ];
        admin.run(&sign)?;
        admin.run(&["roster", "publish", &path(&signed)])?;
        Ok(())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.lab.dir().join("broker.log")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the broker's log\n{}", self.log());
        }
        if let Err(error) = self.kill() {
            eprintln!("stint-e2e: the broker: {error}");
        }
    }
}
