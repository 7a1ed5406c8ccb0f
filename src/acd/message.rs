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
        /// Who waits.
        call: CallId,
        /// Where; a name that is not configured is answered with `Overflow`.
        queue: QueueName,
        /// When the caller first queued; shown and stored.
        enqueued_at: UnixMillis,
        /// The time since that moment by the monotonic clock, more than a day counting as a day where levels open: nobody is overtaken where the wall clock is set.
        waited: Duration,
        /// 0–999, higher is served first.
        priority: u16,
        /// Before all others, whatever their priority; such a caller is neither refused nor counted.
        front: bool,
        /// How long this caller may wait, where the queue does not allow less.
        max_wait: Option<Duration>,
        /// An agent who is preferred while free, such as the one who had the citizen last.
        sticky: Option<AgentNo>,
    },
    /// The caller left: hung up, exit key, served otherwise.
    Leave {
        /// Who left.
        call: CallId,
    },
    /// The caller waits no longer here and goes on elsewhere: another queue, a callback. Counted as overflowed, not as
    /// abandoned.
    SendOn {
        /// Who goes on.
        call: CallId,
    },
    /// The agent's phone rings.
    Ringing {
        /// Which one.
        offer: OfferId,
        /// As it came in `Output::Offer`; one of an earlier run is stale.
        epoch: u64,
    },
    /// The agent's phone answered; answered by `Confirmed` or `Stale`.
    Answered {
        /// Which one.
        offer: OfferId,
        /// As it came in `Output::Offer`; one of an earlier run is stale.
        epoch: u64,
    },
    /// The offer came to nothing.
    Failed {
        /// Which one.
        offer: OfferId,
        /// As it came in `Output::Offer`; one of an earlier run is stale.
        epoch: u64,
        /// Decides whether the agent is to blame.
        why: OfferFailure,
    },
    /// The agent has no part in the call any more: wrap-up begins. Idempotent.
    Released {
        /// Who is off it.
        agent: AgentNo,
        /// Which one.
        call: CallId,
    },
    /// What the agent does within the call.
    Doing {
        /// Who.
        agent: AgentNo,
        /// Which one it is on.
        call: CallId,
        /// What it does from now on.
        activity: Activity,
    },
    /// The agent talks without an offer of ours: an outbound call, a consultation rung directly.
    Engaged {
        /// Who; an offer that is out to it is taken back.
        agent: AgentNo,
        /// Which one.
        call: CallId,
    },
    /// An agent takes a seat, its own former one given up; a free agent who sits there is signed out.
    SignIn {
        /// Who.
        agent: AgentNo,
        /// The seat.
        extension: Extension,
        /// Levels by skill, brought into 1–9.
        skills: Vec<(String, u8)>,
        /// Whether calls may come at once; else not ready, with the reason `signed_in`.
        ready: bool,
    },
    /// An agent goes; one on a call goes after it.
    SignOut {
        /// Who.
        agent: AgentNo,
    },
    /// The extension's registration came or went.
    Reachable {
        /// Whose telephone.
        extension: Extension,
        /// Whether it is registered now.
        reachable: bool,
    },
    /// What an agent wants; during a call it takes effect after it.
    SetStatus {
        /// Who.
        agent: AgentNo,
        /// What it wants.
        status: Status,
    },
    /// Ends or stretches the wrap-up.
    WrapUp {
        /// Who.
        agent: AgentNo,
        /// So much longer; None ends it.
        more: Option<Duration>,
    },
}

/// Why an offer came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OfferFailure {
    /// It rang out: a miss, and too many of them make the agent not ready.
    NoAnswer,
    /// The agent refused it: another call may come after `retry_delay`.
    Rejected,
    /// The telephone was busy, as with a call of its own.
    Busy,
    /// The telephone could not be rung; no fault of the agent's.
    Unreachable,
    /// The caller left meanwhile, and is dropped.
    CallerGone,
}

/// What an agent does within a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activity {
    /// With the citizen.
    Talking,
    /// The citizen hears music.
    Holding,
    /// With a department, the citizen on hold.
    Consulting,
    /// With the citizen and a department.
    Conferencing,
}

/// What the agent wants: apart from the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// At no seat.
    LoggedOut,
    /// Wants calls.
    Ready,
    /// At a seat and wants no calls.
    NotReady {
        /// Shown beside it: the agent's own (小休, 培训), or ours, such as `no_answer`, `signed_in`, `phone_lost`.
        reason: String,
    },
}

/// What the ACD tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Ring this agent for this call, for `ring_timeout` at most.
    Offer {
        /// Who waits.
        call: CallId,
        /// By which the call answers.
        offer: OfferId,
        /// To be given back with each answer.
        epoch: u64,
        /// Whom to ring.
        agent: AgentNo,
        /// Where it sits.
        extension: Extension,
        /// Then the call says `Failed` with `NoAnswer`.
        ring_timeout: Duration,
    },
    /// Stop ringing: the offer is no longer good.
    Withdraw {
        /// Whose offer.
        call: CallId,
        /// Which one.
        offer: OfferId,
    },
    /// The answer counts: connect them.
    Confirmed {
        /// Whose offer.
        call: CallId,
        /// Which one.
        offer: OfferId,
    },
    /// The answer came too late: ACK, then BYE.
    Stale {
        /// Whose offer.
        call: CallId,
        /// Which one.
        offer: OfferId,
    },
    /// The caller's place, from 1, and the estimated wait.
    Position {
        /// Who waits.
        call: CallId,
        /// From 1.
        position: usize,
        /// None where the queue does not tell it or cannot judge.
        estimate: Option<Duration>,
    },
    /// The caller may not wait (any longer) and is no waiter any more.
    Overflow {
        /// Who waited.
        call: CallId,
        /// Where.
        queue: QueueName,
        /// The rule that ended it.
        why: Overflow,
    },
    /// An agent changed (for the live page and the record).
    AgentChanged {
        /// Who; [`super::Acd::agent`] has its present state.
        agent: AgentNo,
    },
    /// A queue changed.
    QueueChanged {
        /// Which one; [`super::Acd::queue`] has its present state.
        queue: QueueName,
    },
    /// An agent went from one presence to another: what reports of agents' time are made from.
    Transition(AgentTransition),
}

/// What an agent wants and does at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Presence {
    /// What it wants.
    #[serde(flatten)]
    pub status: Status,
    /// What it does.
    pub state: StateName,
    /// The call that it is offered, on, or wrapping up.
    pub call: Option<CallId>,
    /// The queue that the call came from; None when idle, or for a call of its own.
    pub queue: Option<QueueName>,
    /// Its seat; None: logged out.
    pub extension: Option<Extension>,
}

/// One change of an agent's presence.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AgentTransition {
    /// Who.
    pub agent: AgentNo,
    /// What ended.
    pub from: Presence,
    /// What began.
    pub to: Presence,
    /// When, by the wall clock.
    pub at: UnixMillis,
    /// How long `from` had lasted, in milliseconds of the monotonic clock.
    pub lasted_ms: u64,
    /// What brought it about.
    pub reason: Reason,
}

/// Why an agent's presence changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// At a seat, having had none.
    SignedIn,
    /// It asked to go.
    SignedOut,
    /// The agent signed in at another seat.
    TakenOver,
    /// Another agent signed in at this seat.
    SeatTaken,
    /// It asked for calls, or for none.
    StatusSet,
    /// It was chosen for a caller.
    Offered,
    /// Its telephone rings.
    Ringing,
    /// Its answer was confirmed.
    Answered,
    /// The offer rang out.
    NoAnswer,
    /// It refused the offer.
    Rejected,
    /// The offer found its telephone busy.
    Busy,
    /// Its telephone could not be rung, or is no longer registered.
    Unreachable,
    /// The caller left before it answered.
    CallerGone,
    /// The offer was taken back for the agent's own doing: another call, another seat, signing out.
    Withdrawn,
    /// A call of its own.
    Engaged,
    /// Hold, consultation, conference, and back.
    Activity,
    /// It is off the call: wrap-up, or idle.
    Released,
    /// It asked for more time.
    WrapUpStretched,
    /// Its time was up, or it ended it itself.
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
    /// The name is not configured.
    NoSuchQueue,
}
