//! The right to run something through sudo.

use serde::Serialize;

use super::RightError;
use crate::ids::{Sha256Hex, UserName};
use crate::strict::{self, document};
use crate::words;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Anything: full rights of the account.
    All,
    /// One program.
    Program(Program),
}
strict::word_or_object!(Command { All = "all", Program(Program) = "program" });

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// Whatever the caller likes.
    Any,
    /// Exactly these, in this order; an empty list means none at all.
    Exact(Vec<String>),
}
strict::word_or_object!(Arguments { Any = "any", Exact(Vec<String>) = "exact" });

/// Programs that are, or give, a shell when they get no script or command to run.
const SHELLS: &[&str] = &[
    "ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "lua", "mksh", "node", "perl", "php", "python",
    "python2", "python3", "rbash", "ruby", "sh", "tclsh", "tcsh", "xonsh", "zsh",
];
/// Programs whose work is to become somebody, or to start whatever they are told.
const BECOMERS: &[&str] = &["doas", "pkexec", "run0", "su", "sudo"];

impl SudoRule {
    pub(crate) fn check(&self) -> Result<(), RightError> {
        let program = match &self.command {
            Command::All if self.digest.is_some() => return Err(RightError::AllWithDetails),
            Command::All => return Ok(()),
            Command::Program(program) => program,
        };
        check_path(&program.path)?;
        let Arguments::Exact(arguments) = &program.arguments else { return Ok(()) };
        // An empty argument, and one that is two quotes, would be written as sudoers' word for "no arguments".
        let holds = |a: &String| !a.is_empty() && a != "\"\"" && a.chars().all(words::is_plain);
        if let Some(bad) = arguments.iter().find(|a| !holds(a)) {
            return Err(RightError::Argument(bad.clone()));
        }
        if arguments.iter().map(|a| a.len() + 1).sum::<usize>() > MAX_ARGUMENT_BYTES {
            return Err(RightError::TooLong(program.path.clone()));
        }
        Ok(())
    }
    /// Whether it is root in so many words: any command, as root.
    pub fn is_full_root(&self) -> bool {
        self.run_as.as_str() == "root" && self.command == Command::All
    }
    /// Whether it amounts to root: any command, a shell or an interpreter without a script of its own, or a program that becomes
    /// somebody. A host that forbids full root refuses these too. No list can name every program that can start a shell: what a
    /// command can do, its reviewers judge.
    pub fn amounts_to_root(&self) -> bool {
        if self.run_as.as_str() != "root" {
            return false;
        }
        let Command::Program(Program { path, arguments }) = &self.command else { return true };
        let name = path.rsplit('/').next().unwrap_or(path);
        let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        let listed = |list: &[&str]| list.contains(&name) || list.contains(&base);
        let open = match arguments {
            Arguments::Any => true,
            Arguments::Exact(list) => list.iter().all(|a| a.starts_with('-')),
        };
        listed(BECOMERS) || (open && listed(SHELLS))
    }
    /// Whether it names one program with exact arguments: only such a rule may come without a review.
    pub fn is_exact(&self) -> bool {
        matches!(&self.command, Command::Program(Program { arguments: Arguments::Exact(_), .. }))
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
