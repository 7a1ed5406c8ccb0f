//! Three-way calls that nobody brought to an end: the record says what became of them.

use crate::{
    phone::Manner,
    world::{Who, World},
};
use hotline::{
    acd::message::Status,
    call::{Command, cdr::StateName},
};
use std::time::Duration;

/// A citizen talks with agent 8001, who rings 12330.
fn ringing(manner: Manner) -> (World, Who, Who, Who) {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    let department = w.department("12330", manner);
    w.calls(citizen);
    w.run(3);
    w.command(citizen, Command::ThreeWay { hotline: "12330".into(), consult: false }).unwrap();
    w.run(2);
    (w, citizen, agent, department)
}

#[test]
fn a_citizen_hangs_up_while_the_department_rings() {
    let (mut w, citizen, ..) = ringing(Manner::NeverAnswers);
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.outcome(citizen), "cancelled");
    w.ends();
}

#[test]
fn an_agent_hangs_up_while_the_department_rings() {
    let (mut w, citizen, agent, _) = ringing(Manner::NeverAnswers);
    w.hangs_up(agent);
    w.run(1);
    assert_eq!(w.outcome(citizen), "cancelled");
    w.ends();
}

#[test]
fn an_agents_telephone_that_dies_in_a_three_way_call_is_rung_no_more() {
    let (mut w, citizen, agent, _) = ringing(Manner::AnswersAfter(Duration::ZERO));
    w.until(5, "all three are joined", |w| w.state(citizen) == StateName::ThreeWay);
    w.phones[agent].dead = true;
    w.until(15, "the loss is found out", |w| w.state(citizen) == StateName::HandedOver);
    assert_eq!(w.agent_status("8001"), Status::NotReady { reason: "phone_lost".into() });
    w.ends();
}
