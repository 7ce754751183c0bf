//! What sudo-rs writes of a command that it runs: one line for syslog, in pieces where it is long. Of what it refuses it writes nothing.
//!
//! ```text
//! alice : TTY=/dev/pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/systemctl restart nginx.service
//! ```
//!
//! Folder, command and arguments are escaped, but not their spaces and semicolons: a folder may be called
//! `/tmp/x ; USER=root ; COMMAND=/usr/bin/true`. What can be read in two ways is not read at all ([`Line::Unclear`]). Arguments are joined
//! by spaces, so `a b` is not told from `'a b'`, as in sudo's own rules.

use std::collections::BTreeMap;

use stint_log::record::CommandLine;

use crate::command::{MAX_NAME_BYTES, MAX_PATH_BYTES, arguments, clipped};

const USER: &str = " ; USER=";
const COMMAND: &str = " ; COMMAND=";
/// How a piece ends that another one follows, and how that begins.
const GOES_ON: &str = " [...]";
const FOLLOWS: &str = "[...] ";
/// The most bytes of a line that is put together. What follows is read and not kept.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// The most lines that are put together at once.
const MAX_OPEN: usize = 1024;

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A command that runs.
    Command(Box<CommandLine>),
    /// It tells of a command, and not clearly of which.
    Unclear,
    /// Something else.
    Other,
}

/// Reads a line.
pub fn read(line: &str) -> Line {
    if !line.contains("COMMAND=") {
        return Line::Other;
    }
    parse(line).map_or(Line::Unclear, |what| Line::Command(Box::new(what)))
}

fn parse(line: &str) -> Option<CommandLine> {
    let (name, rest) = line.split_once(" : ")?;
    let (tty, rest) = match rest.strip_prefix("TTY=") {
        Some(rest) => {
            let (tty, rest) = rest.split_once(" ; PWD=")?;
            (Some(unescape(tty)?), rest)
        }
        None => (None, rest.strip_prefix(" PWD=")?),
    };
    let mut readings = rest.match_indices(USER).filter_map(|(at, _)| {
        let (user, command) = rest[at + USER.len()..].split_once(COMMAND)?;
        is_name(user).then_some((&rest[..at], user, command))
    });
    let (cwd, user, command) = readings.next()?;
    let clear = readings.next().is_none()
        && is_name(name)
        && tty.as_deref().is_none_or(|tty| !tty.contains([' ', ';']));
    if !clear {
        return None;
    }
    let argv: Vec<String> = command.split(' ').map(unescape).collect::<Option<_>>()?;
    let path = argv.first().filter(|path| !path.is_empty())?.clone();
    let argv: Vec<Vec<u8>> = argv.into_iter().map(String::into_bytes).collect();
    let (argv, argv_sha256) = arguments(&argv);
    Some(CommandLine {
        user: clipped(name.as_bytes(), MAX_NAME_BYTES),
        run_as: clipped(user.as_bytes(), MAX_NAME_BYTES),
        command: clipped(path.as_bytes(), MAX_PATH_BYTES),
        argv,
        argv_sha256,
        cwd: clipped(unescape(cwd)?.as_bytes(), MAX_PATH_BYTES),
        tty: tty.map(|tty| clipped(tty.as_bytes(), MAX_NAME_BYTES)),
    })
}

/// A name of an account, as far as it is not mistaken for anything else.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ';' | '='))
}

/// Takes back what `str::escape_default` does. `None` for what it never writes.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if !(' '..='~').contains(&c) {
            return None;
        }
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match chars.next()? {
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            quoted @ ('\'' | '"' | '\\') => quoted,
            'u' => {
                let (hex, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                chars = rest.chars();
                char::from_u32(u32::from_str_radix(hex, 16).ok()?)?
            }
            _ => return None,
        });
    }
    Some(plain)
}

/// Puts pieces together, for each process by itself.
#[derive(Debug, Default)]
pub struct Pieces(BTreeMap<u32, String>);

impl Pieces {
    /// What a process wrote next. The lines that are whole with it.
    pub fn put(&mut self, pid: u32, piece: &str) -> Vec<String> {
        let mut whole = Vec::new();
        let begun = self.0.remove(&pid);
        let line = match (begun, piece.strip_prefix(FOLLOWS)) {
            (Some(mut begun), Some(more)) => {
                let room = MAX_LINE_BYTES.saturating_sub(begun.len());
                begun.push_str(&more[..more.floor_char_boundary(room)]);
                begun
            }
            (begun, _) => {
                // What looks like a piece of something else is looked at by itself, and what was begun stays without its end.
                whole.extend(begun.map(|begun| begun + GOES_ON));
                piece.to_owned()
            }
        };
        match line.strip_suffix(GOES_ON) {
            Some(begun) if self.0.len() < MAX_OPEN => {
                self.0.insert(pid, begun.to_owned());
            }
            _ => whole.push(line),
        }
        whole
    }

    /// What a process began, if nothing more is waited for.
    pub fn close(&mut self, pid: u32) -> Option<String> {
        self.0.remove(&pid).map(|begun| begun + GOES_ON)
    }
}

#[cfg(test)]
mod tests;
