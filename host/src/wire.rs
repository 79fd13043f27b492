//! Outbound HTTP over TCP, TLS and Unix sockets, and the MACs of what nodes send each other.

pub mod client;
pub mod hop;
pub mod mac;
pub mod names;
pub mod peer;
pub mod replays;
pub mod seal;
pub mod tls;
