//! The product's client against this SMS centre, over loopback.
#![allow(clippy::disallowed_methods)]

use super::*;
use crate::{
    ids::MessageId,
    net::sms::{CloseReason, GatewayConfig, SessionConfig, SmsEvent, SmsGateway, SubmitError, submits},
    sms::{
        delivery::{
            Command as Change, Counts, Delivery, EarlyReceipts, Event as Fact, Outcome, Policy, ReceiptState, Refusal,
            Rejected, State,
        },
        text::{Segments, segment},
    },
};
use tokio::{sync::mpsc, time::timeout};

const TO: &str = "8613800138000";
const ACCESS: &str = "10653112345";

struct Stage {
    smsc: Smsc,
    gateway: SmsGateway,
    events: mpsc::Receiver<SmsEvent>,
}

fn quick() -> SmscConfig {
    SmscConfig { receipt_after: (Duration::from_millis(20), Duration::from_millis(60)), ..SmscConfig::default() }
}

impl Stage {
    async fn start(config: SmscConfig) -> Stage {
        let smsc = Smsc::start(([127, 0, 0, 1], 0).into(), config).await.unwrap();
        let session = SessionConfig {
            system_id: "hotline".into(),
            password: "sandbox".into(),
            source: ACCESS.into(),
            response_s: 1,
            ..SessionConfig::default()
        };
        let config = GatewayConfig { address: smsc.address().to_string(), session, connect_s: 2 };
        let (gateway, events) = SmsGateway::start(config, 7);
        Stage { smsc, gateway, events }
    }

    async fn bound(config: SmscConfig) -> Stage {
        let mut stage = Stage::start(config).await;
        assert_eq!(stage.event().await, SmsEvent::Connected { smsc: "SANDBOX".into() });
        stage
    }

    async fn event(&mut self) -> SmsEvent {
        let event = timeout(Duration::from_secs(10), self.events.recv()).await;
        let event = event.expect("no event in 10 s").expect("stopped");
        if let SmsEvent::Receipt { unanswered, .. } = event {
            self.gateway.kept(unanswered);
        }
        event
    }

    fn send(&self, message: u64, text: &str) -> usize {
        let segments = segment(text, message as u8).unwrap();
        let parts = submits(MessageId(message), TO, &segments, 0..segments.parts.len() as u8);
        let count = parts.len();
        parts.into_iter().for_each(|part| self.gateway.submit(part).unwrap());
        count
    }
}

fn outcome(event: &SmsEvent) -> (u64, &'static str) {
    match event {
        SmsEvent::Submitted { message, .. } => (message.0, "submitted"),
        SmsEvent::Failed { message, refusal, .. } => (message.0, refusal.as_str()),
        SmsEvent::Uncertain { message, .. } => (message.0, "uncertain"),
        SmsEvent::Receipt { .. } => (0, "receipt"),
        _ => (0, "other"),
    }
}

#[tokio::test]
async fn a_long_chinese_text_arrives_whole_and_is_receipted() {
    for receipt_tlvs in [true, false] {
        let mut stage = Stage::bound(SmscConfig { receipt_tlvs, ..quick() }).await;
        let text = format!("【12345热线】{}😀完", "您好，您的诉求已受理，工单号202608010001。".repeat(8));
        let parts = stage.send(1, &text);
        assert!(parts > 2);
        let (mut ids, mut receipted) = (Vec::new(), Vec::new());
        while receipted.len() < parts {
            match stage.event().await {
                SmsEvent::Submitted { message: MessageId(1), smsc_id, .. } => ids.push(smsc_id),
                SmsEvent::Receipt { receipt, to, .. } => {
                    assert_eq!((receipt.state, to.as_str()), (ReceiptState::Delivered, TO));
                    receipted.push(receipt.smsc_id);
                }
                other => panic!("{other:?}"),
            }
        }
        ids.sort();
        receipted.sort();
        assert_eq!(ids, receipted);
        let messages = stage.smsc.messages();
        assert_eq!((messages.len(), messages[0].parts), (1, parts));
        assert_eq!((&messages[0].text, messages[0].to.as_str(), messages[0].from.as_str()), (&text, TO, ACCESS));
        stage.gateway.stop().await;
        assert_eq!(stage.event().await, SmsEvent::Disconnected { why: CloseReason::Finished });
        assert_eq!(stage.events.recv().await, None);
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_submit_is_uncertain_and_the_link_comes_back() {
    let mut stage = Stage::bound(quick()).await;
    stage.smsc.set_faults(Faults { reset: true, ..Faults::default() });
    stage.send(1, "【12345热线】一");
    assert_eq!(outcome(&stage.event().await), (1, "uncertain"));
    assert_eq!(stage.event().await, SmsEvent::Disconnected { why: CloseReason::Broken });
    let segments = segment("二", 0).unwrap();
    let refused = stage.gateway.submit(submits(MessageId(2), TO, &segments, [0]).remove(0));
    assert_eq!(refused, Err(SubmitError::NotConnected));
    // The SMS centre had taken it: the receipt comes with the next bind.
    assert_eq!(stage.smsc.messages().len(), 1);
    stage.smsc.set_faults(Faults::default());
    assert!(matches!(stage.event().await, SmsEvent::Connected { .. }));
    assert_eq!(outcome(&stage.event().await).1, "receipt");
    stage.send(2, "【12345热线】二");
    assert_eq!(outcome(&stage.event().await), (2, "submitted"));
}

#[tokio::test]
async fn throttling_is_told_and_paced() {
    let mut stage = Stage::bound(quick()).await;
    stage.smsc.set_faults(Faults { throttle: 1, ..Faults::default() });
    stage.send(1, "【12345热线】一");
    let refused = SmsEvent::Failed { message: MessageId(1), part: 0, refusal: Refusal::Throttled, status: 0x58 };
    assert_eq!(stage.event().await, refused);
    // In the pause nothing waits and nothing is sent.
    stage.send(1, "【12345热线】一");
    assert_eq!(outcome(&stage.event().await), (1, "not_sent"));
    assert_eq!(stage.smsc.submits(), 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    stage.send(1, "【12345热线】一");
    assert_eq!(outcome(&stage.event().await), (1, "submitted"));
}

#[tokio::test]
async fn silence_is_uncertain_then_the_link_is_given_up() {
    let mut stage = Stage::bound(quick()).await;
    stage.smsc.set_faults(Faults { silent: true, ..Faults::default() });
    stage.send(1, "【12345热线】一");
    assert_eq!(outcome(&stage.event().await), (1, "uncertain"));
    assert_eq!(stage.event().await, SmsEvent::Disconnected { why: CloseReason::LinkDead });
    stage.smsc.set_faults(Faults::default());
    assert!(matches!(stage.event().await, SmsEvent::Connected { .. }));
}

#[tokio::test]
async fn a_late_answer_ends_the_doubt() {
    let mut stage = Stage::bound(quick()).await;
    stage.smsc.set_faults(Faults { delay: Duration::from_millis(1300), ..Faults::default() });
    stage.send(1, "【12345热线】一");
    assert_eq!(outcome(&stage.event().await), (1, "uncertain"));
    assert_eq!(outcome(&stage.event().await), (1, "submitted"));
}

#[tokio::test]
async fn receipts_come_early_and_twice_and_bad() {
    let mut stage = Stage::bound(quick()).await;
    let faults = Faults { receipts_first: true, duplicate_receipts: true, undeliverable: true, ..Faults::default() };
    stage.smsc.set_faults(faults);
    stage.send(1, "【12345热线】一");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = stage.event().await;
        if let SmsEvent::Receipt { receipt, .. } = &event {
            assert_eq!((receipt.state, receipt.error.as_str()), (ReceiptState::Undeliverable, "034"));
        }
        seen.push(outcome(&event).1);
    }
    assert_eq!(seen, ["receipt", "receipt", "submitted"]);
}

#[tokio::test]
async fn refusals_are_sorted() {
    let mut stage = Stage::bound(quick()).await;
    for (status, refusal) in [(0x14, "temporary"), (0x0B, "permanent"), (0x08, "temporary")] {
        stage.smsc.set_faults(Faults { refuse: Some(status), ..Faults::default() });
        stage.send(1, "【12345热线】一");
        assert_eq!(outcome(&stage.event().await), (1, refusal));
    }
    stage.smsc.set_faults(Faults::default());
    let segments = segment("【12345热线】", 0).unwrap();
    stage.gateway.submit(submits(MessageId(9), "138x", &segments, [0]).remove(0)).unwrap();
    assert_eq!(outcome(&stage.event().await), (9, "permanent"));
}

#[tokio::test]
async fn a_wrong_password_does_not_bind() {
    let mut stage = Stage::start(SmscConfig { password: "other".into(), ..quick() }).await;
    assert_eq!(stage.event().await, SmsEvent::Disconnected { why: CloseReason::BindRefused(0x0E) });
    assert!(!stage.gateway.is_bound());
    timeout(Duration::from_secs(2), stage.gateway.stop()).await.expect("stop hangs in the pause");
}

#[tokio::test]
async fn citizens_texts_come_in_whole() {
    let mut stage = Stage::bound(quick()).await;
    // The 67th and 68th units are one pair, cut in two.
    let long = format!("{}😀{}", "路".repeat(66), "坏".repeat(100));
    for text in ["1", "满意", &long] {
        assert!(stage.smsc.citizen_sends(TO, ACCESS, text));
        let expected = SmsEvent::Inbound { from: TO.into(), to: ACCESS.into(), text: text.into() };
        assert_eq!(stage.event().await, expected);
    }
    assert!(!stage.smsc.citizen_sends(TO, ACCESS, &"长".repeat(67 * 256)));
}

#[tokio::test]
async fn many_messages_each_end_once() {
    let mut stage = Stage::bound(quick()).await;
    let mut outcomes = BTreeMap::<u64, &'static str>::new();
    let (mut next, mut receipts) = (1, 0);
    while outcomes.len() < 200 || receipts < 200 {
        let segments = segment("【12345热线】您好", 0).unwrap();
        while next <= 200 && stage.gateway.room() > 0 {
            if stage.gateway.submit(submits(MessageId(next), TO, &segments, [0]).remove(0)).is_err() {
                break;
            }
            next += 1;
        }
        let event = stage.event().await;
        match outcome(&event) {
            (_, "receipt") => receipts += 1,
            (message, what) => assert_eq!(outcomes.insert(message, what), None),
        }
    }
    assert!(outcomes.values().all(|&what| what == "submitted"));
    assert_eq!(stage.smsc.messages().len(), 200);
}

#[tokio::test]
async fn noise_does_not_hurt_it() {
    let stage = Stage::start(quick()).await;
    for noise in [&[0xFF; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0, 16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1]] {
        let mut stream = TcpStream::connect(stage.smsc.address()).await.unwrap();
        stream.write_all(noise).await.unwrap();
        let mut answer = [0; 16];
        timeout(Duration::from_secs(2), stream.read_exact(&mut answer)).await.unwrap().unwrap();
    }
    assert!(stage.gateway.wait_bound().await);
}

/// A small outbox: rows in memory, the product's delivery machine, gateway and this SMS centre.
struct Outbox {
    stage: Stage,
    policy: Policy,
    rows: BTreeMap<u64, (Delivery, Segments)>,
    by_smsc_id: BTreeMap<String, u64>,
    early: EarlyReceipts,
    counts: Counts,
    rejected: Vec<Rejected>,
}

impl Outbox {
    fn change(&mut self, id: u64, change: Change) {
        let Some((row, segments)) = self.rows.get_mut(&id) else { panic!("no message {id}") };
        match row.apply(change, &self.policy, clock::now().wall) {
            Ok((next, facts)) => {
                *row = next;
                let segments = segments.clone();
                for fact in facts {
                    self.counts.note(&fact);
                    if let Fact::Submit { parts } = fact {
                        self.submit(id, &segments, parts);
                    }
                }
            }
            Err(why) => self.rejected.push(why),
        }
        assert!(self.counts.balanced());
        for state in State::ALL {
            let rows = self.rows.values().filter(|(row, _)| row.state == state).count();
            assert_eq!(self.counts.of(state), rows as u64, "{state}");
        }
    }

    fn submit(&mut self, id: u64, segments: &Segments, parts: Vec<u8>) {
        for submit in submits(MessageId(id), TO, segments, parts) {
            let part = submit.part;
            if self.stage.gateway.submit(submit).is_err() {
                let outcome = Outcome::Refused { refusal: Refusal::NotSent, status: 0 };
                self.change(id, Change::Outcome { part, outcome });
            }
        }
    }

    fn hear(&mut self, event: SmsEvent) {
        match event {
            SmsEvent::Submitted { message, part, smsc_id } => {
                self.by_smsc_id.insert(smsc_id.clone(), message.0);
                let early = self.early.take(&smsc_id);
                self.change(message.0, Change::Outcome { part, outcome: Outcome::Accepted { smsc_id } });
                if let Some(receipt) = early {
                    self.change(message.0, Change::Receipt(receipt));
                }
            }
            SmsEvent::Failed { message, part, refusal, status } => {
                self.change(message.0, Change::Outcome { part, outcome: Outcome::Refused { refusal, status } });
            }
            SmsEvent::Uncertain { message, part } => {
                self.change(message.0, Change::Outcome { part, outcome: Outcome::Uncertain });
            }
            SmsEvent::Receipt { receipt, unanswered, .. } => {
                match self.by_smsc_id.get(&receipt.smsc_id) {
                    Some(&id) => self.change(id, Change::Receipt(receipt)),
                    None => self.early.keep(receipt, clock::now().wall),
                }
                self.stage.gateway.kept(unanswered);
            }
            SmsEvent::Connected { .. } | SmsEvent::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn claim(&mut self) {
        let now = clock::now().wall;
        let due: Vec<_> = self.rows.iter().filter_map(|(&id, (row, _))| Some((id, row.due(now)?))).collect();
        for (id, change) in due {
            if !self.stage.gateway.is_bound() || self.stage.gateway.room() < 4 {
                return;
            }
            self.change(id, change);
        }
    }

    fn at_rest(&self) -> bool {
        self.rows.values().all(|(row, _)| row.next_try.is_none() && row.state != State::Submitted)
    }
}

/// Invariant I5 with a bad day at the SMS centre: resets, silence, throttling, receipts twice and early.
#[tokio::test]
async fn a_bad_day_loses_no_message_and_sends_none_twice() {
    const MESSAGES: u64 = 120;
    let stage = Stage::start(quick()).await;
    let policy = Policy { retry_s: vec![1], not_sent_s: 1, max_attempts: 20, ..Policy::default() };
    let mut counts = Counts::default();
    let row = |id| {
        counts.created();
        let segments =
            segment(&format!("【12345热线】工单{id:06}{}", "已受理。".repeat(20 * (id as usize % 2))), id as u8);
        let segments = segments.unwrap();
        (id, (Delivery::new(segments.parts.len(), clock::now().wall), segments))
    };
    let rows = (1..=MESSAGES).map(row).collect();
    let early = EarlyReceipts::new(1000, Duration::from_secs(60));
    let by_smsc_id = BTreeMap::new();
    let mut outbox = Outbox { stage, policy, rows, by_smsc_id, early, counts, rejected: Vec::new() };
    let day = [
        (0, Faults { duplicate_receipts: true, delay: Duration::from_millis(50), ..Faults::default() }),
        (300, Faults { reset: true, ..Faults::default() }),
        (400, Faults { receipts_first: true, duplicate_receipts: true, ..Faults::default() }),
        (2000, Faults { throttle: 2, delay: Duration::from_millis(30), ..Faults::default() }),
        (2500, Faults { silent: true, ..Faults::default() }),
        (3000, Faults { duplicate_receipts: true, ..Faults::default() }),
    ];
    let started = Instant::now();
    let mut hour = 0;
    while !outbox.at_rest() || hour < day.len() {
        assert!(started.elapsed() < Duration::from_secs(40), "{:?}", outbox.counts);
        while hour < day.len() && started.elapsed() >= Duration::from_millis(day[hour].0) {
            outbox.stage.smsc.set_faults(day[hour].1.clone());
            hour += 1;
        }
        outbox.claim();
        while let Ok(Some(event)) = timeout(Duration::from_millis(10), outbox.stage.events.recv()).await {
            outbox.hear(event);
        }
    }
    let Counts { created, pending, submitted, delivered, failed, uncertain, answers_lost, resent } = outbox.counts;
    assert_eq!((created, pending, submitted, failed, resent), (MESSAGES, 0, 0, 0, 0));
    assert!(uncertain >= 1 && answers_lost >= uncertain && delivered + uncertain == MESSAGES, "{:?}", outbox.counts);
    assert!(outbox.rejected.contains(&Rejected::DuplicateReceipt));
    let mut arrived = BTreeMap::<String, usize>::new();
    for message in outbox.stage.smsc.messages() {
        *arrived.entry(message.text).or_default() += 1;
    }
    assert!(arrived.values().all(|&times| times == 1), "a message was sent twice");
    assert!(arrived.len() as u64 >= delivered);
}
