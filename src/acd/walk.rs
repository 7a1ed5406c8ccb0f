//! A random walk of callers, agents and time, with what must hold after each step.
#![allow(clippy::disallowed_methods, reason = "tests may begin at the present")]

use super::agent::StateName;
use super::message::Activity;
use super::*;
use proptest::prelude::*;
use rand::SeedableRng;

const EPOCH: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    Enqueue { call: u64, queue: usize, priority: u16, front: bool, ago: i64 },
    Leave(u64),
    SendOn(u64),
    Ring(usize),
    Answer(usize),
    AnswerLate(u64),
    Fail(usize, OfferFailure),
    Release(u64),
    Do(u64, Activity),
    Engage(u64, u64),
    SignIn { agent: u64, seat: u64, skilled: u8, ready: bool },
    SignOut(u64),
    Reachable(u64, bool),
    Status(u64, bool),
    WrapUp(u64, Option<u64>),
    Reconcile(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (call, agent, seat, nth) = (0..8u64, 0..4u64, 0..5u64, 0..4usize);
    let failure = prop_oneof![
        Just(OfferFailure::NoAnswer),
        Just(OfferFailure::Rejected),
        Just(OfferFailure::Busy),
        Just(OfferFailure::Unreachable),
        Just(OfferFailure::CallerGone)
    ];
    let activity = prop_oneof![
        Just(Activity::Talking),
        Just(Activity::Holding),
        Just(Activity::Consulting),
        Just(Activity::Conferencing)
    ];
    prop_oneof![
        6 => (call.clone(), 0..3usize, 0..3u16, prop::bool::weighted(0.1), 0..100_000i64)
            .prop_map(|(call, queue, priority, front, ago)| Step::Enqueue { call, queue, priority, front, ago }),
        2 => call.clone().prop_map(Step::Leave),
        1 => call.clone().prop_map(Step::SendOn),
        2 => nth.clone().prop_map(Step::Ring),
        4 => nth.clone().prop_map(Step::Answer),
        1 => (0..20u64).prop_map(Step::AnswerLate),
        3 => (nth, failure).prop_map(|(nth, failure)| Step::Fail(nth, failure)),
        4 => agent.clone().prop_map(Step::Release),
        1 => (agent.clone(), activity).prop_map(|(agent, activity)| Step::Do(agent, activity)),
        1 => (agent.clone(), 20..30u64).prop_map(|(agent, call)| Step::Engage(agent, call)),
        3 => (agent.clone(), seat.clone(), 0..4u8, any::<bool>())
            .prop_map(|(agent, seat, skilled, ready)| Step::SignIn { agent, seat, skilled, ready }),
        1 => agent.clone().prop_map(Step::SignOut),
        3 => (seat, prop::bool::weighted(0.8)).prop_map(|(seat, reachable)| Step::Reachable(seat, reachable)),
        3 => (agent.clone(), prop::bool::weighted(0.7)).prop_map(|(agent, ready)| Step::Status(agent, ready)),
        1 => (agent, prop::option::of(0..100u64)).prop_map(|(agent, more)| Step::WrapUp(agent, more)),
        1 => call.prop_map(Step::Reconcile),
        4 => (0..40u64).prop_map(Step::Pass),
    ]
}

struct Walk {
    acd: Acd,
    now: Now,
    offers: Vec<OfferId>,
}

fn number(agent: u64) -> AgentNo {
    AgentNo::from(agent.to_string())
}

fn seat(seat: u64) -> Extension {
    Extension::from(seat.to_string())
}

impl Walk {
    fn new() -> Walk {
        let now = Now { mono: Instant::now(), wall: UnixMillis(1_700_000_000_000) };
        let seconds = Duration::from_secs;
        let queues = vec![
            QueueConfig { max_no_answer: 2, wrap_up: seconds(10), announce_position: true, ..QueueConfig::new("0") },
            QueueConfig {
                skills: vec!["s".to_owned()],
                level: 3,
                widen_after: Some(seconds(15)),
                weight: 1,
                max_wait: Some(seconds(60)),
                announce_wait: true,
                announce_every: Some(seconds(20)),
                ..QueueConfig::new("1")
            },
        ];
        let config = Config { epoch: EPOCH, queues, agents: AgentRules::default() };
        let acd = Acd::new(config, IdGen::new(1, 0), StdRng::seed_from_u64(9), now).unwrap();
        Walk { acd, now, offers: vec![] }
    }

    fn take(&mut self, step: Step) {
        let live = |walk: &Walk, nth: usize| walk.acd.offers.keys().nth(nth).copied();
        let epoch = EPOCH;
        let input = match step {
            Step::Enqueue { call, queue, priority, front, ago } => Input::Enqueue {
                call: CallId(call),
                queue: queue.to_string().into(),
                enqueued_at: UnixMillis(self.now.wall.0 - ago),
                waited: Duration::from_millis(ago as u64),
                priority,
                front,
                max_wait: None,
                sticky: None,
            },
            Step::Leave(call) => Input::Leave { call: CallId(call) },
            Step::SendOn(call) => Input::SendOn { call: CallId(call) },
            Step::Ring(nth) => match live(self, nth) {
                Some(offer) => Input::Ringing { offer, epoch },
                None => return,
            },
            Step::Answer(nth) => match live(self, nth) {
                Some(offer) => Input::Answered { offer, epoch },
                None => return,
            },
            Step::AnswerLate(nth) => match self.offers.iter().rev().nth(nth as usize) {
                Some(&offer) => Input::Answered { offer, epoch: EPOCH - nth % 2 },
                None => return,
            },
            Step::Fail(nth, why) => match live(self, nth) {
                Some(offer) => Input::Failed { offer, epoch, why },
                None => return,
            },
            Step::Release(agent) => match self.call_of(agent) {
                Some(call) => Input::Released { agent: number(agent), call },
                None => return,
            },
            Step::Do(agent, activity) => match self.call_of(agent) {
                Some(call) => Input::Doing { agent: number(agent), call, activity },
                None => return,
            },
            Step::Engage(agent, call) => Input::Engaged { agent: number(agent), call: CallId(call) },
            Step::SignIn { agent, seat: at, skilled, ready } => Input::SignIn {
                agent: number(agent),
                extension: seat(at),
                skills: if skilled > 0 { vec![("s".to_owned(), skilled)] } else { vec![] },
                ready,
            },
            Step::SignOut(agent) => Input::SignOut { agent: number(agent) },
            Step::Reachable(at, reachable) => Input::Reachable { extension: seat(at), reachable },
            Step::Status(agent, true) => Input::SetStatus { agent: number(agent), status: Status::Ready },
            Step::Status(agent, false) => {
                Input::SetStatus { agent: number(agent), status: Status::NotReady { reason: "tea".to_owned() } }
            }
            Step::WrapUp(agent, more) => Input::WrapUp { agent: number(agent), more: more.map(Duration::from_secs) },
            Step::Reconcile(dead) => {
                self.acd.reconcile(self.now, |call| call.0 != dead);
                self.check(false);
                return;
            }
            Step::Pass(seconds) => {
                self.pass(Duration::from_secs(seconds));
                return;
            }
        };
        let _ = self.acd.handle_input(self.now, input);
        self.check(true);
    }

    fn call_of(&self, agent: u64) -> Option<CallId> {
        self.acd.agent(&number(agent), self.now)?.call
    }

    fn pass(&mut self, by: Duration) {
        let end = self.now.plus(by);
        while let Some(at) = self.acd.poll_timeout().filter(|&at| at <= end.mono) {
            self.now = self.now.plus(at.saturating_duration_since(self.now.mono));
            self.acd.handle_timeout(self.now);
            assert!(self.acd.poll_timeout().is_none_or(|next| next > self.now.mono), "the same moment over and over");
            self.check(false);
        }
        self.now = self.now.plus(end.mono - self.now.mono);
    }

    /// `one_input`: what was said is the doing of one input, so that order can be judged.
    fn check(&mut self, one_input: bool) {
        self.check_offers();
        self.check_pools();
        self.nobody_waits_for_an_available_agent();
        let acd = &self.acd;
        assert!(acd.timers.len() <= acd.offers.len() + acd.desks.len() + acd.waiters.len(), "timers are left behind");
        while let Some(output) = self.acd.poll_output() {
            if let Output::Offer { call, offer, agent, epoch, .. } = output {
                assert_eq!(epoch, EPOCH);
                self.offers.push(offer);
                if one_input && self.acd.offers.contains_key(&offer) {
                    self.nobody_was_jumped(call, &agent);
                }
            }
        }
    }

    /// Callers with an offer, live offers and reserved agents are one to one to one.
    fn check_offers(&self) {
        let acd = &self.acd;
        let callers = acd.waiters.iter().filter_map(|(&call, waiter)| Some((waiter.offer?, call)));
        let callers: BTreeMap<OfferId, CallId> = callers.collect();
        let live: BTreeMap<OfferId, CallId> = acd.offers.iter().map(|(&offer, live)| (offer, live.call)).collect();
        assert_eq!(callers, live);
        let reserved = acd.desks.iter().filter_map(|desk| desk.agent.state.offered().map(|it| (it.offer, it.call)));
        assert_eq!(reserved.clone().count(), live.len());
        assert_eq!(reserved.collect::<BTreeMap<_, _>>(), live);
        for desk in acd.desks.iter().filter(|desk| desk.agent.state.offered().is_some()) {
            assert!(desk.reachable && desk.agent.status == Status::Ready, "{:?}", desk.agent);
        }
    }

    fn check_pools(&self) {
        let acd = &self.acd;
        for (index, queue) in acd.queues.iter().enumerate() {
            let members = || acd.desks.iter().enumerate().filter(move |(_, desk)| desk.serves(index));
            let callers = || acd.waiters.values().filter(move |waiter| waiter.queue == index);
            assert_eq!(queue.waiting.len(), callers().filter(|waiter| waiter.offer.is_none()).count());
            assert_eq!(queue.offered, callers().filter(|waiter| waiter.offer.is_some()).count());
            let available: BTreeSet<usize> = queue.available.iter().map(|&(_, desk)| desk).collect();
            assert_eq!(queue.available.len(), available.len());
            let expected = members().filter(|(_, desk)| desk.agent.ready_and_idle() && desk.reachable);
            assert_eq!(
                available,
                expected.filter(|(_, desk)| desk.not_before.is_none()).map(|(index, _)| index).collect()
            );
            assert_eq!(queue.signed_in, members().filter(|(_, desk)| desk.agent.extension.is_some()).count());
        }
        for (index, desk) in acd.desks.iter().enumerate() {
            assert_eq!(desk.agent.extension.is_none(), desk.agent.status == Status::LoggedOut);
            assert!(desk.agent.extension.as_ref().is_none_or(|seat| acd.seats.get(seat) == Some(&index)));
        }
        assert_eq!(acd.seats.len(), acd.desks.iter().filter(|desk| desk.agent.extension.is_some()).count());
    }

    /// Whether the agent might be offered the caller now.
    fn fits(&self, desk: &Desk, call: CallId, waiter: &Waiter) -> bool {
        let membership = desk.memberships.iter().find(|membership| membership.queue == waiter.queue);
        let config = &self.acd.queues[waiter.queue].config;
        membership.is_some_and(|membership| waiter.waited_in_all(self.now) >= config.opens_after(membership.level))
            && desk.avoid.is_none_or(|(avoided, _)| avoided != call)
    }

    fn nobody_waits_for_an_available_agent(&self) {
        for (&call, waiter) in self.acd.waiters.iter().filter(|(_, waiter)| waiter.offer.is_none()) {
            for desk in self.acd.desks.iter().filter(|desk| desk.available) {
                assert!(!self.fits(desk, call, waiter), "{call:?} waits for {:?}", desk.agent);
            }
        }
    }

    fn nobody_was_jumped(&self, call: CallId, agent: &AgentNo) {
        let desk = &self.acd.desks[self.acd.desk_of[agent]];
        let served = &self.acd.waiters[&call];
        for (&other, waiter) in self.acd.waiters.iter().filter(|(_, waiter)| waiter.offer.is_none()) {
            let earlier = waiter.queue == served.queue && waiter.place < served.place;
            assert!(!(earlier && self.fits(desk, other, waiter)), "{call:?} was served before {other:?}");
        }
    }
}

impl Desk {
    fn serves(&self, queue: usize) -> bool {
        self.memberships.iter().any(|membership| membership.queue == queue)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nobody_is_stuck_jumped_or_served_twice(steps in prop::collection::vec(step(), 1..120)) {
        let mut walk = Walk::new();
        steps.into_iter().for_each(|step| walk.take(step));
        // From here nobody answers any more: every offer ends, and so does every wrap-up.
        walk.pass(Duration::from_secs(3600));
        prop_assert!(walk.acd.offers.is_empty());
        for agent in walk.acd.agents(walk.now) {
            let stuck = matches!(agent.state, StateName::Reserved | StateName::Ringing | StateName::WrapUp);
            prop_assert!(!stuck, "{:?}", agent);
        }
        // And when their calls are gone, nobody talks.
        walk.acd.reconcile(walk.now, |_| false);
        walk.check(false);
        walk.pass(Duration::from_secs(3600));
        prop_assert!(walk.acd.waiters.is_empty() && walk.acd.timers.is_empty());
        prop_assert!(walk.acd.agents(walk.now).all(|agent| agent.state == StateName::Idle));
    }
}
