//! Changes to good inputs, for the plain tests: what libFuzzer does, without the coverage.

use proptest::prelude::*;

/// One change, its place given as a share of the input's length.
#[derive(Clone, Debug)]
pub enum Change {
    /// Put another byte there.
    Set(prop::sample::Index, u8),
    /// Take some bytes away.
    Cut(prop::sample::Index, usize),
    /// Copy some bytes to another place.
    Copy(prop::sample::Index, prop::sample::Index, usize),
    /// Put something that a parser may stumble over.
    Insert(prop::sample::Index, &'static str),
}

const TRICKY: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e2",
    "1.0",
    "-1",
    "0",
    "9",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "\n",
    "\n\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "\u{200b}",
    "ä",
    "{\"all\":null}",
    "\"all\"",
    "\"any\"",
    "[[[[",
    "=",
    "[x]",
    "'''",
    "..",
    "/",
    " ",
];

/// Up to six changes.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<prop::sample::Index>;
    let tricky = prop::sample::select(TRICKY);
    let change = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 1usize..40).prop_map(|(at, length)| Change::Cut(at, length)),
        (at(), at(), 1usize..80).prop_map(|(from, to, length)| Change::Copy(from, to, length)),
        (at(), tricky).prop_map(|(at, text)| Change::Insert(at, text)),
    ];
    prop::collection::vec(change, 1..6)
}

/// The input with all changes, one after the other.
pub fn apply(changes: &[Change], mut input: Vec<u8>) -> Vec<u8> {
    for change in changes {
        let places = input.len() + 1;
        let place = |at: &prop::sample::Index| at.index(places);
        match change {
            Change::Set(at, byte) => {
                if let Some(slot) = input.get_mut(place(at)) {
                    *slot = *byte;
                }
            }
            Change::Cut(at, length) => {
                let start = place(at);
                let end = input.len().min(start + length);
                input.drain(start..end);
            }
            Change::Copy(from, to, length) => {
                let (start, to) = (place(from), place(to));
                let piece = input[start..input.len().min(start + length)].to_vec();
                input.splice(to..to, piece);
            }
            Change::Insert(at, text) => {
                let at = place(at);
                input.splice(at..at, text.bytes());
            }
        }
    }
    input
}
