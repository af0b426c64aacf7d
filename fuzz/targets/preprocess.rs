#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sae_fuzz::run(data, sae_fuzz::checks::preprocess));
