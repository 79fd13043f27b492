//! Guests written by hand, as core modules with their component type inside: what a compiler gives with the SDK.

pub(in crate::balancer) use evenkeel_fixtures::embed;

/// A guest in pieces of WebAssembly text. Addresses: 16 what `settings` returns, 32 what `check` returns, 64 what `rank`
/// returns, 256 to 1023 strings, from 1024 the answer, from 4096 what the host hands over.
#[derive(Clone)]
pub(in crate::balancer) struct Guest {
    pub(in crate::balancer) imports: String,
    pub(in crate::balancer) items: String,
    pub(in crate::balancer) pages: u32,
    pub(in crate::balancer) settings: String,
    pub(in crate::balancer) check: String,
    pub(in crate::balancer) rank: String,
    pub(in crate::balancer) version: &'static str,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            imports: String::new(),
            items: String::new(),
            pages: 1,
            settings: String::new(),
            check: String::new(),
            rank: answer(&[0]),
            version: "1.0.0",
        }
    }
}

impl Guest {
    /// A guest whose `rank` runs these instructions and then returns what lies at 64: unless they write there, an empty
    /// order.
    pub(in crate::balancer) fn ranking(rank: impl Into<String>) -> Self {
        Self { rank: rank.into(), ..Self::default() }
    }

    /// With an import of the contract.
    pub(in crate::balancer) fn importing(mut self, interface: &str, function: &str, signature: &str) -> Self {
        let name = format!("evenkeel:balancer/{interface}@{}", self.version);
        self.imports += &format!("(import \"{name}\" \"{function}\" (func ${function} {signature}))\n");
        self
    }

    /// With an import of WASI, under a name of one's own.
    pub(in crate::balancer) fn importing_wasi(mut self, interface: &str, function: &str, name: &str, of: &str) -> Self {
        self.imports += &format!("(import \"wasi:{interface}@0.2.0\" \"{function}\" (func ${name} {of}))\n");
        self
    }

    /// With a string at an address.
    pub(in crate::balancer) fn with_data(mut self, address: u32, text: &str) -> Self {
        self.items += &format!("(data (i32.const {address}) \"{text}\")\n");
        self
    }

    /// The core module, without a component type.
    pub(in crate::balancer) fn core(&self) -> Vec<u8> {
        let Self { imports, items, pages, settings, check, rank, version } = self;
        let policy = format!("evenkeel:balancer/policy@{version}");
        let text = format!(
            r#"(module
              {imports}
              (memory (export "memory") {pages})
              (global $top (mut i32) (i32.const 4096))
              {items}
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                (global.set $top (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
              (func (export "{policy}#settings") (result i32) {settings} (i32.const 16))
              (func (export "{policy}#check") (result i32) {check} (i32.const 32))
              (func $rank (export "{policy}#rank") (result i32) {rank} (i32.const 64))
            )"#
        );
        wat::parse_str(text).expect("the text is a module")
    }

    /// The module, as it would be loaded.
    pub(in crate::balancer) fn bytes(&self) -> Vec<u8> {
        embed(self.core(), self.version, "")
    }
}

/// Instructions that answer with these nodes.
pub(in crate::balancer) fn answer(order: &[u32]) -> String {
    let mut text = String::new();
    for (index, node) in order.iter().enumerate() {
        text += &format!("(i32.store (i32.const {}) (i32.const {node}))\n", 1_024 + 4 * index);
    }
    text + &answer_of_length(order.len())
}

/// Instructions that answer with as many nodes as asked for, from address 1024 on.
pub(in crate::balancer) fn answer_of_length(length: usize) -> String {
    format!("(i32.store (i32.const 68) (i32.const 1024)) (i32.store (i32.const 72) (i32.const {length}))\n")
}

/// Instructions that refuse, with the string at an address; the case is 0 for declined, 1 for failed.
pub(in crate::balancer) fn refusal(case: u32, address: u32, length: usize) -> String {
    format!(
        "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 68) (i32.const {case}))
         (i32.store (i32.const 72) (i32.const {address})) (i32.store (i32.const 76) (i32.const {length}))\n"
    )
}
