//! SMS: what is said to citizens, what became of it, and how a gateway is spoken to.
//!
//! | Room | What happens there |
//! |---|---|
//! | [`number`] | Chinese mobile numbers, brought to one form |
//! | [`template`] | the texts as data, checked and filled in |
//! | [`text`] | GSM-7 and UCS-2, segmentation and joining (3GPP TS 23.038, 23.040) |
//! | [`delivery`] | one message's fate: pending, submitted, delivered, failed, uncertain |
//! | [`smpp`] | the session with the carrier's SMS centre (SMPP 3.4) |
//!
//! Sockets are in `net::sms`; rows and their claiming are the store's and the outbox's.

pub mod delivery;
pub mod number;
pub mod smpp;
pub mod template;
pub mod text;
