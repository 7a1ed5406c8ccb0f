//! One queue: who waits in which order, who may serve it, and its figures of the day.

use super::{config::QueueConfig, order::Ranked};
use crate::{
    clock::{Now, UnixMillis},
    ids::{AgentNo, CallId, OfferId},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A caller's place: first those put to the front, then by priority, then by the moment of first queueing, which never
/// changes. That is what brings a caller back to the old place after a refused offer, a restart or a redial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Reversed, so that those put to the front sort first.
    pub front: Reverse<bool>,
    /// 0–999; reversed, so that the higher sort first.
    pub priority: Reverse<u16>,
    /// Microseconds on the monotonic clock from the ACD's beginning; negative for a moment before.
    pub since: i64,
    /// Tells apart those who came in the same moment.
    pub call: CallId,
}

impl Place {
    /// The last place that there is with the same front flag and priority.
    fn end_of_group(self) -> Place {
        Place { since: i64::MAX, call: CallId(u64::MAX), ..self }
    }
}

/// One caller who waits, or to whom an agent's phone is ringing.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// Index of its queue.
    pub queue: usize,
    /// Where it stands in the order.
    pub place: Place,
    /// When the caller first queued, on the wall clock.
    pub enqueued_at: UnixMillis,
    /// When this call joined: from here its waiting is counted and limited.
    pub joined: Now,
    /// When the caller first queued, on the monotonic clock: from here levels open.
    pub waiting_since: Instant,
    /// The agent who had this citizen last, preferred while free.
    pub sticky: Option<AgentNo>,
    /// The one offer that is out for it.
    pub offer: Option<OfferId>,
    /// It has waited its time, and goes when the offer that is out comes to nothing.
    pub overdue: bool,
    /// Whether it counts in the figures: not when it comes back after having been answered.
    pub counted: bool,
    /// When it came into this queue: from here its own and the queue's longest wait are measured.
    pub entered: Instant,
    /// How long this caller may wait, where the queue does not allow less.
    pub own_max_wait: Option<Duration>,
    /// When it has waited its time.
    pub max_wait_at: Option<Instant>,
    /// When its place is told next.
    pub announce_at: Option<Instant>,
    /// When agents of the next lower level may serve it.
    pub widen_at: Option<Instant>,
}

impl Waiter {
    /// When something is next due.
    pub fn due(&self) -> Option<Instant> {
        [self.max_wait_at, self.announce_at, self.widen_at].into_iter().flatten().min()
    }

    /// How long this call has waited.
    pub fn waited(&self, now: Now) -> Duration {
        now.mono.saturating_duration_since(self.joined.mono)
    }

    /// How long the caller has waited, an earlier call whose place was kept included.
    pub fn waited_in_all(&self, now: Now) -> Duration {
        now.mono.saturating_duration_since(self.waiting_since)
    }
}

/// Counted since the day began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Callers who came, refused ones included.
    pub offered: u64,
    /// Confirmed with an agent.
    pub answered: u64,
    /// Answered within the queue's service level.
    pub answered_within_sl: u64,
    /// Left while they waited.
    pub abandoned: u64,
    /// Sent on: full, empty, or waited too long.
    pub overflowed: u64,
    /// The answered ones' waits together, in milliseconds.
    pub answered_wait_ms: u64,
    /// The longest wait of an answered or abandoned one, in milliseconds.
    pub longest_wait_ms: u64,
}

/// One queue.
#[derive(Debug)]
pub struct Queue {
    /// Its knobs.
    pub config: QueueConfig,
    /// The configuration names it no more: who waits is served, and nobody else comes in.
    pub closing: bool,
    /// Those who wait without an offer.
    pub waiting: Ranked<Place>,
    /// The same callers by when they joined.
    pub joined: BTreeSet<(Instant, CallId)>,
    /// The number of those with an offer out.
    pub offered: usize,
    /// Agents who may be offered a call now: by the strategy's key, then by index.
    pub available: BTreeSet<(u64, usize)>,
    /// Members who are signed in.
    pub signed_in: usize,
    /// Members who are ready and reachable, busy or not.
    pub serving: usize,
    /// Counts offers, for round_robin.
    pub turn: u64,
    /// The day's, begun anew at midnight.
    pub figures: Figures,
    /// Recent handling time (talking and wrap-up), a moving mean.
    pub handling: Option<Duration>,
}

impl Queue {
    /// A queue without callers and agents.
    pub fn new(config: QueueConfig) -> Queue {
        Queue {
            config,
            closing: false,
            waiting: Ranked::default(),
            joined: BTreeSet::new(),
            offered: 0,
            available: BTreeSet::new(),
            signed_in: 0,
            serving: 0,
            turn: 0,
            figures: Figures::default(),
            handling: None,
        }
    }

    /// Adds one to those who wait without an offer.
    pub fn add_waiting(&mut self, place: Place, joined: Now) {
        self.waiting.insert(place);
        self.joined.insert((joined.mono, place.call));
    }

    /// Takes one from those who wait without an offer; false where it was not among them.
    pub fn remove_waiting(&mut self, place: &Place, joined: Now) -> bool {
        self.joined.remove(&(joined.mono, place.call));
        self.waiting.remove(place)
    }

    /// How long the one has waited who has waited longest.
    pub fn longest_wait(&self, now: Now) -> Duration {
        self.joined.first().map_or(Duration::ZERO, |(joined, _)| now.mono.saturating_duration_since(*joined))
    }

    /// All who are in it, with and without an offer.
    pub fn callers(&self) -> usize {
        self.waiting.len() + self.offered
    }

    /// The first in order whom an agent of this level may serve, leaving out `avoid`.
    pub fn first_for(
        &self,
        waiters: &BTreeMap<CallId, Waiter>,
        level: u8,
        avoid: Option<CallId>,
        now: Now,
    ) -> Option<Place> {
        let opens_after = self.config.opens_after(level);
        let mut next = self.waiting.first();
        while let Some(place) = next {
            let open = opens_after.is_zero()
                || waiters.get(&place.call).is_some_and(|waiter| waiter.waited_in_all(now) >= opens_after);
            if open && avoid != Some(place.call) {
                return Some(place);
            }
            // Within a group the first has waited longest: where it is not open, none is.
            next = self.waiting.after(&if open { place } else { place.end_of_group() });
        }
        None
    }

    /// A caller's place among those without an offer, from 1.
    pub fn position(&self, place: &Place) -> Option<usize> {
        Some(self.waiting.place(place)? + 1)
    }

    /// The wait that one at this position may expect: those before it, each handled in the usual time, shared among the
    /// agents who are ready. None: nothing to judge by.
    pub fn estimate(&self, position: usize) -> Option<Duration> {
        let handling = self.handling?;
        if self.serving == 0 {
            return None;
        }
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let serving = u32::try_from(self.serving).unwrap_or(u32::MAX);
        Some(handling.saturating_mul(position) / serving)
    }

    /// Takes one handling time into the mean.
    pub fn handled(&mut self, took: Duration) {
        self.handling = Some(match self.handling {
            None => took,
            Some(mean) => (mean.saturating_mul(7).saturating_add(took)) / 8,
        });
    }

    /// Counts one who was answered after this wait.
    pub fn count_answered(&mut self, waited: Duration) {
        self.figures.answered += 1;
        self.figures.answered_within_sl += u64::from(waited <= self.config.service_level);
        self.figures.answered_wait_ms += millis(waited);
        self.figures.longest_wait_ms = self.figures.longest_wait_ms.max(millis(waited));
    }

    /// Counts one who left after this wait.
    pub fn count_abandoned(&mut self, waited: Duration) {
        self.figures.abandoned += 1;
        self.figures.longest_wait_ms = self.figures.longest_wait_ms.max(millis(waited));
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
