//! Snapshot, balancer, reservation, record.
