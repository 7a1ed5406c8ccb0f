//! The gate: what is refused, and with which status.

use crate::{city::TRUNK, phone::Line, world::World};
use hotline::{
    app::switch::Input,
    call::cdr::StateName,
    sip::endpoint::{self, Flow, Transport},
};

/// A citizen's session description that offers nothing but G.729.
const G729: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.100\r\ns=-\r\nc=IN IP4 198.51.100.100\r\nt=0 0\r\n\
                    m=audio 10000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n";

fn over(status: &str) -> Line {
    Line::Over(status.into())
}

#[test]
fn no_common_codec_is_488() {
    let mut w = World::new();
    let citizen = w.citizen("1001");
    w.phones[citizen].dial(w.now, "1001", "12345", Some(G729.into()), false);
    w.run(2);
    assert_eq!(w.line(citizen), over("488"));
    w.ends();
}

#[test]
fn an_unknown_number_is_404() {
    let mut w = World::new();
    let citizen = w.citizen("1001");
    w.dials(citizen, "54321");
    w.run(2);
    assert_eq!(w.line(citizen), over("404"));
    assert_eq!(w.kept(), (0, 0));
    w.ends();
}

#[test]
fn a_stranger_hears_nothing() {
    let mut w = World::new();
    // An agents' telephone that speaks to the carriers' address, and one that is nobody's.
    for from in ["203.0.113.9:5060", "10.9.9.9:5060"] {
        for method in ["INVITE", "REGISTER", "OPTIONS"] {
            let text = format!(
                "{method} sip:12345@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{method}\r\n\
                 From: <sip:x@h>;tag=1\r\nTo: <sip:12345@192.0.2.1>\r\nCall-ID: {method}{from}\r\n\
                 CSeq: 1 {method}\r\nContact: <sip:x@{from}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            let flow = Flow {
                transport: Transport::Udp,
                local: TRUNK.parse().expect("an address"),
                remote: from.parse().expect("an address"),
                connection: 0,
            };
            w.switch_input(Input::Sip(endpoint::Input::Packet { flow, bytes: text.into() }));
        }
    }
    assert!(w.sent.is_empty(), "{:?}", w.sent);
    let counters = w.switch.endpoint().counters();
    assert_eq!((counters.strangers, counters.sent, w.switch.endpoint().transaction_count()), (6, 0, 0));
    w.ends();
}

#[test]
fn a_wrong_password_is_401() {
    let mut w = World::new();
    let agent = w.agent_at_home("8001");
    w.phones[agent].register(w.now, "wrong");
    w.run(2);
    assert_eq!(w.phones[agent].registered, Some(401));
    assert_eq!(w.count("switch>8001: 401 REGISTER"), 2);
    assert!(w.switch.acd().agent(&"8001".into(), w.now).is_none(), "nobody is signed in");
    w.ends();
}

#[test]
fn an_unregistered_telephone_that_calls_is_challenged() {
    let mut w = World::new();
    let agent = w.agent_at_home("8001");
    w.dials(agent, "12345");
    w.run(2);
    assert_eq!(w.line(agent), over("401"));
    assert_eq!(w.kept(), (0, 0));
    w.ends();
}

#[test]
fn a_draining_switch_takes_no_new_calls_and_goes_on_with_the_old() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let (old, new) = (w.citizen("1001"), w.citizen("1002"));
    w.calls(old);
    w.run(3);
    w.switch_input(Input::Drain);
    w.calls(new);
    w.run(2);
    assert_eq!(w.line(new), over("503"));
    assert_eq!(w.state(old), StateName::Talking);
    assert!(w.converse(&[old, agent]));
    w.ends();
}

#[test]
fn the_end_of_a_drain_hangs_everybody_up() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let (talking, waiting) = (w.citizen("1001"), w.citizen("1002"));
    w.calls(talking);
    w.run(3);
    w.calls(waiting);
    w.run(3);
    w.switch.end_all(w.now);
    w.run(2);
    for who in [agent, talking, waiting] {
        assert_eq!(w.line(who), over("BYE"));
    }
    w.ends();
}

#[test]
fn a_call_for_which_no_port_is_free_is_503() {
    let mut w = World::new();
    let agent = w.agent("8001");
    let (first, second) = (w.citizen("1001"), w.citizen("1002"));
    w.switch.media().ports = 1;
    w.calls(first);
    w.run(2);
    // The agent's leg finds no port: the citizen goes on waiting.
    assert_eq!(w.state(first), StateName::Queued);
    assert!(!w.is_rung(agent));
    w.calls(second);
    w.run(2);
    assert_eq!(w.line(second), over("503"));
    w.switch.media().ports = usize::MAX;
    w.until(40, "a port is free again", |w| w.is_up(agent));
    w.ends();
}

#[test]
fn a_call_whose_record_cannot_be_kept_is_503() {
    let mut w = World::new();
    w.durable = false;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(2);
    assert_eq!(w.line(citizen), over("503"));
    assert_eq!(w.count("switch>1001: 200 INVITE"), 0);
    w.ends();
}

#[test]
fn a_registration_is_refreshed_and_one_that_is_not_expires() {
    let mut w = World::new();
    let (kept, left) = (w.agent("8001"), w.agent("8002"));
    w.phones[left].stays = false;
    w.run(4_000);
    assert!(w.count("8001>switch: REGISTER") > 10);
    let reachable = |w: &World, agent: &str| w.switch.acd().agent(&agent.into(), w.now).unwrap().reachable;
    assert!(reachable(&w, "8001") && !reachable(&w, "8002"));
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run(3);
    assert!(w.is_up(kept) && !w.is_up(left));
    w.ends();
}
