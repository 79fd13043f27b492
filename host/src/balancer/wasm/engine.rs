//! The compiler and the pool of instances that balancers share.

use std::sync::Arc;

use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{InstancePre, Linker},
};

use super::{
    LoadError,
    gate::{Gate, Place},
    guest::Guest,
    host,
    limits::{INSTANCES, Limits, MEMORIES, STACK, TABLE, TABLES},
    ticker::{Running, Ticker},
};

/// How many decisions run at once.
const AT_ONCE: usize = 16;

/// Memory of a finished instance that is cleaned in place rather than given back to the kernel, bytes: what a decision over
/// some 10,000 nodes touches, so that the next one takes no page fault.
const KEEP_RESIDENT: usize = 4 << 20;

/// What balancers run in. Cheap to clone; one serves the whole program.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasm: wasmtime::Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
    gate: Gate,
    memory: usize,
    pooled: bool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("memory", &self.memory).field("pooled", &self.pooled).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine whose pool has room for instances within the default limits.
    pub fn new() -> Result<Self, LoadError> {
        Self::with_memory(Limits::default().memory)
    }

    /// The engine for a balancer with these limits: itself, or a new one where its pool is too small.
    pub(super) fn fit(&self, limits: &Limits) -> Result<Self, LoadError> {
        if limits.memory <= self.0.memory { Ok(self.clone()) } else { Self::with_memory(limits.memory) }
    }

    fn with_memory(memory: usize) -> Result<Self, LoadError> {
        match wasmtime::Engine::new(&pooled(memory)) {
            Ok(wasm) => Self::build(wasm, memory, true),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "no address space for the pool of balancer instances (is `ulimit -v` set?): each decision allocates its own"
                );
                Self::on_demand(memory)
            }
        }
    }

    fn on_demand(memory: usize) -> Result<Self, LoadError> {
        let wasm = wasmtime::Engine::new(&unpooled(memory)).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        Self::build(wasm, memory, false)
    }

    fn build(wasm: wasmtime::Engine, memory: usize, pooled: bool) -> Result<Self, LoadError> {
        let ticker = Ticker::start(wasm.weak()).map_err(|error| LoadError::Engine(error.to_string()))?;
        let linker = host::linker(&wasm).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        Ok(Self(Arc::new(Inner { wasm, linker, ticker, gate: Gate::new(AT_ONCE), memory, pooled })))
    }

    /// Compiles a component and connects its imports.
    pub(super) fn compile(&self, component: &[u8]) -> Result<InstancePre<Guest>, LoadError> {
        let component = wasmtime::component::Component::from_binary(&self.0.wasm, component)
            .map_err(|error| LoadError::invalid(format_args!("{error:#}")))?;
        self.0.linker.instantiate_pre(&component).map_err(|error| LoadError::contract(format_args!("{error:#}")))
    }

    /// Waits until one more guest may run, and lets deadlines count.
    pub(super) fn enter(&self) -> Entered<'_> {
        let place = self.0.gate.enter();
        Entered { _running: self.0.ticker.run(), _place: place }
    }

    /// Instances come from a pool made beforehand.
    pub fn is_pooled(&self) -> bool {
        self.0.pooled
    }
}

/// A guest may run for as long as this lives.
pub(super) struct Entered<'a> {
    _running: Running<'a>,
    _place: Place<'a>,
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
        .wasm_memory64(false)
        .max_wasm_stack(STACK);
    config
}

fn pooled(memory: usize) -> Config {
    let at_once = AT_ONCE as u32;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(at_once)
        .total_core_instances(at_once * INSTANCES as u32)
        .total_memories(at_once * MEMORIES as u32)
        .total_tables(at_once * TABLES as u32)
        .max_core_instances_per_component(INSTANCES as u32)
        .max_memories_per_component(MEMORIES as u32)
        .max_tables_per_component(TABLES as u32)
        .max_tables_per_module(TABLES as u32)
        .max_memories_per_module(MEMORIES as u32)
        .table_elements(TABLE)
        .max_memory_size(memory);
    // Without a scan of the page map the low part of a memory would be cleared whether it was touched or not.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Auto).linear_memory_keep_resident(KEEP_RESIDENT).table_keep_resident(TABLE * 8);
    }
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn unpooled(memory: usize) -> Config {
    let mut config = config();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(memory as u64)
        .memory_guard_size(64 << 10)
        .memory_reservation_for_growth(0);
    config
}

#[cfg(test)]
pub(super) fn on_demand_for_tests() -> Engine {
    Engine::on_demand(Limits::default().memory).expect("an engine")
}
