//! The builtin balancer `user-hash`.
