//! The local launcher.
