//! Real ssh from the control side: commands, and interactive sessions on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::LabError;
use crate::lab::Inner;
use crate::run::{Outcome, Patience, bounded, capture};
use crate::wait::{poll, until};

/// An option of ssh's. It counts until the host has greeted, which a busy one does late.
pub const CONNECT_TIMEOUT: &str = "ConnectTimeout=60";

/// Only the lab's keys and host keys; messages at the level a person sees, which carries the banner of a denial.
fn client(lab: &Inner, prefix: Command, user: &str, options: &[&str], patience: Patience) -> Command {
    let mut command = lab.control(prefix, "ssh");
    // ssh takes the first value of an option: the caller's own come before these.
    command.args(["-F", "none"]).args(options);
    command.args(["-o", "BatchMode=yes", "-o", "LogLevel=INFO", "-o"]);
    command.arg(format!("ConnectTimeout={}", patience.connect.as_secs()));
    command.args(["-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"]);
    command.arg("-o").arg(format!("UserKnownHostsFile={}", lab.dir.join("known_hosts").display()));
    command.arg("-i").arg(lab.key(user));
    command.env_remove("SSH_AUTH_SOCK");
    command
}

pub(crate) fn run(
    lab: &Inner,
    user: &str,
    host: &str,
    options: &[&str],
    line: &str,
    patience: Patience,
) -> Result<Outcome, LabError> {
    let mut command = client(lab, bounded(patience.run, "unshare"), user, options, patience);
    command.arg(format!("{user}@{host}")).arg(line);
    capture(command)
}

/// Somebody at a terminal of the host, over ssh or at its console. Dropped, its client is ended.
#[derive(Debug)]
pub struct Session {
    /// None at a serial port, where nothing is between.
    client: Option<Child>,
    port: Option<UnixStream>,
    input: Option<File>,
    heard: Arc<Mutex<String>>,
    listeners: Vec<JoinHandle<()>>,
}

impl Session {
    pub(crate) fn open(lab: &Inner, user: &str, host: &str, patience: Patience) -> Result<Self, LabError> {
        let mut command = client(lab, Command::new("unshare"), user, &["-tt"], patience);
        command.arg(format!("{user}@{host}")).env("TERM", "dumb");
        Self::of(command)
    }

    pub(crate) fn hold(
        lab: &Inner,
        user: &str,
        host: &str,
        options: &[&str],
        line: &str,
        patience: Patience,
    ) -> Result<Self, LabError> {
        let mut command = client(lab, Command::new("unshare"), user, options, patience);
        command.arg(format!("{user}@{host}")).arg(line);
        Self::of(command)
    }

    /// Whatever the command shows, and whatever is typed to it. `script -qec LINE /dev/null` gives it a terminal.
    pub fn of(mut command: Command) -> Result<Self, LabError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut client = command.spawn().map_err(|source| LabError::Start { program, source })?;
        let heard = Arc::new(Mutex::new(String::new()));
        let stdout = client.stdout.take().map(|stdout| listen(stdout, Arc::clone(&heard)));
        let stderr = client.stderr.take().map(|stderr| listen(stderr, Arc::clone(&heard)));
        let input = client.stdin.take().map(|input| File::from(OwnedFd::from(input)));
        let listeners = stdout.into_iter().chain(stderr).collect();
        Ok(Self { client: Some(client), port: None, input, heard, listeners })
    }

    /// Somebody at a serial port: it is there before and after them, so it never closes.
    pub(crate) fn at(port: UnixStream) -> std::io::Result<Self> {
        let heard = Arc::new(Mutex::new(String::new()));
        let listeners = vec![listen(port.try_clone()?, Arc::clone(&heard))];
        let input = File::from(OwnedFd::from(port.try_clone()?));
        Ok(Self { client: None, port: Some(port), input: Some(input), heard, listeners })
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<(), LabError> {
        let typed = self.input.as_mut().map(|input| input.write_all(format!("{line}\n").as_bytes()));
        match typed {
            Some(Ok(())) => Ok(()),
            Some(Err(source)) => Err(LabError::Start { program: "ssh (typing)".into(), source }),
            None => Err(LabError::State { host: "the session".into(), state: "closed".into() }),
        }
    }

    /// Everything that the terminal has shown so far, errors of the client included.
    pub fn heard(&self) -> String {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the terminal has shown this text, and gives all of what it has shown.
    pub fn wait_for(&self, text: &str, bound: Duration) -> Result<String, LabError> {
        let what = format!("the terminal to show {text:?}");
        poll(&what, bound, || Some(self.heard()).filter(|heard| heard.contains(text))).inspect_err(|_| {
            eprintln!("--- the terminal showed\n{}", self.heard());
        })
    }

    /// True while the connection stands.
    pub fn is_open(&mut self) -> bool {
        self.client.as_mut().is_none_or(|client| matches!(client.try_wait(), Ok(None)))
    }

    /// Waits until the host or the network has ended the connection, and all is heard that was shown before.
    pub fn wait_closed(&mut self, bound: Duration) -> Result<ExitStatus, LabError> {
        until("the session to end", bound, || !self.is_open())?;
        until("the last words of the session", bound, || self.listeners.iter().all(JoinHandle::is_finished))?;
        match self.client.as_mut() {
            Some(client) => client.wait().map_err(|source| LabError::Start { program: "ssh".into(), source }),
            None => Err(LabError::State { host: "the session".into(), state: "at a serial port".into() }),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Some(port) = &self.port {
            // Else who listens holds the port for ever, and the next to come is not heard.
            let _ = port.shutdown(Shutdown::Both);
        }
        if let Some(client) = &mut self.client {
            // Both fail only when the client has ended already.
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}

/// Collects what comes until the end of the stream.
fn listen(mut stream: impl Read + Send + 'static, heard: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    })
}
