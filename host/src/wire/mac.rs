//! The MACs that peers prove themselves with.
