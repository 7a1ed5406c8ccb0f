//! What is going on now: calls, agents and queues as the switch last told, for the API and the live page.

use crate::{
    acd::snapshot::{AgentSnapshot, QueueSnapshot},
    call::cdr::CallRecord,
    ids::{AgentNo, CallId, Extension, QueueName, TicketNo},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// A call in progress and the number of its ticket.
#[derive(Clone, Debug)]
pub struct LiveCall {
    /// The record so far.
    pub record: Arc<CallRecord>,
    /// The number of its primary ticket, once there is one.
    pub ticket_no: Option<TicketNo>,
    /// A ticket of it is confidential.
    pub confidential: bool,
}

#[derive(Default)]
struct State {
    calls: HashMap<CallId, LiveCall>,
    agents: BTreeMap<AgentNo, AgentSnapshot>,
    queues: BTreeMap<QueueName, QueueSnapshot>,
    registered: HashSet<Extension>,
}

/// The present, readable from everywhere.
#[derive(Default)]
pub struct Live(RwLock<State>);

impl Live {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call changed; it keeps what is known of its tickets.
    pub fn set_call(&self, record: Arc<CallRecord>) {
        let mut state = self.write();
        let known = state.calls.get(&record.id);
        let ticket_no = known.and_then(|call| call.ticket_no.clone());
        let confidential = known.is_some_and(|call| call.confidential);
        state.calls.insert(record.id, LiveCall { record, ticket_no, confidential });
    }

    /// A call has a confidential ticket from now on; gives the call where this is new.
    pub fn set_confidential(&self, call: CallId) -> Option<LiveCall> {
        let mut state = self.write();
        let call = state.calls.get_mut(&call).filter(|call| !call.confidential)?;
        call.confidential = true;
        Some(call.clone())
    }

    /// A call was given a ticket's number.
    pub fn set_ticket(&self, record: Arc<CallRecord>, ticket_no: Option<TicketNo>) {
        self.write().calls.insert(record.id, LiveCall { record, ticket_no, confidential: false });
    }

    /// A call is over.
    pub fn remove_call(&self, call: CallId) -> Option<LiveCall> {
        self.write().calls.remove(&call)
    }

    /// One call in progress.
    pub fn call(&self, call: CallId) -> Option<LiveCall> {
        self.read().calls.get(&call).cloned()
    }

    /// All calls in progress, oldest first.
    pub fn calls(&self) -> Vec<LiveCall> {
        let mut calls: Vec<LiveCall> = self.read().calls.values().cloned().collect();
        calls.sort_by_key(|call| call.record.id);
        calls
    }

    /// How many calls are in progress.
    pub fn call_count(&self) -> usize {
        self.read().calls.len()
    }

    /// An agent changed.
    pub fn set_agent(&self, agent: AgentSnapshot) {
        self.write().agents.insert(agent.agent.clone(), agent);
    }

    /// All agents that ever signed in, by number.
    pub fn agents(&self) -> Vec<AgentSnapshot> {
        self.read().agents.values().cloned().collect()
    }

    /// One agent.
    pub fn agent(&self, agent: &AgentNo) -> Option<AgentSnapshot> {
        self.read().agents.get(agent).cloned()
    }

    /// A queue changed.
    pub fn set_queue(&self, queue: QueueSnapshot) {
        self.write().queues.insert(queue.queue.clone(), queue);
    }

    /// A queue is gone.
    pub fn remove_queue(&self, queue: &QueueName) {
        self.write().queues.remove(queue);
    }

    /// All queues, by name.
    pub fn queues(&self) -> Vec<QueueSnapshot> {
        self.read().queues.values().cloned().collect()
    }

    /// A telephone registered, or its registration ended.
    pub fn set_registered(&self, extension: Extension, registered: bool) {
        let mut state = self.write();
        if registered {
            state.registered.insert(extension);
        } else {
            state.registered.remove(&extension);
        }
    }

    /// How many telephones are registered.
    pub fn registered_count(&self) -> usize {
        self.read().registered.len()
    }

    /// Whether a telephone is registered.
    pub fn is_registered(&self, extension: &Extension) -> bool {
        self.read().registered.contains(extension)
    }
}
