//! What is known of codes, in one file of its own: no bundle, and no older state of the warden, brings a used code back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stint_grant::gate::Opening;
use stint_grant::ids::{CodeId, GrantId, UserName};
use stint_grant::time::{ClockReading, Seconds, UnixTime};

use super::tries::Tries;
use crate::warden::files::{self, FileError};

const FORMAT: u32 = 1;
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How long a used code is remembered after the last moment at which its grant could stand.
const KEPT_AFTER: Seconds = Seconds(30 * 24 * 3600);

/// Why a code opens nothing. The words are for whoever typed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodeRefusal {
    /// Too many wrong ones.
    #[error("too many break-glass codes were wrong: try again in {0}")]
    Wait(Seconds),
    /// It fits no grant of the account here.
    #[error("that break-glass code opens nothing here for {0}")]
    Wrong(UserName),
    /// It was used.
    #[error("that break-glass code was used at {0}, and each opens its grant once: take another one")]
    Used(UnixTime),
    /// The grant does not stand now.
    #[error("that break-glass code is for grant {grant}, which {why}")]
    NotNow {
        /// Which.
        grant: GrantId,
        /// What is the matter.
        why: &'static str,
    },
    /// It cannot be said what time it is.
    #[error("no break-glass code can be used: {0}")]
    Clock(String),
    /// What is on disk cannot be read: which codes were used is not known.
    #[error("no break-glass code can be used on this host, since {0}. Tell its administrator")]
    Damaged(String),
    /// The disk takes nothing.
    #[error(
        "no break-glass code can be used while this host cannot write it down ({0}): its administrator must make room on its disk"
    )]
    Unwritten(String),
}

impl CodeRefusal {
    /// One word for records.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::Wrong(_) => "wrong",
            Self::Used(_) => "used",
            Self::NotNow { .. } => "not-now",
            Self::Clock(_) => "clock",
            Self::Damaged(_) => "damaged",
            Self::Unwritten(_) => "unwritten",
        }
    }
}

impl From<FileError> for CodeRefusal {
    fn from(error: FileError) -> Self {
        Self::Unwritten(error.to_string())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    format: u32,
    tries: Tries,
    used: Vec<Used>,
    openings: Vec<Opening>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Used {
    grant: GrantId,
    code: CodeId,
    at: UnixTime,
    forget_after: UnixTime,
}

/// What is known of codes.
#[derive(Debug)]
pub(crate) struct Codes {
    path: PathBuf,
    /// An error if the file is there and cannot be read: then no code is taken, and nothing is guessed.
    book: Result<Book, String>,
}

impl Codes {
    /// Reads what is known.
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join("codes.json");
        let damaged = |why: String| format!("{} is damaged ({why})", path.display());
        let book = match files::read(&path, MAX_BYTES) {
            Ok(None) => {
                Ok(Book { format: FORMAT, tries: Tries::default(), used: Vec::new(), openings: Vec::new() })
            }
            Ok(Some(bytes)) => match serde_json::from_slice::<Book>(&bytes) {
                Ok(book) if book.format == FORMAT => Ok(book),
                Ok(book) => Err(damaged(format!("format {} is not known here", book.format))),
                Err(error) => Err(damaged(error.to_string())),
            },
            Err(error) => Err(damaged(error.to_string())),
        };
        if let Err(cause) = &book {
            tracing::error!("no break-glass code can be used: {cause}");
        }
        Self { path, book }
    }

    /// Why no code is taken, if none is.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.book.as_ref().err().map(String::as_str)
    }

    /// Counts an attempt, durably, before anybody looks at it.
    pub(crate) fn count(&mut self, user: &UserName, now: UnixTime) -> Result<(), CodeRefusal> {
        let book = self.book()?;
        let wait = book.tries.wait(user, now);
        if wait > Seconds(0) {
            return Err(CodeRefusal::Wait(wait));
        }
        // It counts whether or not it can be written.
        book.tries.count(user, now);
        let book = book.clone();
        self.save(book)
    }

    /// When a code was used.
    pub(crate) fn used_at(&self, grant: &GrantId, code: &CodeId) -> Option<UnixTime> {
        let book = self.book.as_ref().ok()?;
        book.used.iter().find(|used| used.grant == *grant && used.code == *code).map(|used| used.at)
    }

    /// Uses a code up, durably. Nothing is open yet. `last` is the end of the grant at the latest.
    pub(crate) fn burn(
        &mut self,
        user: &UserName,
        (grant, code): (&GrantId, &CodeId),
        now: UnixTime,
        last: UnixTime,
    ) -> Result<(), CodeRefusal> {
        if let Some(at) = self.used_at(grant, code) {
            return Err(CodeRefusal::Used(at));
        }
        let mut book = self.book()?.clone();
        book.tries.forgive(user);
        book.used.retain(|used| now <= used.forget_after);
        book.used.push(Used {
            grant: grant.clone(),
            code: code.clone(),
            at: now,
            forget_after: last.plus(KEPT_AFTER),
        });
        self.save(book)
    }

    /// Remembers what a code opened, durably. One window of a grant at a time: the newest.
    pub(crate) fn open_window(
        &mut self,
        opening: Opening,
        now: UnixTime,
        reading: &ClockReading,
    ) -> Result<(), CodeRefusal> {
        let mut book = self.book()?.clone();
        book.openings.retain(|known| known.grant != opening.grant && known.is_open(now, reading));
        book.openings.push(opening);
        self.save(book)
    }

    /// Forgets what is open by a grant, as far as the disk takes that; here at any rate.
    pub(crate) fn close_window(&mut self, grant: &GrantId) {
        let Ok(book) = &mut self.book else { return };
        book.openings.retain(|known| known.grant != *grant);
        let book = book.clone();
        if let Err(error) = self.save(book) {
            tracing::error!(%error, "a window that was closed is on disk yet");
        }
    }

    /// What is open now.
    pub(crate) fn open_at(&self, now: UnixTime, reading: &ClockReading) -> Vec<Opening> {
        let openings = self.book.iter().flat_map(|book| &book.openings);
        openings.filter(|opening| opening.is_open(now, reading)).cloned().collect()
    }

    fn book(&mut self) -> Result<&mut Book, CodeRefusal> {
        self.book.as_mut().map_err(|cause| CodeRefusal::Damaged(cause.clone()))
    }

    /// Counts from the moment at which it is on disk.
    fn save(&mut self, book: Book) -> Result<(), CodeRefusal> {
        let bytes = serde_json::to_vec(&book).expect("durable state is plain data");
        files::replace(&self.path, &bytes, 0o600)?;
        self.book = Ok(book);
        Ok(())
    }
}
