//! How a command can fail, and the exit code of each way.

use stint_api::client::ClientError;

/// The exit codes. They are part of the interface: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The broker refused it, or it failed.
    Refused = 1,
    /// The command line or a file given to it is wrong.
    Usage = 2,
    /// Nobody is signed in.
    NotSignedIn = 3,
    /// The one who is signed in may not do this, or a reviewer said no.
    Denied = 4,
    /// There is no such thing.
    NotFound = 5,
    /// It did not happen in time.
    TimedOut = 6,
    /// The broker does not answer.
    Unreachable = 7,
    /// A signature, a pin, a digest or a chain does not hold.
    Unverified = 8,
}

impl Exit {
    /// One short word, for `--output json`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::NotSignedIn => "not-signed-in",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
            Self::Unverified => "unverified",
        }
    }
}

/// Why a command failed: what happened to what, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) next: Option<String>,
}

/// What a command gives.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), next: None }
    }
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
    #[expect(clippy::needless_pass_by_value, reason = "stands where errors are mapped")]
    pub(crate) fn unverified(message: impl ToString) -> Self {
        Self::new(Exit::Unverified, message.to_string())
    }
    /// Adds the next step.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Refused };
        Self::new(exit, format!("{}: {error}", path.display()))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::BadUrl(_) | ClientError::Tls(_) => Self::usage(message),
            ClientError::Unreachable { .. } => Self::new(Exit::Unreachable, message)
                .next("check the network and the broker's address (`stint whoami` tells whether it answers)"),
            ClientError::Untrusted { .. } => Self::unverified(message)
                .next("ask an administrator for the broker's CA pin; do not sign in before it fits"),
            ClientError::Answer { .. } => Self::new(Exit::Refused, message),
            ClientError::Refused { status, error } => {
                let exit = of_refusal(&error.code, status);
                let next = error
                    .next
                    .or_else(|| (exit == Exit::NotSignedIn).then(|| "sign in: stint login".to_owned()));
                Self { exit, message: error.message, next }
            }
        }
    }
}

fn of_refusal(code: &str, status: u16) -> Exit {
    match (code, status) {
        ("unauthenticated", _) | (_, 401) => Exit::NotSignedIn,
        ("denied", _) | (_, 403) => Exit::Denied,
        ("not-found", _) | (_, 404) => Exit::NotFound,
        ("unavailable", _) | (_, 503) => Exit::Unreachable,
        _ => Exit::Refused,
    }
}

#[cfg(test)]
mod tests {
    use stint_api::ApiError;

    use super::*;

    fn refused(code: &str, status: u16) -> Failure {
        let error = ApiError { code: code.into(), message: "no".into(), next: None };
        ClientError::Refused { status, error }.into()
    }

    #[test]
    fn each_code_of_the_broker_has_its_exit_code() {
        let cases = [
            ("unauthenticated", 401, 3),
            ("denied", 403, 4),
            ("not-found", 404, 5),
            ("unavailable", 503, 7),
            ("bad-input", 400, 1),
            ("conflict", 409, 1),
            ("internal", 500, 1),
        ];
        for (code, status, exit) in cases {
            assert_eq!(refused(code, status).exit as u8, exit, "{code}");
        }
    }

    #[test]
    fn whoever_is_not_signed_in_is_told_how() {
        assert_eq!(refused("unauthenticated", 401).next.as_deref(), Some("sign in: stint login"));
    }

    #[test]
    fn the_brokers_own_next_step_comes_first() {
        let error = ApiError {
            code: "unauthenticated".into(),
            message: "ended".into(),
            next: Some("do this".into()),
        };
        let failure: Failure = ClientError::Refused { status: 401, error }.into();
        assert_eq!(failure.next.as_deref(), Some("do this"));
    }

    #[test]
    fn a_wrong_certificate_is_a_failed_verification_and_not_an_outage() {
        let error = ClientError::Untrusted { broker: "https://b".into(), cause: "pin".into() };
        assert_eq!(Failure::from(error).exit, Exit::Unverified);
    }
}
