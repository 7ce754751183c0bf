//! Fuzz target: see `host_config` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stint_fuzz::grant::host_config(data));
