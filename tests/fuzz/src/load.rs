//! Bytes as somebody's module.

use std::collections::BTreeMap;

use evenkeel::balancer::wasm::WasmBalancer;

use crate::{ENGINE, Outcome, known, limits, question::question, told};

/// Does with bytes what a daemon does with a file: reads what contract it is made for, makes a component of it, compiles
/// it, asks it for its settings and to check them, and puts two questions to it. Whatever it is, it is told in words that
/// can be shown, and no answer passes that a daemon could not act upon.
pub fn load(bytes: &[u8]) -> Outcome {
    if known::names_packages(bytes) {
        return Outcome::Refused;
    }
    match WasmBalancer::load(&ENGINE, "fuzzed", bytes, BTreeMap::new(), limits()) {
        Ok(balancer) => {
            told::decision(&balancer, &question(1, &[]));
            told::decision(&balancer, &question(3, &[]))
        }
        Err(error) => {
            let error = error.to_string();
            told::sentence(&error);
            // In a daemon it is a child that breaks down, and only one module that is not taken. It is a mistake all the
            // same, of the compiler's.
            assert!(!error.contains("the compiler broke down"), "{error}");
            Outcome::Refused
        }
    }
}
