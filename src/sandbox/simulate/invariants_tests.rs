use super::*;
use crate::sandbox::simulate::{
    books::{Leg, RecordingRow, TicketRow},
    protocol::End,
    server::Usage,
};

fn citizen(sip: &str, result: Result) -> CitizenCall {
    CitizenCall {
        sip_call_id: sip.into(),
        redial: 0,
        placed_at: 1_000,
        answered_at: Some(1_100),
        voice_at: None,
        ended_at: 60_000,
        result,
    }
}

/// A call that was answered at 1 s, came to the queue at `enqueued`, rang an agent at `rang` and was served a second later.
fn served(sip: &str, enqueued: i64, rang: i64) -> CallRow {
    let agent = Leg {
        role: "agent".into(),
        agent: "8001".into(),
        started_at: rang,
        answered_at: Some(rang + 1_000),
        ended_at: Some(rang + 31_000),
        what: "answered".into(),
        ..Leg::default()
    };
    CallRow {
        id: format!("id-{sip}"),
        sip_call_id: sip.into(),
        state: "ended".into(),
        answered_at: Some(1_000),
        queue: Some("general".into()),
        enqueued_at: Some(enqueued),
        served_at: Some(rang + 1_000),
        ended_at: Some(rang + 31_000),
        whose: "caller".into(),
        what: "answered".into(),
        legs: vec![agent],
        ..CallRow::default()
    }
}

fn evidence(calls: Vec<CallRow>) -> Evidence {
    let ticket = |call: &CallRow| TicketRow {
        no: format!("T-{}", call.id),
        state: "to_dispatch".into(),
        call: Some(call.id.clone()),
        primary: true,
    };
    let recording = |call: &CallRow| RecordingRow {
        id: format!("R-{}", call.id),
        call: call.id.clone(),
        state: "complete".into(),
        duration_ms: call.ended_at.unwrap() - call.served_at.unwrap(),
        shortened: false,
    };
    let answered = Result::Answered { end: End::Talked };
    Evidence {
        calls: calls.iter().map(|call| citizen(&call.sip_call_id, answered)).collect(),
        books: Books {
            tickets: calls.iter().map(ticket).collect(),
            recordings: calls.iter().filter(|call| call.served_at.is_some()).map(recording).collect(),
            calls,
            ..Books::default()
        },
        ports: Some((10, 10)),
        legs_left: Some(0),
        calls_left: Some(0),
        own: true,
        ..Evidence::default()
    }
}

/// The judgements that do not hold.
fn broken(evidence: &Evidence) -> Vec<&'static str> {
    judge(evidence).iter().filter(|verdict| verdict.holds == Some(false)).map(|verdict| verdict.name).collect()
}

#[test]
fn a_good_exercise_breaks_nothing() {
    let good = evidence(vec![served("a", 2_000, 5_000), served("b", 3_000, 6_000)]);
    assert!(broken(&good).is_empty(), "{:#?}", judge(&good));
}

#[test]
fn tickets_that_are_missing_doubled_or_lost_are_seen() {
    let mut missing = evidence(vec![served("a", 2_000, 5_000)]);
    missing.books.tickets.clear();
    assert_eq!(broken(&missing), ["I1"]);
    let mut doubled = evidence(vec![served("a", 2_000, 5_000)]);
    doubled.books.tickets.push(doubled.books.tickets[0].clone());
    assert_eq!(broken(&doubled), ["I1"]);
    let mut forgotten = evidence(vec![served("a", 2_000, 5_000)]);
    forgotten.registered.insert("T-id-a".into());
    assert!(broken(&forgotten).is_empty());
    forgotten.books.tickets[0].state = "draft".into();
    assert_eq!(broken(&forgotten), ["I1"]);
}

#[test]
fn who_is_overtaken_is_seen_and_who_rings_is_not() {
    // a came first and waits while b is offered.
    let overtaken = evidence(vec![served("a", 2_000, 9_000), served("b", 3_000, 6_000)]);
    assert_eq!(broken(&overtaken), ["I3"]);
    // a rings at an agent who does not answer, and then waits its turn.
    let mut ringing = overtaken.clone();
    let refused = Leg { role: "agent".into(), started_at: 5_000, ended_at: Some(8_500), ..Leg::default() };
    ringing.books.calls[0].legs.insert(0, Leg { what: "no_answer".into(), ..refused });
    assert!(broken(&ringing).is_empty(), "{:#?}", judge(&ringing));
    // Decided together: the records are some milliseconds apart.
    let together = evidence(vec![served("a", 2_000, 6_100), served("b", 3_000, 6_000)]);
    assert!(broken(&together).is_empty());
}

#[test]
fn recordings_that_do_not_fit_are_seen() {
    let mut short = evidence(vec![served("a", 2_000, 5_000)]);
    short.books.recordings[0].duration_ms -= 2_500;
    assert_eq!(broken(&short), ["I4"]);
    let mut killed = evidence(vec![served("a", 2_000, 5_000)]);
    killed.kills = vec![20_000];
    (killed.books.calls[0].whose, killed.books.calls[0].what) = ("us".into(), "lost".into());
    killed.books.calls[0].q850 = 41;
    killed.books.recordings[0].duration_ms = 20_000 - 6_000 - 1_500;
    assert_eq!(broken(&killed), ["I4"], "it does not say that it is short");
    killed.books.recordings[0].shortened = true;
    assert!(broken(&killed).is_empty());
    killed.books.recordings[0].duration_ms -= 1_000;
    assert_eq!(broken(&killed), ["I4"], "two seconds and a half are missing");
}

#[test]
fn sms_in_no_state_panics_and_open_endings_are_seen() {
    let mut sms = evidence(vec![]);
    sms.sms =
        SmsCounts { looks: 3, created: 5, by_state: BTreeMap::from([("pending".into(), 5)]), ..SmsCounts::default() };
    assert!(broken(&sms).is_empty());
    sms.sms.lost.insert("7".into());
    assert_eq!(broken(&sms), ["I5"]);
    let mut fallen = evidence(vec![]);
    fallen.panics.push("thread 'x' panicked at".into());
    assert_eq!(broken(&fallen), ["I6"]);
    let mut held = evidence(vec![]);
    held.ports = Some((9, 10));
    assert_eq!(broken(&held), ["I6"]);
    let mut open = evidence(vec![served("a", 2_000, 5_000)]);
    open.books.calls[0].legs[0].what.clear();
    assert_eq!(broken(&open), ["I7"]);
}

#[test]
fn memory_is_judged_after_the_tenth_minute_of_the_last_start() {
    let samples = |kb: &dyn Fn(u64) -> u64, minutes: u64| -> Vec<Sample> {
        let at = |n: u64| Duration::from_secs(n * 10);
        (0..minutes * 6)
            .map(|n| Sample { at: at(n), usage: Usage { resident_kb: kb(n), files: 9 }, start: 1 })
            .collect()
    };
    // It grows for ten minutes and is flat then.
    let flat = memory(&samples(&|n| 100_000 + n.min(60) * 1000, 30)).unwrap();
    assert!(flat.kb_a_minute.abs() < 1e-6 && (flat.least_kb, flat.most_kb) == (160_000, 160_000), "{flat:?}");
    // A hundred kB every ten seconds.
    let leak = memory(&samples(&|n| 100_000 + n * 100, 30)).unwrap();
    assert!((leak.kb_a_minute - 600.0).abs() < 1.0, "{leak:?}");
    let mut leaking = evidence(vec![]);
    leaking.samples = samples(&|n| 100_000 + n * 100, 30);
    assert_eq!(broken(&leaking), ["I6"]);
    assert_eq!(memory(&samples(&|_| 1, 11)), None, "too short");
    let mut killed = samples(&|_| 1, 30);
    killed.last_mut().unwrap().start = 2;
    assert_eq!(memory(&killed), None, "a new process has no history");
}
