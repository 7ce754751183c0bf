//! The text of a drop-in. Pure; the rules are sudoers' own, tried against the real tools.
//!
//! sudo compares a command's arguments as one text, joined by single spaces, with `fnmatch`. So an exact list of arguments is
//! written as a pattern in which every special character is escaped, twice over: once for the reader of the file, once for
//! `fnmatch`. That also means that sudo does not tell `a b` from `'a b'`.

use stint_grant::ids::{GrantId, UserName};
use stint_grant::record::{CommandRecord, RecordLevel};
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, SudoRule};
use stint_grant::time::UnixTime;

use crate::warden::sudo_log::RECEIVER;

/// Ours sort last: in sudoers the last match wins. No dot: sudo ignores files with one.
const PREFIX: &str = "zz-stint-";
/// How each begins.
const FIRST_WORDS: &str = "# Made by stint for grant ";

/// Whose sudoers it is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The original's.
    #[default]
    Sudo,
    /// sudo-rs's: without an end of its own, without digests, and with arguments that are compared one by one. It ends because the
    /// warden removes it, and because PAM denies: see [`super`].
    SudoRs,
}

/// What sudo-rs reads as one command, at most, with its arguments.
const MAX_COMMAND_RS: usize = 1000;

/// What one drop-in is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DropIn<'a> {
    /// The grant.
    pub(super) grant: &'a GrantId,
    /// Whose.
    pub(super) user: &'a UserName,
    /// When it ends.
    pub(super) until: UnixTime,
    /// What may be run. Not empty.
    pub(super) rules: &'a [SudoRule],
    /// What is recorded.
    pub(super) record: CommandRecord,
}

/// One of sudo's settings, for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// Where the record goes.
    Server,
    /// How long sudo waits for it: the warden answers within milliseconds.
    Timeout,
    /// On or off.
    Flag(&'static str, bool),
}

/// In seconds.
pub(super) const SERVER_TIMEOUT: u32 = 3;

impl Setting {
    fn word(&self) -> String {
        match self {
            Self::Server => format!("log_servers=\"{RECEIVER}\""),
            Self::Timeout => format!("log_server_timeout={SERVER_TIMEOUT}"),
            Self::Flag(name, true) => (*name).to_owned(),
            Self::Flag(name, false) => format!("!{name}"),
        }
    }
}

/// Why a drop-in cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RenderError {
    /// The end has no date.
    #[error("its end is outside the calendar")]
    Calendar,
    /// Not a plain absolute path.
    #[error("command {0:?} is not a plain absolute path")]
    Path(String),
    /// A control character.
    #[error("argument {0:?} holds a control character")]
    Control(String),
    /// sudo-rs has no such thing, or would read it as something else.
    #[error("sudo-rs cannot be told {what}: {text:?}")]
    NotInSudoRs {
        /// What.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// sudo joins arguments with spaces: one empty argument looks like none.
    #[error("{0}: a single empty argument cannot be told from no argument in sudoers")]
    LoneEmpty(String),
}

impl DropIn<'_> {
    /// Its name in the folder.
    pub(super) fn file_name(&self) -> String {
        file_name(self.grant)
    }

    /// Its text.
    pub(super) fn render(&self, dialect: Dialect) -> Result<String, RenderError> {
        let end = match dialect {
            Dialect::Sudo => format!("NOTAFTER={} ", self.not_after()?),
            Dialect::SudoRs => String::new(),
        };
        // Two grants of one user repeat this line word for word, which is no conflict.
        let mut lines = vec![format!(
            "{FIRST_WORDS}{}. It is made anew when it is changed, and removed at the end.\n\
             Defaults:{} use_pty, timestamp_timeout=0, timestamp_type=tty, !setenv\n",
            self.grant, self.user
        )];
        // sudo-rs knows none of these: that it need not is checked with its tools.
        let recording = if dialect == Dialect::Sudo { self.recording() } else { Vec::new() };
        if !recording.is_empty() {
            let words: Vec<_> = recording.iter().map(Setting::word).collect();
            lines.push(format!("Defaults:{} {}\n", self.user, words.join(", ")));
        }
        for rule in self.rules {
            let noexec = if rule.noexec { " NOEXEC:" } else { "" };
            if let Some(digest) = rule.digest.as_ref().filter(|_| dialect == Dialect::SudoRs) {
                return Err(RenderError::NotInSudoRs { what: "a digest", text: digest.to_string() });
            }
            let digest = rule.digest.as_ref().map(|d| format!(" sha256:{d}")).unwrap_or_default();
            // ALL implies SETENV, so the tag takes it back. One user specification a line: NOTAFTER does not
            // pass a colon.
            let (user, run_as, command) = (self.user, &rule.run_as, command(rule, dialect)?);
            lines.push(format!(
                "{user} ALL = ({run_as}) {end}NOPASSWD: NOSETENV:{noexec}{digest} {command}\n"
            ));
        }
        Ok(lines.concat())
    }

    /// What makes sudo record. sudo keeps settings for a user, not for a rule, so two grants of one user must not contradict each other:
    /// each only adds to what is recorded, and none takes anything away.
    pub(super) fn recording(&self) -> Vec<Setting> {
        let CommandRecord { level, input, subcommands, fail_closed } = self.record;
        if level == RecordLevel::None {
            return Vec::new();
        }
        let more = [
            (fail_closed, &[Setting::Flag("ignore_logfile_errors", false)][..]),
            (subcommands, &[Setting::Flag("log_subcmds", true)]),
            (
                level == RecordLevel::Io,
                &[Setting::Flag("ignore_iolog_errors", false), Setting::Flag("log_output", true)],
            ),
            // sudo hides what is typed at what looks to it like a question for a password.
            (input, &[Setting::Flag("log_input", true), Setting::Flag("log_passwords", false)]),
        ];
        let more =
            more.into_iter().filter(|(asked, _)| *asked).flat_map(|(_, settings)| settings.iter().copied());
        [Setting::Server, Setting::Timeout].into_iter().chain(more).collect()
    }

    /// The last second in which sudo allows it: it compares inclusively. Always with `Z`, else the caller's TZ shifts it.
    pub(super) fn not_after(&self) -> Result<String, RenderError> {
        let last = UnixTime(self.until.0.saturating_sub(1)).to_timestamp().ok_or(RenderError::Calendar)?;
        let text = last.strftime("%Y%m%d%H%M%SZ").to_string();
        if text.len() == 15 { Ok(text) } else { Err(RenderError::Calendar) }
    }
}

/// The name of a grant's drop-in.
pub(super) fn file_name(grant: &GrantId) -> String {
    format!("{PREFIX}{grant}")
}

/// Whether a text begins as all of ours do.
pub(crate) fn is_our_text(text: &[u8]) -> bool {
    text.starts_with(FIRST_WORDS.as_bytes())
}

/// The grant that a file of the folder belongs to, if the name is one of ours.
pub(super) fn grant_of(file_name: &str) -> Option<GrantId> {
    GrantId::new(file_name.strip_prefix(PREFIX)?).ok()
}

/// Whether a file of the folder is one that we were about to put into place.
pub(super) fn is_temporary(file_name: &str) -> bool {
    file_name.strip_prefix('.').is_some_and(|rest| rest.starts_with(PREFIX))
}

/// The name of the temporary file for a drop-in: sudo ignores it for its dot.
pub(super) fn temporary_name(file_name: &str) -> String {
    format!(".{file_name}")
}

fn command(rule: &SudoRule, dialect: Dialect) -> Result<String, RenderError> {
    let Program { path, arguments } = match &rule.command {
        Command::All => return Ok("ALL".to_owned()),
        Command::Program(program) => program,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-@".contains(c);
    if !path.starts_with('/') || !path.chars().all(plain) {
        return Err(RenderError::Path(path.clone()));
    }
    match arguments {
        Arguments::Any => Ok(path.clone()),
        Arguments::Exact(list) if list.is_empty() => Ok(format!("{path} \"\"")),
        Arguments::Exact(list) if dialect == Dialect::SudoRs => {
            let words = list.iter().map(|word| word_rs(word)).collect::<Result<Vec<_>, _>>()?;
            let text = format!("{path} {}", words.join(" "));
            if text.len() > MAX_COMMAND_RS {
                return Err(RenderError::NotInSudoRs { what: "so long a command", text: path.clone() });
            }
            Ok(text)
        }
        Arguments::Exact(list) => {
            if let Some(bad) = list.iter().find(|a| a.chars().any(char::is_control)) {
                return Err(RenderError::Control(bad.clone()));
            }
            let joined = list.join(" ");
            if joined.is_empty() {
                return Err(RenderError::LoneEmpty(path.clone()));
            }
            // Only an escaped space counts where an argument is empty: a bare one is taken together with the next.
            let one_text = list.iter().any(String::is_empty);
            let words = || list.iter().map(|word| escape(word)).collect::<Vec<_>>().join(" ");
            Ok(format!("{path} {}", if one_text { escape(&joined) } else { words() }))
        }
    }
}

/// One argument for sudo-rs, which splits at spaces after it has taken escapes away, and has words of its own at the end of a list: only
/// what means itself is written.
fn word_rs(word: &str) -> Result<String, RenderError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-@%,:=".contains(c);
    if word.is_empty() || !word.chars().all(plain) {
        return Err(RenderError::NotInSudoRs { what: "this argument", text: word.to_owned() });
    }
    let escaped = |c: char| if ",:=".contains(c) { format!("\\{c}") } else { c.to_string() };
    Ok(word.chars().map(escaped).collect())
}

/// Writes a text so that sudo, having read and matched it, means exactly that text.
fn escape(text: &str) -> String {
    // These two have another meaning however they are escaped, so they are written as a set of one character:
    // `""` is "no arguments", and a space at the end is dropped.
    if text == "\"\"" {
        return "[\"]\"".to_owned();
    }
    let (body, last_space) = match text.strip_suffix(' ') {
        Some(body) => (body, "[\\ ]"),
        None => (text, ""),
    };
    let mut out = String::with_capacity(text.len() + 16);
    for (i, c) in body.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\\\\\"),
            // A caret at the beginning would begin a regular expression.
            '^' if i == 0 => out.push_str("\\^"),
            ',' | ':' | '=' | '#' | ' ' | '*' | '?' | '[' | ']' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out + last_space
}

/// The text that a pattern means, if it means exactly one.
pub(super) fn meaning(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = &rest[escaped.len_utf8()..];
                out.push(escaped);
            }
            '[' => {
                let one = rest.chars().next().filter(|c| !matches!(c, '!' | '^' | ']' | '\\'))?;
                rest = rest[one.len_utf8()..].strip_prefix(']')?;
                out.push(one);
            }
            '*' | '?' => return None,
            '^' if out.is_empty() => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
pub(super) mod tests;
