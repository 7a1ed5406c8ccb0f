//! The telephony and ticket backend of a city's 12345 hotline.
//!
//! # The map
//!
//! | Room | Kind | What happens there |
//! |---|---|---|
//! | [`ids`], [`clock`], [`redact`] | ground | newtype ids; time as a value; what a log may not hold |
//! | [`sip`] | core | messages, transactions, dialogs, digest, registrar (RFC 3261 and friends) |
//! | [`media`] | core | SDP, RTP, codecs, DTMF, mixing, recording's format (RFC 3264, 3550, 4733) |
//! | [`ivr`] | core | flows and the session that walks one |
//! | [`acd`] | core | queues, agents, routing |
//! | [`ticket`] | core | the ticket's and the assignment's machines, deadlines, calendar |
//! | [`sms`] | core | templates, delivery, gateway codecs |
//! | [`report`] | core | figures from rows |
//! | [`call`] | core | a call: its legs, bridge, conference, transfer, record |
//! | [`config`] | shell | profiles, flows and settings, loaded and checked |
//! | [`net`] | shell | sockets, the media clock, SMS connections |
//! | [`store`] | shell | one file a noun; migrations; the spool |
//! | [`sandbox`] | shell | simulated citizens, agents, departments and SMS centre |
//! | [`app`] | shell | one file a use case: the call task, the dispatcher, the outbox |
//! | [`http`] | shell | one file a noun; serves the console |
//!
//! Imports go one way: `ids ← {sip, media, ivr, acd, ticket, sms, report} ← call ← {config, net, store} ← app ← http`.
//! `tests/architecture.rs` reads every path and fails on a wrong one.
//!
//! # Invariants
//!
//! - A core has no I/O and no clock: time and bytes come in; time-outs, bytes and events go out.
//! - Each accepted call has exactly one primary ticket from its 200 on.
//! - Callers are served by their first `enqueued_at`, also after a refused offer, a restart or a redial.
//! - Every dialog ends in a record with a cause.
//! - Every SMS is at each moment in exactly one of pending, submitted, delivered, failed, uncertain.

#![warn(missing_docs)]

pub mod acd;
pub mod app;
pub mod call;
pub mod clock;
pub mod config;
pub mod http;
pub mod ids;
pub mod ivr;
pub mod media;
pub mod net;
pub mod redact;
pub mod report;
pub mod sandbox;
pub mod sip;
pub mod sms;
pub mod store;
pub mod ticket;
