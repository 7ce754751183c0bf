//! A recording as it is shown again: what to wait, and what to print. Whoever plays it does both.

use std::fmt::Write as _;
use std::time::Duration;

use stint_log::text::display_safe;

use crate::recording::{Recording, Stream};
use crate::screen::Screen;

/// Longer pauses are cut to this: nobody waits through somebody's lunch.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Colours off, the first screen and all of it, lines that wrap, no insertion, the cursor seen, the keypad as usual: whatever a recording
/// left behind on a terminal. The cursor stays where it is, though to set all of the screen would move it.
pub const RESTORE: &[u8] = b"\x1b[0m\x1b[?1049l\x1b7\x1b[r\x1b8\x1b[4l\x1b[?7h\x1b[?25h\x1b>\x1b(B\r\n";
/// What to say after a recording that is not whole.
pub const NOT_WHOLE: &str = "this recording does not go to the command's end: it printed more than may be recorded, or what records was \
                             stopped before";

/// For whom it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A terminal: text, colours and movements of the cursor pass, and nothing else that a terminal obeys.
    Screen,
    /// A file or a pipe: text. What a terminal would obey, and what a reader would not see, is escaped.
    Text,
    /// The very bytes. They can drive the terminal that gets them.
    Raw,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// First wait so long.
    pub pause: Duration,
    /// Then print this.
    pub bytes: Vec<u8>,
}

/// Everything that was printed, in order. Pauses are divided by `speed`, which is above zero.
pub fn steps(recording: &Recording, look: Look, speed: f64) -> impl Iterator<Item = Step> + '_ {
    let (mut screen, mut text, mut last) = (Screen::default(), Text::default(), Duration::ZERO);
    let pieces = recording.pieces.iter().filter(|piece| piece.stream == Stream::Output).map(Some);
    pieces.chain([None]).map(move |piece| {
        let Some(piece) = piece else {
            // What was held because more might have come.
            return Step { pause: Duration::ZERO, bytes: text.end() };
        };
        let pause = piece.at.saturating_sub(last).min(LONGEST_PAUSE);
        last = piece.at;
        let bytes = match look {
            Look::Screen => screen.pass(&piece.data),
            Look::Text => text.pass(&piece.data),
            Look::Raw => piece.data.clone(),
        };
        Step { pause: pause.div_f64(speed.max(0.001)), bytes }
    })
}

/// Turns bytes into text that drives nothing. They come in pieces of any size.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character, or a carriage return that may belong to the end of a line.
    held: Vec<u8>,
}

impl Text {
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.held);
        let (now, later) = all.split_at(all.len() - unfinished(&all));
        self.held = later.to_vec();
        escaped(now)
    }

    fn end(&mut self) -> Vec<u8> {
        escaped(&std::mem::take(&mut self.held))
    }
}

/// How many bytes at the end wait for more.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.last() == Some(&b'\r') {
        return 1;
    }
    let last = bytes.utf8_chunks().last();
    let begun = last.map_or(&[][..], |chunk| chunk.invalid());
    let wanted = match begun.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 0,
    };
    if begun.len() < wanted { begun.len() } else { 0 }
}

fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid().replace("\r\n", "\n");
        for (n, line) in text.split('\n').enumerate() {
            if n > 0 {
                out.push('\n');
            }
            for (n, cell) in line.split('\t').enumerate() {
                if n > 0 {
                    out.push('\t');
                }
                out.push_str(&display_safe(cell).to_string());
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stint_log::record::CommandLine;

    use super::*;
    use crate::recording::Piece;

    fn recording(pieces: &[(u64, Stream, &[u8])]) -> Recording {
        let what = CommandLine {
            user: String::new(),
            run_as: String::new(),
            command: String::new(),
            argv: vec![],
            argv_sha256: None,
            cwd: String::new(),
            tty: None,
        };
        let pieces = pieces.iter().map(|(at, stream, data)| Piece {
            at: Duration::from_secs(*at),
            stream: *stream,
            data: data.to_vec(),
        });
        Recording { what, pieces: pieces.collect(), whole: true }
    }
    fn shown(recording: &Recording, look: Look) -> Vec<u8> {
        steps(recording, look, 1.0).flat_map(|step| step.bytes).collect()
    }

    #[test]
    fn output_is_played_with_its_pauses_and_without_what_drives_a_terminal() {
        let it = recording(&[
            (1, Stream::Output, b"one\x1b]0;ti"),
            (2, Stream::Input, b"secret"),
            (4, Stream::Output, b"tle\x07two"),
            (400, Stream::Output, b"!"),
        ]);
        assert_eq!(shown(&it, Look::Screen), b"onetwo!");
        assert_eq!(shown(&it, Look::Raw), b"one\x1b]0;title\x07two!");
        let pauses = |speed| steps(&it, Look::Screen, speed).map(|s| s.pause.as_millis()).collect::<Vec<_>>();
        assert_eq!(pauses(1.0), [1000, 2000, 2000, 0], "a long pause is cut");
        assert_eq!(pauses(4.0), [250, 500, 500, 0]);
    }

    #[test]
    fn as_text_lines_and_letters_stay_and_all_else_is_escaped() {
        let text =
            |bytes: &[u8]| String::from_utf8(shown(&recording(&[(0, Stream::Output, bytes)]), Look::Text));
        assert_eq!(text("Grüße\r\n\tb\n".as_bytes()).unwrap(), "Grüße\n\tb\n");
        for hostile in
            [&b"\x1b]0;x\x07"[..], b"\x1b[2J", b"\x08", b"a\rb", b"\x9b2J", b"\xff", "\u{202e}".as_bytes()]
        {
            let shown = text(hostile).unwrap();
            assert!(
                shown.contains('\\') && !shown.contains(|c: char| c.is_control()),
                "{hostile:?}: {shown}"
            );
        }
    }

    proptest! {
        #[test]
        fn as_text_it_does_not_matter_how_the_bytes_are_cut(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(0xe2), Just(0x82)], 0..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let (one, two) = bytes.split_at(cut.index(bytes.len() + 1));
            let whole = recording(&[(0, Stream::Output, &bytes)]);
            let parts = recording(&[(0, Stream::Output, one), (0, Stream::Output, two)]);
            let text = shown(&parts, Look::Text);
            prop_assert_eq!(&text, &shown(&whole, Look::Text));
            let text = String::from_utf8(text).unwrap();
            prop_assert!(text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }
}
