//! The simulated citizens, agents, departments and SMS centre.

pub mod sample;
pub mod smsc;
pub mod ua;
