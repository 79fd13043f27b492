//! Write a balancer for Evenkeel in Rust.
