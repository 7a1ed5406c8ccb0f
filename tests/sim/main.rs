//! Stories on a virtual clock: the real switch, the real media engine and real telephones, talking by bytes over a
//! simulated network. Nothing is mocked but the wire, the clock and the disk behind the spool.
//!
//! Each story ends with [`world::World::ends`], which hangs everything up and checks that nothing is left over. All
//! that is random follows from a seed; a story that fails prints its seed and the last messages of its trace.

// The virtual clock begins at some real moment.
#![allow(clippy::disallowed_methods)]

mod city;
mod ending;
mod engine_room;
mod journal;
mod phone;
mod stories;
mod walk;
mod world;
