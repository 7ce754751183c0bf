//! Logging in.

use std::path::PathBuf;

use clap::Args;

use crate::duration;

#[derive(Debug, Args)]
pub(crate) struct SshArgs {
    /// The host, by its name in the fleet.
    pub(crate) host: String,
    /// What you ask for if you have no grant; asked for at the terminal if not given.
    #[arg(long)]
    pub(crate) entitlement: Option<String>,
    /// Why: reviewers and auditors read it; asked for at the terminal if not given.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// The ticket that it belongs to.
    #[arg(long)]
    pub(crate) ticket: Option<String>,
    /// How long, such as 40m; the entitlement's longest window if not given.
    #[arg(long = "for", value_name = "LENGTH", value_parser = duration::parse)]
    pub(crate) window: Option<u64>,
    /// Ask for nothing at the terminal: start the window of an approved grant, and wait for reviews.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting for reviews after this time, such as 15m.
    #[arg(long, value_name = "LENGTH", value_parser = duration::parse)]
    pub(crate) timeout: Option<u64>,
    /// Your own key (Ed25519, hardware keys included) instead of one made in memory for this login.
    #[arg(long, short = 'i', value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Only put key and certificate where the lines of `stint ssh-config` have ssh look; for an active grant only.
    #[arg(long, conflicts_with_all = ["entitlement", "reason", "ticket", "window", "wait", "timeout", "identity", "args"])]
    pub(crate) prepare: bool,
    /// Options and a command for ssh, after `--`.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}
