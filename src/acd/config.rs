//! The knobs of a queue, checked before they are used.
//!
//! `abandoned_resume`, `sticky_agent` and `exit_keys` are read by whoever makes `Input::Enqueue`: callers' numbers and
//! keys never come into this room. Times are written as `"25s"`, `"1.5s"`, `"500ms"`, `"2m"`, `"1h"`, or as seconds.

use crate::ids::QueueName;
use std::{collections::BTreeMap, time::Duration};

/// The lowest and the highest level of a skill.
pub const LEVELS: std::ops::RangeInclusive<u8> = 1..=9;
/// The highest priority of a caller.
pub const MAX_PRIORITY: u16 = 999;

/// Everything that the ACD is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Fences this ACD's offers off from those of an earlier one.
    pub epoch: u64,
    /// In the order in which they are shown; names are unique.
    pub queues: Vec<QueueConfig>,
    /// What holds for all agents, whatever their queues.
    pub agents: AgentRules,
}

/// Rules for all agents.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentRules {
    /// Wrap-up after a call that came from no queue.
    #[serde(with = "time")]
    pub outbound_wrap_up: Duration,
    /// A wrap-up is never stretched beyond this, counted from the moment of stretching.
    #[serde(with = "time")]
    pub max_wrap_up: Duration,
    /// How long after `ring_timeout` an offer without any answer is taken back.
    #[serde(with = "time")]
    pub offer_guard: Duration,
    /// After an offer found the phone unreachable though it is registered, it is tried again after this.
    #[serde(with = "time")]
    pub unreachable_retry: Duration,
}

impl Default for AgentRules {
    fn default() -> Self {
        AgentRules {
            outbound_wrap_up: Duration::ZERO,
            max_wrap_up: Duration::from_secs(30 * 60),
            offer_guard: Duration::from_secs(3),
            unreachable_retry: Duration::from_secs(30),
        }
    }
}

/// How the agent is chosen among those who may serve a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Who has been ready and idle for longest.
    #[default]
    LongestIdle,
    /// All at once. Refused: one offer a caller is what keeps two agents from answering one call.
    RingAll,
    /// Who was offered a call of this queue longest ago.
    RoundRobin,
    /// Who has had the fewest calls today.
    LeastCalls,
    /// Who has talked least today.
    LeastTalkTime,
    /// The lowest agent number.
    TopDown,
    /// By chance.
    Random,
    /// By shares. Refused until shares can be configured.
    Weighted,
}

/// Which agents a queue needs to be open for callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Staffing {
    /// None: callers wait also when nobody is there.
    #[default]
    Nobody,
    /// At least one who is signed in, ready or not.
    SignedIn,
    /// At least one who is ready and reachable, busy or not.
    Ready,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// By which flows and the API name it.
    pub name: QueueName,
    /// Who is chosen among those available; the longest idle by default.
    #[serde(default)]
    pub strategy: Strategy,
    /// The skills that an agent needs, all of them. None: every agent serves it.
    #[serde(default)]
    pub skills: Vec<String>,
    /// The level (1–9, 9 knows most) that is needed in each of them at first.
    #[serde(default = "default_level")]
    pub level: u8,
    /// The level needed drops by one each time that a caller has waited so long.
    #[serde(default, with = "time::option")]
    pub widen_after: Option<Duration>,
    /// Between queues that one agent serves: the higher first, then by caller.
    #[serde(default)]
    pub weight: u16,
    /// At most so many callers wait.
    #[serde(default)]
    pub max_len: Option<usize>,
    /// A caller waits at most so long, unless a phone rings for it at that moment.
    #[serde(default, with = "time::option")]
    pub max_wait: Option<Duration>,
    /// New callers are sent on (as `Overflow::Full`) while the estimated wait is longer.
    #[serde(default, with = "time::option")]
    pub dissuade_when: Option<Duration>,
    /// Who must be there for a caller to join.
    #[serde(default)]
    pub join_empty: Staffing,
    /// Who must be there for callers to stay.
    #[serde(default)]
    pub leave_empty: Staffing,
    /// How long an offer rings: 1 s to a day, 25 s by default.
    #[serde(default = "default_ring_timeout", with = "time")]
    pub ring_timeout: Duration,
    /// After a refusal or a miss the agent is offered nothing for so long.
    #[serde(default = "default_retry_delay", with = "time")]
    pub retry_delay: Duration,
    /// So many misses in a row make the agent not ready; 0: never.
    #[serde(default = "default_max_no_answer")]
    pub max_no_answer: u32,
    /// After each call from this queue; zero, the default, is none.
    #[serde(default, with = "time")]
    pub wrap_up: Duration,
    /// An answer within this counts for the service level.
    #[serde(default = "default_service_level", with = "time")]
    pub service_level: Duration,
    /// Whether callers are told their place.
    #[serde(default)]
    pub announce_position: bool,
    /// Whether callers are told the estimated wait.
    #[serde(default)]
    pub announce_wait: bool,
    /// How often, 5 s at least; None: once, on joining.
    #[serde(default, with = "time::option")]
    pub announce_every: Option<Duration>,
    /// What each key does for one who waits.
    #[serde(default)]
    pub exit_keys: BTreeMap<char, String>,
    /// A redial within this keeps the place.
    #[serde(default, with = "time::option")]
    pub abandoned_resume: Option<Duration>,
    /// For so long the agent who had the citizen last is preferred.
    #[serde(default, with = "time::option")]
    pub sticky_agent: Option<Duration>,
}

fn default_level() -> u8 {
    1
}

fn default_ring_timeout() -> Duration {
    Duration::from_secs(25)
}

fn default_retry_delay() -> Duration {
    Duration::from_secs(5)
}

fn default_max_no_answer() -> u32 {
    1
}

fn default_service_level() -> Duration {
    Duration::from_secs(15)
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A name belongs to one queue.
    #[error("queue {0}: configured twice")]
    Twice(QueueName),
    /// `ring_all` and `weighted` are known by name and cannot be used yet.
    #[error(
        "queue {queue}: strategy {strategy:?} is not available; use longest_idle, round_robin, least_calls, least_talk_time, top_down or random"
    )]
    Strategy {
        /// Which one.
        queue: QueueName,
        /// What was asked for.
        strategy: Strategy,
    },
    /// The level of a skill is out of its bounds.
    #[error("queue {queue}: level is {level}, but levels are 1 to 9")]
    Level {
        /// Which one.
        queue: QueueName,
        /// What was asked for.
        level: u8,
    },
    /// A time is out of its bounds.
    #[error("queue {queue}: {knob} must be between {least:?} and {most:?}")]
    Time {
        /// Which one.
        queue: QueueName,
        /// Its name in the settings.
        knob: &'static str,
        /// The shortest that is allowed.
        least: Duration,
        /// The longest that is allowed.
        most: Duration,
    },
    /// A queue that nobody may join.
    #[error("queue {0}: max_len must be at least 1")]
    MaxLen(QueueName),
    /// A key that no telephone has.
    #[error("queue {queue}: exit key {key:?} is none of 0-9, * and #")]
    ExitKey {
        /// Which one.
        queue: QueueName,
        /// What was written.
        key: char,
    },
}

impl Config {
    /// Every fault, in the order of the queues.
    pub fn faults(&self) -> Vec<ConfigError> {
        let mut faults = Vec::new();
        for (index, queue) in self.queues.iter().enumerate() {
            if self.queues[..index].iter().any(|earlier| earlier.name == queue.name) {
                faults.push(ConfigError::Twice(queue.name.clone()));
            }
            queue.faults(&mut faults);
        }
        faults
    }
}

impl QueueConfig {
    /// A queue with the defaults: longest idle, ring 25 s, service level 15 s, no limits, no wrap-up, no announcements.
    pub fn new(name: impl Into<QueueName>) -> QueueConfig {
        QueueConfig {
            name: name.into(),
            strategy: Strategy::default(),
            skills: Vec::new(),
            level: default_level(),
            widen_after: None,
            weight: 0,
            max_len: None,
            max_wait: None,
            dissuade_when: None,
            join_empty: Staffing::default(),
            leave_empty: Staffing::default(),
            ring_timeout: default_ring_timeout(),
            retry_delay: default_retry_delay(),
            max_no_answer: default_max_no_answer(),
            wrap_up: Duration::ZERO,
            service_level: default_service_level(),
            announce_position: false,
            announce_wait: false,
            announce_every: None,
            exit_keys: BTreeMap::new(),
            abandoned_resume: None,
            sticky_agent: None,
        }
    }

    /// The level of an agent with these skills in this queue: the lowest of the needed ones. None: it cannot serve it,
    /// not even after all widening.
    pub fn level_of(&self, skills: &BTreeMap<String, u8>) -> Option<u8> {
        let own = |skill: &String| skills.get(skill).copied();
        let level = self.skills.iter().try_fold(*LEVELS.end(), |lowest, skill| Some(lowest.min(own(skill)?)))?;
        (level >= self.level || self.widen_after.is_some()).then_some(level)
    }

    /// How long a caller must have waited before an agent of this level may serve it.
    pub fn opens_after(&self, level: u8) -> Duration {
        let steps = u32::from(self.level.saturating_sub(level));
        self.widen_after.unwrap_or_default().saturating_mul(steps)
    }

    fn faults(&self, faults: &mut Vec<ConfigError>) {
        let queue = || self.name.clone();
        if matches!(self.strategy, Strategy::RingAll | Strategy::Weighted) {
            faults.push(ConfigError::Strategy { queue: queue(), strategy: self.strategy });
        }
        if !LEVELS.contains(&self.level) {
            faults.push(ConfigError::Level { queue: queue(), level: self.level });
        }
        if self.max_len == Some(0) {
            faults.push(ConfigError::MaxLen(queue()));
        }
        let second = Duration::from_secs(1);
        let day = second * 86_400;
        for (knob, value, least) in [
            ("ring_timeout", Some(self.ring_timeout), second),
            ("retry_delay", Some(self.retry_delay), Duration::ZERO),
            ("wrap_up", Some(self.wrap_up), Duration::ZERO),
            ("service_level", Some(self.service_level), second),
            ("max_wait", self.max_wait, second),
            ("widen_after", self.widen_after, second),
            ("dissuade_when", self.dissuade_when, second),
            ("announce_every", self.announce_every, second * 5),
        ] {
            if value.is_some_and(|value| value < least || value > day) {
                faults.push(ConfigError::Time { queue: queue(), knob, least, most: day });
            }
        }
        let odd_key = |key: &&char| !matches!(key, '0'..='9' | '*' | '#');
        faults.extend(self.exit_keys.keys().filter(odd_key).map(|&key| ConfigError::ExitKey { queue: queue(), key }));
    }
}

/// Durations in settings.
mod time {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::time::Duration;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(u64),
        Text(String),
    }

    fn read<E: de::Error>(written: Written) -> Result<Duration, E> {
        let text = match written {
            Written::Seconds(seconds) => return Ok(Duration::from_secs(seconds)),
            Written::Text(text) => text,
        };
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let seconds = match unit.trim() {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(E::custom(format!("{text:?} is no time; write \"25s\", \"500ms\", \"2m\" or \"1h\""))),
        };
        let number: f64 = number.parse().map_err(|_| E::custom(format!("{text:?} is no time")))?;
        Duration::try_from_secs_f64(number * seconds).map_err(E::custom)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        read(Written::deserialize(d)?)
    }

    pub fn serialize<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
        match duration.subsec_millis() {
            0 => s.collect_str(&format_args!("{}s", duration.as_secs())),
            _ => s.collect_str(&format_args!("{}ms", duration.as_millis())),
        }
    }

    pub mod option {
        use super::*;

        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
            Option::<Written>::deserialize(d)?.map(read).transpose()
        }

        pub fn serialize<S: Serializer>(duration: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => super::serialize(duration, s),
                None => s.serialize_none(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_read_from_settings() {
        let text = "name = 'general'\nskills = ['mandarin']\nring_timeout = '20s'\nwrap_up = 30\nmax_wait = '2m'\n\
                    retry_delay = '500ms'\nexit_keys = { '9' = 'callback' }";
        let queue: QueueConfig = toml::from_str(text).unwrap();
        assert_eq!(queue.ring_timeout, Duration::from_secs(20));
        assert_eq!(queue.wrap_up, Duration::from_secs(30));
        assert_eq!(queue.max_wait, Some(Duration::from_secs(120)));
        assert_eq!(queue.retry_delay, Duration::from_millis(500));
        assert_eq!(queue.service_level, Duration::from_secs(15));
        let hours: QueueConfig = toml::from_str("name = 'x'\nmax_wait = '1.5h'").unwrap();
        assert_eq!(hours.max_wait, Some(Duration::from_secs(5_400)));
        let written = toml::to_string(&queue).unwrap();
        assert!(written.contains("ring_timeout = \"20s\"") && written.contains("\"500ms\""), "{written}");
        let again: QueueConfig = toml::from_str(&toml::to_string(&queue).unwrap()).unwrap();
        assert_eq!(again, queue);
        assert!(toml::from_str::<QueueConfig>("name = 'x'\nring_timeout = 'soon'").is_err());
        assert!(toml::from_str::<QueueConfig>("name = 'x'\nring_timeuot = '20s'").is_err());
    }

    #[test]
    fn every_fault_is_named() {
        let odd = QueueConfig {
            strategy: Strategy::RingAll,
            level: 0,
            max_len: Some(0),
            ring_timeout: Duration::ZERO,
            announce_every: Some(Duration::from_secs(1)),
            exit_keys: [('x', "callback".to_owned())].into(),
            ..QueueConfig::new("a")
        };
        let config = Config { epoch: 1, queues: vec![QueueConfig::new("a"), odd], agents: AgentRules::default() };
        let faults: Vec<String> = config.faults().iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 7, "{faults:#?}");
        assert!(faults[1].starts_with("queue a: strategy RingAll is not available; use longest_idle"));
    }

    #[test]
    fn times_are_from_their_least_to_a_day() {
        let faults = |ring_timeout| {
            let queue = QueueConfig { ring_timeout, ..QueueConfig::new("q") };
            Config { epoch: 1, queues: vec![queue], agents: AgentRules::default() }.faults().len()
        };
        let (second, day, bit) = (Duration::from_secs(1), Duration::from_secs(86_400), Duration::from_millis(1));
        assert_eq!([second - bit, second, day, day + bit].map(faults), [1, 0, 0, 1]);
        assert_eq!(faults(day * 2), 1);
    }

    #[test]
    fn a_level_is_the_lowest_of_the_needed_skills() {
        let queue = QueueConfig { skills: vec!["a".into(), "b".into()], level: 5, ..QueueConfig::new("q") };
        let skills = |a, b| [("a".to_owned(), a), ("b".to_owned(), b)].into();
        assert_eq!(queue.level_of(&skills(9, 6)), Some(6));
        assert_eq!(queue.level_of(&skills(9, 4)), None);
        assert_eq!(queue.level_of(&[("a".to_owned(), 9)].into()), None);
        let widening = QueueConfig { widen_after: Some(Duration::from_secs(10)), ..queue };
        assert_eq!(widening.level_of(&skills(9, 3)), Some(3));
        assert_eq!(widening.opens_after(3), Duration::from_secs(20));
        assert_eq!(widening.opens_after(7), Duration::ZERO);
    }
}
