//! Signing in and out.

use std::path::PathBuf;

use clap::Args;

use crate::token::StoreKind;

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The broker's URL, such as https://stint.example.org:7443; kept for later.
    #[arg(long)]
    pub(crate) broker: Option<String>,
    /// SHA-256 of the broker's CA certificate, as `stint-broker init` printed it; kept for later.
    #[arg(long, value_name = "HEX")]
    pub(crate) ca_pin: Option<String>,
    /// SHA-256 of the fleet's first root, printed beside the CA's: with it, roots and roster are verified here; kept for later.
    #[arg(long, value_name = "HEX")]
    pub(crate) root_pin: Option<String>,
    /// Who you are; kept for later.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Read the password from this file's first line instead of asking for it; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The six digits of now, instead of asking for them.
    #[arg(long, value_name = "CODE")]
    pub(crate) totp: Option<String>,
    /// Where the token is kept; by itself the kernel's keyring, or a file where there is none.
    #[arg(long, value_enum)]
    pub(crate) token_store: Option<StoreKind>,
}

#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read the old password from this file's first line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) old_file: Option<PathBuf>,
    /// Read the new password from this file's first line.
    #[arg(long, value_name = "FILE")]
    pub(crate) new_file: Option<PathBuf>,
}
