//! Fuzz target: see `root_rotate` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::grant::root_rotate(data));
