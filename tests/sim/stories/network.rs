//! A network that loses, repeats, delays and reorders.

use crate::{
    phone::{Act, Line, Manner},
    world::{Network, World},
};
use hotline::{
    acd::agent::StateName as Agent,
    call::{
        Command,
        cdr::{StateName, What},
    },
};
use std::time::Duration;

#[test]
fn a_lost_ack_is_made_good_by_a_repeated_200() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    let mut lost = 0;
    w.lose = Box::new(move |message| {
        let lose = message == "1001>switch: ACK" && lost < 2;
        lost += usize::from(lose);
        lose
    });
    w.calls(citizen);
    w.run(5);
    assert_eq!(w.count("switch>1001: 200 INVITE"), 3);
    assert_eq!(w.state(citizen), StateName::Talking);
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn a_citizen_whose_ack_never_comes_is_hung_up() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.lose = Box::new(|message| message == "1001>switch: ACK");
    w.calls(citizen);
    w.run(40);
    assert_eq!(w.line(citizen), Line::Over("BYE".into()));
    assert_eq!(w.what(citizen), Some(What::Lost));
    assert!(!w.is_rung(agent), "no agent is troubled for a call that is not confirmed");
    w.ends();
}

#[test]
fn a_lost_200_is_sent_again() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    let mut lost = 0;
    w.lose = Box::new(move |message| {
        let lose = message.ends_with(": 200 INVITE") && lost < 3;
        lost += usize::from(lose);
        lose
    });
    w.calls(citizen);
    w.run(8);
    assert_eq!(w.state(citizen), StateName::Talking);
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn our_lost_ack_to_an_agent_is_sent_again() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    let mut lost = false;
    w.lose = Box::new(move |message| message == "switch>8001: ACK" && !std::mem::replace(&mut lost, true));
    w.calls(citizen);
    w.run(5);
    assert_eq!(w.count("switch>8001: ACK"), 2);
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn a_bye_that_is_never_answered_ends_the_leg_all_the_same() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.lose = Box::new(|message| message == "8001>switch: 200 BYE");
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.agent_state("8001"), Agent::Idle, "the agent is free at once");
    w.run(40);
    assert_eq!((w.switch.calls(), w.is_up(agent)), (0, false));
    w.ends();
}

#[test]
fn of_two_hundred_calls_over_a_lossy_network_nearly_all_are_set_up() {
    let network = Network { loss: 20, duplicate: 5, delay: (5, 120) };
    let mut w = World::of(20, network);
    w.voice = Duration::from_millis(500);
    for number in 8001..=8012 {
        let agent = w.agent(&number.to_string());
        w.phones[agent].manner = Manner::AnswersAfter(Duration::from_millis(700));
    }
    let carrier = w.citizen("carrier");
    for call in 0..200 {
        w.phones[carrier].dial(w.now, &format!("1380000{call:04}"), "12345", None, false);
        w.run(4);
        // A while later the caller hangs up.
        if call >= 6 {
            let old = *w.phones[carrier].legs.keys().rev().nth(6).expect("an earlier call");
            w.act(carrier, Act::HangUp(old));
        }
    }
    w.hangs_up(carrier);
    w.run(150);
    let set_up = w.phones[carrier].legs.values().filter(|leg| leg.was_up).count();
    assert!(set_up >= 198, "{set_up} of 200 were set up");
    let talked = w.records.values().filter(|record| record.served_at.is_some()).count();
    assert!(talked >= 190, "{talked} of 200 were served");
    assert_eq!(w.kept(), (200, 200), "each was spooled once and is over once");
    w.ends();
}

#[test]
fn a_carrier_that_asks_for_a_sign_of_life_gets_one() {
    let mut w = World::new();
    let citizen = w.citizen("1001");
    let leg = w.calls(citizen);
    w.run(1);
    w.phones[citizen].probe(w.now, leg);
    w.run(1);
    assert_eq!(w.phones[citizen].legs[&leg].answers, [200]);
    w.ends();
}

#[test]
fn all_telephones_die_at_once_and_the_switch_is_empty_in_the_end() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let department = w.department("12330", Manner::AnswersAfter(Duration::from_secs(1)));
    let (talking, waiting) = (w.citizen("1001"), w.citizen("1002"));
    w.calls(talking);
    w.run(3);
    w.calls(waiting);
    w.command(talking, Command::ThreeWay { hotline: "12330".into(), consult: false }).unwrap();
    w.run(6);
    assert_eq!(w.state(talking), StateName::ThreeWay);
    for who in [agent, department, talking, waiting] {
        w.phones[who].dead = true;
    }
    // Five minutes of silence for who waits, and half a minute of unanswered BYE.
    w.run(345);
    assert_eq!((w.switch.calls(), w.switch.endpoint().leg_count()), (0, 0));
    assert!(w.switch.media().open.is_empty());
    w.ends();
}
