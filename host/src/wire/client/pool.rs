//! Connections kept for the next request of the same session.
