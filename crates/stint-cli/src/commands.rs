//! What each command does: ask the broker, check, show.

mod audit;
mod grant;
mod hosts;
mod lock;
mod people;
mod request;
mod review;
mod root;
mod roster;
mod session;
mod sign_in;
mod ssh;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::exit::Outcome;

/// Runs one command.
pub(crate) async fn run(cli: Cli) -> Outcome<ExitCode> {
    let output = cli.output;
    let done = match cli.command {
        // The one whose exit code is another program's.
        Command::Ssh(args) => return ssh::run(args, output).await,
        Command::SshConfig => ssh::print_config().await,
        Command::Login(args) => sign_in::login(&args, output).await,
        Command::Logout => sign_in::logout(output).await,
        Command::Whoami => sign_in::whoami(output).await,
        Command::Password(args) => sign_in::password(&args).await,
        Command::Request(command) => request::run(command, output).await,
        Command::Grant(command) => grant::run(command, output).await,
        Command::Lock(command) => lock::run(command, output).await,
        Command::Host(command) => hosts::run(command, output).await,
        Command::Entitlement(command) => people::entitlements(&command, output).await,
        Command::User(command) => people::users(command, output).await,
        Command::Root(command) => root::run(command, output).await,
        Command::Roster(command) => roster::run(command, output).await,
        Command::Audit(command) => audit::run(command, output).await,
        Command::Session(command) => session::run(command, output).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}
