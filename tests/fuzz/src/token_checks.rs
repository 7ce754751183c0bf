//! Checks of the join token.

use super::token::JoinToken;

/// A join token as it is typed: what is taken writes itself so that it is taken again, as the same.
pub fn join_token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(token) = JoinToken::parse(text) {
        let written = token.to_text();
        let again = JoinToken::parse(&written).expect("what was written is taken");
        assert!(again == token, "a token reads back as another");
        assert!(written.is_ascii() && !written.contains(char::is_whitespace), "a token is one word");
    }
}

/// One good input.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let token = JoinToken { secret: "c2VjcmV0".into(), ca_pin: "0".repeat(64), root: "f".repeat(64) };
    vec![("join_token", token.to_text().into_bytes())]
}
