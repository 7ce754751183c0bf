//! The join token as it is typed: the check of the fuzz target, run as a plain test over a token with each character changed or gone.

#![allow(missing_docs, unreachable_pub, clippy::pedantic)]

use stint_api::token;

#[path = "../../../tests/fuzz/src/token_checks.rs"]
mod checks;

#[test]
fn a_token_that_was_typed_wrong_is_refused_or_reads_back_as_it_was_typed() {
    for (_, seed) in checks::seeds() {
        checks::join_token(&seed);
        for at in 0..seed.len() {
            for byte in [b'A', b'_', b'=', b' ', b'\n', 0, 0xff] {
                let mut changed = seed.clone();
                changed[at] = byte;
                checks::join_token(&changed);
            }
            checks::join_token(&seed[..at]);
            checks::join_token(&seed[at..]);
        }
    }
}

#[test]
fn what_is_no_token_is_refused() {
    for text in ["", "stint-join-1.", "stint-join-1.e30", "stint-join-2.e30", "e30", "stint-join-1.e30="] {
        assert!(token::JoinToken::parse(text).is_err(), "{text:?}");
    }
}
