//! The builtin balancer `system-load`.
