//! The builtin balancer `sessions`.
