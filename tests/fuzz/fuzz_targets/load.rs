#![no_main]
//! `cargo fuzz run load`: bytes as a module.

use evenkeel_fuzz::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| {
    evenkeel_fuzz::load(bytes);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Half of the time libFuzzer's own way, which knows the numbers that code compares with.
    if seed.is_multiple_of(2) {
        return fuzzer_mutate(data, size, max_size);
    }
    let made = mutate::mutate(&data[..size], &data[..size], &mut fastrand::Rng::with_seed(seed.into()));
    let size = made.len().min(max_size);
    data[..size].copy_from_slice(&made[..size]);
    size
});
