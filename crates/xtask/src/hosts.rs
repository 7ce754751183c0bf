//! The demo, the battery and the benches: programs of `stint-e2e` that work on booted hosts, given the packages.

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use crate::compile::Build;
use crate::dist::{self, Packages};
use crate::setup;
use crate::shell::{TaskError, cargo, step};

const HARNESS: &str = "stint-e2e";

/// `cargo xtask demo`.
pub(crate) fn demo() -> Result<(), TaskError> {
    setup::all()?;
    // Fetching packages of Debian for the hosts leaves the processor to the compiler.
    let image = thread::spawn(|| stint_lab::Lab::prepare(None));
    let packages = dist::packages(Build::Test)?;
    image.join().unwrap_or_else(|_| Ok(PathBuf::new()))?;
    let mut demo = cargo();
    demo.args(["run", "--quiet", "--locked", "-p", HARNESS, "--bin", "stint-demo"]);
    step("the demo", tell(&mut demo, &packages))
}

/// `cargo xtask battery [NAME...]`.
pub(crate) fn battery(names: &[String], table: bool) -> Result<(), TaskError> {
    let mut battery = cargo();
    battery.args(["run", "--quiet", "--locked", "-p", HARNESS, "--bin", "stint-battery", "--"]);
    if table {
        return step("the battery's table", battery.arg("--table"));
    }
    setup::all()?;
    let image = thread::spawn(|| stint_lab::Lab::prepare(None));
    let packages = dist::packages(Build::Test)?;
    image.join().unwrap_or_else(|_| Ok(PathBuf::new()))?;
    step("the battery", tell(battery.args(names), &packages))
}

/// `cargo xtask bench [NAME...]`.
pub(crate) fn bench(names: &[String]) -> Result<(), TaskError> {
    setup::all()?;
    let packages = dist::packages(Build::Bench)?;
    let mut bench = cargo();
    bench.args(["run", "--quiet", "--locked", "--release", "-p", HARNESS, "--bin", "stint-bench", "--"]);
    step("the benches", tell(bench.args(names), &packages))
}

/// Tells the harness where the packages are.
pub(crate) fn tell<'a>(command: &'a mut Command, packages: &Packages) -> &'a mut Command {
    command.env("STINT_HOST_DEB", &packages.host);
    command.env("STINT_CLI_DEB", &packages.cli).env("STINT_BROKER_DEB", &packages.broker)
}
