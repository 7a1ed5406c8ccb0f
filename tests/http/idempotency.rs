//! `Idempotency-Key`: one mechanism for every POST; and the housekeeping that forgets keys.

use crate::{
    ask::{Answer, Client},
    line::text,
    tickets::{matter, registered},
    world::{World, run, until},
};
use hotline::{clock::UnixMillis, store::idempotency::Idempotent};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::{Duration, SystemTime},
};

fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    UnixMillis(now.as_millis() as i64)
}

/// The hash that names a POST without query, as the layer is documented to make it.
fn hash(path: &str, body: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["POST", path, "", body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

fn sms(to: &str) -> Value {
    json!({"to": to, "text": "一次"})
}

async fn sent(api: &Client, to: &str) -> usize {
    let all = api.walk("/messages", 500).await;
    let masked = format!("{}****{}", &to[..3], &to[7..]);
    all.iter().filter(|message| message["to"] == masked).count()
}

#[test]
fn a_repeated_key_repeats_the_answer_and_does_nothing() {
    run(|world| async move {
        let api = world.user("8001").await;
        let keyed = api.with("idempotency-key", "repeat-1");
        let first = keyed.post("/messages", &sms("13900006001")).await;
        let second = keyed.post("/messages", &sms("13900006001")).await;
        assert_eq!(first.ok(201), second.ok(201));
        assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), ("", "true"));
        assert_eq!(sent(&api, "13900006001").await, 1);
        // Without the key it is another message.
        let third = api.post("/messages", &sms("13900006001")).await.ok(201);
        assert_ne!(third["id"], first.ok(201)["id"]);
        assert_eq!(sent(&api, "13900006001").await, 2);
    });
}

#[test]
fn a_repeated_command_is_carried_out_once() {
    run(|world| async move {
        let api = world.user("dispatcher").await;
        let body = json!({"citizen": {"number": "13900006002"}, "matter": matter("一次")});
        let keyed = api.with("idempotency-key", "ticket-1");
        let no = text(&keyed.post("/tickets", &body).await.ok(201), "no");
        assert_eq!(text(&keyed.post("/tickets", &body).await.ok(201), "no"), no);
        assert_eq!(api.walk("/tickets?number=13900006002", 10).await.len(), 1);
        let path = format!("/tickets/{no}/commands");
        let dispatch = json!({"command": "dispatch", "lead": "101"});
        let keyed = api.with("idempotency-key", "dispatch-1");
        let first = keyed.post(&path, &dispatch).await.ok(200);
        assert_eq!(keyed.post(&path, &dispatch).await.ok(200), first);
        api.post(&path, &dispatch).await.problem(409, "ticket_state");
    });
}

#[test]
fn a_refusal_is_repeated_too() {
    run(|world| async move {
        let api = world.user("dispatcher").await;
        let no = registered(&api, "13900006003").await;
        let path = format!("/tickets/{no}/commands");
        let keyed = api.with("idempotency-key", "refused-1");
        let close = json!({"command": "close"});
        let first = keyed.post(&path, &close).await;
        let detail = first.problem(409, "ticket_state");
        api.post(&path, &json!({"command": "withdraw"})).await.ok(200);
        let second = keyed.post(&path, &close).await;
        assert_eq!(second.problem(409, "ticket_state"), detail, "as it was then");
        assert_eq!(second.header("idempotency-replayed"), "true");
        let bad = api.with("idempotency-key", "bad-1");
        for replayed in ["", "true"] {
            let answer = bad.post("/messages", &sms("12")).await;
            answer.problem(400, "bad-request");
            assert_eq!(answer.header("idempotency-replayed"), replayed);
        }
    });
}

#[test]
fn a_key_names_one_request_of_one_user() {
    run(|world| async move {
        let api = world.user("8001").await.with("idempotency-key", "mine");
        api.post("/messages", &sms("13900006004")).await.ok(201);
        let detail = api.post("/messages", &sms("13900006005")).await.problem(422, "idempotency-mismatch");
        assert!(detail.contains("Idempotency-Key"), "{detail}");
        api.post("/messages?x=1", &sms("13900006004")).await.problem(422, "idempotency-mismatch");
        let elsewhere = json!({"citizen": {}, "matter": matter("x")});
        api.post("/tickets", &elsewhere).await.problem(422, "idempotency-mismatch");
        let other = world.user("8002").await.with("idempotency-key", "mine");
        let theirs = other.post("/messages", &sms("13900006004")).await;
        theirs.ok(201);
        assert_eq!(theirs.header("idempotency-replayed"), "");
        assert_eq!(sent(&api, "13900006005").await, 0);
    });
}

#[test]
fn many_at_once_are_one() {
    run(|world| async move {
        let api = world.user("8001").await;
        let keyed = api.with("idempotency-key", "storm");
        let body = json!({"citizen": {"number": "13900006006"}, "matter": matter("同时")});
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (keyed, body) = (keyed.clone(), body.clone());
                tokio::spawn(async move { keyed.post("/tickets", &body).await })
            })
            .collect();
        let mut numbers = Vec::new();
        for task in tasks {
            let answer = task.await.expect("an answer");
            match answer.status {
                201 => numbers.push(text(&answer.ok(201), "no")),
                _ => drop(answer.problem(409, "idempotency-in-progress")),
            }
        }
        assert!(!numbers.is_empty());
        numbers.dedup();
        assert_eq!(numbers.len(), 1);
        assert_eq!(api.walk("/tickets?number=13900006006", 10).await.len(), 1);
    });
}

/// A row without an answer, as a request leaves it that is still worked on, or whose program ended.
async fn begun(world: &World, key: &str, body: &Value, at: UnixMillis) {
    let hash = hash("/messages", &body.to_string());
    let begun = world.app.store.idempotency_begin("8001", key, &hash, at).await.expect("a row");
    assert_eq!(begun, Idempotent::New);
}

#[test]
fn an_unanswered_request_is_in_progress_or_unknown() {
    run(|world| async move {
        let api = world.user("8001").await;
        let body = sms("13900006007");
        begun(world, "running", &body, now()).await;
        let running = api.with("idempotency-key", "running").post("/messages", &body).await;
        running.problem(409, "idempotency-in-progress");
        let before = UnixMillis(world.app.started.wall.0 - 1);
        begun(world, "unknown", &body, before).await;
        let unknown = api.with("idempotency-key", "unknown").post("/messages", &body).await;
        let detail = unknown.problem(409, "idempotency-unknown");
        assert!(detail.contains("查询") && detail.contains("新的 Idempotency-Key"), "{detail}");
        assert_eq!(sent(&api, "13900006007").await, 0);
        world.app.store.idempotency_finish("8001", "running", 201, "{\"id\":\"7\"}").await.expect("kept");
        let answered = api.with("idempotency-key", "running").post("/messages", &body).await;
        assert_eq!(answered.ok(201), json!({"id": "7"}));
    });
}

#[test]
fn what_was_not_allowed_may_be_tried_again() {
    run(|world| async move {
        let auditor = world.user("auditor").await.with("idempotency-key", "again");
        for _ in 0..2 {
            let answer = auditor.post("/messages", &sms("13900006008")).await;
            answer.problem(403, "forbidden");
            assert_eq!(answer.header("idempotency-replayed"), "");
        }
        let free = world.app.store.idempotency_begin("auditor", "again", "any", now()).await;
        assert_eq!(free.expect("a row"), Idempotent::New, "the key is free again");
        let stranger = world.stranger().with("idempotency-key", "again");
        stranger.post("/messages", &sms("13900006008")).await.problem(401, "unauthorized");
    });
}

#[test]
fn a_key_of_a_read_means_nothing() {
    run(|world| async move {
        let api = world.user("8001").await.with("idempotency-key", "read");
        for path in ["/agents", "/units", "/agents"] {
            let answer = api.get(path).await;
            answer.ok(200);
            assert_eq!(answer.header("idempotency-replayed"), "");
        }
        api.post("/messages", &sms("13900006009")).await.ok(201);
    });
}

#[test]
fn keys_are_bounded() {
    run(|world| async move {
        let api = world.user("8001").await;
        for key in [String::new(), "x".repeat(256), "a b".to_owned(), "a\tb".to_owned()] {
            let answer = api.with("idempotency-key", &key).post("/messages", &sms("13900006010")).await;
            answer.problem(400, "bad-request");
        }
        let two = api.with("idempotency-key", "a").with("idempotency-key", "b");
        two.post("/messages", &sms("13900006010")).await.problem(400, "bad-request");
        assert_eq!(sent(&api, "13900006010").await, 0);
        let longest = api.with("idempotency-key", &"~".repeat(255));
        longest.post("/messages", &sms("13900006010")).await.ok(201);
    });
}

/// Gives up on an answer after looking for it so many times.
async fn hang_up_after(looks: usize, answer: impl Future<Output = Answer>) {
    let mut answer = Box::pin(answer);
    let mut looked = 0;
    poll_fn(|cx| {
        looked += 1;
        let done = answer.as_mut().poll(cx).is_ready() || looked >= looks;
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Wherever the first request is cut off, the second one ends what it began, once.
#[test]
fn who_hangs_up_leaves_no_half_done_key() {
    run(|world| async move {
        let api = world.user("8001").await;
        for looks in 1..=12 {
            let keyed = api.with("idempotency-key", &format!("hung-up-{looks}"));
            let number = format!("139000062{looks:02}");
            let body = json!({"citizen": {"number": number}, "matter": matter("挂断")});
            hang_up_after(looks, keyed.post("/tickets", &body)).await;
            let answer = until("an answer", || async {
                let answer = keyed.post("/tickets", &body).await;
                (answer.status != 409).then_some(answer)
            })
            .await;
            let no = text(&answer.ok(201), "no");
            let found = api.walk(&format!("/tickets?number={number}"), 10).await;
            assert_eq!(found.iter().map(|ticket| text(ticket, "no")).collect::<Vec<_>>(), [no], "cut off at {looks}");
        }
    });
}

#[test]
fn housekeeping_forgets_old_keys_and_sessions() {
    run(|world| async move {
        let store = &world.app.store;
        let day = Duration::from_secs(24 * 3600);
        let (old, young) = (now().0 - day.as_millis() as i64 - 60_000, now().0 - day.as_millis() as i64 + 60_000);
        for (key, at) in [("old", old), ("young", young)] {
            let begun = store.idempotency_begin("housekeeping", key, "h", UnixMillis(at)).await;
            assert_eq!(begun.expect("a row"), Idempotent::New);
        }
        store.session_create(&"auditor".into(), Duration::ZERO, UnixMillis(old)).await.expect("a session");
        let removed = world.app.keep_house(now()).await.expect("kept");
        assert!(removed.keys >= 1, "{removed:?}");
        let begin = |key: &'static str| store.idempotency_begin("housekeeping", key, "h", now());
        assert_eq!(begin("old").await.expect("a row"), Idempotent::New);
        assert_eq!(begin("young").await.expect("a row"), Idempotent::Running { since: UnixMillis(young) });
        world.user("admin").await.get("/sessions/current").await.ok(200);
    });
}
