//! `queues`: who waits.

use crate::{
    line::text,
    shape,
    world::{PATIENCE, run, until},
};
use hotline::sandbox::{citizens::Citizen, ua::Audio};
use serde_json::json;

#[test]
fn who_waits_is_shown_by_the_call_and_not_by_the_number() {
    run(|world| async move {
        let _agents = world.agents.lock().await;
        // Signed in, so that the queue takes callers, and not ready, so that they wait.
        let api = world.user("8017").await;
        api.put("/agents/8017/status", &json!({"status": "not_ready"})).await.ok(200);
        let queue = || async {
            let queues = shape::list(&api.get("/queues").await.ok(200), shape::QUEUE);
            // The private lane of 12388 is not shown to others.
            assert_eq!(queues.iter().map(|queue| text(queue, "queue")).collect::<Vec<_>>(), ["english", "general"]);
            queues[1].clone()
        };
        let before = queue().await;
        assert_eq!(before["waiting_count"], 0);
        let citizen = Citizen::new("13900009001", world.trunk).await.expect("a telephone");
        let call = citizen.dial("12345", Audio::Silence).await.expect("a call");
        call.answered_within(PATIENCE).await.expect("12345 answers");
        call.send_digits("0").await.expect("keys");
        let waiting = until("somebody who waits", || async {
            let queue = queue().await;
            (queue["waiting_count"] == 1).then_some(queue)
        })
        .await;
        let waiter = &waiting["waiting"][0];
        shape::of(waiter, "call:string position:number enqueued_at:time waited_ms:number");
        assert_eq!(waiter["position"], 1);
        assert_eq!(waiting["offered"].as_u64(), before["offered"].as_u64().map(|n| n + 1));
        assert!(!waiting.to_string().contains("13900009001"), "{waiting}");
        let shown = world.user("admin").await.get(&format!("/calls/{}", text(waiter, "call"))).await.ok(200);
        assert_eq!((&shown["state"], &shown["queue"]), (&json!("queued"), &json!("general")));
        call.hang_up().await;
        let after = until("an empty queue", || async {
            let queue = queue().await;
            (queue["waiting_count"] == 0).then_some(queue)
        })
        .await;
        assert_eq!(after["abandoned"].as_u64(), before["abandoned"].as_u64().map(|n| n + 1));
    });
}
