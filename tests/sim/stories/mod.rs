//! The stories, by whom they are about.

mod agents;
mod attempts;
mod citizens;
mod clocks;
mod commands;
mod connections;
mod crash;
mod departments;
mod flows;
mod gate;
mod holds;
mod network;
mod recovery;
mod settings;
mod shipped;
mod stalls;
