//! `agents`: status by the agent or a supervisor, and the wrap-up.

use crate::{shape, world::run};
use serde_json::json;

#[test]
fn an_agents_own_status() {
    run(|world| async move {
        let api = world.user("8016").await;
        let rest = json!({"status": "not_ready", "reason": "training"});
        let agent = api.put("/agents/8016/status", &rest).await.ok(200);
        shape::of(&agent, shape::AGENT);
        assert_eq!(
            (&agent["agent"], &agent["status"], &agent["reason"]),
            (&json!("8016"), &json!("not_ready"), &json!("training"))
        );
        assert_eq!(
            (&agent["extension"], &agent["registered"], &agent["state"]),
            (&json!("8016"), &json!(false), &json!("idle"))
        );
        assert_eq!(api.get("/agents/8016").await.ok(200)["status"], "not_ready");
        let listed = shape::list(&world.user("dispatcher").await.get("/agents").await.ok(200), shape::AGENT);
        assert_eq!(listed.iter().filter(|agent| agent["agent"] == "8016").count(), 1);
        let out = api.put("/agents/8016/status", &json!({"status": "logged_out"})).await.ok(200);
        assert_eq!(out["status"], "logged_out");
    });
}

#[test]
fn a_supervisor_sets_it_for_an_agent_and_another_agent_does_not() {
    run(|world| async move {
        let body = json!({"status": "not_ready"});
        let agent = world.user("9001").await.put("/agents/8015/status", &body).await.ok(200);
        assert_eq!(agent["reason"], "rest", "a reason is there in any case");
        for user in ["8014", "dispatcher", "auditor", "unit101"] {
            world.user(user).await.put("/agents/8015/status", &body).await.problem(403, "forbidden");
            world.user(user).await.post("/agents/8015/wrap-up", &json!({})).await.problem(403, "forbidden");
        }
    });
}

#[test]
fn what_is_asked_for_must_make_sense() {
    run(|world| async move {
        let supervisor = world.user("9001").await;
        let detail =
            supervisor.put("/agents/8013/status", &json!({"status": "asleep"})).await.problem(400, "bad-request");
        assert!(detail.contains("asleep") && detail.contains("not_ready"), "{detail}");
        let detail = supervisor.put("/agents/8013/status", &json!({})).await.problem(400, "bad-request");
        assert!(detail.contains("status"), "{detail}");
        for status in ["ready", "not_ready", "logged_out"] {
            supervisor.put("/agents/7777/status", &json!({"status": status})).await.problem(404, "not-found");
        }
        supervisor.get("/agents/7777").await.problem(404, "not-found");
        supervisor.post("/agents/7777/wrap-up", &json!({})).await.problem(404, "not-found");
    });
}

#[test]
fn without_a_call_there_is_no_wrap_up() {
    run(|world| async move {
        let api = world.user("8012").await;
        api.put("/agents/8012/status", &json!({"status": "not_ready"})).await.ok(200);
        api.post("/agents/8012/wrap-up", &json!({"extend_s": 30})).await.problem(409, "agent-refused");
    });
}
