//! The product's client against this SMS centre, over loopback.
#![allow(clippy::disallowed_methods)]

use super::*;
use crate::{
    ids::MessageId,
    net::sms::{CloseReason, GatewayConfig, SessionConfig, SmsEvent, SmsGateway, SubmitError, submits},
    sms::{
        delivery::{ReceiptState, Refusal},
        text::segment,
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
        timeout(Duration::from_secs(10), self.events.recv()).await.expect("no event in 10 s").expect("stopped")
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
                SmsEvent::Receipt { receipt, to } => {
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
