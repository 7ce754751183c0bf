//! Why the harness could not go on.

use std::path::PathBuf;

use stint_lab::{LabError, Outcome};

/// An error of the harness: a step that every test needs did not hold.
#[derive(Debug, thiserror::Error)]
pub enum E2eError {
    /// The lab's own.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A command of the story failed.
    #[error("{who}: `{line}` failed ({outcome})")]
    Command {
        /// Who ran it.
        who: String,
        /// The command line.
        line: String,
        /// What it said.
        outcome: Outcome,
    },
    /// A command answered something that cannot be read.
    #[error("{what}: {why}")]
    Answer {
        /// What was asked.
        what: String,
        /// Why it cannot be read.
        why: String,
    },
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl E2eError {
    /// For `map_err`: a file of the test that could not be read or written.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn answer(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Answer { what: what.into(), why: why.to_string() }
    }
}
