//! Fuzz target: see `recording` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::sudolog::recording(data));
