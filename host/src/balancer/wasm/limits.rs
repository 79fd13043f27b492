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
    /// The stack of compiled code, bytes. The stack that Rust or C code keeps in its memory is bounded by the memory.
    pub stack: usize,
    /// Elements of a table.
    pub table: usize,
    /// Core instances of one instance of a component; at most [`Limits::MOST_INSTANCES`] count.
    pub instances: usize,
    /// Tables of one instance of a component; at most [`Limits::MOST_TABLES`] count.
    pub tables: usize,
    /// What it may hand over in one call, bytes, beside 16 a node.
    pub handover: usize,
    /// Lines that are kept of one decision's log.
    pub log_lines: usize,
    /// Bytes that are kept of a line.
    pub log_line: usize,
}

impl Limits {
    /// What an engine has room for.
    pub const MOST_INSTANCES: usize = 64;
    /// What an engine has room for.
    pub const MOST_TABLES: usize = 16;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(50),
            memory: 64 << 20,
            module: 64 << 20,
            stack: STACK,
            table: 20_000,
            instances: Self::MOST_INSTANCES,
            tables: Self::MOST_TABLES,
            handover: 1 << 20,
            log_lines: 32,
            log_line: 1_024,
        }
    }
}

/// Memories of one instance of a component.
pub(super) const MEMORIES: usize = 4;
/// The most of a stack that fits into a thread of the daemon's, bytes.
pub(super) const STACK: usize = 512 << 10;

/// Counts what an instance has taken.
#[derive(Debug)]
pub(super) struct Meter {
    limit: usize,
    table: usize,
    instances: usize,
    tables: usize,
    taken: usize,
    /// The size that was refused, if any.
    pub(super) refused: Option<usize>,
}

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        let Limits { memory: limit, table, instances, tables, .. } = *limits;
        Self { limit, table, instances, tables, taken: 0, refused: None }
    }

    /// What it has taken, bytes.
    pub(super) fn taken(&self) -> usize {
        self.taken
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
        Ok(desired <= self.table)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
