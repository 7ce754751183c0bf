//! What each fuzz target checks, and the seeds to begin with.
//!
//! The checks are plain functions over bytes, so the same files are also tests of the crates they check (`tests/parsers.rs` there), and
//! run with `cargo test` on any toolchain.

pub mod grant;
pub mod log;
pub mod sudolog;
/// Join tokens, taken as a file: all of stint-api would be built for this one type.
#[path = "../../../crates/stint-api/src/token.rs"]
pub mod token;
pub mod token_checks;
