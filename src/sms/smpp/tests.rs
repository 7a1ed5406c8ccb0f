#![allow(clippy::disallowed_methods)]
use super::{pdu::*, *};
use crate::{
    clock::{Now, UnixMillis},
    ids::MessageId,
    sms::{
        delivery::{ReceiptState, Refusal},
        text,
    },
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// The session on a virtual clock, with the SMS centre played by hand.
struct Stage {
    session: Session,
    now: Now,
    events: Vec<Event>,
    sent: Vec<(Header, Body)>,
    closed: Option<CloseReason>,
}

impl Stage {
    fn new() -> Self {
        let config = Config {
            system_id: "hotline".into(),
            password: "secret".into(),
            source: "10653112345".into(),
            ..Config::default()
        };
        let now = Now { mono: Instant::now(), wall: UnixMillis(0) };
        Stage { session: Session::new(config), now, events: Vec::new(), sent: Vec::new(), closed: None }
    }

    fn bound() -> Self {
        let mut stage = Stage::new();
        stage.input(Input::Connected);
        let (header, body) = stage.sent.remove(0);
        assert!(matches!(body, Body::BindTransceiver { .. }));
        stage.peer(0, header.sequence, Body::BindTransceiverResp { system_id: "SMSC".into() });
        assert_eq!(stage.events(), [Event::Connected { smsc: "SMSC".into() }]);
        stage
    }

    /// Bound, and one submit answered: the whole window is open.
    fn proven() -> Self {
        let mut stage = Stage::bound();
        let sequence = stage.submit(1000);
        assert!(!stage.session.can_accept());
        stage.peer(0, sequence, Body::SubmitSmResp { message_id: "first".into() });
        stage.events();
        stage
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Bytes(bytes) => {
                    assert_eq!(frame_length(&bytes), Ok(Some(bytes.len())));
                    let (header, body) = decode(&bytes).unwrap();
                    self.sent.push((header, body.unwrap()));
                }
                Output::Event(event) => self.events.push(event),
                Output::Close(why) => self.closed = Some(why),
            }
        }
    }

    fn peer(&mut self, status: u32, sequence: u32, body: Body) {
        let mut bytes = Vec::new();
        encode(status, sequence, &body, &mut bytes).unwrap();
        self.input(Input::Bytes(&bytes));
    }

    fn submit(&mut self, message: u64) -> u32 {
        let part = text::segment("【12345热线】您好", 1).unwrap().parts.remove(0);
        self.input(Input::Submit(Submit {
            message: MessageId(message),
            part: 0,
            to: "8613800138000".into(),
            encoding: text::Encoding::Ucs2,
            user_data: part.user_data,
            has_header: part.has_header,
        }));
        self.sent.pop().map_or(0, |(header, _)| header.sequence)
    }

    /// Lets time pass, every time-out served when it is due.
    fn pass(&mut self, by: Duration) {
        let end = self.now.plus(by);
        while let Some((at, _)) = self.session.poll_timeout().filter(|(at, _)| *at <= end.mono) {
            self.now = self.now.plus(at.saturating_duration_since(self.now.mono));
            let before = self.session.poll_timeout();
            self.session.handle_timeout(self.now);
            assert_ne!(self.session.poll_timeout(), before, "a time-out that does not go away");
            self.drain();
        }
        self.now = end;
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn sent(&mut self) -> Vec<(Header, Body)> {
        std::mem::take(&mut self.sent)
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn submitted(message: u64, id: &str) -> Event {
    Event::Submitted { message: MessageId(message), part: 0, smsc_id: id.into() }
}

fn failed(message: u64, refusal: Refusal, status: u32) -> Event {
    Event::Failed { message: MessageId(message), part: 0, refusal, status }
}

fn uncertain(message: u64) -> Event {
    Event::Uncertain { message: MessageId(message), part: 0 }
}

#[test]
fn a_submit_says_what_it_is() {
    let mut stage = Stage::bound();
    let long = text::segment(&"市".repeat(71), 9).unwrap();
    stage.input(Input::Submit(Submit {
        message: MessageId(1),
        part: 1,
        to: "8613800138000".into(),
        encoding: long.encoding,
        user_data: long.parts[1].user_data.clone(),
        has_header: true,
    }));
    let (_, Body::SubmitSm(message)) = stage.sent.remove(0) else { panic!("no submit_sm") };
    assert_eq!((message.data_coding, message.esm_class, message.registered_delivery), (8, 0x40, 1));
    assert_eq!(message.destination, Address { ton: 1, npi: 1, digits: "8613800138000".into() });
    assert_eq!(message.source, Address { ton: 0, npi: 1, digits: "10653112345".into() });
    assert_eq!(&message.user_data[..8], [5, 0, 3, 9, 2, 2, 0x5E, 0x02]);
}

#[test]
fn answers_are_matched_by_sequence() {
    let mut stage = Stage::proven();
    let sequences: Vec<u32> = (0..3).map(|n| stage.submit(n)).collect();
    stage.peer(0, sequences[2], Body::SubmitSmResp { message_id: "c".into() });
    stage.peer(0x0B, sequences[0], Body::SubmitSmResp { message_id: String::new() });
    stage.peer(0x14, sequences[1], Body::GenericNack);
    stage.peer(0, sequences[2], Body::SubmitSmResp { message_id: "again".into() });
    let expected = [submitted(2, "c"), failed(0, Refusal::Permanent, 0x0B), failed(1, Refusal::Temporary, 0x14)];
    assert_eq!(stage.events(), expected);
}

#[test]
fn the_window_holds_ten() {
    let mut stage = Stage::proven();
    let first = stage.submit(0);
    (1..10).for_each(|n| assert_ne!(stage.submit(n), 0));
    assert!(!stage.session.can_accept());
    assert_eq!(stage.submit(10), 0);
    assert_eq!(stage.events(), [failed(10, Refusal::NotSent, 0)]);
    stage.peer(0, first, Body::SubmitSmResp { message_id: "a".into() });
    assert!(stage.session.can_accept());
}

#[test]
fn a_lost_answer_is_uncertain_and_may_still_come() {
    let mut stage = Stage::proven();
    let sequence = stage.submit(1);
    stage.pass(10 * SECOND);
    assert_eq!(stage.events(), [uncertain(1)]);
    // The link is probed at once, and answers.
    let (header, body) = stage.sent.pop().unwrap();
    assert_eq!(body, Body::EnquireLink);
    stage.peer(0, header.sequence, Body::EnquireLinkResp);
    // Nothing more is risked until the pause is over, then one at a time.
    assert!(!stage.session.can_accept());
    stage.pass(SECOND);
    assert_ne!(stage.submit(2), 0);
    assert!(!stage.session.can_accept());
    stage.peer(0, sequence, Body::SubmitSmResp { message_id: "late".into() });
    assert_eq!(stage.events(), [submitted(1, "late")]);
    assert!(stage.session.can_accept());
}

#[test]
fn silence_ends_the_link_and_a_reset_makes_doubt() {
    let mut stage = Stage::proven();
    stage.submit(1);
    stage.submit(2);
    stage.pass(19 * SECOND);
    stage.sent();
    stage.submit(3);
    stage.pass(SECOND);
    let ending = Event::Disconnected { why: CloseReason::LinkDead };
    assert_eq!(stage.events(), [uncertain(1), uncertain(2), uncertain(3), ending]);
    assert_eq!(stage.closed, Some(CloseReason::LinkDead));
    assert_eq!(stage.session.poll_timeout(), None);

    // One that says anything at all lives.
    let mut stage = Stage::proven();
    stage.submit(1);
    stage.pass(19 * SECOND);
    stage.peer(0, 77, Body::EnquireLink);
    stage.pass(9 * SECOND);
    assert_eq!(stage.closed, None);
    stage.pass(SECOND);
    assert_eq!(stage.closed, Some(CloseReason::LinkDead));

    let mut stage = Stage::proven();
    stage.submit(3);
    stage.input(Input::Disconnected);
    assert_eq!(stage.events(), [uncertain(3), Event::Disconnected { why: CloseReason::Broken }]);
    assert_eq!(stage.submit(4), 0);
    assert_eq!(stage.events(), [failed(4, Refusal::NotSent, 0)]);
}

#[test]
fn the_link_is_enquired_every_thirty_seconds_and_answers_itself() {
    let mut stage = Stage::proven();
    for _ in 0..3 {
        stage.pass(30 * SECOND);
        let sent = stage.sent();
        assert_eq!((sent.len(), &sent[0].1), (1, &Body::EnquireLink));
        stage.peer(0, sent[0].0.sequence, Body::EnquireLinkResp);
    }
    stage.peer(0, 77, Body::EnquireLink);
    assert_eq!(stage.sent()[0], (Header { command_id: 0x8000_0015, status: 0, sequence: 77 }, Body::EnquireLinkResp));
    assert_eq!(stage.events(), []);
}

#[test]
fn throttling_pauses_longer_each_time() {
    let mut stage = Stage::proven();
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        let sequence = stage.submit(1);
        stage.peer(0x58, sequence, Body::SubmitSmResp { message_id: String::new() });
        assert_eq!(stage.events(), [failed(1, Refusal::Throttled, 0x58)]);
        stage.pass(pause * SECOND - Duration::from_millis(1));
        assert!(!stage.session.can_accept());
        stage.pass(Duration::from_millis(1));
        assert!(stage.session.can_accept());
        for (header, _) in stage.sent() {
            stage.peer(0, header.sequence, Body::EnquireLinkResp);
        }
    }
    let sequence = stage.submit(2);
    stage.peer(0, sequence, Body::SubmitSmResp { message_id: "a".into() });
    let sequence = stage.submit(3);
    stage.peer(0x58, sequence, Body::SubmitSmResp { message_id: String::new() });
    stage.pass(SECOND);
    assert!(stage.session.can_accept());
}

fn from_citizen(user_data: Vec<u8>, esm_class: u8, data_coding: u8) -> Body {
    Body::DeliverSm(ShortMessage {
        source: Address { ton: 1, npi: 1, digits: "8613800138000".into() },
        destination: Address { ton: 0, npi: 1, digits: "10653112345".into() },
        esm_class,
        data_coding,
        user_data,
        ..ShortMessage::default()
    })
}

#[test]
fn receipts_and_citizens_are_answered_and_told() {
    let mut stage = Stage::proven();
    let text =
        b"id:a1 sub:001 dlvrd:001 submit date:2608011230 done date:2608011231 stat:DELIVRD err:000 text:".to_vec();
    stage.peer(0, 5, from_citizen(text.clone(), 0x04, 0));
    // The same words from a citizen are words.
    stage.peer(0, 6, from_citizen(text, 0, 0));
    let events = stage.events();
    let Event::Receipt { receipt, to, unanswered } = events[0].clone() else { panic!("{events:?}") };
    assert_eq!(
        (receipt.smsc_id.as_str(), receipt.state, to.as_str()),
        ("a1", ReceiptState::Delivered, "8613800138000")
    );
    assert!(matches!(&events[1], Event::Inbound { text, .. } if text.starts_with("id:a1")));
    let answered = |stage: &mut Stage| -> Vec<_> {
        stage.sent().into_iter().map(|(header, body)| (header.sequence, body)).collect()
    };
    assert_eq!(answered(&mut stage), [(6, Body::DeliverSmResp)], "a receipt is answered once it is written down");
    stage.input(Input::Kept(unanswered));
    assert_eq!(answered(&mut stage), [(5, Body::DeliverSmResp)]);

    // On another connection the same number means something else.
    stage.input(Input::Disconnected);
    stage.input(Input::Connected);
    let bind = stage.sent().remove(0).0.sequence;
    stage.peer(0, bind, Body::BindTransceiverResp { system_id: "SMSC".into() });
    stage.input(Input::Kept(unanswered));
    assert_eq!(answered(&mut stage), []);
}

#[test]
fn long_inbound_messages_are_joined_in_any_order() {
    let mut stage = Stage::proven();
    let text = "路灯坏了".repeat(30) + "😀";
    let segments = text::segment(&text, 42).unwrap();
    for part in segments.parts.iter().rev() {
        stage.peer(0, 5, from_citizen(part.user_data.clone(), 0x40, 8));
        stage.peer(0, 5, from_citizen(part.user_data.clone(), 0x40, 8));
    }
    let inbound = |text: String| Event::Inbound { from: "8613800138000".into(), to: "10653112345".into(), text };
    assert_eq!(stage.events().first(), Some(&inbound(text)));

    // A part that never comes leaves a gap, in bounded time.
    let mut stage = Stage::proven();
    stage.peer(0, 7, from_citizen(segments.parts[0].user_data.clone(), 0x40, 8));
    stage.input(Input::Disconnected);
    stage.events();
    stage.pass(300 * SECOND);
    let [Event::Inbound { text, .. }] = &stage.events()[..] else { panic!("nothing came") };
    assert!(text.starts_with("路灯坏了") && text.ends_with("[…]"));

    // Beginnings without end do not pile up.
    let mut stage = Stage::proven();
    for reference in 0..=255u8 {
        stage.peer(0, 7, from_citizen(vec![5, 0, 3, reference, 255, 1, b'x'], 0x40, 0));
    }
    assert_eq!(stage.events().len(), 256 - 64);
}

#[test]
fn what_cannot_be_read_is_answered_and_passed_over() {
    let mut stage = Stage::proven();
    let mut frame = vec![0, 0, 0, 18, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, b'x', b'y'];
    stage.input(Input::Bytes(&frame));
    frame[7] = 0x21;
    stage.input(Input::Bytes(&frame));
    let answers: Vec<_> = stage.sent().into_iter().map(|(h, body)| (h.status, h.sequence, body)).collect();
    assert_eq!(answers, [(0x65, 9, Body::DeliverSmResp), (0x03, 9, Body::GenericNack)]);
    assert_eq!(stage.closed, None);

    stage.input(Input::Bytes(&[0, 0, 0, 15, 1, 1, 1, 1]));
    assert_eq!(stage.sent()[0].0, Header { command_id: 0x8000_0000, status: 2, sequence: 0 });
    assert_eq!(stage.closed, Some(CloseReason::BadFraming));
}

#[test]
fn binds_end_well_or_are_told() {
    let mut stage = Stage::new();
    stage.input(Input::Connected);
    let sequence = stage.sent.remove(0).0.sequence;
    stage.peer(0x0E, sequence, Body::BindTransceiverResp { system_id: String::new() });
    assert_eq!(stage.closed, Some(CloseReason::BindRefused(0x0E)));

    let mut stage = Stage::new();
    stage.input(Input::Connected);
    stage.pass(10 * SECOND);
    assert_eq!(stage.closed, Some(CloseReason::BindTimeout));
    // Another connection starts afresh.
    stage.input(Input::Connected);
    assert!(matches!(stage.sent().pop(), Some((_, Body::BindTransceiver { .. }))));

    let config = Config { password: "much too long".into(), ..Config::default() };
    let mut session = Session::new(config);
    session.handle_input(stage.now, Input::Connected);
    let outputs: Vec<Output> = std::iter::from_fn(|| session.poll_output()).collect();
    assert!(outputs.contains(&Output::Close(CloseReason::BadSettings)), "{outputs:?}");
}

#[test]
fn it_drains_then_unbinds() {
    let mut stage = Stage::proven();
    let sequence = stage.submit(1);
    stage.input(Input::Shutdown);
    assert_eq!(stage.sent(), []);
    assert_eq!(stage.submit(2), 0);
    stage.peer(0, sequence, Body::SubmitSmResp { message_id: "a".into() });
    let (header, body) = stage.sent().pop().unwrap();
    assert_eq!(body, Body::Unbind);
    stage.peer(0, header.sequence, Body::UnbindResp);
    let ending = Event::Disconnected { why: CloseReason::Finished };
    assert_eq!(stage.events(), [failed(2, Refusal::NotSent, 0), submitted(1, "a"), ending]);

    let mut stage = Stage::proven();
    stage.submit(1);
    stage.peer(0, 900, Body::Unbind);
    assert_eq!(stage.sent().pop().unwrap().1, Body::UnbindResp);
    assert_eq!(stage.events(), [uncertain(1), Event::Disconnected { why: CloseReason::PeerUnbound }]);
}

proptest! {
    /// Octets at random, whole frames at random, cut at random: no panic, and every submit ends exactly once.
    #[test]
    fn no_octets_break_it(
        frames in proptest::collection::vec(
            (proptest::sample::select(vec![0x05u32, 0x15, 0x06, 0x102, 0x8000_0000, 0x8000_0004, 0x8000_0009, 0x21]),
             0u32..14, 0u32..3, proptest::collection::vec(any::<u8>(), 0..60)), 0..30),
        noise in proptest::collection::vec(any::<u8>(), 0..60),
        cut in 1usize..50,
        submits in 0u64..12,
    ) {
        let mut stage = Stage::proven();
        (0..submits).for_each(|n| { stage.submit(n); });
        let mut octets = Vec::new();
        for (command_id, sequence, status, body) in frames {
            octets.extend((16 + body.len() as u32).to_be_bytes());
            octets.extend(command_id.to_be_bytes());
            octets.extend(status.to_be_bytes());
            octets.extend(sequence.to_be_bytes());
            octets.extend(body);
        }
        octets.extend(noise);
        for piece in octets.chunks(cut) {
            stage.input(Input::Bytes(piece));
        }
        stage.pass(Duration::from_secs(700));
        stage.input(Input::Disconnected);
        let mut ended = std::collections::HashMap::<u64, u32>::new();
        for event in stage.events() {
            match event {
                Event::Submitted { message, .. } | Event::Failed { message, .. } | Event::Uncertain { message, .. } => {
                    *ended.entry(message.0).or_default() += 1;
                }
                _ => {}
            }
        }
        prop_assert_eq!(ended.len() as u64, submits);
        prop_assert!(ended.values().all(|&n| n == 1));
    }
}
