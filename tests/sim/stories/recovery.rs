//! The program dies and starts again: whom it hangs up, and whom it owes a call.

use crate::{phone::Line, world::World};
use hotline::call::cdr::{StateName, What};

#[test]
fn calls_of_a_killed_program_are_hung_up_and_who_waited_is_owed_a_call() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let (talking, waiting) = (w.citizen("1001"), w.citizen("1002"));
    w.calls(talking);
    w.run(3);
    w.calls(waiting);
    w.run(3);
    w.kill();
    w.run(1);
    for who in [talking, waiting, agent] {
        assert_eq!(w.line(who), Line::Over("BYE".into()));
    }
    assert_eq!((w.what(talking), w.what(waiting)), (Some(What::Lost), Some(What::Lost)));
    let owed: Vec<_> = w.journal.owed.iter().map(|owed| (owed.number.as_deref(), owed.reason.as_str())).collect();
    assert_eq!(owed, [(Some("1002"), "restart")]);
    // And goes on serving.
    w.signs_on(agent);
    let next = w.citizen("1003");
    w.calls(next);
    w.run(1);
    w.until(5, "the next citizen is served", |w| w.state(next) == StateName::Talking);
    w.ends();
}

#[test]
fn a_caller_who_waits_with_early_media_and_hangs_up_is_owed_a_call() {
    let mut w = World::sandbox();
    let citizen = w.citizen("1001");
    w.dials(citizen, "95346");
    w.run(5);
    assert_eq!((w.line(citizen), w.state(citizen)), (Line::Calling, StateName::Queued));
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.what(citizen), Some(What::Abandoned));
    let owed: Vec<_> = w.journal.owed.iter().map(|owed| (owed.number.as_deref(), owed.reason.as_str())).collect();
    assert_eq!(owed, [(Some("1001"), "abandoned")]);
    assert_eq!(w.count("switch>1001: 200 INVITE"), 0);
    w.ends();
}

#[test]
fn a_caller_who_waits_with_early_media_is_not_forgotten_by_a_killed_program() {
    let mut w = World::sandbox();
    let citizen = w.citizen("1001");
    w.dials(citizen, "95346");
    w.run(5);
    w.kill();
    let owed: Vec<_> = w.journal.owed.iter().map(|owed| (owed.number.as_deref(), owed.reason.as_str())).collect();
    assert_eq!(owed, [(Some("1001"), "restart")]);
    w.ends();
}

#[test]
fn a_caller_who_waits_with_early_media_is_answered_when_an_agent_answers() {
    let mut w = World::sandbox();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.dials(citizen, "95346");
    w.run_ms(900);
    assert_eq!((w.line(citizen), w.is_rung(agent)), (Line::Calling, true));
    w.until(5, "they talk", |w| w.is_up(citizen));
    w.run(1);
    assert!(w.converse(&[citizen, agent]));
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!((w.what(citizen), w.journal.owed.len()), (Some(What::Answered), 0));
    w.ends();
}
