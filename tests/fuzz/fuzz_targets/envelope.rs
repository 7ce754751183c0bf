//! Fuzz target: see `envelope` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::grant::envelope(data));
