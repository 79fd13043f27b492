//! What balancers run in: the pool of instances that they share.

use std::sync::Arc;

use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{Component, InstancePre, Linker},
};

use super::{
    LoadError,
    compiler::{Compiler, Module, Shape},
    contract,
    gate::{Gate, Place},
    guest::Guest,
    host,
    limits::{Limits, MEMORIES},
    ticker::{Running, Ticker},
    wasi,
};

/// How many decisions run at once: the 16 that placement asks a slow balancer for beside its queue, and with all of them
/// stuck a few more, for the queue, for who stands in, for the shadow and for a file on trial.
const AT_ONCE: usize = 20;

/// Memory of a finished instance that is cleaned in place rather than given back to the kernel, bytes: what a decision over
/// some 10,000 nodes touches, so that the next one takes no page fault.
const KEEP_RESIDENT: usize = 4 << 20;

/// The same of a table, bytes.
const TABLE_KEEP_RESIDENT: usize = 160_000;

/// What balancers run in. Cheap to clone; one serves the whole program.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
    /// None where this process compiles by itself.
    compiler: Option<Compiler>,
}

struct Inner {
    wasm: wasmtime::Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
    gate: Gate,
    size: Size,
    pooled: bool,
}

/// What an instance may have of what is made beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    memory: usize,
    stack: usize,
    table: usize,
}

impl Size {
    /// At least what the default limits ask for, but exactly the stack: a module is stopped where that ends.
    fn of(limits: &Limits) -> Self {
        let least = Limits::default();
        Self { memory: limits.memory.max(least.memory), stack: limits.stack, table: limits.table.max(least.table) }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("size", &self.size).field("pooled", &self.pooled).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine whose pool has room for instances within the default limits. It compiles in this process.
    pub fn new() -> Result<Self, LoadError> {
        Self::of_size(Size::of(&Limits::default()), None)
    }

    /// With a compiler for modules that come from files.
    #[must_use]
    pub fn with_compiler(self, compiler: Compiler) -> Self {
        Self { compiler: Some(compiler), ..self }
    }

    /// The engine for a balancer with these limits: itself, or a new one where its own does not fit.
    pub(super) fn fit(&self, limits: &Limits) -> Result<Self, LoadError> {
        let size = Size::of(limits);
        if size == self.inner.size { Ok(self.clone()) } else { Self::of_size(size, self.compiler.clone()) }
    }

    fn of_size(size: Size, compiler: Option<Compiler>) -> Result<Self, LoadError> {
        match wasmtime::Engine::new(&pooled(size)) {
            Ok(wasm) => Self::build(wasm, size, true, compiler),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "no address space for the pool of balancer instances (is `ulimit -v` set?): each decision allocates its own"
                );
                Self::on_demand(size, compiler)
            }
        }
    }

    fn on_demand(size: Size, compiler: Option<Compiler>) -> Result<Self, LoadError> {
        let wasm = wasmtime::Engine::new(&unpooled(size)).map_err(|error| broken(&error))?;
        Self::build(wasm, size, false, compiler)
    }

    fn build(wasm: wasmtime::Engine, size: Size, pooled: bool, compiler: Option<Compiler>) -> Result<Self, LoadError> {
        let ticker = Ticker::start(wasm.weak()).map_err(|error| LoadError::Engine(error.to_string()))?;
        let linker = host::linker(&wasm).map_err(|error| broken(&error))?;
        let inner = Inner { wasm, linker, ticker, gate: Gate::new(AT_ONCE), size, pooled };
        Ok(Self { inner: Arc::new(inner), compiler })
    }

    /// Compiles a module and connects its imports; also the name of its policy.
    pub(super) fn prepare(&self, module: Module<'_>) -> Result<(InstancePre<Guest>, String), LoadError> {
        let wasm = &self.inner.wasm;
        let (component, export) = match &self.compiler {
            Some(compiler) => compiler.component(wasm, self.shape(), module)?,
            None => {
                let (component, export) = contract::component(module.bytes)?;
                let component = Component::from_binary(wasm, &component)
                    .map_err(|error| LoadError::invalid(format_args!("{error:#}")))?;
                (component, export)
            }
        };
        let linker = &self.inner.linker;
        let pre = wasi::linker(linker, &component)
            .and_then(|with_wasi| with_wasi.as_ref().unwrap_or(linker).instantiate_pre(&component))
            .map_err(|error| LoadError::contract(format_args!("{error:#}")))?;
        Ok((pre, export))
    }

    /// A pool does not change what code looks like.
    fn shape(&self) -> Shape {
        let reservation = (!self.inner.pooled).then_some(self.inner.size.memory as u64);
        Shape { reservation }
    }

    /// Waits until one more guest may run, and lets deadlines count.
    pub(super) fn enter(&self) -> Entered<'_> {
        let place = self.inner.gate.enter();
        Entered { _running: self.inner.ticker.run(), _place: place }
    }

    /// Instances come from a pool made beforehand.
    pub fn is_pooled(&self) -> bool {
        self.inner.pooled
    }
}

/// A guest may run for as long as this lives.
pub(super) struct Entered<'a> {
    _running: Running<'a>,
    _place: Place<'a>,
}

fn broken(error: &wasmtime::Error) -> LoadError {
    LoadError::Engine(format!("{error:#}"))
}

/// An engine that only compiles, for one of this shape.
pub(super) fn compile_only(shape: Shape) -> Result<wasmtime::Engine, LoadError> {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    if let Some(reservation) = shape.reservation {
        reserve(&mut config, reservation);
    }
    wasmtime::Engine::new(&config).map_err(|error| broken(&error))
}

/// What holds for guests however they are allocated. The same module and the same question must give the same answer on
/// every machine: NaN has one form, and nothing depends on the processor.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false);
    config
}

fn pooled(size: Size) -> Config {
    let at_once = AT_ONCE as u32;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(at_once)
        .total_core_instances(at_once * Limits::MOST_INSTANCES as u32)
        .total_memories(at_once * MEMORIES as u32)
        .total_tables(at_once * Limits::MOST_TABLES as u32)
        .max_core_instances_per_component(Limits::MOST_INSTANCES as u32)
        .max_memories_per_component(MEMORIES as u32)
        .max_tables_per_component(Limits::MOST_TABLES as u32)
        .max_tables_per_module(Limits::MOST_TABLES as u32)
        .max_memories_per_module(MEMORIES as u32)
        .table_elements(size.table)
        .max_memory_size(size.memory);
    // Without a scan of the page map the low part of a memory would be cleared whether it was touched or not.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(TABLE_KEEP_RESIDENT);
    }
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    give_stack(&mut config, size.stack);
    config
}

fn unpooled(size: Size) -> Config {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    give_stack(&mut config, size.stack);
    reserve(&mut config, size.memory as u64);
    config
}

/// Gives compiled code this much stack, bytes.
fn give_stack(config: &mut Config, stack: usize) {
    // Nothing here is asynchronous, but the engine refuses a stack that is larger than those of such calls would be.
    config.max_wasm_stack(stack).async_stack_size(stack);
}

/// Gives each memory this much address space, bytes.
fn reserve(config: &mut Config, memory: u64) {
    config.memory_reservation(memory).memory_guard_size(64 << 10).memory_reservation_for_growth(0);
}

#[cfg(test)]
pub(super) fn on_demand_for_tests() -> Engine {
    on_demand_within(&Limits::default())
}

#[cfg(test)]
pub(super) fn on_demand_within(limits: &Limits) -> Engine {
    Engine::on_demand(Size::of(limits), None).expect("an engine")
}
