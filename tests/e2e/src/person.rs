//! Somebody at a laptop: a home of their own, their ssh key, and the command line.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use stint_lab::{Lab, Outcome, Session};

use crate::error::E2eError;

/// A user of the broker, on the control side.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their name.
    pub name: String,
    home: PathBuf,
    lab: Lab,
    program: PathBuf,
    signing: Signing,
}

/// How they sign in.
#[derive(Debug, Clone)]
pub struct Signing {
    /// Their password.
    pub password: String,
    /// Their TOTP secret, base32.
    pub totp_secret: String,
}

impl Signing {
    /// From what the broker shows once: `password` and `totp_secret`.
    pub fn read(secrets: &Value) -> Result<Self, E2eError> {
        Ok(Self { password: text(secrets, "password")?, totp_secret: text(secrets, "totp_secret")? })
    }
}

impl Person {
    /// With a home of their own. They have not signed in yet.
    pub fn new(lab: &Lab, program: &Path, name: &str, signing: Signing) -> Result<Self, E2eError> {
        let home = lab.dir().join("homes").join(name);
        fs::create_dir_all(&home).map_err(E2eError::file(&home))?;
        let password = home.join("password");
        fs::write(&password, format!("{}\n", signing.password)).map_err(E2eError::file(&password))?;
        Ok(Self { name: name.into(), home, lab: lab.clone(), program: program.into(), signing })
    }

    /// Their home on the control side.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Signs in; the first time with the broker's address and pins.
    pub fn login(&self, broker: &str, ca_pin: &str, root_pin: &str) -> Result<(), E2eError> {
        let password = self.home.join("password").to_string_lossy().into_owned();
        let code = self.totp()?;
        self.run(&[
            "login",
            "--broker",
            broker,
            "--ca-pin",
            ca_pin,
            "--root-pin",
            root_pin,
            "--user",
            &self.name,
            "--password-file",
            &password,
            "--totp",
            &code,
            "--token-store",
            "file",
        ])?;
        Ok(())
    }

    /// Runs `stint` with these arguments, whatever comes of it.
    pub fn stint(&self, args: &[&str]) -> Result<Outcome, E2eError> {
        self.at_desk(&[&[&*self.program.to_string_lossy()], args].concat())
    }

    /// Runs a program at their desk: with their home, a runtime folder of their own, and `stint` on the path.
    pub fn at_desk(&self, line: &[&str]) -> Result<Outcome, E2eError> {
        let run = self.home.join("run");
        fs::create_dir_all(&run).map_err(E2eError::file(&run))?;
        let home = format!("HOME={}", self.home.display());
        let run = format!("XDG_RUNTIME_DIR={}", run.display());
        let programs = self.program.parent().unwrap_or(Path::new("/")).display().to_string();
        let path = format!("PATH={programs}:/usr/local/bin:/usr/bin:/bin");
        let env = ["env", "-u", "XDG_CONFIG_HOME", "-u", "SSH_AUTH_SOCK", &home, &run, &path];
        Ok(self.lab.control(&[&env, line].concat())?)
    }

    /// Runs `stint`, which must succeed.
    pub fn run(&self, args: &[&str]) -> Result<Outcome, E2eError> {
        let outcome = self.stint(args)?;
        if outcome.success() {
            return Ok(outcome);
        }
        Err(E2eError::Command { who: self.name.clone(), line: format!("stint {}", args.join(" ")), outcome })
    }

    /// Runs `stint --output json`, which must succeed, and reads its answer.
    pub fn json(&self, args: &[&str]) -> Result<Value, E2eError> {
        let outcome = self.run(&[&["--output", "json"], args].concat())?;
        serde_json::from_str(&outcome.stdout).map_err(|error| {
            E2eError::answer(format!("stint {}", args.join(" ")), format!("{error}: {outcome}"))
        })
    }

    /// Starts `stint` at a terminal, where it may ask.
    pub fn at_terminal(&self, args: &[&str]) -> Result<Session, E2eError> {
        let program = self.program.to_string_lossy();
        let words = std::iter::once(&*program).chain(args.iter().copied());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let mut command = self.in_their_name("script");
        command.args(["-qec", &line.join(" "), "/dev/null"]).env("TERM", "dumb");
        Ok(Session::of(command)?)
    }

    fn in_their_name(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.lab.control_command(program);
        command.env("HOME", &self.home).env("XDG_RUNTIME_DIR", self.home.join("run"));
        command.env_remove("XDG_CONFIG_HOME").env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Starts `stint` and lets it run, as in another window.
    pub fn start(&self, args: &[&str]) -> Result<Child, E2eError> {
        let mut command = self.in_their_name(&self.program);
        command.args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(E2eError::file(&self.program))
    }

    /// Asks for an entitlement on the host; answers the request's id.
    pub fn request(&self, entitlement: &str, host: &str, length: &str) -> Result<String, E2eError> {
        let args = [
            "request",
            "create",
            entitlement,
            "--host",
            host,
            "--reason",
            "OPS-12 rollover",
            "--for",
            length,
        ];
        let answer = self.json(&args)?;
        text(&answer, "id")
    }

    /// Approves a request, signed with their ssh key.
    pub fn approve(&self, id: &str) -> Result<Outcome, E2eError> {
        let key = self.lab.key(&self.name);
        self.run(&["request", "review", id, "--approve", "--yes", "--key", &key.to_string_lossy()])
    }

    /// Starts the window of an approved grant, and waits until the host has it.
    pub fn activate(&self, id: &str) -> Result<Outcome, E2eError> {
        self.run(&["grant", "activate", id, "--wait", "--timeout=3m"])
    }

    /// The six digits of now, as the person's device shows them.
    fn totp(&self) -> Result<String, E2eError> {
        let wrong = |error: &dyn std::fmt::Debug| E2eError::answer("the TOTP secret", format!("{error:?}"));
        let secret = totp_rs::Secret::try_from_base32(&self.signing.totp_secret).map_err(|e| wrong(&e))?;
        let device = totp_rs::Builder::new()
            .with_secret(secret)
            .with_account_name(self.name.as_str())
            .with_issuer(Some("stint"))
            .build()
            .map_err(|e| wrong(&e))?;
        Ok(device.generate_current().to_string())
    }
}

/// A text field of an answer.
pub(crate) fn text(answer: &Value, field: &str) -> Result<String, E2eError> {
    let found = answer.get(field).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| E2eError::answer(format!("field {field}"), format!("not in {answer}")))
}
