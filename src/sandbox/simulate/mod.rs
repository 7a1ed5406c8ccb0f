//! `hotline simulate`: traffic for training, for the wallboard and for tests that last.
//!
//! A coordinator starts workers, child processes of the same program, at most one a core; each runs its share of
//! citizens, agents and departments on sockets of its own, so that what is measured does not measure itself. The centre
//! is a process of its own, too: a running sandbox, or one that the coordinator starts and ends. What people saw is held
//! against what the centre has in its books, equation by equation, and then against the invariants I1–I7.
//!
//! Leaves out browsers, TCP and TLS, and everything but loopback: a real centre is never called.

mod agent;
mod behaviour;
mod books;
mod citizen;
mod coordinator;
mod department;
mod desk;
mod distribution;
mod invariants;
mod progress;
mod protocol;
mod server;
mod summary;
mod target;
mod watch;
mod worker;
mod workers;

pub use coordinator::{Exercise, run};
pub use worker::run as work;

/// Why an exercise could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A file, a socket or a process.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The centre's API gave no good answer.
    #[error(transparent)]
    Http(#[from] super::http_client::HttpError),
    /// In words for whoever started it.
    #[error("{0}")]
    Said(String),
}

impl SimulateError {
    fn io(what: impl std::fmt::Display, source: std::io::Error) -> SimulateError {
        SimulateError::Io { what: what.to_string(), source }
    }
}

/// What an agent's telephone says, in Hz: citizens know by it that a person answered. Away from keys and music.
const VOICE: f64 = 1870.0;
/// What a citizen's telephone says, in Hz.
const CITIZEN: f64 = 530.0;

/// Half a second of a tone, to be said again and again: both frequencies fit it in whole turns.
fn tone(hertz: f64) -> crate::sandbox::ua::Audio {
    let samples = (0..4000).map(|n| {
        let turn = std::f64::consts::TAU * hertz * f64::from(n) / f64::from(crate::sandbox::ua::audio::RATE);
        (turn.sin() * 5200.0) as i16
    });
    crate::sandbox::ua::Audio::Loop(samples.collect())
}
