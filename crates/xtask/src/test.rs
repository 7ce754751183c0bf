//! All tests, and one closing line that a machine can read: `N passed, N failed`.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use crate::compile::{Build, MUSL};
use crate::dist::Packages;
use crate::hosts::tell;
use crate::shell::{TaskError, cargo};
use crate::{dist, setup};

/// What is built for the machine's own libc: what loads or is loaded by its programs, and the harness.
const GNU: &[&str] = &["stint-pam", "xtask", "stint-lab"];
const HOSTS: &str = "stint-e2e";
/// What the names of tests on virtual machines have in them. They take minutes and wait most of the time, so they run beside the others.
const VIRTUAL: &str = "virtual_machine";

/// How many tests passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    /// Counts a step that is not a test runner's: it holds or not.
    pub(crate) fn step(&mut self, outcome: &Result<(), TaskError>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("xtask: {error}");
                self.failed += 1;
            }
        }
    }

    /// Prints the closing line; the exit code follows it. No test at all is a failure.
    pub(crate) fn close(self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// `cargo xtask test`.
pub(crate) fn run(filter: Option<&str>) -> ExitCode {
    let mut count = Count::default();
    all(filter, &mut count);
    count.close()
}

/// Everything: set-up, unit tests, packages, booted hosts. A step that fails is counted, and the others still run.
pub(crate) fn all(filter: Option<&str>, count: &mut Count) {
    let ready = setup::all();
    if ready.is_err() {
        count.step(&ready);
        return;
    }
    // What is chosen by name runs in one row.
    let beside = filter.is_none();
    // Fetching packages of Debian for a disk leaves the processor to the compiler.
    let image = beside.then(|| thread::spawn(stint_lab::Lab::prepare_virtual));
    let chosen: Vec<&str> = filter.map_or_else(|| vec!["--skip", VIRTUAL], |filter| vec![filter]);

    let mut programs = cargo();
    programs.args(["test", "--locked", "--no-fail-fast", "--workspace", "--target", MUSL]);
    for package in GNU.iter().chain([&HOSTS]) {
        programs.args(["--exclude", package]);
    }
    let every: Vec<&str> = filter.into_iter().collect();
    count.add(suite("unit tests of the static programs and the pure crates", &mut programs, &every));

    let mut native = cargo();
    native.args(["test", "--locked", "--no-fail-fast"]);
    for package in GNU {
        native.args(["-p", package]);
    }
    count.add(suite("tests of the PAM module, the lab and the tasks", &mut native, &chosen));

    let packages = match dist::packages(Build::Test) {
        Ok(packages) => packages,
        Err(error) => return count.step(&Err(error)),
    };
    // If it could not be made, the tests that need it say why.
    drop(image.map(thread::JoinHandle::join));
    thread::scope(|scope| {
        let virtual_machines = beside.then(|| scope.spawn(|| on_virtual_machines(&packages)));
        let mut hosts = cargo();
        hosts.args(["test", "--locked", "--no-fail-fast", "-p", HOSTS]);
        count.add(suite("end to end on booted hosts", tell(&mut hosts, &packages), &chosen));
        if let Some(virtual_machines) = virtual_machines {
            let failed = Count { passed: 0, failed: 1 };
            count.add(virtual_machines.join().unwrap_or(failed));
        }
    });
}

/// The tests that have a virtual machine: the lab's own, then the story's.
fn on_virtual_machines(packages: &Packages) -> Count {
    let mut tests = cargo();
    tests.args(["test", "--locked", "--no-fail-fast", "-p", "stint-lab", "-p", HOSTS]);
    tests.args(["--test", "virtual_machines", "--test", "virtual"]);
    suite("on virtual machines", tell(&mut tests, packages), &[VIRTUAL])
}

/// One `cargo test`, shown as it runs and counted. A runner that fails without a failed test did not compile or died.
fn suite(name: &str, command: &mut Command, chosen: &[&str]) -> Count {
    eprintln!("==> {name}");
    command.arg("--").arg("--test-threads=2").args(chosen);
    let mut own = Count::default();
    let held = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            if let Some(stdout) = child.stdout.take() {
                for line in BufReader::new(stdout).lines() {
                    let line = line?;
                    println!("{line}");
                    own.add(read_result(&line).unwrap_or_default());
                }
            }
            child.wait()
        })
        .is_ok_and(|status| status.success());
    if !held && own.failed == 0 {
        own.step(&Err(TaskError::Failed { step: name.into(), status: "it did not run to its end".into() }));
    }
    own
}

/// Reads `test result: ok. 3 passed; 0 failed; ...`.
fn read_result(line: &str) -> Option<Count> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let (before, _) = rest.split_once(&format!(" {word}"))?;
        before.rsplit(' ').next()?.parse().ok()
    };
    Some(Count { passed: number("passed")?, failed: number("failed")? })
}

#[cfg(test)]
mod tests {
    use super::{Count, read_result};

    #[test]
    fn a_runner_s_result_line_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.1s";
        assert_eq!(read_result(line), Some(Count { passed: 12, failed: 3 }));
    }

    #[test]
    fn other_lines_are_not() {
        assert_eq!(read_result("test a_result ... ok"), None);
        assert_eq!(read_result("test result: nonsense"), None);
    }
}
