//! What goes wrong in a call: what happened, to what, and what to do next.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use stint_api::ApiError;

/// After how many seconds a call that was refused for want of room is worth another try.
const BUSY_FOR: &str = "2";

/// Why a call was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    code: Code,
    message: String,
    next: Option<String>,
}

/// The stable short words of [`ApiError::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    NotFound,
    BadInput,
    Denied,
    Conflict,
    Unauthenticated,
    Unavailable,
    Busy,
    Internal,
}

/// The answer of everything that can fail in a call.
pub type Outcome<T> = Result<T, Problem>;

impl Problem {
    fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, message: message.into(), next: Some(next.into()) }
    }
    /// There is no such thing.
    pub fn not_found(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message, next)
    }
    /// What came in cannot be taken as it is.
    pub fn bad_input(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Code::BadInput, message, next)
    }
    /// The caller may not do this.
    pub fn denied(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Code::Denied, message, next)
    }
    /// It does not fit the state that the thing is in.
    pub fn conflict(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Code::Conflict, message, next)
    }
    /// It is not known who calls.
    pub fn unauthenticated(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, message, next)
    }
    /// Not now.
    pub fn unavailable(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message, next)
    }
    /// Too much at once: the same call is taken a moment later.
    pub fn busy(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Code::Busy, message, next)
    }
    /// A fault of the broker's own. What happened goes to its log, not to the caller.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        tracing::error!("{what}");
        Self::new(
            Code::Internal,
            "the broker met a fault of its own; nothing was changed",
            "look at the broker's log (journalctl -u stint-broker), then try again",
        )
    }
    /// The next step, if there is one.
    pub fn next_step(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

impl Code {
    fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::BadInput => "bad-input",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::Unauthenticated => "unauthenticated",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }
    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadInput => StatusCode::BAD_REQUEST,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Unavailable | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let error = ApiError { code: self.code.word().to_owned(), message: self.message, next: self.next };
        let retry = (self.code == Code::Busy).then_some([(RETRY_AFTER, BUSY_FOR)]);
        (status, retry, Json(error)).into_response()
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        // SQLite's primary result codes: 5 busy, 13 full.
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let code = code.and_then(|c| c.parse::<u32>().ok());
        match code.map(|c| c & 0xff) {
            Some(13) => {
                tracing::error!("the broker's disk is full: {error}");
                Self::unavailable(
                    "the broker's disk is full: nothing was changed",
                    "make room on the broker's data directory, then try again",
                )
            }
            Some(5) => Self::busy("the broker's database is busy", "try again in a moment"),
            _ => Self::internal(format_args!("database: {error}")),
        }
    }
}

impl From<stint_grant::ids::NameError> for Problem {
    fn from(error: stint_grant::ids::NameError) -> Self {
        Self::bad_input(error.to_string(), format!("use {}", error.rule))
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;

    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_told_as_what_it_is() {
        let mut conn = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("CREATE TABLE t (x BLOB)").execute(&mut conn).await.unwrap();
        sqlx::query("PRAGMA max_page_count = 4").execute(&mut conn).await.unwrap();
        let full =
            sqlx::query("INSERT INTO t VALUES (zeroblob(1000000))").execute(&mut conn).await.unwrap_err();
        let problem = Problem::from(full);
        assert_eq!(problem.code, Code::Unavailable);
        assert!(problem.message.contains("disk is full"), "{problem}");
        assert!(problem.next_step().is_some_and(|n| n.contains("make room")));
    }

    #[test]
    fn a_fault_of_the_brokers_own_tells_the_caller_nothing_of_it() {
        let problem = Problem::internal("/secret/path: no such table");
        assert!(!problem.message.contains("secret"));
        assert!(problem.next_step().is_some());
    }
}
