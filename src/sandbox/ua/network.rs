//! A bad network under a simulated party: what it sends and gets is lost, doubled or late, by a seeded generator.
//!
//! Delay is put on what leaves alone, for that is what the program under test must bear. TCP is left as it is.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How bad the way is, as shares from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weather {
    /// Packets that never arrive.
    pub loss: f64,
    /// Packets that arrive twice.
    pub duplicate: f64,
    /// Packets that come after later ones, delayed by [`LATE`].
    pub late: f64,
    /// The largest delay of the others, in milliseconds; drawn evenly from 0 on.
    pub jitter_ms: u64,
}

/// How long a packet waits that is to come after later ones.
pub const LATE: Duration = Duration::from_millis(45);

/// The ways of signalling and of sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Signalling, over UDP alone.
    pub sip: Weather,
    /// Sound and keys.
    pub rtp: Weather,
}

impl Network {
    /// The worst that must be borne: RTP with 20 % loss, 50 ms of jitter, 5 % reordered, 5 % doubled; SIP with 20 % loss
    /// and duplicates.
    pub const BAD: Network = Network {
        sip: Weather { loss: 0.2, duplicate: 0.05, late: 0.02, jitter_ms: 0 },
        rtp: Weather { loss: 0.2, duplicate: 0.05, late: 0.05, jitter_ms: 50 },
    };
}

/// Decides what becomes of each packet.
#[derive(Debug)]
pub struct Gate {
    weather: Weather,
    rng: StdRng,
}

impl Gate {
    /// The same seed and the same packets: the same fates.
    pub fn new(weather: Weather, seed: u64) -> Gate {
        Gate { weather, rng: StdRng::seed_from_u64(seed) }
    }

    /// The delays of the copies that arrive: none, one or two.
    pub fn copies(&mut self) -> ([Duration; 2], usize) {
        let Weather { loss, duplicate, late, jitter_ms } = self.weather;
        if self.weather == Weather::default() {
            return ([Duration::ZERO; 2], 1);
        }
        if self.rng.random::<f64>() < loss {
            return ([Duration::ZERO; 2], 0);
        }
        let mut delay = || match self.rng.random::<f64>() < late {
            true => LATE,
            false if jitter_ms == 0 => Duration::ZERO,
            false => Duration::from_millis(self.rng.random_range(0..=jitter_ms)),
        };
        let delays = [delay(), delay()];
        (delays, 1 + usize::from(self.rng.random::<f64>() < duplicate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_a_good_way_does_nothing() {
        let mut gate = Gate::new(Network::BAD.rtp, 7);
        let fates: Vec<_> = (0..20_000).map(|_| gate.copies()).collect();
        let share = |copies: usize| fates.iter().filter(|fate| fate.1 == copies).count() as f64 / fates.len() as f64;
        assert!((share(0) - 0.2).abs() < 0.01);
        assert!((share(2) - 0.8 * 0.05).abs() < 0.01);
        assert!(fates.iter().all(|(delays, _)| delays.iter().all(|delay| delay.as_millis() <= 50)));
        assert_eq!(
            fates[..50],
            (0..50).scan(Gate::new(Network::BAD.rtp, 7), |g, _| Some(g.copies())).collect::<Vec<_>>()
        );
        let mut still = Gate::new(Weather::default(), 7);
        assert!((0..100).all(|_| still.copies() == ([Duration::ZERO; 2], 1)));
    }
}
