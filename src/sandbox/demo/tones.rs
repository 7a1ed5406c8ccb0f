//! Three tones, other ones at each run, so that nobody can pass by playing a fixed one.

use rand::Rng;

/// What each party hums, in Hz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tones {
    /// The citizen's.
    pub citizen: f64,
    /// The agent's.
    pub agent: f64,
    /// The department's.
    pub department: f64,
}

/// The keys' frequencies (ITU-T Q.23): a tone near one might be taken for a key.
const KEYS: [f64; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];

impl Tones {
    /// Tones far apart from each other, from keys, and from what the distortion of any two makes.
    pub fn choose(rng: &mut impl Rng) -> Tones {
        loop {
            let mut tone = |from: u32, to: u32| f64::from(rng.random_range(from..to)) + 0.37;
            let tones = [tone(430, 640), tone(900, 1300), tone(1500, 2300)];
            if are_apart(&tones) {
                let [citizen, agent, department] = tones;
                return Tones { citizen, agent, department };
            }
        }
    }
}

/// Whether no key and no product of up to the third order comes within 30 Hz of a tone.
fn are_apart(tones: &[f64; 3]) -> bool {
    let far = |product: f64| tones.iter().all(|tone| (product.abs() - tone).abs() > 30.0);
    let factors = -3i32..=3;
    let products = factors.clone().flat_map(|a| {
        let factors = factors.clone();
        factors.clone().flat_map(move |b| factors.clone().map(move |c| (a, b, c)))
    });
    KEYS.into_iter().all(far)
        && products
            .filter(|(a, b, c)| matches!(a.abs() + b.abs() + c.abs(), 2 | 3))
            // f + g − g is f itself.
            .map(|(a, b, c)| f64::from(a) * tones[0] + f64::from(b) * tones[1] + f64::from(c) * tones[2])
            .all(far)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn tones_differ_between_runs_and_stay_apart() {
        let mut rng = StdRng::seed_from_u64(7);
        let all: Vec<Tones> = (0..50).map(|_| Tones::choose(&mut rng)).collect();
        for Tones { citizen, agent, department } in &all {
            assert!(are_apart(&[*citizen, *agent, *department]));
            assert!(agent - citizen > 200.0 && department - agent > 200.0);
        }
        assert!(all.windows(2).all(|w| w[0] != w[1]));
        assert!(!are_apart(&[500.0, 1000.0, 1900.0]), "the second harmonic");
        assert!(!are_apart(&[450.0, 1209.0, 2000.0]), "a key");
    }
}
