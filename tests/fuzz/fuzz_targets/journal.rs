//! Fuzz target: see `journal` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::sudolog::journal(data));
