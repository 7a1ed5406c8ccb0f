//! Flows: what a caller hears and which keys lead where.

pub mod session;
