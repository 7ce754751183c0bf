//! What the module needs of PAM, in plain Rust. The edge to C implements it.

use zeroize::Zeroizing;

/// Something that the application told PAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The service: `sshd`, `sudo`.
    Service,
    /// The account that is asked for.
    User,
    /// The account that asks (sudo, su).
    CallingUser,
    /// The remote address or name.
    RemoteHost,
    /// The terminal.
    Terminal,
}

/// How a line for the user is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The cause of a refusal. It is shown even if the application wants PAM to be silent: sudo does, and a refusal without its
    /// cause helps nobody.
    Error,
    /// For information; not shown if the application wants PAM to be silent.
    Info,
}

/// Whether what is typed shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// It does.
    On,
    /// It is a secret.
    Off,
}

/// How much a line of syslog matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Somebody was let in because something is broken.
    Alert,
    /// Something is broken.
    Warning,
    /// A refusal, or a use of break-glass.
    Notice,
    /// For whoever looks closely.
    Debug,
}

/// One PAM handle.
pub trait Pam {
    /// What the application told, if it did and it is not empty.
    fn item(&self, item: Item) -> Option<String>;
    /// A variable of PAM's own environment; never the process's.
    fn variable(&self, name: &str) -> Option<String>;
    /// Shows one line to the user.
    fn show(&self, style: Style, text: &str);
    /// Asks the user for a line. `None` if nobody can answer, or the answer is empty.
    fn ask(&self, echo: Echo, prompt: &str) -> Option<Zeroizing<String>>;
    /// Writes one line to syslog, facility authpriv.
    fn log(&self, level: Level, text: &str);
    /// Has pam_systemd end the session after some seconds. Whether it could be noted.
    fn limit_session(&self, seconds: u64) -> bool;
}

/// The answer of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `PAM_SUCCESS`.
    Allowed,
    /// `PAM_IGNORE`: not ours to say.
    NotOurs,
    /// `PAM_PERM_DENIED`. Never `PAM_SESSION_ERR`, which sudo shrugs off.
    Denied,
}
