//! Fuzz target: see `checkpoint` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::log::checkpoint(data));
