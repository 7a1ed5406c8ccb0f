//! What one endpoint answers to messages written by hand.
#![allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.

use super::*;
use crate::{
    clock::UnixMillis,
    sip::message::{HeaderName, Message},
};
use proptest::prelude::*;
use std::time::Duration;

/// No answer at all.
pub(super) const SILENCE: [u16; 0] = [];

pub(super) struct Solo {
    pub(super) endpoint: Endpoint,
    pub(super) now: Now,
    pub(super) flow: Flow,
    pub(super) events: Vec<Event>,
}

impl Solo {
    pub(super) fn new() -> Self {
        let flow = Flow {
            transport: Transport::Udp,
            local: ([192, 0, 2, 9], 5060).into(),
            remote: ([192, 0, 2, 1], 40_000).into(),
            connection: 0,
        };
        let now = Now { mono: Instant::now(), wall: UnixMillis(0) };
        let endpoint = Endpoint::new(EndpointConfig::default(), IdGen::new(1, 1), [1; 32]);
        Solo { endpoint, now, flow, events: Vec::new() }
    }

    /// Gives it a message; what it sends, with the port that it goes to.
    pub(super) fn give(&mut self, text: impl Into<Bytes>) -> Vec<(u16, String)> {
        self.endpoint.handle_input(self.now, Input::Packet { flow: self.flow, bytes: text.into() });
        self.drain()
    }

    pub(super) fn drain(&mut self) -> Vec<(u16, String)> {
        self.wires().into_iter().map(|(flow, text)| (flow.remote.port(), text)).collect()
    }

    /// What it sends, with the flow that it goes by.
    pub(super) fn wires(&mut self) -> Vec<(Flow, String)> {
        let mut sent = Vec::new();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => {
                    assert_eq!(flow.remote.ip(), self.flow.remote.ip());
                    sent.push((flow, String::from_utf8_lossy(&bytes).into_owned()));
                }
                Output::Event(event) => self.events.push(event),
            }
        }
        sent
    }

    /// The status lines of what it sends.
    pub(super) fn statuses(&mut self, text: impl Into<Bytes>) -> Vec<u16> {
        self.give(text)
            .iter()
            .map(|(_, text)| text.get(8..11).and_then(|code| code.parse().ok()).unwrap_or(0))
            .collect()
    }

    pub(super) fn pass(&mut self, seconds: u64) -> Vec<(u16, String)> {
        let until = self.now.plus(Duration::from_secs(seconds));
        let mut sent = Vec::new();
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= until.mono) {
            self.now = self.now.plus(at.saturating_duration_since(self.now.mono));
            self.endpoint.handle_timeout(self.now);
            sent.extend(self.drain());
        }
        self.now = until;
        sent
    }
}

/// A request; `fields` replace or add to the usual ones.
pub(super) fn request(method: &str, branch: &str, fields: &[&str]) -> String {
    let usual = [
        format!("Via: SIP/2.0/UDP 192.0.2.1:5080;branch={branch};rport"),
        "Max-Forwards: 70".into(),
        "From: <sip:a@example.net>;tag=fa".into(),
        "To: <sip:12345@192.0.2.9>".into(),
        "Call-ID: call".into(),
        format!("CSeq: 1 {method}"),
        "Contact: <sip:a@192.0.2.1:5080>".into(),
    ];
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let mut text = format!("{method} sip:12345@192.0.2.9 SIP/2.0\r\n");
    for line in usual.iter().filter(|line| !fields.iter().any(|field| name(field) == name(line))) {
        text += line;
        text += "\r\n";
    }
    for field in fields.iter().filter(|field| field.contains(": ")) {
        text += field;
        text += "\r\n";
    }
    text + "\r\n"
}

pub(super) fn value<'a>(message: &'a str, name: &str) -> &'a str {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

#[test]
fn what_is_malformed_is_answered_400_or_not_at_all() {
    let mut solo = Solo::new();
    let answer = solo.give(request("INVITE", "z9hG4bK1", &["CSeq: x INVITE"]));
    assert_eq!(answer.len(), 1);
    assert!(answer[0].1.starts_with("SIP/2.0 400 "));
    assert_eq!(answer[0].0, 40_000);
    assert_eq!(solo.statuses(request("ACK", "z9hG4bK1", &["CSeq: x ACK"])), SILENCE);
    assert_eq!(solo.statuses(request("OPTIONS", "z9hG4bK2", &["Call-ID"])), [400], "RFC 4475 section 3.3.1");
    let broken_via = solo.give(request("OPTIONS", "z9hG4bK2", &["Via: SIP/2.0/UDP 192.0.2.1:5080;;,;"]));
    assert!(broken_via[0].1.starts_with("SIP/2.0 400 "));
    assert_eq!(broken_via[0].0, 40_000, "back to where it came from");
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK2a", &["Accept: text/plain, text/html;q=0.5"])), [406]);
    assert_eq!(solo.statuses("rubbish"), SILENCE);
    assert_eq!(solo.statuses("\r\n\r\n"), SILENCE);
    assert_eq!(solo.statuses("SIP/2.0 200\r\n\r\n"), SILENCE);
    assert_eq!(solo.endpoint.transaction_count(), 0);
}

#[test]
fn version_scheme_method_and_extension_are_checked() {
    let mut solo = Solo::new();
    let old = request("OPTIONS", "z9hG4bK1", &[]).replacen("SIP/2.0", "SIP/7.0", 1);
    assert_eq!(solo.statuses(old), [505]);
    let scheme = request("OPTIONS", "z9hG4bK2", &[]).replacen("sip:12345@192.0.2.9", "soap.beep://192.0.2.9", 1);
    assert_eq!(solo.statuses(scheme), [416]);
    let unknown = solo.give(request("NEWMETHOD", "z9hG4bK3", &[]));
    assert!(unknown[0].1.starts_with("SIP/2.0 501"));
    assert!(value(&unknown[0].1, "Allow").contains("INVITE, ACK"));
    assert_eq!(solo.statuses(request("PUBLISH", "z9hG4bK4", &[])), [405]);
    let extension = solo.give(request("OPTIONS", "z9hG4bK5", &["Require: 100rel, replaces, nothing"]));
    assert!(extension[0].1.starts_with("SIP/2.0 420"));
    assert_eq!(value(&extension[0].1, "Unsupported"), "100rel, nothing");
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK6", &["Max-Forwards: 0"])), [483]);
    let body = solo.give(request("INVITE", "z9hG4bK7", &["Content-Type: text/plain"]) + "hello");
    assert!(body[0].1.starts_with("SIP/2.0 415"));
    assert_eq!(value(&body[0].1, "Accept"), "application/sdp");
    assert!(solo.events.is_empty());
    assert_eq!(solo.endpoint.transaction_count(), 0, "nothing is remembered of these");
}

#[test]
fn what_has_no_dialog_or_transaction_is_481() {
    let mut solo = Solo::new();
    let to = "To: <sip:12345@192.0.2.9>;tag=none";
    for method in ["BYE", "INFO", "UPDATE", "INVITE", "OPTIONS", "REFER"] {
        assert_eq!(solo.statuses(request(method, "z9hG4bK1", &[to])), [481], "{method}");
    }
    assert_eq!(solo.statuses(request("BYE", "z9hG4bK2", &[])), [481]);
    assert_eq!(solo.statuses(request("CANCEL", "z9hG4bK3", &[])), [481]);
    assert_eq!(solo.statuses(request("ACK", "z9hG4bK4", &[to])), SILENCE);
    assert_eq!(solo.endpoint.counters().dropped, 1);
}

#[test]
fn an_answer_goes_where_rport_or_sent_by_says() {
    let mut solo = Solo::new();
    let trying = solo.give(request("INVITE", "z9hG4bK1", &[]));
    assert_eq!(trying[0].0, 40_000);
    let via = "SIP/2.0/UDP 192.0.2.1:5080;branch=z9hG4bK1;rport=40000;received=192.0.2.1";
    assert_eq!(value(&trying[0].1, "Via"), via);
    let plain = ["Via: SIP/2.0/UDP 10.0.0.7:5080;branch=z9hG4bK2", "Call-ID: other"];
    let trying = solo.give(request("INVITE", "z9hG4bK2", &plain));
    assert_eq!(trying[0].0, 5080, "without rport the port is that of sent-by");
    assert_eq!(value(&trying[0].1, "Via"), "SIP/2.0/UDP 10.0.0.7:5080;branch=z9hG4bK2;received=192.0.2.1");
    let maddr = ["Via: SIP/2.0/UDP 192.0.2.1:5080;branch=z9hG4bK3;maddr=203.0.113.5", "Call-ID: third"];
    assert_eq!(solo.give(request("INVITE", "z9hG4bK3", &maddr))[0].0, 5080);
}

#[test]
fn a_fork_that_comes_together_again_is_482() {
    let mut solo = Solo::new();
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK1", &[])), [100]);
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK2", &[])), [482]);
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK1", &[])), [100], "a copy is not a fork");
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK3", &["Call-ID: other"])), [100]);
    assert_eq!(solo.events.len(), 2);
}

#[test]
fn after_a_challenge_the_same_cseq_is_not_a_fork() {
    let mut solo = Solo::new();
    solo.give(request("INVITE", "z9hG4bK1", &[]));
    let Some(Event::Invite { leg, .. }) = solo.events.pop() else { panic!("a call") };
    solo.endpoint.reject(solo.now, leg, 401, "", &[]).expect("it rings");
    solo.drain();
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK2", &[])), [100]);
}

#[test]
fn a_peer_of_rfc_2543_is_served() {
    let mut solo = Solo::new();
    let old = "Via: SIP/2.0/UDP 192.0.2.1:5080";
    assert_eq!(solo.statuses(request("INVITE", "", &[old])), [100]);
    assert_eq!(solo.statuses(request("INVITE", "", &[old])), [100]);
    assert_eq!(solo.events.len(), 1);
    let Some(Event::Invite { leg, .. }) = solo.events.pop() else { panic!("a call") };
    solo.endpoint.answer(solo.now, leg, Bytes::from_static(b"v=0")).expect("it rings");
    let ok = solo.drain();
    let to = format!("To: {}", value(&ok[0].1, "To"));
    assert_eq!(solo.statuses(request("ACK", "", &[old, &to])), SILENCE);
    assert!(matches!(solo.events.pop(), Some(Event::Leg { event: LegEvent::Confirmed { .. }, .. })));
    assert_eq!(solo.statuses(request("BYE", "", &[old, &to, "CSeq: 2 BYE"])), [200]);
    assert_eq!(solo.statuses(request("BYE", "", &[old, &to, "CSeq: 2 BYE"])), [200], "its copy, too");
    assert!(matches!(solo.events.pop(), Some(Event::Leg { event: LegEvent::Ended { .. }, .. })));
    assert!(solo.events.is_empty());
}

/// A call that was answered and acknowledged; gives its leg and our To.
pub(super) fn talking(solo: &mut Solo) -> (LegId, String) {
    solo.give(request("INVITE", "z9hG4bKi", &["Content-Type: application/sdp"]) + "v=0");
    let Some(Event::Invite { leg, .. }) = solo.events.pop() else { panic!("a call") };
    solo.endpoint.answer(solo.now, leg, Bytes::from_static(b"v=0")).expect("it rings");
    let ok = solo.drain();
    let to = format!("To: {}", value(&ok[0].1, "To"));
    solo.give(request("ACK", "z9hG4bKa", &[&to]));
    solo.events.clear();
    (leg, to)
}

#[test]
fn requests_out_of_order_are_500() {
    let mut solo = Solo::new();
    let (_, to) = talking(&mut solo);
    assert_eq!(solo.statuses(request("INFO", "z9hG4bK2", &[&to, "CSeq: 5 INFO"])), SILENCE);
    assert_eq!(solo.statuses(request("INFO", "z9hG4bK3", &[&to, "CSeq: 4 INFO"])), [500]);
    assert_eq!(solo.statuses(request("INFO", "z9hG4bK4", &[&to, "CSeq: 5 INFO"])), [500]);
    assert_eq!(solo.events.len(), 1);
}

/// Whatever refuses a request in a dialog is said again to a copy of it: the first answer may have been lost.
#[test]
fn a_refusal_that_was_lost_is_said_again() {
    let mut solo = Solo::new();
    let (leg, to) = talking(&mut solo);
    solo.endpoint.offer(solo.now, leg, Bytes::from_static(b"v=0 ours")).expect("they talk");
    solo.drain();
    let invite = request("INVITE", "z9hG4bK2", &[&to, "CSeq: 2 INVITE", "Content-Type: application/sdp"]) + "v=0 x";
    assert_eq!(solo.statuses(invite.clone()), [491], "it crossed ours, and needs no 100");
    assert_eq!(solo.statuses(invite.clone()), [491]);
    let by_timer = solo.pass(1);
    assert!(by_timer.iter().any(|(_, text)| text.starts_with("SIP/2.0 491 ")), "timer G repeats it, too");
    assert_eq!(solo.statuses(request("ACK", "z9hG4bK2", &[&to, "CSeq: 2 ACK"])), SILENCE);
    assert_eq!(solo.statuses(invite), SILENCE, "it was acknowledged");
    let image = request("INVITE", "z9hG4bK3", &[&to, "CSeq: 3 INVITE", "Content-Type: image/png"]) + "x";
    assert_eq!(solo.statuses(image.clone()), [415]);
    assert_eq!(solo.statuses(image), [415]);
    solo.endpoint.hang_up(solo.now, leg, &[]).expect("they talk");
    solo.drain();
    let info = request("INFO", "z9hG4bK4", &[&to, "CSeq: 4 INFO"]);
    assert_eq!(solo.statuses(info.clone()), [481]);
    assert_eq!(solo.statuses(info), [481]);
    solo.pass(80);
    assert_eq!((solo.endpoint.transaction_count(), solo.endpoint.leg_count()), (0, 0));
}

#[test]
fn updates_are_offers_or_refreshments() {
    let mut solo = Solo::new();
    let (leg, to) = talking(&mut solo);
    let fresh = [&*to, "CSeq: 2 UPDATE", "Contact: <sip:a@192.0.2.1:5099>"];
    let ok = solo.give(request("UPDATE", "z9hG4bK2", &fresh));
    assert!(ok[0].1.starts_with("SIP/2.0 200") && ok[0].1.contains("\r\nContact: <sip:12345@192.0.2.9:5060>\r\n"));
    let offer = [&*to, "CSeq: 3 UPDATE", "Content-Type: application/sdp"];
    assert_eq!(solo.statuses(request("UPDATE", "z9hG4bK3", &offer) + "v=0 x"), SILENCE);
    let Some(Event::Leg { event: LegEvent::Offer { transaction, .. }, .. }) = solo.events.pop() else {
        panic!("offer")
    };
    let second = [&*to, "CSeq: 4 UPDATE", "Content-Type: application/sdp"];
    let later = solo.give(request("UPDATE", "z9hG4bK4", &second) + "v=0 y");
    assert!(later[0].1.starts_with("SIP/2.0 500") && !value(&later[0].1, "Retry-After").is_empty());
    solo.endpoint.accept_offer(solo.now, leg, transaction, Bytes::from_static(b"v=0 z")).expect("it was offered");
    assert!(solo.drain()[0].1.ends_with("v=0 z"));
    solo.endpoint.hang_up(solo.now, leg, &[]).expect("they talk");
    let bye = solo.drain();
    assert_eq!(bye[0].0, 5080, "the Contact of the offer, which came after the other");
    assert!(bye[0].1.starts_with("BYE sip:a@192.0.2.1"), "{}", bye[0].1);
}

#[test]
fn a_cancelled_reinvite_leaves_the_session() {
    let mut solo = Solo::new();
    let (leg, to) = talking(&mut solo);
    let offer = [&*to, "CSeq: 2 INVITE", "Content-Type: application/sdp"];
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK2", &offer) + "v=0 x"), [100]);
    let Some(Event::Leg { event: LegEvent::Offer { transaction, .. }, .. }) = solo.events.pop() else {
        panic!("offer")
    };
    assert_eq!(solo.statuses(request("CANCEL", "z9hG4bK2", &[&to, "CSeq: 2 CANCEL"])), [200, 487]);
    let late = solo.endpoint.accept_offer(solo.now, leg, transaction, Bytes::new());
    assert_eq!(late, Err(CommandError::UnknownTransaction));
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK3", &[&to, "CSeq: 3 INVITE"])), [100]);
}

/// Calls 192.0.2.1; gives the INVITE that was sent.
pub(super) fn calling(solo: &mut Solo) -> String {
    let address = |text: &'static str| {
        crate::sip::message::NameAddr::parse(&Bytes::from_static(text.as_bytes())).expect("a good address")
    };
    let invite = OutgoingInvite {
        flow: Flow { remote: ([192, 0, 2, 1], 5060).into(), ..solo.flow },
        uri: "sip:12330@192.0.2.1".parse().expect("a good URI"),
        from: address("<sip:12345@192.0.2.9>"),
        to: address("<sip:12330@192.0.2.1>"),
        route: Vec::new(),
        headers: Vec::new(),
        sdp: Some(Bytes::from_static(b"v=0 offer")),
        again: None,
    };
    solo.endpoint.invite(solo.now, LegId(5), invite).expect("a call can be made");
    solo.drain().remove(0).1
}

pub(super) fn answer(invite: &str, status: &str, tag: &str, more: &str) -> String {
    let fields: String = ["Via", "From", "Call-ID", "CSeq"].map(|n| format!("{n}: {}\r\n", value(invite, n))).concat();
    format!(
        "SIP/2.0 {status}\r\n{fields}To: <sip:12330@192.0.2.1>;tag={tag}\r\n\
         Contact: <sip:{tag}@192.0.2.1:5060>\r\n{more}\r\n"
    )
}

#[test]
fn of_a_fork_the_first_wins_and_the_others_are_ended() {
    let mut solo = Solo::new();
    let invite = calling(&mut solo);
    solo.give(answer(&invite, "180 Ringing", "one", ""));
    solo.give(answer(&invite, "180 Ringing", "two", ""));
    assert_eq!(solo.events.len(), 2);
    let first = solo.give(answer(&invite, "200 OK", "two", ""));
    assert!(first[0].1.starts_with("ACK sip:two@192.0.2.1:5060") && first.len() == 1);
    let other = solo.give(answer(&invite, "200 OK", "one", ""));
    assert!(other[0].1.starts_with("ACK sip:one@") && other[1].1.starts_with("BYE sip:one@"), "{other:?}");
    let again = solo.give(answer(&invite, "200 OK", "one", ""));
    assert_eq!((again.len(), &again[0].1), (1, &other[0].1), "the same ACK, and no second BYE");
    assert_eq!(solo.give(answer(&invite, "200 OK", "two", "")), first);
    assert_eq!(solo.events.len(), 3);
    solo.endpoint.hang_up(solo.now, LegId(5), &[]).expect("they talk");
    assert!(solo.drain()[0].1.starts_with("BYE sip:two@"));
}

#[test]
fn a_response_that_is_not_ours_is_dropped() {
    let mut solo = Solo::new();
    let invite = calling(&mut solo);
    let ok = answer(&invite, "200 OK", "one", "");
    let via = value(&invite, "Via").to_owned();
    for other in [
        ok.replace(&via, &via.replace("192.0.2.9", "192.0.2.8")),
        ok.replace(&via, &via.replace("z9hG4bK", "z9hG4bKx")),
        ok.replace(&format!("Via: {via}"), &format!("Via: {via}, SIP/2.0/UDP h;branch=z9hG4bK2")),
    ] {
        assert!(solo.give(other).is_empty());
    }
    assert_eq!(solo.endpoint.counters().dropped, 3);
    assert!(solo.events.is_empty());
    assert_eq!(solo.give(ok).len(), 1);
}

#[test]
fn the_callee_ends_an_early_dialog() {
    let mut solo = Solo::new();
    let invite = calling(&mut solo);
    solo.give(answer(&invite, "180 Ringing", "one", ""));
    solo.events.clear();
    let our = value(&invite, "From");
    let bye = format!(
        "BYE sip:12345@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb\r\n\
         From: <sip:12330@192.0.2.1>;tag=one\r\nTo: {our}\r\nCall-ID: {}\r\nCSeq: 9 BYE\r\n\r\n",
        value(&invite, "Call-ID")
    );
    let sent = solo.give(bye);
    assert!(sent[0].1.starts_with("SIP/2.0 200") && sent[1].1.starts_with("CANCEL "), "{sent:?}");
    assert!(matches!(solo.events.as_slice(), [Event::Leg { event: LegEvent::Ended { .. }, .. }]));
    let late = solo.give(answer(&invite, "200 OK", "one", ""));
    assert!(late[0].1.starts_with("ACK ") && late[1].1.starts_with("BYE "), "{late:?}");
}

#[test]
fn a_peer_cannot_pile_up_requests() {
    let mut solo = Solo::new();
    let (_, to) = talking(&mut solo);
    for n in 2..34 {
        let cseq = format!("CSeq: {n} INFO");
        assert_eq!(solo.statuses(request("INFO", &format!("z9hG4bKp{n}"), &[&to, &cseq])), SILENCE);
    }
    assert_eq!(solo.statuses(request("INFO", "z9hG4bKlast", &[&to, "CSeq: 99 INFO"])), [500]);
    solo.pass(40);
    assert_eq!(
        solo.statuses(request("INFO", "z9hG4bKnew", &[&to, "CSeq: 100 INFO"])),
        SILENCE,
        "they have become stale"
    );
}

/// Only 192.0.2.1 may speak, and have three transactions.
fn guarded() -> Solo {
    let mut solo = Solo::new();
    let networks = vec![([192, 0, 2, 1].into(), 32)];
    solo.endpoint.set_access(Access::of(vec![Rule { local: solo.flow.local, networks, transactions_per_peer: 3 }]));
    solo
}

#[test]
fn a_stranger_is_neither_answered_nor_remembered() {
    let mut solo = guarded();
    let friend = solo.flow;
    solo.flow.remote = ([203, 0, 113, 66], 5060).into();
    let to = "To: <sip:12345@192.0.2.9>;tag=guessed";
    for method in ["INVITE", "OPTIONS", "REGISTER", "CANCEL", "NEWMETHOD", "ACK"] {
        assert_eq!(solo.statuses(request(method, "z9hG4bK1", &[])), SILENCE, "{method}");
        assert_eq!(solo.statuses(request(method, "z9hG4bK2", &[to])), SILENCE, "{method}");
    }
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK3", &["CSeq: x INVITE"])), SILENCE, "malformed");
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK4", &["Require: nothing"])), SILENCE);
    assert!(solo.events.is_empty());
    assert_eq!((solo.endpoint.transaction_count(), solo.endpoint.leg_count()), (0, 0));
    let counters = solo.endpoint.counters();
    assert_eq!((counters.strangers, counters.dropped, counters.sent), (12, 2, 0), "an ACK is never answered");
    solo.flow = friend;
    assert_eq!(solo.statuses(request("INVITE", "z9hG4bK5", &[])), [100]);
}

/// A department is no caller of ours, but when we call it, it answers, and it may hang up.
#[test]
fn whom_we_call_may_speak_in_our_dialog() {
    let mut solo = guarded();
    let networks = vec![([198, 51, 100, 0].into(), 24)];
    solo.endpoint.set_access(Access::of(vec![Rule { local: solo.flow.local, networks, transactions_per_peer: 3 }]));
    let invite = calling(&mut solo);
    assert!(solo.give(answer(&invite, "200 OK", "one", ""))[0].1.starts_with("ACK "));
    let our = format!("To: {}", value(&invite, "From"));
    let call_id = format!("Call-ID: {}", value(&invite, "Call-ID"));
    let from = "From: <sip:12330@192.0.2.1>;tag=one";
    assert_eq!(solo.statuses(request("BYE", "z9hG4bK1", &[&our, from, &call_id, "CSeq: 9 BYE"])), [200]);
    assert_eq!(solo.statuses(request("BYE", "z9hG4bK2", &[&our, from, &call_id, "CSeq: 10 BYE"])), SILENCE);
}

#[test]
fn a_peer_has_so_many_transactions_and_is_told_when_to_come_again() {
    let mut solo = guarded();
    for n in 0..3 {
        let call_id = format!("Call-ID: c{n}");
        assert_eq!(solo.statuses(request("INVITE", &format!("z9hG4bKq{n}"), &[&call_id])), [100]);
    }
    let refused = solo.give(request("OPTIONS", "z9hG4bKlast", &["Call-ID: last"]));
    assert!(refused[0].1.starts_with("SIP/2.0 503 "));
    assert_eq!(value(&refused[0].1, "Retry-After"), "5");
    assert_eq!((solo.endpoint.transaction_count(), solo.endpoint.counters().throttled), (3, 1));
    for event in std::mem::take(&mut solo.events) {
        let Event::Invite { leg, .. } = event else { panic!("{event:?}") };
        solo.endpoint.reject(solo.now, leg, 404, "", &[]).expect("it rings");
    }
    solo.drain();
    assert_eq!(solo.statuses(request("OPTIONS", "z9hG4bKlast", &["Call-ID: last"])), [503], "they linger");
    solo.pass(40);
    assert_eq!(solo.statuses(request("OPTIONS", "z9hG4bKlast", &["Call-ID: last"])), SILENCE);
    assert!(solo.endpoint.transactions.is_clean());
}

#[test]
fn a_dialog_has_so_many_transactions_but_always_its_bye() {
    let mut solo = Solo::new();
    let (_, to) = talking(&mut solo);
    let mut statuses = Vec::new();
    let most = u32::from(EndpointLimits::default().transactions_per_dialog);
    for n in 2..2 + most + 3 {
        let refresh = [&*to, &format!("CSeq: {n} UPDATE")];
        statuses.extend(solo.statuses(request("UPDATE", &format!("z9hG4bKu{n}"), &refresh)));
    }
    let taken = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!((taken as u32, statuses.len() as u32), (most, most + 3));
    assert!(statuses[taken..].iter().all(|status| *status == 503));
    let refused = format!("CSeq: {} UPDATE", 2 + most);
    assert_eq!(solo.statuses(request("UPDATE", "z9hG4bKagain", &[&to, &refused])), [503], "its CSeq was not taken");
    solo.pass(33);
    assert_eq!(solo.statuses(request("UPDATE", "z9hG4bKagain", &[&to, &refused])), [200]);
    assert_eq!(solo.statuses(request("BYE", "z9hG4bKbye", &[&to, "CSeq: 900 BYE"])), [200]);
    solo.pass(40);
    assert_eq!((solo.endpoint.transaction_count(), solo.endpoint.leg_count()), (0, 0));
    assert!(solo.endpoint.transactions.is_clean());
}

#[test]
fn nothing_lingers_for_ever() {
    let mut solo = Solo::new();
    talking(&mut solo);
    solo.give(request("OPTIONS", "z9hG4bKo", &["Call-ID: other"]));
    solo.pass(40);
    assert_eq!(solo.endpoint.transaction_count(), 0);
    assert_eq!(solo.endpoint.leg_count(), 1);
    assert!(solo.endpoint.transactions.is_clean());
}

proptest! {
    #[test]
    fn bytes_of_any_kind_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut solo = Solo::new();
        solo.give(bytes);
        solo.pass(100);
    }

    /// A good message with some of it overwritten, at each stage of a call.
    #[test]
    fn damaged_messages_do_no_harm(
        method in prop::sample::select(vec!["INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "OPTIONS", "INFO", "REGISTER"]),
        at in 0usize..500,
        with in prop::collection::vec(any::<u8>(), 1..12),
        stage in 0u8..3,
    ) {
        let mut solo = Solo::new();
        let mut to = String::new();
        if stage > 0 {
            to = talking(&mut solo).1;
        }
        if stage > 1 {
            calling(&mut solo);
        }
        let mut bytes = request(method, "z9hG4bKx", &[&to, &format!("CSeq: 7 {method}")]).into_bytes();
        let at = at.min(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        let copy = bytes.clone();
        solo.give(bytes);
        solo.give(copy);
        solo.pass(700);
        prop_assert_eq!(solo.endpoint.transaction_count() <= solo.endpoint.leg_count(), true);
    }
}

#[test]
fn what_is_sent_can_be_read() {
    let mut solo = Solo::new();
    let invite = calling(&mut solo);
    let Ok(Message::Request(request)) = Message::parse(invite.into()) else { panic!("a request") };
    assert_eq!(
        request.headers.contact().map(|c| c.map(|c| c.to_string())),
        Ok(Some("<sip:12345@192.0.2.9:5060>".into()))
    );
    assert!(request.headers.has(&HeaderName::UserAgent) && request.headers.has(&HeaderName::Supported));
}

#[test]
fn over_tls_we_are_where_the_telephone_connected() {
    for (uri, own) in [("sip:", "<sip:12345@192.0.2.9:5061;transport=tls>"), ("sips:", "<sips:12345@192.0.2.9:5061>")] {
        let mut solo = Solo::new();
        let local = ([192, 0, 2, 9], 5061).into();
        solo.flow = Flow { transport: Transport::Tls, local, connection: 7, ..solo.flow };
        let invite = request("INVITE", "z9hG4bKi", &["Content-Type: application/sdp"]) + "v=0";
        solo.give(invite.replacen("sip:", uri, 1));
        let Some(Event::Invite { leg, .. }) = solo.events.pop() else { panic!("a call") };
        solo.endpoint.answer(solo.now, leg, Bytes::from_static(b"v=0")).expect("it rings");
        assert_eq!(value(&solo.drain()[0].1, "Contact"), own);
        // A call to it goes over its connection.
        let address = |text: &str| {
            crate::sip::message::NameAddr::parse(&Bytes::copy_from_slice(text.as_bytes())).expect("a good address")
        };
        let to = format!("{uri}12330@192.0.2.1");
        let invite = OutgoingInvite {
            flow: solo.flow,
            uri: to.parse().expect("a good URI"),
            from: address("<sip:12345@192.0.2.9>"),
            to: address(&format!("<{to}>")),
            route: Vec::new(),
            headers: Vec::new(),
            sdp: None,
            again: None,
        };
        solo.endpoint.invite(solo.now, LegId(5), invite).expect("a call can be made");
        let (flow, invite) = solo.wires().remove(0);
        assert_eq!((flow, value(&invite, "Contact")), (solo.flow, own));
        assert!(value(&invite, "Via").starts_with("SIP/2.0/TLS 192.0.2.9:5061;"), "{invite}");
    }
}
