//! Running programs: each step is announced, and a step that fails names itself.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Why a task stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// A program could not be started.
    #[error("{step}: {program} could not be started: {source}")]
    Start { step: String, program: String, source: std::io::Error },
    /// A program ended with an error; what it said stands above.
    #[error("{step}: failed ({status}); what it said stands above")]
    Failed { step: String, status: String },
    /// A file or folder.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// The lab.
    #[error(transparent)]
    Lab(#[from] stint_lab::LabError),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl TaskError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    // This crate stands in crates/xtask.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/xtask is two folders deep")
}

/// Announces a step, runs the program with its output shown, and says how long it took.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<(), TaskError> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().map_err(|source| TaskError::Start {
        step: name.into(),
        program,
        source,
    })?;
    if !status.success() {
        return Err(TaskError::Failed { step: name.into(), status: status.to_string() });
    }
    eprintln!("    {name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The output of a program, or nothing when it fails or is not there.
pub(crate) fn output<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Cargo in the workspace, with the C compiler that the static programs need.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).env("CC_x86_64_unknown_linux_musl", "musl-gcc");
    // Set by the cargo that runs us; they would make the inner one rebuild for a different environment.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}
