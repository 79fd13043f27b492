//! From a module to code of this machine.
//!
//! A compiler cannot be interrupted from within, and what it needs of time, memory and stack depends on what it compiles.
//! So a file is compiled, and everything in it read for the first time, in a child process: this program in a mode of
//! its own ([`inside`]), within limits ([`child`]). What was compiled once is kept ([`cache`]).

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use wasmtime::component::Component;

use super::{LoadError, contract};

mod artefact;
pub(super) mod cache;
mod child;
mod inside;
#[cfg(test)]
pub(super) mod tests;

pub use cache::{Cache, CacheError};
pub use inside::main;

/// The first argument of this program where it is to be a compiler.
pub const ARGUMENT: &str = "compile-balancer";

/// What the compilation of one module may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompilerLimits {
    /// Address space, bytes, the program's own included.
    pub memory: u64,
    /// Processor time of all its threads, seconds.
    pub processor: u64,
    /// Time that passes.
    pub patience: Duration,
}

impl Default for CompilerLimits {
    fn default() -> Self {
        Self { memory: 3 << 30, processor: 60, patience: Duration::from_secs(180) }
    }
}

/// How modules that come from files are compiled.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// What is run as the child.
    program: PathBuf,
    arguments: Vec<OsString>,
    limits: CompilerLimits,
    cache: Option<Arc<Cache>>,
}

impl Compiler {
    /// Compiles in a child process: `program` is this program's own executable.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: vec![ARGUMENT.into()],
            limits: CompilerLimits::default(),
            cache: None,
        }
    }

    /// Within other limits.
    #[must_use]
    pub fn within(self, limits: CompilerLimits) -> Self {
        Self { limits, ..self }
    }

    /// Keeps what was compiled.
    #[must_use]
    pub fn keeping(self, cache: Cache) -> Self {
        Self { cache: Some(Arc::new(cache)), ..self }
    }

    /// The component that these bytes are, and the name of its policy. `digest` is theirs.
    pub(super) fn component(
        &self,
        engine: &wasmtime::Engine,
        shape: Shape,
        module: Module<'_>,
    ) -> Result<(Component, String), LoadError> {
        let entry = self.cache.as_ref().map(|cache| cache.entry(module.digest, engine));
        if let Some(Compiled { export, code }) = entry.as_ref().and_then(cache::Entry::read)
            && let Ok(component) = artefact::load(engine, &code)
        {
            return Ok((component, export));
        }
        let compiled = match module.origin {
            Origin::Ours => here(engine, module.bytes)?,
            Origin::File => child::compile(self, shape, module.bytes)?,
        };
        // A module that wants more than the engine's pool has is found out here.
        let component =
            artefact::load(engine, &compiled.code).map_err(|error| LoadError::invalid(format_args!("{error:#}")))?;
        if let Some(entry) = entry {
            entry.write(&compiled);
        }
        Ok((component, compiled.export))
    }
}

/// A module that is to be compiled.
#[derive(Clone, Copy)]
pub(super) struct Module<'a> {
    pub(super) bytes: &'a [u8],
    /// Their SHA-256, hexadecimal.
    pub(super) digest: &'a str,
    pub(super) origin: Origin,
}

/// Who made a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balancer) enum Origin {
    /// It ships with the program.
    Ours,
    /// Anybody.
    File,
}

/// What compiled code depends on beside the version of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Shape {
    /// Address space that a memory is given from the start, bytes; none for the engine's default.
    pub(super) reservation: Option<u64>,
}

/// What a module became.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compiled {
    /// The name under which it exports its policy.
    pub(super) export: String,
    /// Code of this machine.
    pub(super) code: Vec<u8>,
}

/// Compiles in this process.
fn here(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<Compiled, LoadError> {
    let (component, export) = contract::component(bytes)?;
    let code =
        engine.precompile_component(&component).map_err(|error| LoadError::invalid(format_args!("{error:#}")))?;
    Ok(Compiled { export, code })
}
