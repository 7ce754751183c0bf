//! Fuzz target: see `head` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::grant::head(data));
