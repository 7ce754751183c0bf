//! What can go wrong in a lab.

use std::path::PathBuf;

use crate::Outcome;

/// An error of the lab itself, never a test's verdict.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The lab needs namespaces, mounts and cgroups.
    #[error("the lab boots hosts and needs root; run it as root")]
    NotRoot,
    /// A program could not be started at all.
    #[error("could not start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A file or folder of the lab.
    #[error("{path}: {source}")]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A step of the lab's own work failed.
    #[error("{what} failed ({outcome})")]
    Step {
        /// The step.
        what: String,
        /// What the program said.
        outcome: Outcome,
    },
    /// A condition did not come true in its bound.
    #[error("waited {seconds} s in vain for: {what}")]
    Timeout {
        /// The condition.
        what: String,
        /// The bound.
        seconds: u64,
    },
    /// A call that needs a running host, on one that is down, or the other way round.
    #[error("host {host} is {state}")]
    State {
        /// The host.
        host: String,
        /// What it is instead, and what to do.
        state: String,
    },
}

impl LabError {
    /// For `map_err`: an error of this file or folder.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
