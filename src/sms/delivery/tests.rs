use super::*;
use proptest::prelude::*;

const T0: UnixMillis = UnixMillis(1_780_000_000_000);

fn at(seconds: u64) -> UnixMillis {
    T0.plus(Duration::from_secs(seconds))
}

fn accepted(part: u8, id: &str) -> Command {
    Command::Outcome { part, outcome: Outcome::Accepted { smsc_id: id.to_owned() } }
}

fn refused(part: u8, refusal: Refusal) -> Command {
    Command::Outcome { part, outcome: Outcome::Refused { refusal, status: 0x14 } }
}

fn lost(part: u8) -> Command {
    Command::Outcome { part, outcome: Outcome::Uncertain }
}

fn receipt(id: &str, state: ReceiptState) -> Command {
    Command::Receipt(Receipt { smsc_id: id.to_owned(), state, error: "000".to_owned() })
}

/// A message with its policy: commands read like the story.
struct Story {
    delivery: Delivery,
    policy: Policy,
    counts: Counts,
}

impl Story {
    fn new(parts: usize) -> Self {
        let mut counts = Counts::default();
        counts.created();
        Story { delivery: Delivery::new(parts, T0), policy: Policy::default(), counts }
    }

    fn then(&mut self, seconds: u64, command: Command) -> Vec<Event> {
        let (delivery, events) = self.delivery.apply(command, &self.policy, at(seconds)).unwrap();
        assert_eq!(delivery.version, self.delivery.version + 1);
        self.delivery = delivery;
        events.iter().for_each(|event| self.counts.note(event));
        assert!(self.counts.balanced());
        assert_eq!(self.counts.of(self.delivery.state), 1);
        events
    }

    fn refuses(&self, seconds: u64, command: Command) -> Rejected {
        self.delivery.apply(command, &self.policy, at(seconds)).unwrap_err()
    }
}

#[test]
fn pending_submitted_delivered_with_times() {
    let mut story = Story::new(2);
    assert_eq!(story.delivery.due(T0), Some(Command::Try));
    assert_eq!(story.then(0, Command::Try), [Event::Submit { parts: vec![0, 1] }]);
    assert_eq!(story.refuses(0, Command::Try), Rejected::Busy);
    assert_eq!(story.then(1, accepted(0, "a")), []);
    assert_eq!(story.delivery.state, State::Pending);
    let moved = Event::Moved { from: State::Pending, to: State::Submitted, at: at(2) };
    assert_eq!(story.then(2, accepted(1, "b")), [moved]);
    assert_eq!((story.delivery.submitted_at, story.delivery.attempts), (Some(at(2)), 1));
    assert_eq!(story.delivery.smsc_ids().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(story.delivery.due(at(100_000)), None);

    assert_eq!(story.refuses(3, receipt("b", ReceiptState::EnRoute)), Rejected::NotFinal);
    assert_eq!(story.then(3, receipt("b", ReceiptState::Delivered)), []);
    assert_eq!(story.refuses(4, receipt("b", ReceiptState::Delivered)), Rejected::DuplicateReceipt);
    assert_eq!(story.refuses(4, receipt("b", ReceiptState::Undeliverable)), Rejected::DuplicateReceipt);
    assert_eq!(story.refuses(4, receipt("x", ReceiptState::Delivered)), Rejected::UnknownReceipt);
    story.then(5, receipt("a", ReceiptState::Delivered));
    assert_eq!((story.delivery.state, story.delivery.since), (State::Delivered, at(5)));
    assert_eq!(story.refuses(6, Command::Requeue), Rejected::WrongState(State::Delivered));
}

#[test]
fn a_receipt_of_one_part_may_come_before_the_other_part_is_taken() {
    let mut story = Story::new(2);
    story.then(0, Command::Try);
    story.then(1, accepted(0, "a"));
    story.then(1, receipt("a", ReceiptState::Delivered));
    assert_eq!(story.delivery.state, State::Pending);
    story.then(2, accepted(1, "b"));
    assert_eq!(story.delivery.state, State::Submitted);
    story.then(2, receipt("b", ReceiptState::Delivered));
    assert_eq!(story.delivery.state, State::Delivered);
}

#[test]
fn retries_follow_the_schedule_then_the_dead_letter() {
    let mut story = Story::new(1);
    let mut clock = 0;
    for delay in [10, 30, 120, 600, 3600, 3600, 3600] {
        story.then(clock, Command::Try);
        let events = story.then(clock, refused(0, Refusal::Temporary));
        assert_eq!(events, [Event::RetryAt(at(clock + delay))]);
        assert_eq!(story.refuses(clock + delay - 1, Command::Try), Rejected::NotDue);
        clock += delay;
    }
    story.then(clock, Command::Try);
    story.then(clock, refused(0, Refusal::Temporary));
    assert_eq!(story.delivery.state, State::Failed);
    assert_eq!(story.delivery.failure, Some(Failure::Attempts { attempts: 8, status: 0x14 }));
    // A person takes it up again.
    story.then(clock + 1, Command::Requeue);
    assert_eq!((story.delivery.state, story.delivery.attempts), (State::Pending, 0));
    story.then(clock + 1, Command::Try);
    story.then(clock + 1, accepted(0, "a"));
    assert_eq!(story.delivery.state, State::Submitted);
}

#[test]
fn throttling_and_a_closed_link_do_not_count() {
    let mut story = Story::new(1);
    for round in 0..50 {
        let refusal = if round % 2 == 0 { Refusal::Throttled } else { Refusal::NotSent };
        story.then(round * 10, Command::Try);
        assert_eq!(story.then(round * 10, refused(0, refusal)), [Event::RetryAt(at(round * 10 + 10))]);
    }
    assert_eq!((story.delivery.state, story.delivery.attempts), (State::Pending, 0));
    // Not for ever, though.
    story.then(48 * 3600 + 1, Command::Try);
    assert_eq!((story.delivery.state, &story.delivery.failure), (State::Failed, &Some(Failure::TooOld)));
}

#[test]
fn a_refusal_for_good_and_a_bad_receipt_fail_the_message() {
    let mut story = Story::new(2);
    story.then(0, Command::Try);
    story.then(0, refused(0, Refusal::Permanent));
    assert_eq!(story.delivery.state, State::Pending);
    story.then(0, accepted(1, "b"));
    assert_eq!((story.delivery.state, &story.delivery.failure), (State::Failed, &Some(Failure::Refused(0x14))));
    // A receipt of the part that went is noted and changes nothing.
    assert_eq!(story.then(1, receipt("b", ReceiptState::Delivered)), []);

    let mut story = Story::new(1);
    story.then(0, Command::Try);
    story.then(0, accepted(0, "a"));
    story.then(9, receipt("a", ReceiptState::Expired));
    assert_eq!(story.delivery.state, State::Failed);
    assert!(story.delivery.error().unwrap().contains("expired"));
}

#[test]
fn only_what_was_not_taken_is_sent_again() {
    let mut story = Story::new(3);
    story.then(0, Command::Try);
    story.then(0, accepted(0, "a"));
    story.then(0, refused(1, Refusal::Temporary));
    story.then(0, accepted(2, "c"));
    assert_eq!(story.delivery.state, State::Pending);
    assert_eq!(story.then(10, Command::Try), [Event::Submit { parts: vec![1] }]);
    story.then(10, accepted(1, "b"));
    assert_eq!(story.delivery.state, State::Submitted);
}

#[test]
fn a_lost_answer_is_held_until_something_ends_the_doubt() {
    let mut story = Story::new(1);
    story.then(0, Command::Try);
    story.then(10, lost(0));
    assert_eq!((story.delivery.state, story.delivery.next_try), (State::Uncertain, None));
    assert_eq!((story.counts.answers_lost, story.counts.resent), (1, 0));
    assert_eq!(story.refuses(20, Command::Try), Rejected::NotDue);
    let mut late = Story { delivery: story.delivery.clone(), policy: Policy::default(), counts: story.counts };
    late.then(15, accepted(0, "a"));
    assert_eq!(late.delivery.state, State::Submitted);

    story.then(30, Command::Resend);
    assert_eq!(story.delivery.state, State::Uncertain);
    story.then(30, Command::Try);
    assert_eq!((story.delivery.state, story.counts.resent), (State::Pending, 1));
    story.then(30, accepted(0, "b"));
    assert_eq!(story.delivery.state, State::Submitted);
}

#[test]
fn resend_once_means_once() {
    let mut story = Story::new(1);
    story.policy.on_uncertain = OnUncertain::ResendOnce;
    story.then(0, Command::Try);
    let events = story.then(10, lost(0));
    assert!(events.contains(&Event::RetryAt(at(20))), "{events:?}");
    assert_eq!(story.delivery.state, State::Uncertain);
    assert_eq!(story.then(20, Command::Try)[0], Event::Resent { parts: 1 });
    story.then(30, lost(0));
    assert_eq!((story.delivery.state, story.delivery.next_try), (State::Uncertain, None));
    assert_eq!((story.delivery.resends, story.counts.answers_lost), (1, 2));
}

#[test]
fn a_try_whose_process_died_is_uncertain_not_pending() {
    let mut story = Story::new(2);
    story.then(0, Command::Try);
    story.then(1, accepted(0, "a"));
    assert_eq!(story.delivery.due(at(59)), None);
    assert_eq!(story.delivery.due(at(60)), Some(Command::Lost));
    story.then(60, Command::Lost);
    assert_eq!(story.delivery.state, State::Uncertain);
    assert_eq!(story.delivery.parts[1], Part::Uncertain);
    story.then(61, Command::Withdraw);
    assert_eq!(story.delivery.failure, Some(Failure::Withdrawn));
}

#[test]
fn it_is_stored_and_read_back() {
    let mut story = Story::new(2);
    story.then(0, Command::Try);
    story.then(1, accepted(0, "a"));
    let json = serde_json::to_string(&story.delivery).unwrap();
    assert_eq!(serde_json::from_str::<Delivery>(&json).unwrap(), story.delivery);
    for state in State::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    let policy: Policy = toml::from_str("retry_s = [1, 2]\non_uncertain = \"resend_once\"").unwrap();
    assert_eq!((policy.delay(1), policy.delay(9)), (Duration::from_secs(1), Duration::from_secs(2)));
}

#[test]
fn early_receipts_wait_are_matched_once_and_bounded() {
    let delivered = |id: &str| Receipt { smsc_id: id.into(), state: ReceiptState::Delivered, error: "000".into() };
    let mut early = EarlyReceipts::new(2, Duration::from_secs(60));
    early.keep(Receipt { state: ReceiptState::EnRoute, ..delivered("a") }, T0);
    early.keep(delivered("a"), T0);
    early.keep(Receipt { state: ReceiptState::Expired, ..delivered("a") }, T0);
    assert_eq!(early.take("a"), Some(delivered("a")));
    assert_eq!(early.take("a"), None);
    for id in ["b", "c", "d"] {
        early.keep(delivered(id), at(1));
    }
    assert_eq!((early.len(), early.take("b")), (2, None));
    early.keep(delivered("e"), at(62));
    assert_eq!((early.len(), early.take("d")), (1, None));
    for round in 0..1000 {
        early.keep(delivered(&round.to_string()), at(63));
        early.take(&round.to_string());
    }
    assert!(early.order.len() <= 6);
}

fn any_command() -> impl Strategy<Value = Command> {
    let id = prop_oneof![Just("a"), Just("b"), Just("c"), Just("x")];
    let refusal = prop_oneof![
        Just(Refusal::Temporary),
        Just(Refusal::Permanent),
        Just(Refusal::Throttled),
        Just(Refusal::NotSent)
    ];
    let state = (0u8..10).prop_map(|code| ReceiptState::from_code(code).unwrap_or(ReceiptState::Delivered));
    prop_oneof![
        4 => Just(Command::Try),
        4 => (0u8..4, id.clone()).prop_map(|(part, id)| accepted(part, id)),
        2 => (0u8..4, refusal).prop_map(|(part, refusal)| refused(part, refusal)),
        2 => (0u8..4).prop_map(lost),
        4 => (id, state).prop_map(|(id, state)| receipt(id, state)),
        1 => Just(Command::Lost),
        1 => Just(Command::Resend),
        1 => Just(Command::Requeue),
        1 => Just(Command::Withdraw),
    ]
}

proptest! {
    /// Invariant I5: created = pending + submitted + delivered + failed + uncertain, at every moment; the events
    /// alone keep the same books as the rows.
    #[test]
    fn the_books_balance(
        parts in proptest::collection::vec(1usize..4, 1..6),
        steps in proptest::collection::vec((any::<proptest::sample::Index>(), any_command(), 0u64..5000), 0..120),
        resend: bool,
    ) {
        let on_uncertain = if resend { OnUncertain::ResendOnce } else { OnUncertain::Hold };
        let policy = Policy { on_uncertain, ..Policy::default() };
        let mut messages: Vec<Delivery> = parts.iter().map(|&parts| Delivery::new(parts, T0)).collect();
        let mut counts = Counts::default();
        messages.iter().for_each(|_| counts.created());
        let mut clock = 0;
        for (which, command, pause) in steps {
            clock += pause;
            let at_message = which.index(messages.len());
            let message = &messages[at_message];
            if let Ok((next, events)) = message.apply(command, &policy, at(clock)) {
                events.iter().for_each(|event| counts.note(event));
                prop_assert_eq!(next.version, message.version + 1);
                // What is on its way is pending or a dead letter's remains; what rests knows when it goes on.
                if next.trying_since.is_some() {
                    prop_assert_eq!(next.state, State::Pending);
                }
                if next.state == State::Pending {
                    prop_assert!(next.next_try.is_some(), "a pending message without a next try is forgotten");
                }
                if matches!(next.state, State::Delivered | State::Failed | State::Submitted) {
                    prop_assert_eq!(next.next_try, None);
                }
                prop_assert_eq!(next.state == State::Failed, next.failure.is_some());
                messages[at_message] = next;
            }
            prop_assert!(counts.balanced());
            for state in State::ALL {
                prop_assert_eq!(counts.of(state), messages.iter().filter(|m| m.state == state).count() as u64);
            }
        }
    }
}
