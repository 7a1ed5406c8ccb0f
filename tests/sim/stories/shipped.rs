//! The flow that is shipped, with the sandbox's queue: greeting, keys, the place in the queue, the longest wait, wrap-up.

use crate::{
    city::{MUSIC, POSITION, WELCOME},
    phone::{Line, Manner},
    world::{Who, World},
};
use hotline::{
    acd::agent::StateName as Agent,
    call::cdr::{StateName, What},
};
use std::time::Duration;

/// A citizen has called 12345 and hears the greeting.
fn greeted() -> (World, Who) {
    let mut w = World::sandbox();
    let citizen = w.citizen("1001");
    w.dials(citizen, "95345");
    w.run(2);
    assert_eq!(w.state(citizen), StateName::Ivr);
    assert!(w.hears_tone(citizen, WELCOME));
    (w, citizen)
}

fn reason_owed(w: &World) -> Vec<&str> {
    w.journal.owed.iter().map(|owed| owed.reason.as_str()).collect()
}

#[test]
fn a_citizen_who_presses_nothing_is_served_and_the_agent_has_time_to_wrap_up() {
    let (mut w, citizen) = greeted();
    let agent = w.agent("8001");
    w.until(11, "they talk", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, agent]));
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.agent_state("8001"), Agent::WrapUp);
    let next = w.citizen("1002");
    w.dials(next, "95345");
    w.run(2);
    w.presses(next, "0");
    w.run(5);
    assert_eq!((w.state(next), w.is_rung(agent)), (StateName::Queued, false));
    w.until(5, "the wrap-up is over", |w| w.state(next) == StateName::Talking);
    assert!(w.journal.owed.is_empty());
    w.ends();
}

#[test]
fn a_citizen_who_presses_0_is_in_the_queue_at_once() {
    let (mut w, citizen) = greeted();
    w.presses(citizen, "0");
    assert_eq!((w.state(citizen), w.call(citizen).keys.as_str()), (StateName::Queued, "0"));
    assert!(w.hears_tone(citizen, POSITION), "the place is said");
    w.run(3);
    assert!(w.hears_tone(citizen, MUSIC));
    w.ends();
}

#[test]
fn an_announcement_whose_end_is_never_told_holds_nobody_up() {
    let (mut w, citizen) = greeted();
    w.deaf = true;
    w.until(10, "the caller is in the queue", |w| w.state(citizen) == StateName::Queued);
    w.run(5);
    assert!(w.hears_tone(citizen, MUSIC));
    w.ends();
}

#[test]
fn a_citizen_who_has_waited_two_minutes_is_owed_a_call() {
    let (mut w, citizen) = greeted();
    w.run(110);
    assert_eq!(w.state(citizen), StateName::Queued);
    w.run(25);
    assert_eq!((w.state(citizen), w.line(citizen)), (StateName::Ended, Line::Over("BYE".into())));
    assert_eq!(w.what(citizen), Some(What::Abandoned));
    assert_eq!(reason_owed(&w), ["overflow"]);
    w.ends();
}

/// Somebody is rung from just before the two minutes are over.
fn rung_at_the_end(manner: Manner) -> (World, Who) {
    let (mut w, citizen) = greeted();
    w.presses(citizen, "0");
    w.run(115);
    let agent = w.agent_at_home("8001");
    w.phones[agent].manner = manner;
    w.signs_on(agent);
    w.until(5, "it rings", |w| w.state(citizen) == StateName::Ringing);
    w.run(6);
    assert_eq!(w.state(citizen), StateName::Ringing, "while it rings nobody is sent away");
    (w, citizen)
}

#[test]
fn an_agent_who_is_rung_when_the_time_is_up_may_still_answer() {
    let (mut w, citizen) = rung_at_the_end(Manner::AnswersAfter(Duration::from_secs(9)));
    w.until(10, "they talk", |w| w.state(citizen) == StateName::Talking);
    w.run(130);
    assert_eq!(w.state(citizen), StateName::Talking);
    w.ends();
}

#[test]
fn an_agent_who_is_rung_when_the_time_is_up_and_does_not_answer_was_the_last() {
    let (mut w, citizen) = rung_at_the_end(Manner::NeverAnswers);
    w.until(30, "the caller is sent on", |w| w.state(citizen) == StateName::Ended);
    w.run(1);
    assert_eq!(reason_owed(&w), ["overflow"]);
    w.ends();
}
