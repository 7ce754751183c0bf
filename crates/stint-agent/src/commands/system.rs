//! The programs of the host that commands call: each with a plain environment, and nothing to read from.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::failure::Failure;

/// Where programs are looked for, whatever the caller's environment says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whether it exited with 0.
    pub(crate) ok: bool,
    /// What it wrote to its output.
    pub(crate) output: String,
    /// What it wrote to its error output.
    pub(crate) errors: String,
}

impl Answer {
    /// The last words, for people.
    pub(crate) fn last_words(&self) -> String {
        let text = if self.errors.trim().is_empty() { &self.output } else { &self.errors };
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join("; ")
    }
}

/// Runs a program to its end.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<Answer, Failure> {
    run_with(program, arguments, &[])
}

/// Runs a program to its end, with more in its environment.
pub(crate) fn run_with(
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Answer, Failure> {
    let found = PATH
        .split(':')
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| Failure::failed(format!("{program} is not on this host (looked in {PATH})")))?;
    let output = Command::new(&found)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .envs(environment.iter().copied())
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Failure::failed(format!("{} could not be run: {e}", found.display())))?;
    Ok(Answer {
        ok: output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a program that must succeed.
pub(crate) fn must(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let answer = run(program, arguments)?;
    if answer.ok {
        return Ok(answer.output);
    }
    let mut call = program.to_owned();
    for argument in arguments {
        let _ = write!(call, " {argument}");
    }
    Err(Failure::failed(format!("`{call}` failed: {}", answer.last_words())))
}

/// Whether systemd runs here.
pub(crate) fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// What `systemctl is-active` says: `active`, `inactive`, `failed`, ...
pub(crate) fn unit_state(unit: &str) -> String {
    match run("systemctl", &["is-active", unit]) {
        Ok(answer) if !answer.output.trim().is_empty() => answer.output.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
