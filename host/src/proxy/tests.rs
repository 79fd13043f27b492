//! The proxy between real sockets: programs on Unix sockets, nodes on loopback ports, clients that write bytes.

mod attacks;
mod harness;
mod hops;
mod http;
mod sessions;
mod websockets;
