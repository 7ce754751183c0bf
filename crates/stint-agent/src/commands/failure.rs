//! How a command fails: the words, and the exit code.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of `stintd`. 0 is done, 2 is a mistake on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed; what, is said.
    Failed = 1,
    /// Only root may do this.
    NotRoot = 3,
    /// A check did not pass; nothing was changed.
    Check = 4,
    /// The host is not in the state that the command needs (not enrolled, enrolled already, not armed).
    State = 5,
    /// The broker refused, or it is not the broker that was meant, or it cannot be reached.
    Broker = 6,
}

/// Why a command failed: what happened, to what, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What happened, and to what.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// With an exit code and words.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), next: None }
    }
    /// Something failed.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }
    /// The next step.
    #[must_use]
    pub(crate) fn next(mut self, next: impl fmt::Display) -> Self {
        self.next = Some(next.to_string());
        self
    }
    /// Tells it, and gives the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        eprintln!("stintd: {self}");
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.next.as_ref().map_or(Ok(()), |next| write!(f, "\n  {next}"))
    }
}

/// Refuses everybody but root.
pub(crate) fn root_only(command: &str) -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(Exit::NotRoot, format!("`stintd {command}` is for root"))
        .next(format!("run it as root: sudo stintd {command}")))
}
