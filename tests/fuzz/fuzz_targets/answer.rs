#![no_main]
//! `cargo fuzz run answer`: bytes as an answer.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    evenkeel_fuzz::answer(bytes);
});
