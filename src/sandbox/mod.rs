//! The simulated citizens, agents, departments and SMS centre.

pub mod smsc;
