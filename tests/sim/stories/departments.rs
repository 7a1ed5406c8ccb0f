//! Departments: the three-way call, and what becomes of it when somebody is busy, silent, gone, or leaves.

use crate::{
    city::{INVALID_KEY, MUSIC, NOTICE},
    phone::{Line, Manner},
    world::{Who, World},
};
use hotline::{
    acd::{agent::StateName as Agent, message::Status},
    call::{
        Command,
        cdr::{Role, StateName, What},
    },
};
use std::time::Duration;

const SOON: Manner = Manner::AnswersAfter(Duration::from_secs(1));

/// A citizen talks with agent 8001.
fn talking() -> (World, Who, Who) {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    assert!(w.converse(&[citizen, agent]));
    (w, citizen, agent)
}

fn rings_12330(w: &mut World, citizen: Who, consult: bool) {
    w.command(citizen, Command::ThreeWay { hotline: "12330".into(), consult }).unwrap();
}

/// All three talk.
fn three_way() -> (World, Who, Who, Who) {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", SOON);
    rings_12330(&mut w, citizen, false);
    w.until(5, "all three are joined", |w| w.state(citizen) == StateName::ThreeWay);
    w.run(2);
    assert!(w.converse(&[citizen, agent, department]));
    assert_eq!(w.agent_state("8001"), Agent::Conferencing);
    (w, citizen, agent, department)
}

#[test]
fn a_department_hears_the_notice_before_it_is_joined() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", SOON);
    rings_12330(&mut w, citizen, false);
    w.until(3, "it answers", |w| w.is_up(department));
    w.run_ms(500);
    assert!(w.hears_tone(department, NOTICE) && !w.hears(department, citizen));
    assert!(w.hears_tone(citizen, MUSIC), "the citizen is on hold");
    w.run(2);
    assert!(w.converse(&[citizen, agent, department]));
    assert_eq!(w.outcome(citizen), "joined");
    w.ends();
}

#[test]
fn a_department_is_consulted_first_and_merged_then() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", SOON);
    rings_12330(&mut w, citizen, true);
    w.run(5);
    assert!(w.converse(&[agent, department]));
    assert!(w.hears_tone(citizen, MUSIC) && !w.hears(citizen, agent));
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::Consulting, Agent::Consulting));
    w.command(citizen, Command::Merge).unwrap();
    w.run(2);
    assert!(w.converse(&[citizen, agent, department]));
    w.ends();
}

#[test]
fn feature_keys_ring_a_department_and_join_it() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", SOON);
    w.presses(agent, "*312330#");
    w.until(5, "all three are joined", |w| w.state(citizen) == StateName::ThreeWay);
    w.run(2);
    assert!(w.converse(&[citizen, agent, department]));
    assert_eq!(w.phones[citizen].legs.values().map(|leg| leg.keyed.as_str()).collect::<String>(), "");
    // And drop it again.
    w.presses(agent, "*7");
    w.run(1);
    assert_eq!(w.state(citizen), StateName::Talking);
    assert!(w.converse(&[citizen, agent]));
    assert_eq!(w.line(department), Line::Over("BYE".into()));
    w.ends();
}

#[test]
fn keys_that_mean_nothing_are_answered_with_a_clip_and_ordinary_ones_pass() {
    let (mut w, citizen, agent) = talking();
    w.presses(agent, "*5");
    assert!(w.hears_tone(agent, INVALID_KEY));
    w.run(2);
    assert!(w.converse(&[citizen, agent]));
    w.presses(agent, "12");
    w.presses(citizen, "3");
    w.run(1);
    assert_eq!(w.phones[citizen].legs.values().next().unwrap().keyed, "12");
    assert_eq!(w.phones[agent].legs.values().next().unwrap().keyed, "3");
    w.ends();
}

#[test]
fn a_department_refuses_and_the_citizen_is_back_with_the_agent() {
    for (status, outcome) in [(486, "busy"), (603, "rejected"), (404, "failed"), (480, "no_answer"), (503, "failed")] {
        let (mut w, citizen, agent) = talking();
        w.department("12330", Manner::Refuses(status));
        rings_12330(&mut w, citizen, false);
        w.run(2);
        assert_eq!((w.state(citizen), w.outcome(citizen)), (StateName::Talking, outcome));
        assert_eq!(w.agent_state("8001"), Agent::Talking);
        assert!(w.converse(&[citizen, agent]));
        w.ends();
    }
}

#[test]
fn a_department_does_not_answer_and_the_citizen_is_back_with_the_agent() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", Manner::NeverAnswers);
    rings_12330(&mut w, citizen, false);
    w.run(24);
    assert_eq!((w.state(citizen), w.outcome(citizen)), (StateName::Consulting, "ringing"));
    w.run(2);
    assert_eq!((w.state(citizen), w.outcome(citizen)), (StateName::Talking, "no_answer"));
    assert!(w.converse(&[citizen, agent]));
    assert_eq!(w.line(department), Line::Over("CANCEL".into()));
    w.ends();
}

#[test]
fn a_department_is_silent_and_the_citizen_is_back_with_the_agent() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", SOON);
    w.phones[department].dead = true;
    rings_12330(&mut w, citizen, false);
    w.run(26);
    assert_eq!((w.state(citizen), w.outcome(citizen)), (StateName::Talking, "no_answer"));
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn a_hotline_that_is_unknown_or_merged_is_not_rung() {
    for (hotline, outcome) in [("99999", "unknown"), ("12319", "merged")] {
        let (mut w, citizen, agent) = talking();
        w.command(citizen, Command::ThreeWay { hotline: hotline.into(), consult: false }).unwrap();
        w.run(1);
        assert_eq!((w.state(citizen), w.outcome(citizen)), (StateName::Talking, outcome));
        assert!(w.converse(&[citizen, agent]));
        w.ends();
    }
}

#[test]
fn the_citizen_hangs_up_while_the_department_rings() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", Manner::NeverAnswers);
    rings_12330(&mut w, citizen, false);
    w.run(3);
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.line(department), Line::Over("CANCEL".into()));
    assert_eq!(w.line(agent), Line::Over("BYE".into()));
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    w.ends();
}

#[test]
fn a_department_vanishes_and_citizen_and_agent_go_on() {
    let (mut w, citizen, agent, department) = three_way();
    w.phones[department].dead = true;
    w.until(40, "the loss is found out", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, agent]));
    assert_eq!(w.agent_state("8001"), Agent::Talking);
    w.ends();
}

#[test]
fn a_department_hangs_up_and_citizen_and_agent_go_on() {
    let (mut w, citizen, agent, department) = three_way();
    w.hangs_up(department);
    w.run(1);
    assert_eq!((w.state(citizen), w.outcome(citizen)), (StateName::Talking, "joined"));
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn an_agent_hangs_up_and_citizen_and_department_go_on() {
    let (mut w, citizen, agent, department) = three_way();
    w.hangs_up(agent);
    w.run(1);
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::HandedOver, Agent::Idle));
    assert!(w.converse(&[citizen, department]));
    w.run(20);
    w.hangs_up(department);
    w.run(1);
    assert_eq!((w.state(citizen), w.what(citizen)), (StateName::Ended, Some(What::Answered)));
    w.ends();
}

#[test]
fn an_agent_leaves_by_command_and_citizen_and_department_go_on() {
    let (mut w, citizen, agent, department) = three_way();
    w.command(citizen, Command::Leave).unwrap();
    w.run(1);
    assert_eq!(w.line(agent), Line::Over("BYE".into()));
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::HandedOver, Agent::Idle));
    assert!(w.converse(&[citizen, department]));
    w.ends();
}

#[test]
fn an_agents_telephone_dies_in_a_three_way_call_and_the_others_go_on() {
    let (mut w, citizen, agent, department) = three_way();
    w.phones[agent].dead = true;
    w.until(15, "the loss is found out", |w| w.state(citizen) == StateName::HandedOver);
    w.run(1);
    assert!(w.converse(&[citizen, department]));
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    w.ends();
}

#[test]
fn an_agent_hangs_up_while_the_department_rings_and_the_citizen_is_first_in_the_queue() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", Manner::NeverAnswers);
    rings_12330(&mut w, citizen, false);
    w.run(2);
    let other = w.citizen("1002");
    w.calls(other);
    w.run(2);
    w.agent_input(hotline::acd::message::Input::SetStatus {
        agent: "8001".into(),
        status: Status::NotReady { reason: "rest".into() },
    });
    w.hangs_up(agent);
    w.run(1);
    assert_eq!(w.waiting(), ["1001", "1002"]);
    assert_eq!(w.line(department), Line::Over("CANCEL".into()));
    assert_eq!(
        w.agent_status("8001"),
        Status::NotReady { reason: "rest".into() },
        "a telephone that hangs up is no lost one"
    );
    w.ends();
}

#[test]
fn the_citizen_leaves_a_three_way_call_and_all_is_over() {
    let (mut w, citizen, agent, department) = three_way();
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.line(agent), Line::Over("BYE".into()));
    assert_eq!(w.line(department), Line::Over("BYE".into()));
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    w.ends();
}

#[test]
fn a_department_is_dropped_and_another_is_rung() {
    let (mut w, citizen, agent, department) = three_way();
    let leg = w.leg_of(citizen, |role| matches!(role, Role::Department { .. }));
    w.command(citizen, Command::Drop { leg }).unwrap();
    w.run(1);
    assert_eq!(w.line(department), Line::Over("BYE".into()));
    let second = w.department("12333", SOON);
    w.command(citizen, Command::ThreeWay { hotline: "12333".into(), consult: false }).unwrap();
    w.until(5, "all three are joined", |w| w.state(citizen) == StateName::ThreeWay);
    w.run(2);
    assert!(w.converse(&[citizen, agent, second]));
    w.ends();
}

#[test]
fn our_cancel_crosses_the_departments_200() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", Manner::NeverAnswers);
    rings_12330(&mut w, citizen, false);
    w.run(2);
    w.presses(agent, "*7");
    w.until(1, "our CANCEL is under way", |w| w.count("switch>12330: CANCEL") == 1 || w.line(department) != Line::Rung);
    w.answers(department);
    w.run(2);
    assert_eq!(w.state(citizen), StateName::Talking);
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn an_agent_hangs_up_while_the_department_hears_the_notice() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", SOON);
    rings_12330(&mut w, citizen, false);
    w.until(3, "it answers", |w| w.is_up(department));
    w.run_ms(300);
    w.hangs_up(agent);
    w.run(1);
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::HandedOver, Agent::Idle));
    assert!(w.converse(&[citizen, department]));
    assert_eq!(w.outcome(citizen), "joined");
    w.ends();
}

#[test]
fn a_department_vanishes_while_it_is_consulted() {
    let (mut w, citizen, agent) = talking();
    let department = w.department("12330", SOON);
    rings_12330(&mut w, citizen, true);
    w.run(5);
    w.phones[department].dead = true;
    w.until(40, "the loss is found out", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, agent]));
    assert_eq!(w.outcome(citizen), "failed");
    w.ends();
}
