//! Commands at an awkward moment, and agents who call by themselves.

use crate::{
    city::NOTICE,
    phone::{Line, Manner},
    world::World,
};
use hotline::{
    acd::agent::StateName as Agent,
    call::{
        Command,
        cdr::{Role, StateName},
    },
};
use std::time::Duration;

#[test]
fn a_department_that_is_merged_at_once_hears_the_notice_to_its_end() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    let department = w.department("12330", Manner::AnswersAfter(Duration::ZERO));
    w.calls(citizen);
    w.run(3);
    w.command(citizen, Command::ThreeWay { hotline: "12330".into(), consult: true }).unwrap();
    w.until(3, "it answers", |w| w.is_up(department));
    w.run_ms(300);
    w.command(citizen, Command::Merge).unwrap();
    w.run_ms(300);
    assert!(w.hears_tone(department, NOTICE) && !w.hears(department, citizen));
    w.run(2);
    assert!(w.converse(&[citizen, agent, department]));
    w.ends();
}

#[test]
fn a_supervisor_drops_the_agent_and_the_citizen_is_first_in_the_queue() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    let leg = w.leg_of(citizen, |role| matches!(role, Role::Agent { .. }));
    w.agent_input(hotline::acd::message::Input::SetStatus {
        agent: "8001".into(),
        status: hotline::acd::message::Status::NotReady { reason: "rest".into() },
    });
    w.command(citizen, Command::Drop { leg }).unwrap();
    w.run(1);
    assert_eq!(w.line(agent), Line::Over("BYE".into()));
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::Queued, Agent::Idle));
    assert_eq!(w.waiting(), ["1001"]);
    w.ends();
}

#[test]
fn an_agent_who_calls_somebody_is_offered_nobody_meanwhile() {
    let mut w = World::new();
    let agent = w.agent("8001");
    // Challenged at first.
    for _ in 0..2 {
        w.dials(agent, "3001");
        w.run(1);
    }
    assert!(w.is_up(agent));
    assert_eq!(w.agent_state("8001"), Agent::Talking);
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(5);
    assert_eq!((w.state(citizen), w.is_rung(agent)), (StateName::Queued, false));
    w.hangs_up(agent);
    w.until(5, "the citizen is served", |w| w.state(citizen) == StateName::Talking);
    w.ends();
}
