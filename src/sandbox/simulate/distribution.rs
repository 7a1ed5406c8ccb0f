//! How long people take, and how far apart they come: the distributions of telephone centres, drawn with a seed.
//!
//! Arrivals are a Poisson process, the length of talks is log-normal and patience close to Weibull, as found in the calls
//! of a bank's centre: Brown et al., "Statistical Analysis of a Telephone Call Center", JASA 100 (2005), 36–50. The shapes
//! are theirs; the lengths are ours and shortened, so that an exercise of minutes has many calls.

use rand::Rng;
use serde::{Deserialize, Serialize};
use std::{f64::consts::TAU, time::Duration};

/// A distribution of times, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Gaps of a Poisson process.
    Exponential { mean: f64 },
    /// `sigma` is the spread of the logarithm.
    LogNormal { median: f64, sigma: f64 },
    /// `shape` 1 is exponential; below 1, who has waited long goes on waiting.
    Weibull { scale: f64, shape: f64 },
    /// Evenly between two times.
    Uniform { from: f64, to: f64 },
}

impl Distribution {
    /// One draw; never negative, never beyond a day.
    pub fn draw(&self, rng: &mut impl Rng) -> Duration {
        let seconds = match *self {
            Distribution::Exponential { mean } => -mean * open_unit(rng).ln(),
            Distribution::LogNormal { median, sigma } => median * (sigma * normal(rng)).exp(),
            Distribution::Weibull { scale, shape } => scale * (-open_unit(rng).ln()).powf(1.0 / shape),
            Distribution::Uniform { from, to } => from + (to - from) * rng.random::<f64>(),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0))
    }

    /// The mean, in seconds; of a Weibull distribution by Lanczos' gamma function.
    pub fn mean(&self) -> f64 {
        match *self {
            Distribution::Exponential { mean } => mean,
            Distribution::LogNormal { median, sigma } => median * (sigma * sigma / 2.0).exp(),
            Distribution::Weibull { scale, shape } => scale * gamma(1.0 + 1.0 / shape),
            Distribution::Uniform { from, to } => (from + to) / 2.0,
        }
    }
}

/// Whether something with this probability happens.
pub fn happens(rng: &mut impl Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

/// Evenly in (0, 1]: its logarithm is finite.
fn open_unit(rng: &mut impl Rng) -> f64 {
    1.0 - rng.random::<f64>()
}

/// Box and Muller's standard normal.
fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * open_unit(rng).ln()).sqrt() * (TAU * rng.random::<f64>()).cos()
}

/// Lanczos' approximation for arguments of 1 and more.
fn gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.5203681218851,
        -1259.1392167224028,
        771.3234287776531,
        -176.6150291621406,
        12.507343278686905,
        -0.13857109526572012,
        9.984369578019572e-6,
        1.5056327351493116e-7,
    ];
    let x = x - 1.0;
    let sum = TERMS.iter().enumerate().fold(0.9999999999998099, |sum, (n, term)| sum + term / (x + n as f64 + 1.0));
    let t = x + 7.5;
    TAU.sqrt() * t.powf(x + 0.5) * (-t).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    const DRAWS: usize = 200_000;

    fn drawn(distribution: Distribution, seed: u64) -> Vec<f64> {
        let mut rng = StdRng::seed_from_u64(seed);
        (0..DRAWS).map(|_| distribution.draw(&mut rng).as_secs_f64()).collect()
    }

    fn moments(draws: &[f64]) -> (f64, f64) {
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        (mean, (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64).sqrt())
    }

    fn near(found: f64, wanted: f64) -> bool {
        (found / wanted - 1.0).abs() < 0.02
    }

    #[test]
    fn means_and_spreads_are_those_of_theory() {
        let (mean, spread) = moments(&drawn(Distribution::Exponential { mean: 0.1 }, 1));
        assert!(near(mean, 0.1) && near(spread, 0.1), "{mean} {spread}");
        let talk = Distribution::LogNormal { median: 25.0, sigma: 0.5 };
        let (mean, spread) = moments(&drawn(talk, 2));
        assert!(near(mean, 28.33) && near(talk.mean(), 28.33), "{mean}");
        assert!(near(spread, 28.33 * (0.25f64.exp() - 1.0).sqrt()), "{spread}");
        let patience = Distribution::Weibull { scale: 60.0, shape: 0.8 };
        let (mean, _) = moments(&drawn(patience, 3));
        // 60 Γ(2.25)
        assert!(near(mean, 67.98) && near(patience.mean(), 67.98), "{mean} {}", patience.mean());
        let (mean, spread) = moments(&drawn(Distribution::Uniform { from: 2.0, to: 8.0 }, 4));
        assert!(near(mean, 5.0) && near(spread, 6.0 / 12f64.sqrt()));
    }

    #[test]
    fn medians_and_tails() {
        let share = |draws: &[f64], below: f64| draws.iter().filter(|x| **x < below).count() as f64 / DRAWS as f64;
        let talks = drawn(Distribution::LogNormal { median: 25.0, sigma: 0.5 }, 5);
        assert!(near(share(&talks, 25.0), 0.5));
        let patience = drawn(Distribution::Weibull { scale: 60.0, shape: 0.8 }, 6);
        // The scale is passed by 1/e, whatever the shape.
        assert!(near(share(&patience, 60.0), 1.0 - 1.0 / std::f64::consts::E));
        let mut rng = StdRng::seed_from_u64(7);
        assert!(near((0..DRAWS).filter(|_| happens(&mut rng, 0.3)).count() as f64 / DRAWS as f64, 0.3));
    }

    #[test]
    fn a_seed_repeats_and_another_does_not() {
        let gaps = Distribution::Exponential { mean: 1.0 };
        assert_eq!(drawn(gaps, 9)[..100], drawn(gaps, 9)[..100]);
        assert_ne!(drawn(gaps, 9)[..100], drawn(gaps, 10)[..100]);
    }
}
