//! `stintd`: the warden, the courier, and the commands of the host itself.
//!
//! | Exit code | Means |
//! |---|---|
//! | 0 | done; for `status`: all is well |
//! | 1 | something failed; what, is said |
//! | 2 | a mistake on the command line |
//! | 3 | only root may do this |
//! | 4 | a check did not pass, nothing was changed; for `status`: something is wrong |
//! | 5 | the host is not in the state that the command needs (not enrolled, enrolled already, not armed) |
//! | 6 | the broker refused, is not the one that was meant, or cannot be reached |

mod clock;
mod commands;
mod courier;
mod journal;
mod quiet;
mod rhythm;
mod warden;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use commands::failure::Failure;
use commands::{arm, check_config, enroll, fast_moves, left, session, status};

/// Temporary access for this host: enrol it, arm it, and see what is in force.
#[derive(Debug, Parser)]
#[command(
    name = "stintd",
    version,
    after_help = "Exit codes: 0 done; 1 failed; 2 mistake on the command line; 3 for root only; 4 a check did not pass; \
                  5 the host is not in the state that is needed; 6 the broker refused or cannot be reached."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the warden (systemd does): verifies, enforces and records, as root, without a network
    Warden,
    /// Run the courier (systemd does): carries signed bytes to and from the broker, without privilege
    Courier,
    /// Carry out an order of the warden's in /etc/group (systemd does)
    #[command(hide = true)]
    Accounts {
        /// The order's number
        #[arg(required_unless_present = "release")]
        number: Option<u64>,
        /// Take back all that is ours, without the warden: the package is being removed
        #[arg(long, conflicts_with = "number")]
        release: bool,
    },
    /// Join this host to a fleet; all or nothing, and nothing is gated by it yet
    Enroll(EnrollArguments),
    /// Check this host, then let PAM ask the gate
    Arm(ArmArguments),
    /// Keep what `arm --rollback` did: from a new login, which proves that there is a way in
    Confirm,
    /// Take the gate out of PAM: logins and sudo are as they were before `arm`
    Disarm {
        /// By the timer of `arm --rollback`: puts back what was before it, unless it was confirmed
        #[arg(long, hide = true)]
        rollback: bool,
        /// At the start of a boot: only if its time is over or the host was rebooted; else its timer runs again
        #[arg(long, hide = true, requires = "rollback")]
        if_due: bool,
    },
    /// Show what is in force, what is wrong, and what to do
    Status {
        /// How to show it
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Keeps a scope of PID 1's: does nothing until it is told to end (the warden starts it)
    #[command(hide = true)]
    Keep,
    /// Has the kernel move processes between control groups fast, if the gate is in PAM (systemd does, before the warden)
    #[command(hide = true)]
    FastMoves,
    /// What commands printed, where their grants ask for that
    Session {
        #[command(subcommand)]
        command: SessionCommand,
    },
    /// Say how much time you have here; for everybody
    Left,
    /// Look for what a grant that ended left behind (the warden has systemd run it)
    #[command(hide = true)]
    Sweep {
        /// The grant's id
        grant: String,
    },
    /// Take flags and mounts off stint's own files (the warden has systemd run it)
    #[command(hide = true)]
    Free,
    /// Read host.toml and say what is wrong with it, or what it means
    CheckConfig {
        /// The file
        #[arg(default_value = "/etc/stint/host.toml")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// List the recordings that are on this host
    Ls,
    /// Say what is in a recording
    Show {
        /// The run, as the record names it
        run: String,
    },
    /// Play a recording: text, colours and movements of the cursor, and nothing else that a terminal obeys; as text if this is no terminal
    Play {
        /// The run, as the record names it
        run: String,
        /// Everything as it was printed. It can drive your terminal: into a file or a terminal without value only
        #[arg(long, conflicts_with = "text")]
        raw: bool,
        /// As text, with everything that a terminal obeys escaped
        #[arg(long)]
        text: bool,
        /// All at once, without the pauses
        #[arg(long)]
        at_once: bool,
    },
}

#[derive(Debug, clap::Args)]
struct EnrollArguments {
    /// The broker's URL: https://NAME or https://NAME:PORT
    #[arg(long, value_name = "URL")]
    broker: String,
    #[command(flatten)]
    token: TokenArguments,
    /// Replace an enrolment that stands
    #[arg(long)]
    again: bool,
    /// Do not start the warden and the courier
    #[arg(long)]
    no_start: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct TokenArguments {
    /// The one-time token that `stint host join` printed; `-` reads it from standard input, where no other process sees it
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A file with the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ArmArguments {
    /// Undo it after this time (such as 10m) or at a reboot, unless `stintd confirm` comes from a new login
    #[arg(long, value_name = "TIME", value_parser = duration)]
    rollback: Option<Duration>,
    /// Decide and record, but never deny
    #[arg(long)]
    observe: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    stint_grant::host_config::parse_duration(text).map(|seconds| Duration::from_secs(seconds.0))
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Warden => {
            log_to_stderr();
            arm::rollback::resume();
            return Ok(warden::run());
        }
        Command::Keep => loop {
            nix::unistd::pause();
        },
        Command::FastMoves => fast_moves::run()?,
        Command::Courier => {
            log_to_stderr();
            courier::run(&courier::Settings::default()).map_err(Failure::failed)?;
        }
        Command::Accounts { number, .. } => {
            log_to_stderr();
            let done = number.map_or_else(warden::accounts::release, warden::accounts::run_hand);
            done.map_err(Failure::failed)?;
        }
        Command::Enroll(arguments) => enroll::run(&arguments.into())?,
        Command::Arm(arguments) => {
            arm::run(&arm::Order { rollback: arguments.rollback, observe: arguments.observe })?;
        }
        Command::Confirm => arm::confirm()?,
        Command::Disarm { rollback: false, .. } => arm::disarm()?,
        Command::Disarm { rollback: true, if_due } => arm::roll_back(if_due)?,
        Command::Status { output } => return status::run(matches!(output, Output::Json)),
        Command::Session { command: SessionCommand::Ls } => session::ls()?,
        Command::Session { command: SessionCommand::Show { run } } => session::show(&run)?,
        Command::Session { command: SessionCommand::Play { run, raw, text, at_once } } => {
            session::play(&run, session::Playing { raw, text, at_once })?;
        }
        Command::Left => left::run()?,
        Command::Sweep { grant } => {
            log_to_stderr();
            warden::residue::sweep(&grant).map_err(Failure::failed)?;
        }
        Command::Free => {
            log_to_stderr();
            warden::freeing::run().map_err(Failure::failed)?;
        }
        Command::CheckConfig { file } => check_config::run(&file)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl From<EnrollArguments> for enroll::Order {
    fn from(arguments: EnrollArguments) -> Self {
        let token = match (arguments.token.token_file, arguments.token.token) {
            (Some(file), _) => enroll::TokenSource::File(file),
            (None, word) => enroll::TokenSource::Word(word.unwrap_or_default()),
        };
        Self { broker: arguments.broker, token, again: arguments.again, start: !arguments.no_start }
    }
}

/// To standard error, which is the journal under systemd; it adds the time and the unit itself.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STINT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
    #[test]
    fn a_token_is_needed_and_comes_from_one_place() {
        let parse = |rest: &[&str]| {
            Cli::try_parse_from([&["stintd", "enroll", "--broker", "https://b"], rest].concat())
        };
        assert!(parse(&["--token", "-"]).is_ok());
        assert!(parse(&["--token-file", "/t"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--token", "x", "--token-file", "/t"]).is_err());
    }
    #[test]
    fn a_rollback_time_is_a_length_of_time() {
        let parse = |time: &str| Cli::try_parse_from(["stintd", "arm", "--rollback", time]);
        assert!(parse("10m").is_ok());
        for wrong in ["10", "-1m", "soon", "0s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
