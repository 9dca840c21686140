#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wagres::fuzzing::worker_stanza(data));
