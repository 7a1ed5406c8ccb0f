//! `events`: what happens, for whoever may know, without a gap.

use crate::{
    line::text,
    shape,
    stream::{Stream, Told},
    tickets::registered,
    world::run,
};
use serde_json::{Value, json};

#[test]
fn a_listener_resumes_where_it_was_cut_off() {
    run(|world| async move {
        let admin = world.user("admin").await;
        let agent = world.user("8011").await;
        let own = |data: &Value| data["agent"] == "8011";
        let mut stream = Stream::open(&admin, None).await;
        let change = |reason: &'static str| json!({"status": "not_ready", "reason": reason});
        agent.put("/agents/8011/status", &change("one")).await.ok(200);
        let first = stream.wait("agent", |data| own(data) && data["reason"] == "one").await;
        shape::of(&first.data, shape::AGENT);
        drop(stream);
        for reason in ["two", "three", "four"] {
            agent.put("/agents/8011/status", &change(reason)).await.ok(200);
        }
        let last = first.id.expect("a number").to_string();
        let mut resumed = Stream::open(&admin, Some(&last)).await;
        let (mut reasons, mut before) = (Vec::new(), first.id);
        while reasons.last().is_none_or(|reason| reason != "four") {
            let Told { id, data, kind } = resumed.next().await;
            assert!(id > before, "numbers rise");
            before = id;
            if kind == "agent" && own(&data) {
                reasons.push(text(&data, "reason"));
            }
        }
        reasons.dedup();
        assert_eq!(reasons, ["two", "three", "four"]);
    });
}

#[test]
fn who_was_away_too_long_is_told_to_read_anew() {
    run(|world| async move {
        let admin = world.user("admin").await;
        let agent = world.user("8010").await;
        for last in ["1", "nonsense"] {
            let mut stream = Stream::open(&admin, Some(last)).await;
            assert_eq!(stream.next().await.kind, "reset", "Last-Event-ID: {last}");
            agent.put("/agents/8010/status", &json!({"status": "not_ready", "reason": last})).await.ok(200);
            stream.wait("agent", |data| data["agent"] == "8010" && data["reason"] == last).await;
        }
    });
}

#[test]
fn a_unit_hears_of_its_own_tickets_alone() {
    run(|world| async move {
        let dispatcher = world.user("dispatcher").await;
        let mut other = Stream::open(&world.user("unit105").await, None).await;
        let mut own = Stream::open(&world.user("unit104").await, None).await;
        let mut centre = Stream::open(&dispatcher, None).await;
        let (first, second) =
            (registered(&dispatcher, "13900004001").await, registered(&dispatcher, "13900004001").await);
        for (no, unit) in [(&first, "104"), (&second, "105")] {
            let body = json!({"command": "dispatch", "lead": unit});
            dispatcher.post(&format!("/tickets/{no}/commands"), &body).await.ok(200);
        }
        let told = own.next().await;
        assert_eq!((told.kind.as_str(), &told.data["no"]), ("ticket", &json!(first)));
        shape::of(&told.data, shape::TICKET);
        // The first ticket, the agents, calls and messages of all other tests went by before this one.
        let told = other.next().await;
        assert_eq!((told.kind.as_str(), &told.data["no"]), ("ticket", &json!(second)));
        assert!(!told.data.to_string().contains("13900004001"), "{}", told.data);
        for no in [&first, &second] {
            let told = centre.wait("ticket", |data| data["no"] == *no && data["state"] == "handling").await;
            assert!(!told.data.to_string().contains("13900004001"), "{}", told.data);
        }
    });
}

#[test]
fn a_confidential_citizen_is_not_in_the_stream() {
    run(|world| async move {
        let agent = world.user("8009").await;
        let mut stream = Stream::open(&world.user("dispatcher").await, None).await;
        let mut leader = Stream::open(&world.user("9002").await, None).await;
        let body = json!({
            "citizen": {"number": "13900004002", "name": "赵先生", "confidential": true},
            "matter": crate::tickets::matter("举报"),
        });
        let no = text(&agent.post("/tickets", &body).await.ok(201), "no");
        let told = stream.wait("ticket", |data| data["no"] == no).await;
        assert_eq!(told.data["citizen"], json!({"name": null, "number": null, "contact": null, "confidential": true}));
        let told = leader.wait("ticket", |data| data["no"] == no).await;
        assert_eq!(told.data["citizen"]["number"], "139****4002", "who leads is told as in reading: masked");
    });
}
