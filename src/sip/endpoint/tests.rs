//! Stories between two endpoints. Each reads like what happens; nothing is mocked.
#![allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.

use super::{pair::*, *};
use crate::sip::message::{Header, HeaderName, NameAddr};
use std::time::Duration;

const OUT: LegId = LegId(1);

fn sdp(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn address(text: &'static str) -> NameAddr {
    NameAddr::parse(&Bytes::from_static(text.as_bytes())).expect("a good address")
}

fn call(pair: &Pair) -> OutgoingInvite {
    OutgoingInvite {
        flow: pair.flow(),
        uri: "sip:12345@192.0.2.2".parse().expect("a good URI"),
        from: address("\"\u{738b}\" <sip:13800000000@192.0.2.1>"),
        to: address("<sip:12345@192.0.2.2>"),
        route: Vec::new(),
        headers: Vec::new(),
        sdp: Some(sdp("v=0 offer")),
        again: None,
    }
}

/// What happened, one word an event.
fn words(events: &[LegEvent]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            LegEvent::Cancelled { .. } => "cancelled".into(),
            LegEvent::Confirmed { sdp } => format!("confirmed{}", brief(sdp)),
            LegEvent::NoAck => "no ack".into(),
            LegEvent::Progress { response, sdp } => format!("{}{}", response.status, brief(sdp)),
            LegEvent::Answered { sdp, .. } => format!("answered{}", brief(sdp)),
            LegEvent::Failed { status, .. } => format!("failed {status}"),
            LegEvent::Offer { method, sdp, .. } => format!("offer {method}{}", brief(sdp)),
            LegEvent::OfferConfirmed { sdp } => format!("offer confirmed{}", brief(sdp)),
            LegEvent::OfferAnswered { sdp } => format!("offer answered{}", brief(sdp)),
            LegEvent::OfferFailed { status } => format!("offer failed {status}"),
            LegEvent::Request { request, .. } => format!("request {}", request.method),
            LegEvent::Response { method, status, .. } => format!("response {method} {status}"),
            LegEvent::Ended { .. } => "ended".into(),
            LegEvent::Gone => "gone".into(),
            LegEvent::Lost { status } => format!("lost {status}"),
        })
        .collect()
}

fn brief(sdp: &Option<Bytes>) -> String {
    sdp.as_ref().map(|sdp| format!(" [{}]", String::from_utf8_lossy(sdp))).unwrap_or_default()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `a` calls `b`; gives the leg at `b`.
fn ring(pair: &mut Pair) -> LegId {
    let invite = call(pair);
    pair.a.endpoint.invite(pair.now, OUT, invite).expect("a call can be made");
    pair.run(ms(100));
    let legs = pair.b.invites();
    assert_eq!(legs.len(), 1);
    legs[0]
}

/// `a` calls `b` and `b` answers; gives the leg at `b`.
fn talk(pair: &mut Pair) -> LegId {
    let leg = ring(pair);
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.run(ms(100));
    assert_eq!(words(&pair.a.leg(OUT)), ["answered [v=0 answer]"]);
    assert_eq!(words(&pair.b.leg(leg)), ["confirmed"]);
    leg
}

/// Nothing is left of any call.
fn assert_empty(pair: &mut Pair) {
    pair.run_out();
    for side in [&pair.a, &pair.b] {
        assert_eq!(side.endpoint.leg_count(), 0);
        assert_eq!(side.endpoint.transaction_count(), 0);
        assert_eq!(side.endpoint.tags.len(), 0);
        assert_eq!(side.endpoint.poll_timeout(), None);
    }
}

#[test]
fn a_call_rings_is_answered_and_ends() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = ring(&mut pair);
    pair.b.endpoint.progress(pair.now, leg, 180, "", None).expect("it rings");
    pair.run(ms(100));
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.run(ms(2000));
    pair.a.endpoint.hang_up(pair.now, OUT, &[]).expect("they talk");
    pair.run(ms(2000));
    assert_eq!(words(&pair.a.leg(OUT)), ["180", "answered [v=0 answer]", "gone"]);
    assert_eq!(words(&pair.b.leg(leg)), ["confirmed", "ended"]);
    let first_lines = [
        "a: INVITE sip:12345@192.0.2.2 SIP/2.0",
        "b: SIP/2.0 100 Trying",
        "b: SIP/2.0 180 Ringing",
        "b: SIP/2.0 200 OK",
        "a: ACK sip:12345@192.0.2.2:5060 SIP/2.0",
        "a: BYE sip:12345@192.0.2.2:5060 SIP/2.0",
        "b: SIP/2.0 200 OK",
    ];
    assert_eq!(pair.sent, first_lines);
    assert_empty(&mut pair);
}
