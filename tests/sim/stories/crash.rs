//! The switch dies: whoever was on the line is told by the next one.

use crate::{
    phone::{Line, Manner},
    world::World,
};
use hotline::call::{Command, cdr::StateName};
use std::time::Duration;

#[test]
fn all_legs_of_a_three_way_call_are_ended_after_a_crash() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let department = w.department("12330", Manner::AnswersAfter(Duration::from_millis(500)));
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.command(citizen, Command::ThreeWay { hotline: "12330".into(), consult: false }).expect("is taken");
    w.until(5, "all three are joined", |w| w.state(citizen) == StateName::ThreeWay);
    w.kill();
    w.run(1);
    for who in [citizen, agent, department] {
        assert_eq!(w.line(who), Line::Over("BYE".into()));
    }
    w.ends();
}

#[test]
fn an_attempt_at_a_three_way_call_is_over_after_a_crash() {
    let mut w = World::new();
    w.agent("8001");
    w.department("12330", Manner::NeverAnswers);
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.command(citizen, Command::ThreeWay { hotline: "12330".into(), consult: false }).expect("is taken");
    w.run(1);
    assert_eq!(w.outcome(citizen), "ringing");
    w.kill();
    assert_eq!(w.outcome(citizen), "failed");
    w.ends();
}

#[test]
fn a_caller_whose_ack_was_under_way_is_told_too() {
    let mut w = World::new();
    let citizen = w.citizen("1001");
    w.lose = Box::new(|message| message == "1001>switch: ACK");
    w.calls(citizen);
    w.run(1);
    assert!(w.is_up(citizen));
    w.kill();
    w.run(1);
    assert_eq!(w.line(citizen), Line::Over("BYE".into()));
    w.ends();
}
