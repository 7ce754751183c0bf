//! What a grant allows: one file for each kind of right.

pub mod account;
pub mod groups;
pub mod login;
pub mod sudo;

pub use account::{AccountRight, HomeEnd};
pub use login::LoginRight;
pub use sudo::{Arguments, Command, SudoRule};

use crate::ids::GroupName;
use crate::strict::document;

document! {
    /// Everything that one grant allows.
    pub struct Rights {
        /// Logging in, if allowed.
        pub login: Option<LoginRight>,
        /// What may be run through sudo.
        pub sudo: Vec<SudoRule>,
        /// Groups for the time of the window.
        pub groups: Vec<GroupName>,
        /// The account itself, if it exists for the window only.
        pub account: Option<AccountRight>,
    }
}

/// Why a right is malformed: refused at the broker, and again on the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RightError {
    /// Nothing is allowed at all.
    #[error("it allows nothing: name a login, a sudo rule or a group")]
    Empty,
    /// Not an absolute path, or one with `.`, `..`, `//` or a pattern in it.
    #[error("command {0:?}: write the absolute path of one program, without patterns, `.` or `..`")]
    Path(String),
    /// sudoers gives it another meaning.
    #[error("command {0:?} is sudoedit: it cannot be granted as a command")]
    Sudoedit(String),
    /// A control, invisible or direction-changing character, a newline, or nothing at all.
    #[error("argument {0:?}: it is empty or two quotes, or holds a control or invisible character")]
    Argument(String),
    /// More arguments or longer ones than sudo's own limits make sensible.
    #[error("command {0:?}: more than {max} bytes of arguments", max = sudo::MAX_ARGUMENT_BYTES)]
    TooLong(String),
    /// A digest for the word ALL, or arguments with it.
    #[error("ALL takes neither arguments nor a digest")]
    AllWithDetails,
    /// A service that no login can use.
    #[error("login by {0:?}: not a service that stint gates")]
    Service(String),
    /// A shell or an SSH key that cannot be.
    #[error("account: {0}")]
    Account(String),
    /// A group twice, or too many.
    #[error("groups: {0}")]
    Groups(String),
}

impl Rights {
    /// Checks every right's own rule.
    pub fn check(&self) -> Result<(), RightError> {
        if self.login.is_none() && self.sudo.is_empty() && self.groups.is_empty() {
            return Err(RightError::Empty);
        }
        if let Some(login) = &self.login {
            login.check()?;
        }
        groups::check(&self.groups)?;
        if let Some(account) = &self.account {
            account.check()?;
        }
        self.sudo.iter().try_for_each(SudoRule::check)
    }
    /// Whether any rule is full root in so many words: any command, as root.
    pub fn is_full_root(&self) -> bool {
        self.sudo.iter().any(SudoRule::is_full_root)
    }
}
