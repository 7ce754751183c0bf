//! The project's own tasks: `cargo xtask --help`.
//!
//! Each command does its own set-up and says what it does; a command that stops says which step did not hold. All run
//! as root on Debian, since hosts are booted.

mod check;
mod compile;
mod dist;
mod hosts;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::compile::Build;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "stint's own tasks. Run as root on a Debian machine.")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the other tasks need: Debian packages and the musl target. Quick when all is there.
    Setup,
    /// Build the static programs and the PAM module.
    Build {
        /// Optimised, as shipped. Takes about a quarter of an hour.
        #[arg(long)]
        release: bool,
    },
    /// Build the Debian packages into target/dist.
    Dist {
        /// Optimised, as shipped. Takes about a quarter of an hour.
        #[arg(long)]
        release: bool,
    },
    /// Set up, build the packages, run all tests, hosts included.
    Test {
        /// Only tests whose names contain this.
        filter: Option<String>,
    },
    /// The whole story of one grant on a booted host, each step with what really happened.
    Demo,
    /// Every known way to stay past the end of a grant, tried on booted hosts; prints the table of what held.
    Battery {
        /// Only these: families (processes, schedulers, access, limited, root, standing, tampering, silence) or numbers.
        names: Vec<String>,
        /// Print the table as docs/battery.md publishes it, and try nothing.
        #[arg(long)]
        table: bool,
    },
    /// Time the account call, sudo, the end of a window, a revocation, receipts and baselines, and watch a host at rest; writes
    /// target/bench.
    Bench {
        /// Only these: account, sudo, end, revoke, receipt, baseline, rest.
        names: Vec<String>,
    },
    /// Format, lints, licences: what the project's CI runs before the tests.
    Check,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Setup => setup::all(),
        Task::Build { release } => {
            setup::all().and_then(|()| compile::all(Build::from_flag(release)).map(drop))
        }
        Task::Dist { release } => {
            setup::all().and_then(|()| dist::packages(Build::from_flag(release)).map(drop))
        }
        Task::Demo => hosts::demo(),
        Task::Battery { names, table } => hosts::battery(&names, table),
        Task::Bench { names } => hosts::bench(&names),
        Task::Test { filter } => return test::run(filter.as_deref()),
        Task::Check => return check::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
