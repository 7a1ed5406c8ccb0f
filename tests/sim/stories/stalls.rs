//! What never comes: the spool's word.

use crate::{phone::Line, world::World};
use hotline::acd::agent::StateName as Agent;
use std::time::Duration;

#[test]
fn a_caller_whose_record_does_not_become_durable_in_time_is_refused() {
    let mut w = World::new();
    let agent = w.agent("8001");
    w.spool = Duration::from_secs(60);
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(2);
    assert_eq!(w.line(citizen), Line::Calling);
    w.run(2);
    assert_eq!(w.line(citizen), Line::Over("503".into()));
    assert!(!w.is_up(agent));
    assert_eq!((w.agent_state("8001"), w.switch.calls()), (Agent::Idle, 0));
    // The late word changes nothing.
    w.run(60);
    assert_eq!(w.count("switch>1001: 200 INVITE"), 0);
    w.ends();
}
