//! Callers who wait: their order, their announcements, how they leave, what is counted.

use super::*;

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
    house.sets_queues(vec![QueueConfig { dissuade_when: Some(seconds(120)), ..general() }]);
    house.queues_up(6);
    assert_eq!(house.order(), [5, 6], "two handlings of 60 s are not longer than 120 s");
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
    assert_eq!(queue["waiting"][0]["position"], 1);
    assert_eq!(house.acd.agents(house.now).count(), 1);
    assert_eq!(house.acd.queues(house.now, 10).count(), 1);
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
fn a_queue_is_staffed_by_who_is_signed_in_or_ready_as_it_asks() {
    for (rule, on_a_break) in [(Staffing::SignedIn, None), (Staffing::Ready, Some(Overflow::Empty))] {
        let mut house = House::with_agents(QueueConfig { leave_empty: rule, ..general() }, 0);
        house.queues_up(1);
        assert_eq!(house.overflowed(1), Some(Overflow::Empty), "{rule:?}: who would be sent on does not join");
        let mut house = House::with_agents(QueueConfig { join_empty: rule, ..general() }, 0);
        house.queues_up(1);
        assert_eq!(house.overflowed(1), Some(Overflow::Empty), "{rule:?}: nobody is there");
        house.signs_in(8001);
        house.sets(8001, lunch()).unwrap();
        house.queues_up(2);
        assert_eq!(house.overflowed(2), on_a_break, "{rule:?}: one who is not ready");
        house.sets(8001, Status::Ready).unwrap();
        house.queues_up(3);
        assert_eq!(house.overflowed(3), None, "{rule:?}: one who is ready");
    }
}

#[test]
fn either_announcement_alone_is_made_on_joining_and_then_in_its_time() {
    for (position, wait) in [(true, false), (false, true)] {
        let every = Some(seconds(30));
        let announcing =
            QueueConfig { announce_position: position, announce_wait: wait, announce_every: every, ..general() };
        let mut house = House::with_agents(announcing, 0);
        house.queues_up(1);
        let told = |house: &House| house.said.iter().filter(|said| matches!(said, Output::Position { .. })).count();
        for (passed, times) in [(0, 1), (29, 1), (1, 2), (30, 3)] {
            house.pass(passed);
            assert_eq!(told(&house), times);
        }
    }
}
