//! Outbound HTTP over TCP and Unix sockets, and the MAC of peer calls.

pub mod client;
pub mod mac;
pub mod peer;
