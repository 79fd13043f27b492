//! Registration and heartbeats.
