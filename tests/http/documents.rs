//! `openapi.json` and `/api/docs`; and what holds for every route that the document lists.

use crate::{
    ask::{Answer, Client},
    world::{World, run},
};
use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};

/// One operation of the document.
struct Operation {
    method: Method,
    path: String,
    what: Value,
}

impl Operation {
    /// The path with something in each place.
    fn filled(&self) -> String {
        self.path.replace("{id}", "1").replace("{number}", "8001").replace("{no}", "1")
    }

    fn is_sign_in(&self) -> bool {
        self.method == Method::POST && self.path == "/sessions"
    }

    fn takes(&self, parameter: &str) -> bool {
        self.what["parameters"].as_array().into_iter().flatten().any(|found| found["name"] == parameter)
    }
}

async fn plain(world: &World, path: &str) -> Answer {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    world.stranger().send(request).await
}

async fn document(world: &World) -> Value {
    plain(world, "/api/v1/openapi.json").await.ok(200)
}

async fn operations(world: &World) -> Vec<Operation> {
    let document = document(world).await;
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, what) in methods.as_object().expect("methods") {
            let method = method.to_uppercase().parse().expect("a method");
            found.push(Operation { method, path: path.clone(), what: what.clone() });
        }
    }
    assert!(found.len() >= 30, "{} operations", found.len());
    found
}

/// The routes that the sources declare, by method and path.
fn declared() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    for entry in fs::read_dir(folder).expect("src/http") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a source");
        for declaration in text.split("#[utoipa::path(").skip(1) {
            let (method, rest) = declaration.split_once(',').expect("a method");
            let path = rest.split_once("path = \"").and_then(|(_, rest)| rest.split_once('"')).expect("a path").0;
            found.insert((method.trim().to_uppercase(), path.to_owned()));
        }
    }
    found
}

#[test]
fn parameters_stand_where_they_are_sent() {
    run(|world| async move {
        for operation in operations(world).await {
            let of_path: BTreeSet<&str> = operation.path.split(['{', '}']).skip(1).step_by(2).collect();
            let mut named = BTreeSet::new();
            for parameter in operation.what["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().expect("a name");
                match parameter["in"].as_str() {
                    Some("path") => assert!(named.insert(name) && parameter["required"] == true, "{name}"),
                    Some("header") => assert!(["Idempotency-Key", "If-Match"].contains(&name), "{name}"),
                    place => assert_eq!((place, &operation.method), (Some("query"), &Method::GET), "{name}"),
                }
            }
            assert_eq!(named, of_path, "{} {}", operation.method, operation.path);
        }
        let document = document(world).await;
        assert_eq!(document["security"], json!([{"bearer": []}, {"cookie": []}]));
        assert_eq!(document["paths"]["/sessions"]["post"]["security"], json!([]), "signing in is open");
    });
}

#[test]
fn every_field_and_every_parameter_is_described() {
    run(|world| async move {
        let says = |what: &Value| what["description"].as_str().is_some_and(|text| !text.trim().is_empty());
        // What may be null has its words beside the other choice.
        let described = |what: &Value| says(what) || what["oneOf"].as_array().into_iter().flatten().any(says);
        let document = document(world).await;
        let mut silent = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
            // A flattened part stands in `allOf`, beside the fields that are added to it.
            for part in [schema].into_iter().chain(schema["allOf"].as_array().into_iter().flatten()) {
                for (field, what) in part["properties"].as_object().into_iter().flatten() {
                    if !described(what) {
                        silent.push(format!("{name}.{field}"));
                    }
                }
            }
        }
        for operation in operations(world).await {
            for parameter in operation.what["parameters"].as_array().into_iter().flatten() {
                if !described(parameter) {
                    silent.push(format!("{} {} {}", operation.method, operation.path, parameter["name"]));
                }
            }
        }
        assert_eq!(silent, Vec::<String>::new());
    });
}

#[test]
fn the_document_lists_every_route_and_no_other() {
    run(|world| async move {
        let listed: BTreeSet<_> =
            operations(world).await.into_iter().map(|op| (op.method.to_string(), op.path)).collect();
        assert_eq!(listed, declared());
        // Beside the API's nouns there are only the page, the document and the probes.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
        for entry in fs::read_dir(folder).expect("src/http") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a source");
            let undocumented = text.contains(".route(\"");
            assert!(!undocumented || ["console", "health"].contains(&name.as_str()), "{name} routes by itself");
        }
    });
}

#[test]
fn every_listed_route_is_there_and_wants_a_session() {
    run(|world| async move {
        for operation in operations(world).await.iter().filter(|operation| !operation.is_sign_in()) {
            let stranger = world.stranger();
            let request = stranger.request(operation.method.clone(), &operation.filled(), Body::empty());
            let answer = stranger.send(request).await;
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            let forged = stranger.with("authorization", "Bearer 00").with("idempotency-key", "k");
            let request = forged.request(operation.method.clone(), &operation.filled(), Body::empty());
            forged.send(request).await.problem(401, "unauthorized");
        }
    });
}

#[test]
fn a_cookie_alone_changes_nothing() {
    run(|world| async move {
        let body = json!({"user": "reviewer", "password": "sandbox-reviewer"});
        let token = world.stranger().post("/sessions", &body).await.ok(200)["token"].as_str().expect("one").to_owned();
        let browser = world.stranger().with("cookie", &format!("a=b; hotline_session={token}; c=d"));
        browser.get("/sessions/current").await.ok(200);
        let changing = operations(world).await;
        let changing = changing.iter().filter(|op| op.method != Method::GET && !op.is_sign_in());
        for operation in changing {
            let request = browser.request(operation.method.clone(), &operation.filled(), Body::empty());
            let detail = browser.send(request).await.problem(403, "forbidden");
            assert!(detail.contains("X-Requested-With"), "{detail}");
        }
        let ours = browser.with("x-requested-with", "hotline");
        assert_eq!(ours.delete("/sessions/current").await.status, 204);
        browser.get("/sessions/current").await.problem(401, "unauthorized");
    });
}

#[test]
fn a_units_user_has_the_tickets_and_the_units_alone() {
    run(|world| async move {
        let unit = world.user("unit110").await;
        let open = ["/sessions/current", "/units", "/tickets", "/tickets/{no}", "/tickets/{no}/commands", "/events"];
        for operation in operations(world).await {
            let own = open.contains(&operation.path.as_str())
                && !(operation.method == Method::POST && operation.path == "/tickets");
            if own || operation.is_sign_in() {
                continue;
            }
            let body = json!({"reason": "r", "hotline": "12330", "digits": "1", "status": "ready", "to": "13900000001", "text": "t", "outcome": "reached", "note": "n"});
            let answer = match operation.method {
                Method::GET => unit.get(&operation.filled()).await,
                _ => unit.json(operation.method.clone(), &operation.filled(), &body).await,
            };
            answer.problem(403, "forbidden");
        }
    });
}

#[test]
fn every_list_checks_its_limit_and_its_cursor() {
    run(|world| async move {
        let admin = world.user("admin").await;
        let mut lists = 0;
        for operation in operations(world).await.iter().filter(|operation| operation.takes("limit")) {
            lists += 1;
            let path = &operation.path;
            for limit in ["0", "501"] {
                let detail = admin.get(&format!("{path}?limit={limit}")).await.problem(400, "bad-request");
                assert!(detail.contains("500") && detail.contains(limit), "{detail}");
            }
            for query in ["limit=x", "limit=-1", "cursor=nonsense", "cursor=1.x"] {
                admin.get(&format!("{path}?{query}")).await.problem(400, "bad-request");
            }
            for limit in ["1", "500"] {
                admin.get(&format!("{path}?limit={limit}")).await.ok(200);
            }
            assert!(operation.takes("cursor"), "{path}");
        }
        assert_eq!(lists, 5, "calls, callbacks, tickets, messages, recordings");
    });
}

/// What is no object, no JSON, or no text at all is refused alike everywhere.
#[test]
fn every_body_is_checked() {
    run(|world| async move {
        let admin = world.user("admin").await;
        let all = operations(world).await;
        for operation in all.iter().filter(|operation| !operation.what["requestBody"].is_null()) {
            let (path, method) = (operation.filled(), operation.method.clone());
            for body in ["{", "[]", "\"text\"", ""] {
                let detail = admin.text(method.clone(), &path, body).await.problem(400, "bad-request");
                assert!(detail.len() > 10, "{detail}");
            }
            let unsaid = admin.request(method.clone(), &path, Body::from("{}"));
            admin.send(unsaid).await.problem(415, "unsupported-media-type");
            let large = "x".repeat((1 << 20) + 1);
            admin.text(method.clone(), &path, &large).await.problem(413, "body-too-large");
            if method == Method::POST && !operation.is_sign_in() {
                let keyed = admin.with("idempotency-key", &format!("large-{path}"));
                keyed.text(method, &path, &large).await.problem(413, "body-too-large");
            }
        }
    });
}

#[test]
fn every_post_takes_an_idempotency_key_and_the_document_says_so() {
    run(|world| async move {
        let admin = world.user("admin").await;
        for operation in operations(world).await {
            let keyed = operation.method == Method::POST && !operation.is_sign_in();
            assert_eq!(operation.takes("Idempotency-Key"), keyed, "{} {}", operation.method, operation.path);
            assert_eq!(operation.what["responses"]["422"].is_object(), keyed);
            if keyed {
                let client = admin.with("idempotency-key", "a b");
                let detail = client.post(&operation.filled(), &json!({})).await.problem(400, "bad-request");
                assert!(detail.contains("Idempotency-Key"), "{detail}");
            }
        }
        let text = document(world).await["info"]["description"].as_str().expect("words").to_owned();
        for word in ["Idempotency-Key", "idempotency-unknown", "idempotency-mismatch", "Idempotency-Replayed"] {
            assert!(text.contains(word), "{word}");
        }
    });
}

#[test]
fn the_documents_errors_are_problems() {
    run(|world| async move {
        for operation in operations(world).await {
            for (status, answer) in operation.what["responses"].as_object().expect("answers") {
                let Some(content) = answer["content"].as_object().filter(|_| status.as_str() >= "400") else {
                    continue;
                };
                let kinds: Vec<_> = content.keys().collect();
                assert_eq!(kinds, ["application/problem+json"], "{} {} {status}", operation.method, operation.path);
            }
        }
    });
}

#[test]
fn other_addresses_and_methods_are_problems() {
    run(|world| async move {
        let admin = world.user("admin").await;
        admin.get("/no-such-noun").await.problem(404, "not-found");
        plain(world, "/no/such/page").await.problem(404, "not-found");
        admin.json(Method::PATCH, "/tickets", &json!({})).await.problem(405, "method-not-allowed");
        admin.get("/calls/%FF").await.problem(400, "bad-request");
    });
}

#[test]
fn the_page_of_documents_names_every_route_and_loads_nothing_from_elsewhere() {
    run(|world| async move {
        let page = plain(world, "/api/docs").await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        let text = page.text();
        for operation in operations(world).await {
            assert!(text.contains(&format!("/api/v1{}</code>", operation.path)), "{}", operation.path);
        }
        assert!(!text.contains("<script") && !text.contains("http://") && !text.contains("https://"));
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(page.header(name), value);
        }
        assert!(page.header("content-security-policy").contains("default-src 'self'"));
    });
}

#[test]
fn nouns_answer_in_time_zones_and_lists_have_cursors() {
    run(|world| async move {
        let admin: Client = world.user("admin").await;
        for list in ["/calls", "/agents", "/queues", "/tickets", "/messages", "/recordings", "/units", "/hotlines"] {
            crate::shape::of(&admin.get(list).await.ok(200), "items:array next_cursor:string?");
        }
    });
}
