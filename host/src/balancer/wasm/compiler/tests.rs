//! What becomes of modules that are compiled elsewhere, and of the code that is kept.

use std::{collections::BTreeMap, time::Duration};

use super::{Compiler, CompilerLimits, main};
use crate::balancer::{
    Question,
    wasm::{
        Engine, Limits, LoadError, WasmBalancer,
        tests::{engine, guests::Guest, patient, question},
    },
};

mod cache;
mod child;
mod reload;

/// The compiler of a test: this program, which runs one test of its own.
pub(in crate::balancer) fn compiler() -> Compiler {
    let program = std::env::current_exe().expect("this program");
    let inner = "balancer::wasm::compiler::tests::as_a_child";
    let arguments = ["--exact", inner, "--ignored", "--nocapture"].map(Into::into).into();
    Compiler { arguments, ..Compiler::new(program) }
}

/// One that cannot compile: whatever it gives was compiled before.
fn missing() -> Compiler {
    Compiler::new("/nonexistent/evenkeel")
}

#[test]
#[ignore = "run by the tests here, as the child that compiles"]
fn as_a_child() {
    let _ = main();
}

fn load(engine: &Engine, bytes: &[u8]) -> Result<WasmBalancer, LoadError> {
    WasmBalancer::load(engine, "guest", bytes, BTreeMap::new(), patient())
}

/// The sentence with which a compiler refuses a good module.
fn refusal(compiler: Compiler) -> String {
    load(&engine().with_compiler(compiler), &Guest::default().bytes()).expect_err("refused").to_string()
}

/// A component with so many functions that to compile it takes more than a second of any processor.
fn large() -> Vec<u8> {
    const FUNCTIONS: usize = 60_000;
    let body = "(param i32 i32) (result i32)
        (local.set 0 (i32.mul (local.get 0) (i32.const 77))) (i32.store (local.get 1) (local.get 0))
        (local.set 1 (i32.rotl (local.get 0) (i32.load (local.get 1)))) (i32.xor (local.get 0) (local.get 1))";
    let items = (0..FUNCTIONS).map(|number| format!("(func $f{number} {body})\n")).collect();
    Guest { items, ..Guest::default() }.bytes()
}

fn few() -> Question {
    question(3)
}

fn within(limits: CompilerLimits) -> Compiler {
    compiler().within(limits)
}

fn at_most(patience: Duration) -> CompilerLimits {
    CompilerLimits { patience, ..CompilerLimits::default() }
}

/// Limits that ask for an engine of its own.
fn generous() -> Limits {
    Limits { memory: 128 << 20, stack: 1 << 20, table: 50_000, ..patient() }
}
