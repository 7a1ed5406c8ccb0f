//! `sessions`: signing in and out.

use crate::{shape, world::run};
use axum::http::Method;
use serde_json::json;

#[test]
fn signing_in_gives_a_token_and_a_cookie() {
    run(|world| async move {
        let body = json!({"user": "8020", "password": "sandbox-8020"});
        let answer = world.stranger().post("/sessions", &body).await;
        let signed_in = answer.ok(200);
        shape::of(&signed_in, "token:string expires_at:time role:string");
        assert_eq!(signed_in["role"], "agent");
        let token = signed_in["token"].as_str().expect("a token");
        assert_eq!(token.len(), 64);
        let cookie = answer.header("set-cookie");
        assert!(cookie.starts_with(&format!("hotline_session={token};")), "{cookie}");
        for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert_eq!(answer.header("cache-control"), "no-store");

        let client = world.stranger().with("authorization", &format!("Bearer {token}"));
        let current = client.get("/sessions/current").await.ok(200);
        shape::of(&current, "user:string role:string agent:string? unit:string? expires_at:time");
        assert_eq!(
            (&current["user"], &current["agent"], &current["unit"]),
            (&json!("8020"), &json!("8020"), &json!(null))
        );
        assert_eq!(current["expires_at"], signed_in["expires_at"]);
    });
}

#[test]
fn a_units_user_is_shown_its_unit() {
    run(|world| async move {
        let current = world.user("unit101").await.get("/sessions/current").await.ok(200);
        assert_eq!((&current["role"], &current["unit"]), (&json!("unit_clerk"), &json!("101")));
    });
}

#[test]
fn signing_out_ends_this_session_alone() {
    run(|world| async move {
        let body = json!({"user": "8019", "password": "sandbox-8019"});
        let mut clients = Vec::new();
        for _ in 0..2 {
            let token =
                world.stranger().post("/sessions", &body).await.ok(200)["token"].as_str().expect("one").to_owned();
            clients.push(world.stranger().with("authorization", &format!("Bearer {token}")));
        }
        let answer = clients[0].delete("/sessions/current").await;
        assert_eq!(answer.status, 204);
        assert!(answer.header("set-cookie").contains("Max-Age=0"));
        clients[0].get("/sessions/current").await.problem(401, "unauthorized");
        clients[1].get("/sessions/current").await.ok(200);
    });
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike() {
    run(|world| async move {
        let stranger = world.stranger();
        let mut details = Vec::new();
        for (user, password) in [("admin", "wrong"), ("nobody-at-all", "sandbox-admin"), ("admin", ""), ("", "")] {
            let body = json!({"user": user, "password": password});
            details.push(stranger.post("/sessions", &body).await.problem(401, "wrong-credentials"));
        }
        details.dedup();
        assert_eq!(details.len(), 1, "{details:?}");
    });
}

#[test]
fn what_is_missing_is_named() {
    run(|world| async move {
        let stranger = world.stranger();
        let detail = stranger.post("/sessions", &json!({"user": "admin"})).await.problem(400, "bad-request");
        assert!(detail.contains("password"), "{detail}");
        let detail = stranger.post("/sessions", &json!({"user": 1, "password": "x"})).await.problem(400, "bad-request");
        assert!(detail.contains("user"), "{detail}");
    });
}

/// Signing in knows no user whose key it could be.
#[test]
fn a_key_does_not_repeat_a_session() {
    run(|world| async move {
        let client = world.stranger().with("idempotency-key", "same");
        let body = json!({"user": "8018", "password": "sandbox-8018"});
        let (one, two) = (client.post("/sessions", &body).await, client.post("/sessions", &body).await);
        assert_ne!(one.ok(200)["token"], two.ok(200)["token"]);
        assert_eq!(two.header("idempotency-replayed"), "");
    });
}

#[test]
fn a_token_is_no_use_in_other_words() {
    run(|world| async move {
        let token = world.user("auditor").await.headers[0].1.clone();
        for value in [token.replace("Bearer", "Basic"), token.replace("Bearer ", ""), format!("{token}0")] {
            let client = world.stranger().with("authorization", &value);
            let request = client.request(Method::GET, "/sessions/current", axum::body::Body::empty());
            client.send(request).await.problem(401, "unauthorized");
        }
    });
}
