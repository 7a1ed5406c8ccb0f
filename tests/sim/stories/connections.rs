//! Telephones on TCP: what a closed connection means for their calls.

use crate::world::World;
use hotline::{acd::message::Status, call::cdr::StateName};

#[test]
fn an_agents_connection_closes_and_the_telephone_is_silent_and_the_citizen_is_first_in_the_queue() {
    let mut w = World::new();
    let agent = w.agent_on_tcp("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    assert!(w.converse(&[citizen, agent]));
    w.phones[agent].dead = true;
    w.connection_closes(agent);
    w.until(6, "the loss is found out", |w| w.state(citizen) == StateName::Queued);
    assert_eq!(w.agent_status("8001"), Status::NotReady { reason: "phone_lost".into() });
    assert_eq!(w.waiting(), ["1001"]);
    w.ends();
}

#[test]
fn an_agents_connection_closes_and_the_voice_goes_on_and_so_does_the_call() {
    let mut w = World::new();
    let agent = w.agent_on_tcp("8001");
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    w.connection_closes(agent);
    w.run(30);
    assert_eq!(w.state(citizen), StateName::Talking);
    assert!(w.converse(&[citizen, agent]));
    // Its voice stops as well: nothing can be asked any more.
    w.phones[agent].mute = true;
    w.until(6, "the loss is found out", |w| w.state(citizen) == StateName::Queued);
    w.ends();
}

#[test]
fn an_agent_on_tcp_who_only_listens_is_not_lost() {
    let mut w = World::new();
    let agent = w.agent_on_tcp("8001");
    w.phones[agent].mute = true;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(40);
    assert_eq!(w.state(citizen), StateName::Talking);
    assert!(w.hears(agent, citizen));
    w.ends();
}
