//! Sine tones and their measurement (Goertzel), for tests, the sandbox and generated signals.

use std::f64::consts::PI;

/// Samples a second of all audio here.
pub const RATE: u32 = 8000;

/// A sine of `amplitude` (0–32767) that goes on without a break from call to call.
#[derive(Clone, Debug)]
pub struct Sine {
    step: f64,
    phase: f64,
    amplitude: f64,
}

impl Sine {
    /// `hertz` is at most 4000.
    pub fn new(hertz: f64, amplitude: f64) -> Self {
        Sine { step: 2.0 * PI * hertz / f64::from(RATE), phase: 0.0, amplitude }
    }

    /// Fills `out` with the next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = (self.phase.sin() * self.amplitude).round() as i16;
            self.phase = (self.phase + self.step) % (2.0 * PI);
        }
    }
}

/// Level of one frequency in dB relative to a full-scale sine; −120 at the least.
pub fn level(samples: &[i16], hertz: f64) -> f64 {
    if samples.is_empty() {
        return -120.0;
    }
    let coefficient = 2.0 * (2.0 * PI * hertz / f64::from(RATE)).cos();
    let n = samples.len() as f64;
    let (mut s1, mut s2, mut weights) = (0.0, 0.0, 0.0);
    for (i, sample) in samples.iter().enumerate() {
        // A Hann window keeps a neighbour's tone from leaking in.
        let window = 0.5 - 0.5 * (2.0 * PI * (i as f64 + 0.5) / n).cos();
        let s = f64::from(*sample) * window + coefficient * s1 - s2;
        (s2, s1) = (s1, s);
        weights += window;
    }
    let power = (s1 * s1 + s2 * s2 - coefficient * s1 * s2).max(0.0);
    let amplitude = 2.0 * power.sqrt() / weights.max(1e-9);
    (20.0 * (amplitude / 32767.0).max(1e-6).log10()).max(-120.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_where_it_is_and_nowhere_else() {
        let mut samples = [0; 4000];
        Sine::new(697.0, 16384.0).fill(&mut samples);
        assert!((level(&samples, 697.0) + 6.0).abs() < 0.2, "{}", level(&samples, 697.0));
        assert!(level(&samples, 941.0) < -80.0, "{}", level(&samples, 941.0));
        assert_eq!(level(&[0; 800], 697.0), -120.0);
        assert_eq!(level(&[], 697.0), -120.0);
    }

    #[test]
    fn pieces_join_without_a_break() {
        let (mut whole, mut a, mut b) = ([0; 300], [0; 150], [0; 150]);
        Sine::new(450.0, 1000.0).fill(&mut whole);
        let mut sine = Sine::new(450.0, 1000.0);
        sine.fill(&mut a);
        sine.fill(&mut b);
        assert_eq!(whole[..150], a);
        assert_eq!(whole[150..], b);
    }
}
