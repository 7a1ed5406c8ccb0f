//! What calls, agents and the ACD tell each other.

use super::agent::StateName;
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, CallId, Extension, OfferId, QueueName},
};
use std::time::Duration;

/// What the ACD is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A caller joins, or comes back: the place is by the moment of `enqueued_at`, which never changes over a call's
    /// life.
    Enqueue {
        call: CallId,
        queue: QueueName,
        enqueued_at: UnixMillis,
        /// The time since that moment by the monotonic clock: nobody is overtaken where the wall clock is set.
        waited: Duration,
        priority: u16,
        front: bool,
        /// How long this caller may wait, where the queue does not allow less.
        max_wait: Option<Duration>,
        sticky: Option<AgentNo>,
    },
    /// The caller left: hung up, exit key, served otherwise.
    Leave {
        call: CallId,
    },
    /// The caller waits no longer here and goes on elsewhere: another queue, a callback. Counted as overflowed, not as
    /// abandoned.
    SendOn {
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
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
    /// The caller may not wait (any longer) and is no waiter any more.
    Overflow { call: CallId, queue: QueueName, why: Overflow },
    /// An agent changed (for the live page and the record).
    AgentChanged { agent: AgentNo },
    /// A queue changed.
    QueueChanged { queue: QueueName },
    /// An agent went from one presence to another: what reports of agents' time are made from.
    Transition(AgentTransition),
}

/// What an agent wants and does at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Presence {
    #[serde(flatten)]
    pub status: Status,
    pub state: StateName,
    /// The call that it is offered, on, or wrapping up.
    pub call: Option<CallId>,
    pub queue: Option<QueueName>,
    pub extension: Option<Extension>,
}

/// One change of an agent's presence.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AgentTransition {
    pub agent: AgentNo,
    pub from: Presence,
    pub to: Presence,
    pub at: UnixMillis,
    /// How long `from` had lasted, in milliseconds of the monotonic clock.
    pub lasted_ms: u64,
    pub reason: Reason,
}

/// Why an agent's presence changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    SignedIn,
    SignedOut,
    /// The agent signed in at another seat.
    TakenOver,
    /// Another agent signed in at this seat.
    SeatTaken,
    StatusSet,
    Offered,
    Ringing,
    Answered,
    /// The offer rang out.
    NoAnswer,
    Rejected,
    Busy,
    Unreachable,
    CallerGone,
    /// The offer was taken back for the agent's own doing: another call, another seat, signing out.
    Withdrawn,
    /// A call of its own.
    Engaged,
    /// Hold, consultation, conference, and back.
    Activity,
    Released,
    WrapUpStretched,
    WrapUpEnded,
    /// The call was found to be gone.
    Reconciled,
}

/// Why a caller may not go on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// It waited as long as the queue allows.
    MaxWait,
    /// The queue is too long, by callers or by estimated wait.
    Full,
    /// Nobody is there to serve it.
    Empty,
    NoSuchQueue,
}
