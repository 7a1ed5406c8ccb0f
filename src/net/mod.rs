//! Sockets and clocks: everything that touches the network.

pub mod clock;
