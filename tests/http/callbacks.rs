//! `callbacks`: lost calls that are owed a call back.

use crate::{
    ask::Client,
    line::text,
    shape,
    world::{PATIENCE, World, run, until},
};
use hotline::sandbox::{citizens::Citizen, ua::Audio};
use serde_json::{Value, json};

const CALLBACK: &str = "id:string call:string number:string? queue:string enqueued_at:time owed_at:time reason:string \
                        state:string tries:number next_try_at:time claimed_by:string? claimed_until:time? \
                        settled_at:time?";

/// A citizen queues, gives up, and is owed a call.
async fn lost(world: &World, api: &Client, number: &str) -> Value {
    let citizen = Citizen::new(number, world.trunk).await.expect("a telephone");
    let call = citizen.dial("12345", Audio::Silence).await.expect("a call");
    call.answered_within(PATIENCE).await.expect("12345 answers");
    call.send_digits("0").await.expect("keys");
    until("somebody who waits", || async {
        let queues = api.get("/queues").await.ok(200);
        queues["items"].as_array().expect("queues").iter().any(|queue| queue["waiting_count"] == 1).then_some(())
    })
    .await;
    call.hang_up().await;
    let shown = format!("{}****{}", &number[..3], &number[number.len() - 4..]);
    until("a callback owed", || async {
        let owed = shape::list(&api.get("/callbacks?limit=500").await.ok(200), CALLBACK);
        owed.into_iter().find(|callback| callback["number"] == *shown)
    })
    .await
}

#[test]
fn one_agent_at_a_time_tries_until_the_person_is_reached() {
    run(|world| async move {
        let _agents = world.agents.lock().await;
        // Signed in, so that the queue takes callers, and not ready, so that they wait.
        let api = world.user("8018").await;
        api.put("/agents/8018/status", &json!({"status": "not_ready"})).await.ok(200);
        let other = world.user("8008").await;
        let owed = lost(world, &api, "13900008001").await;
        assert_eq!(
            (&owed["reason"], &owed["queue"], &owed["tries"]),
            (&json!("abandoned"), &json!("general"), &json!(0))
        );
        let path = |verb: &str| format!("/callbacks/{}/{verb}", text(&owed, "id"));
        let went = |outcome: &str| json!({"outcome": outcome, "note": "试拨"});

        api.post(&path("settle"), &went("reached")).await.problem(409, "callback-not-claimed");
        world.user("auditor").await.poke(&path("claim")).await.problem(403, "forbidden");
        let claimed = api.poke(&path("claim")).await.ok(200);
        assert_eq!((&claimed["call_number"], &claimed["claimed_by"]), (&json!("13900008001"), &json!("8018")));
        assert_eq!((&claimed["number"], &claimed["tries"]), (&json!("139****8001"), &json!(1)));
        assert_eq!(api.poke(&path("claim")).await.ok(200)["tries"], 1, "one's own is not taken on twice");
        other.poke(&path("claim")).await.problem(409, "callback-claimed");
        other.post(&path("settle"), &went("reached")).await.problem(403, "forbidden");
        let again = api.post(&path("settle"), &went("no_answer")).await.ok(200);
        assert_eq!((&again["state"], &again["settled_at"]), (&json!("owed"), &Value::Null));
        assert!(text(&again, "next_try_at") > text(&owed, "next_try_at"), "{again}");
        other.poke(&path("claim")).await.problem(409, "callback-too-early");

        let second = lost(world, &api, "13900008002").await;
        let path = |verb: &str| format!("/callbacks/{}/{verb}", text(&second, "id"));
        other.poke(&path("claim")).await.ok(200);
        // A supervisor may say it for an agent.
        let settled = world.user("9001").await.post(&path("settle"), &went("reached")).await.ok(200);
        shape::of(&settled, CALLBACK);
        assert_eq!(settled["state"], "settled");
        assert!(!settled["settled_at"].is_null());
        other.poke(&path("claim")).await.problem(409, "callback-settled");
        other.post(&path("settle"), &went("busy")).await.problem(409, "callback-settled");
        let listed = api.get("/callbacks?state=settled&limit=500").await.ok(200);
        assert!(shape::list(&listed, CALLBACK).iter().any(|callback| callback["id"] == second["id"]));

        let third = lost(world, &api, "13900008003").await;
        let path = |verb: &str| format!("/callbacks/{}/{verb}", text(&third, "id"));
        api.poke(&path("claim")).await.ok(200);
        assert_eq!(api.post(&path("settle"), &went("wrong_number")).await.ok(200)["state"], "given_up");
        api.poke(&path("claim")).await.problem(409, "callback-given-up");

        let rows = world.app.store.audit_list(&hotline::store::Page::default()).await.expect("the log").items;
        let done =
            |action: &str| rows.iter().filter(|row| row.action == action && row.object == text(&owed, "id")).count();
        assert_eq!(
            (done("callback.claim"), done("callback.settle")),
            (2, 1),
            "each number shown is kept, each try too"
        );
    });
}

#[test]
fn callbacks_are_for_those_who_call() {
    run(|world| async move {
        let api = world.user("8008").await;
        api.get("/callbacks?state=lost").await.problem(400, "bad-request");
        api.poke("/callbacks/9/claim").await.problem(404, "not-found");
        api.post("/callbacks/9/settle", &json!({"outcome": "reached"})).await.problem(404, "not-found");
        for user in ["unit101", "dispatcher"] {
            world.user(user).await.get("/callbacks").await.problem(403, "forbidden");
        }
    });
}
