//! The columns of the contract, for a [`Columnar`](crate::Columnar): each function is one call of the host and returns
//! one fact about every node, item i about node i. A list of numbers costs some 5 ns a node, a list of strings some
//! 100. Their meaning and units are those of the fields of [`Node`](crate::Node).
//!
//! They exist where the balancer runs as Wasm; elsewhere they panic.

pub use crate::bindings::evenkeel::balancer::nodes::{
    addresses, capacities, cores, count, cpus_promised, label, load1, load5, load15, memory_available, memory_promised,
    memory_total, metric, name_hashes, names, sessions, unseen5, user_sessions, weights,
};
