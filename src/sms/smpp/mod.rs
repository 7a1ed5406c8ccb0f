//! The session with a carrier's SMS centre, as an ESME bound as transceiver: SMPP 3.4 (issue 1.2, 12 October 1999).
//!
//! [`Session`] is the machine: bytes and submits come in, bytes and events go out. [`pdu`] is the codec, our own:
//! the `rusmpp` crate's codec refuses a whole PDU for one field outside the letter of the standard (a character
//! beyond ASCII in an unused address, a date of 13 digits, a TLV of an odd length) and then does not tell the sequence
//! number, so that a receipt from a lax SMS centre would be lost, left unanswered and sent again for ever. Ours reads
//! what it needs and passes over the rest, always within the frame. `rusmpp` speaks for the other side in the sandbox,
//! so that a misreading of ours cannot cancel itself out.
//!
//! Left out: transmitter and receiver binds, outbind, query_sm, cancel_sm, replace_sm, submit_multi, data_sm.

mod joiner;
pub mod pdu;
mod receipt;
mod session;
mod status;
#[cfg(test)]
mod tests;

pub use receipt::{ReceiptIds, alternative_ids};
pub use session::{CloseReason, Config, Event, Input, Output, Reason, Session, Submit, Unanswered};
pub use status::classify;
