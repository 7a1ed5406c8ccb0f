//! Queues, agents and routing: who serves whom, and when.
//!
//! [`Acd`] is one pure machine that owns every queue and agent of a node. Drive it so: feed [`Acd::handle_input`] and,
//! when [`Acd::poll_timeout`] is reached, [`Acd::handle_timeout`]; after each drain [`Acd::poll_output`]. Once in a
//! while (5 s) call [`Acd::reconcile`] with the calls that live, and [`Acd::new_day`] at local midnight.
//!
//! Left out: telephone numbers, media, sharing with other nodes, the lending of agents to other queues.

pub mod agent;
pub mod config;
pub mod message;
mod order;
pub mod queue;
pub mod reconfigure;
mod routing;
pub mod snapshot;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;

use crate::{
    clock::{Now, UnixMillis},
    ids::{AgentNo, CallId, Extension, IdGen, OfferId, QueueName},
};
pub use agent::Rejected;
use agent::{Agent, Command, Event};
use config::{AgentRules, Config, ConfigError, LEVELS, MAX_PRIORITY, QueueConfig};
use message::{AgentTransition, Input, OfferFailure, Output, Overflow, Presence, Reason, Status};
use queue::{Place, Queue, Waiter, millis};
use rand::rngs::StdRng;
use routing::Ending;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// No earlier queueing than this long ago is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// The machine that decides who serves whom.
#[derive(Debug)]
pub struct Acd {
    epoch: u64,
    ids: IdGen,
    rng: StdRng,
    rules: AgentRules,
    /// From here idle times are measured.
    started: Instant,
    queues: Vec<Queue>,
    queue_of: BTreeMap<QueueName, usize>,
    waiters: BTreeMap<CallId, Waiter>,
    desks: Vec<Desk>,
    desk_of: BTreeMap<AgentNo, usize>,
    /// Who is signed in where: one agent a seat.
    seats: BTreeMap<Extension, usize>,
    registered: BTreeSet<Extension>,
    offers: BTreeMap<OfferId, LiveOffer>,
    ended: BTreeMap<OfferId, EndedOffer>,
    ended_in_order: VecDeque<(Instant, OfferId)>,
    timers: BTreeSet<(Instant, Timer)>,
    /// What `settle` has to look at.
    free_desks: BTreeSet<usize>,
    open_callers: BTreeSet<CallId>,
    thinned_queues: BTreeSet<usize>,
    changed_desks: BTreeSet<usize>,
    changed_queues: BTreeSet<usize>,
    outputs: VecDeque<Output>,
}

/// Whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Offer(OfferId),
    Desk(usize),
    Caller(CallId),
}

/// An agent and what routing knows of it.
#[derive(Debug)]
struct Desk {
    agent: Agent,
    memberships: Vec<Membership>,
    /// The agent number as a number, for top_down.
    rank: u64,
    reachable: bool,
    /// May be offered a call now.
    available: bool,
    /// As counted in its queues.
    signed_in: bool,
    serving: bool,
    /// No offer before this.
    not_before: Option<Instant>,
    /// Not this call before that.
    avoid: Option<(CallId, Instant)>,
    /// An offer found the phone dead.
    unreachable_until: Option<Instant>,
    armed: Option<Instant>,
    calls_today: u64,
    talk_today: Duration,
}

/// One queue that an agent serves.
#[derive(Clone, Debug)]
struct Membership {
    queue: usize,
    level: u8,
    key: u64,
    turn: u64,
}

#[derive(Clone, Copy, Debug)]
struct LiveOffer {
    call: CallId,
    desk: usize,
    guard: Instant,
}

#[derive(Clone, Copy, Debug)]
struct EndedOffer {
    call: CallId,
    desk: usize,
    confirmed: bool,
}

impl Acd {
    /// An ACD without agents. The first fault of the configuration refuses it ([`Config::faults`] tells all).
    pub fn new(config: Config, ids: IdGen, rng: StdRng, now: Now) -> Result<Acd, ConfigError> {
        if let Some(fault) = config.faults().into_iter().next() {
            return Err(fault);
        }
        let queue_of = config.queues.iter().enumerate().map(|(index, queue)| (queue.name.clone(), index)).collect();
        Ok(Acd {
            epoch: config.epoch,
            ids,
            rng,
            rules: config.agents,
            started: now.mono,
            queues: config.queues.into_iter().map(Queue::new).collect(),
            queue_of,
            waiters: BTreeMap::new(),
            desks: Vec::new(),
            desk_of: BTreeMap::new(),
            seats: BTreeMap::new(),
            registered: BTreeSet::new(),
            offers: BTreeMap::new(),
            ended: BTreeMap::new(),
            ended_in_order: VecDeque::new(),
            timers: BTreeSet::new(),
            free_desks: BTreeSet::new(),
            open_callers: BTreeSet::new(),
            thinned_queues: BTreeSet::new(),
            changed_desks: BTreeSet::new(),
            changed_queues: BTreeSet::new(),
            outputs: VecDeque::new(),
        })
    }

    /// Takes one input. A refused one changes nothing. For `Answered` with [`Rejected::StaleOffer`] (another epoch, or
    /// forgotten) whoever asked is to end the agent's leg, as with `Output::Stale`.
    pub fn handle_input(&mut self, now: Now, input: Input) -> Result<(), Rejected> {
        let result = self.take(now, input);
        self.settle(now);
        result
    }

    /// What the ACD has to say, one at a time.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The configuration of a queue.
    pub fn queue_config(&self, queue: &QueueName) -> Option<&QueueConfig> {
        self.queue_of.get(queue).map(|&index| &self.queues[index].config)
    }

    /// When [`Acd::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(&(at, timer)) = self.timers.first()
            && at <= now.mono
        {
            self.timers.pop_first();
            match timer {
                Timer::Offer(offer) => self.end_offer(now, offer, Ending::RangOut),
                Timer::Desk(index) => self.desk_due(now, index),
                Timer::Caller(call) => self.caller_due(now, call),
            }
            self.settle(now);
        }
    }

    /// Compares with the calls that really live: agents whose call is gone are freed, callers who are gone leave, offers
    /// for them are taken back (TRUST I2).
    pub fn reconcile(&mut self, now: Now, living: impl Fn(CallId) -> bool) {
        let gone: Vec<CallId> = self.waiters.keys().copied().filter(|&call| !living(call)).collect();
        for call in gone {
            self.leave(now, call);
        }
        for index in 0..self.desks.len() {
            let serving = self.desks[index].agent.state.serving().map(|serving| serving.call);
            if let Some(call) = serving.filter(|&call| !living(call)) {
                self.release(now, index, call, Reason::Reconciled);
            }
        }
        self.settle(now);
    }

    /// Begins a new day: the day's figures of queues and agents start again.
    pub fn new_day(&mut self, now: Now) {
        for queue in &mut self.queues {
            queue.figures = queue::Figures::default();
        }
        for index in 0..self.desks.len() {
            self.desks[index].calls_today = 0;
            self.desks[index].talk_today = Duration::ZERO;
            self.refresh(now, index);
        }
        self.settle(now);
    }

    fn take(&mut self, now: Now, input: Input) -> Result<(), Rejected> {
        match input {
            Input::Enqueue { call, queue, enqueued_at, waited, priority, front, max_wait, sticky } => {
                self.enqueue(now, call, &queue, (enqueued_at, waited), priority, front, max_wait, sticky)
            }
            Input::Leave { call } => {
                self.leave(now, call);
                Ok(())
            }
            Input::SendOn { call } => {
                self.send_on(now, call);
                Ok(())
            }
            Input::Ringing { offer, epoch } => {
                let live = *self.offers.get(&offer).filter(|_| epoch == self.epoch).ok_or(Rejected::StaleOffer)?;
                self.change(now, live.desk, Command::Ring(offer), Reason::Ringing)
            }
            Input::Answered { offer, epoch } => self.answered(now, offer, epoch),
            Input::Failed { offer, epoch, why } => self.failed(now, offer, epoch, why),
            Input::Released { agent, call } => {
                let index = self.desk(&agent)?;
                self.release(now, index, call, Reason::Released);
                Ok(())
            }
            Input::Doing { agent, call, activity } => {
                let index = self.desk(&agent)?;
                self.change(now, index, Command::Do { call, activity }, Reason::Activity)
            }
            Input::Engaged { agent, call } => {
                let index = self.desk(&agent)?;
                self.withdraw(now, index, Reason::Withdrawn);
                self.change(now, index, Command::Engage(call), Reason::Engaged)
            }
            Input::SignIn { agent, extension, skills, ready } => self.sign_in(now, agent, extension, skills, ready),
            Input::SignOut { agent } => self.set_status(now, &agent, Status::LoggedOut),
            Input::Reachable { extension, reachable } => {
                self.reachable(now, extension, reachable);
                Ok(())
            }
            Input::SetStatus { agent, status } => self.set_status(now, &agent, status),
            Input::WrapUp { agent, more } => {
                let index = self.desk(&agent)?;
                match more {
                    None => self.end_wrap_up(now, index),
                    Some(by) => {
                        let limit = self.rules.max_wrap_up;
                        let command = Command::StretchWrapUp { by, limit };
                        self.change(now, index, command, Reason::WrapUpStretched)
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of Input::Enqueue, taken apart once")]
    fn enqueue(
        &mut self,
        now: Now,
        call: CallId,
        queue: &QueueName,
        (enqueued_at, waited): (UnixMillis, Duration),
        priority: u16,
        front: bool,
        max_wait: Option<Duration>,
        sticky: Option<AgentNo>,
    ) -> Result<(), Rejected> {
        let known = self.queue_of.get(queue).copied();
        // A queue that closes takes back whom it had, and nobody else.
        let stays = |index: &usize| self.waiters.get(&call).is_some_and(|waiter| waiter.queue == *index);
        let Some(index) = known.filter(|index| !self.queues[*index].closing || front || stays(index)) else {
            let (queue, why) = (queue.clone(), Overflow::NoSuchQueue);
            self.outputs.push_back(Output::Overflow { call, queue, why });
            return Ok(());
        };
        let before = self.waiters.get(&call).cloned();
        if self.waiters.get(&call).is_some_and(|waiter| waiter.offer.is_some()) {
            return Err(Rejected::CallOffered);
        }
        let stays = before.as_ref().is_some_and(|before| before.queue == index);
        let (counted, joined) = before.as_ref().map_or((!front, now), |before| (before.counted, before.joined));
        // A caller who moves to another queue is sent on by the one and offered to the other, with its first moment.
        let elapsed = micros(now.mono.saturating_duration_since(self.started));
        let since = elapsed.saturating_sub(micros(waited));
        let (since, enqueued_at) = match &before {
            Some(before) if before.place.since < since => (before.place.since, before.enqueued_at),
            Some(_) | None => (since, enqueued_at),
        };
        self.drop_waiter(now, call, false);
        if counted && !stays {
            self.queues[index].figures.offered += 1;
            if let Some(before) = before {
                self.queues[before.queue].figures.overflowed += 1;
            }
        }
        let place = Place { front: Reverse(front), priority: Reverse(priority.min(MAX_PRIORITY)), since, call };
        let config = &self.queues[index].config;
        let before_now = Duration::from_micros(elapsed.saturating_sub(since).max(0) as u64).min(LONGEST_WAIT);
        let waiter = Waiter {
            queue: index,
            place,
            enqueued_at,
            joined,
            waiting_since: now.mono.checked_sub(before_now).unwrap_or(now.mono),
            sticky,
            offer: None,
            overdue: false,
            counted,
            entered: now.mono,
            own_max_wait: max_wait,
            max_wait_at: config.max_wait.into_iter().chain(max_wait).min().map(|max_wait| now.mono + max_wait),
            announce_at: config.announce_every.map(|every| now.mono + every),
            widen_at: config.widen_after.map(|after| now.mono + next_step(before_now, after)),
        };
        let refusal = if front { None } else { self.refusal(index) };
        self.add_waiter(waiter);
        if let Some(why) = refusal {
            self.overflow(now, call, why);
            return Ok(());
        }
        self.settle(now);
        self.announce(call);
        Ok(())
    }

    /// Why a new caller may not join. One who was put to the front may always.
    fn refusal(&self, index: usize) -> Option<Overflow> {
        let queue = &self.queues[index];
        let config = &queue.config;
        let estimate = || queue.estimate(queue.waiting.len() + 1);
        let too_long = |limit: Duration| !queue.waiting.is_empty() && estimate().is_some_and(|wait| wait > limit);
        if !self.staffed(index, config.join_empty) || !self.staffed(index, config.leave_empty) {
            Some(Overflow::Empty)
        } else if config.max_len.is_some_and(|max| queue.callers() >= max) || config.dissuade_when.is_some_and(too_long)
        {
            Some(Overflow::Full)
        } else {
            None
        }
    }

    fn add_waiter(&mut self, waiter: Waiter) {
        let (call, queue) = (waiter.place.call, waiter.queue);
        self.queues[queue].add_waiting(waiter.place, waiter.joined);
        if let Some(due) = waiter.due() {
            self.timers.insert((due, Timer::Caller(call)));
        }
        self.open_callers.insert(call);
        self.changed_queues.insert(queue);
        self.waiters.insert(call, waiter);
    }

    /// Tells a caller its place, if it waits and its queue says so.
    fn announce(&mut self, call: CallId) {
        let Some(waiter) = self.waiters.get(&call) else { return };
        let queue = &self.queues[waiter.queue];
        if !queue.config.announce_position && !queue.config.announce_wait {
            return;
        }
        if let Some(position) = queue.position(&waiter.place) {
            let estimate = queue.estimate(position).filter(|_| queue.config.announce_wait);
            self.outputs.push_back(Output::Position { call, position, estimate });
        }
    }

    fn leave(&mut self, now: Now, call: CallId) {
        if let Some(offer) = self.waiters.get(&call).and_then(|waiter| waiter.offer) {
            self.end_offer(now, offer, Ending::Withdrawn(Reason::CallerGone));
        }
        self.drop_waiter(now, call, true);
    }

    fn send_on(&mut self, now: Now, call: CallId) {
        if let Some(offer) = self.waiters.get(&call).and_then(|waiter| waiter.offer) {
            self.end_offer(now, offer, Ending::Withdrawn(Reason::CallerGone));
        }
        let Some((queue, true)) = self.waiters.get(&call).map(|waiter| (waiter.queue, waiter.counted)) else {
            return self.drop_waiter(now, call, false);
        };
        self.drop_waiter(now, call, false);
        self.queues[queue].figures.overflowed += 1;
    }

    fn answered(&mut self, now: Now, offer: OfferId, epoch: u64) -> Result<(), Rejected> {
        if epoch != self.epoch {
            return Err(Rejected::StaleOffer);
        }
        let Some(&LiveOffer { call, desk, .. }) = self.offers.get(&offer) else {
            let ended = *self.ended.get(&offer).ok_or(Rejected::StaleOffer)?;
            let (call, state) = (ended.call, &self.desks[ended.desk].agent.state);
            let again = ended.confirmed && state.serving().is_some_and(|serving| serving.call == call);
            self.outputs.push_back(if again {
                Output::Confirmed { call, offer }
            } else {
                Output::Stale { call, offer }
            });
            return Ok(());
        };
        self.change(now, desk, Command::Answer(offer), Reason::Answered)?;
        self.forget_offer(now, offer, true);
        self.desks[desk].calls_today += 1;
        if let Some(waiter) = self.waiters.get(&call) {
            let (queue, counted, waited) = (waiter.queue, waiter.counted, waiter.waited(now));
            self.drop_waiter(now, call, false);
            if counted {
                self.queues[queue].count_answered(waited);
            }
        }
        self.outputs.push_back(Output::Confirmed { call, offer });
        Ok(())
    }

    fn failed(&mut self, now: Now, offer: OfferId, epoch: u64, why: OfferFailure) -> Result<(), Rejected> {
        if epoch != self.epoch {
            return Err(Rejected::StaleOffer);
        }
        if self.offers.contains_key(&offer) {
            self.end_offer(now, offer, Ending::Failed(why));
        } else if let Some(&ended) = self.ended.get(&offer).filter(|ended| ended.confirmed) {
            // Answered and confirmed, yet they could not be connected.
            self.release(now, ended.desk, ended.call, Reason::Reconciled);
        }
        Ok(())
    }

    fn release(&mut self, now: Now, index: usize, call: CallId, reason: Reason) {
        let agent = &self.desks[index].agent;
        let Some(serving) = agent.state.serving().filter(|serving| serving.call == call) else { return };
        let talked = now.mono.saturating_duration_since(serving.since.mono);
        let queue = serving.queue.as_ref().and_then(|queue| self.queue_of.get(queue)).copied();
        let wrap_up = match queue {
            Some(queue) => self.queues[queue].config.wrap_up,
            None => self.rules.outbound_wrap_up,
        };
        self.desks[index].talk_today += talked;
        let released = self.change(now, index, Command::Release { call, wrap_up }, reason);
        // What follows in wrap-up is added when it ends.
        if let (Ok(()), Some(queue)) = (released, queue)
            && self.desks[index].agent.state.call().is_none()
        {
            self.queues[queue].handled(talked);
        }
    }

    fn end_wrap_up(&mut self, now: Now, index: usize) -> Result<(), Rejected> {
        let state = &self.desks[index].agent.state;
        let handled = match state {
            agent::State::WrapUp { serving, .. } => {
                let queue = serving.queue.as_ref().and_then(|queue| self.queue_of.get(queue)).copied();
                queue.map(|queue| (queue, now.mono.saturating_duration_since(serving.since.mono)))
            }
            agent::State::Idle
            | agent::State::Reserved(_)
            | agent::State::Ringing(_)
            | agent::State::Talking(_)
            | agent::State::Holding(_)
            | agent::State::Consulting(_)
            | agent::State::Conferencing(_) => None,
        };
        self.change(now, index, Command::EndWrapUp, Reason::WrapUpEnded)?;
        if let Some((queue, took)) = handled {
            self.queues[queue].handled(took);
        }
        Ok(())
    }

    fn sign_in(
        &mut self,
        now: Now,
        number: AgentNo,
        extension: Extension,
        skills: Vec<(String, u8)>,
        ready: bool,
    ) -> Result<(), Rejected> {
        let known = self.desk_of.get(&number).copied();
        let other = self.seats.get(&extension).copied().filter(|&holder| Some(holder) != known);
        if let Some(other) = other {
            let state = &self.desks[other].agent.state;
            if state.serving().is_some() || state.offered().is_some() {
                return Err(Rejected::SeatTaken);
            }
            self.change(now, other, Command::SignOut, Reason::SeatTaken)?;
        }
        let index = known.unwrap_or_else(|| self.add_desk(number, now));
        let moves = self.desks[index].agent.extension.as_ref().is_some_and(|seat| *seat != extension);
        let reason = if moves { Reason::TakenOver } else { Reason::SignedIn };
        self.withdraw(now, index, reason);
        self.withdraw_from_pools(index);
        let level = |level: u8| level.clamp(*LEVELS.start(), *LEVELS.end());
        let skills: BTreeMap<String, u8> = skills.into_iter().map(|(skill, own)| (skill, level(own))).collect();
        self.desks[index].memberships = self.memberships(&skills);
        self.desks[index].rest_is_over();
        self.change(now, index, Command::SignIn { extension, skills: Arc::new(skills), ready }, reason)
    }

    fn add_desk(&mut self, number: AgentNo, now: Now) -> usize {
        let index = self.desks.len();
        self.desk_of.insert(number.clone(), index);
        self.desks.push(Desk {
            rank: number.as_str().parse().unwrap_or(u64::MAX),
            agent: Agent::new(number, now),
            memberships: Vec::new(),
            reachable: false,
            available: false,
            signed_in: false,
            serving: false,
            not_before: None,
            avoid: None,
            unreachable_until: None,
            armed: None,
            calls_today: 0,
            talk_today: Duration::ZERO,
        });
        index
    }

    fn set_status(&mut self, now: Now, agent: &AgentNo, status: Status) -> Result<(), Rejected> {
        let index = self.desk(agent)?;
        let reason = if status == Status::LoggedOut { Reason::SignedOut } else { Reason::StatusSet };
        if status == Status::LoggedOut {
            self.withdraw(now, index, Reason::Withdrawn);
        }
        if status == Status::Ready {
            self.desks[index].rest_is_over();
        }
        self.change(now, index, Command::SetStatus(status), reason)?;
        self.refresh(now, index);
        Ok(())
    }

    fn reachable(&mut self, now: Now, extension: Extension, reachable: bool) {
        let seat = self.seats.get(&extension).copied();
        if reachable {
            self.registered.insert(extension);
        } else {
            self.registered.remove(&extension);
        }
        let Some(index) = seat else { return };
        self.desks[index].unreachable_until = None;
        if !reachable {
            self.withdraw(now, index, Reason::Unreachable);
        }
        self.refresh(now, index);
        self.changed_desks.insert(index);
    }

    fn is_registered(&self, index: usize) -> bool {
        self.desks[index].agent.extension.as_ref().is_some_and(|seat| self.registered.contains(seat))
    }

    /// Takes back the offer that is out to the agent, if one is.
    fn withdraw(&mut self, now: Now, index: usize, reason: Reason) {
        if let Some(offered) = self.desks[index].agent.state.offered() {
            self.end_offer(now, offered.offer, Ending::Withdrawn(reason));
        }
    }

    fn desk(&self, agent: &AgentNo) -> Result<usize, Rejected> {
        self.desk_of.get(agent).copied().ok_or(Rejected::NoSuchAgent)
    }

    /// Lets the agent machine decide, then follows what it did: seats, record, pools, timer.
    fn change(&mut self, now: Now, index: usize, command: Command, reason: Reason) -> Result<(), Rejected> {
        let before = &self.desks[index].agent;
        let (after, events) = before.apply(command, now)?;
        if events.is_empty() {
            return Ok(());
        }
        if before.extension != after.extension {
            if let Some(seat) = &before.extension {
                self.seats.remove(seat);
            }
            if let Some(seat) = &after.extension {
                self.seats.insert(seat.clone(), index);
            }
        }
        let stretched = events.contains(&Event::WrapUpStretched);
        let (from, to) = (presence(before), presence(&after));
        if from != to || stretched {
            let since = before.state_since.mono.max(before.status_since.mono);
            let lasted_ms = millis(now.mono.saturating_duration_since(since));
            let agent = after.number.clone();
            let transition = AgentTransition { agent, from, to, at: now.wall, lasted_ms, reason };
            self.outputs.push_back(Output::Transition(transition));
        }
        self.desks[index].agent = after;
        self.changed_desks.insert(index);
        self.refresh(now, index);
        Ok(())
    }

    /// Sets the agent's one timer to what is next due.
    fn arm_desk(&mut self, index: usize) {
        let desk = &mut self.desks[index];
        let wrap_up = match &desk.agent.state {
            agent::State::WrapUp { until, .. } => Some(until.mono),
            agent::State::Idle
            | agent::State::Reserved(_)
            | agent::State::Ringing(_)
            | agent::State::Talking(_)
            | agent::State::Holding(_)
            | agent::State::Consulting(_)
            | agent::State::Conferencing(_) => None,
        };
        let due = [wrap_up, desk.not_before, desk.avoid.map(|(_, until)| until), desk.unreachable_until];
        let due = due.into_iter().flatten().min();
        if desk.armed != due {
            if let Some(armed) = desk.armed {
                self.timers.remove(&(armed, Timer::Desk(index)));
            }
            if let Some(due) = due {
                self.timers.insert((due, Timer::Desk(index)));
            }
            desk.armed = due;
        }
    }

    fn desk_due(&mut self, now: Now, index: usize) {
        let desk = &mut self.desks[index];
        desk.armed = None;
        let over = match &desk.agent.state {
            agent::State::WrapUp { until, .. } => until.mono <= now.mono,
            agent::State::Idle
            | agent::State::Reserved(_)
            | agent::State::Ringing(_)
            | agent::State::Talking(_)
            | agent::State::Holding(_)
            | agent::State::Consulting(_)
            | agent::State::Conferencing(_) => false,
        };
        if !over || self.end_wrap_up(now, index).is_err() {
            self.refresh(now, index);
        }
    }

    fn caller_due(&mut self, now: Now, call: CallId) {
        let Some(waiter) = self.waiters.get_mut(&call) else { return };
        let config = &self.queues[waiter.queue].config;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.mono);
        let announce = due(waiter.announce_at);
        if announce {
            waiter.announce_at = config.announce_every.map(|every| now.mono + every);
        }
        let widen = due(waiter.widen_at);
        if widen {
            let all_open = waiter.waited_in_all(now) >= config.opens_after(*LEVELS.start());
            waiter.widen_at = config.widen_after.filter(|_| !all_open).map(|after| now.mono + after);
        }
        let over = due(waiter.max_wait_at);
        if over {
            waiter.max_wait_at = None;
            waiter.overdue = true;
        }
        let offered = waiter.offer.is_some();
        if let Some(due) = waiter.due() {
            self.timers.insert((due, Timer::Caller(call)));
        }
        if over && !offered {
            self.overflow(now, call, Overflow::MaxWait);
            return;
        }
        if widen && !offered {
            self.open_callers.insert(call);
            self.settle(now);
        }
        if announce {
            self.announce(call);
        }
    }
}

impl Desk {
    /// The agent asks for calls again: what an earlier refusal brought is over.
    fn rest_is_over(&mut self) {
        self.not_before = None;
        self.avoid = None;
    }
}

/// Whole microseconds.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The time to the next whole multiple of `step` of one who has waited so long already.
fn next_step(waited: Duration, step: Duration) -> Duration {
    let step = millis(step).max(1);
    Duration::from_millis(step - millis(waited) % step)
}

/// What an agent wants and does.
fn presence(agent: &Agent) -> Presence {
    Presence {
        status: agent.status.clone(),
        state: agent.state.name(),
        call: agent.state.call(),
        queue: agent.state.queue().cloned(),
        extension: agent.extension.clone(),
    }
}
