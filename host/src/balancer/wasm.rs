//! WebAssembly balancers.
