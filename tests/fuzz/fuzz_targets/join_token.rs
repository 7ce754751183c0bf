//! Fuzz target: see `join_token` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::token_checks::join_token(data));
