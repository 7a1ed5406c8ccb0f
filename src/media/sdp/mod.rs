//! SDP and the offer/answer model (RFC 8866, 3264).
//!
//! [`description`] reads and writes a session description; [`negotiation`] is one leg's side of the offer/answer
//! exchange. Left out: ICE, DTLS and SDES keys (such streams are refused with port 0), RTCP feedback, bandwidth.

pub mod description;
pub mod negotiation;

#[cfg(test)]
mod bodies;

pub use description::{Address, Connection, Line, Media, Origin, Sdp, SdpError};
pub use negotiation::{Direction, LocalMedia, NegotiationError, Session};
