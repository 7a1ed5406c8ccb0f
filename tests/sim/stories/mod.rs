//! The stories, by whom they are about.

mod agents;
mod citizens;
mod departments;
mod flows;
mod gate;
mod network;
