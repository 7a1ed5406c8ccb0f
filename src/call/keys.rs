//! Feature keys of a plain telephone. A sequence begins with `*`; everything else is passed on to the other party.
//!
//! | Keys | Does |
//! |---|---|
//! | `*3` hotline `#` | three-way: ring the hotline and join it when it answers |
//! | `*2` hotline `#` | consult: ring the hotline, talk to it with the citizen on hold |
//! | `*5` | merge: join the consulted department and the citizen |
//! | `*6` | leave: the citizen and the department go on without the agent |
//! | `*7` | drop the department: back to the citizen |
//! | `*1` | hold, and again to resume |

use crate::ids::HotlineNo;
use std::time::{Duration, Instant};

/// After this long without a key a begun sequence is forgotten.
const INTER_DIGIT: Duration = Duration::from_secs(5);
/// The longest hotline number that can be keyed.
const MAX_NUMBER: usize = 15;

/// What the keys came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyed {
    /// Nothing yet.
    Collecting,
    /// An ordinary key, for the other party.
    Pass(char),
    /// `*3` or `*2`, a number, `#`.
    ThreeWay {
        /// The number that was keyed.
        hotline: HotlineNo,
        /// `*2`: talk to it before it is joined.
        consult: bool,
    },
    /// `*5`.
    Merge,
    /// `*6`.
    Leave,
    /// `*7`.
    DropDepartment,
    /// `*1`.
    ToggleHold,
    /// A sequence that means nothing; it was swallowed.
    Unknown,
}

/// Collects an agent's keys.
#[derive(Debug, Default)]
pub struct FeatureKeys {
    keys: String,
    last: Option<Instant>,
}

impl FeatureKeys {
    /// Takes one key.
    pub fn key(&mut self, now: Instant, key: char) -> Keyed {
        if self.last.is_some_and(|last| now.duration_since(last) > INTER_DIGIT) {
            self.keys.clear();
        }
        self.last = Some(now);
        if self.keys.is_empty() && key != '*' {
            return Keyed::Pass(key);
        }
        self.keys.push(key);
        let keyed = self.meaning();
        if keyed != Keyed::Collecting {
            self.keys.clear();
        }
        keyed
    }

    fn meaning(&self) -> Keyed {
        let (command, rest) = match self.keys.as_bytes() {
            [b'*'] => return Keyed::Collecting,
            [b'*', command, ..] => (*command, &self.keys[2..]),
            _ => return Keyed::Unknown,
        };
        match command {
            b'1' => Keyed::ToggleHold,
            b'5' => Keyed::Merge,
            b'6' => Keyed::Leave,
            b'7' => Keyed::DropDepartment,
            b'2' | b'3' => match rest.strip_suffix('#') {
                Some("") => Keyed::Unknown,
                Some(number) => Keyed::ThreeWay { hotline: number.into(), consult: command == b'2' },
                None if rest.len() > MAX_NUMBER || rest.contains('*') => Keyed::Unknown,
                None => Keyed::Collecting,
            },
            _ => Keyed::Unknown,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn keyed(keys: &str) -> Vec<Keyed> {
        let now = Instant::now();
        let mut collector = FeatureKeys::default();
        keys.chars().map(|key| collector.key(now, key)).filter(|k| *k != Keyed::Collecting).collect()
    }

    #[test]
    fn star_three_names_a_hotline() {
        assert_eq!(keyed("*312330#"), [Keyed::ThreeWay { hotline: "12330".into(), consult: false }]);
        assert_eq!(keyed("*212333#*5"), [Keyed::ThreeWay { hotline: "12333".into(), consult: true }, Keyed::Merge]);
    }

    #[test]
    fn ordinary_keys_pass_and_nonsense_is_swallowed() {
        assert_eq!(keyed("1#"), [Keyed::Pass('1'), Keyed::Pass('#')]);
        assert_eq!(keyed("*3#"), [Keyed::Unknown]);
        assert_eq!(keyed("**"), [Keyed::Unknown]);
        assert_eq!(keyed("*31234567890123456"), [Keyed::Unknown]);
    }

    #[test]
    fn a_begun_sequence_is_forgotten() {
        let now = Instant::now();
        let mut collector = FeatureKeys::default();
        assert_eq!(collector.key(now, '*'), Keyed::Collecting);
        assert_eq!(collector.key(now + INTER_DIGIT * 2, '3'), Keyed::Pass('3'));
    }
}
