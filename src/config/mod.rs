//! Profiles, flows and settings, loaded and checked.
//!
//! [`load`] reads everything that a configuration file refers to and answers with all of it or with every fault;
//! start-up and `hotline check` use the same loader. Without a file it is the sandbox ([`Settings::sandbox`]).
//! [`Assets`] are the embedded profiles, flows and prompts, overridden file by file by folders beside the
//! configuration. It opens no socket but to see whether a port is free, and keeps nothing running.

pub mod assets;
pub mod calendar;
pub mod certificate;
pub mod check;
pub mod conceal;
pub mod network;
pub mod number;
pub mod profile;
pub mod restart;
mod sandbox;
pub mod secret;
pub mod settings;
mod settings_read;
#[cfg(test)]
mod tests;

pub use assets::{Assets, Draft, SETTINGS};
pub use calendar::{Calendar, Calendars};
pub use certificate::{Certificate, CertificateError, TlsFiles};
pub use check::{
    Configuration, Report, check, cmd_flow_check, cmd_flow_graph, cmd_flow_simulate, load, load_with, port_faults,
};
pub use network::{Acl, Network};
pub use number::NumberPattern;
pub use profile::{Auth, DigestAlgorithm, Limits, Listener, NumberRoute, Profile, ProfileKind, Target, Transport};
pub use restart::{keep_transports, keep_until_restart};
pub use secret::Secret;
pub use settings::{AgentSettings, HotlineSettings, QueueSettings, Settings, SmsSettings, UserSettings};
