//! Who is offered to whom.

use super::*;

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
