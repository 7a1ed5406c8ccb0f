//! Flows: what the keys lead to, who answers in which language, and what becomes of those whom nobody answers.

use crate::{
    city::{ENGLISH, MUSIC, NOTICE, QUEUE_FULL, SYSTEM_ERROR, THANKS},
    phone::{Line, Manner},
    world::{Who, World},
};
use hotline::call::{
    Command,
    cdr::{CallRecord, StateName, What},
    message::Said,
};
use std::time::Duration;

const AT_ONCE: Manner = Manner::AnswersAfter(Duration::ZERO);

fn chosen<'a>(w: &'a World, citizen: Who, name: &str) -> Option<&'a str> {
    w.call(citizen).variables.get(name).map(String::as_str)
}

fn queue(w: &World, citizen: Who) -> &str {
    w.call(citizen).queue.as_ref().expect("a queue").as_str()
}

#[test]
fn key_9_leads_to_an_agent_who_speaks_english() {
    let mut w = World::new();
    // 8001 has been idle for longer, and is not asked.
    let (chinese, english) = (w.agent("8001"), w.agent("8012"));
    let citizen = w.citizen("1001");
    w.dials(citizen, "12319");
    w.run(1);
    w.presses(citizen, "9");
    assert!(w.hears_tone(citizen, ENGLISH), "the welcome is in English");
    w.until(6, "the agent talks", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, english]) && !w.is_up(chinese));
    assert_eq!((queue(&w, citizen), chosen(&w, citizen, "language")), ("english", Some("en")));
    assert_eq!((w.figures("english"), w.figures("general")), ([1, 1, 0, 0], [0; 4]));
    // The telephone dies: the citizen is told so in English, and waits for one who speaks it.
    w.phones[english].dead = true;
    w.until(15, "the loss is found out", |w| w.has_said(|said| matches!(said, Said::AgentLost { .. })));
    w.run_ms(300);
    assert!(w.hears_tone(citizen, ENGLISH));
    w.ends();
}

#[test]
fn key_9_without_an_agent_who_speaks_english_leads_to_everybody_at_once() {
    let mut w = World::new();
    let chinese = w.agent("8001");
    let citizen = w.citizen("1001");
    w.dials(citizen, "12319");
    w.run(1);
    w.presses(citizen, "90");
    w.until(3, "the agent talks", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, chinese]));
    assert_eq!((queue(&w, citizen), chosen(&w, citizen, "language")), ("general", Some("en")), "the agent sees it");
    assert_eq!((w.figures("english"), w.figures("general")), ([1, 0, 1, 0], [1, 1, 0, 0]), "the fallback is counted");
    w.ends();
}

#[test]
fn an_english_agent_who_does_not_answer_is_given_up_for_everybody_and_the_place_is_kept() {
    let mut w = World::new();
    let english = w.agent("8012");
    w.phones[english].manner = Manner::NeverAnswers;
    let (citizen, later) = (w.citizen("1001"), w.citizen("1002"));
    w.dials(citizen, "12319");
    w.run(1);
    w.presses(citizen, "90");
    w.run(1);
    assert!(w.is_rung(english) && w.hears_tone(citizen, MUSIC));
    w.calls(later);
    w.until(25, "ringing ends", |w| !w.is_rung(english));
    // Not ready after the miss: nobody is left there who speaks English.
    w.run(1);
    assert_eq!(w.waiting(), ["1001", "1002"], "the rank is that of the first queue");
    assert_eq!(w.figures("english"), [1, 0, 1, 0]);
    let chinese = w.agent("8001");
    w.until(3, "the agent talks", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, chinese]));
    assert_eq!(w.call(citizen).overflow, None, "served after all");
    w.ends();
}

#[test]
fn key_4_tells_the_agent_what_the_call_is_about() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.dials(citizen, "12319");
    w.run(1);
    w.presses(citizen, "4");
    w.until(3, "the agent is rung", |w| w.is_rung(agent));
    assert_eq!((chosen(&w, citizen, "purpose"), w.call(citizen).keys.as_str()), (Some("progress"), "4"));
    w.until(3, "the agent talks", |w| w.state(citizen) == StateName::Talking);
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(chosen(&w, citizen, "purpose"), Some("progress"), "and it stays on the record");
    w.ends();
}

#[test]
fn who_waited_too_long_is_told_of_the_callback() {
    let mut w = World::new();
    let citizen = w.citizen("1001");
    w.dials(citizen, "12319");
    w.run(1);
    w.presses(citizen, "0");
    w.until(125, "the last words", |w| w.hears_tone(citizen, QUEUE_FULL));
    assert_eq!(w.call(citizen).overflow.as_deref(), Some("max_wait"));
    w.until(2, "and it is hung up", |w| w.line(citizen) == Line::Over("BYE".into()));
    assert_eq!((w.what(citizen), w.call(citizen).served_at), (Some(What::Abandoned), None));
    assert_eq!(w.figures("general"), [1, 0, 1, 0], "overflowed, not abandoned");
    w.ends();
}

#[test]
fn who_withheld_the_number_is_promised_no_callback() {
    let mut w = World::new();
    let citizen = w.citizen("anonymous");
    w.dials(citizen, "12319");
    w.run(1);
    w.presses(citizen, "0");
    w.until(125, "the last words", |w| w.hears_tone(citizen, SYSTEM_ERROR));
    let promised = |w: &World| w.hears_tone(citizen, QUEUE_FULL);
    while w.is_up(citizen) {
        assert!(!promised(&w));
        w.run_ms(20);
    }
    let record: &CallRecord = w.records.values().next().expect("a record");
    assert_eq!((record.from.as_str(), record.overflow.as_deref()), ("", Some("max_wait")));
    w.ends();
}

#[test]
fn whoever_is_rung_when_the_time_is_up_may_still_answer() {
    let mut w = World::new();
    let citizen = w.citizen("1001");
    w.dials(citizen, "12319");
    w.run(1);
    w.presses(citizen, "0");
    w.run(117);
    let agent = w.agent_at_home("8001");
    w.phones[agent].manner = Manner::AnswersAfter(Duration::from_secs(8));
    w.phones[agent].register(w.now, &crate::city::password("8001"));
    w.until(12, "the agent talks", |w| w.state(citizen) == StateName::Talking);
    assert!(w.call(citizen).served_at.unwrap() - w.call(citizen).enqueued_at.unwrap() > 120_000);
    w.ends();
}

#[test]
fn a_flow_connects_to_a_department_and_goes_on_after_the_talk() {
    let mut w = World::new();
    let department = w.department("12330", AT_ONCE);
    let citizen = w.citizen("1001");
    w.dials(citizen, "95000");
    w.until(3, "the department is told of the recording", |w| w.hears_tone(department, NOTICE));
    assert!(!w.hears(department, citizen) && !w.hears_tone(citizen, NOTICE));
    w.until(3, "they are joined", |w| w.outcome(citizen) == "joined");
    w.run(1);
    assert!(w.converse(&[citizen, department]));
    w.hangs_up(department);
    w.until(2, "thanks", |w| w.hears_tone(citizen, THANKS));
    w.until(2, "the flow's end", |w| w.line(citizen) == Line::Over("BYE".into()));
    assert_eq!((w.what(citizen), w.outcome(citizen)), (Some(What::Answered), "joined"));
    w.ends();
}

#[test]
fn a_citizen_hangs_up_while_the_flows_department_talks() {
    let mut w = World::new();
    let department = w.department("12330", AT_ONCE);
    let citizen = w.citizen("1001");
    w.dials(citizen, "95000");
    w.run_ms(100);
    w.until(5, "they are joined", |w| w.outcome(citizen) == "joined");
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.line(department), Line::Over("BYE".into()));
    w.ends();
}

#[test]
fn a_flows_department_is_busy_and_the_citizen_goes_to_an_agent() {
    for (status, outcome) in [(486, "busy"), (480, "no_answer"), (500, "failed")] {
        let mut w = World::new();
        w.department("12330", Manner::Refuses(status));
        let agent = w.agent("8001");
        let citizen = w.citizen("1001");
        w.dials(citizen, "95000");
        w.run_ms(100);
        w.until(5, "the agent talks", |w| w.state(citizen) == StateName::Talking);
        w.run(1);
        assert!(w.converse(&[citizen, agent]), "{status}");
        assert_eq!(w.outcome(citizen), outcome);
        w.ends();
    }
}

#[test]
fn a_department_outside_its_hours_is_closed_to_the_agent() {
    let mut w = World::after_hours();
    w.department("12333", AT_ONCE);
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.command(citizen, Command::ThreeWay { hotline: "12333".into(), consult: false }).unwrap();
    w.run(1);
    assert_eq!((w.outcome(citizen), w.state(citizen)), ("closed", StateName::Talking));
    assert!(w.has_said(|said| matches!(said, Said::ThreeWayFailed { reason, .. } if reason == "closed")));
    assert_eq!(w.count("switch>12333: INVITE"), 0, "it is not rung");
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}
