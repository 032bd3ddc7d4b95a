#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hh_tests::readers::text_state(bytes);
});
