//! `tickets`: lists, one, new ones, and commands.

use crate::{ask::Client, line::text, shape, world::run};
use serde_json::{Value, json};

pub fn matter(title: &str) -> Value {
    json!({"title": title, "content": "小区楼下的井盖坏了,请派人维修。", "kind": "help", "district": "101"})
}

/// A registered ticket of a citizen; its number.
pub async fn registered(api: &Client, citizen: &str) -> String {
    let body = json!({"citizen": {"number": citizen, "name": "王女士"}, "matter": matter("井盖损坏")});
    text(&api.post("/tickets", &body).await.ok(201), "no")
}

async fn command(api: &Client, no: &str, body: Value) -> Value {
    api.post(&format!("/tickets/{no}/commands"), &body).await.ok(200)
}

#[test]
fn a_new_ticket_is_registered_and_its_citizen_masked() {
    run(|world| async move {
        let api = world.user("8001").await;
        let body = json!({
            "citizen": {"number": "13900003001", "contact": "13900003002", "name": "王女士"},
            "matter": matter("井盖损坏"),
        });
        let answer = api.post("/tickets", &body).await;
        let ticket = answer.ok(201);
        shape::of(&ticket, shape::TICKET);
        shape::of(&ticket["citizen"], shape::CITIZEN);
        assert_eq!(
            (&ticket["state"], &ticket["state_zh"], &ticket["class"], &ticket["channel"]),
            (&json!("to_dispatch"), &json!("待派单"), &json!("request"), &json!("web"))
        );
        assert_eq!((&ticket["agent"], &ticket["primary"]), (&json!("8001"), &json!(false)));
        assert_eq!(
            (&ticket["citizen"]["number"], &ticket["citizen"]["contact"]),
            (&json!("139****3001"), &json!("139****3002"))
        );
        assert!(!answer.text().contains("13900003001") && !answer.text().contains("13900003002"));
        let no = text(&ticket, "no");
        assert!(no.len() == 15 && no.bytes().all(|digit| digit.is_ascii_digit()), "{no} can be keyed");

        let one = api.get(&format!("/tickets/{no}")).await;
        let read = one.ok(200);
        shape::of(&read, shape::TICKET);
        assert!(!one.text().contains("13900003001"), "not in the history either: {}", one.text());
        let history = read["history"].as_array().expect("a history");
        history.iter().for_each(|event| shape::of(event, shape::HISTORY));
        let what: Vec<_> = history.iter().map(|event| event["state"].clone()).collect();
        assert_eq!(what, ["draft", "to_dispatch"]);
        let listed = shape::list(&api.get("/tickets?number=13900003001").await.ok(200), shape::TICKET);
        assert_eq!(listed.len(), 1);
    });
}

#[test]
fn a_refused_registration_leaves_nothing() {
    run(|world| async move {
        let api = world.user("8001").await;
        let citizen = json!({"number": "13900003003"});
        let empty = json!({"citizen": citizen, "matter": {"title": ""}});
        let detail = api.post("/tickets", &empty).await.problem(400, "bad-request");
        assert!(detail.contains("title"), "{detail}");
        for (body, word) in [
            (json!({"citizen": citizen, "matter": {"title": "x", "content": "y", "kind": "wish"}}), "wish"),
            (json!({"citizen": citizen, "matter": matter("x"), "channel": "pigeon"}), "pigeon"),
            (json!({"citizen": citizen, "matter": matter("x"), "call": "abc"}), "call"),
        ] {
            let detail = api.post("/tickets", &body).await.problem(400, "bad-request");
            assert!(detail.contains(word), "{detail}");
        }
        let beside = json!({"citizen": citizen, "matter": matter("x"), "call": "1"});
        api.post("/tickets", &beside).await.problem(409, "unknown_call");
        let split = json!({"citizen": citizen, "matter": matter("x"), "split_from": "260101000000017"});
        api.post("/tickets", &split).await.problem(409, "unknown_ticket");
        assert_eq!(api.get("/tickets?number=13900003003").await.ok(200)["items"], json!([]));
    });
}

#[test]
fn only_desks_that_take_matters_register_them() {
    run(|world| async move {
        let body = json!({"citizen": {"number": "13900003004"}, "matter": matter("x")});
        for user in ["unit101", "auditor", "quality", "reviewer"] {
            world.user(user).await.post("/tickets", &body).await.problem(403, "forbidden");
        }
        assert_eq!(world.user("admin").await.get("/tickets?number=13900003004").await.ok(200)["items"], json!([]));
    });
}

#[test]
fn a_unit_sees_its_own_tickets_and_its_own_part_alone() {
    run(|world| async move {
        let dispatcher = world.user("dispatcher").await;
        let (own, other) = (world.user("unit101").await, world.user("unit102").await);
        let no = registered(&dispatcher, "13900003005").await;
        own.get(&format!("/tickets/{no}")).await.problem(404, "not-found");
        let dispatched =
            command(&dispatcher, &no, json!({"command": "dispatch", "lead": "101", "assist": ["103"]})).await;
        assert_eq!(dispatched["state"], "handling");
        let assignments = dispatched["assignments"].as_array().expect("assignments");
        assert_eq!(assignments.len(), 2);
        assignments.iter().for_each(|assignment| shape::of(assignment, shape::ASSIGNMENT));

        let seen = own.get(&format!("/tickets/{no}")).await;
        let ticket = seen.ok(200);
        let units: Vec<_> = ticket["assignments"].as_array().expect("some").iter().map(|a| a["unit"].clone()).collect();
        assert_eq!(units, ["101"], "its own part alone");
        assert!(!seen.text().contains("13900003005"));
        other.get(&format!("/tickets/{no}")).await.problem(404, "not-found");
        other.post(&format!("/tickets/{no}/commands"), &json!({"command": "sign"})).await.problem(404, "not-found");
        let lists = |list: Value| list["items"].as_array().expect("items").iter().any(|ticket| ticket["no"] == no);
        assert!(lists(own.get("/tickets?limit=500").await.ok(200)));
        for query in ["", "&unit=101", "&number=13900003005"] {
            assert!(!lists(other.get(&format!("/tickets?limit=500{query}")).await.ok(200)), "{query}");
        }
        let signed = command(&own, &no, json!({"command": "sign"})).await;
        let state = &signed["assignments"][0];
        assert!(state["state"] == "in_progress" && state["signed_at"].is_string(), "{state}");
        let redispatch = json!({"command": "dispatch", "lead": "102"});
        own.post(&format!("/tickets/{no}/commands"), &redispatch).await.problem(403, "forbidden");
    });
}

#[test]
fn a_command_may_be_bound_to_a_version() {
    run(|world| async move {
        let api = world.user("dispatcher").await;
        let no = registered(&api, "13900003006").await;
        let path = format!("/tickets/{no}/commands");
        let seen = api.get(&format!("/tickets/{no}")).await.ok(200)["version"].as_u64().expect("a version");
        let amend = |title: &str| json!({"command": "amend", "matter": matter(title)});
        let tag = format!("\"{seen}\"");
        let amended = api.with("if-match", &tag).post(&path, &amend("一")).await.ok(200);
        assert_eq!(amended["version"], seen + 1);
        let detail = api.with("if-match", &tag).post(&path, &amend("二")).await.problem(412, "version-mismatch");
        assert!(detail.contains(&(seen + 1).to_string()), "{detail}");
        assert_eq!(api.get(&format!("/tickets/{no}")).await.ok(200)["matter"]["title"], "一");
        for wrong in ["\"x\"", "3-4", ""] {
            api.with("if-match", wrong).post(&path, &amend("三")).await.problem(400, "bad-request");
        }
        api.with("if-match", "*").post(&path, &amend("四")).await.ok(200);
        api.with("if-match", &format!("W/\"{}\"", seen + 2)).post(&path, &amend("五")).await.ok(200);
        api.post(&path, &amend("六")).await.ok(200);
    });
}

#[test]
fn a_command_that_does_not_fit_is_refused_with_its_reason() {
    run(|world| async move {
        let api = world.user("dispatcher").await;
        let no = registered(&api, "13900003007").await;
        let path = format!("/tickets/{no}/commands");
        let detail =
            api.post(&path, &json!({"command": "follow_up", "result": "satisfied"})).await.problem(409, "ticket_state");
        assert!(detail.contains("待派单"), "{detail}");
        let detail = api.post(&path, &json!({"command": "void", "reason": " "})).await.problem(409, "field");
        assert!(detail.contains("reason"), "{detail}");
        let detail = api.post(&path, &json!({"command": "fly"})).await.problem(400, "bad-request");
        assert!(detail.contains("fly") && detail.contains("dispatch"), "{detail}");
        let detail = api.post(&path, &json!({"command": "dispatch"})).await.problem(400, "bad-request");
        assert!(detail.contains("lead"), "{detail}");
        let agent = world.user("8001").await;
        agent.post(&path, &json!({"command": "dispatch", "lead": "101"})).await.problem(403, "forbidden");
        let auditor = world.user("auditor").await;
        auditor.post(&path, &json!({"command": "withdraw"})).await.problem(403, "forbidden");
        auditor.get(&format!("/tickets/{no}")).await.ok(200);
    });
}

#[test]
fn what_is_no_ticket_is_not_found() {
    run(|world| async move {
        let api = world.user("admin").await;
        for no in ["1", "abc", "260101000000017", "%20", "261124000000017"] {
            api.get(&format!("/tickets/{no}")).await.problem(404, "not-found");
            api.post(&format!("/tickets/{no}/commands"), &json!({"command": "withdraw"}))
                .await
                .problem(404, "not-found");
        }
        for query in ["state=lost", "call=abc"] {
            let detail = api.get(&format!("/tickets?{query}")).await.problem(400, "bad-request");
            assert!(detail.contains(query.split_once('=').expect("a pair").1), "{detail}");
        }
    });
}

#[test]
fn a_confidential_citizen_is_shown_to_those_who_speak_with_the_citizen() {
    run(|world| async move {
        let agent = world.user("8002").await;
        let body = json!({
            "citizen": {"number": "13900003008", "name": "李先生", "confidential": true},
            "matter": matter("举报"),
        });
        let no = text(&agent.post("/tickets", &body).await.ok(201), "no");
        let path = format!("/tickets/{no}");
        for (user, shown) in [
            ("8002", true),
            ("9001", true),
            ("follow_up", true),
            ("8003", false),
            ("dispatcher", false),
            ("admin", false),
            ("auditor", false),
        ] {
            let answer = world.user(user).await.get(&path).await;
            let citizen = answer.ok(200)["citizen"].clone();
            assert_eq!(citizen["confidential"], true);
            assert_eq!(citizen["name"] == "李先生" && citizen["number"] == "139****3008", shown, "{user}: {citizen}");
            assert_eq!(citizen["number"].is_null(), !shown, "{user}: {citizen}");
            assert!(shown || !answer.text().contains("李先生"), "{user}: nowhere else: {}", answer.text());
        }
    });
}

#[test]
fn pages_hold_each_ticket_once() {
    run(|world| async move {
        let api = world.user("dispatcher").await;
        let mut numbers = Vec::new();
        for _ in 0..7 {
            numbers.push(registered(&api, "13900003009").await);
        }
        numbers.reverse();
        for limit in [1, 2, 3, 7, 500] {
            let walked = api.walk("/tickets?number=13900003009", limit).await;
            let walked: Vec<_> = walked.iter().map(|ticket| text(ticket, "no")).collect();
            assert_eq!(walked, numbers, "the latest first, in pages of {limit}");
        }
        let handling = api.walk("/tickets?number=13900003009&state=handling", 3).await;
        assert!(handling.is_empty());
    });
}
