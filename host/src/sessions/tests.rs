//! The life of sessions.
