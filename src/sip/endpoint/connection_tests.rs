//! Sessions whose connection closes.
#![allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.

use super::{
    wire_tests::{SILENCE, Solo, answer, calling, request, talking, value},
    *,
};
use std::time::Duration;

/// One endpoint at the end of connection 7 from 192.0.2.1:40000, whose Contact and sent-by say port 5080.
fn solo() -> Solo {
    let mut solo = Solo::new();
    solo.flow = Flow { transport: Transport::Tcp, connection: 7, ..solo.flow };
    solo
}

/// A flow fails; what is sent then.
fn fail(solo: &mut Solo, flow: Flow) -> Vec<(Flow, String)> {
    solo.endpoint.handle_input(solo.now, Input::FlowFailed { flow });
    solo.wires()
}

/// A connection that has to be opened.
fn unopened(solo: &Solo, port: u16) -> Flow {
    Flow { remote: (solo.flow.remote.ip(), port).into(), connection: 0, ..solo.flow }
}

/// Lets time pass; what is sent meanwhile.
fn pass(solo: &mut Solo, time: Duration) -> Vec<(Flow, String)> {
    let until = solo.now.plus(time);
    let mut sent = solo.wires();
    while let Some(at) = solo.endpoint.poll_timeout().filter(|at| *at <= until.mono) {
        solo.now = solo.now.plus(at.saturating_duration_since(solo.now.mono));
        solo.endpoint.handle_timeout(solo.now);
        sent.extend(solo.wires());
    }
    solo.now = until;
    sent
}

fn response(request: &str, status: &str) -> String {
    let fields = ["Via", "From", "To", "Call-ID", "CSeq"].map(|n| format!("{n}: {}\r\n", value(request, n))).concat();
    format!("SIP/2.0 {status}\r\n{fields}\r\n")
}

fn leg_events(solo: &mut Solo) -> Vec<LegEvent> {
    let events = std::mem::take(&mut solo.events).into_iter();
    events.filter_map(|event| if let Event::Leg { event, .. } = event { Some(event) } else { None }).collect()
}

/// Nothing is remembered of what has ended.
fn assert_empty(solo: &mut Solo) {
    pass(solo, Duration::from_secs(80));
    assert_eq!((solo.endpoint.leg_count(), solo.endpoint.transaction_count()), (0, 0));
    assert!(solo.endpoint.transactions.is_clean() && solo.endpoint.connections.is_empty());
}

#[test]
fn a_session_outlives_its_connection_where_the_peer_can_be_reached() {
    let mut solo = solo();
    let (leg, _) = talking(&mut solo);
    let flow = solo.flow;
    let sent = fail(&mut solo, flow);
    assert!(solo.events.is_empty() && sent.is_empty(), "not all calls of a trunk at once");
    let sent = pass(&mut solo, Duration::from_secs(1));
    let [(flow, options)] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(options.starts_with("OPTIONS sip:a@192.0.2.1:5080 "), "{options}");
    assert_eq!(*flow, unopened(&solo, 5080), "the Contact, by a new connection");
    solo.flow = Flow { connection: 8, ..*flow };
    assert_eq!(solo.statuses(response(options, "200 OK")), SILENCE);
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Response { status: 200, .. }]));
    solo.endpoint.hang_up(solo.now, leg, &[]).expect("they talk");
    let bye = solo.wires();
    assert_eq!(bye[0].0.connection, 0);
    assert_eq!(solo.statuses(response(&bye[0].1, "200 OK")), SILENCE);
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Gone]));
    assert_empty(&mut solo);
}

#[test]
fn the_user_is_told_where_the_peer_of_a_session_cannot_be_reached() {
    let mut solo = solo();
    let (leg, _) = talking(&mut solo);
    let (flow, contact) = (solo.flow, unopened(&solo, 5080));
    // The user's own probe is under way: its failure by the old connection says nothing of the peer.
    solo.endpoint.request(solo.now, leg, Method::Options, &[], Bytes::new()).expect("they talk");
    assert_eq!(solo.wires()[0].0, flow);
    fail(&mut solo, flow);
    assert!(solo.events.is_empty());
    assert_eq!(pass(&mut solo, Duration::from_secs(1)).len(), 1);
    fail(&mut solo, contact);
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Response { status: 503, response: None, .. }]));
    // Its user hears whether the peer still speaks, and ends what is left.
    solo.endpoint.hang_up(solo.now, leg, &[]).expect("they talk");
    let (bye, _) = solo.wires().pop().expect("a BYE");
    fail(&mut solo, bye);
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Gone]));
    assert_empty(&mut solo);
}

#[test]
fn a_probe_that_finds_no_way_is_told_and_ends_nothing() {
    let mut solo = Solo::new();
    let (leg, _) = talking(&mut solo);
    solo.endpoint.request(solo.now, leg, Method::Options, &[], Bytes::new()).expect("they talk");
    let flow = solo.wires()[0].0;
    fail(&mut solo, flow);
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Response { status: 503, response: None, .. }]));
    solo.endpoint.hang_up(solo.now, leg, &[]).expect("they talk");
    let (bye, _) = solo.wires().pop().expect("a BYE");
    fail(&mut solo, bye);
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Gone]));
    assert_empty(&mut solo);
}

#[test]
fn a_peer_that_comes_again_brings_its_new_connection() {
    let mut solo = solo();
    let (leg, to) = talking(&mut solo);
    let flow = solo.flow;
    fail(&mut solo, flow);
    solo.flow = Flow { remote: ([192, 0, 2, 1], 41_000).into(), connection: 9, ..flow };
    assert_eq!(solo.statuses(request("UPDATE", "z9hG4bKu", &[&to, "CSeq: 2 UPDATE"])), [200]);
    assert!(pass(&mut solo, Duration::from_secs(2)).is_empty(), "it has shown that it is there");
    solo.endpoint.hang_up(solo.now, leg, &[]).expect("they talk");
    assert_eq!(solo.wires()[0].0, solo.flow);
    // The BYE goes down with this connection, too, and is sent by a third.
    let flow = solo.flow;
    let bye = fail(&mut solo, flow);
    assert!(bye[0].1.starts_with("BYE ") && bye[0].0 == unopened(&solo, 5080), "{bye:?}");
    fail(&mut solo, bye[0].0);
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Gone]));
    assert_empty(&mut solo);
}

#[test]
fn an_answer_whose_connection_is_gone_opens_one_to_sent_by() {
    let mut solo = solo();
    solo.give(request("INVITE", "z9hG4bKi", &["Via: SIP/2.0/TCP 10.0.0.7:5090;branch=z9hG4bKi", "Contact: <sip:a@h>"]));
    let Some(Event::Invite { leg, .. }) = solo.events.pop() else { panic!("a call") };
    solo.endpoint.progress(solo.now, leg, 180, "", None).expect("it rings");
    assert_eq!(solo.wires()[0].0, solo.flow);
    let flow = solo.flow;
    let again = fail(&mut solo, flow);
    assert!(again[0].1.starts_with("SIP/2.0 180 "), "{again:?}");
    assert_eq!(again[0].0, unopened(&solo, 5090), "where it came from, at the port of sent-by (section 18.2.2)");
    solo.endpoint.answer(solo.now, leg, Bytes::from_static(b"v=0")).expect("it rings");
    let ok = solo.wires();
    assert_eq!(ok[0].0, unopened(&solo, 5090));
    let to = format!("To: {}", value(&ok[0].1, "To"));
    solo.flow = Flow { connection: 8, ..unopened(&solo, 5090) };
    solo.give(request("ACK", "z9hG4bKa", &[&to]));
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Confirmed { .. }]));
    assert_eq!(solo.statuses(request("BYE", "z9hG4bKb", &[&to, "CSeq: 2 BYE"])), [200]);
    assert_empty(&mut solo);
}

#[test]
fn a_caller_to_whom_no_answer_can_be_given_is_lost() {
    for answered in [false, true] {
        let mut solo = solo();
        solo.give(request("INVITE", "z9hG4bKi", &[]));
        let Some(Event::Invite { leg, .. }) = solo.events.pop() else { panic!("a call") };
        if answered {
            solo.endpoint.answer(solo.now, leg, Bytes::from_static(b"v=0")).expect("it rings");
            solo.wires();
        }
        let (flow, sent_by) = (solo.flow, unopened(&solo, 5080));
        let mut again = fail(&mut solo, flow);
        again.extend(pass(&mut solo, Duration::from_millis(10)));
        let first = if answered { "SIP/2.0 200 " } else { "SIP/2.0 100 " };
        assert!(again.len() == 1 && again[0].1.starts_with(first) && again[0].0 == sent_by, "{again:?}");
        assert!(solo.events.is_empty());
        fail(&mut solo, sent_by);
        assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Lost { status: 503 }]));
        assert_empty(&mut solo);
    }
}

#[test]
fn after_a_restart_the_bye_goes_to_the_contact() {
    let mut solo = solo();
    let (leg, _) = talking(&mut solo);
    let snapshot = solo.endpoint.snapshot(leg).expect("they talk");
    let mut restarted = Solo::new();
    restarted.endpoint.restore(LegId(9), &snapshot).expect("a whole snapshot");
    restarted.endpoint.hang_up(restarted.now, LegId(9), &[]).expect("it is restored");
    let bye = restarted.wires();
    assert!(bye[0].1.starts_with("BYE ") && bye[0].0 == unopened(&solo, 5080), "{bye:?}");
}

#[test]
fn a_call_that_we_make_fails_with_its_connection() {
    let mut solo = solo();
    let invite = calling(&mut solo);
    solo.give(answer(&invite, "180 Ringing", "one", ""));
    let flow = Flow { remote: ([192, 0, 2, 1], 5060).into(), ..solo.flow };
    solo.events.clear();
    fail(&mut solo, flow);
    assert!(matches!(leg_events(&mut solo).as_slice(), [LegEvent::Failed { status: 503, response: None }]));
    assert_empty(&mut solo);
}
