//! The right to run something through sudo.

use serde::{Deserialize, Serialize};

use super::RightError;
use crate::ids::{Sha256Hex, UserName};
use crate::strict::document;

/// The most bytes that all arguments of one rule may have together.
pub const MAX_ARGUMENT_BYTES: usize = 4096;

document! {
    /// One command that may be run as one account.
    pub struct SudoRule {
        /// As whom.
        pub run_as: UserName,
        /// What.
        pub command: Command,
        /// The program's SHA-256, checked by sudo when it runs.
        pub digest: Option<Sha256Hex>,
        /// Forbid the program to start others (sudo's NOEXEC).
        pub noexec: bool,
    }
}

/// A command: one exact program with its arguments, or anything (`ALL`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Anything: full rights of the account.
    All,
    /// One program.
    Program(Program),
}

document! {
    /// One program.
    pub struct Program {
        /// Its absolute path.
        pub path: String,
        /// Its arguments.
        pub arguments: Arguments,
    }
}

/// The arguments that a program may be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// Whatever the caller likes.
    Any,
    /// Exactly these, in this order; an empty list means none at all.
    Exact(Vec<String>),
}

impl SudoRule {
    pub(super) fn check(&self) -> Result<(), RightError> {
        let program = match &self.command {
            Command::All if self.digest.is_some() => return Err(RightError::AllWithDetails),
            Command::All => return Ok(()),
            Command::Program(program) => program,
        };
        check_path(&program.path)?;
        let Arguments::Exact(arguments) = &program.arguments else { return Ok(()) };
        if let Some(bad) = arguments.iter().find(|a| a.chars().any(char::is_control)) {
            return Err(RightError::Argument(bad.clone()));
        }
        if arguments.iter().map(|a| a.len() + 1).sum::<usize>() > MAX_ARGUMENT_BYTES {
            return Err(RightError::TooLong(program.path.clone()));
        }
        Ok(())
    }
    /// Whether it amounts to root.
    pub fn is_full_root(&self) -> bool {
        self.run_as.as_str() == "root" && self.command == Command::All
    }
}

fn check_path(path: &str) -> Result<(), RightError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-@".contains(c);
    let parts_hold = path.strip_prefix('/').is_some_and(|rest| {
        !rest.is_empty() && rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
    });
    if !parts_hold || !path.chars().all(plain) || path.len() > 1024 {
        return Err(RightError::Path(path.to_owned()));
    }
    if path.ends_with("/sudoedit") {
        return Err(RightError::Sudoedit(path.to_owned()));
    }
    Ok(())
}

impl std::fmt::Display for SudoRule {
    /// As a person reads it: `systemctl restart nginx (as root)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.command {
            Command::All => f.write_str("any command")?,
            Command::Program(Program { path, arguments }) => {
                f.write_str(path)?;
                match arguments {
                    Arguments::Any => f.write_str(" (any arguments)")?,
                    Arguments::Exact(list) => {
                        list.iter().try_for_each(|a| write!(f, " {}", a.escape_debug()))?;
                    }
                }
            }
        }
        if self.run_as.as_str() != "root" {
            write!(f, " as {}", self.run_as)?;
        }
        Ok(())
    }
}
