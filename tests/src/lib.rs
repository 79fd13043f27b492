//! A harness that runs whole clusters: the real program, real processes, one directory each.
//!
//! A [`Cluster`] is started, asked through a [`Client`] of any of its nodes, and taken down when it goes out of scope;
//! then nothing of it may be left running, or the test fails. What a test waits for, it waits for with [`wait::until`]:
//! a condition and a deadline, never a pause. `cargo xtask demo` is built from the same pieces.

pub mod accounts;
pub mod api;
pub mod binaries;
pub mod client;
pub mod cluster;
pub mod echo;
pub mod jupyter;
pub mod kernel;
pub mod layout;
pub mod node;
pub mod own;
pub mod peers;
pub mod processes;
pub mod registry;
pub mod status;
pub mod storage;
pub mod store;
pub mod tls;
pub mod users;
pub mod visitor;
pub mod vscode;
pub mod wait;

pub use api::Session;
pub use client::Client;
pub use cluster::{Builder, Cluster};
pub use node::Node;
pub use registry::Registry;
pub use users::User;
