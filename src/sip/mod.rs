//! SIP without sockets and without a clock: RFC 3261 and its extensions.
//!
//! Bytes, commands and time come in; bytes, events and time-outs go out. [`endpoint::Endpoint`] owns every
//! transaction and dialog; what a call does with them is decided in [`crate::call`].

pub mod auth;
pub mod dialog;
pub mod endpoint;
pub mod message;
pub mod registrar;
pub mod transaction;
