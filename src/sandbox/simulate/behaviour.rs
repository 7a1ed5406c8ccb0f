//! What simulated people do, as shares and distributions; one place for every number.
//!
//! The lengths are for exercises, not measured: a real talk takes minutes. The flow is the shipped one: a greeting of some
//! ten seconds during which 0 leads to the queue at once, then a queue that gives up after two minutes.

use super::distribution::Distribution;
use crate::sandbox::ua::Network;
use serde::{Deserialize, Serialize};

/// How citizens behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Citizens {
    /// Who changes their mind before the answer.
    pub cancels: f64,
    /// Who hangs up during the greeting.
    pub leaves_greeting: f64,
    /// Who presses 0 instead of waiting for the end of the greeting.
    pub presses_zero: f64,
    /// Who presses 4 (asks for progress) and 9 (English) instead.
    pub presses_four: f64,
    pub presses_nine: f64,
    /// Whose telephone sends no sound.
    pub mute: f64,
    /// Whose sound is sent whole; the others' is thinned to one packet in ten.
    pub full_sound: f64,
    /// Who is behind a bad network.
    pub bad_network: f64,
    /// The time until a key is pressed or the greeting left.
    pub decides: Distribution,
    pub patience: Distribution,
    pub talk: Distribution,
    /// Who dials again after waiting in vain, when, and how often at most.
    pub redials: f64,
    pub redial_after: Distribution,
    pub most_redials: u32,
}

/// How agents behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agents {
    pub answers_after: Distribution,
    /// Who refuses a call (486 or 603), and who lets it ring out.
    pub refuses: f64,
    pub rings_out: f64,
    /// How long until one who was made not-ready comes back.
    pub back_after: Distribution,
    /// Whose telephone is gone in the middle of ringing, or of talking.
    pub vanishes_ringing: f64,
    pub vanishes_talking: f64,
    pub gone_for: Distribution,
    /// Who takes a rest after a call, and for how long.
    pub rests: f64,
    pub rest: Distribution,
    /// Who puts the citizen on hold, and for how long.
    pub holds: f64,
    pub hold: Distribution,
    /// Who calls a department: by the API, else by keys on the telephone.
    pub three_way: f64,
    pub three_way_by_api: f64,
    /// Who writes the matter down as a ticket to dispatch.
    pub registers: f64,
    /// Who ends the talk, and after which time.
    pub ends_talk: f64,
    pub talk: Distribution,
    pub bad_network: f64,
}

/// All that people do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    pub citizens: Citizens,
    pub agents: Agents,
    /// Of those behind a bad network.
    pub bad: Network,
}

impl Behaviour {
    /// The usual, with the medians of talks and patience in seconds; `faults` adds bad networks and vanishing telephones.
    pub fn usual(talk: f64, patience: f64, faults: bool) -> Behaviour {
        let with_faults = |share: f64| if faults { share } else { 0.0 };
        // The median of a Weibull distribution is scale · ln 2^(1/shape).
        let shape = 0.8;
        let scale = patience / std::f64::consts::LN_2.powf(1.0 / shape);
        Behaviour {
            citizens: Citizens {
                cancels: 0.03,
                leaves_greeting: 0.05,
                presses_zero: 0.7,
                presses_four: 0.05,
                presses_nine: 0.03,
                mute: with_faults(0.02),
                full_sound: 0.1,
                bad_network: with_faults(0.3),
                decides: Distribution::LogNormal { median: 3.0, sigma: 0.5 },
                patience: Distribution::Weibull { scale, shape },
                talk: Distribution::LogNormal { median: talk, sigma: 0.5 },
                redials: 0.5,
                redial_after: Distribution::LogNormal { median: 15.0, sigma: 0.7 },
                most_redials: 3,
            },
            agents: Agents {
                answers_after: Distribution::LogNormal { median: 2.0, sigma: 0.4 },
                refuses: 0.02,
                rings_out: 0.01,
                back_after: Distribution::Uniform { from: 3.0, to: 12.0 },
                vanishes_ringing: with_faults(0.005),
                vanishes_talking: with_faults(0.01),
                gone_for: Distribution::Uniform { from: 5.0, to: 30.0 },
                rests: 0.03,
                rest: Distribution::Uniform { from: 5.0, to: 20.0 },
                holds: 0.08,
                hold: Distribution::Uniform { from: 2.0, to: 8.0 },
                three_way: 0.08,
                three_way_by_api: 0.6,
                registers: 0.4,
                ends_talk: 0.3,
                talk: Distribution::LogNormal { median: talk, sigma: 0.5 },
                bad_network: with_faults(0.2),
            },
            bad: Network::BAD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_faults_nobody_vanishes_and_the_median_is_as_asked() {
        let plain = Behaviour::usual(25.0, 45.0, false);
        assert_eq!(plain.citizens.bad_network + plain.citizens.mute + plain.agents.bad_network, 0.0);
        assert_eq!(plain.agents.vanishes_ringing + plain.agents.vanishes_talking, 0.0);
        let Distribution::Weibull { scale, shape } = plain.citizens.patience else { panic!("patience") };
        assert!((scale * std::f64::consts::LN_2.powf(1.0 / shape) - 45.0).abs() < 1e-9);
        assert!(Behaviour::usual(25.0, 45.0, true).agents.vanishes_talking > 0.0);
    }
}
