//! The terms of a grant: exactly what the host will enforce, as the requester asked for it and the reviewers signed it.
//!
//! Terms travel as the very text that was made once, inside the grant. Their digest is over that text, and the host enforces what
//! that text says. So nobody has to produce the same bytes twice, and nothing outside the text can add to a right.

use serde::Serialize;

use crate::codes::{CodeVerifier, MAX_CODES};
use crate::ids::{
    EntitlementName, Fingerprint, FleetName, GrantId, HostName, Principal, Sha256Hex, UserName,
};
use crate::record::{CommandRecord, RecordError};
use crate::rights::login::LOGOUT_SERVICES;
use crate::rights::{LoginRight, RightError, Rights};
use crate::strict::{self, document};
use crate::time::{Seconds, UnixTime};
use crate::words;

/// The largest terms, in bytes.
pub const MAX_TERMS_BYTES: usize = 64 * 1024;

/// The shortest idle limit. The kernel notes the use of a terminal to within 8 seconds.
pub const MIN_IDLE: Seconds = Seconds(10);

/// How long codes may be good at the most.
pub const LONGEST_SEALED: Seconds = Seconds(366 * 24 * 3600);

/// The last end that a window may have: 9999-12-30 00:00:00 UTC. Later ones cannot be written as a date (sudo's NOTAFTER).
const LAST_END: UnixTime = UnixTime(253_402_128_000);

document! {
    /// What is asked for, reviewed, and enforced.
    pub struct Terms {
        /// The document's format.
        pub format: u32,
        /// The fleet.
        pub fleet: FleetName,
        /// The request; the grant on each host has the same id. Made at random, so no two requests have equal terms.
        pub request: GrantId,
        /// The entitlement that was asked for.
        pub entitlement: EntitlementName,
        /// The hosts, each by its full name.
        pub hosts: Vec<HostName>,
        /// Who gets the right.
        pub principal: Principal,
        /// The local account that it is for.
        pub user: UserName,
        /// What kind of work it is.
        pub class: Class,
        /// Why.
        pub reason: String,
        /// The ticket, if there is one.
        pub ticket: Option<String>,
        /// What is allowed.
        pub rights: Rights,
        /// What is recorded of the commands that are run.
        pub record: CommandRecord,
        /// SSH keys that a login must have used; empty means any that the host accepts.
        pub credentials: Vec<Fingerprint>,
        /// The window may not begin before this.
        pub not_before: UnixTime,
        /// The window must begin at or before this.
        pub claim_by: UnixTime,
        /// The longest window, without extensions.
        pub max_window: Seconds,
        /// The most that all extensions together may add.
        pub max_extension: Seconds,
        /// The oldest news from the broker that the right survives.
        pub max_staleness: Seconds,
        /// End sessions that were idle for this long.
        pub idle_limit: Option<Seconds>,
        /// The first time that its last login closes, the right is over on that host, with time left or not.
        pub end_on_logout: bool,
        /// If there are any, the right is sealed: it permits nothing until one of these codes opens it on its one host, each of them once,
        /// for `max_window` and until `claim_by` at the latest. Then the age of the news does not count.
        pub codes: Vec<CodeVerifier>,
    }
}

/// What kind of work a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Planned work.
    Routine,
    /// Work on an incident.
    Incident,
    /// Sealed: opened on the host by a code, without anybody's word at that time; to be looked at afterwards.
    BreakGlass,
}
strict::word!(Class { Routine = "routine", Incident = "incident", BreakGlass = "break_glass" });

/// Why terms were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Not the text of terms.
    #[error("terms: {0}")]
    Malformed(String),
    /// A format that is not known.
    #[error("terms: format {0} is not known here: update stint on this host")]
    UnknownFormat(u32),
    /// A right is malformed.
    #[error("terms: {0}")]
    Right(#[from] RightError),
    /// The record that is asked for contradicts itself.
    #[error("terms: {0}")]
    Record(#[from] RecordError),
    /// No hosts, or one twice.
    #[error("terms: the hosts must be listed, each once")]
    Hosts,
    /// A reason that is missing, too long, or holds control, invisible or direction-changing characters.
    #[error(
        "terms: the reason must have 1 to 500 printable characters, the ticket 1 to 100; none that is invisible or turns the writing around"
    )]
    Reason,
    /// An idle limit that is shorter than what can be measured.
    #[error(
        "terms: an idle limit of less than {MIN_IDLE} cannot be kept: terminals tell their use that precisely only"
    )]
    Idle,
    /// An end by logout for a right that nobody logs in by.
    #[error(
        "terms: the right cannot end with the logout, since it allows no login by sshd or at the console"
    )]
    Logout,
    /// Break-glass codes that do not hold together with the rest.
    #[error("terms: {0}")]
    Codes(&'static str),
    /// A window of no length, one that cannot be claimed, or one that may end outside the calendar.
    #[error(
        "terms: the window has no length, must be claimed before it may begin, or lies outside the years 1970 to 9999"
    )]
    Window,
}

/// Terms that were parsed from their text and hold together, with the digest of that text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedTerms {
    terms: Terms,
    digest: Sha256Hex,
}

impl std::ops::Deref for CheckedTerms {
    type Target = Terms;
    fn deref(&self) -> &Terms {
        &self.terms
    }
}

impl CheckedTerms {
    /// Reads terms from their text, and checks all that can be checked without knowing the host.
    pub fn parse(text: &str) -> Result<Self, TermsError> {
        if text.len() > MAX_TERMS_BYTES {
            return Err(TermsError::Malformed(format!("longer than {MAX_TERMS_BYTES} bytes")));
        }
        let terms: Terms = serde_json::from_str(text).map_err(|e| TermsError::Malformed(e.to_string()))?;
        terms.check()?;
        Ok(Self { terms, digest: digest_of(text) })
    }
    /// SHA-256 of the text: what a review signs.
    pub fn digest(&self) -> &Sha256Hex {
        &self.digest
    }
}

/// SHA-256 of the text of some terms.
pub fn digest_of(text: &str) -> Sha256Hex {
    Sha256Hex::of(text.as_bytes())
}

impl Terms {
    /// The format that is written.
    pub const FORMAT: u32 = 1;

    /// The one text of these terms, made once when the request is made.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("terms are plain data")
    }

    /// Checks the rules that need no knowledge of the host.
    pub fn check(&self) -> Result<(), TermsError> {
        if self.format != Self::FORMAT {
            return Err(TermsError::UnknownFormat(self.format));
        }
        self.rights.check()?;
        self.record.check()?;
        let mut hosts = self.hosts.clone();
        hosts.sort();
        hosts.dedup();
        if hosts.is_empty() || hosts.len() != self.hosts.len() {
            return Err(TermsError::Hosts);
        }
        let printable =
            |s: &str, max: usize| (1..=max).contains(&s.chars().count()) && s.chars().all(words::is_plain);
        if !printable(&self.reason, 500) || self.ticket.as_deref().is_some_and(|t| !printable(t, 100)) {
            return Err(TermsError::Reason);
        }
        let last_end = self.claim_by.plus(self.max_window).plus(self.max_extension);
        let in_calendar = self.not_before >= UnixTime(0) && last_end <= LAST_END;
        if self.max_window.0 == 0 || self.claim_by < self.not_before || !in_calendar {
            return Err(TermsError::Window);
        }
        if self.idle_limit.is_some_and(|limit| limit < MIN_IDLE) {
            return Err(TermsError::Idle);
        }
        let logs_in =
            |login: &LoginRight| LOGOUT_SERVICES.iter().any(|service| login.covers_service(service));
        if self.end_on_logout && !self.rights.login.as_ref().is_some_and(logs_in) {
            return Err(TermsError::Logout);
        }
        self.mistake_in_codes().map_or(Ok(()), |mistake| Err(TermsError::Codes(mistake)))
    }

    /// Whether it permits nothing until a break-glass code opens it.
    pub fn is_sealed(&self) -> bool {
        !self.codes.is_empty()
    }

    fn mistake_in_codes(&self) -> Option<&'static str> {
        if self.is_sealed() != (self.class == Class::BreakGlass) {
            return Some("class break_glass goes with codes, and codes with class break_glass");
        }
        if !self.is_sealed() {
            return None;
        }
        let mut ids: Vec<_> = self.codes.iter().map(|code| &code.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let rules = [
            (self.codes.len() > MAX_CODES, "at most 16 codes"),
            (ids.len() != self.codes.len(), "two codes have the same id"),
            // A code that two hosts know could be used twice.
            (self.hosts.len() != 1, "codes are for exactly one host"),
            (self.max_extension.0 != 0, "a window that a code opens cannot be extended"),
            (self.end_on_logout, "a window that a code opens does not end with the logout"),
            (self.rights.account.is_some(), "codes are for an account that stands"),
            (self.claim_by.since(self.not_before) > LONGEST_SEALED, "codes are good for a year at most"),
        ];
        let broken = rules.iter().find(|(broken, _)| *broken).map(|(_, rule)| *rule);
        broken.or_else(|| self.codes.iter().find_map(CodeVerifier::mistake))
    }
}
