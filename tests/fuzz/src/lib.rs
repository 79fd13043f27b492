#![doc = include_str!("../README.md")]

mod answer;
mod known;
mod load;
pub mod mutate;
mod question;
mod told;

pub use answer::answer;
pub use load::load;

use evenkeel::balancer::wasm::{Engine, Limits};
use std::{sync::LazyLock, time::Duration};

/// What became of an input, so that it can be told whether inputs get anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was refused before it could decide, or says nothing that a balancer could.
    Refused,
    /// It was asked and failed.
    Failed,
    /// It declined.
    Declined,
    /// It answered.
    Answered,
}

/// The engine of all inputs of a process, as a daemon has one. It compiles in this process, where libFuzzer sees it.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().expect("an engine"));

/// A deadline that costs little; what is loaded has a second all the same.
fn limits() -> Limits {
    Limits { deadline: Duration::from_millis(20), ..Limits::default() }
}
