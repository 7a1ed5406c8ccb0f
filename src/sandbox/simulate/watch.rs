//! What is looked at while an exercise runs: the agents' states against their telephones, the queues, the SMS, memory.

use super::{
    books::{self, SMS_STATES},
    desk::Desk,
    server::Usage,
};
use crate::net::clock;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// How often the queues are looked at; the agents half as often.
const LOOK: Duration = Duration::from_secs(1);
/// How often the SMS are counted.
const COUNT: Duration = Duration::from_secs(20);
/// How long an agent may be in a call that its telephone knows nothing of.
pub const GHOST: Duration = Duration::from_secs(15);

/// Agents who, says the centre, ring or talk, while their telephone has no dialog.
#[derive(Clone, Debug, Default)]
pub struct Ghosts {
    since: HashMap<String, (Instant, Instant)>,
    /// The longest that was seen, and of whom.
    pub longest: (Duration, String),
    /// Those that lasted longer than [`GHOST`].
    pub too_long: BTreeSet<String>,
    pub looks: u64,
}

impl Ghosts {
    /// Takes one look: who is engaged by the centre's word, and whose telephone has a dialog.
    pub fn look<'a>(&mut self, now: Instant, engaged: impl Iterator<Item = &'a str>, busy: &BTreeSet<String>) {
        self.looks += 1;
        let mut seen = HashMap::new();
        for agent in engaged.filter(|agent| !busy.contains(*agent)) {
            let first = self.since.get(agent).map_or(now, |(first, _)| *first);
            seen.insert(agent.to_owned(), (first, now));
            let lasted = now.saturating_duration_since(first);
            if lasted > self.longest.0 {
                self.longest = (lasted, agent.to_owned());
            }
            if lasted > GHOST {
                self.too_long.insert(agent.to_owned());
            }
        }
        self.since = seen;
    }
}

/// SMS: created = pending + submitted + delivered + failed + uncertain, at each look.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SmsCounts {
    pub looks: u64,
    /// Ids that were there and in no state.
    pub lost: BTreeSet<String>,
    /// The last look: all, and by state.
    pub created: usize,
    pub by_state: BTreeMap<String, usize>,
}

/// One measurement of the centre's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Since the exercise began.
    pub at: Duration,
    pub usage: Usage,
    /// Which start of the centre this was.
    pub start: usize,
}

/// What is seen, for whoever wants to show it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Agents with a dialog, by the workers' last word.
    pub busy: BTreeSet<String>,
    pub agents: BTreeMap<String, usize>,
    pub waiting: u64,
    pub answered: u64,
    pub answered_in_time: u64,
    pub ghosts: Ghosts,
    pub sms: SmsCounts,
    /// Looks that had no answer: the centre was away.
    pub unanswered: u64,
    /// The centre is known to be away just now.
    pub away: bool,
}

/// A view that is kept by a task of its own.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    /// What is known now.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again and again, until it is dropped.
    pub async fn keep(self, mut desk: Desk, begun_at: i64) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counted = clock::now().mono;
        for round in 0u64.. {
            looks.tick().await;
            if self.look(&mut desk, round.is_multiple_of(2)).await.is_none() {
                let mut seen = self.seen();
                if !seen.away {
                    seen.unanswered += 1;
                }
                continue;
            }
            if clock::now().mono.saturating_duration_since(counted) >= COUNT {
                counted = clock::now().mono;
                self.count_sms(&mut desk, begun_at).await;
            }
        }
    }

    async fn look(&self, desk: &mut Desk, with_agents: bool) -> Option<()> {
        let queues = desk.get("/queues").await.ok()?;
        let sum = |key: &str| -> u64 {
            queues["items"].as_array().into_iter().flatten().filter_map(|queue| queue[key].as_u64()).sum()
        };
        {
            let mut seen = self.seen();
            seen.waiting = sum("waiting_count");
            seen.answered = sum("answered");
            seen.answered_in_time = sum("answered_within_sl");
        }
        if with_agents {
            let agents = desk.get("/agents").await.ok()?;
            let mut engaged = Vec::new();
            let mut states: BTreeMap<String, usize> = BTreeMap::new();
            for agent in agents["items"].as_array().into_iter().flatten() {
                let state = agent["state"].as_str().unwrap_or_default();
                let shown = match (state, agent["status"].as_str()) {
                    ("idle", Some("ready")) => "idle",
                    ("idle", Some("logged_out")) => continue,
                    ("idle", _) => "not_ready",
                    _ => state,
                };
                *states.entry(shown.to_owned()).or_default() += 1;
                if matches!(state, "ringing" | "talking" | "holding" | "consulting" | "conferencing") {
                    engaged.extend(agent["agent"].as_str().map(str::to_owned));
                }
            }
            let mut seen = self.seen();
            let busy = seen.busy.clone();
            seen.agents = states;
            seen.ghosts.look(clock::now().mono, engaged.iter().map(String::as_str), &busy);
        }
        Some(())
    }

    /// Counts the SMS twice: all, then state by state in the order in which a message comes through them, so that one that
    /// moves meanwhile is met again rather than missed.
    pub async fn count_sms(&self, desk: &mut Desk, begun_at: i64) -> Option<()> {
        let all = books::message_ids(desk, begun_at).await.ok()?;
        let mut by_state = BTreeMap::new();
        let mut met: BTreeSet<String> = BTreeSet::new();
        // The second round meets those that went back from submitted to pending, to be tried again.
        for _ in 0..2 {
            for state in SMS_STATES {
                let ids = books::messages_in(desk, state, begun_at).await.ok()?;
                by_state.insert(state.to_owned(), ids.len());
                met.extend(ids);
            }
            if all.is_subset(&met) {
                break;
            }
        }
        let mut seen = self.seen();
        seen.sms.looks += 1;
        seen.sms.lost.extend(all.difference(&met).cloned());
        seen.sms.created = all.len();
        seen.sms.by_state = by_state;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ghosts_are_timed_and_forgotten_when_they_are_gone() {
        let start = clock::now().mono;
        let at = |seconds| start + Duration::from_secs(seconds);
        let busy = BTreeSet::from(["8001".to_owned()]);
        let mut ghosts = Ghosts::default();
        ghosts.look(at(0), ["8001", "8002"].into_iter(), &busy);
        ghosts.look(at(10), ["8001", "8002"].into_iter(), &busy);
        assert_eq!(ghosts.longest, (Duration::from_secs(10), "8002".to_owned()));
        ghosts.look(at(12), ["8001"].into_iter(), &busy);
        ghosts.look(at(20), ["8002"].into_iter(), &busy);
        ghosts.look(at(30), ["8002"].into_iter(), &busy);
        assert!(ghosts.too_long.is_empty(), "two short ones are no long one");
        ghosts.look(at(36), ["8002"].into_iter(), &busy);
        assert_eq!(ghosts.too_long, BTreeSet::from(["8002".to_owned()]));
    }
}
