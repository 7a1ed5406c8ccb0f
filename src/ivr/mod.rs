//! Flows: what a caller hears and which keys lead where.
//!
//! [`Flow::parse`] reads a flow's TOML and lists every fault; [`Flow::check`] asks whether callers can get stuck in it;
//! [`Session`] walks one caller through it; [`graph`] draws it and [`simulate`] walks it on paper. Names a clip by its
//! path and never opens one: loading is the shell's. Left out until they are built: `transfer`, `language`, `record`,
//! `callback`, `ticket_status`, `survey`, `sms` and `http` nodes, which are refused by name.

mod check;
pub mod document;
pub mod fault;
pub mod flow;
pub mod graph;
mod parse;
pub mod say;
pub mod session;
pub mod simulate;

pub use check::FlowContext;
pub use fault::{Fault, Place, Severity};
pub use flow::Flow;
pub use session::{Caller, Hours, Input, Output, PlayToken, Reason, Session};
