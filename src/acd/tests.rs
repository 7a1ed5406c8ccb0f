//! Stories of callers and agents, told on a virtual clock.
#![allow(clippy::disallowed_methods, reason = "tests may begin at the present")]

use super::agent::{NO_ANSWER, StateName};
use super::config::{Staffing, Strategy};
use super::message::Activity;
use super::snapshot::{AgentSnapshot, QueueSnapshot};
use super::*;
use rand::SeedableRng;

mod changes;

const MORNING: i64 = 1_700_000_000_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(number: u64) -> CallId {
    CallId(number)
}

/// An ACD, its clock, and everything that it said.
struct House {
    acd: Acd,
    now: Now,
    said: Vec<Output>,
}

impl House {
    fn new(queues: Vec<QueueConfig>) -> House {
        let now = Now { mono: Instant::now(), wall: UnixMillis(MORNING) };
        let config = Config { epoch: 7, queues, agents: AgentRules::default() };
        let acd = Acd::new(config, IdGen::new(0, MORNING), StdRng::seed_from_u64(1), now).unwrap();
        House { acd, now, said: vec![] }
    }

    /// One queue as configured, and agents 8001… ready at their seats, a second apart.
    fn with_agents(queue: QueueConfig, agents: u64) -> House {
        let mut house = House::new(vec![queue]);
        for agent in 8001..8001 + agents {
            house.signs_in(agent);
            house.pass(1);
        }
        house.said.clear();
        house
    }

    fn tell(&mut self, input: Input) -> Result<(), Rejected> {
        let result = self.acd.handle_input(self.now, input);
        self.listen();
        result
    }

    fn listen(&mut self) {
        self.said.extend(std::iter::from_fn(|| self.acd.poll_output()));
    }

    /// Time passes; whatever is due on the way happens in its moment.
    fn pass(&mut self, secs: u64) {
        let end = self.now.plus(seconds(secs));
        while let Some(at) = self.acd.poll_timeout().filter(|&at| at <= end.mono) {
            self.now = self.now.plus(at.saturating_duration_since(self.now.mono));
            self.acd.handle_timeout(self.now);
            self.listen();
        }
        self.now = self.now.plus(end.mono - self.now.mono);
    }

    fn signs_in(&mut self, agent: u64) {
        self.signs_in_with(agent, &[]);
    }

    fn signs_in_with(&mut self, agent: u64, skills: &[(&str, u8)]) {
        let extension = Extension::from(agent.to_string());
        self.tell(Input::Reachable { extension: extension.clone(), reachable: true }).unwrap();
        let skills = skills.iter().map(|&(skill, level)| (skill.to_owned(), level)).collect();
        self.tell(Input::SignIn { agent: number(agent), extension, skills, ready: true }).unwrap();
    }

    fn queues_up(&mut self, caller: u64) {
        self.enqueue(caller, "general", 0, false);
    }

    fn enqueue(&mut self, caller: u64, queue: &str, priority: u16, front: bool) {
        let enqueued_at = self.now.wall;
        self.enqueue_since(caller, queue, enqueued_at, priority, front);
    }

    fn enqueue_since(&mut self, caller: u64, queue: &str, enqueued_at: UnixMillis, priority: u16, front: bool) {
        let queue = QueueName::from(queue);
        self.tell(Input::Enqueue {
            call: call(caller),
            queue,
            enqueued_at,
            waited: self.now.wall.since(enqueued_at),
            priority,
            front,
            max_wait: None,
            sticky: None,
        })
        .unwrap();
    }

    /// The offer that is out for a caller, and to whom.
    fn offer(&self, caller: u64) -> (OfferId, u64) {
        let (offer, agent) = self.acd.offer_of(call(caller)).expect("no offer is out");
        (offer, agent.as_str().parse().unwrap())
    }

    fn answers(&mut self, caller: u64) -> u64 {
        let (offer, agent) = self.offer(caller);
        self.tell(Input::Answered { offer, epoch: 7 }).unwrap();
        assert!(self.said.contains(&Output::Confirmed { call: call(caller), offer }));
        agent
    }

    fn fails(&mut self, caller: u64, why: OfferFailure) {
        let (offer, _) = self.offer(caller);
        self.tell(Input::Failed { offer, epoch: 7, why }).unwrap();
    }

    fn releases(&mut self, agent: u64, caller: u64) {
        self.tell(Input::Released { agent: number(agent), call: call(caller) }).unwrap();
    }

    fn sets(&mut self, agent: u64, status: Status) -> Result<(), Rejected> {
        self.tell(Input::SetStatus { agent: number(agent), status })
    }

    fn agent(&self, agent: u64) -> AgentSnapshot {
        self.acd.agent(&number(agent), self.now).unwrap()
    }

    fn state(&self, agent: u64) -> StateName {
        self.agent(agent).state
    }

    fn queue(&self, queue: &str) -> QueueSnapshot {
        self.acd.queue(&queue.into(), self.now, 100).unwrap()
    }

    fn order(&self) -> Vec<u64> {
        self.queue("general").waiting.iter().map(|waiter| waiter.call.0).collect()
    }

    fn overflowed(&self, caller: u64) -> Option<Overflow> {
        self.said.iter().find_map(|output| match output {
            Output::Overflow { call: gone, why, .. } if *gone == call(caller) => Some(*why),
            _ => None,
        })
    }

    fn transitions(&self) -> Vec<&AgentTransition> {
        let mut transitions = Vec::new();
        for output in &self.said {
            if let Output::Transition(transition) = output {
                transitions.push(transition);
            }
        }
        transitions
    }
}

fn number(agent: u64) -> AgentNo {
    AgentNo::from(agent.to_string())
}

fn general() -> QueueConfig {
    QueueConfig::new("general")
}

fn lunch() -> Status {
    Status::NotReady { reason: "lunch".to_owned() }
}

#[test]
fn a_caller_is_offered_rung_answered_and_wrapped_up() {
    let mut house = House::with_agents(QueueConfig { wrap_up: seconds(30), ..general() }, 1);
    house.queues_up(1);
    let (offer, _) = house.offer(1);
    assert!(house.said.contains(&Output::Offer {
        call: call(1),
        offer,
        epoch: 7,
        agent: number(8001),
        extension: "8001".into(),
        ring_timeout: seconds(25)
    }));
    assert_eq!(house.state(8001), StateName::Reserved);
    house.tell(Input::Ringing { offer, epoch: 7 }).unwrap();
    assert_eq!(house.state(8001), StateName::Ringing);
    house.pass(5);
    house.answers(1);
    assert_eq!((house.state(8001), house.agent(8001).call), (StateName::Talking, Some(call(1))));
    house.pass(60);
    house.releases(8001, 1);
    assert_eq!(house.state(8001), StateName::WrapUp);
    assert_eq!(house.agent(8001).wrap_up_until, Some(house.now.wall.plus(seconds(30))));
    house.pass(30);
    assert_eq!((house.state(8001), house.agent(8001).talk_today_ms), (StateName::Idle, 60_000));
    let path: Vec<(StateName, u64)> =
        house.transitions().iter().map(|transition| (transition.from.state, transition.lasted_ms)).collect();
    let expected = [
        (StateName::Idle, 1_000),
        (StateName::Reserved, 0),
        (StateName::Ringing, 5_000),
        (StateName::Talking, 60_000),
        (StateName::WrapUp, 30_000),
    ];
    assert_eq!(path, expected);
}

#[test]
fn callers_are_served_in_their_order_by_who_has_been_idle_longest() {
    let mut house = House::with_agents(general(), 3);
    for caller in 1..=5 {
        house.queues_up(caller);
        house.pass(1);
    }
    assert_eq!([house.offer(1).1, house.offer(2).1, house.offer(3).1], [8001, 8002, 8003]);
    assert_eq!(house.order(), [4, 5]);
    house.answers(2);
    house.releases(8002, 2);
    assert_eq!(house.offer(4).1, 8002);
}

#[test]
fn order_is_front_then_priority_then_first_moment() {
    let mut house = House::new(vec![general()]);
    house.enqueue(1, "general", 0, false);
    house.pass(1);
    house.enqueue(2, "general", 5, false);
    house.pass(1);
    house.enqueue(3, "general", 0, true);
    house.pass(1);
    house.enqueue(4, "general", 5, false);
    let early = UnixMillis(house.now.wall.0 - 60_000);
    house.enqueue_since(5, "general", early, 0, false);
    assert_eq!(house.order(), [3, 2, 4, 5, 1], "a redialler comes back to the old place");
}

#[test]
fn an_unanswered_offer_puts_the_caller_back_and_the_agent_not_ready() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    house.pass(1);
    house.queues_up(2);
    house.fails(1, OfferFailure::NoAnswer);
    assert_eq!(house.agent(8001).status, Status::NotReady { reason: NO_ANSWER.to_owned() });
    assert_eq!(house.order(), [1, 2], "the old place");
    house.pass(300);
    assert_eq!(house.order(), [1, 2], "nothing is offered to one who is not ready");
    house.sets(8001, Status::Ready).unwrap();
    assert_eq!(house.offer(1).1, 8001);
}

#[test]
fn an_offer_goes_on_to_the_next_agent_who_keeps_the_callers_rank() {
    let mut house = House::with_agents(QueueConfig { max_no_answer: 2, ..general() }, 2);
    house.queues_up(1);
    house.fails(1, OfferFailure::NoAnswer);
    assert_eq!(house.offer(1).1, 8002);
    assert_eq!(house.agent(8001).status, Status::Ready, "one miss of two");
    house.fails(1, OfferFailure::NoAnswer);
    assert_eq!(house.order(), [1]);
    house.pass(5);
    assert_eq!(house.order(), [1], "rested, but not the same call at once");
    house.pass(5);
    assert_eq!(house.offer(1).1, 8001);
    house.fails(1, OfferFailure::NoAnswer);
    assert_eq!(house.agent(8001).status, Status::NotReady { reason: NO_ANSWER.to_owned() });
}

#[test]
fn a_silent_call_cannot_hold_an_agent() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    let (offer, _) = house.offer(1);
    house.pass(27);
    assert_eq!(house.state(8001), StateName::Reserved);
    house.pass(1);
    assert_eq!(house.state(8001), StateName::Idle);
    assert!(house.said.contains(&Output::Withdraw { call: call(1), offer }));
    assert_eq!(house.order(), [1]);
    house.tell(Input::Answered { offer, epoch: 7 }).unwrap();
    assert!(house.said.contains(&Output::Stale { call: call(1), offer }), "the answer comes too late");
}

#[test]
fn one_who_rejects_rests_and_then_is_asked_again() {
    let mut house = House::with_agents(general(), 1);
    for why in [OfferFailure::Rejected, OfferFailure::Busy] {
        house.queues_up(1);
        house.fails(1, why);
        assert_eq!((house.state(8001), house.agent(8001).status), (StateName::Idle, Status::Ready));
        house.pass(1);
        house.queues_up(2);
        house.pass(4);
        assert_eq!(house.offer(2).1, 8001, "after the rest another call is offered");
        house.tell(Input::Leave { call: call(2) }).unwrap();
        assert_eq!(house.order(), [1]);
        house.pass(5);
        assert_eq!(house.offer(1).1, 8001, "nobody else is there: the same call again");
        house.tell(Input::Leave { call: call(1) }).unwrap();
    }
}

#[test]
fn an_unreachable_phone_is_left_out_until_it_is_back() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    house.fails(1, OfferFailure::Unreachable);
    assert!(!house.agent(8001).reachable);
    assert_eq!(house.order(), [1]);
    house.tell(Input::Reachable { extension: "8001".into(), reachable: true }).unwrap();
    assert_eq!(house.offer(1).1, 8001);
    house.fails(1, OfferFailure::Unreachable);
    house.pass(30);
    assert_eq!(house.offer(1).1, 8001, "still registered: tried again after a while");
}

#[test]
fn a_phone_that_vanishes_while_ringing_gives_the_caller_to_the_next() {
    let mut house = House::with_agents(general(), 2);
    house.queues_up(1);
    let (offer, _) = house.offer(1);
    house.tell(Input::Reachable { extension: "8001".into(), reachable: false }).unwrap();
    assert!(house.said.contains(&Output::Withdraw { call: call(1), offer }));
    assert_eq!(house.offer(1).1, 8002);
    assert_eq!((house.state(8001), house.agent(8001).reachable), (StateName::Idle, false));
}

#[test]
fn nobody_is_offered_to_a_phone_that_never_registered() {
    let mut house = House::new(vec![general()]);
    let sign_in = Input::SignIn { agent: number(8001), extension: "8001".into(), skills: vec![], ready: true };
    house.tell(sign_in).unwrap();
    house.queues_up(1);
    assert_eq!(house.order(), [1]);
    house.tell(Input::Reachable { extension: "8001".into(), reachable: true }).unwrap();
    assert_eq!(house.offer(1).1, 8001);
}

#[test]
fn a_caller_who_leaves_while_the_phone_rings_takes_the_offer_along() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    house.queues_up(2);
    let (offer, _) = house.offer(1);
    house.tell(Input::Leave { call: call(1) }).unwrap();
    assert!(house.said.contains(&Output::Withdraw { call: call(1), offer }));
    assert_eq!(house.offer(2).1, 8001, "the agent is free for the next at once");
    house.tell(Input::Answered { offer, epoch: 7 }).unwrap();
    assert!(house.said.contains(&Output::Stale { call: call(1), offer }));
    assert_eq!(house.queue("general").today.abandoned, 1);
    house.tell(Input::Leave { call: call(1) }).unwrap();
    assert_eq!(house.queue("general").today.abandoned, 1, "once");
    house.fails(2, OfferFailure::CallerGone);
    assert_eq!((house.order(), house.state(8001)), (vec![], StateName::Idle));
}

#[test]
fn a_repeated_answer_is_confirmed_again_and_one_of_another_epoch_is_not() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    let (offer, _) = house.offer(1);
    assert_eq!(house.tell(Input::Answered { offer, epoch: 6 }), Err(Rejected::StaleOffer));
    assert_eq!(house.tell(Input::Ringing { offer, epoch: 6 }), Err(Rejected::StaleOffer));
    assert_eq!(house.tell(Input::Failed { offer, epoch: 6, why: OfferFailure::Busy }), Err(Rejected::StaleOffer));
    assert_eq!(house.tell(Input::Answered { offer: OfferId(1), epoch: 7 }), Err(Rejected::StaleOffer));
    house.answers(1);
    house.said.clear();
    house.tell(Input::Answered { offer, epoch: 7 }).unwrap();
    assert_eq!(house.said, [Output::Confirmed { call: call(1), offer }]);
    house.releases(8001, 1);
    house.said.clear();
    house.tell(Input::Answered { offer, epoch: 7 }).unwrap();
    assert_eq!(house.said, [Output::Stale { call: call(1), offer }]);
}

#[test]
fn not_ready_during_a_call_waits_for_its_end() {
    let mut house = House::with_agents(QueueConfig { wrap_up: seconds(20), ..general() }, 1);
    house.queues_up(1);
    house.answers(1);
    house.sets(8001, lunch()).unwrap();
    assert_eq!((house.agent(8001).status, house.agent(8001).pending_status), (Status::Ready, Some(lunch())));
    house.queues_up(2);
    house.releases(8001, 1);
    assert_eq!((house.state(8001), house.agent(8001).status), (StateName::WrapUp, Status::Ready));
    house.pass(20);
    assert_eq!((house.state(8001), house.agent(8001).status), (StateName::Idle, lunch()));
    assert_eq!((house.agent(8001).pending_status, house.order()), (None, vec![2]));
    house.sets(8001, Status::Ready).unwrap();
    house.answers(2);
    house.sets(8001, lunch()).unwrap();
    house.sets(8001, Status::Ready).unwrap();
    assert_eq!(house.agent(8001).pending_status, None, "thought better of it");
}

#[test]
fn signing_out_during_a_call_waits_too_and_skips_the_wrap_up() {
    let mut house = House::with_agents(QueueConfig { wrap_up: seconds(20), ..general() }, 1);
    house.queues_up(1);
    house.answers(1);
    house.tell(Input::SignOut { agent: number(8001) }).unwrap();
    assert_eq!(house.state(8001), StateName::Talking);
    house.releases(8001, 1);
    assert_eq!((house.agent(8001).status, house.agent(8001).extension), (Status::LoggedOut, None));
    house.tell(Input::SignOut { agent: number(8001) }).unwrap();
    assert_eq!(house.sets(8001, Status::Ready), Err(Rejected::NotSignedIn));
}

#[test]
fn signing_out_while_the_phone_rings_takes_the_offer_back() {
    let mut house = House::with_agents(general(), 2);
    house.queues_up(1);
    house.tell(Input::SignOut { agent: number(8001) }).unwrap();
    assert_eq!((house.offer(1).1, house.agent(8001).status), (8002, Status::LoggedOut));
}

#[test]
fn wrap_up_holds_across_queues_and_can_be_stretched_and_ended() {
    let mut house = House::new(vec![QueueConfig { wrap_up: seconds(20), ..general() }, QueueConfig::new("english")]);
    house.signs_in(8001);
    house.queues_up(1);
    house.answers(1);
    house.releases(8001, 1);
    house.releases(8001, 1);
    house.enqueue(2, "english", 0, false);
    house.pass(15);
    let stretch = |more| Input::WrapUp { agent: number(8001), more };
    house.tell(stretch(Some(seconds(30)))).unwrap();
    house.pass(34);
    assert_eq!(house.state(8001), StateName::WrapUp);
    house.tell(stretch(None)).unwrap();
    assert_eq!(house.offer(2).1, 8001);
    assert_eq!(house.tell(stretch(None)), Err(Rejected::NotInWrapUp));
    house.answers(2);
    house.releases(8001, 2);
    assert_eq!(house.state(8001), StateName::Idle, "the other queue has no wrap-up");
    house.queues_up(3);
    house.answers(3);
    house.releases(8001, 3);
    house.tell(stretch(Some(seconds(1_000_000)))).unwrap();
    house.pass(1800);
    assert_eq!(house.state(8001), StateName::Idle, "no wrap-up is without an end");
}

#[test]
fn releasing_again_or_another_call_changes_nothing() {
    let mut house = House::with_agents(QueueConfig { wrap_up: seconds(20), ..general() }, 1);
    house.queues_up(1);
    house.answers(1);
    house.releases(8001, 99);
    assert_eq!(house.state(8001), StateName::Talking);
    house.releases(8001, 1);
    house.pass(5);
    house.releases(8001, 1);
    house.pass(15);
    assert_eq!(house.state(8001), StateName::Idle);
    let released = Input::Released { agent: number(9999), call: call(1) };
    assert_eq!(house.tell(released), Err(Rejected::NoSuchAgent));
}

#[test]
fn what_an_agent_does_in_a_call_is_shown() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    house.answers(1);
    for (activity, state) in [
        (Activity::Holding, StateName::Holding),
        (Activity::Consulting, StateName::Consulting),
        (Activity::Conferencing, StateName::Conferencing),
        (Activity::Talking, StateName::Talking),
    ] {
        house.tell(Input::Doing { agent: number(8001), call: call(1), activity }).unwrap();
        assert_eq!(house.state(8001), state);
    }
    let other = Input::Doing { agent: number(8001), call: call(2), activity: Activity::Holding };
    assert_eq!(house.tell(other), Err(Rejected::NotOnThisCall));
}

#[test]
fn an_outbound_call_keeps_offers_away_and_takes_back_one_that_is_out() {
    let mut house = House::with_agents(general(), 2);
    house.queues_up(1);
    house.tell(Input::Engaged { agent: number(8001), call: call(50) }).unwrap();
    assert_eq!((house.offer(1).1, house.state(8001)), (8002, StateName::Talking));
    let second = Input::Engaged { agent: number(8001), call: call(51) };
    assert_eq!(house.tell(second), Err(Rejected::OnACall));
    house.tell(Input::Engaged { agent: number(8001), call: call(50) }).unwrap();
    house.releases(8001, 50);
    assert_eq!(house.state(8001), StateName::Idle);
}

#[test]
fn signing_in_elsewhere_takes_the_agent_over() {
    let mut house = House::with_agents(general(), 1);
    house.tell(Input::Reachable { extension: "8044".into(), reachable: true }).unwrap();
    house.queues_up(1);
    let (offer, _) = house.offer(1);
    house.said.clear();
    let sign_in = Input::SignIn { agent: number(8001), extension: "8044".into(), skills: vec![], ready: true };
    house.tell(sign_in).unwrap();
    assert!(house.said.contains(&Output::Withdraw { call: call(1), offer }), "the old seat stops ringing");
    assert!(house.transitions().iter().any(|transition| transition.reason == Reason::TakenOver));
    assert_eq!(house.acd.agent_at(&"8001".into()), None);
    assert_eq!(house.acd.agent_at(&"8044".into()), Some(&number(8001)));
    assert_eq!(house.offer(1).1, 8001);
    assert!(
        house
            .said
            .iter()
            .any(|output| matches!(output, Output::Offer { extension, .. } if extension.as_str() == "8044"))
    );
}

#[test]
fn one_seat_holds_one_agent() {
    let mut house = House::with_agents(general(), 1);
    let at_8001 = |agent| Input::SignIn { agent: number(agent), extension: "8001".into(), skills: vec![], ready: true };
    house.queues_up(1);
    assert_eq!(house.tell(at_8001(8002)), Err(Rejected::SeatTaken), "a phone rings there");
    house.answers(1);
    assert_eq!(house.tell(at_8001(8002)), Err(Rejected::SeatTaken), "somebody talks there");
    house.releases(8001, 1);
    house.tell(at_8001(8002)).unwrap();
    assert_eq!(house.agent(8001).status, Status::LoggedOut, "the shift before forgot to sign out");
    assert_eq!(house.acd.agent_at(&"8001".into()), Some(&number(8002)));
    house.queues_up(2);
    assert_eq!(house.offer(2).1, 8002);
}

#[test]
fn callers_need_agents_with_the_skill() {
    let english = QueueConfig { skills: vec!["english".to_owned()], ..QueueConfig::new("english") };
    let mut house = House::new(vec![general(), english]);
    house.signs_in(8001);
    house.enqueue(1, "english", 0, false);
    house.pass(60);
    assert_eq!(house.queue("english").waiting_count, 1);
    house.signs_in_with(8002, &[("english", 3)]);
    assert_eq!(house.offer(1).1, 8002);
    house.queues_up(2);
    assert_eq!(house.offer(2).1, 8001);
}

#[test]
fn a_queue_opens_to_lower_levels_with_time() {
    let skills = vec!["tax".to_owned()];
    let mut house = House::new(vec![QueueConfig { skills, level: 5, widen_after: Some(seconds(10)), ..general() }]);
    house.signs_in_with(8001, &[("tax", 3)]);
    house.queues_up(1);
    house.pass(15);
    house.enqueue(2, "general", 9, false);
    assert_eq!(house.order(), [2, 1]);
    house.pass(5);
    assert_eq!(house.offer(1).1, 8001, "20 s waited, two levels down; the one before has not waited so long");
    house.signs_in_with(8002, &[("tax", 5)]);
    assert_eq!(house.offer(2).1, 8002);
}

#[test]
fn a_heavier_queue_is_served_first_and_the_front_before_all() {
    let mut house = House::new(vec![general(), QueueConfig { weight: 5, ..QueueConfig::new("urgent") }]);
    house.queues_up(1);
    house.pass(10);
    house.enqueue(2, "urgent", 0, false);
    house.enqueue(3, "general", 0, true);
    house.signs_in(8001);
    house.signs_in(8002);
    house.signs_in(8003);
    assert_eq!([house.offer(3).1, house.offer(2).1, house.offer(1).1], [8001, 8002, 8003]);
}

#[test]
fn the_agent_whom_the_citizen_knows_is_preferred_when_free() {
    let mut house = House::with_agents(general(), 3);
    let known = |caller| Input::Enqueue {
        call: call(caller),
        queue: "general".into(),
        enqueued_at: UnixMillis(MORNING),
        waited: Duration::ZERO,
        priority: 0,
        front: false,
        max_wait: None,
        sticky: Some(number(8003)),
    };
    house.tell(known(1)).unwrap();
    assert_eq!(house.offer(1).1, 8003);
    house.tell(known(2)).unwrap();
    assert_eq!(house.offer(2).1, 8001, "busy: nobody waits for it");
}

#[test]
fn strategies_choose_as_they_say() {
    let chosen = |strategy, rounds: u64| {
        let mut house = House::with_agents(QueueConfig { strategy, ..general() }, 3);
        let round = |caller: u64| {
            house.queues_up(caller);
            let agent = house.answers(caller);
            house.pass(agent - 8000);
            house.releases(agent, caller);
            agent
        };
        (1..=rounds).map(round).collect::<Vec<u64>>()
    };
    assert_eq!(chosen(Strategy::LongestIdle, 5), [8001, 8002, 8003, 8001, 8002]);
    assert_eq!(chosen(Strategy::RoundRobin, 5), [8001, 8002, 8003, 8001, 8002]);
    assert_eq!(chosen(Strategy::TopDown, 3), [8001, 8001, 8001]);
    assert_eq!(chosen(Strategy::LeastCalls, 4), [8001, 8002, 8003, 8001]);
    assert_eq!(chosen(Strategy::LeastTalkTime, 6), [8001, 8002, 8003, 8001, 8001, 8002]);
    let random = chosen(Strategy::Random, 60);
    assert!((8001..=8003).all(|agent| random.contains(&agent)));
    let refused = Config {
        epoch: 1,
        queues: vec![QueueConfig { strategy: Strategy::RingAll, ..general() }],
        agents: AgentRules::default(),
    };
    let now = Now { mono: Instant::now(), wall: UnixMillis(0) };
    assert!(matches!(
        Acd::new(refused, IdGen::new(0, 0), StdRng::seed_from_u64(1), now),
        Err(ConfigError::Strategy { .. })
    ));
}

#[test]
fn places_and_waits_are_announced() {
    let announcing =
        QueueConfig { announce_position: true, announce_wait: true, announce_every: Some(seconds(30)), ..general() };
    let mut house = House::with_agents(announcing, 1);
    house.queues_up(1);
    house.answers(1);
    house.pass(60);
    house.releases(8001, 1);
    house.queues_up(2);
    house.answers(2);
    assert!(!house.said.iter().any(|output| matches!(output, Output::Position { .. })), "nobody waited yet");
    house.queues_up(3);
    house.queues_up(4);
    let position =
        |caller, position, wait| Output::Position { call: call(caller), position, estimate: Some(seconds(wait)) };
    assert!(house.said.contains(&position(3, 1, 60)));
    assert!(house.said.contains(&position(4, 2, 120)));
    house.said.clear();
    house.tell(Input::Leave { call: call(3) }).unwrap();
    house.pass(30);
    assert!(house.said.contains(&position(4, 1, 60)));
    house.said.clear();
    house.pass(90);
    assert_eq!(house.said.iter().filter(|output| **output == position(4, 1, 60)).count(), 3);
}

#[test]
fn waiting_too_long_sends_on_unless_a_phone_is_ringing() {
    let mut house = House::with_agents(QueueConfig { max_wait: Some(seconds(20)), ..general() }, 0);
    house.queues_up(1);
    house.pass(10);
    house.queues_up(2);
    house.pass(9);
    assert_eq!(house.overflowed(1), None);
    house.pass(1);
    assert_eq!((house.overflowed(1), house.order()), (Some(Overflow::MaxWait), vec![2]));
    house.signs_in(8001);
    house.pass(20);
    assert_eq!((house.overflowed(2), house.offer(2).1), (None, 8001));
    house.fails(2, OfferFailure::NoAnswer);
    assert_eq!(house.overflowed(2), Some(Overflow::MaxWait));
    assert_eq!(house.queue("general").today.overflowed, 2);
}

#[test]
fn a_full_an_empty_and_an_unknown_queue_send_on_at_once() {
    let mut house = House::with_agents(QueueConfig { max_len: Some(1), ..general() }, 0);
    house.queues_up(1);
    house.queues_up(2);
    assert_eq!(house.overflowed(2), Some(Overflow::Full));
    house.enqueue(3, "general", 0, true);
    assert_eq!(house.order(), [3, 1], "one who lost its agent is never refused");
    house.enqueue(4, "nowhere", 0, false);
    assert_eq!(house.overflowed(4), Some(Overflow::NoSuchQueue));

    let mut house = House::with_agents(QueueConfig { max_len: Some(2), ..general() }, 1);
    (1..=3).for_each(|caller| house.queues_up(caller));
    assert_eq!((house.offer(1).1, house.order()), (8001, vec![2]));
    assert_eq!(house.overflowed(3), Some(Overflow::Full), "one for whom a phone rings counts");

    let staffed = QueueConfig { join_empty: Staffing::SignedIn, leave_empty: Staffing::Ready, ..general() };
    let mut house = House::with_agents(staffed, 0);
    house.queues_up(1);
    assert_eq!(house.overflowed(1), Some(Overflow::Empty));
    house.signs_in(8001);
    house.queues_up(2);
    house.queues_up(3);
    house.answers(2);
    house.releases(8001, 2);
    house.sets(8001, lunch()).unwrap();
    assert_eq!(house.overflowed(3), None, "a phone rings for it");
    house.fails(3, OfferFailure::Rejected);
    assert_eq!(house.overflowed(3), Some(Overflow::Empty));
}

#[test]
fn an_estimate_shares_the_usual_handling_among_those_who_are_ready() {
    let mut house = House::with_agents(general(), 2);
    assert_eq!(house.queue("general").estimate_ms, None, "nothing to judge by");
    for (caller, secs) in [(1, 80), (2, 160)] {
        house.queues_up(caller);
        let agent = house.answers(caller);
        house.pass(secs);
        house.releases(agent, caller);
    }
    assert_eq!(house.queue("general").estimate_ms, Some(45_000), "90 s on average, two agents");
    house.sets(8001, lunch()).unwrap();
    assert_eq!(house.queue("general").estimate_ms, Some(90_000));
    house.sets(8002, lunch()).unwrap();
    assert_eq!(house.queue("general").estimate_ms, None, "nobody is ready");
}

#[test]
fn an_estimated_wait_may_dissuade() {
    let mut house = House::with_agents(QueueConfig { dissuade_when: Some(seconds(100)), ..general() }, 1);
    house.queues_up(1);
    house.answers(1);
    house.pass(60);
    house.releases(8001, 1);
    house.queues_up(2);
    house.queues_up(3);
    assert_eq!((house.overflowed(3), house.order()), (None, vec![3]));
    house.queues_up(4);
    assert_eq!(house.overflowed(4), Some(Overflow::Full), "two to be handled before it, 60 s each");
    house.tell(Input::Leave { call: call(3) }).unwrap();
    house.sets_queues(vec![QueueConfig { dissuade_when: Some(seconds(30)), ..general() }]);
    house.queues_up(5);
    assert_eq!((house.overflowed(5), house.order()), (None, vec![5]), "the first who waits is never refused");
}

#[test]
fn figures_count_each_caller_once() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    house.pass(3);
    house.answers(1);
    house.queues_up(2);
    house.queues_up(3);
    house.pass(20);
    house.releases(8001, 1);
    house.answers(2);
    house.tell(Input::Leave { call: call(3) }).unwrap();
    // The agent's phone dies: the citizen is back at the front and was counted already.
    house.enqueue(2, "general", 0, true);
    house.releases(8001, 2);
    house.answers(2);
    let today = house.queue("general").today;
    assert_eq!((today.offered, today.answered, today.answered_within_sl, today.abandoned), (3, 2, 1, 1));
    assert_eq!((today.answered_wait_ms, today.longest_wait_ms), (23_000, 20_000));
    assert_eq!(house.agent(8001).calls_today, 3);
    house.acd.new_day(house.now);
    assert_eq!((house.queue("general").today.offered, house.agent(8001).calls_today), (0, 0));
}

#[test]
fn the_last_moment_of_the_service_level_is_within_it() {
    let mut house = House::with_agents(QueueConfig { service_level: seconds(15), ..general() }, 1);
    for (caller, waited, within) in [(1, 15, 1), (2, 16, 1)] {
        house.queues_up(caller);
        house.pass(waited);
        house.answers(caller);
        house.releases(8001, caller);
        assert_eq!(house.queue("general").today.answered_within_sl, within, "after {waited} s");
    }
}

#[test]
fn the_longest_wait_is_that_of_one_who_still_waits() {
    let mut house = House::with_agents(general(), 0);
    for caller in 1..=3 {
        house.queues_up(caller);
        house.pass(10);
    }
    assert_eq!(house.queue("general").longest_wait_ms, 30_000);
    house.tell(Input::Leave { call: call(1) }).unwrap();
    assert_eq!(house.queue("general").longest_wait_ms, 20_000, "the first one left");
    house.signs_in(8001);
    house.answers(2);
    assert_eq!(house.queue("general").longest_wait_ms, 10_000, "the second one talks");
    house.tell(Input::Leave { call: call(3) }).unwrap();
    assert_eq!(house.queue("general").longest_wait_ms, 0);
}

#[test]
fn a_caller_who_is_sent_on_is_no_abandoned_one() {
    let english = QueueConfig { skills: vec!["english".to_owned()], ..QueueConfig::new("english") };
    let mut house = House::new(vec![general(), english]);
    house.signs_in_with(8001, &[("english", 3)]);
    house.enqueue(1, "english", 0, false);
    house.enqueue(2, "english", 0, false);
    // The one while a telephone rings for it, the other out of the queue; a third time there is nobody to send.
    for caller in [1, 2, 2] {
        house.tell(Input::SendOn { call: call(caller) }).unwrap();
    }
    let today = house.queue("english").today;
    assert_eq!((today.offered, today.overflowed, today.abandoned, today.answered), (2, 2, 0, 0));
    assert_eq!((house.queue("english").waiting_count, house.queue("english").ringing_count), (0, 0));
    house.enqueue(1, "general", 0, false);
    assert_eq!(house.offer(1).1, 8001, "the agent is free again");
}

#[test]
fn agents_and_callers_whose_call_is_gone_are_freed() {
    let mut house = House::with_agents(general(), 2);
    house.queues_up(1);
    house.answers(1);
    house.queues_up(2);
    house.queues_up(3);
    house.queues_up(4);
    house.acd.reconcile(house.now, |call| call.0 == 4);
    house.listen();
    assert_eq!(house.offer(4).1, 8002);
    assert_eq!((house.state(8001), house.order()), (StateName::Idle, vec![]));
    assert!(house.transitions().iter().any(|transition| transition.reason == Reason::Reconciled));
}

#[test]
fn a_stepping_wall_clock_moves_no_wait() {
    let mut house = House::with_agents(QueueConfig { max_wait: Some(seconds(60)), ..general() }, 0);
    house.queues_up(1);
    house.now.wall = UnixMillis(MORNING + 86_400_000);
    house.pass(59);
    assert_eq!(house.overflowed(1), None);
    assert!(house.queue("general").longest_wait_ms < 60_000);
    house.now.wall = UnixMillis(MORNING - 86_400_000);
    house.pass(1);
    assert_eq!(house.overflowed(1), Some(Overflow::MaxWait));
}

#[test]
fn ten_thousand_callers_wait_in_order() {
    let announcing = QueueConfig { announce_position: true, announce_every: Some(seconds(30)), ..general() };
    let mut house = House::with_agents(announcing, 0);
    for caller in 0..10_000 {
        house.queues_up(caller);
    }
    assert!(house.said.contains(&Output::Position { call: call(9_999), position: 10_000, estimate: None }));
    house.signs_in(8001);
    for caller in 0..10_000 {
        assert_eq!(house.answers(caller), 8001);
        house.releases(8001, caller);
        house.said.clear();
    }
    assert_eq!(house.queue("general").today.answered, 10_000);
    assert_eq!(house.acd.poll_timeout(), None, "no timer is left behind");
}

#[test]
fn snapshots_are_written_as_json() {
    let mut house = House::with_agents(general(), 1);
    house.sets(8001, lunch()).unwrap();
    house.queues_up(1);
    let agent = serde_json::to_value(house.agent(8001)).unwrap();
    assert_eq!(
        (&agent["status"], &agent["reason"], &agent["state"]),
        (&"not_ready".into(), &"lunch".into(), &"idle".into())
    );
    let queue = serde_json::to_value(house.queue("general")).unwrap();
    assert_eq!((&queue["waiting"][0]["call"], &queue["offered"]), (&"1".into(), &1.into()));
    assert_eq!(house.acd.agents(house.now).count(), 1);
    assert_eq!(house.acd.queues(house.now, 10).count(), 1);
}
