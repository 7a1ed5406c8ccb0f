//! Queues, agents and routing: who serves whom, and when.

pub mod message;
