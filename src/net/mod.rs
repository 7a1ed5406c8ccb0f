//! Sockets and clocks: everything that touches the network.

pub mod clips;
pub mod clock;
pub mod host;
pub mod media_thread;
pub mod recording;
pub mod rtp;
pub mod sip;
pub mod sms;
