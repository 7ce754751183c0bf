//! The command line.

mod access;
mod admin;
mod sign_in;
mod ssh;

use clap::{Parser, Subcommand};

pub(crate) use access::{
    ClassArg, CreateArgs, GrantCommand, LockAddArgs, LockCommand, RequestCommand, ReviewArgs, WaitArgs,
};
pub(crate) use admin::{
    AuditCommand, AuditSource, EntitlementCommand, ExportArgs, HostCommand, JoinArgs, PlayArgs, RootCommand,
    RosterCommand, RosterSignArgs, SessionCommand, UserCommand,
};
pub(crate) use sign_in::{LoginArgs, PasswordArgs};
pub(crate) use ssh::SshArgs;

use crate::output::Output;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not signed in, 4 not allowed or denied by a \
reviewer, 5 not found, 6 timed out, 7 broker unreachable, 8 a signature, pin, digest or chain does not hold.";

/// Temporary access to Linux hosts: ask for it, review it, use it, end it, check the record.
#[derive(Debug, Parser)]
#[command(name = "stint", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// For whom the output is.
    #[arg(long, global = true, value_enum, default_value_t, env = "STINT_OUTPUT")]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in; the first time with --broker, --ca-pin and --user.
    Login(LoginArgs),
    /// Sign out and forget the token.
    Logout,
    /// Show who is signed in.
    Whoami,
    /// Change your password.
    Password(PasswordArgs),
    /// Log in to a host; without a grant, ask for one and wait for it. The exit code is ssh's own.
    Ssh(SshArgs),
    /// Print lines for ~/.ssh/config, by which plain ssh, scp and rsync log in by your active grants.
    SshConfig,
    /// Ask for access, and review what others ask for.
    #[command(subcommand)]
    Request(RequestCommand),
    /// Use, lengthen, end and revoke approved access.
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Lock a person, a host or a grant out now.
    #[command(subcommand)]
    Lock(LockCommand),
    /// Hosts of the fleet.
    #[command(subcommand)]
    Host(HostCommand),
    /// What may be requested.
    #[command(subcommand)]
    Entitlement(EntitlementCommand),
    /// Users of the broker.
    #[command(subcommand)]
    User(UserCommand),
    /// The fleet's root: who may sign what.
    #[command(subcommand)]
    Root(RootCommand),
    /// The signed list of reviewers.
    #[command(subcommand)]
    Roster(RosterCommand),
    /// The hosts' journals.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// What commands printed, where their grants ask for that.
    #[command(subcommand)]
    Session(SessionCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_request_takes_several_hosts_and_a_length() {
        let cli = parse(
            "stint request create nginx-restart --host web-01 --host web-02 --reason OPS-12 --for 40m --wait",
        )
        .unwrap();
        let Command::Request(RequestCommand::Create(args)) = cli.command else { panic!("another command") };
        assert_eq!(args.hosts, ["web-01", "web-02"]);
        assert_eq!(args.window, Some(2400));
        assert!(args.wait && !args.no_activate);
    }

    #[test]
    fn a_request_without_a_reason_or_a_host_is_refused() {
        assert!(parse("stint request create nginx-restart --host web-01").is_err());
        assert!(parse("stint request create nginx-restart --reason OPS-12").is_err());
    }

    #[test]
    fn a_review_is_a_yes_or_a_no_and_never_both() {
        assert!(parse("stint request review abcd --approve").is_ok());
        assert!(parse("stint request review abcd --deny").is_ok());
        assert!(parse("stint request review abcd").is_err());
        assert!(parse("stint request review abcd --approve --deny").is_err());
    }

    #[test]
    fn a_lock_is_for_one_thing() {
        assert!(parse("stint lock add --principal alice --reason leak").is_ok());
        assert!(parse("stint lock add --principal alice --host web-01 --reason leak").is_err());
        assert!(parse("stint lock add --reason leak").is_err());
    }

    #[test]
    fn a_length_without_a_unit_is_refused() {
        assert!(parse("stint grant extend abcd --by 40").is_err());
    }

    #[test]
    fn labels_are_pairs() {
        let cli = parse("stint host join web-01 --label role=web --label site=eu").unwrap();
        let Command::Host(HostCommand::Join(args)) = cli.command else { panic!("another command") };
        assert_eq!(args.labels, [("role".into(), "web".into()), ("site".into(), "eu".into())]);
        assert!(parse("stint host join web-01 --label role").is_err());
    }

    #[test]
    fn a_root_is_shown_exported_and_published() {
        assert!(parse("stint root show").is_ok());
        assert!(parse("stint root export --to root.json").is_ok());
        assert!(parse("stint root publish next.json").is_ok());
        assert!(parse("stint root publish").is_err());
    }

    #[test]
    fn a_journal_is_verified_from_the_broker_or_from_a_file() {
        assert!(parse("stint audit verify --host web-01").is_ok());
        assert!(parse("stint audit verify --file j.json --key k").is_ok());
        assert!(parse("stint audit verify --file j.json").is_err());
        assert!(parse("stint audit verify").is_err());
    }

    #[test]
    fn a_recording_is_played_faster_but_not_backwards() {
        let cli = parse("stint session play abcd --speed 8 --text").unwrap();
        let Command::Session(SessionCommand::Play(args)) = cli.command else { panic!("another command") };
        assert!(args.text && (args.speed - 8.0).abs() < 0.01);
        for speed in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(parse(&format!("stint session play abcd --speed={speed}")).is_err(), "{speed}");
        }
    }

    #[test]
    fn output_is_a_choice_of_every_command() {
        assert_eq!(parse("stint grant ls --output json").unwrap().output, Output::Json);
    }

    #[test]
    fn the_help_lists_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        for code in ["0 done", "3 not signed in", "6 timed out", "7 broker unreachable"] {
            assert!(help.replace('\n', " ").contains(code), "{code}");
        }
    }
}
