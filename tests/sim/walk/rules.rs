//! What must hold at every moment of every story (TRUST's invariants, as far as they can be seen here). What must hold
//! in the end is [`crate::world::World::ends`].

use crate::world::World;
use hotline::{
    acd::agent::StateName as AgentState,
    call::cdr::{CallRecord, LegStateName},
    ids::{AgentNo, CallId},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// I2: so long may an agent be on a call whose telephone knows nothing of it.
const ON_NOTHING: Duration = Duration::from_secs(15);
/// A telephone that is gone is rung no longer than one that is there; so much later is it seen.
const SEEN: Duration = Duration::from_secs(3);
/// Finished transactions linger for 32 s; so many may be there at a time for each telephone.
const TRANSACTIONS: usize = 100;

/// What is remembered from one moment to the next.
#[derive(Default)]
pub struct Watch {
    /// Since when an agent is busy while its telephone has no call, or is gone.
    alone: BTreeMap<AgentNo, Instant>,
    /// Calls whose end was seen: it does not change any more.
    ended: BTreeMap<CallId, CallRecord>,
}

impl Watch {
    /// The program started again: nobody is on a call.
    pub fn began_anew(&mut self) {
        self.alone.clear();
    }

    pub fn hold(&mut self, w: &World) {
        every_answered_call_is_on_disk_once(w);
        waiting_callers_are_in_order(w);
        self.busy_agents_have_a_telephone(w);
        self.endings_are_final(w);
        agents_and_calls_agree(w);
        little_is_kept(w);
    }

    /// I2.
    fn busy_agents_have_a_telephone(&mut self, w: &World) {
        for agent in w.switch.acd().agents(w.now) {
            let patience = match agent.state {
                AgentState::Ringing => {
                    let queue = agent.queue.as_ref().and_then(|queue| w.switch.acd().queue_config(queue));
                    queue.expect("it is rung for a queue").ring_timeout + SEEN
                }
                AgentState::Talking | AgentState::Holding | AgentState::Consulting | AgentState::Conferencing => {
                    ON_NOTHING
                }
                AgentState::Idle | AgentState::Reserved | AgentState::WrapUp => {
                    self.alone.remove(&agent.agent);
                    continue;
                }
            };
            let phone = w.phones.iter().find(|phone| phone.name == agent.agent.as_str());
            if phone.is_some_and(|phone| !phone.dead && !phone.lines().is_empty()) {
                self.alone.remove(&agent.agent);
                continue;
            }
            let since = *self.alone.entry(agent.agent.clone()).or_insert(w.now.mono);
            let alone = w.now.mono.duration_since(since);
            assert!(
                alone <= patience,
                "I2: agent {} is {:?} for {alone:?} without a telephone",
                agent.agent,
                agent.state
            );
        }
    }

    /// I7: what a record says in the end, it says for ever.
    fn endings_are_final(&mut self, w: &World) {
        for record in w.records.values().filter(|record| w.is_over(record.id)) {
            assert!(record.ending.is_some(), "I7: a call ended without a cause: {record:?}");
            let before = self.ended.entry(record.id).or_insert_with(|| record.clone());
            assert!(before == record, "I7: a record changed after its end: {before:?}, {record:?}");
        }
    }
}

/// I1: from its 200 on each call is noted once, until it is over.
fn every_answered_call_is_on_disk_once(w: &World) {
    for record in w.records.values().filter(|record| record.answered_at.is_some()) {
        assert!(w.times_spooled(record.id) == 1, "I1: an answered call is on disk once: {record:?}");
        if record.ended_at.is_none() {
            assert!(w.journal.calls.contains_key(&record.id), "I1: an answered call is not on disk: {record:?}");
        }
    }
}

/// I3: callers of the same standing are in the order in which they first queued, whatever the wall clock says.
fn waiting_callers_are_in_order(w: &World) {
    for queue in w.switch.acd().queues(w.now, 1_000) {
        let place = |call: &CallId| w.queued_first.get(call).copied();
        let order: Vec<_> = queue
            .waiting
            .iter()
            .map(|waiter| (Reverse(waiter.front), Reverse(waiter.priority), place(&waiter.call)))
            .collect();
        assert!(order.is_sorted(), "I3: {} is out of order: {:?}", queue.queue, queue.waiting);
    }
}

/// No call has two agents of the ACD's, and no agent is on a call that is over.
fn agents_and_calls_agree(w: &World) {
    let mut offered = BTreeSet::new();
    for agent in w.switch.acd().agents(w.now) {
        if let Some(offer) = agent.offer {
            assert!(offered.insert(offer), "two agents have one offer");
        }
        let on_call = matches!(
            agent.state,
            AgentState::Talking | AgentState::Holding | AgentState::Consulting | AgentState::Conferencing
        );
        if let Some(record) = agent.call.filter(|_| on_call).and_then(|call| w.records.get(&call)) {
            assert!(record.ended_at.is_none(), "agent {} is on a call that is over: {record:?}", agent.agent);
        }
    }
    for record in w.records.values().filter(|record| w.is_over(record.id)) {
        let open = record.legs.iter().filter(|leg| leg.state != LegStateName::Over);
        assert_eq!(open.count(), 0, "a leg outlives its call: {record:?}");
    }
}

/// I6: what is held is bounded by who is there.
fn little_is_kept(w: &World) {
    let endpoint = w.switch.endpoint();
    assert!(
        endpoint.transaction_count() <= TRANSACTIONS * w.phones.len(),
        "transactions: {}",
        endpoint.transaction_count()
    );
    let held = w.switch.held();
    assert!(held.timers <= held.calls, "timers are left behind: {held:?}");
    assert!(held.engaged <= held.calls, "agents are left behind: {held:?}");
    assert!(held.rung <= held.legs, "rung legs are left behind: {held:?}");
    if held.calls == 0 {
        assert_eq!((held.legs, held.admitted), (0, 0), "legs are left behind: {held:?}");
    }
}
