//! What comes out: text for people, or JSON for programs.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::show::safe;

/// For whom the output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables and sentences for people.
    #[default]
    Text,
    /// One JSON document on standard output; errors as one JSON object on standard error.
    Json,
}

/// Writes to standard output. A reader that went away (`| head`) is no failure.
pub(crate) fn write(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{newline}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Refused, format!("standard output cannot be written: {e}")))
        }
        _ => Ok(()),
    }
}

/// Shows a value: as JSON, or in the words that `text` makes of it.
pub(crate) fn show<T: Serialize + ?Sized>(
    output: Output,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Outcome {
    match output {
        Output::Text => write(&text(value)),
        Output::Json => {
            let json = serde_json::to_string_pretty(value).map_err(|e| {
                Failure::new(Exit::Refused, format!("the answer cannot be written as JSON: {e}"))
            })?;
            write(&json)
        }
    }
}

/// A line for people beside the output proper, on standard error.
pub(crate) fn note(text: &str) {
    // Nobody reads it: nothing to do about that.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Shows why a command failed.
pub(crate) fn failure(output: Output, failure: &Failure) {
    note(&match output {
        Output::Text => in_words(failure),
        Output::Json => serde_json::json!({
            "error": failure.exit.word(),
            "exit": failure.exit as u8,
            "message": failure.message,
            "next": failure.next,
        })
        .to_string(),
    });
}

fn in_words(failure: &Failure) -> String {
    let mut text = format!("stint: {}", lines(&failure.message));
    if let Some(next) = &failure.next {
        text = format!("{text}\n  next: {}", lines(next));
    }
    text
}

/// Text from outside may have lines; nothing else in it moves the cursor.
fn lines(text: &str) -> String {
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
}

/// A line that changes while one waits: overwritten on a terminal, one after the other elsewhere.
pub(crate) struct LiveLine {
    silent: bool,
    terminal: bool,
    last: String,
}

impl LiveLine {
    /// A line for people; programs are told the end only.
    pub(crate) fn new(output: Output) -> Self {
        let silent = output == Output::Json;
        Self { silent, terminal: std::io::stderr().is_terminal(), last: String::new() }
    }
    /// Shows `text` if it is news.
    pub(crate) fn set(&mut self, text: &str) {
        if self.silent || text == self.last {
            return;
        }
        let mut err = std::io::stderr().lock();
        let _ = if self.terminal { write!(err, "\r\x1b[K{text}") } else { writeln!(err, "{text}") };
        let _ = err.flush();
        text.clone_into(&mut self.last);
    }
    /// Leaves the line as it stands and goes on below it.
    pub(crate) fn done(self) {
        if self.terminal && !self.last.is_empty() {
            note("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_happened_and_the_next_step() {
        let failure = Failure::new(Exit::NotSignedIn, "nobody is signed in").next("sign in: stint login");
        assert_eq!(in_words(&failure), "stint: nobody is signed in\n  next: sign in: stint login");
    }

    #[test]
    fn a_message_from_outside_cannot_drive_the_terminal() {
        let failure = Failure::new(Exit::Refused, "first\nsecond\x1b[2J");
        assert_eq!(in_words(&failure), "stint: first\nsecond\\u{1b}[2J");
    }
}
