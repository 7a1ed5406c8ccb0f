//! The wall clock is set: waits, ranks and timers go by the other one.

use crate::{phone::Manner, world::World};
use hotline::call::cdr::StateName;
use std::time::Duration;

const HOUR: i64 = 3_600_000;

#[test]
fn nobody_overtakes_who_called_before_the_clock_was_set_back() {
    let mut w = World::new();
    for (number, step) in [("1001", -HOUR), ("1002", 24 * HOUR), ("1003", -24 * HOUR), ("1004", 0)] {
        let citizen = w.citizen(number);
        w.calls(citizen);
        w.run(1);
        w.clock_steps(step);
    }
    assert_eq!(w.waiting(), ["1001", "1002", "1003", "1004"]);
    w.agent("8001");
    w.run(3);
    assert_eq!(w.waiting(), ["1002", "1003", "1004"]);
    w.ends();
}

#[test]
fn who_comes_back_to_the_front_is_in_the_old_order_whatever_the_clock_says() {
    let mut w = World::new();
    let agents = [w.agent("8001"), w.agent("8002")];
    let citizens = [w.citizen("1001"), w.citizen("1002")];
    w.calls(citizens[0]);
    w.run(3);
    w.clock_steps(-HOUR);
    w.calls(citizens[1]);
    w.run(3);
    // The second one's agent is gone first.
    w.phones[agents[1]].dead = true;
    w.run(1);
    w.phones[agents[0]].dead = true;
    w.until(15, "both wait again", |w| citizens.iter().all(|citizen| w.state(*citizen) == StateName::Queued));
    assert_eq!(w.waiting(), ["1001", "1002"]);
    w.ends();
}

#[test]
fn a_telephone_rings_no_shorter_and_no_longer_when_the_clock_is_set() {
    let mut w = World::new();
    let agent = w.agent("8001");
    w.phones[agent].manner = Manner::NeverAnswers;
    let citizen = w.citizen("1001");
    for step in [-24 * HOUR, 24 * HOUR] {
        w.calls(citizen);
        w.run(5);
        w.clock_steps(step);
        w.run(14);
        assert!(w.is_rung(agent), "it rings for 20 s");
        w.run(3);
        assert!(!w.is_rung(agent), "and no longer");
        w.hangs_up(citizen);
        w.run(1);
        w.signs_on(agent);
        w.agent_input(hotline::acd::message::Input::SetStatus {
            agent: "8001".into(),
            status: hotline::acd::message::Status::Ready,
        });
        w.run_ms(Duration::from_secs(2).as_millis() as u64);
    }
    w.ends();
}
