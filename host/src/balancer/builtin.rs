//! The balancers that ship with the program.
