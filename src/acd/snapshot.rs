//! What the live page and the API see of agents and queues.

use super::{
    Acd, Desk,
    agent::{State, StateName},
    config::Strategy,
    message::Status,
    queue::{Figures, Queue, millis},
};
use crate::{
    clock::{Now, UnixMillis},
    ids::{AgentNo, CallId, Extension, OfferId, QueueName},
};
use std::{collections::BTreeMap, time::Duration};

/// One agent at this moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AgentSnapshot {
    /// 工号.
    pub agent: AgentNo,
    /// The seat; None: logged out.
    pub extension: Option<Extension>,
    /// `status`, and `reason` when not ready.
    #[serde(flatten)]
    pub status: Status,
    /// Since when in this status.
    pub status_since: UnixMillis,
    /// What it does.
    pub state: StateName,
    /// Since when in this state.
    pub since: UnixMillis,
    /// How long in this state, in milliseconds of the monotonic clock.
    pub for_ms: u64,
    /// The call that it is offered, on, or wrapping up.
    pub call: Option<CallId>,
    /// The offer that is out to it.
    pub offer: Option<OfferId>,
    /// The queue that the call came from; None when idle, or for a call of its own.
    pub queue: Option<QueueName>,
    /// When the wrap-up ends by itself; None outside wrap-up.
    pub wrap_up_until: Option<UnixMillis>,
    /// Takes effect after the call.
    pub pending_status: Option<Status>,
    /// Its telephone is registered, and no offer found it dead just now.
    pub reachable: bool,
    /// Levels 1–9 by skill.
    pub skills: BTreeMap<String, u8>,
    /// The queues that it serves.
    pub queues: Vec<QueueName>,
    /// Calls from queues that it answered since midnight.
    pub calls_today: u64,
    /// Time on calls since midnight, in milliseconds, wrap-up left out.
    pub talk_today_ms: u64,
}

/// One queue at this moment.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct QueueSnapshot {
    /// Its name in the settings.
    pub queue: QueueName,
    /// How it chooses among agents.
    pub strategy: Strategy,
    /// The settings name it no more: who waits is served, and nobody else comes in.
    pub closing: bool,
    /// The first of those who wait, in order; see `waiting_count` for how many there are.
    pub waiting: Vec<WaiterSnapshot>,
    /// Callers without an offer.
    pub waiting_count: usize,
    /// Callers for whom a phone rings.
    pub ringing_count: usize,
    /// Of those who wait now, in milliseconds.
    pub longest_wait_ms: u64,
    /// What one who joined now would have to wait.
    pub estimate_ms: Option<u64>,
    /// Who serve it, ready or not.
    pub agents_signed_in: usize,
    /// Ready and reachable, busy or not.
    pub agents_serving: usize,
    /// May be offered a call now.
    pub agents_available: usize,
    /// Since midnight.
    #[serde(flatten)]
    pub today: Figures,
}

/// One caller who waits.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WaiterSnapshot {
    /// Who waits.
    pub call: CallId,
    /// From 1.
    pub position: usize,
    /// When the caller first queued; an earlier call's moment where its place was kept.
    pub enqueued_at: UnixMillis,
    /// How long this call has waited, in milliseconds.
    pub waited_ms: u64,
    /// 0–999, higher is served first.
    pub priority: u16,
    /// Put to the front, such as one whose agent was lost.
    pub front: bool,
}

impl Acd {
    /// All agents who ever signed in, in order of their numbers.
    pub fn agents(&self, now: Now) -> impl Iterator<Item = AgentSnapshot> {
        self.desk_of.values().map(move |&index| self.agent_snapshot(&self.desks[index], now))
    }

    /// One agent.
    pub fn agent(&self, agent: &AgentNo, now: Now) -> Option<AgentSnapshot> {
        self.desk_of.get(agent).map(|&index| self.agent_snapshot(&self.desks[index], now))
    }

    /// Who is signed in at an extension.
    pub fn agent_at(&self, extension: &Extension) -> Option<&AgentNo> {
        self.seats.get(extension).map(|&index| &self.desks[index].agent.number)
    }

    /// All queues in the order in which they came to be, each with at most `limit` of its waiters.
    pub fn queues(&self, now: Now, limit: usize) -> impl Iterator<Item = QueueSnapshot> {
        self.queues.iter().map(move |queue| self.queue_snapshot(queue, now, limit))
    }

    /// One queue, with at most `limit` of its waiters.
    pub fn queue(&self, name: &QueueName, now: Now, limit: usize) -> Option<QueueSnapshot> {
        self.queue_of.get(name).map(|&index| self.queue_snapshot(&self.queues[index], now, limit))
    }

    /// The agent to whom a call is offered, with the offer.
    pub fn offer_of(&self, call: CallId) -> Option<(OfferId, &AgentNo)> {
        let offer = self.waiters.get(&call)?.offer?;
        let live = self.offers.get(&offer)?;
        Some((offer, &self.desks[live.desk].agent.number))
    }

    fn agent_snapshot(&self, desk: &Desk, now: Now) -> AgentSnapshot {
        let agent = &desk.agent;
        let wrap_up_until = match &agent.state {
            State::WrapUp { until, .. } => Some(until.wall),
            State::Idle
            | State::Reserved(_)
            | State::Ringing(_)
            | State::Talking(_)
            | State::Holding(_)
            | State::Consulting(_)
            | State::Conferencing(_) => None,
        };
        let name_of = |queue: usize| self.queues[queue].config.name.clone();
        AgentSnapshot {
            agent: agent.number.clone(),
            extension: agent.extension.clone(),
            status: agent.status.clone(),
            status_since: agent.status_since.wall,
            state: agent.state.name(),
            since: agent.state_since.wall,
            for_ms: millis(now.mono.saturating_duration_since(agent.state_since.mono)),
            call: agent.state.call(),
            offer: agent.state.offered().map(|offered| offered.offer),
            queue: agent.state.queue().cloned(),
            wrap_up_until,
            pending_status: agent.pending.clone(),
            reachable: desk.reachable,
            skills: (*agent.skills).clone(),
            queues: desk.memberships.iter().map(|membership| name_of(membership.queue)).collect(),
            calls_today: desk.calls_today,
            talk_today_ms: millis(desk.talk_today),
        }
    }

    fn queue_snapshot(&self, queue: &Queue, now: Now, limit: usize) -> QueueSnapshot {
        let waiter = |(index, place): (usize, super::queue::Place)| {
            let waiter = self.waiters.get(&place.call);
            WaiterSnapshot {
                call: place.call,
                position: index + 1,
                enqueued_at: waiter.map_or(UnixMillis(0), |waiter| waiter.enqueued_at),
                waited_ms: millis(waiter.map_or(Duration::ZERO, |waiter| waiter.waited(now))),
                priority: place.priority.0,
                front: place.front.0,
            }
        };
        QueueSnapshot {
            queue: queue.config.name.clone(),
            strategy: queue.config.strategy,
            closing: queue.closing,
            waiting: queue.waiting.iter().take(limit).enumerate().map(waiter).collect(),
            waiting_count: queue.waiting.len(),
            ringing_count: queue.offered,
            longest_wait_ms: millis(queue.longest_wait(now)),
            estimate_ms: queue.estimate(queue.waiting.len() + 1).map(millis),
            agents_signed_in: queue.signed_in,
            agents_serving: queue.serving,
            agents_available: queue.available.len(),
            today: queue.figures,
        }
    }
}
