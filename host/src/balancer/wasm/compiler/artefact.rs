//! Compiled code, made ready to run.

use wasmtime::{Engine, Result, component::Component};

/// Takes up code that was compiled before. It is run as it is: `code` must come from this program's own compiler, straight
/// from the child that it started or from a cache entry whose MAC has been verified.
#[expect(unsafe_code, reason = "compiled code is trusted by its origin; there is no other check of it")]
pub(super) fn load(engine: &Engine, code: &[u8]) -> Result<Component> {
    // SAFETY: the callers, both in `Compiler::component`, have the bytes from `child::compile`, from `here`, or from
    // `cache::Entry::read`, which gives out only what this daemon put there. wasmtime refuses those of other versions,
    // processors and settings itself.
    unsafe { Component::deserialize(engine, code) }
}
