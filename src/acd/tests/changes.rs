//! Callers who queue again, and other queues and agents while callers wait and agents talk.

use super::*;
use crate::acd::reconfigure::{Leftover, Rostered};

/// An agent, its seat and its skills.
type Seat<'a> = (u64, &'a str, &'a [(&'a str, u8)]);

fn roster(agents: &[Seat<'_>]) -> BTreeMap<AgentNo, Rostered> {
    let rostered = |&(agent, seat, skills): &Seat<'_>| {
        let skills = skills.iter().map(|&(skill, level)| (skill.to_owned(), level)).collect();
        (number(agent), Rostered { extension: seat.into(), skills })
    };
    agents.iter().map(rostered).collect()
}

impl House {
    pub(super) fn sets_queues(&mut self, queues: Vec<QueueConfig>) {
        self.acd.set_queues(self.now, queues).unwrap();
        self.listen();
    }

    fn sets_roster(&mut self, agents: &BTreeMap<AgentNo, Rostered>) {
        self.acd.set_roster(self.now, agents);
        self.listen();
    }
}

#[test]
fn who_queues_again_keeps_the_first_moment_and_is_counted_once() {
    let mut house = House::new(vec![general(), QueueConfig::new("english")]);
    for caller in [1, 2] {
        house.queues_up(caller);
        house.pass(10);
    }
    house.queues_up(1);
    assert_eq!((house.order(), house.queue("general").waiting[0].enqueued_at), (vec![1, 2], UnixMillis(MORNING)));
    let earlier = UnixMillis(MORNING - 60_000);
    house.enqueue_since(2, "general", earlier, 0, false);
    assert_eq!((house.order(), house.queue("general").waiting[0].enqueued_at), (vec![2, 1], earlier));
    let today = house.queue("general").today;
    assert_eq!((today.offered, today.overflowed), (2, 0));
    // Sent on by the one and offered to the other.
    house.enqueue(1, "english", 0, false);
    let (general, english) = (house.queue("general").today, house.queue("english").today);
    assert_eq!((general.offered, general.overflowed, general.abandoned), (2, 1, 0));
    assert_eq!((english.offered, english.overflowed), (1, 0));
    assert_eq!(house.queue("english").waiting[0].enqueued_at, UnixMillis(MORNING));
}

#[test]
fn a_caller_to_whom_a_phone_rings_does_not_queue_again() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    let again = Input::Enqueue {
        call: call(1),
        queue: "general".into(),
        enqueued_at: house.now.wall,
        waited: Duration::ZERO,
        priority: 9,
        front: true,
        max_wait: None,
        sticky: None,
    };
    assert_eq!(house.tell(again), Err(Rejected::CallOffered));
    assert_eq!(house.offer(1).1, 8001);
}

#[test]
fn a_wait_of_a_day_is_believed_and_no_longer_one() {
    let hours = |hours: u64| seconds(hours * 3600);
    for (waited, step, offered) in [(21, 10, true), (30, 13, false)] {
        let skills = vec!["tax".to_owned()];
        let mut house = House::new(vec![QueueConfig { skills, level: 5, widen_after: Some(hours(step)), ..general() }]);
        house.signs_in_with(8001, &[("tax", 3)]);
        let since = UnixMillis(house.now.wall.0 - waited * 3_600_000);
        house.enqueue_since(1, "general", since, 0, false);
        assert_eq!(house.acd.offer_of(call(1)).is_some(), offered, "{waited} h, two levels of {step} h");
    }
}

#[test]
fn a_queue_that_is_gone_serves_who_waits_and_takes_nobody_else() {
    let mut house = House::new(vec![general(), QueueConfig::new("english")]);
    house.enqueue(1, "english", 0, false);
    let nobody = BTreeMap::new();
    house.sets_queues(vec![general()]);
    assert!(house.queue("english").closing && !house.queue("general").closing);
    let left = Leftover { closing: vec![("english".into(), 1)], talking: vec![] };
    assert_eq!(house.acd.leftover(&nobody), left);
    house.enqueue(2, "english", 0, false);
    assert_eq!(house.overflowed(2), Some(Overflow::NoSuchQueue));
    house.queues_up(3);
    house.enqueue(3, "english", 0, false);
    assert_eq!(house.overflowed(3), Some(Overflow::NoSuchQueue), "nor one from another queue");
    house.enqueue(1, "english", 0, false);
    house.enqueue(4, "english", 0, true);
    assert_eq!((house.overflowed(1), house.overflowed(4)), (None, None), "those it had come back");
    assert_eq!(house.queue("english").waiting_count, 2);
    house.signs_in(8001);
    house.answers(4);
    house.releases(8001, 4);
    house.tell(Input::Leave { call: call(3) }).unwrap();
    house.answers(1);
    assert_eq!(house.acd.leftover(&nobody).closing, []);
    house.sets_queues(vec![general(), QueueConfig::new("english")]);
    assert!(!house.queue("english").closing);
    assert_eq!(house.acd.queue_config(&"english".into()), Some(&QueueConfig::new("english")));
    assert_eq!(house.acd.queue_config(&"nowhere".into()), None);
}

#[test]
fn who_is_signed_in_serves_a_new_queue_at_once() {
    let mut house = House::with_agents(general(), 1);
    house.sets_queues(vec![general(), QueueConfig::new("flood")]);
    house.enqueue(1, "flood", 0, false);
    assert_eq!(house.offer(1).1, 8001);
    assert_eq!(house.queue("flood").agents_signed_in, 1);
}

#[test]
fn queues_with_a_fault_change_nothing() {
    let mut house = House::with_agents(general(), 0);
    house.queues_up(1);
    let faulty = vec![QueueConfig { wrap_up: seconds(9), ..general() }, QueueConfig::new("a"), QueueConfig::new("a")];
    assert_eq!(house.acd.set_queues(house.now, faulty), Err(ConfigError::Twice("a".into())));
    assert_eq!(house.acd.queue_config(&"general".into()), Some(&general()));
    assert_eq!((house.acd.queues(house.now, 1).count(), house.queue("general").closing), (1, false));
}

#[test]
fn other_times_count_from_the_beginning_for_those_who_wait() {
    let announcing = QueueConfig {
        announce_position: true,
        announce_every: Some(seconds(30)),
        max_wait: Some(seconds(300)),
        ..general()
    };
    let mut house = House::with_agents(announcing.clone(), 0);
    house.queues_up(1);
    house.pass(20);
    house.said.clear();
    // The same rhythm goes on; a shorter limit counts what was waited.
    house.sets_queues(vec![QueueConfig { max_wait: Some(seconds(100)), ..announcing.clone() }]);
    house.pass(10);
    let told = |house: &House| house.said.iter().filter(|said| matches!(said, Output::Position { .. })).count();
    assert_eq!(told(&house), 1);
    house.sets_queues(vec![QueueConfig { announce_every: Some(seconds(50)), ..announcing.clone() }]);
    house.said.clear();
    house.pass(49);
    assert_eq!(told(&house), 0);
    house.pass(1);
    assert_eq!((told(&house), house.overflowed(1)), (1, None), "80 s waited");
    house.sets_queues(vec![QueueConfig { max_wait: Some(seconds(100)), announce_every: None, ..announcing.clone() }]);
    house.pass(19);
    assert_eq!(house.overflowed(1), None);
    house.pass(1);
    assert_eq!((told(&house), house.overflowed(1)), (1, Some(Overflow::MaxWait)));
    assert_eq!(house.acd.poll_timeout(), None, "no timer is left behind");
}

#[test]
fn lower_levels_open_by_the_new_step_and_the_time_waited_counts() {
    let tax = |step| {
        let skills = vec!["tax".to_owned()];
        QueueConfig { skills, level: 5, widen_after: step, ..general() }
    };
    let mut house = House::new(vec![tax(Some(seconds(10)))]);
    house.signs_in_with(8001, &[("tax", 3)]);
    house.queues_up(1);
    house.pass(15);
    house.sets_queues(vec![tax(Some(seconds(20)))]);
    house.pass(24);
    assert_eq!(house.order(), [1], "39 s waited, two levels of 20 s");
    house.pass(1);
    assert_eq!(house.offer(1).1, 8001);
    // At once where the new step has passed already.
    house.queues_up(2);
    house.signs_in_with(8002, &[("tax", 4)]);
    house.pass(15);
    assert_eq!(house.order(), [2]);
    house.sets_queues(vec![tax(Some(seconds(5)))]);
    assert_eq!(house.offer(2).1, 8002);
    house.queues_up(3);
    house.sets_queues(vec![tax(None)]);
    house.pass(3600);
    assert_eq!(house.order().last(), Some(&3), "no step, no lower level");
}

#[test]
fn a_queue_with_other_settings_remembers_whose_turn_it_is() {
    let round = QueueConfig { strategy: Strategy::RoundRobin, ..general() };
    let mut house = House::with_agents(round.clone(), 2);
    house.queues_up(1);
    assert_eq!(house.answers(1), 8001);
    house.releases(8001, 1);
    house.sets_queues(vec![QueueConfig { ring_timeout: seconds(20), ..round }]);
    house.queues_up(2);
    assert_eq!(house.answers(2), 8002);
    house.releases(8002, 2);
    house.sets_roster(&roster(&[(8001, "8001", &[("tax", 1)]), (8002, "8002", &[("tax", 1)])]));
    house.queues_up(3);
    assert_eq!(house.offer(3).1, 8001);
    let queue = house.queue("general");
    assert_eq!((queue.agents_signed_in, queue.agents_serving, queue.agents_available), (2, 2, 1));
}

#[test]
fn other_skills_count_at_once() {
    let english = QueueConfig { skills: vec!["english".to_owned()], ..QueueConfig::new("english") };
    let mut house = House::new(vec![general(), english]);
    house.signs_in(8001);
    house.enqueue(1, "english", 0, false);
    house.sets_roster(&roster(&[(8001, "8001", &[])]));
    assert_eq!(house.queue("english").waiting_count, 1, "nothing changed");
    house.sets_roster(&roster(&[(8001, "8001", &[("english", 4)])]));
    assert_eq!(house.answers(1), 8001);
    assert_eq!(house.agent(8001).queues, [QueueName::from("general"), "english".into()]);
    house.sets_roster(&roster(&[(8001, "8001", &[])]));
    house.releases(8001, 1);
    house.enqueue(2, "english", 0, false);
    assert_eq!((house.state(8001), house.queue("english").agents_signed_in), (StateName::Idle, 0));
}

#[test]
fn an_agent_who_is_gone_or_sits_elsewhere_is_signed_out_after_the_call() {
    let mut house = House::with_agents(general(), 3);
    house.queues_up(1);
    assert_eq!(house.answers(1), 8001);
    let changed = roster(&[(8002, "8044", &[]), (8003, "8003", &[])]);
    house.sets_roster(&changed);
    let logged_out = |house: &House, agent| house.agent(agent).status == Status::LoggedOut;
    assert_eq!([8001, 8002, 8003].map(|agent| logged_out(&house, agent)), [false, true, false]);
    assert_eq!(house.acd.leftover(&changed).talking, [number(8001)]);
    house.releases(8001, 1);
    assert!(logged_out(&house, 8001));
    assert_eq!(house.acd.leftover(&changed), Leftover::default());
    house.queues_up(2);
    assert_eq!(house.offer(2).1, 8003);
}
