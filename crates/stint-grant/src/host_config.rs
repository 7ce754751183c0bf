//! `/etc/stint/host.toml`: who is managed, what is gated, and the host's own ceiling. Root's file; the broker never changes it.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::ids::{GroupName, Sha256Hex, UserName};
use crate::record::RecordLevel;
use crate::residue::Residue;
use crate::rights::{Command, SudoRule};
use crate::time::Seconds;

/// The largest `host.toml`, in bytes.
pub const MAX_HOST_CONFIG_BYTES: usize = 64 * 1024;

/// The PAM services that are gated unless `host.toml` says otherwise.
pub const DEFAULT_SERVICES: &[&str] =
    &["sshd", "login", "su", "su-l", "sudo", "sudo-i", "doas", "cron", "atd", "polkit-1", "systemd-run0"];

/// All of `host.toml`. Every part has a default, and the defaults are the strict ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// Who is managed, and where.
    pub managed: Managed,
    /// How long the host waits, and how old news may be.
    pub limits: Limits,
    /// What no grant may exceed.
    pub ceiling: Ceiling,
    /// What is done about the things that a grant leaves behind.
    pub residue: Residue,
}

/// Who is managed, and where.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Managed {
    /// Accounts from this uid up are managed. Never 0.
    pub first_uid: u32,
    /// Accounts that are not managed.
    pub exempt_uids: Vec<u32>,
    /// The break-glass account: exempt, and every use of it is recorded.
    pub break_glass_uid: Option<u32>,
    /// The PAM services that are gated.
    pub services: Vec<String>,
    /// Accounts that are gated for some services only (a standing login, sudo by grant).
    pub only: Vec<OnlyServices>,
    /// Whether root may log in over the network without a grant.
    pub remote_root: bool,
}

/// An account that is gated for some services only.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlyServices {
    /// The account.
    pub uid: u32,
    /// Where it is gated.
    pub services: Vec<String>,
}

/// How long the host waits, and how old news may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The oldest news from the broker with which a grant still holds.
    #[serde(deserialize_with = "duration")]
    pub staleness: Seconds,
    /// How long a session waits for the warden, in milliseconds.
    pub register_timeout_ms: u32,
    /// Whether cgroup2 is mounted with `favordynmods` while the gate is in PAM, so that each sudo is moved to its group in 0.2 ms.
    pub fast_moves: bool,
}

/// What no grant may exceed, whatever the broker says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ceiling {
    /// The longest window, extensions included.
    #[serde(deserialize_with = "duration")]
    pub max_window: Seconds,
    /// Whether full root may be granted at all.
    pub full_root: bool,
    /// The least record of commands that a grant with sudo rules must ask for.
    pub record: RecordLevel,
    /// How many signed reviews each kind of right needs.
    pub reviews: ReviewsNeeded,
    /// Whether grants may be sealed with break-glass codes.
    pub break_glass: BreakGlass,
    /// Accounts that no grant may be for, nor run commands as.
    pub forbidden_accounts: Vec<UserName>,
    /// If it is written, the only groups that a grant may give.
    pub allowed_groups: Option<Vec<GroupName>>,
    /// Groups that no grant may give.
    pub forbidden_groups: Vec<GroupName>,
    /// Whether accounts may be made, and with which numbers.
    pub accounts: Accounts,
    /// Exact logins and commands that need no review.
    pub unreviewed: Vec<Unreviewed>,
}

/// Grants that are sealed: a one-time code opens them on this host, with the broker gone and with news of any age.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakGlass {
    /// Whether any is taken on this host.
    pub codes: bool,
    /// The longest window that a code may open.
    #[serde(deserialize_with = "duration")]
    pub max_window: Seconds,
    /// How long before its end a grant may be sealed: so old may a code be, and so long may a revocation not have reached this host.
    #[serde(deserialize_with = "duration")]
    pub max_age: Seconds,
    /// The fewest signed reviews, whatever the rights need by themselves.
    pub reviews: u32,
}

/// What a host that takes no codes says of a sealed grant.
pub const NO_CODES: &str = "it is sealed with break-glass codes, and this host's ceiling allows none";

/// Accounts that exist for a window only.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Accounts {
    /// Whether any may be made on this host.
    pub allowed: bool,
    /// The first number that they may have.
    pub first_uid: u32,
    /// The last number that they may have. No number is used twice.
    pub last_uid: u32,
}

/// How many signed reviews each kind of right needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewsNeeded {
    /// A login.
    pub login: u32,
    /// An exact sudo command.
    pub sudo: u32,
    /// Full root.
    pub root: u32,
    /// A group.
    pub group: u32,
    /// An account that is made for the window.
    pub account: u32,
}

/// A right that needs no review: a login by an account, one exact sudo rule, or some groups.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreviewed {
    /// The account that it is for.
    pub user: UserName,
    /// The login of that account.
    #[serde(default)]
    pub login: bool,
    /// One exact sudo rule, written as in a grant. TOML has no null, so a rule without a digest leaves it out.
    #[serde(default, deserialize_with = "exact_rule")]
    pub sudo: Option<SudoRule>,
    /// Groups, each by its name.
    #[serde(default)]
    pub groups: Vec<GroupName>,
}

impl Default for Managed {
    fn default() -> Self {
        Self {
            first_uid: 1000,
            exempt_uids: Vec::new(),
            break_glass_uid: None,
            services: DEFAULT_SERVICES.iter().map(|s| (*s).to_owned()).collect(),
            only: Vec::new(),
            remote_root: false,
        }
    }
}
impl Default for Limits {
    fn default() -> Self {
        Self { staleness: Seconds(15 * 60), register_timeout_ms: 500, fast_moves: true }
    }
}
impl Default for Ceiling {
    fn default() -> Self {
        Self {
            max_window: Seconds(8 * 3600),
            full_root: false,
            record: RecordLevel::None,
            reviews: ReviewsNeeded::default(),
            break_glass: BreakGlass::default(),
            forbidden_accounts: Vec::new(),
            allowed_groups: None,
            forbidden_groups: Vec::new(),
            accounts: Accounts::default(),
            unreviewed: Vec::new(),
        }
    }
}
impl Default for BreakGlass {
    fn default() -> Self {
        Self { codes: false, max_window: Seconds(3600), max_age: Seconds(90 * 24 * 3600), reviews: 1 }
    }
}
impl Default for Accounts {
    fn default() -> Self {
        // Below 60000, where useradd's own range ends and systemd's begin.
        Self { allowed: false, first_uid: 50_000, last_uid: 59_999 }
    }
}
impl Default for ReviewsNeeded {
    fn default() -> Self {
        Self { login: 1, sudo: 1, root: 1, group: 1, account: 1 }
    }
}

/// What is wrong with `host.toml`, with the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfigError {
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, and what to write.
    pub message: String,
}

impl fmt::Display for HostConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "host.toml, line {line}: {}", self.message),
            None => write!(f, "host.toml: {}", self.message),
        }
    }
}
impl std::error::Error for HostConfigError {}

impl HostConfig {
    /// Reads `host.toml`.
    pub fn parse(text: &str) -> Result<Self, HostConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| HostConfigError {
            line: e.span().map(|span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1),
            message: e.message().to_owned(),
        })?;
        match config.mistake() {
            Some(message) => Err(HostConfigError { line: None, message }),
            None => Ok(config),
        }
    }

    /// What each value may be, but not all of them together.
    fn mistake(&self) -> Option<String> {
        if self.managed.first_uid == 0 {
            return Some("managed.first_uid must be at least 1".to_owned());
        }
        let mut uids: Vec<u32> = self.managed.only.iter().map(|only| only.uid).collect();
        uids.sort_unstable();
        if let Some([uid, _]) = uids.array_windows().find(|[one, next]| one == next) {
            return Some(format!("managed.only names uid {uid} twice: list its services in one place"));
        }
        if !(10..=60_000).contains(&self.limits.register_timeout_ms) {
            return Some("limits.register_timeout_ms must be between 10 and 60000".to_owned());
        }
        if let Some(message) = self.residue.mistake() {
            return Some(message);
        }
        if let Some(mistake) = self.mistake_in_accounts() {
            return Some(mistake);
        }
        let idle =
            self.ceiling.unreviewed.iter().find(|u| !u.login && u.sudo.is_none() && u.groups.is_empty())?;
        Some(format!(
            "ceiling.unreviewed for {} frees nothing: add `login = true`, a `sudo` rule or `groups`",
            idle.user
        ))
    }

    /// An account that is made for a window must be a managed one.
    fn mistake_in_accounts(&self) -> Option<String> {
        let Accounts { allowed, first_uid, last_uid } = self.ceiling.accounts;
        let range = first_uid..=last_uid;
        // Where none is made, the range that nobody wrote may not keep the host from being managed otherwise.
        let managed = if allowed { self.managed.first_uid } else { 0 };
        if range.is_empty() || first_uid < managed.max(1000) || last_uid >= 60_000 {
            return Some(
                "ceiling.accounts: first_uid and last_uid must be managed numbers from 1000 up, below 60000"
                    .to_owned(),
            );
        }
        if !allowed {
            return None;
        }
        let only = self.managed.only.iter().map(|only| only.uid);
        let spared = self.managed.exempt_uids.iter().copied().chain(self.managed.break_glass_uid).chain(only);
        let spared = spared.into_iter().find(|uid| range.contains(uid))?;
        Some(format!("ceiling.accounts: uid {spared} is in its range, and is not managed like the others"))
    }

    /// Whether logins and commands of an account through a PAM service need a grant.
    pub fn gates(&self, uid: u32, service: &str) -> bool {
        self.is_managed(uid) && {
            let only = self.managed.only.iter().find(|o| o.uid == uid);
            only.map_or(&self.managed.services, |o| &o.services).iter().any(|s| s == service)
        }
    }
    /// Whether an account is managed at all.
    pub fn is_managed(&self, uid: u32) -> bool {
        // 65534 is nobody: no person logs in as it.
        uid >= self.managed.first_uid
            && uid != 65534
            && !self.managed.exempt_uids.contains(&uid)
            && self.managed.break_glass_uid != Some(uid)
    }
}

/// A rule of `ceiling.unreviewed`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExactRule {
    run_as: UserName,
    command: Command,
    digest: Option<Sha256Hex>,
    noexec: bool,
}

/// Only an exact command may come without a review: a rule that lets the caller choose is refused here.
fn exact_rule<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SudoRule>, D::Error> {
    use serde::de::Error;
    let ExactRule { run_as, command, digest, noexec } = ExactRule::deserialize(deserializer)?;
    let rule = SudoRule { run_as, command, digest, noexec };
    rule.check().map_err(D::Error::custom)?;
    if !rule.is_exact() {
        return Err(D::Error::custom(
            "only an exact command may come without a review: name a program and `arguments = { exact = [...] }`",
        ));
    }
    Ok(Some(rule))
}

/// `"15m"`, `"8h"`, `"1h 30m"`: a positive length of time in whole seconds.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

/// Reads a length of time as people write it: `"90s"`, `"15m"`, `"1h 30m"`, `"2d"`.
pub fn parse_duration(text: &str) -> Result<Seconds, String> {
    let wrong =
        || format!("{text:?} is not a length of time: write for instance \"15m\", \"1h 30m\" or \"8h\"");
    // Whole numbers, each with its unit, the largest unit first: "1:30", "0.5h" or "90" could be read in two ways.
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let after = after.trim_start_matches(' ');
        let (unit, after) =
            after.split_at(after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len()));
        let length = seconds_in(unit).filter(|length| *length < smallest).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        total = number.checked_mul(length).and_then(|n| total.checked_add(n)).ok_or_else(wrong)?;
        smallest = length;
        rest = after.trim_start_matches(' ');
    }
    if total == 0 { Err(wrong()) } else { Ok(Seconds(total)) }
}

fn seconds_in(unit: &str) -> Option<u64> {
    match unit {
        "s" | "sec" | "second" | "seconds" => Some(1),
        "m" | "min" | "minute" | "minutes" => Some(60),
        "h" | "hour" | "hours" => Some(3600),
        "d" | "day" | "days" => Some(86_400),
        _ => None,
    }
}
