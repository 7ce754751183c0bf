//! What CI holds a change to before its tests: format, lints, licences.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::compile::MUSL;
use crate::setup::{self, CARGO_DENY};
use crate::shell::{TaskError, cargo, step};

const NATIVE: &[&str] = &["stint-pam", "xtask", "stint-lab", "stint-e2e"];

/// `cargo xtask check`. What does not hold is said, and the rest is still looked at.
pub(crate) fn run() -> ExitCode {
    let ready = setup::all();
    let steps: &[fn() -> Result<(), TaskError>] =
        if ready.is_ok() { &[format, lints, licences] } else { &[] };
    let failed = std::iter::once(ready).chain(steps.iter().map(|step| step())).filter_map(Result::err);
    let mut code = ExitCode::SUCCESS;
    for error in failed {
        eprintln!("xtask: {error}");
        code = ExitCode::FAILURE;
    }
    code
}

fn format() -> Result<(), TaskError> {
    step("format", cargo().args(["fmt", "--all", "--check"]))
}

/// Lints of every target, tests too; a warning is an error.
fn lints() -> Result<(), TaskError> {
    let mut programs = cargo();
    programs.args(["clippy", "--locked", "--workspace", "--all-targets", "--target", MUSL]);
    let mut native = cargo();
    native.args(["clippy", "--locked", "--all-targets"]);
    for package in NATIVE {
        programs.args(["--exclude", package]);
        native.args(["-p", package]);
    }
    step("lints of the static programs and the pure crates", programs.args(["--", "-D", "warnings"]))?;
    step("lints of the PAM module, the lab and the tasks", native.args(["--", "-D", "warnings"]))
}

/// Licences, bans and sources always; advisories only where their database is at hand, and saying so where it is not.
fn licences() -> Result<(), TaskError> {
    let mut deny = CARGO_DENY.ensure()?;
    step("licences, bans and sources", deny.args(["--locked", "check", "licenses", "bans", "sources"]))?;
    let mut advisories = CARGO_DENY.ensure()?;
    advisories.args(["--frozen", "check", "advisories"]);
    if advisory_database_is_there() {
        step("advisories", &mut advisories)
    } else {
        eprintln!("==> advisories: NOT CHECKED, their database is not at hand (`cargo deny fetch` gets it)");
        Ok(())
    }
}

/// A fetch that failed leaves its lock behind, and no database.
fn advisory_database_is_there() -> bool {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let entries = home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok());
    entries.is_some_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir())))
}
