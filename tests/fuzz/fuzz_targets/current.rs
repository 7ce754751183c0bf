//! Fuzz target: see `current` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::grant::current(data));
