#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wagres_sandbox::fuzzing::control(data));
