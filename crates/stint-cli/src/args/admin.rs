//! Hosts, users, the roster, the record.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use crate::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// List hosts.
    Ls,
    /// Show one host.
    Show {
        /// Its name.
        name: String,
    },
    /// Invite a host: prints a one-time token and the command to run on it.
    Join(JoinArgs),
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The name that it will have.
    pub(crate) name: String,
    /// A label that entitlements choose hosts by, as KEY=VALUE; may stand several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// How long the token holds; one hour if not given.
    #[arg(long, value_name = "LENGTH", value_parser = duration::parse)]
    pub(crate) ttl: Option<u64>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not a label: write KEY=VALUE, such as role=web")),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum EntitlementCommand {
    /// List what you may request.
    Ls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user; prints a first password and the TOTP secret, once.
    Add(UserAddArgs),
    /// List users.
    Ls,
    /// Give a user a new first password and TOTP secret; prints them, once.
    Reset {
        /// Their name.
        name: String,
    },
    /// Let a user sign in no more (see also `stint lock add --principal`).
    Disable {
        /// Their name.
        name: String,
    },
    /// Let a user sign in again.
    Enable {
        /// Their name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UserAddArgs {
    /// Their name.
    pub(crate) name: String,
    /// Their local account on hosts; the name itself if not given.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// What they may do; may stand several times.
    #[arg(long = "role", value_enum, default_values_t = [RoleArg::Requester])]
    pub(crate) roles: Vec<RoleArg>,
}

/// What a user may do at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Ask for access.
    Requester,
    /// Review requests (with a key in the roster).
    Reviewer,
    /// Lock and revoke.
    Security,
    /// Hosts, users, the roster.
    Administrator,
    /// Read the record.
    Auditor,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RootCommand {
    /// Show the newest root, verified from the pinned one.
    Show,
    /// Write the newest root to a file, from which `stint-broker root next` makes the one that follows.
    Export {
        /// Where it goes.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Hand the next root, signed offline, to the broker.
    Publish {
        /// The file that `stint-broker root next` wrote.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RosterCommand {
    /// Show the reviewers, verified from the pinned root.
    Show,
    /// Make and sign a roster, offline.
    Sign(RosterSignArgs),
    /// Hand a signed roster to the broker.
    Publish {
        /// The file that `stint roster sign` wrote.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RosterSignArgs {
    /// The roster key (OpenSSH private key); may stand several times where the root demands more than one.
    #[arg(long = "key", value_name = "FILE", required = true)]
    pub(crate) keys: Vec<PathBuf>,
    /// Read the keys' passphrase from this file's first line instead of asking for it; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The reviewers, as TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// The root, or all roots from the first, each in a file: what is signed is then checked as a host would.
    #[arg(long = "root", value_name = "FILE")]
    pub(crate) roots: Vec<PathBuf>,
    /// Where the signed roster goes.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify a host's journal: every record, the chain, the host's signatures.
    Verify(AuditSource),
    /// Show a host's journal in words.
    Ls(AuditSource),
    /// Write a host's journal to a file that `audit verify --file` reads.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["host", "file"]))]
pub(crate) struct AuditSource {
    /// The host whose journal the broker holds.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// A file that `stint audit export` wrote; the broker is not asked.
    #[arg(long, requires = "key")]
    pub(crate) file: Option<PathBuf>,
    /// The host's identity key (base64) as the host itself shows it; without it the broker's word is taken for it.
    #[arg(long, value_name = "BASE64")]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The host.
    #[arg(long)]
    pub(crate) host: String,
    /// The file; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List the recordings that the hosts' journals name.
    Ls {
        /// Of this host only.
        #[arg(long)]
        host: Option<String>,
        /// Of this grant only.
        #[arg(long)]
        grant: Option<String>,
    },
    /// Play a recording, once it is verified by its host's journal.
    Play(PlayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// The run, or its beginning.
    pub(crate) run: String,
    /// So many times as fast.
    #[arg(long, value_name = "N", default_value = "1", value_parser = speed)]
    pub(crate) speed: f64,
    /// As text, with everything that a terminal obeys escaped; so it is shown wherever standard output is no terminal.
    #[arg(long)]
    pub(crate) text: bool,
    /// Write the recording to a new file in place of playing it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["speed", "text"])]
    pub(crate) to: Option<PathBuf>,
    /// The host, where the beginning of a run fits several.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// The host's identity key (base64) as the host itself shows it; without it the broker's word is taken for it.
    #[arg(long, value_name = "BASE64")]
    pub(crate) key: Option<String>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "a number, such as 1, 8 or 0.5".to_owned())?;
    if (0.01..=1_000_000.0).contains(&speed) { Ok(speed) } else { Err("0.01 to 1000000".to_owned()) }
}
