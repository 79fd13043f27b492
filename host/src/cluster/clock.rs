//! The store's time between two readings of it.
