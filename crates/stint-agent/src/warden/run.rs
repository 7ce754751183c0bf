//! Runs one of the host's own programs, with nothing of our environment, and kills it if it does not end.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What a program said.
pub(super) struct Said {
    /// Whether it was content.
    pub(super) ok: bool,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

/// Why a program said nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// It could not be started.
    #[error("it could not be run: {0}")]
    NotRun(String),
    /// It did not end.
    #[error("it did not end within {} s", .0.as_secs())]
    Silent(Duration),
}

/// Runs a program, at most so long.
pub(super) fn within(
    bound: Duration,
    program: &Path,
    arguments: &[&str],
    file: Option<&Path>,
) -> Result<Said, RunError> {
    let child = Command::new(program)
        .args(arguments)
        .args(file)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| RunError::NotRun(e.to_string()))?;
    // A handle, taken before anybody can collect it: its pid may be used again.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let handle = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let (to, answer) = mpsc::channel();
    std::thread::spawn(move || to.send(child.wait_with_output()));
    let Ok(output) = answer.recv_timeout(bound) else {
        if let Some(handle) = handle {
            // Gone by itself in this moment: as good.
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
        return Err(RunError::Silent(bound));
    };
    let output = output.map_err(|e| RunError::NotRun(e.to_string()))?;
    Ok(Said {
        ok: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
