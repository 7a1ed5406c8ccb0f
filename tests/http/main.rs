//! The API, route by route: the router in process, on the real program with its database, switch and media, and with
//! the sandbox's telephones, departments and SMS centre around it. One file a noun; all share one running program.
#![allow(clippy::disallowed_methods)] // tests hold the clock

mod ask;
mod line;
mod shape;
mod stream;
mod world;

mod agents;
mod alarms;
mod calls;
mod documents;
mod events;
mod health;
mod hotlines;
mod idempotency;
mod logs;
mod messages;
mod queues;
mod recordings;
mod sessions;
mod settings;
mod tickets;
mod units;
