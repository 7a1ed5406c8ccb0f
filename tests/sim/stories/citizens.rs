//! Citizens: who hangs up when, and whose messages cross whose.

use crate::{
    city::MUSIC,
    phone::{Line, Manner},
    world::World,
};
use hotline::{
    acd::agent::StateName as Agent,
    call::cdr::{StateName, What},
    media::sdp::Direction,
};
use std::time::Duration;

#[test]
fn a_citizen_hangs_up_while_the_agents_telephone_rings() {
    let mut w = World::new();
    let agent = w.agent("8001");
    w.phones[agent].manner = Manner::NeverAnswers;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    assert_eq!(w.agent_state("8001"), Agent::Ringing);
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.line(agent), Line::Over("CANCEL".into()));
    assert_eq!((w.count("switch>8001: CANCEL"), w.count("switch>8001: BYE")), (1, 0));
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    assert_eq!(w.what(citizen), Some(What::Abandoned));
    assert!(w.waiting().is_empty());
    // The agent is free for the next one at once.
    w.phones[agent].manner = Manner::AnswersAfter(Duration::ZERO);
    let next = w.citizen("1002");
    w.calls(next);
    w.until(2, "the next citizen is served", |w| w.is_up(agent));
    w.ends();
}

#[test]
fn a_citizens_cancel_crosses_our_200() {
    let mut w = World::new();
    let citizen = w.citizen("1001");
    w.calls(citizen);
    // 100 is there after 20 ms; 200 leaves us at 15 ms and is on its way.
    w.run_ms(21);
    w.hangs_up(citizen);
    w.run(2);
    assert_eq!(w.count("1001>switch: CANCEL"), 1);
    assert_eq!(w.count("switch>1001: 200 INVITE"), 1);
    assert_eq!((w.count("1001>switch: ACK"), w.count("1001>switch: BYE")), (1, 1), "ACK, then BYE");
    assert_eq!(w.count("switch>1001: 487 INVITE"), 0);
    assert_eq!(w.what(citizen), Some(What::Abandoned));
    assert_eq!(w.kept(), (1, 1));
    w.ends();
}

#[test]
fn a_citizen_cancels_before_the_record_is_durable() {
    let mut w = World::new();
    w.spool = Duration::from_millis(200);
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run_ms(50);
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.line(citizen), Line::Over("hung up".into()));
    assert_eq!((w.count("switch>1001: 487 INVITE"), w.count("switch>1001: 200 INVITE")), (1, 0));
    assert_eq!(w.what(citizen), Some(What::Abandoned));
    assert_eq!(w.kept(), (1, 1));
    w.ends();
}

#[test]
fn our_cancel_crosses_the_agents_200() {
    let mut w = World::new();
    let agent = w.agent("8001");
    w.phones[agent].manner = Manner::NeverAnswers;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.hangs_up(citizen);
    w.run_ms(15);
    // Our CANCEL is under way.
    assert_eq!(w.count("switch>8001: CANCEL"), 1);
    w.answers(agent);
    w.run(2);
    assert_eq!(w.count("8001>switch: 200 INVITE"), 1);
    assert_eq!((w.count("switch>8001: ACK"), w.count("switch>8001: BYE")), (1, 1), "ACK, then BYE");
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    w.ends();
}

#[test]
fn bye_crosses_bye() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.hangs_up(citizen);
    w.hangs_up(agent);
    w.run(1);
    assert_eq!((w.count("1001>switch: BYE"), w.count("8001>switch: BYE")), (1, 1));
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::Ended, Agent::Idle));
    w.ends();
}

#[test]
fn our_bye_crosses_the_agents() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.hangs_up(citizen);
    w.until(1, "our BYE is under way", |w| w.count("switch>8001: BYE") == 1);
    w.hangs_up(agent);
    w.run(2);
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::Ended, Agent::Idle));
    w.ends();
}

#[test]
fn both_hold_and_resume_in_the_same_instant() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    // Both hold in the same instant; each leg is a dialog of its own, so both succeed.
    w.reinvites(agent, Direction::SendOnly);
    w.reinvites(citizen, Direction::SendOnly);
    w.run(2);
    assert!(!w.hears(citizen, agent) && !w.hears(agent, citizen));
    w.reinvites(agent, Direction::SendRecv);
    w.reinvites(citizen, Direction::SendRecv);
    w.run(2);
    for who in [agent, citizen] {
        assert_eq!(w.phones[who].legs.values().next().unwrap().offers, [200, 200]);
    }
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

/// A second re-INVITE while our answer to the first is unacknowledged is 491 (RFC 3261 section 14.2); the one who sent
/// it tries again by itself and succeeds.
#[test]
fn a_reinvite_before_the_ack_of_the_first_is_491_and_succeeds_later() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    let mut lost = 0;
    // The ACK of the first re-INVITE is lost for a while, so that the second comes before it.
    w.lose = Box::new(move |message| {
        let lose = message == "1001>switch: ACK" && lost < 2;
        lost += usize::from(lose);
        lose
    });
    w.reinvites(citizen, Direction::SendOnly);
    w.run_ms(100);
    w.reinvites(citizen, Direction::SendRecv);
    w.run(8);
    assert!(w.count("switch>1001: 491 INVITE") >= 1);
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn a_citizen_holds_and_resumes() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.reinvites(citizen, Direction::SendOnly);
    w.run(2);
    assert!(w.hears_tone(agent, MUSIC) && !w.hears(agent, citizen));
    w.reinvites(citizen, Direction::SendRecv);
    w.run(2);
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn an_invite_without_an_offer_is_answered_with_ours() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.phones[citizen].dial(w.now, "1001", "12345", None, true);
    w.run(3);
    assert_eq!(w.state(citizen), StateName::Talking);
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn three_callers_meet_in_a_room() {
    let mut w = World::new();
    let all = [w.citizen("1001"), w.citizen("1002"), w.citizen("1003")];
    for who in all {
        w.dials(who, "3001");
        w.run_ms(300);
    }
    w.run(1);
    assert!(w.converse(&all));
    w.hangs_up(all[0]);
    w.run(1);
    assert!(w.converse(&all[1..]));
    w.ends();
}

#[test]
fn a_citizen_hangs_up_in_the_queue() {
    let mut w = World::new();
    let (first, second) = (w.citizen("1001"), w.citizen("1002"));
    w.calls(first);
    w.run(1);
    w.calls(second);
    w.run(1);
    assert_eq!(w.waiting(), ["1001", "1002"]);
    assert!(w.hears_tone(first, MUSIC));
    w.hangs_up(first);
    w.run(1);
    assert_eq!(w.waiting(), ["1002"]);
    assert_eq!(w.what(first), Some(What::Abandoned));
    w.ends();
}
