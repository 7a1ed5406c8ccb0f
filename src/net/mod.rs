//! Sockets and clocks: everything that touches the network.

pub mod clock;
pub mod sms;
