//! Running programs to their end, with a bound and captured output.

use std::ffi::OsStr;
use std::fmt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::LabError;
use crate::wait::PATIENCE;

/// How long a program that the lab runs may take, unless the caller says otherwise.
pub(crate) const BOUND: Duration = Duration::from_mins(5);

/// How long a host may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a program to its end.
    pub(crate) run: Duration,
    /// For ssh, to the end of its key exchange.
    pub(crate) connect: Duration,
    pub(crate) boot: Duration,
    pub(crate) shutdown: Duration,
}

impl Patience {
    pub(crate) const USUAL: Self = Self {
        run: BOUND,
        connect: Duration::from_mins(1),
        boot: Duration::from_mins(4),
        shutdown: PATIENCE,
    };
    /// Several times slower, and other things run beside it.
    pub(crate) const EMULATED: Self = Self {
        run: Duration::from_mins(10),
        connect: Duration::from_mins(2),
        boot: Duration::from_mins(10),
        shutdown: Duration::from_mins(5),
    };
}

/// What a finished program left: its status (128 + signal when killed) and its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status; 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

impl Outcome {
    /// True when the program ended with status 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Output and errors together, for a search in what was said.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// This outcome, or an error that names the step when the status is not 0.
    pub fn check(self, what: impl Into<String>) -> Result<Self, LabError> {
        if self.success() { Ok(self) } else { Err(LabError::Step { what: what.into(), outcome: self }) }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}, output {:?}, errors {:?}", self.status, self.stdout.trim(), self.stderr.trim())
    }
}

/// Runs a command to its end. The command's own stdin stays as set; nothing means an empty one.
pub(crate) fn capture(mut command: Command) -> Result<Outcome, LabError> {
    use std::os::unix::process::ExitStatusExt;
    let output = command.stdin(Stdio::null()).output().map_err(|source| LabError::Start {
        program: command.get_program().to_string_lossy().into(),
        source,
    })?;
    let status = output.status.code().or_else(|| output.status.signal().map(|s| 128 + s)).unwrap_or(-1);
    Ok(Outcome {
        status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A command under `timeout`, so that nothing in a test hangs for ever. The status is 124 when the bound was reached.
pub(crate) fn bounded(bound: Duration, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg(format!("{}", bound.as_secs())).arg(program);
    command
}

/// Runs a program of the machine with these arguments; its failure is the step's failure.
pub(crate) fn step<S: AsRef<OsStr>>(what: &str, program: &str, args: &[S]) -> Result<Outcome, LabError> {
    let mut command = bounded(BOUND, program);
    command.args(args);
    capture(command)?.check(what)
}
