//! Server-sent events, as they come in pieces off the network. Pure: bytes in, events out.

/// The most bytes of one event, its lines included. As long as the longest line to the warden, less what wraps it there.
pub(crate) const MAX_EVENT_BYTES: usize = crate::wire::MAX_LINE_BYTES - 1024;

// What the broker may send goes through.
const _: () = assert!(stint_api::hosts::MAX_UPDATE_BYTES < MAX_EVENT_BYTES);

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; `message` if it has none.
    pub(crate) name: String,
    /// Its data.
    pub(crate) data: String,
}

/// A stream that cannot be read on. The connection is dropped and made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SseError {
    /// More than the most bytes.
    #[error("an event of more than {0} bytes")]
    TooLarge(usize),
    /// Not text.
    #[error("an event that is not UTF-8")]
    NotText,
}

/// Reads a stream, piece by piece.
#[derive(Debug)]
pub(crate) struct Parser {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_carriage_return: bool,
    at_start: bool,
    max: usize,
}

impl Parser {
    /// At the beginning of a stream, with the most bytes of one event.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_carriage_return: false,
            at_start: true,
            max,
        }
    }

    /// Takes the next piece, and gives the events that it completes.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Result<Vec<Event>, SseError> {
        let mut events = Vec::new();
        if self.after_carriage_return && !piece.is_empty() {
            self.after_carriage_return = false;
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = piece.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            self.extend_line(&piece[..end])?;
            let carriage_return = piece[end] == b'\r';
            piece = &piece[end + 1..];
            if carriage_return {
                self.after_carriage_return = piece.is_empty();
                piece = piece.strip_prefix(b"\n").unwrap_or(piece);
            }
            events.extend(self.end_line()?);
        }
        self.extend_line(piece)?;
        Ok(events)
    }

    fn extend_line(&mut self, part: &[u8]) -> Result<(), SseError> {
        if self.line.len() + self.data.len() + self.name.len() + part.len() > self.max {
            return Err(SseError::TooLarge(self.max));
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, SseError> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (&line[..], &[][..]),
        };
        match field {
            b"event" => self.name = value.to_vec(),
            b"data" if self.has_data => {
                self.data.push(b'\n');
                self.data.extend_from_slice(value);
            }
            b"data" => {
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            // Comments (an empty field), ids, retry times, and what a later version may add.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Result<Option<Event>, SseError> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return Ok(None);
        }
        let text = |bytes| String::from_utf8(bytes).map_err(|_| SseError::NotText);
        let name = if name.is_empty() { b"message".to_vec() } else { name };
        Ok(Some(Event { name: text(name)?, data: text(data)? }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::new(1024);
        pieces.iter().flat_map(|p| parser.feed(p).unwrap()).collect()
    }
    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn an_event_has_its_name_and_its_data() {
        assert_eq!(all(&[b"event: pulse\ndata: {\"a\":1}\n\n"]), [event("pulse", "{\"a\":1}")]);
    }
    #[test]
    fn an_event_without_a_name_is_a_message() {
        assert_eq!(all(&[b"data:x\n\n"]), [event("message", "x")]);
    }
    #[test]
    fn lines_of_data_are_joined() {
        assert_eq!(all(&[b"data: a\ndata\ndata:  b\n\n"]), [event("message", "a\n\n b")]);
    }
    #[test]
    fn an_empty_line_of_data_is_kept() {
        assert_eq!(all(&[b"data:\ndata: x\n\n"]), [event("message", "\nx")]);
    }
    #[test]
    fn comments_and_unknown_fields_are_no_events() {
        assert!(all(&[b": still here\n\n", b"id: 7\nretry: 10\nnew: x\n\n", b"event: pulse\n\n"]).is_empty());
    }
    #[test]
    fn a_name_without_data_does_not_stick_to_the_next_event() {
        assert_eq!(all(&[b"event: pulse\n\ndata: x\n\n"]), [event("message", "x")]);
    }
    #[test]
    fn all_line_ends_are_taken_even_in_two_pieces() {
        assert_eq!(all(&[b"data: a\r", b"\ndata: b\r\n\r", b"\ndata: c\r\r"]).len(), 2);
        assert_eq!(all(&[b"data: a\r", b"", b"\n\r\n"]), [event("message", "a")]);
    }
    #[test]
    fn a_mark_at_the_start_of_the_stream_is_skipped() {
        assert_eq!(all(&[b"\xef\xbb\xbfdata: x\n\n"]), [event("message", "x")]);
    }
    #[test]
    fn an_event_that_is_too_large_is_refused_before_it_is_whole() {
        let mut parser = Parser::new(100);
        let line = [b"data: ".as_slice(), &[b'x'; 40], b"\n"].concat();
        assert!(parser.feed(&line).is_ok());
        assert!(parser.feed(&line).is_ok());
        assert_eq!(parser.feed(&line), Err(SseError::TooLarge(100)));
    }
    #[test]
    fn a_line_without_an_end_is_refused_at_the_cap() {
        let mut parser = Parser::new(100);
        assert!(parser.feed(&[b'x'; 100]).is_ok());
        assert_eq!(parser.feed(b"x"), Err(SseError::TooLarge(100)));
    }
    #[test]
    fn what_is_not_text_is_refused() {
        assert_eq!(Parser::new(100).feed(b"data: \xff\n\n"), Err(SseError::NotText));
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_events(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "data: x", "data:", "event: pulse", "event: update", ": hello", "id: 1", "\n", "\r", "\r\n", "\n\n", "data",
                    "\u{feff}", "ü", ":",
                ]),
                0..40,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = parts.concat().into_bytes();
            let whole = all(&[&stream]);
            let mut at: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            prop_assert_eq!(all(&pieces), whole);
        }
        #[test]
        fn no_bytes_make_it_panic_or_grow_past_its_cap(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..32)) {
            let mut parser = Parser::new(256);
            for piece in pieces {
                if parser.feed(&piece).is_err() {
                    break;
                }
                prop_assert!(parser.line.len() + parser.data.len() + parser.name.len() <= 256 + 64);
            }
        }
    }
}
