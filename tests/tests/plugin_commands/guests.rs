//! Small balancers, as core modules with their component type inside: what a compiler gives with the SDK.

use anyhow::Result;
use evenkeel_fixtures::embed;

/// The node with the index 1 comes first, then that with 0.
pub(crate) const SECOND_FIRST: &str = "(i32.store (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (i32.const 0))
    (i32.store (i32.const 68) (i32.const 1024)) (i32.store (i32.const 72) (i32.const 2))";

/// Refuses with the text at 256, which has 10 bytes; the case is 0 for declined, 1 for failed.
pub(crate) fn refusal(case: u32) -> String {
    format!(
        "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 68) (i32.const {case}))
         (i32.store (i32.const 72) (i32.const 256)) (i32.store (i32.const 76) (i32.const 10))"
    )
}

/// Writes the text at 256, of 10 bytes, to the log.
pub(crate) const WRITES: &str = "(call $info (i32.const 256) (i32.const 10))";

/// A balancer whose `rank` runs these instructions; at 256 it has ten bytes of `text`, and it may call `$info`, and
/// `$misstep`, which traps. It is made for a version of the contract.
pub(crate) fn guest(version: &str, text: &str, rank: &str) -> Result<Vec<u8>> {
    let module = format!(
        r#"(module
          (import "evenkeel:balancer/log@{version}" "info" (func $info (param i32 i32)))
          (memory (export "memory") 1)
          (global $top (mut i32) (i32.const 4096))
          (data (i32.const 256) "{text}")
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
            (global.set $top (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
          (func $misstep unreachable)
          (func (export "evenkeel:balancer/policy@{version}#settings") (result i32) (i32.const 16))
          (func (export "evenkeel:balancer/policy@{version}#check") (result i32) (i32.const 32))
          (func $choose (export "evenkeel:balancer/policy@{version}#rank") (result i32) {rank} (i32.const 64))
        )"#
    );
    Ok(embed(wat::parse_str(module)?, version, ""))
}

/// A balancer that calls a function of the nodes which a later minor version of the contract has.
pub(crate) fn ahead() -> Result<Vec<u8>> {
    let module = r#"(module
        (import "evenkeel:balancer/nodes@1.9.0" "moon-phases" (func (param i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
        (func (export "evenkeel:balancer/policy@1.9.0#settings") (result i32) (i32.const 16))
        (func (export "evenkeel:balancer/policy@1.9.0#check") (result i32) (i32.const 32))
        (func (export "evenkeel:balancer/policy@1.9.0#rank") (result i32) (i32.const 64)))"#;
    Ok(embed(wat::parse_str(module)?, "1.9.0", "moon-phases: func() -> list<u32>;"))
}

/// A balancer that has no answer where there are more nodes than this.
pub(crate) fn at_most(nodes: u32) -> Result<Vec<u8>> {
    let module = format!(
        r#"(module
        (import "evenkeel:balancer/nodes@1.0.0" "count" (func $count (result i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
        (func (export "evenkeel:balancer/policy@1.0.0#settings") (result i32) (i32.const 16))
        (func (export "evenkeel:balancer/policy@1.0.0#check") (result i32) (i32.const 32))
        (func $choose (export "evenkeel:balancer/policy@1.0.0#rank") (result i32)
            (if (i32.gt_u (call $count) (i32.const {nodes})) (then unreachable))
            (i32.store (i32.const 68) (i32.const 1024)) (i32.store (i32.const 72) (i32.const 1))
            (i32.const 64)))"#
    );
    Ok(embed(wat::parse_str(module)?, "1.0.0", ""))
}
