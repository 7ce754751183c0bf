//! The words for people, made in one place from the data.

use crate::decision::{Denial, How, Permit};

/// The most characters of a text from outside that one message shows.
const MAX_SHOWN: usize = 300;

/// Whether a character is what it looks like: neither a control character nor invisible, and it turns no writing around.
///
/// Invisible are Unicode's default ignorable characters; those that turn the writing around are the bidirectional controls; line and
/// paragraph separators end a line in some viewers.
pub fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Escapes what a terminal would take for a command and what a reader would not see, so that no text from outside can drive the one
/// or deceive the other.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if is_plain(c) { vec![c] } else { c.escape_default().collect() }).collect()
}

/// As [`printable`], and short: a message has room for one line.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => printable(&text[..end]) + " ...",
        None => printable(text),
    }
}

impl Denial {
    /// One short word for logs and records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoGrant => "no-grant",
            Self::Ended { .. } => "ended",
            Self::Refused { .. } => "refused-by-host",
            Self::NotYet { .. } => "not-yet",
            Self::NotCovered { .. } => "not-covered",
            Self::Origin { .. } => "origin",
            Self::Credential { .. } => "credential",
            Self::Stale { .. } => "stale",
            Self::Sealed { .. } => "sealed",
            Self::Locked { .. } => "locked",
            Self::Gate(_) => "gate",
        }
    }
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoGrant => write!(f, "you have no grant on this host. Ask for one: stint request create"),
            Self::Ended { grant, how, at } => {
                let how = match how {
                    How::Expired => "ended".to_owned(),
                    How::Ended => "was given back".to_owned(),
                    How::Revoked { by: Some(by) } => format!("was revoked by {}", shown(by)),
                    How::Revoked { by: None } => "was revoked".to_owned(),
                    How::OnHost => "was ended on this host".to_owned(),
                };
                write!(f, "your grant {grant} {how} at {at}. Ask for a new one: stint request create")
            }
            Self::Refused { grant, cause } => {
                write!(f, "this host refused your grant {grant}: {}. Tell its administrator", shown(cause))
            }
            Self::NotYet { grant, from } => write!(f, "your grant {grant} begins at {from}"),
            Self::NotCovered { grant, wanted } => {
                write!(
                    f,
                    "your grant {grant} does not cover {}. Ask for one that does: stint request create",
                    shown(wanted)
                )
            }
            Self::Origin { grant, origin: Some(ip) } => {
                write!(f, "your grant {grant} does not allow logins from {ip}")
            }
            Self::Origin { grant, origin: None } => {
                write!(
                    f,
                    "your grant {grant} allows logins from listed networks only, and this one's origin is not known"
                )
            }
            Self::Credential { grant } => {
                write!(
                    f,
                    "your grant {grant} names other SSH keys than the one that you used. Log in with a key that it names"
                )
            }
            Self::Stale { age, limit } => write!(
                f,
                "this host last heard from its broker {age} ago, more than the {limit} that are allowed. Its administrator must restore the connection"
            ),
            Self::Sealed { grant } => write!(
                f,
                "your grant {grant} is sealed: a break-glass code opens it. You are asked for one where you can answer: \
                 ssh -o PreferredAuthentications=keyboard-interactive, with your password first"
            ),
            Self::Locked { reason, lock } => {
                write!(f, "locked: {} (lock {lock}). Ask your security team", shown(reason))
            }
            Self::Gate(cause) => write!(f, "{}", shown(cause)),
        }
    }
}

/// What a session says when it opens: `access until 14:40 UTC (40 min), grant ...`.
pub fn welcome(permit: &Permit) -> String {
    let until = permit
        .until()
        .to_timestamp()
        .map_or_else(|| permit.until().to_string(), |t| t.strftime("%H:%M UTC").to_string());
    let names: Vec<_> = permit.grants.iter().map(|g| format!("{} {}", g.entitlement, g.id)).collect();
    format!("stint: access until {until} ({}): {}", permit.remaining(), names.join(", "))
}
