//! Requests, grants and locks.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use crate::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// Ask for an entitlement on one host or several.
    Create(CreateArgs),
    /// List requests: yours and those that you may review.
    Ls(ListArgs),
    /// Show a request with its terms.
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Wait for the reviews of your request, then start the window.
    Wait(RequestWaitArgs),
    /// Approve or deny a request, signed with your SSH key.
    Review(ReviewArgs),
    /// Take a request back before it is approved.
    Cancel {
        /// Its id, or the beginning of it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What you ask for (see `stint entitlement ls`).
    pub(crate) entitlement: String,
    /// On which host; may stand several times.
    #[arg(long = "host", value_name = "HOST", required = true)]
    pub(crate) hosts: Vec<String>,
    /// Why: reviewers and auditors read it.
    #[arg(long)]
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[arg(long)]
    pub(crate) ticket: Option<String>,
    /// How long, such as 40m; the entitlement's longest window if not given.
    #[arg(long = "for", value_name = "LENGTH", value_parser = duration::parse)]
    pub(crate) window: Option<u64>,
    /// What kind of work it is.
    #[arg(long, value_enum, default_value_t = ClassArg::Routine)]
    pub(crate) class: ClassArg,
    /// Only a login with this SSH key counts (`SHA256:...`, as `ssh-keygen -l` prints it); may stand several times.
    #[arg(long = "credential", value_name = "FINGERPRINT")]
    pub(crate) credentials: Vec<String>,
    /// The public key (a `.pub` file) that lets into an account which is made for the window; may stand several times.
    #[arg(long = "ssh-key", value_name = "FILE")]
    pub(crate) ssh_keys: Vec<PathBuf>,
    /// Seal it with so many break-glass codes, for an entitlement that is made for that: each opens the right once, on its one host, without
    /// the broker. They are shown once, here.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16), conflicts_with = "class")]
    pub(crate) codes: Option<u8>,
    /// Wait for the reviews, then start the window.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Start the window at once if no review is missing; --wait does so by itself.
    #[arg(long, conflicts_with = "no_activate")]
    pub(crate) activate: bool,
    /// With --wait: leave the window to be started later.
    #[arg(long, requires = "wait")]
    pub(crate) no_activate: bool,
    /// With --wait: give up after this time, such as 15m; by itself when the request ends.
    #[arg(long, value_name = "LENGTH", value_parser = duration::parse, requires = "wait")]
    pub(crate) timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct RequestWaitArgs {
    /// Its id, or the beginning of it.
    pub(crate) id: String,
    /// Leave the window to be started later.
    #[arg(long)]
    pub(crate) no_activate: bool,
    /// Give up after this time, such as 15m; by itself when the request ends.
    #[arg(long, value_name = "LENGTH", value_parser = duration::parse)]
    pub(crate) timeout: Option<u64>,
}

/// What kind of work a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClassArg {
    /// Planned work.
    Routine,
    /// Work on an incident.
    Incident,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Everybody's, not only those that concern you.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those in this state, such as pending or active.
    #[arg(long)]
    pub(crate) state: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("decision").required(true).args(["approve", "deny"]))]
pub(crate) struct ReviewArgs {
    /// The request's id, or the beginning of it.
    pub(crate) id: String,
    /// Say yes.
    #[arg(long)]
    pub(crate) approve: bool,
    /// Say no.
    #[arg(long)]
    pub(crate) deny: bool,
    /// Your Ed25519 SSH key; given its public half (.pub), the SSH agent signs. ~/.ssh/id_ed25519 if not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Read the key's passphrase from this file's first line instead of asking for it; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// A word for the requester; not signed.
    #[arg(long)]
    pub(crate) comment: Option<String>,
    /// Do not ask for confirmation.
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// List grants: yours, or everybody's.
    Ls(ListArgs),
    /// Show a grant and on which hosts it is in effect.
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Start the window of an approved grant.
    Activate(ActivateArgs),
    /// Give your grant back early.
    End(ActivateArgs),
    /// Take somebody's grant away.
    Revoke(RevokeArgs),
    /// Lengthen the window, within what the terms allow.
    Extend(ExtendArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until it is in effect on every host.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "LENGTH", value_parser = duration::parse, default_value = "10s")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ActivateArgs {
    /// The grant's id, or the beginning of it.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The grant's id, or the beginning of it.
    pub(crate) id: String,
    /// Why: its holder is told.
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExtendArgs {
    /// The grant's id, or the beginning of it.
    pub(crate) id: String,
    /// How much longer, such as 15m.
    #[arg(long, value_name = "LENGTH", value_parser = duration::parse)]
    pub(crate) by: u64,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Lock a person, a host or a grant; takes effect at once.
    Add(LockAddArgs),
    /// List locks.
    Ls,
    /// Lift a lock.
    Rm {
        /// Its id, or the beginning of it.
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["principal", "host", "grant"]))]
pub(crate) struct LockAddArgs {
    /// Lock this person everywhere.
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: Option<String>,
    /// Lock this host for everybody.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Lock this grant.
    #[arg(long, value_name = "ID")]
    pub(crate) grant: Option<String>,
    /// Why: whom it meets is told.
    #[arg(long)]
    pub(crate) reason: String,
    /// For how long; until it is lifted if not given.
    #[arg(long = "for", value_name = "LENGTH", value_parser = duration::parse)]
    pub(crate) duration: Option<u64>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}
