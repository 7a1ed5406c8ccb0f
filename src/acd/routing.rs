//! Who serves whom: the agent for a caller, the caller for an agent, the offer between them and its end.
//!
//! Matching is driven by what changed. Between two inputs no caller waits whom an available agent could serve, so only
//! agents who became available and callers who came, came back or were opened to more agents are looked at; the length
//! of the queue does not matter.

use super::{
    Acd, EndedOffer, LiveOffer, Timer,
    agent::{Command, Offered},
    config::{Staffing, Strategy},
    message::{OfferFailure, Output, Overflow, Reason},
    queue::Place,
};
use crate::{
    clock::Now,
    ids::{CallId, OfferId},
};
use rand::Rng;
use std::{cmp::Reverse, time::Duration};

/// The least time for which an agent is not offered the call that it just refused, in favour of other agents.
const AVOID_AT_LEAST: Duration = Duration::from_secs(1);
/// So many ended offers are remembered, for late answers.
const ENDED_OFFERS: usize = 16_384;
/// For so long at most.
const ENDED_FOR: Duration = Duration::from_secs(120);

/// How an offer ends without an answer that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The call said so.
    Failed(OfferFailure),
    /// Nobody said anything for longer than a phone may ring.
    RangOut,
    /// We take it back, and the agent is not to blame.
    Withdrawn(Reason),
}

impl Acd {
    /// Matches until nobody can be matched, then tells which agents and queues changed.
    pub(super) fn settle(&mut self, now: Now) {
        loop {
            if let Some(desk) = self.free_desks.pop_first() {
                self.match_desk(now, desk);
            } else if let Some(call) = self.open_callers.pop_first() {
                self.match_caller(now, call);
            } else if let Some(queue) = self.thinned_queues.pop_first() {
                self.leave_if_empty(now, queue);
            } else {
                break;
            }
        }
        for desk in std::mem::take(&mut self.changed_desks) {
            let agent = self.desks[desk].agent.number.clone();
            self.outputs.push_back(Output::AgentChanged { agent });
        }
        for queue in std::mem::take(&mut self.changed_queues) {
            let queue = self.queues[queue].config.name.clone();
            self.outputs.push_back(Output::QueueChanged { queue });
        }
    }

    /// Has the first caller served, over all the agent's queues, whom it may serve.
    fn match_desk(&mut self, now: Now, index: usize) {
        let desk = &self.desks[index];
        if !desk.available {
            return;
        }
        let avoid = desk.avoid.map(|(call, _)| call);
        let candidates = desk.memberships.iter().filter_map(|membership| {
            let queue = &self.queues[membership.queue];
            let place = queue.first_for(&self.waiters, membership.level, avoid, now)?;
            Some((place.front, Reverse(queue.config.weight), place))
        });
        if let Some((_, _, place)) = candidates.min() {
            // Others may be available too: the strategy decides among all, and this one is looked at again.
            self.match_caller(now, place.call);
            let offered = self.waiters.get(&place.call).is_some_and(|waiter| waiter.offer.is_some());
            if offered && self.desks[index].available {
                self.free_desks.insert(index);
            }
        }
    }

    /// Offers the caller to the agent whom the strategy names, its last agent before all others.
    fn match_caller(&mut self, now: Now, call: CallId) {
        let Some(waiter) = self.waiters.get(&call).filter(|waiter| waiter.offer.is_none()) else { return };
        let queue = &self.queues[waiter.queue];
        // Keys are random with the random strategy: so is where the search begins. With all others it is the lowest.
        let from = if queue.config.strategy == Strategy::Random { self.rng.random() } else { 0 };
        let in_turn = queue.available.range((from, 0)..).chain(queue.available.range(..(from, 0)));
        let fits = |index: usize| {
            let desk = &self.desks[index];
            let membership = desk.memberships.iter().find(|membership| membership.queue == waiter.queue);
            let open = membership
                .is_some_and(|membership| waiter.waited_in_all(now) >= queue.config.opens_after(membership.level));
            open && desk.available && desk.avoid.is_none_or(|(avoided, _)| avoided != call)
        };
        let sticky = waiter.sticky.as_ref().and_then(|agent| self.desk_of.get(agent).copied());
        let chosen =
            sticky.filter(|&index| fits(index)).or_else(|| in_turn.map(|&(_, index)| index).find(|&index| fits(index)));
        if let Some(index) = chosen {
            self.offer(now, waiter.place, index);
        }
    }

    fn offer(&mut self, now: Now, place: Place, index: usize) {
        let call = place.call;
        let Some(waiter) = self.waiters.get(&call) else { return };
        let (queue_index, joined) = (waiter.queue, waiter.joined);
        let offer = OfferId(self.ids.next());
        let queue = &mut self.queues[queue_index];
        let (name, ring_timeout) = (queue.config.name.clone(), queue.config.ring_timeout);
        queue.turn += 1;
        let turn = queue.turn;
        if let Some(membership) =
            self.desks[index].memberships.iter_mut().find(|membership| membership.queue == queue_index)
        {
            membership.turn = turn;
        }
        let Some(extension) = self.desks[index].agent.extension.clone() else { return };
        let offered = Offered { offer, call, queue: name };
        if self.change(now, index, Command::Reserve(offered), Reason::Offered).is_err() {
            return;
        }
        self.queues[queue_index].remove_waiting(&place, joined);
        self.queues[queue_index].offered += 1;
        if let Some(waiter) = self.waiters.get_mut(&call) {
            waiter.offer = Some(offer);
        }
        let guard = now.mono + ring_timeout + self.rules.offer_guard;
        self.timers.insert((guard, Timer::Offer(offer)));
        self.offers.insert(offer, LiveOffer { call, desk: index, guard });
        self.changed_queues.insert(queue_index);
        let agent = self.desks[index].agent.number.clone();
        self.outputs.push_back(Output::Offer { call, offer, epoch: self.epoch, agent, extension, ring_timeout });
    }

    /// Ends an offer that was not answered in time: the agent is freed (or made not ready), the caller goes back to its
    /// old place.
    pub(super) fn end_offer(&mut self, now: Now, offer: OfferId, ending: Ending) {
        let Some(LiveOffer { call, desk, .. }) = self.forget_offer(now, offer, false) else { return };
        if matches!(ending, Ending::RangOut | Ending::Withdrawn(_)) {
            self.outputs.push_back(Output::Withdraw { call, offer });
        }
        let queue = self.waiters.get(&call).map(|waiter| waiter.queue);
        self.free_agent(now, desk, offer, call, queue, ending);
        if ending == Ending::Failed(OfferFailure::CallerGone) {
            self.drop_waiter(now, call, true);
        } else {
            self.wait_again(now, call);
        }
    }

    fn free_agent(
        &mut self,
        now: Now,
        desk: usize,
        offer: OfferId,
        call: CallId,
        queue: Option<usize>,
        ending: Ending,
    ) {
        let config = queue.map(|queue| &self.queues[queue].config);
        let max_no_answer = config.map_or(0, |config| config.max_no_answer);
        let retry_delay = config.map_or(Duration::ZERO, |config| config.retry_delay);
        let (reason, missed, refused) = match ending {
            Ending::RangOut | Ending::Failed(OfferFailure::NoAnswer) => (Reason::NoAnswer, Some(max_no_answer), true),
            Ending::Failed(OfferFailure::Rejected) => (Reason::Rejected, None, true),
            Ending::Failed(OfferFailure::Busy) => (Reason::Busy, None, true),
            Ending::Failed(OfferFailure::Unreachable) => (Reason::Unreachable, None, false),
            Ending::Failed(OfferFailure::CallerGone) => (Reason::CallerGone, None, false),
            Ending::Withdrawn(reason) => (reason, None, false),
        };
        if refused {
            let avoid = retry_delay.saturating_mul(2).max(AVOID_AT_LEAST);
            self.desks[desk].not_before = Some(now.mono + retry_delay);
            self.desks[desk].avoid = Some((call, now.mono + avoid));
        }
        if reason == Reason::Unreachable {
            self.desks[desk].unreachable_until = Some(now.mono + self.rules.unreachable_retry);
        }
        // The agent machine knows this offer, for the offer was still live.
        let _ = self.change(now, desk, Command::EndOffer { offer, missed }, reason);
    }

    /// Back to the old place, unless its time is up.
    fn wait_again(&mut self, now: Now, call: CallId) {
        let Some(waiter) = self.waiters.get_mut(&call) else { return };
        waiter.offer = None;
        let (queue, place, joined, overdue) = (waiter.queue, waiter.place, waiter.joined, waiter.overdue);
        self.queues[queue].offered -= 1;
        self.queues[queue].add_waiting(place, joined);
        self.changed_queues.insert(queue);
        if overdue {
            self.overflow(now, call, Overflow::MaxWait);
        } else {
            self.open_callers.insert(call);
        }
    }

    /// Takes an offer out of the live ones and remembers it for late answers.
    pub(super) fn forget_offer(&mut self, now: Now, offer: OfferId, confirmed: bool) -> Option<LiveOffer> {
        let live = self.offers.remove(&offer)?;
        self.timers.remove(&(live.guard, Timer::Offer(offer)));
        let until = now.mono + ENDED_FOR;
        while self.ended_in_order.len() >= ENDED_OFFERS
            || self.ended_in_order.front().is_some_and(|(until, _)| *until <= now.mono)
        {
            if let Some((_, old)) = self.ended_in_order.pop_front() {
                self.ended.remove(&old);
            }
        }
        self.ended_in_order.push_back((until, offer));
        self.ended.insert(offer, EndedOffer { call: live.call, desk: live.desk, confirmed });
        Some(live)
    }

    /// Sends a caller on.
    pub(super) fn overflow(&mut self, now: Now, call: CallId, why: Overflow) {
        let Some(waiter) = self.waiters.get(&call) else { return };
        let (queue, counted) = (waiter.queue, waiter.counted);
        self.drop_waiter(now, call, false);
        self.queues[queue].figures.overflowed += u64::from(counted);
        let queue = self.queues[queue].config.name.clone();
        self.outputs.push_back(Output::Overflow { call, queue, why });
    }

    /// Forgets a caller; an offer that is out for it is ended by the caller of this.
    pub(super) fn drop_waiter(&mut self, now: Now, call: CallId, abandoned: bool) {
        let Some(waiter) = self.waiters.remove(&call) else { return };
        if let Some(due) = waiter.due() {
            self.timers.remove(&(due, Timer::Caller(call)));
        }
        let queue = &mut self.queues[waiter.queue];
        if !queue.remove_waiting(&waiter.place, waiter.joined) {
            queue.offered -= 1;
        }
        if abandoned && waiter.counted {
            queue.count_abandoned(waiter.waited(now));
        }
        self.changed_queues.insert(waiter.queue);
    }

    /// Whether the queue has the agents that a rule asks for.
    pub(super) fn staffed(&self, queue: usize, rule: Staffing) -> bool {
        match rule {
            Staffing::Nobody => true,
            Staffing::SignedIn => self.queues[queue].signed_in > 0,
            Staffing::Ready => self.queues[queue].serving > 0,
        }
    }

    fn leave_if_empty(&mut self, now: Now, queue: usize) {
        if !self.staffed(queue, self.queues[queue].config.leave_empty) {
            let callers: Vec<CallId> = self.queues[queue].waiting.iter().map(|place| place.call).collect();
            callers.into_iter().for_each(|call| self.overflow(now, call, Overflow::Empty));
        }
    }

    /// Puts an agent into, or takes it out of, the pools of its queues, and sets its timer.
    pub(super) fn refresh(&mut self, now: Now, index: usize) {
        self.withdraw_from_pools(index);
        let registered = self.is_registered(index);
        let desk = &mut self.desks[index];
        desk.not_before = desk.not_before.filter(|&until| until > now.mono);
        desk.avoid = desk.avoid.filter(|&(_, until)| until > now.mono);
        desk.unreachable_until = desk.unreachable_until.filter(|&until| until > now.mono);
        desk.reachable = registered && desk.unreachable_until.is_none();
        desk.available = desk.agent.ready_and_idle() && desk.reachable && desk.not_before.is_none();
        desk.signed_in = desk.agent.extension.is_some();
        desk.serving = desk.reachable && desk.agent.status == super::message::Status::Ready;
        if desk.available {
            self.free_desks.insert(index);
        }
        for position in 0..self.desks[index].memberships.len() {
            let key = self.key_of(index, position);
            let desk = &mut self.desks[index];
            let membership = &mut desk.memberships[position];
            membership.key = key;
            let queue = &mut self.queues[membership.queue];
            queue.signed_in += usize::from(desk.signed_in);
            queue.serving += usize::from(desk.serving);
            if desk.available {
                queue.available.insert((key, index));
            }
            self.thinned_queues.insert(membership.queue);
        }
        self.arm_desk(index);
    }

    /// Takes back what `refresh` put into the queues.
    pub(super) fn withdraw_from_pools(&mut self, index: usize) {
        let desk = &mut self.desks[index];
        for membership in &desk.memberships {
            let queue = &mut self.queues[membership.queue];
            queue.available.remove(&(membership.key, index));
            queue.signed_in -= usize::from(desk.signed_in);
            queue.serving -= usize::from(desk.serving);
        }
        (desk.available, desk.signed_in, desk.serving) = (false, false, false);
        self.free_desks.remove(&index);
    }

    /// Where the agent stands in the eyes of the queue's strategy: the lowest is chosen.
    fn key_of(&mut self, index: usize, position: usize) -> u64 {
        let desk = &self.desks[index];
        let membership = &desk.memberships[position];
        match self.queues[membership.queue].config.strategy {
            Strategy::TopDown => desk.rank,
            Strategy::RoundRobin => membership.turn,
            Strategy::LeastCalls => desk.calls_today,
            Strategy::LeastTalkTime => super::queue::millis(desk.talk_today),
            Strategy::Random => self.rng.random(),
            // The last two are refused when the configuration is checked.
            Strategy::LongestIdle | Strategy::RingAll | Strategy::Weighted => {
                let since = desk.agent.idle_since.mono.saturating_duration_since(self.started);
                u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
            }
        }
    }
}
