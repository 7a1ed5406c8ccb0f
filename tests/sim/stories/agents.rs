//! Agents: who is rung, who answers, who does not, whose telephone dies.

use crate::{
    city::{AGENT_LOST, MUSIC},
    phone::{Line, Manner},
    world::World,
};
use hotline::{
    acd::{
        agent::StateName as Agent,
        message::{self as acd, Status},
    },
    call::{
        Command,
        cdr::{StateName, What, Whose},
        message::Said,
    },
    media::sdp::Direction,
};
use std::time::Duration;

const AT_ONCE: Manner = Manner::AnswersAfter(Duration::ZERO);

#[test]
fn a_citizen_is_answered_and_both_talk() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("13800138000");
    w.calls(citizen);
    w.run(3);
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::Talking, Agent::Talking));
    assert!(w.converse(&[citizen, agent]));
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.line(agent), Line::Over("BYE".into()));
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    let ending = w.call(citizen).ending.unwrap();
    assert_eq!((ending.whose, ending.what), (Whose::Caller, What::Answered));
    let frames = *w.switch.media().out.recorded.values().next().expect("a recording");
    assert!(frames > 100, "both sides are recorded: {frames}");
    w.ends();
}

/// One agent with two telephones: the one that registered last is rung first.
fn desk_and_soft(w: &mut World, soft_does: Manner) -> (usize, usize) {
    let (desk, soft) = (w.agent("8001"), w.agent("8001"));
    w.phones[soft].manner = soft_does;
    (desk, soft)
}

#[test]
fn a_telephone_that_cannot_be_rung_gives_way_to_the_users_other_one() {
    for status in [408, 430, 480, 503] {
        let mut w = World::new();
        let (desk, soft) = desk_and_soft(&mut w, Manner::Refuses(status));
        let citizen = w.citizen("1001");
        w.calls(citizen);
        w.run(4);
        assert_eq!(w.phones[soft].legs.len(), 1, "the newest was rung first");
        assert!(w.is_up(desk) && w.converse(&[citizen, desk]), "{status}");
        w.ends();
    }
}

#[test]
fn the_users_own_refusal_counts_for_all_telephones() {
    let mut w = World::new();
    let (desk, soft) = desk_and_soft(&mut w, Manner::Refuses(486));
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(2);
    assert_eq!((w.phones[soft].legs.len(), w.phones[desk].legs.len()), (1, 0));
    assert_eq!(w.state(citizen), StateName::Queued);
    w.ends();
}

#[test]
fn the_ring_time_is_that_of_all_telephones_together() {
    let mut w = World::new();
    let (desk, soft) = desk_and_soft(&mut w, Manner::Refuses(480));
    w.phones[desk].manner = Manner::NeverAnswers;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(10);
    assert!(w.is_rung(desk) && !w.is_rung(soft));
    w.until(13, "ringing ends", |w| !w.is_rung(desk));
    assert_eq!(w.state(citizen), StateName::Queued);
    w.ends();
}

#[test]
fn an_agent_who_never_answers_is_passed_over_and_the_caller_keeps_the_old_place() {
    let mut w = World::new();
    let silent = w.agent("8001");
    w.phones[silent].manner = Manner::NeverAnswers;
    let (first, second, third) = (w.citizen("1001"), w.citizen("1002"), w.citizen("1003"));
    w.calls(first);
    w.run(2);
    assert!(w.is_rung(silent));
    w.calls(second);
    w.run(2);
    w.calls(third);
    w.run(2);
    // The twenty seconds of ringing are over: back to the old place, before those who came later.
    w.until(20, "ringing ends", |w| !w.is_rung(silent));
    w.run_ms(200);
    assert_eq!(w.waiting(), ["1001", "1002", "1003"]);
    assert_eq!(w.agent_status("8001"), Status::NotReady { reason: "no_answer".into() });
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    assert!(w.hears_tone(first, MUSIC), "the caller goes on hearing music");
    let next = w.agent("8002");
    w.until(3, "the next agent is rung", |w| w.is_up(next));
    w.run_ms(300);
    assert!(w.converse(&[first, next]));
    assert_eq!(w.waiting(), ["1002", "1003"]);
    w.ends();
}

#[test]
fn two_agents_answer_at_once_and_the_second_is_hung_up() {
    let mut w = World::new();
    let slow = w.agent("8001");
    // It is rung 10 ms after our twenty seconds began: the answer leaves while our CANCEL is on its way.
    w.phones[slow].manner = Manner::AnswersAfter(Duration::from_millis(19_995));
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(1);
    let quick = w.agent("8002");
    w.phones[quick].manner = AT_ONCE;
    w.until(25, "the second agent talks", |w| w.state(citizen) == StateName::Talking);
    w.run(2);
    assert!(w.converse(&[citizen, quick]));
    assert_eq!(w.count("8001>switch: 200 INVITE"), 1, "the first answered too");
    assert_eq!((w.count("switch>8001: ACK"), w.count("switch>8001: BYE")), (1, 1), "ACK, then BYE");
    assert_eq!(w.line(slow), Line::Over("BYE".into()));
    assert_eq!((w.agent_state("8001"), w.agent_state("8002")), (Agent::Idle, Agent::Talking));
    w.ends();
}

#[test]
fn an_agent_signs_out_as_the_telephone_answers() {
    let mut w = World::new();
    let agent = w.agent("8001");
    w.phones[agent].manner = Manner::NeverAnswers;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.until(2, "it rings", |w| w.is_rung(agent));
    w.run(1);
    w.answers(agent);
    w.agent_input(acd::Input::SignOut { agent: "8001".into() });
    w.run(1);
    assert_eq!(w.count("switch>8001: ACK"), 1, "the late answer is acknowledged");
    assert_eq!(w.count("switch>8001: BYE"), 1, "and ended");
    assert_eq!((w.state(citizen), w.agent_status("8001")), (StateName::Queued, Status::LoggedOut));
    assert_eq!(w.waiting(), ["1001"]);
    w.ends();
}

#[test]
fn an_agent_refuses_and_the_next_is_rung() {
    for status in [486, 603, 480, 488, 500] {
        let mut w = World::new();
        let busy = w.agent("8001");
        w.phones[busy].manner = Manner::Refuses(status);
        let citizen = w.citizen("1001");
        w.calls(citizen);
        w.run(1);
        let other = w.agent("8002");
        w.until(10, "the other agent talks", |w| w.state(citizen) == StateName::Talking);
        w.run(1);
        assert!(w.converse(&[citizen, other]), "{status}");
        assert_eq!(w.agent_state("8001"), Agent::Idle);
        w.ends();
    }
}

#[test]
fn who_lost_the_agent_and_gives_up_waiting_again_is_called_back() {
    let mut w = World::new();
    let (dying, citizen) = (w.agent("8001"), w.citizen("1001"));
    w.calls(citizen);
    w.until(20, "they talk", |w| w.converse(&[citizen, dying]));
    w.phones[dying].dead = true;
    w.until(15, "the loss is found out", |w| w.has_said(|said| matches!(said, Said::AgentLost { .. })));
    w.run(1);
    w.hangs_up(citizen);
    w.until(40, "the last BYE to the dead telephone is given up", |w| !w.journal.owed.is_empty());
    let owed: Vec<_> = w.journal.owed.iter().map(|owed| (owed.number.as_deref(), owed.reason.as_str())).collect();
    assert_eq!(owed, [(Some("1001"), "abandoned")]);
    let next = w.agent("8002");
    let patient = w.citizen("1002");
    w.calls(patient);
    w.until(20, "others are served", |w| w.converse(&[patient, next]));
    w.hangs_up(patient);
    w.run(1);
    assert_eq!(w.journal.owed.len(), 1, "who was served is owed nothing");
    w.ends();
}

#[test]
fn an_agents_telephone_dies_and_the_citizen_is_first_in_the_queue() {
    let mut w = World::new();
    let dying = w.agent("8001");
    let earlier = w.agent("8002");
    let (someone, early, citizen) = (w.citizen("1000"), w.citizen("1001"), w.citizen("1002"));
    // The one agent is taken, and the other takes the citizen; who came earlier than the citizen still waits.
    w.phones[earlier].manner = AT_ONCE;
    w.calls(someone);
    w.run(2);
    w.calls(citizen);
    w.run(3);
    let victim = if w.converse(&[citizen, dying]) { dying } else { earlier };
    let name = w.phones[victim].name.clone();
    w.calls(early);
    w.run(2);
    assert_eq!(w.waiting(), ["1001"]);
    w.phones[victim].dead = true;
    w.until(15, "the loss is found out", |w| w.has_said(|said| matches!(said, Said::AgentLost { .. })));
    w.run(1);
    assert!(w.hears_tone(citizen, AGENT_LOST), "the citizen hears why");
    assert_eq!(w.waiting(), ["1002", "1001"], "before those who have not been served");
    assert_eq!(w.agent_status(&name), Status::NotReady { reason: "phone_lost".into() });
    assert_eq!(w.agent_state(&name), Agent::Idle);
    let next = w.agent("8003");
    w.until(5, "the next agent talks", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, next]));
    w.ends();
}

#[test]
fn a_mute_telephone_that_answers_options_is_not_lost() {
    let mut w = World::new();
    let agent = w.agent("8001");
    w.phones[agent].mute = true;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(40);
    assert_eq!(w.state(citizen), StateName::Talking);
    assert!(w.count("switch>8001: OPTIONS") >= 5, "{}", w.count("switch>8001: OPTIONS"));
    assert!(w.hears(agent, citizen));
    w.ends();
}

#[test]
fn a_citizen_of_whom_nothing_is_heard_is_hung_up() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.phones[citizen].dead = true;
    w.until(36, "the silence is found out", |w| !w.is_up(agent));
    assert_eq!(w.what(citizen), Some(What::Lost));
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    w.ends();
}

#[test]
fn an_agent_holds_and_resumes_by_the_telephones_own_button() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.reinvites(agent, Direction::SendOnly);
    w.run(2);
    assert_eq!(w.agent_state("8001"), Agent::Holding);
    assert!(w.hears_tone(citizen, MUSIC) && !w.hears(citizen, agent) && !w.hears(agent, citizen));
    w.reinvites(agent, Direction::SendRecv);
    w.run(2);
    assert_eq!(w.agent_state("8001"), Agent::Talking);
    assert!(w.converse(&[citizen, agent]));
    assert!(!w.hears_tone(citizen, MUSIC));
    w.ends();
}

#[test]
fn an_agent_holds_and_resumes_by_command_and_by_keys() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.command(citizen, Command::Hold).unwrap();
    w.run(2);
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::Held, Agent::Holding));
    assert!(w.hears_tone(citizen, MUSIC) && !w.hears(agent, citizen));
    w.presses(agent, "*1");
    w.run(1);
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::Talking, Agent::Talking));
    assert!(w.converse(&[citizen, agent]));
    w.ends();
}

#[test]
fn an_agent_hangs_up_while_the_citizen_is_on_hold() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.command(citizen, Command::Hold).unwrap();
    w.run(1);
    w.hangs_up(agent);
    w.run(2);
    assert_eq!((w.state(citizen), w.agent_state("8001")), (StateName::Ended, Agent::Idle));
    assert_eq!(w.line(citizen), Line::Over("BYE".into()));
    w.ends();
}

#[test]
fn an_agents_telephone_unregisters_by_dying_before_it_is_rung() {
    let mut w = World::new();
    let dead = w.agent("8001");
    w.phones[dead].dead = true;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(22);
    assert_eq!(w.waiting(), ["1001"], "nobody answered there");
    let other = w.agent("8002");
    w.until(5, "the other agent talks", |w| w.is_up(other));
    w.ends();
}
