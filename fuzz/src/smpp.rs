//! What an SMS centre sends: PDUs, and the session that lives on them.

use crate::{
    ids::MessageId,
    sms::{
        smpp::{
            Config, Input, Output, ReceiptIds, Session, Submit, alternative_ids, classify,
            pdu::{Body, PduError, ShortMessage, decode, encode, frame_length},
        },
        text,
    },
};
use std::time::Duration;

/// Reads each PDU of the octets, writes it again, and gives all of them to a session.
pub fn check(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(length)) = frame_length(rest) {
        let (frame, after) = rest.split_at(length);
        one(frame);
        rest = after;
    }
    let _ = decode(data).map_err(|error| error.to_string());
    session(data);
}

fn one(frame: &[u8]) {
    let (header, body) = decode(frame).expect("a whole header");
    let _ = (header.is_response(), classify(header.status));
    let body = match body {
        Ok(body) => body,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    if let Body::SubmitSm(message) | Body::DeliverSm(message) = &body {
        let header_free = text::split_header(&message.user_data);
        let octets = header_free.map_or(&message.user_data[..], |(_, rest)| rest);
        let read = text::decode(message.data_coding, octets);
        assert!(read.chars().count() <= 2 * octets.len());
        if let Some(id) = &message.receipted_message_id {
            assert!(!alternative_ids(id).contains(id));
        }
    }
    // TLVs are read but never written.
    let sent = match body {
        Body::SubmitSm(message) => Body::SubmitSm(without_tlvs(message)),
        Body::DeliverSm(message) => Body::DeliverSm(without_tlvs(message)),
        body => body,
    };
    let mut out = vec![0xAA];
    match encode(header.status, header.sequence, &sent, &mut out) {
        Ok(()) => {
            let again = &out[1..];
            assert_eq!(frame_length(again), Ok(Some(again.len())));
            let (read, body) = decode(again).expect("our own header");
            assert_eq!((read, body), (header, Ok(sent)));
        }
        Err(error) => {
            assert_eq!(error, PduError::Unsendable);
            assert_eq!(out, [0xAA], "nothing is left behind");
        }
    }
}

fn without_tlvs(message: ShortMessage) -> ShortMessage {
    ShortMessage { receipted_message_id: None, message_state: None, sar: None, ..message }
}

fn config(receipt_ids: ReceiptIds) -> Config {
    Config {
        system_id: "hotline".into(),
        password: "secret".into(),
        system_type: String::new(),
        source: "12345".into(),
        source_ton: 0,
        source_npi: 1,
        destination_ton: 1,
        destination_npi: 1,
        window: 4,
        enquire_s: 30,
        response_s: 10,
        receipt_ids,
    }
}

/// The first octet says how the octets are cut into reads and what the receipts' ids are like.
fn session(data: &[u8]) {
    let kind = data.first().copied().unwrap_or(0);
    let ids = [ReceiptIds::AsIs, ReceiptIds::Decimal, ReceiptIds::Hexadecimal][usize::from(kind % 3)];
    let mut session = Session::new(config(ids));
    let mut now = crate::now();
    session.handle_input(now, Input::Connected);
    drain(&mut session);
    // Without an answer to the bind nothing else is reached.
    let mut bound = Vec::new();
    let smsc = Body::BindTransceiverResp { system_id: "smsc".into() };
    encode(0, 1, &smsc, &mut bound).expect("a bind's answer");
    session.handle_input(now, Input::Bytes(&bound));
    drain(&mut session);
    for part in 1..=2 {
        let segments = text::segment("您好", 1).expect("a text");
        let segment = segments.parts.into_iter().next().expect("a part");
        session.handle_input(
            now,
            Input::Submit(Submit {
                message: MessageId(7),
                part,
                to: "8613800138000".into(),
                encoding: segments.encoding,
                user_data: segment.user_data,
                has_header: segment.has_header,
            }),
        );
    }
    for read in data.chunks(usize::from(kind).max(16)) {
        session.handle_input(now, Input::Bytes(read));
        drain(&mut session);
        now = now.plus(Duration::from_secs(1));
    }
    for _ in 0..50 {
        let Some((at, _)) = session.poll_timeout() else { break };
        now = now.plus(at.saturating_duration_since(now.mono));
        session.handle_timeout(now);
        drain(&mut session);
    }
    session.handle_input(now, Input::Shutdown);
    session.handle_input(now, Input::Disconnected);
    drain(&mut session);
    assert!(session.is_closed() && session.outstanding() == 0 && !session.can_accept());
}

/// What a session sends are whole PDUs.
fn drain(session: &mut Session) {
    while let Some(output) = session.poll_output() {
        if let Output::Bytes(bytes) = output {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let length = frame_length(rest).expect("a length").expect("a whole PDU");
                assert!(decode(&rest[..length]).is_ok_and(|(_, body)| body.is_ok()));
                rest = &rest[length..];
            }
        }
    }
}
