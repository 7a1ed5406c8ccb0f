//! One agent: what it wants (status) apart from what it does (state).
//!
//! A business machine: [`Agent::apply`] is pure, changes nothing when it refuses, and says what happened. It knows one
//! offer or one call at a time. Left out: whether the phone is reachable and who is offered what (`routing`).

use super::message::{Activity, Status};
use crate::{
    clock::Now,
    ids::{AgentNo, CallId, Extension, OfferId, QueueName},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The reason shown for an agent who let an offer ring out too often.
pub const NO_ANSWER: &str = "no_answer";
/// The reason shown for an agent who signed in without asking for calls.
pub const SIGNED_IN: &str = "signed_in";

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// 工号: whose desk this is, wherever it is signed in.
    pub number: AgentNo,
    /// Where it is signed in; None: logged out.
    pub extension: Option<Extension>,
    /// Levels 1–9 by skill.
    pub skills: Arc<BTreeMap<String, u8>>,
    /// What the agent wants.
    pub status: Status,
    /// Since when it has wanted that.
    pub status_since: Now,
    /// A status that was asked for during a call and takes effect after it.
    pub pending: Option<Status>,
    /// What the agent does.
    pub state: State,
    /// Since when it has done that.
    pub state_since: Now,
    /// Since when it has been ready and without a call; an offer that came to nothing does not move it.
    pub idle_since: Now,
    /// Offers in a row that it let ring out.
    pub misses: u32,
}

/// What an agent does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// On no call, offered none, wrapping none up; whether it may be offered one is for the status to say.
    Idle,
    /// An offer is out.
    Reserved(Offered),
    /// Its phone rings.
    Ringing(Offered),
    /// With the citizen.
    Talking(Serving),
    /// The citizen hears music.
    Holding(Serving),
    /// With a department, the citizen on hold.
    Consulting(Serving),
    /// With the citizen and a department.
    Conferencing(Serving),
    /// 话后处理: the call is over and is being written up; nothing is offered meanwhile.
    WrapUp {
        /// The call that is over.
        serving: Serving,
        /// When it ends by itself.
        until: Now,
    },
}

/// The offer that an agent is reserved for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// By which the call answers for it.
    pub offer: OfferId,
    /// Who waits.
    pub call: CallId,
    /// Where the caller waits.
    pub queue: QueueName,
}

/// The call that an agent is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Which one.
    pub call: CallId,
    /// None: it came from no queue, such as an outbound call.
    pub queue: Option<QueueName>,
    /// When it began to talk.
    pub since: Now,
}

/// A state's name, for records and screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// See [`State::Idle`].
    Idle,
    /// An offer is out; the phone does not ring yet.
    Reserved,
    /// The phone rings.
    Ringing,
    /// With the citizen.
    Talking,
    /// The citizen hears music.
    Holding,
    /// With a department, the citizen on hold.
    Consulting,
    /// With the citizen and a department.
    Conferencing,
    /// 话后处理, after a call.
    WrapUp,
}

impl StateName {
    /// The name in rows and in the API.
    pub fn name(self) -> &'static str {
        match self {
            StateName::Idle => "idle",
            StateName::Reserved => "reserved",
            StateName::Ringing => "ringing",
            StateName::Talking => "talking",
            StateName::Holding => "holding",
            StateName::Consulting => "consulting",
            StateName::Conferencing => "conferencing",
            StateName::WrapUp => "wrap_up",
        }
    }
}

/// What an agent is told.
#[derive(Clone, Debug)]
pub enum Command {
    /// At a seat, also from another one (take-over).
    SignIn {
        /// The seat.
        extension: Extension,
        /// Levels 1–9 by skill.
        skills: Arc<BTreeMap<String, u8>>,
        /// Whether calls may come at once.
        ready: bool,
    },
    /// At once when idle or in wrap-up, after the call when on one; refused while an offer is out.
    SignOut,
    /// What it can do is another by now.
    SetSkills(Arc<BTreeMap<String, u8>>),
    /// At once when idle, else when the call, the offer or the wrap-up is over.
    SetStatus(Status),
    /// An offer goes out; refused unless ready and idle.
    Reserve(Offered),
    /// The offer's phone rings.
    Ring(OfferId),
    /// The offer was answered: talking begins.
    Answer(OfferId),
    /// The offer came to nothing. `missed`: it rang out; so many misses make the agent not ready (0: never).
    EndOffer {
        /// Which one; any other is refused as stale.
        offer: OfferId,
        /// None where it did not ring out.
        missed: Option<u32>,
    },
    /// A call of the agent's own, such as an outbound one.
    Engage(CallId),
    /// What it does within the call that it is on.
    Do {
        /// Which one; any other is refused.
        call: CallId,
        /// What it does from now on.
        activity: Activity,
    },
    /// Off the call; wrap-up for so long.
    Release {
        /// Which one; nothing happens where it is on another or on none.
        call: CallId,
        /// Zero: none.
        wrap_up: Duration,
    },
    /// Stretches the wrap-up, to `limit` from now at most.
    StretchWrapUp {
        /// So much more.
        by: Duration,
        /// From now, wrap-up in all; a longer one that is running is not cut.
        limit: Duration,
    },
    /// Ready again before the time, or as its time is up.
    EndWrapUp,
}

/// What happened to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Signed in, or moved to another seat.
    SignedIn {
        /// The seat before, if it was signed in.
        from: Option<Extension>,
    },
    /// It can do something else than before.
    SkillsChanged,
    /// The new status is in force.
    StatusChanged {
        /// The status before.
        from: Status,
    },
    /// A status was asked for that waits for the end of the call, or no longer is.
    PendingChanged,
    /// It does something else.
    StateChanged {
        /// What it did before.
        from: StateName,
    },
    /// The wrap-up ends later than it would have.
    WrapUpStretched,
}

/// Why a command was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejected {
    /// Nobody of this number has ever signed in.
    #[error("没有这个工号 (no such agent)")]
    NoSuchAgent,
    /// It has to sign in first.
    #[error("话务员未签入 (the agent is not signed in)")]
    NotSignedIn,
    /// A free agent's seat is taken over; that of one on a call, or offered one, is not.
    #[error("该分机有话务员正在通话 (another agent is on a call at this extension)")]
    SeatTaken,
    /// It has to be answered or to ring out first.
    #[error("正在来电分配中 (a call is being offered to the agent)")]
    Offered,
    /// Another call than the one that is meant.
    #[error("话务员正在通话 (the agent is on a call)")]
    OnACall,
    /// It is idle, or on another call.
    #[error("话务员不在该通话中 (the agent is not on this call)")]
    NotOnThisCall,
    /// It is not ready, not signed in, or not idle.
    #[error("话务员不空闲 (the agent is not ready and idle)")]
    NotAvailable,
    /// There is nothing to end or to stretch.
    #[error("不在话后处理状态 (the agent is not in wrap-up)")]
    NotInWrapUp,
    /// It was taken back, answered or forgotten, or is of an earlier run of the program.
    #[error("来电分配已失效 (the offer is no longer good)")]
    StaleOffer,
    /// A caller for whom a phone rings is not put into another queue.
    #[error("该来电正在分配给话务员 (the call is being offered to an agent)")]
    CallOffered,
}

impl Rejected {
    /// A stable code for API users.
    pub fn code(self) -> &'static str {
        match self {
            Rejected::NoSuchAgent => "no-such-agent",
            Rejected::NotSignedIn => "not-signed-in",
            Rejected::SeatTaken => "seat-taken",
            Rejected::Offered => "agent-offered",
            Rejected::OnACall => "agent-on-a-call",
            Rejected::NotOnThisCall => "agent-not-on-call",
            Rejected::NotAvailable => "agent-not-available",
            Rejected::NotInWrapUp => "not-in-wrap-up",
            Rejected::StaleOffer => "stale-offer",
            Rejected::CallOffered => "call-offered",
        }
    }
}

impl State {
    /// The state without what it holds.
    pub fn name(&self) -> StateName {
        match self {
            State::Idle => StateName::Idle,
            State::Reserved(_) => StateName::Reserved,
            State::Ringing(_) => StateName::Ringing,
            State::Talking(_) => StateName::Talking,
            State::Holding(_) => StateName::Holding,
            State::Consulting(_) => StateName::Consulting,
            State::Conferencing(_) => StateName::Conferencing,
            State::WrapUp { .. } => StateName::WrapUp,
        }
    }

    /// The offer that is out to the agent.
    pub fn offered(&self) -> Option<&Offered> {
        match self {
            State::Reserved(offered) | State::Ringing(offered) => Some(offered),
            State::Idle
            | State::Talking(_)
            | State::Holding(_)
            | State::Consulting(_)
            | State::Conferencing(_)
            | State::WrapUp { .. } => None,
        }
    }

    /// The call that the agent is on now (not one that it wraps up).
    pub fn serving(&self) -> Option<&Serving> {
        match self {
            State::Talking(serving)
            | State::Holding(serving)
            | State::Consulting(serving)
            | State::Conferencing(serving) => Some(serving),
            State::Idle | State::Reserved(_) | State::Ringing(_) | State::WrapUp { .. } => None,
        }
    }

    /// The call that the agent has to do with in any way.
    pub fn call(&self) -> Option<CallId> {
        match self {
            State::Idle => None,
            State::Reserved(offered) | State::Ringing(offered) => Some(offered.call),
            State::Talking(serving)
            | State::Holding(serving)
            | State::Consulting(serving)
            | State::Conferencing(serving)
            | State::WrapUp { serving, .. } => Some(serving.call),
        }
    }

    /// The queue that the call came from.
    pub fn queue(&self) -> Option<&QueueName> {
        match self {
            State::Idle => None,
            State::Reserved(offered) | State::Ringing(offered) => Some(&offered.queue),
            State::Talking(serving)
            | State::Holding(serving)
            | State::Consulting(serving)
            | State::Conferencing(serving)
            | State::WrapUp { serving, .. } => serving.queue.as_ref(),
        }
    }
}

impl Agent {
    /// An agent who has not signed in.
    pub fn new(number: AgentNo, now: Now) -> Agent {
        Agent {
            number,
            extension: None,
            skills: Arc::default(),
            status: Status::LoggedOut,
            status_since: now,
            pending: None,
            state: State::Idle,
            state_since: now,
            idle_since: now,
            misses: 0,
        }
    }

    /// Whether it wants a call and has none.
    pub fn ready_and_idle(&self) -> bool {
        self.status == Status::Ready && self.state == State::Idle && self.extension.is_some()
    }

    /// The agent after the command and what happened; no events: nothing changed. Refused, with the reason, where the
    /// state does not allow it.
    pub fn apply(&self, command: Command, now: Now) -> Result<(Agent, Vec<Event>), Rejected> {
        let mut next = Change { agent: self.clone(), events: Vec::new(), now };
        match command {
            Command::SignIn { extension, skills, ready } => next.sign_in(extension, skills, ready)?,
            Command::SignOut => next.set_status(Status::LoggedOut)?,
            Command::SetSkills(skills) => next.set_skills(skills),
            Command::SetStatus(status) => next.set_status(status)?,
            Command::Reserve(offered) => next.reserve(offered)?,
            Command::Ring(offer) => next.ring(offer)?,
            Command::Answer(offer) => next.answer(offer)?,
            Command::EndOffer { offer, missed } => next.end_offer(offer, missed)?,
            Command::Engage(call) => next.engage(call)?,
            Command::Do { call, activity } => next.perform(call, activity)?,
            Command::Release { call, wrap_up } => next.release(call, wrap_up),
            Command::StretchWrapUp { by, limit } => next.stretch_wrap_up(by, limit)?,
            Command::EndWrapUp => next.end_wrap_up()?,
        }
        if next.agent.ready_and_idle() && !self.ready_and_idle() && self.state.offered().is_none() {
            next.agent.idle_since = now;
        }
        Ok((next.agent, next.events))
    }
}

/// An agent in the making.
struct Change {
    agent: Agent,
    events: Vec<Event>,
    now: Now,
}

impl Change {
    fn sign_in(
        &mut self,
        extension: Extension,
        skills: Arc<BTreeMap<String, u8>>,
        ready: bool,
    ) -> Result<(), Rejected> {
        if self.agent.state.offered().is_some() {
            return Err(Rejected::Offered);
        }
        let from = self.agent.extension.replace(extension);
        self.agent.skills = skills;
        self.agent.misses = 0;
        self.agent.pending = None;
        self.events.push(Event::SignedIn { from });
        self.enter_status(if ready { Status::Ready } else { Status::NotReady { reason: SIGNED_IN.to_owned() } });
        Ok(())
    }

    fn set_skills(&mut self, skills: Arc<BTreeMap<String, u8>>) {
        if self.agent.skills != skills {
            self.agent.skills = skills;
            self.events.push(Event::SkillsChanged);
        }
    }

    fn set_status(&mut self, status: Status) -> Result<(), Rejected> {
        if self.agent.status == Status::LoggedOut {
            // Signing out twice is one sign-out.
            return if status == Status::LoggedOut { Ok(()) } else { Err(Rejected::NotSignedIn) };
        }
        let leaves = status == Status::LoggedOut;
        match &self.agent.state {
            State::Idle => {
                self.set_pending(None);
                self.enter_status(status);
            }
            State::WrapUp { .. } if leaves => {
                self.set_pending(None);
                self.enter_state(State::Idle);
                self.enter_status(status);
            }
            State::Reserved(_) | State::Ringing(_) if leaves => return Err(Rejected::Offered),
            // It waits for the end of the call, the offer or the wrap-up.
            State::Reserved(_)
            | State::Ringing(_)
            | State::Talking(_)
            | State::Holding(_)
            | State::Consulting(_)
            | State::Conferencing(_)
            | State::WrapUp { .. } => {
                let differs = self.agent.status != status;
                self.set_pending(differs.then_some(status));
            }
        }
        Ok(())
    }

    fn reserve(&mut self, offered: Offered) -> Result<(), Rejected> {
        if !self.agent.ready_and_idle() {
            return Err(Rejected::NotAvailable);
        }
        self.enter_state(State::Reserved(offered));
        Ok(())
    }

    fn ring(&mut self, offer: OfferId) -> Result<(), Rejected> {
        let offered = self.agent.state.offered().filter(|offered| offered.offer == offer);
        let offered = offered.cloned().ok_or(Rejected::StaleOffer)?;
        if self.agent.state.name() == StateName::Reserved {
            self.enter_state(State::Ringing(offered));
        }
        Ok(())
    }

    fn answer(&mut self, offer: OfferId) -> Result<(), Rejected> {
        let offered = self.agent.state.offered().filter(|offered| offered.offer == offer);
        let Offered { call, queue, .. } = offered.cloned().ok_or(Rejected::StaleOffer)?;
        self.agent.misses = 0;
        self.enter_state(State::Talking(Serving { call, queue: Some(queue), since: self.now }));
        Ok(())
    }

    fn end_offer(&mut self, offer: OfferId, missed: Option<u32>) -> Result<(), Rejected> {
        let ours = self.agent.state.offered().is_some_and(|offered| offered.offer == offer);
        if !ours {
            return Err(Rejected::StaleOffer);
        }
        if let Some(limit) = missed {
            self.agent.misses += 1;
            if limit > 0 && self.agent.misses >= limit {
                self.agent.misses = 0;
                let reason = NO_ANSWER.to_owned();
                self.agent.pending.get_or_insert(Status::NotReady { reason });
            }
        }
        self.become_idle();
        Ok(())
    }

    fn engage(&mut self, call: CallId) -> Result<(), Rejected> {
        if self.agent.status == Status::LoggedOut {
            return Err(Rejected::NotSignedIn);
        }
        match &self.agent.state {
            State::Idle | State::WrapUp { .. } => {
                self.enter_state(State::Talking(Serving { call, queue: None, since: self.now }));
                Ok(())
            }
            State::Reserved(_) | State::Ringing(_) => Err(Rejected::Offered),
            State::Talking(serving)
            | State::Holding(serving)
            | State::Consulting(serving)
            | State::Conferencing(serving) => {
                if serving.call == call {
                    Ok(())
                } else {
                    Err(Rejected::OnACall)
                }
            }
        }
    }

    fn perform(&mut self, call: CallId, activity: Activity) -> Result<(), Rejected> {
        let serving = self.agent.state.serving().filter(|serving| serving.call == call);
        let serving = serving.cloned().ok_or(Rejected::NotOnThisCall)?;
        let state = match activity {
            Activity::Talking => State::Talking(serving),
            Activity::Holding => State::Holding(serving),
            Activity::Consulting => State::Consulting(serving),
            Activity::Conferencing => State::Conferencing(serving),
        };
        if state != self.agent.state {
            self.enter_state(state);
        }
        Ok(())
    }

    /// Idempotent: being off a call that one is not on is what was asked for.
    fn release(&mut self, call: CallId, wrap_up: Duration) {
        let Some(serving) = self.agent.state.serving().filter(|serving| serving.call == call).cloned() else { return };
        if wrap_up.is_zero() || self.agent.pending == Some(Status::LoggedOut) {
            self.become_idle();
        } else {
            self.enter_state(State::WrapUp { serving, until: self.now.plus(wrap_up) });
        }
    }

    fn stretch_wrap_up(&mut self, by: Duration, limit: Duration) -> Result<(), Rejected> {
        let State::WrapUp { until, .. } = &mut self.agent.state else { return Err(Rejected::NotInWrapUp) };
        let left = until.mono.saturating_duration_since(self.now.mono);
        let stretched = left.saturating_add(by).min(limit.max(left));
        *until = self.now.plus(stretched);
        self.events.push(Event::WrapUpStretched);
        Ok(())
    }

    fn end_wrap_up(&mut self) -> Result<(), Rejected> {
        if !matches!(self.agent.state, State::WrapUp { .. }) {
            return Err(Rejected::NotInWrapUp);
        }
        self.become_idle();
        Ok(())
    }

    /// Idle, and whatever was asked for meanwhile takes effect.
    fn become_idle(&mut self) {
        self.enter_state(State::Idle);
        if let Some(status) = self.agent.pending.take() {
            self.enter_status(status);
        }
    }

    fn set_pending(&mut self, pending: Option<Status>) {
        if self.agent.pending != pending {
            self.agent.pending = pending;
            self.events.push(Event::PendingChanged);
        }
    }

    fn enter_state(&mut self, state: State) {
        let from = self.agent.state.name();
        self.agent.state = state;
        self.agent.state_since = self.now;
        self.events.push(Event::StateChanged { from });
    }

    fn enter_status(&mut self, status: Status) {
        if status == self.agent.status {
            return;
        }
        if status == Status::LoggedOut {
            self.agent.extension = None;
        }
        let from = std::mem::replace(&mut self.agent.status, status);
        self.agent.status_since = self.now;
        self.events.push(Event::StatusChanged { from });
    }
}
