//! The stories, by whom they are about.

mod agents;
mod citizens;
mod crash;
mod departments;
mod gate;
mod network;
