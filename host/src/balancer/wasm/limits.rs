//! What a guest may take.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// The limits of one balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a decision may take.
    pub deadline: Duration,
    /// Memory of an instance, bytes, all its memories together.
    pub memory: usize,
    /// The module's own size, bytes.
    pub module: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(50), memory: 64 << 20, module: 64 << 20 }
    }
}

/// Elements of a table.
pub(super) const TABLE: usize = 20_000;
/// Core instances, tables and memories of one instance of a component.
pub(super) const INSTANCES: usize = 64;
pub(super) const TABLES: usize = 16;
pub(super) const MEMORIES: usize = 4;
/// The stack of compiled code, bytes. The stack that Rust or C code keeps in its memory is bounded by the memory.
pub(super) const STACK: usize = 512 << 10;
/// What a guest may hand over in one call, bytes, beside 16 a node.
pub(super) const HANDOVER: usize = 1 << 20;

/// Counts what an instance has taken.
#[derive(Debug)]
pub(super) struct Meter {
    limit: usize,
    taken: usize,
    /// The size that was refused, if any.
    pub(super) refused: Option<usize>,
}

impl Meter {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: 0, refused: None }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.taken.saturating_add(desired.saturating_sub(current));
        if total > self.limit {
            self.refused = Some(total);
            return Ok(false);
        }
        self.taken = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
