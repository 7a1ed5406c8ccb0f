//! An offer: rung, answered, refused, missed, taken back.

use super::*;

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
fn one_who_rests_is_offered_nothing_at_all() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    house.fails(1, OfferFailure::Rejected);
    house.queues_up(2);
    house.pass(4);
    assert_eq!(house.order(), [1, 2]);
    house.pass(1);
    assert_eq!(house.offer(2).1, 8001);
}

#[test]
fn a_phone_that_was_found_dead_is_left_alone_for_a_while() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    house.fails(1, OfferFailure::Unreachable);
    house.pass(29);
    assert_eq!((house.order(), house.agent(8001).reachable), (vec![1], false));
    house.pass(1);
    assert_eq!(house.offer(1).1, 8001);
}

#[test]
fn a_late_answer_is_known_for_two_minutes() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    let (first, _) = house.offer(1);
    house.fails(1, OfferFailure::Rejected);
    let late = Input::Answered { offer: first, epoch: 7 };
    house.sets(8001, lunch()).unwrap();
    for (passed, known) in [(60, true), (59, true), (2, false)] {
        house.pass(passed);
        // Another offer comes to nothing: what is too old is forgotten then.
        house.sets(8001, Status::Ready).unwrap();
        house.fails(1, OfferFailure::Rejected);
        house.sets(8001, lunch()).unwrap();
        house.said.clear();
        let answer = house.tell(late.clone());
        assert_eq!(answer, if known { Ok(()) } else { Err(Rejected::StaleOffer) }, "after {passed} s more");
        assert_eq!(house.said.contains(&Output::Stale { call: call(1), offer: first }), known);
    }
}
