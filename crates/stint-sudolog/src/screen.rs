//! What of a recording an onlooker's terminal may get.
//!
//! A recording holds what the recorded person's programs printed, and that person may have meant it for whoever plays it: a terminal
//! takes commands that set its title and clipboard, print, load fonts, or make it type an answer. Here only text, colours and the
//! movements of the cursor pass.

/// Reads bytes as they come, in pieces of any size.
#[derive(Debug, Default)]
pub struct Screen {
    state: State,
    /// The sequence so far.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte, such as the choice of a character set.
    EscapeMore,
    /// After ESC [.
    Control,
    /// In a string for the terminal itself; all of it is dropped.
    Word,
    /// In such a string, after ESC.
    WordEscape,
    /// In a character of several bytes, and how many are still to come.
    Wide(u8),
}

/// The longest sequence that is held.
const MAX_SEQUENCE: usize = 64;
/// The most digits of a number in one.
const MAX_DIGITS: usize = 4;
const ESC: u8 = 0x1b;
/// Ends of control sequences that move, erase, scroll and colour, and nothing more.
const HARMLESS: &[u8] = b"@ABCDEFGHIJKLMPSTXZ`abdefmrsu";
/// Modes that may be set: wrap, the cursor's visibility, the second screen, insertion.
const MODES: &[&[u8]] = &[b"?7", b"?25", b"?47", b"?1047", b"?1048", b"?1049", b"4"];

impl Screen {
    /// What passes of the next bytes.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.take(*byte, &mut out);
        }
        out
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.state = match self.state {
            State::Text => self.text(byte, out),
            State::Wide(left) if (0x80..0xc0).contains(&byte) => {
                self.held.push(byte);
                if left > 1 {
                    State::Wide(left - 1)
                } else {
                    self.let_wide_pass(out);
                    State::Text
                }
            }
            // Not the character that it began as: nothing of it is shown but that there was something.
            State::Wide(_) => {
                out.push(b'?');
                self.text(byte, out)
            }
            State::Escape => self.escape(byte, out),
            State::EscapeMore => {
                self.held.push(byte);
                match byte {
                    ESC => self.begin_escape(),
                    b' '..=b'/' if self.held.len() < MAX_SEQUENCE => State::EscapeMore,
                    b'0'..=b'~' => {
                        // The choice of a character set.
                        if self.held.len() == 3 && b"()".contains(&self.held[1]) && b"AB0".contains(&byte) {
                            out.extend(&self.held);
                        }
                        State::Text
                    }
                    _ => State::Text,
                }
            }
            State::Control => self.control(byte, out),
            State::Word => match byte {
                0x07 | 0x18 | 0x1a => State::Text,
                ESC => State::WordEscape,
                _ => State::Word,
            },
            State::WordEscape if byte == b'\\' => State::Text,
            State::WordEscape => {
                self.begin_escape();
                self.escape(byte, out)
            }
        };
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            ESC => self.begin_escape(),
            0x07..=0x0d | b' '..=b'~' => {
                out.push(byte);
                State::Text
            }
            0xc2..=0xf4 => {
                self.held = vec![byte];
                State::Wide(if byte < 0xe0 {
                    1
                } else if byte < 0xf0 {
                    2
                } else {
                    3
                })
            }
            // Other controls, and bytes that some terminals take for controls of eight bits.
            0..=0x1f | 0x7f => State::Text,
            _ => {
                out.push(b'?');
                State::Text
            }
        }
    }

    fn begin_escape(&mut self) -> State {
        self.held = vec![ESC];
        State::Escape
    }

    fn let_wide_pass(&mut self, out: &mut Vec<u8>) {
        match std::str::from_utf8(&self.held).ok().and_then(|text| text.chars().next()) {
            // The controls of eight bits, written as characters.
            Some(c) if c.is_control() => {}
            Some(_) => out.extend(&self.held),
            None => out.push(b'?'),
        }
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        self.held.push(byte);
        match byte {
            b'[' => State::Control,
            b']' | b'P' | b'X' | b'^' | b'_' => State::Word,
            ESC => self.begin_escape(),
            b' '..=b'/' => State::EscapeMore,
            // Save and restore the cursor, next line, up, tab stop, keypad.
            b'7' | b'8' | b'D' | b'E' | b'H' | b'M' | b'=' | b'>' => {
                out.extend(&self.held);
                State::Text
            }
            _ => State::Text,
        }
    }

    fn control(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        self.held.push(byte);
        match byte {
            ESC => self.begin_escape(),
            b' '..=b'?' if self.held.len() < MAX_SEQUENCE => State::Control,
            b'@'..=b'~' => {
                if is_harmless(&self.held[2..]) {
                    out.extend(&self.held);
                }
                State::Text
            }
            _ => State::Text,
        }
    }
}

/// Whether a control sequence, without ESC [, only draws, and no more than a screen holds: told to repeat, insert or scroll a thousand
/// million times, some terminals do.
fn is_harmless(sequence: &[u8]) -> bool {
    let Some((last, parameters)) = sequence.split_last() else { return false };
    let mut numbers = parameters.split(|b| b";:".contains(b));
    match last {
        b'h' | b'l' => MODES.contains(&parameters),
        last => {
            HARMLESS.contains(last)
                && numbers.all(|number| number.len() <= MAX_DIGITS && number.iter().all(u8::is_ascii_digit))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(bytes: &[u8]) -> String {
        String::from_utf8(Screen::default().pass(bytes)).expect("what passes is text")
    }

    #[test]
    fn text_colours_and_movements_pass() {
        for same in [
            "plain text\r\n\ttabs",
            "\x1b[1;31mred\x1b[0m",
            "\x1b[2J\x1b[H\x1b[?25l",
            "\x1b[?1049h\x1b[10;20H",
            "\x1b(0lqk\x1b(B",
            "\x1b7\x1b8",
            "-\x1b[79b\x1b[9999;1H\x1b[38:2:1:2:3m",
            "Grüße, 世界 🙂",
        ] {
            assert_eq!(passed(same.as_bytes()), same);
        }
    }

    #[test]
    fn what_would_drive_the_onlooker_s_terminal_does_not() {
        for (hostile, left) in [
            ("\x1b]0;title\x07ok", "ok"),
            ("\x1b]52;c;cm0gLXJmIC8=\x1b\\ok", "ok"),
            ("\x1bP+q544e\x1b\\ok", "ok"),
            ("\x1b_application\x1b\\\x1b^privacy\x1b\\\x1bXstart\x1b\\ok", "ok"),
            ("\x1b[6n\x1b[c\x1b[>c\x1b[21t\x1b[0xok", "ok"),
            ("\x1b[5i printed\x1b[4i", " printed"),
            ("\x1b[?1000h\x1b[?2004h\x1b[?1004hok", "ok"),
            ("\x1b[!pok\x1bc\x1bZ", "ok"),
            ("x\x1b[999999999b\x1b[2147483647Lok", "xok"),
            ("\x05\x0e\x0fok\x7f", "ok"),
            ("\u{9b}6n\u{9d}0;title\u{9c}", "6n0;title"),
            ("\x1b%Gok\x1b#8", "ok"),
            ("\x1b]0;never ended", ""),
            ("\x1b[1\x1b]0;x\x07ok", "ok"),
        ] {
            assert_eq!(passed(hostile.as_bytes()), left, "{hostile:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_seen_as_such() {
        assert_eq!(passed(b"a\x9bb\xff\xc3"), "a?b?");
        assert_eq!(passed(b"\xe2\x82x"), "?x");
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_are_cut(bytes in hostile(), cut in any::<prop::sample::Index>()) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut screen = Screen::default();
            let mut in_parts = screen.pass(first);
            in_parts.extend(screen.pass(second));
            prop_assert_eq!(in_parts, Screen::default().pass(&bytes));
        }

        #[test]
        fn what_passed_passes_again_unchanged(bytes in hostile()) {
            let once = Screen::default().pass(&bytes);
            prop_assert_eq!(Screen::default().pass(&once), once.clone());
            prop_assert!(String::from_utf8(once).is_ok());
        }
    }

    /// Bytes that are often part of a sequence.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let pieces: Vec<&'static [u8]> = vec![
            b"\x1b",
            b"[",
            b"]",
            b"P",
            b"\\",
            b"\x07",
            b"?25",
            b"h",
            b"6n",
            b"0;",
            b"m",
            b"(",
            b"0",
            b"\xc2\x9b",
            b"\xe2\x82\xac",
            b"\xf0",
            b"text",
            b"\n",
            b"\x18",
        ];
        let piece = prop_oneof![
            prop::sample::select(pieces).prop_map(<[u8]>::to_vec),
            any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }
}
