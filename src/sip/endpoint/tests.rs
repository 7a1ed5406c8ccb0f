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
        let left: Vec<_> = side.endpoint.legs.iter().map(|(id, leg)| (id, leg.state.name())).collect();
        assert_eq!(left, []);
        assert_eq!(side.endpoint.transactions.describe(), Vec::<String>::new());
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

/// Whether an event is the last of its leg.
fn is_over(event: &LegEvent) -> bool {
    match event {
        LegEvent::Cancelled { .. }
        | LegEvent::NoAck
        | LegEvent::Failed { .. }
        | LegEvent::Ended { .. }
        | LegEvent::Gone
        | LegEvent::Lost { .. } => true,
        LegEvent::Confirmed { .. }
        | LegEvent::Progress { .. }
        | LegEvent::Answered { .. }
        | LegEvent::Offer { .. }
        | LegEvent::OfferConfirmed { .. }
        | LegEvent::OfferAnswered { .. }
        | LegEvent::OfferFailed { .. }
        | LegEvent::Request { .. }
        | LegEvent::Response { .. } => false,
    }
}

#[test]
fn a_call_is_set_up_and_ended_under_loss_doubling_and_disorder() {
    for seed in 0..100 {
        let mut pair = Pair::new(seed, Network { loss: 20, duplicate: 10, delay: (5, 400) });
        let invite = call(&pair);
        pair.a.endpoint.invite(pair.now, OUT, invite).expect("a call can be made");
        pair.run(ms(20_000));
        let legs = pair.b.invites();
        assert_eq!(legs.len(), 1, "seed {seed}: one event for one call");
        pair.b.endpoint.answer(pair.now, legs[0], sdp("v=0 answer")).expect("it rings");
        pair.run(ms(25_000));
        assert_eq!(words(&pair.a.leg(OUT)), ["answered [v=0 answer]"], "seed {seed}");
        assert_eq!(words(&pair.b.leg(legs[0])), ["confirmed"], "seed {seed}");
        pair.b.endpoint.hang_up(pair.now, legs[0], &[]).expect("they talk");
        pair.run(ms(33_000));
        assert_eq!(words(&pair.a.leg(OUT)), ["ended"], "seed {seed}");
        assert_eq!(words(&pair.b.leg(legs[0])), ["gone"], "seed {seed}");
        assert_empty(&mut pair);
    }
}

#[test]
fn a_repeated_invite_is_one_call() {
    let mut pair = Pair::new(1, Network { loss: 0, duplicate: 100, delay: (1, 30) });
    let leg = ring(&mut pair);
    assert_eq!(pair.b.endpoint.counters().repeated, 1);
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.run(ms(5000));
    assert_eq!(words(&pair.b.leg(leg)), ["confirmed"]);
    assert_eq!(words(&pair.a.leg(OUT)), ["answered [v=0 answer]"]);
}

#[test]
fn a_lost_200_is_sent_again_and_each_copy_acknowledged() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = ring(&mut pair);
    let mut lost = 0;
    pair.lose = Box::new(move |text| {
        lost += u32::from(text.starts_with("SIP/2.0 200"));
        text.starts_with("SIP/2.0 200") && lost <= 2
    });
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.run(ms(5000));
    assert_eq!(pair.count("b: SIP/2.0 200"), 3);
    assert_eq!(words(&pair.b.leg(leg)), ["confirmed"]);
    assert_eq!(pair.b.endpoint.counters().retransmitted, 2);
}

#[test]
fn a_lost_ack_is_sent_again_with_the_next_200() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = ring(&mut pair);
    let mut lost = 0;
    pair.lose = Box::new(move |text| {
        lost += u32::from(text.starts_with("ACK"));
        text.starts_with("ACK") && lost <= 2
    });
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.run(ms(8000));
    assert_eq!(pair.count("a: ACK"), 3);
    assert_eq!(words(&pair.a.leg(OUT)), ["answered [v=0 answer]"]);
    assert_eq!(words(&pair.b.leg(leg)), ["confirmed"]);
}

#[test]
fn a_200_that_is_never_acknowledged_ends_in_bye() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = ring(&mut pair);
    pair.lose = Box::new(|text| text.starts_with("ACK"));
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.run(ms(40_000));
    assert_eq!(words(&pair.b.leg(leg)), ["no ack"]);
    assert_eq!(words(&pair.a.leg(OUT)), ["answered [v=0 answer]", "ended"]);
    assert_eq!(pair.count("b: SIP/2.0 200"), 11);
    assert_empty(&mut pair);
}

#[test]
fn the_caller_hangs_up_while_it_rings() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = ring(&mut pair);
    pair.b.endpoint.progress(pair.now, leg, 180, "", None).expect("it rings");
    pair.run(ms(100));
    let reason = Header { name: HeaderName::Reason, value: sdp("SIP;cause=487") };
    pair.a.endpoint.hang_up(pair.now, OUT, &[reason]).expect("it rings");
    pair.run(ms(100));
    let events = pair.b.leg(leg);
    let [LegEvent::Cancelled { request }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(request.headers.get(&HeaderName::Reason), Some(&sdp("SIP;cause=487")));
    assert_eq!(words(&pair.a.leg(OUT)), ["180", "gone"]);
    let last = ["a: CANCEL sip:12345@192.0.2.2 SIP/2.0", "b: SIP/2.0 200 OK", "b: SIP/2.0 487 Request Terminated"];
    assert_eq!(pair.sent[3..6], last);
    assert_eq!(pair.sent[6], "a: ACK sip:12345@192.0.2.2 SIP/2.0");
    assert_eq!(pair.b.endpoint.answer(pair.now, leg, sdp("late")), Err(CommandError::UnknownLeg));
    assert_empty(&mut pair);
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let invite = call(&pair);
    pair.a.endpoint.invite(pair.now, OUT, invite).expect("a call can be made");
    pair.a.endpoint.hang_up(pair.now, OUT, &[]).expect("it was called");
    pair.drain();
    assert_eq!(pair.count("a: CANCEL"), 0);
    pair.run(ms(100));
    assert_eq!(pair.count("a: CANCEL"), 1);
    assert_eq!(words(&pair.a.leg(OUT)), ["gone"]);
    assert_empty(&mut pair);
}

#[test]
fn a_cancel_crosses_the_200() {
    let mut pair = Pair::new(1, Network { delay: (50, 50), ..Network::PERFECT });
    let leg = ring_slowly(&mut pair);
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.a.endpoint.hang_up(pair.now, OUT, &[]).expect("it rings");
    pair.run(ms(5000));
    // The session came to be, so it is acknowledged and then ended.
    assert_eq!(words(&pair.a.leg(OUT)), ["gone"]);
    assert_eq!(words(&pair.b.leg(leg)), ["confirmed", "ended"]);
    assert_eq!((pair.count("a: CANCEL"), pair.count("a: ACK"), pair.count("a: BYE")), (1, 1, 1));
    assert_empty(&mut pair);
}

fn ring_slowly(pair: &mut Pair) -> LegId {
    let invite = call(pair);
    pair.a.endpoint.invite(pair.now, OUT, invite).expect("a call can be made");
    pair.run(ms(300));
    pair.b.invites()[0]
}

#[test]
fn the_byes_cross() {
    let mut pair = Pair::new(1, Network { delay: (50, 50), ..Network::PERFECT });
    let leg = ring_slowly(&mut pair);
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.run(ms(1000));
    pair.a.leg(OUT);
    pair.b.leg(leg);
    pair.a.endpoint.hang_up(pair.now, OUT, &[]).expect("they talk");
    pair.b.endpoint.hang_up(pair.now, leg, &[]).expect("they talk");
    pair.run(ms(5000));
    assert_eq!(words(&pair.a.leg(OUT)), ["gone"]);
    assert_eq!(words(&pair.b.leg(leg)), ["gone"]);
    assert_eq!((pair.count("a: BYE"), pair.count("b: BYE")), (1, 1));
    assert_empty(&mut pair);
}

#[test]
fn an_offer_is_answered() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = talk(&mut pair);
    pair.b.endpoint.offer(pair.now, leg, sdp("v=0 hold")).expect("they talk");
    pair.run(ms(50));
    let transaction = offer_of(pair.a.leg(OUT));
    pair.a.endpoint.accept_offer(pair.now, OUT, transaction, sdp("v=0 held")).expect("it was offered");
    pair.run(ms(50));
    assert_eq!(words(&pair.b.leg(leg)), ["offer answered [v=0 held]"]);
    assert_eq!(words(&pair.a.leg(OUT)), ["offer confirmed"]);
    pair.a.endpoint.offer(pair.now, OUT, sdp("v=0 more")).expect("they talk");
    pair.run(ms(50));
    let transaction = offer_of(pair.b.leg(leg));
    pair.b.endpoint.reject_offer(pair.now, leg, transaction, 488).expect("it was offered");
    pair.run(ms(50));
    assert_eq!(words(&pair.a.leg(OUT)), ["offer failed 488"]);
    pair.a.endpoint.hang_up(pair.now, OUT, &[]).expect("they still talk");
    assert_empty(&mut pair);
}

fn offer_of(events: Vec<LegEvent>) -> TransactionId {
    match events.as_slice() {
        [LegEvent::Offer { transaction, .. }] => *transaction,
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_offers_cross_and_both_are_made_in_turn() {
    for seed in 0..20 {
        let mut pair = Pair::new(seed, Network { delay: (20, 20), ..Network::PERFECT });
        let leg = talk(&mut pair);
        pair.a.endpoint.offer(pair.now, OUT, sdp("v=0 of a")).expect("they talk");
        pair.b.endpoint.offer(pair.now, leg, sdp("v=0 of b")).expect("they talk");
        let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            pair.run(ms(100));
            for event in pair.a.leg(OUT) {
                if let LegEvent::Offer { transaction, .. } = event {
                    pair.a.endpoint.accept_offer(pair.now, OUT, transaction, sdp("v=0 yes")).expect("it was offered");
                }
                of_a.push(event);
            }
            for event in pair.b.leg(leg) {
                if let LegEvent::Offer { transaction, .. } = event {
                    pair.b.endpoint.accept_offer(pair.now, leg, transaction, sdp("v=0 yes")).expect("it was offered");
                }
                of_b.push(event);
            }
        }
        assert!(pair.count("a: SIP/2.0 491") >= 1 && pair.count("b: SIP/2.0 491") >= 1, "seed {seed}");
        let (mut of_a, mut of_b) = (words(&of_a), words(&of_b));
        of_a.sort();
        of_b.sort();
        let expected = |other| {
            vec![format!("offer INVITE [v=0 of {other}]"), "offer answered [v=0 yes]".into(), "offer confirmed".into()]
        };
        assert_eq!(of_a, expected("b"), "seed {seed}");
        assert_eq!(of_b, expected("a"), "seed {seed}");
    }
}

#[test]
fn an_offer_waits_while_another_is_under_way() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = talk(&mut pair);
    for text in ["v=0 one", "v=0 two", "v=0 three"] {
        pair.a.endpoint.offer(pair.now, OUT, sdp(text)).expect("they talk");
    }
    pair.run(ms(50));
    let events = pair.b.leg(leg);
    assert_eq!(words(&events), ["offer INVITE [v=0 one]"]);
    pair.b.endpoint.accept_offer(pair.now, leg, offer_of(events), sdp("v=0 yes")).expect("it was offered");
    pair.run(ms(50));
    assert_eq!(words(&pair.b.leg(leg)), ["offer confirmed", "offer INVITE [v=0 three]"]);
}

#[test]
fn what_waits_for_an_answer_when_the_call_ends_is_terminated() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = talk(&mut pair);
    pair.a.endpoint.offer(pair.now, OUT, sdp("v=0 hold")).expect("they talk");
    pair.a.endpoint.request(pair.now, OUT, Method::Info, &[], Bytes::new()).expect("they talk");
    pair.run(ms(50));
    assert_eq!(words(&pair.b.leg(leg)), ["offer INVITE [v=0 hold]", "request INFO"]);
    pair.b.endpoint.hang_up(pair.now, leg, &[]).expect("they talk");
    pair.run(ms(1000));
    assert_eq!(words(&pair.b.leg(leg)), ["gone"]);
    assert_eq!(pair.count("b: SIP/2.0 487"), 2);
    assert_empty(&mut pair);
}

#[test]
fn the_callee_hangs_up_before_the_ack() {
    let mut pair = Pair::new(1, Network { delay: (50, 50), ..Network::PERFECT });
    let leg = ring_slowly(&mut pair);
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.b.endpoint.hang_up(pair.now, leg, &[]).expect("it was answered");
    pair.drain();
    assert_eq!(pair.count("b: BYE"), 0, "not before the ACK");
    pair.run(ms(5000));
    assert_eq!(words(&pair.b.leg(leg)), ["gone"]);
    assert_eq!(words(&pair.a.leg(OUT)), ["answered [v=0 answer]", "ended"]);
    assert_empty(&mut pair);
}

#[test]
fn a_call_without_an_offer_is_offered_by_the_200() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let invite = OutgoingInvite { sdp: None, ..call(&pair) };
    pair.a.endpoint.invite(pair.now, OUT, invite).expect("a call can be made");
    pair.run(ms(100));
    let leg = pair.b.invites()[0];
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 offer")).expect("it rings");
    pair.run(ms(3000));
    assert_eq!(words(&pair.a.leg(OUT)), ["answered [v=0 offer]"], "once, however often the 200 comes");
    assert_eq!(pair.count("a: ACK"), 0);
    pair.a.endpoint.ack(pair.now, OUT, sdp("v=0 answer")).expect("an ACK is owed");
    pair.run(ms(3000));
    assert_eq!(words(&pair.b.leg(leg)), ["confirmed [v=0 answer]"]);
    assert_eq!(pair.a.endpoint.ack(pair.now, OUT, sdp("again")), Err(CommandError::WrongState));
}

#[test]
fn a_refused_call_fails_once_and_its_ack_is_absorbed() {
    for network in [Network::PERFECT, Network { loss: 0, duplicate: 100, delay: (1, 50) }] {
        let mut pair = Pair::new(3, network);
        let leg = ring(&mut pair);
        pair.b.endpoint.reject(pair.now, leg, 486, "", &[]).expect("it rings");
        pair.run(ms(2000));
        assert_eq!(words(&pair.a.leg(OUT)), ["failed 486"]);
        assert_eq!(words(&pair.b.leg(leg)), ["gone"]);
        assert_eq!(pair.b.endpoint.counters().dropped, 0);
        assert_empty(&mut pair);
    }
}

#[test]
fn a_challenged_call_is_made_again_as_a_new_leg() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let invite = call(&pair);
    let again = OutgoingInvite { again: Some((sdp("same@call"), 2)), ..invite.clone() };
    let first = OutgoingInvite { again: Some((sdp("same@call"), 1)), ..invite };
    pair.a.endpoint.invite(pair.now, OUT, first).expect("a call can be made");
    pair.run(ms(50));
    let leg = pair.b.invites()[0];
    let challenge = Header { name: HeaderName::WwwAuthenticate, value: sdp("Digest realm=\"x\", nonce=\"y\"") };
    pair.b.endpoint.reject(pair.now, leg, 401, "", &[challenge]).expect("it rings");
    pair.run(ms(50));
    let events = pair.a.leg(OUT);
    let [LegEvent::Failed { status: 401, response: Some(response) }] = events.as_slice() else { panic!("{events:?}") };
    assert!(response.headers.has(&HeaderName::WwwAuthenticate));
    pair.a.endpoint.invite(pair.now, LegId(2), again).expect("a call can be made");
    pair.run(ms(50));
    assert_eq!(pair.b.invites().len(), 1);
    assert_eq!(pair.count("a: ACK"), 1);
}

#[test]
fn silence_fails_a_call_and_loses_a_session() {
    let mut pair = Pair::new(1, Network { loss: 100, ..Network::PERFECT });
    let invite = call(&pair);
    pair.a.endpoint.invite(pair.now, OUT, invite).expect("a call can be made");
    pair.run_out();
    assert_eq!(words(&pair.a.leg(OUT)), ["failed 408"]);
    assert_eq!(pair.count("a: INVITE"), 7);

    let mut pair = Pair::new(1, Network::PERFECT);
    talk(&mut pair);
    pair.network.loss = 100;
    pair.a.endpoint.request(pair.now, OUT, Method::Info, &[], Bytes::new()).expect("they talk");
    pair.run_out();
    assert_eq!(words(&pair.a.leg(OUT)), ["lost 408"]);
    assert_eq!(pair.a.endpoint.leg_count(), 0);
}

#[test]
fn a_dead_connection_fails_a_call() {
    let mut pair = Pair::new(1, Network { loss: 100, ..Network::PERFECT });
    pair.transport = Transport::Tcp;
    let invite = call(&pair);
    let flow = invite.flow;
    pair.a.endpoint.invite(pair.now, OUT, invite).expect("a call can be made");
    pair.a.endpoint.handle_input(pair.now, Input::FlowFailed { flow });
    pair.drain();
    assert_eq!(words(&pair.a.leg(OUT)), ["failed 503"]);
    assert_empty(&mut pair);
}

#[test]
fn over_tcp_nothing_but_the_200_is_sent_twice() {
    let mut pair = Pair::new(1, Network { delay: (400, 400), ..Network::PERFECT });
    pair.transport = Transport::Tcp;
    let invite = call(&pair);
    pair.a.endpoint.invite(pair.now, OUT, invite).expect("a call can be made");
    pair.run(ms(3000));
    let leg = pair.b.invites()[0];
    pair.b.endpoint.answer(pair.now, leg, sdp("v=0 answer")).expect("it rings");
    pair.run(ms(3000));
    pair.a.endpoint.hang_up(pair.now, OUT, &[]).expect("they talk");
    pair.run(ms(3000));
    assert_eq!((pair.count("a: INVITE"), pair.count("a: BYE"), pair.count("b: SIP/2.0 200 OK")), (1, 1, 3));
    assert_empty(&mut pair);
}

#[test]
fn requests_inside_the_dialog_are_answered_by_the_user() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = talk(&mut pair);
    let kind = Header { name: HeaderName::ContentType, value: sdp("application/dtmf-relay") };
    pair.a.endpoint.request(pair.now, OUT, Method::Info, &[kind], sdp("Signal=5")).expect("they talk");
    pair.run(ms(50));
    let events = pair.b.leg(leg);
    let [LegEvent::Request { transaction, request }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(request.body, sdp("Signal=5"));
    let ok = Response::to_request(request, 200, "");
    pair.b.endpoint.respond(pair.now, *transaction, ok.clone()).expect("it waits");
    assert_eq!(pair.b.endpoint.respond(pair.now, *transaction, ok), Err(CommandError::UnknownTransaction));
    pair.run(ms(50));
    assert_eq!(words(&pair.a.leg(OUT)), ["response INFO 200"]);
}

#[test]
fn a_peer_that_lost_the_dialog_is_sent_bye() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = talk(&mut pair);
    let silent = pair.b.endpoint.legs.remove(&leg).expect("they talk");
    pair.b.endpoint.tags.remove(silent.dialog.local_tag());
    pair.a.endpoint.request(pair.now, OUT, Method::Options, &[], Bytes::new()).expect("they talk");
    pair.run(ms(50));
    assert_eq!(words(&pair.a.leg(OUT)), ["lost 481"]);
    assert_eq!(pair.count("a: BYE"), 1);
    assert_empty(&mut pair);
}

#[test]
fn after_a_restart_an_old_dialog_is_ended() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = talk(&mut pair);
    let json = serde_json::to_string(&pair.b.endpoint.snapshot(leg).expect("they talk")).expect("serializes");
    pair.b.endpoint = Endpoint::new(EndpointConfig::default(), IdGen::new(2, 2), [7; 32]);
    let snapshot = serde_json::from_str(&json).expect("deserializes");
    pair.b.endpoint.restore(LegId(77), &snapshot).expect("is whole");
    assert_eq!(pair.b.endpoint.restore(LegId(78), &snapshot), Err(CommandError::LegTaken));
    pair.b.endpoint.hang_up(pair.now, LegId(77), &[]).expect("it was restored");
    pair.run(ms(100));
    assert_eq!(words(&pair.a.leg(OUT)), ["ended"]);
    assert_eq!(words(&pair.b.leg(LegId(77))), ["gone"]);
    assert_empty(&mut pair);
}

#[test]
fn ringing_is_repeated_each_minute() {
    let mut pair = Pair::new(1, Network::PERFECT);
    let leg = ring(&mut pair);
    pair.b.endpoint.progress(pair.now, leg, 183, "", Some(sdp("v=0 early"))).expect("it rings");
    pair.run(ms(185_000));
    assert_eq!(pair.count("b: SIP/2.0 183"), 4);
    assert_eq!(pair.b.endpoint.progress(pair.now, leg, 200, "", None), Err(CommandError::BadStatus));
}

#[test]
fn beyond_the_limit_new_calls_are_refused_and_old_ones_go_on() {
    let mut config = EndpointConfig::default();
    config.limits.legs = 1;
    let mut pair = Pair::with(1, Network::PERFECT, EndpointConfig::default(), config);
    let leg = talk(&mut pair);
    let invite = call(&pair);
    pair.a.endpoint.invite(pair.now, LegId(2), invite).expect("a call can be made");
    pair.run(ms(100));
    let events = pair.a.leg(LegId(2));
    let [LegEvent::Failed { status: 503, response: Some(response) }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(response.headers.retry_after(), Ok(Some(5)));
    assert_eq!(pair.b.endpoint.counters().overloaded, 1);
    pair.a.endpoint.offer(pair.now, OUT, sdp("v=0 hold")).expect("they talk");
    pair.run(ms(100));
    assert_eq!(words(&pair.b.leg(leg)), ["offer INVITE [v=0 hold]"]);
}

#[test]
fn a_registration_is_given_to_the_user_once_and_answered_each_time() {
    let mut pair = Pair::new(1, Network { duplicate: 100, ..Network::PERFECT });
    let request = OutgoingRequest {
        flow: pair.flow(),
        method: Method::Register,
        uri: "sip:192.0.2.2".parse().expect("a good URI"),
        from: address("<sip:8001@192.0.2.2>"),
        to: address("<sip:8001@192.0.2.2>"),
        route: Vec::new(),
        headers: Vec::new(),
        body: Bytes::new(),
        again: None,
    };
    let sent = pair.a.endpoint.send(pair.now, request).expect("it can be sent");
    pair.run(ms(10));
    let asked = pair.b.take(|event| match event {
        Event::Request { transaction, request, .. } => Some((*transaction, request.clone())),
        _ => None,
    });
    assert_eq!(asked.len(), 1);
    let ok = Response::to_request(&asked[0].1, 200, "");
    pair.b.endpoint.respond(pair.now, asked[0].0, ok).expect("it waits");
    pair.run(ms(5000));
    let answers = pair.a.take(|event| match event {
        Event::Response { transaction, status, .. } => Some((*transaction, *status)),
        _ => None,
    });
    assert_eq!(answers, [(sent, 200)]);
    assert_empty(&mut pair);
}

#[test]
fn a_shard_makes_call_ids_of_its_own() {
    let config = EndpointConfig { shard: 3, shards: 8, ..EndpointConfig::default() };
    let mut pair = Pair::with(1, Network::PERFECT, config, EndpointConfig::default());
    for n in 0..20 {
        let invite = call(&pair);
        pair.a.endpoint.invite(pair.now, LegId(n), invite).expect("a call can be made");
    }
    pair.drain();
    for leg in pair.a.endpoint.legs.values() {
        assert_eq!(shard_of(leg.dialog.call_id(), 8), 3);
    }
    assert_eq!(shard_of(b"anything", 0), 0);
}

/// Whatever both sides do in whatever order over whatever network: each leg ends exactly once, and nothing is left.
#[test]
fn every_leg_ends_exactly_once_whatever_happens() {
    for seed in 0..300 {
        let network = Network { loss: (seed % 4) as u32 * 10, duplicate: (seed % 3) as u32 * 10, delay: (1, 300) };
        let mut pair = Pair::new(seed, network);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut made = [Vec::new(), Vec::new()];
        let mut over: HashMap<(usize, LegId), usize> = HashMap::new();
        for turn in 0..120 {
            pair.run(ms(rng.random_range(1..800)));
            if turn < 100 && rng.random_range(0..10) < 2 {
                let leg = LegId(1000 + turn);
                let invite = OutgoingInvite { sdp: rng.random::<bool>().then(|| sdp("v=0 o")), ..call(&pair) };
                pair.a.endpoint.invite(pair.now, leg, invite).expect("a call can be made");
                made[0].push(leg);
            }
            let now = pair.now;
            for (n, side) in [&mut pair.a, &mut pair.b].into_iter().enumerate() {
                made[n].extend(side.invites());
                let told = side.take(|event| match event {
                    Event::Leg { leg, event } => Some((*leg, event.clone())),
                    _ => None,
                });
                for (leg, event) in told {
                    assert_eq!(over.get(&(n, leg)), None, "seed {seed}: told of {event:?} after the end");
                    if is_over(&event) {
                        over.insert((n, leg), 1);
                    }
                    if let LegEvent::Offer { transaction, .. } = &event {
                        let _ = match rng.random_range(0..3) {
                            0 => side.endpoint.accept_offer(now, leg, *transaction, sdp("v=0 a")),
                            1 => side.endpoint.reject_offer(now, leg, *transaction, 488),
                            _ => Ok(()),
                        };
                    }
                }
                for leg in made[n].clone() {
                    let e = &mut side.endpoint;
                    let _ = match rng.random_range(0..40) {
                        0 => e.hang_up(now, leg, &[]),
                        1 | 2 => e.answer(now, leg, sdp("v=0 a")),
                        3 => e.progress(now, leg, 180, "", None),
                        4 => e.reject(now, leg, 486, "", &[]),
                        5 | 6 => e.offer(now, leg, sdp("v=0 o")),
                        7 => e.ack(now, leg, sdp("v=0 a")),
                        8 => e.request(now, leg, Method::Info, &[], Bytes::new()),
                        _ => Ok(()),
                    };
                }
            }
        }
        let now = pair.now;
        for (n, side) in [&mut pair.a, &mut pair.b].into_iter().enumerate() {
            for leg in &made[n] {
                let _ = side.endpoint.hang_up(now, *leg, &[]);
            }
        }
        pair.run_out();
        // A call whose caller gave up may ring at last; nobody is there to hang it up but its user.
        let now = pair.now;
        let late = pair.b.invites();
        for leg in &late {
            let _ = pair.b.endpoint.hang_up(now, *leg, &[]);
        }
        made[1].extend(late);
        assert_empty(&mut pair);
        for (n, side) in [&mut pair.a, &mut pair.b].into_iter().enumerate() {
            for leg in &made[n] {
                let last = side.leg(*leg).iter().filter(|event| is_over(event)).count();
                assert_eq!(over.get(&(n, *leg)).unwrap_or(&0) + last, 1, "seed {seed}: side {n} {leg}");
            }
        }
    }
}
