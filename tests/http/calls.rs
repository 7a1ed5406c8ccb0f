//! `calls`: in progress and past, and what may be done with one in progress.

use crate::{
    line::{Line, text},
    shape,
    stream::Stream,
    world::{PATIENCE, World, run, until},
};
use hotline::{
    app::calls::row_of,
    call::cdr::{CallRecord, StateName},
    clock::UnixMillis,
    ids::CallId,
    sandbox::departments::Opening,
};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

#[test]
fn a_call_in_progress_is_shown_to_those_who_may_see_it() {
    run(|world| async move {
        let other = world.user("8008").await;
        let mut own = Stream::open(&world.user("8007").await, None).await;
        let line = Line::open(world, "8007", "13900007001").await;
        let answer = line.api.get(&line.path("")).await;
        let call = answer.ok(200);
        shape::of(&call, shape::CALL);
        call["legs"].as_array().expect("legs").iter().for_each(|leg| shape::of(leg, shape::LEG));
        assert_eq!(
            (&call["from"], &call["dialled"], &call["keys"]),
            (&json!("139****7001"), &json!("12345"), &json!("0"))
        );
        assert_eq!((&call["agent"], &call["queue"]), (&json!("8007"), &json!("general")));
        assert_eq!(
            (&call["ticket_no"], &call["sip_call_id"]),
            (&json!(line.ticket), &json!(line.citizen.sip_call_id()))
        );
        assert!(!answer.text().contains("13900007001"));
        for field in ["answered_at", "enqueued_at", "served_at", "queue_wait_ms", "recording"] {
            assert!(!call[field].is_null(), "{field}");
        }
        let id = &line.id;
        let listed = |list: Value| shape::list(&list, shape::CALL).iter().any(|call| call["id"] == *id);
        for query in
            ["state=live", "state=talking", "from=13900007001", "agent=8007", "state=live&agent=8007", "limit=500"]
        {
            assert!(listed(line.api.get(&format!("/calls?{query}")).await.ok(200)), "{query}");
        }
        for query in ["state=ended&limit=500", "from=139****7001", "from=13900007001&agent=8008", "sip_call_id=x"] {
            assert!(!listed(line.api.get(&format!("/calls?{query}")).await.ok(200)), "{query}");
        }
        other.get(&line.path("")).await.problem(404, "not-found");
        assert!(!listed(other.get("/calls?limit=500").await.ok(200)), "not in another agent's list");
        for user in ["admin", "9001", "dispatcher", "auditor"] {
            assert_eq!(world.user(user).await.get(&line.path("")).await.ok(200)["id"], *id);
        }
        let told = own.wait("call", |data| data["id"] == *id && data["state"] == "talking").await;
        shape::of(&told.data, shape::CALL);
        assert!(!told.data.to_string().contains("13900007001"));
        assert_eq!(line.api.get(&format!("/tickets?call={id}")).await.ok(200)["items"][0]["no"], line.ticket);
        line.close().await;
    });
}

#[test]
fn a_number_is_revealed_for_a_reason_that_is_kept() {
    run(|world| async move {
        let line = Line::open(world, "8006", "13900007002").await;
        let (path, api) = (line.path("/reveal"), &line.api);
        for reason in ["", "  "] {
            let detail = api.post(&path, &json!({"reason": reason})).await.problem(400, "bad-request");
            assert!(detail.contains("reason"), "{detail}");
        }
        api.post(&path, &json!({})).await.problem(400, "bad-request");
        world.user("8008").await.post(&path, &json!({"reason": "核实"})).await.problem(404, "not-found");
        let revealed = api.post(&path, &json!({"reason": "回拨核实地址"})).await.ok(200);
        assert_eq!(revealed, json!({"from": "13900007002"}));
        let rows = world.app.store.audit_list(&hotline::store::Page::default()).await.expect("the log").items;
        let rows: Vec<_> = rows.iter().filter(|row| row.action == "call.reveal" && row.object == line.id).collect();
        assert_eq!(rows.len(), 1, "those who were refused revealed nothing");
        assert_eq!((rows[0].actor.as_str(), rows[0].detail.as_str()), ("8006", "回拨核实地址"));
        line.close().await;
    });
}

#[test]
fn hold_keys_and_the_recording_are_the_agents() {
    run(|world| async move {
        let line = Line::open(world, "8005", "13900007003").await;
        let api = &line.api;
        for user in ["8008", "dispatcher", "auditor"] {
            world.user(user).await.poke(&line.path("/hold")).await.problem(403, "forbidden");
            world.user(user).await.post(&line.path("/drop"), &json!({})).await.problem(403, "forbidden");
        }
        api.poke(&line.path("/unhold")).await.problem(409, "not-held");
        let keyed = api.with("idempotency-key", "hold-once");
        let held = keyed.poke(&line.path("/hold")).await.ok(200);
        shape::of(&held, shape::CALL);
        assert_eq!(held["state"], "held");
        assert_eq!(keyed.poke(&line.path("/hold")).await.ok(200), held, "a repeated key repeats the answer");
        let detail = api.poke(&line.path("/hold")).await.problem(409, "already-held");
        assert!(detail.contains("保持"), "{detail}");
        // A supervisor may do what the agent may.
        assert_eq!(world.user("9001").await.poke(&line.path("/unhold")).await.ok(200)["state"], "talking");
        for digits in ["", "12a", &"1".repeat(33)] {
            api.post(&line.path("/digits"), &json!({"digits": digits})).await.problem(409, "bad-digits");
        }
        api.post(&line.path("/digits"), &json!({"digits": "5#"})).await.ok(200);
        line.citizen.hears(PATIENCE, "the keys", |heard| heard.digits.ends_with("5#")).await.expect("the keys");
        for verb in ["record-pause", "record-resume"] {
            assert_eq!(api.poke(&line.path(&format!("/{verb}"))).await.ok(200)["state"], "talking");
        }
        for verb in ["merge", "leave"] {
            api.poke(&line.path(&format!("/{verb}"))).await.problem(409, "no-department");
        }
        api.post(&line.path("/drop"), &json!({})).await.problem(409, "no-department");
        let legs = api.get(&line.path("")).await.ok(200)["legs"].clone();
        let citizen = legs.as_array().expect("legs").iter().find(|leg| leg["role"] == "citizen").expect("one").clone();
        api.post(&line.path("/drop"), &json!({"leg": citizen["id"]})).await.problem(409, "citizen-not-dropped");
        api.post(&line.path("/drop"), &json!({"leg": "1"})).await.problem(409, "no-such-leg");
        api.post(&line.path("/drop"), &json!({"leg": "x"})).await.problem(404, "not-found");
        line.close().await;
    });
}

#[test]
fn a_department_is_consulted_merged_and_dropped() {
    run(|world| async move {
        world.departments.set("12330", Opening::Answered, Some(900.0)).await.expect("a department");
        let line = Line::open(world, "8004", "13900007004").await;
        let api = &line.api;
        let consult = json!({"hotline": "12330", "consult": true});
        let mut events = Stream::open(api, None).await;
        let mut rings = world.departments.calls();
        let consulting = api.post(&line.path("/three-way"), &consult).await.ok(200);
        assert_eq!(consulting["state"], "consulting");
        shape::of(&consulting["three_way"][0], shape::THREE_WAY);
        api.post(&line.path("/three-way"), &consult).await.problem(409, "department-present");
        let id = &line.id;
        events.wait("call_event", |data| data["call"] == *id && data.to_string().contains("12330")).await;
        let department = rings.recv().await.expect("the department rings");
        department.answered_within(PATIENCE).await.expect("an answer");
        let answered = until("the department's answer", || async {
            let call = api.get(&line.path("")).await.ok(200);
            (call["three_way"][0]["outcome"] == "answered").then_some(call)
        })
        .await;
        let leg = answered["legs"].as_array().expect("legs").iter().find(|leg| leg["role"] == "department").cloned();
        assert_eq!(leg.expect("the department's leg")["hotline"], "12330");
        // The department hears first that the call is recorded.
        api.poke(&line.path("/merge")).await.ok(200);
        line.in_state("three_way").await;
        assert_eq!(api.post(&line.path("/drop"), &json!({})).await.ok(200)["state"], "talking");
        department.wait_ended().await;
        line.close().await;
    });
}

#[test]
fn the_agent_leaves_and_a_supervisor_hangs_up() {
    run(|world| async move {
        world.departments.set("12330", Opening::Answered, Some(900.0)).await.expect("a department");
        let line = Line::open(world, "8003", "13900007005").await;
        let mut rings = world.departments.calls();
        line.api.post(&line.path("/three-way"), &json!({"hotline": "12330"})).await.ok(200);
        line.api.poke(&line.path("/leave")).await.problem(409, "department-not-answered");
        let department = rings.recv().await.expect("the department rings");
        let joined = line.in_state("three_way").await;
        assert!(joined["three_way"][0]["joined_at"].is_string(), "{joined}");
        assert_eq!(line.api.poke(&line.path("/leave")).await.ok(200)["state"], "handed_over");
        line.agent_call.wait_ended().await;
        let supervisor = world.user("9001").await;
        supervisor.poke(&line.path("/hangup")).await.ok(200);
        line.citizen.wait_ended().await;
        department.wait_ended().await;
        let ended = line.in_state("ended").await;
        shape::of(&ended, shape::CALL);
        assert!(ended["ended_at"].is_string() && ended["ending"].is_object(), "{ended}");
        // As long as it is shown from memory, and from the database later.
        supervisor.poke(&line.path("/hangup")).await.problem(409, "call-over");
        until("the call in the database alone", || async {
            world.app.live.call(line.id.parse().expect("an id")).is_none().then_some(())
        })
        .await;
        supervisor.poke(&line.path("/hold")).await.problem(409, "call-over");
        supervisor.post(&line.path("/drop"), &json!({})).await.problem(409, "call-over");
        let stored = line.api.get(&line.path("")).await.ok(200);
        assert_eq!((&stored["state"], &stored["ticket_no"]), (&json!("ended"), &json!(line.ticket)));
        // The agent may stretch the wrap-up and end it.
        let path = "/agents/8003/wrap-up";
        let longer = line.api.post(path, &json!({"extend_s": 600})).await.ok(200);
        assert_eq!((&longer["state"], longer["wrap_up_until"].is_string()), (&json!("wrap_up"), true));
        assert_eq!(line.api.post(path, &json!({"extend_s": 0})).await.ok(200)["state"], "idle");
        line.close().await;
    });
}

#[test]
fn a_hotline_that_cannot_be_joined_leaves_the_two_talking() {
    run(|world| async move {
        let line = Line::open(world, "8002", "13900007006").await;
        let refused = [("12319", "merged"), ("12388", "separate"), ("12320", "unknown"), ("99999", "unknown")];
        for (at, (hotline, outcome)) in refused.into_iter().enumerate() {
            line.api.post(&line.path("/three-way"), &json!({"hotline": hotline})).await.ok(200);
            let call = line.in_state("talking").await;
            assert_eq!(call["three_way"][at]["outcome"], outcome, "{hotline}: {call}");
        }
        line.close().await;
    });
}

#[test]
fn what_is_no_call_is_not_found() {
    run(|world| async move {
        let admin = world.user("admin").await;
        for id in ["1", "abc", "-1"] {
            admin.get(&format!("/calls/{id}")).await.problem(404, "not-found");
            for verb in ["hold", "unhold", "merge", "leave", "hangup", "record-pause", "record-resume"] {
                admin.poke(&format!("/calls/{id}/{verb}")).await.problem(404, "not-found");
            }
            for (verb, body) in [
                ("drop", json!({})),
                ("digits", json!({"digits": "1"})),
                ("three-way", json!({"hotline": "12330"})),
                ("reveal", json!({"reason": "核实"})),
            ] {
                admin.post(&format!("/calls/{id}/{verb}"), &body).await.problem(404, "not-found");
            }
        }
    });
}

/// A call of the past, straight into the database.
async fn past(world: &World, from: &str, started_at: i64) -> String {
    let id = CallId(world.app.store.new_id());
    let at = UnixMillis(started_at);
    let record = CallRecord {
        from: from.to_owned(),
        dialled: "12345".to_owned(),
        state: StateName::Ended,
        answered_at: Some(at),
        ended_at: Some(at),
        ..CallRecord::begun(id, format!("past-{id}"), at)
    };
    world.app.store.call_upsert(row_of(&record).expect("a row")).await.expect("written");
    id.to_string()
}

#[test]
fn pages_hold_each_call_once_in_progress_or_over() {
    run(|world| async move {
        let number = "13900007007";
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_millis() as i64;
        let mut ids = Vec::new();
        for n in 0..6 {
            // Two at the same moment, too.
            ids.push(past(world, number, now - 60_000 + n / 2 * 1000).await);
        }
        let line = Line::open(world, "8001", number).await;
        ids.push(line.id.clone());
        ids.reverse();
        let admin = world.user("admin").await;
        for limit in [1, 2, 3, 7, 500] {
            let walked = admin.walk(&format!("/calls?from={number}"), limit).await;
            let walked: Vec<_> = walked.iter().map(|call| text(call, "id")).collect();
            assert_eq!(walked, ids, "the newest first, in pages of {limit}");
        }
        // It ends between two pages.
        let first = admin.get(&format!("/calls?from={number}&limit=1")).await.ok(200);
        let id = line.id.clone();
        line.close().await;
        until("the call in the database alone", || async {
            world.app.live.call(id.parse().expect("an id")).is_none().then_some(())
        })
        .await;
        let cursor = text(&first, "next_cursor");
        let second = admin.get(&format!("/calls?from={number}&limit=1&cursor={cursor}")).await.ok(200);
        assert_eq!((&first["items"][0]["id"], &second["items"][0]["id"]), (&json!(ids[0]), &json!(ids[1])));
        tokio::time::timeout(Duration::from_secs(5), admin.walk("/calls", 3)).await.expect("all pages");
    });
}
