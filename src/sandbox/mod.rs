//! The simulated citizens, agents, departments and SMS centre.

pub mod agents;
pub mod citizens;
pub mod demo;
pub mod departments;
pub mod http_client;
pub mod sample;
pub mod simulate;
pub mod smsc;
pub mod ua;
