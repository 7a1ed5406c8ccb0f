//! SIP over a stream: the octets come in pieces, messages are cut out of them and given to an endpoint.

use crate::{
    ids::{IdGen, LegId},
    sip::{
        endpoint::{Endpoint, EndpointConfig, EndpointLimits, Event, Flow, Input, LegEvent, Output, Transport},
        message::{Frame, Framer, Limits, Message, Method, Response},
        registrar::{Registrar, RegistrarConfig},
    },
};
use bytes::Bytes;
use std::{net::SocketAddr, time::Duration};

/// The first octet says how the rest is cut into reads; all ways of cutting give the same frames.
pub fn check(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else { return };
    let piece = usize::from(piece).max(1);
    let frames = cut(stream, stream.len().max(1), Limits::default());
    assert_eq!(frames, cut(stream, piece, Limits::default()));
    cut(stream, piece, Limits { message: 300, line: 80, headers: 8 });
    drive(&frames);
}

/// The frames of a stream that comes in reads of `piece` octets.
fn cut(stream: &[u8], piece: usize, limits: Limits) -> Vec<Bytes> {
    let mut framer = Framer::new(limits);
    let mut frames = Vec::new();
    for read in stream.chunks(piece) {
        framer.extend(read);
        loop {
            match framer.next_frame() {
                Ok(Some(Frame::Message(bytes))) => {
                    assert!(bytes.len() <= limits.message);
                    frames.push(bytes);
                }
                Ok(Some(Frame::Ping | Frame::Pong)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    let _ = error.0.response().map(|response| response.to_bytes());
                    framer.extend(b"more");
                    assert!(matches!(framer.next_frame(), Ok(None)) && framer.buffered() == 0);
                    return frames;
                }
            }
        }
        assert!(framer.buffered() <= limits.message + piece);
    }
    frames
}

/// An endpoint survives the messages, whatever its user does, and is empty a minute later.
fn drive(frames: &[Bytes]) {
    let limits = EndpointLimits { legs: 4, transactions: 16, transactions_per_dialog: 8, retry_after: 5 };
    let mut endpoint = Endpoint::new(EndpointConfig { limits, ..EndpointConfig::default() }, IdGen::new(0, 0), [1; 32]);
    let mut registrar = Registrar::new(RegistrarConfig::default());
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut now = crate::now();
    let mut legs = Vec::new();
    for (number, bytes) in frames.iter().take(32).enumerate() {
        let transport = if number % 2 == 0 { Transport::Tcp } else { Transport::Udp };
        let flow = Flow { transport, local: address(5060), remote: address(40_000), connection: 1 };
        endpoint.handle_input(now, Input::Packet { flow, bytes: bytes.clone() });
        answer(&mut endpoint, &mut registrar, now, number, &mut legs);
        now = now.plus(Duration::from_millis(50));
        if number % 4 == 3 {
            // The connection closes; where it is opened anew, that fails now and then.
            let closed = Flow { transport: Transport::Tcp, ..flow };
            endpoint.handle_input(now, Input::FlowFailed { flow: closed });
            if number % 8 == 7 {
                let unopened = Flow { connection: 0, remote: address(5060), ..closed };
                endpoint.handle_input(now, Input::FlowFailed { flow: unopened });
            }
            answer(&mut endpoint, &mut registrar, now, number, &mut legs);
        }
    }
    // Only its user ends a call that rings or is up.
    for leg in std::mem::take(&mut legs) {
        // Over already, if it fails.
        let _ = endpoint.hang_up(now, leg, &[]);
    }
    for _ in 0..5_000 {
        let Some(at) = endpoint.poll_timeout() else { break };
        now = now.plus(at.saturating_duration_since(now.mono));
        endpoint.handle_timeout(now);
        answer(&mut endpoint, &mut registrar, now, 0, &mut legs);
    }
    registrar.handle_timeout(now.plus(Duration::from_secs(1_000_000)));
    assert!(registrar.is_empty());
    assert_eq!((endpoint.transaction_count(), endpoint.leg_count()), (0, 0));
}

fn answer(
    endpoint: &mut Endpoint,
    registrar: &mut Registrar,
    now: crate::clock::Now,
    number: usize,
    legs: &mut Vec<LegId>,
) {
    while let Some(output) = endpoint.poll_output() {
        match output {
            Output::Transmit { bytes, .. } => {
                if let Err(error) = Message::parse(bytes.clone()) {
                    // Only an answer to a broken request may be broken, in what it had to copy.
                    let broken = bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 505");
                    assert!(broken, "{error}: {}", bytes.escape_ascii());
                }
            }
            Output::Event(Event::Request { transaction, flow, request }) => {
                let response = match request.method {
                    Method::Register => registrar.register(now, flow, &request),
                    _ => Response::to_request(&request, 200, ""),
                };
                let _ = endpoint.respond(now, transaction, response);
            }
            Output::Event(Event::Invite { leg, .. }) => {
                legs.push(leg);
                let _ = match number % 3 {
                    0 => endpoint.reject(now, leg, 486, "", &[]),
                    1 => endpoint.answer(now, leg, Bytes::from_static(b"v=0\r\n")),
                    _ => endpoint.progress(now, leg, 180, "", None),
                };
            }
            Output::Event(Event::Leg { leg, event: LegEvent::Offer { transaction, .. } }) => {
                let _ = endpoint.reject_offer(now, leg, transaction, 488);
            }
            Output::Event(Event::Leg { event: LegEvent::Request { transaction, request }, .. }) => {
                let _ = endpoint.respond(now, transaction, Response::to_request(&request, 200, ""));
            }
            Output::Event(Event::Leg { .. } | Event::Response { .. }) => {}
        }
    }
}
