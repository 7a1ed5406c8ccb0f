//! Other queues and other agents than before, while callers wait and agents talk.
//!
//! Who waits keeps the place and what was waited. A queue that is gone serves those who wait and takes nobody else; it
//! is gone for good when it is empty. An agent who is gone finishes the call and is signed out; one whose seat is
//! another signs in there. Limits on how many may wait never send anybody away who waits already.

use super::{
    Acd, Membership, Timer,
    agent::Command,
    config::{Config, ConfigError, LEVELS, QueueConfig},
    message::{Reason, Status},
    next_step,
    queue::Queue,
};
use crate::{
    clock::Now,
    ids::{AgentNo, CallId, Extension, QueueName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An agent as the settings have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rostered {
    /// The telephone at which it usually sits.
    pub extension: Extension,
    /// Levels 1–9 by skill.
    pub skills: BTreeMap<String, u8>,
}

/// What a change of the queues leaves to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// Queues that are gone but for those who wait in them, and how many these are.
    pub closing: Vec<(QueueName, usize)>,
    /// Agents who are gone, or sit elsewhere, once their call is over.
    pub talking: Vec<AgentNo>,
}

impl Acd {
    /// Puts other queues in force.
    ///
    /// # Errors
    /// The first fault of the queues; nothing changed.
    pub fn set_queues(&mut self, now: Now, queues: Vec<QueueConfig>) -> Result<(), ConfigError> {
        let config = Config { epoch: self.epoch, queues, agents: self.rules.clone() };
        if let Some(fault) = config.faults().into_iter().next() {
            return Err(fault);
        }
        let named: BTreeSet<QueueName> = config.queues.iter().map(|queue| queue.name.clone()).collect();
        let mut before = BTreeMap::new();
        for queue in config.queues {
            match self.queue_of.get(&queue.name).copied() {
                Some(index) if self.queues[index].config == queue => self.queues[index].closing = false,
                Some(index) => {
                    let old = std::mem::replace(&mut self.queues[index].config, queue);
                    self.queues[index].closing = false;
                    before.insert(index, old);
                }
                None => {
                    self.queue_of.insert(queue.name.clone(), self.queues.len());
                    self.queues.push(Queue::new(queue));
                }
            }
        }
        for (index, queue) in self.queues.iter_mut().enumerate() {
            queue.closing = !named.contains(&queue.config.name);
            self.changed_queues.insert(index);
            self.thinned_queues.insert(index);
        }
        self.rejoin_all(now);
        let waiting: Vec<CallId> = self.waiters.keys().copied().collect();
        for call in waiting {
            self.time_again(now, call, &before);
        }
        self.settle(now);
        Ok(())
    }

    /// Puts other agents in force: those who are signed in have other skills at once, and who is not there any more, or
    /// sits elsewhere, is signed out as soon as it has no call.
    pub fn set_roster(&mut self, now: Now, roster: &BTreeMap<AgentNo, Rostered>) {
        for index in 0..self.desks.len() {
            let agent = &self.desks[index].agent;
            let Some(seat) = agent.extension.clone() else { continue };
            let known = roster.get(&agent.number).filter(|own| own.extension == seat);
            let Some(own) = known else {
                let number = agent.number.clone();
                // Nothing refuses to sign out an agent who is signed in and to whom no offer is out.
                let _ = self.set_status(now, &number, Status::LoggedOut);
                continue;
            };
            if *agent.skills == own.skills {
                continue;
            }
            let skills = Arc::new(own.skills.clone());
            self.withdraw_from_pools(index);
            let turns = std::mem::take(&mut self.desks[index].memberships);
            self.desks[index].memberships = with_turns(self.memberships(&skills), &turns);
            // The agent machine takes skills in every state.
            let _ = self.change(now, index, Command::SetSkills(skills), Reason::StatusSet);
            self.refresh(now, index);
        }
        self.settle(now);
    }

    /// What is still to be done of earlier changes.
    pub fn leftover(&self, roster: &BTreeMap<AgentNo, Rostered>) -> Leftover {
        let closing = self.queues.iter().filter(|queue| queue.closing && queue.callers() > 0);
        let gone = self.desks.iter().map(|desk| &desk.agent).filter(|agent| {
            let seat = agent.extension.as_ref();
            seat.is_some_and(|seat| roster.get(&agent.number).is_none_or(|own| own.extension != *seat))
        });
        Leftover {
            closing: closing.map(|queue| (queue.config.name.clone(), queue.callers())).collect(),
            talking: gone.map(|agent| agent.number.clone()).collect(),
        }
    }

    /// The queues that an agent with these skills serves.
    pub(super) fn memberships(&self, skills: &BTreeMap<String, u8>) -> Vec<Membership> {
        let serves = |(queue, state): (usize, &Queue)| {
            let level = state.config.level_of(skills)?;
            Some(Membership { queue, level, key: 0, turn: 0 })
        };
        self.queues.iter().enumerate().filter_map(serves).collect()
    }

    /// Finds anew which queues each agent serves.
    fn rejoin_all(&mut self, now: Now) {
        for index in 0..self.desks.len() {
            if self.desks[index].agent.extension.is_none() {
                continue;
            }
            self.withdraw_from_pools(index);
            let skills = self.desks[index].agent.skills.clone();
            let turns = std::mem::take(&mut self.desks[index].memberships);
            self.desks[index].memberships = with_turns(self.memberships(&skills), &turns);
            self.changed_desks.insert(index);
            self.refresh(now, index);
        }
    }

    /// Sets what is due for one who waits by the queue as it is now; the time waited counts.
    fn time_again(&mut self, now: Now, call: CallId, before: &BTreeMap<usize, QueueConfig>) {
        self.open_callers.insert(call);
        let Some(waiter) = self.waiters.get_mut(&call) else { return };
        let Some(old) = before.get(&waiter.queue) else { return };
        let config = &self.queues[waiter.queue].config;
        let due = waiter.due();
        let longest = config.max_wait.into_iter().chain(waiter.own_max_wait).min();
        waiter.max_wait_at = longest.map(|longest| waiter.entered + longest);
        waiter.overdue = false;
        if old.announce_every != config.announce_every {
            waiter.announce_at = config.announce_every.map(|every| now.mono + every);
        }
        let waited = waiter.waited_in_all(now);
        let all_open = waited >= config.opens_after(*LEVELS.start());
        let widens = config.widen_after.filter(|_| !all_open);
        waiter.widen_at = widens.map(|after| now.mono + next_step(waited, after));
        let next = waiter.due();
        if let Some(due) = due {
            self.timers.remove(&(due, Timer::Caller(call)));
        }
        if let Some(next) = next {
            self.timers.insert((next, Timer::Caller(call)));
        }
    }
}

/// Each queue's turns stay with it.
fn with_turns(mut memberships: Vec<Membership>, before: &[Membership]) -> Vec<Membership> {
    for membership in &mut memberships {
        let old = before.iter().find(|old| old.queue == membership.queue);
        membership.turn = old.map_or(0, |old| old.turn);
    }
    memberships
}
