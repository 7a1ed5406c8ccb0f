//! What an agent is doing, and where it sits.

use super::*;

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
fn one_who_asks_for_calls_again_rests_no_longer() {
    let mut house = House::with_agents(general(), 1);
    house.queues_up(1);
    house.fails(1, OfferFailure::Rejected);
    house.sets(8001, Status::Ready).unwrap();
    assert_eq!(house.offer(1).1, 8001);
    house.fails(1, OfferFailure::Rejected);
    house.said.clear();
    house.sets(8001, lunch()).unwrap();
    assert_eq!(house.order(), [1]);
    house.sets(8001, Status::Ready).unwrap();
    assert_eq!(house.offer(1).1, 8001);
    house.tell(Input::SignOut { agent: number(8001) }).unwrap();
    let reasons: Vec<Reason> = house.transitions().iter().map(|transition| transition.reason).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::StatusSet).count(), 2, "{reasons:?}");
    assert_eq!(reasons.last(), Some(&Reason::SignedOut));
}

#[test]
fn not_ready_in_wrap_up_waits_for_its_end_and_signing_out_ends_it() {
    let mut house = House::with_agents(QueueConfig { wrap_up: seconds(20), ..general() }, 1);
    house.queues_up(1);
    assert_eq!(house.agent(8001).queue, Some("general".into()), "offered");
    house.answers(1);
    assert_eq!(house.agent(8001).queue, Some("general".into()), "talking");
    house.releases(8001, 1);
    house.sets(8001, lunch()).unwrap();
    assert_eq!((house.state(8001), house.agent(8001).pending_status), (StateName::WrapUp, Some(lunch())));
    house.tell(Input::SignOut { agent: number(8001) }).unwrap();
    let agent = house.agent(8001);
    assert_eq!((agent.state, agent.status, agent.queue), (StateName::Idle, Status::LoggedOut, None));
}

#[test]
fn an_agent_to_whom_an_offer_is_out_cannot_leave_by_itself() {
    let now = Now { mono: Instant::now(), wall: UnixMillis(MORNING) };
    let agent = Agent::new(number(8001), now);
    let sign_in = Command::SignIn { extension: "8001".into(), skills: Arc::default(), ready: true };
    let (agent, _) = agent.apply(sign_in, now).unwrap();
    let offered = super::super::agent::Offered { offer: OfferId(1), call: call(1), queue: "general".into() };
    let (agent, _) = agent.apply(Command::Reserve(offered), now).unwrap();
    assert_eq!(agent.apply(Command::SetStatus(Status::LoggedOut), now).err(), Some(Rejected::Offered));
}

#[test]
fn a_queue_may_leave_agents_ready_however_often_they_do_not_answer() {
    let mut house = House::with_agents(QueueConfig { max_no_answer: 0, ..general() }, 1);
    house.queues_up(1);
    for _ in 0..5 {
        house.fails(1, OfferFailure::NoAnswer);
        assert_eq!(house.agent(8001).status, Status::Ready);
        house.pass(10);
    }
}

#[test]
fn states_and_refusals_have_names_of_their_own() {
    use StateName::*;
    for state in [Idle, Reserved, Ringing, Talking, Holding, Consulting, Conferencing, WrapUp] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.name());
    }
    let codes = [
        Rejected::NoSuchAgent,
        Rejected::NotSignedIn,
        Rejected::SeatTaken,
        Rejected::Offered,
        Rejected::OnACall,
        Rejected::NotOnThisCall,
        Rejected::NotAvailable,
        Rejected::NotInWrapUp,
        Rejected::StaleOffer,
        Rejected::CallOffered,
    ]
    .map(Rejected::code);
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && code.len() > 4));
}
