//! Strings from a log, made safe to show on a terminal.

use std::fmt;

/// Shows `text` so that it cannot move the cursor, change colours, reverse the reading order or hide itself.
///
/// Control characters, characters without width and those that change direction come out as `\u{..}`, and a backslash
/// is doubled, so that what is shown has one meaning. Everything else stays as it is.
pub fn display_safe(text: &str) -> DisplaySafe<'_> {
    DisplaySafe(text)
}

/// What [`display_safe`] returns; write it with `{}`.
#[derive(Debug, Clone, Copy)]
pub struct DisplaySafe<'a>(&'a str);

impl fmt::Display for DisplaySafe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            c if is_unsafe(c) => write!(f, "{}", c.escape_unicode()),
            c => f.write_char(c),
        })
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_in_any_script_stays() {
        for text in ["OPS-12 certificate rollover", "Grüße, 世界", "a b"] {
            assert_eq!(display_safe(text).to_string(), text);
        }
    }

    #[test]
    fn a_terminal_escape_loses_its_power() {
        assert_eq!(display_safe("a\x1b[2Jb\r\n").to_string(), "a\\u{1b}[2Jb\\u{d}\\u{a}");
        assert_eq!(display_safe("\u{9b}31m\x7f").to_string(), "\\u{9b}31m\\u{7f}");
    }

    #[test]
    fn reversed_and_hidden_text_shows() {
        assert_eq!(
            display_safe("\u{202e}toor\u{200b}\u{e0041}").to_string(),
            "\\u{202e}toor\\u{200b}\\u{e0041}"
        );
    }

    #[test]
    fn an_escape_that_was_typed_differs_from_one_that_was_made() {
        assert_eq!(display_safe(r"\u{1b}").to_string(), r"\\u{1b}");
    }
}
