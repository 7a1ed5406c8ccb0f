//! `messages`: SMS, from the wish to the receipt.

use crate::{shape, stream::Stream, world::run};
use serde_json::{Value, json};

const TO: &str = "13900002001";

#[test]
fn a_message_goes_from_pending_by_submitted_to_delivered() {
    run(|world| async move {
        let api = world.user("8001").await;
        let mut events = Stream::open(&world.user("admin").await, None).await;
        let answer = api.post("/messages", &json!({"to": TO, "text": "您的诉求已受理。"})).await;
        let message = answer.ok(201);
        shape::of(&message, shape::MESSAGE);
        assert_eq!(
            (&message["state"], &message["purpose"], &message["parts"]),
            (&json!("pending"), &json!("manual"), &json!(1))
        );
        assert_eq!(message["to"], "139****2001");
        let own = |data: &Value| data["id"] == message["id"];
        let mut states = Vec::new();
        while states.last().is_none_or(|state| state != "delivered") {
            let told = events.wait("message", own).await;
            shape::of(&told.data, shape::MESSAGE);
            assert!(!told.data.to_string().contains(TO), "{}", told.data);
            states.push(told.data["state"].clone());
        }
        states.dedup();
        assert_eq!(states, ["pending", "submitted", "delivered"]);
        let listed = shape::list(&api.get("/messages?state=delivered&limit=500").await.ok(200), shape::MESSAGE);
        let now = listed.iter().find(|found| found["id"] == message["id"]).expect("listed");
        assert!(now["submitted_at"].is_string() && now["error"].is_null() && now["attempts"] == 1, "{now}");
        let received = world.smsc.messages();
        let there: Vec<_> = received.iter().filter(|sms| sms.to.ends_with(TO)).collect();
        assert_eq!(there.len(), 1, "{there:?}");
        assert_eq!(there[0].text, "您的诉求已受理。");
    });
}

#[test]
fn numbers_texts_and_tickets_are_checked() {
    run(|world| async move {
        let api = world.user("8001").await;
        for to in ["", "12345", "1390000200", "139000020011", "05138888888", "1390000200x"] {
            let detail = api.post("/messages", &json!({"to": to, "text": "好"})).await.problem(400, "bad-request");
            assert!(detail.contains("号码"), "{detail}");
        }
        for text in ["", "  ", &"长".repeat(20_000)] {
            let detail =
                api.post("/messages", &json!({"to": "13900002002", "text": text})).await.problem(400, "bad-request");
            assert!(detail.contains("短信内容"), "{detail}");
        }
        let unknown = json!({"to": "13900002002", "text": "好", "ticket": "260101000000017"});
        api.post("/messages", &unknown).await.problem(404, "not-found");
        let detail = api.post("/messages", &json!({"text": "好"})).await.problem(400, "bad-request");
        assert!(detail.contains("to"), "{detail}");
        assert!(!world.smsc.messages().iter().any(|sms| sms.to.ends_with("13900002002")), "nothing was sent");
    });
}

#[test]
fn those_who_only_look_on_send_nothing() {
    run(|world| async move {
        let body = json!({"to": "13900002003", "text": "好"});
        for user in ["auditor", "quality", "knowledge", "unit101"] {
            world.user(user).await.post("/messages", &body).await.problem(403, "forbidden");
        }
        world.user("auditor").await.get("/messages").await.ok(200);
    });
}

#[test]
fn a_list_is_of_one_ticket_or_one_state() {
    run(|world| async move {
        let api = world.user("dispatcher").await;
        let ticket = crate::tickets::registered(&api, "13900002004").await;
        for n in 0..4 {
            let body = json!({"to": "13900002004", "text": format!("第 {n} 条"), "ticket_no": ticket});
            assert_eq!(api.post("/messages", &body).await.ok(201)["ticket_no"], ticket);
        }
        let mut ids: Vec<_> = api
            .walk(&format!("/messages?ticket={ticket}"), 2)
            .await
            .iter()
            .map(|message| message["id"].as_str().expect("an id").to_owned())
            .collect();
        // The acceptance of the ticket is one more.
        assert_eq!(ids.len(), 5);
        ids.dedup();
        assert_eq!(ids.len(), 5, "none twice");
        let detail = api.get("/messages?state=lost").await.problem(400, "bad-request");
        assert!(detail.contains("uncertain"), "{detail}");
        assert_eq!(api.get("/messages?ticket=260101000000017").await.ok(200)["items"], json!([]));
    });
}
