//! What calls, agents and the ACD tell each other.

use crate::{
    clock::UnixMillis,
    ids::{AgentNo, CallId, Extension, OfferId, QueueName},
};
use std::time::Duration;

/// What the ACD is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A caller joins, or comes back: the place is by `enqueued_at`, which never changes over a call's life.
    Enqueue {
        call: CallId,
        queue: QueueName,
        enqueued_at: UnixMillis,
        priority: u16,
        front: bool,
        sticky: Option<AgentNo>,
    },
    /// The caller left: hung up, exit key, served otherwise.
    Leave {
        call: CallId,
    },
    /// The agent's phone rings.
    Ringing {
        offer: OfferId,
        epoch: u64,
    },
    /// The agent's phone answered; answered by `Confirmed` or `Stale`.
    Answered {
        offer: OfferId,
        epoch: u64,
    },
    /// The offer came to nothing.
    Failed {
        offer: OfferId,
        epoch: u64,
        why: OfferFailure,
    },
    /// The agent has no part in the call any more: wrap-up begins. Idempotent.
    Released {
        agent: AgentNo,
        call: CallId,
    },
    /// What the agent does within the call.
    Doing {
        agent: AgentNo,
        call: CallId,
        activity: Activity,
    },
    /// The agent talks without an offer of ours: an outbound call, a consultation rung directly.
    Engaged {
        agent: AgentNo,
        call: CallId,
    },
    SignIn {
        agent: AgentNo,
        extension: Extension,
        skills: Vec<(String, u8)>,
        ready: bool,
    },
    SignOut {
        agent: AgentNo,
    },
    /// The extension's registration came or went.
    Reachable {
        extension: Extension,
        reachable: bool,
    },
    SetStatus {
        agent: AgentNo,
        status: Status,
    },
    /// Ends or stretches the wrap-up.
    WrapUp {
        agent: AgentNo,
        more: Option<Duration>,
    },
}

/// Why an offer came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OfferFailure {
    NoAnswer,
    Rejected,
    Busy,
    Unreachable,
    CallerGone,
}

/// What an agent does within a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activity {
    Talking,
    Holding,
    Consulting,
    Conferencing,
}

/// What the agent wants: apart from the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    LoggedOut,
    Ready,
    NotReady { reason: String },
}

/// What the ACD tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Ring this agent for this call, for `ring_timeout` at most.
    Offer { call: CallId, offer: OfferId, epoch: u64, agent: AgentNo, extension: Extension, ring_timeout: Duration },
    /// Stop ringing: the offer is no longer good.
    Withdraw { call: CallId, offer: OfferId },
    /// The answer counts: connect them.
    Confirmed { call: CallId, offer: OfferId },
    /// The answer came too late: ACK, then BYE.
    Stale { call: CallId, offer: OfferId },
    /// The caller's place, from 1, and the estimated wait.
    Position { call: CallId, position: usize, estimate: Option<Duration> },
    /// The caller waited as long as the queue allows, or the queue is full, or nobody is signed in.
    Overflow { call: CallId, queue: QueueName, why: Overflow },
    /// An agent changed (for the live page and the record).
    AgentChanged { agent: AgentNo },
    /// A queue changed.
    QueueChanged { queue: QueueName },
}

/// Why a caller may not go on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overflow {
    MaxWait,
    Full,
    Empty,
    NoSuchQueue,
}
