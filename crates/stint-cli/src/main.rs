//! `stint`: the command line for engineers, reviewers, administrators and auditors.
//!
//! It does not trust the broker with what a person sees: terms are parsed from their own text, digests are computed here, roots and
//! roster are verified from the pin, journals from the host's key.

mod agent;
mod args;
mod check;
mod codes;
mod commands;
mod duration;
mod exit;
mod ids;
mod journal;
mod output;
mod profile;
mod prompt;
mod roster_file;
mod session;
mod show;
mod signer;
mod token;
mod trust;
mod wait;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use clap::Parser;

/// The host's own program, which knows how much time its user has.
const HOST_PROGRAM: &str = "/usr/sbin/stintd";

fn main() -> ExitCode {
    if std::env::args_os().len() == 1 && std::path::Path::new(HOST_PROGRAM).exists() {
        // Alone, on a host that grants access: what is asked is how long it lasts.
        let failed = std::process::Command::new(HOST_PROGRAM).arg("left").exec();
        eprintln!("{HOST_PROGRAM}: {failed}");
        return ExitCode::FAILURE;
    }
    let cli = args::Cli::parse();
    let output = cli.output;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(e) => Err(exit::Failure::new(exit::Exit::Refused, format!("the program could not start: {e}"))),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            output::failure(output, &failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}
