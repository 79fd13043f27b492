//! The process above each program.
