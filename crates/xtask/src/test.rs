//! All tests, and one closing line that a machine can read: `N passed, N failed`.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use crate::compile::{Build, MUSL};
use crate::hosts::tell;
use crate::shell::{TaskError, cargo};
use crate::{dist, setup};

/// What is built for the machine's own libc: what loads or is loaded by its programs, and the harness.
const GNU: &[&str] = &["stint-pam", "xtask", "stint-lab"];
const HOSTS: &str = "stint-e2e";

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
    let mut programs = cargo();
    programs.args(["test", "--locked", "--no-fail-fast", "--workspace", "--target", MUSL]);
    for package in GNU.iter().chain([&HOSTS]) {
        programs.args(["--exclude", package]);
    }
    suite("unit tests of the static programs and the pure crates", &mut programs, filter, count);

    let mut native = cargo();
    native.args(["test", "--locked", "--no-fail-fast"]);
    for package in GNU {
        native.args(["-p", package]);
    }
    suite("tests of the PAM module, the lab and the tasks", &mut native, filter, count);

    let packages = dist::packages(Build::Test);
    match packages {
        Ok(packages) => {
            let mut hosts = cargo();
            hosts.args(["test", "--locked", "--no-fail-fast", "-p", HOSTS]);
            suite("end to end on booted hosts", tell(&mut hosts, &packages), filter, count);
        }
        Err(error) => count.step(&Err(error)),
    }
}

/// One `cargo test`, shown as it runs and counted. A runner that fails without a failed test did not compile or died.
fn suite(name: &str, command: &mut Command, filter: Option<&str>, count: &mut Count) {
    eprintln!("==> {name}");
    command.arg("--").arg("--test-threads=2").args(filter);
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
    count.add(own);
    if !held && own.failed == 0 {
        count.step(&Err(TaskError::Failed { step: name.into(), status: "it did not run to its end".into() }));
    }
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
