//! `settings`: documents, versions, and what is in force.

use crate::{
    ask::{Answer, Client},
    line::text,
    world::{World, run},
};
use serde_json::{Value, json};

const FLOW: &str = "/settings/ivr-flows/own.toml";
const SOUND: &str = "version = 1\nstart = \"say\"\n[node.say]\nplay = \"prompts/zh/welcome.wav\"\nnext = \"bye\"\n[node.bye]\nhangup = true\n";

/// A story on a program of its own: what is in force is everybody's.
fn alone<F: Future<Output = ()>>(name: &str, story: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { story(World::start(name).await).await });
}

fn seen(api: &Client, version: u64) -> Client {
    api.with("if-match", &format!("\"{version}\""))
}

fn entry<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list["items"].as_array().expect("items").iter().find(|item| item["name"] == name)
}

/// The problem of settings with faults.
fn faulty(answer: &Answer) -> Value {
    assert_eq!(answer.status, 400, "{}", answer.text());
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(problem["type"], "urn:hotline:problem:settings-faulty");
    problem
}

#[test]
fn only_the_administrator_sees_and_changes_settings() {
    run(|world| async move {
        for user in ["9001", "8001", "dispatcher", "auditor"] {
            let api = world.user(user).await;
            api.get("/settings").await.problem(403, "forbidden");
            api.get("/settings/sip-profiles/trunk.toml").await.problem(403, "forbidden");
            seen(&api, 1).put(FLOW, &json!({"text": SOUND})).await.problem(403, "forbidden");
            api.post("/settings/reload", &json!({})).await.problem(403, "forbidden");
        }
        world.stranger().get("/settings").await.problem(401, "unauthorized");
    });
}

#[test]
fn a_document_is_written_put_in_force_and_undone() {
    alone("settings-undo", |world| async move {
        let api = world.user("admin").await;
        let list = api.get("/settings").await.ok(200);
        let trunk = entry(&list, "sip-profiles/trunk.toml").expect("the trunk");
        assert_eq!(
            (&trunk["version"], &trunk["author"], &trunk["overridden"]),
            (&json!(1), &json!("embedded"), &json!(false))
        );
        assert!(list["prompts"].as_array().expect("prompts").len() > 70 && list["faulty"] == false, "{list}");

        // A text without what it had read is refused, and so is one that somebody else has changed.
        api.put(FLOW, &json!({"text": SOUND})).await.problem(428, "if-match-required");
        seen(&api, 7).put(FLOW, &json!({"text": SOUND})).await.problem(412, "version-mismatch");
        let first = seen(&api, 0).put(FLOW, &json!({"text": SOUND, "note": "first"})).await;
        assert_eq!(first.header("etag"), "\"1\"");
        let first = first.ok(200);
        assert_eq!(
            (&first["version"], &first["author"], &first["note"]),
            (&json!(1), &json!("admin"), &json!("first"))
        );
        let other = SOUND.replace("welcome", "survey_thanks");
        seen(&api, 1).put(FLOW, &json!({"text": other})).await.ok(200);
        assert_eq!(text(&api.get(FLOW).await.ok(200), "text"), other);

        // Back, which is a version too; and back to one that is named.
        let undone = seen(&api, 2).post(&format!("{FLOW}/undo"), &json!({"note": "n"})).await.ok(200);
        assert_eq!((&undone["version"], text(&undone, "text")), (&json!(3), SOUND.to_owned()));
        let named = seen(&api, 3).post(&format!("{FLOW}/undo"), &json!({"note": "n", "version": 2})).await.ok(200);
        assert_eq!((&named["version"], text(&named, "text")), (&json!(4), other.clone()));
        seen(&api, 4)
            .post(&format!("{FLOW}/undo"), &json!({"note": "n", "version": 99}))
            .await
            .problem(409, "no-such-version");
        let versions = api.get(&format!("{FLOW}/versions")).await.ok(200);
        let numbers: Vec<_> =
            versions["items"].as_array().expect("items").iter().map(|row| row["version"].clone()).collect();
        assert_eq!(numbers, [json!(4), json!(3), json!(2), json!(1)]);
        let audit = world.app.store.audit_list(&hotline::store::Page { limit: 50, cursor: None }).await.expect("a log");
        let changes = audit.items.iter().filter(|row| row.action == "settings.change" && row.actor == "admin").count();
        assert_eq!(changes, 4);

        // Its file is gone, and with it the document.
        assert_eq!(seen(&api, 4).delete(FLOW).await.ok(200)["text"], "");
        api.get(FLOW).await.problem(404, "not-found");
        world.app.stop().await;
    });
}

#[test]
fn a_text_with_faults_changes_nothing_and_each_is_told_with_its_line() {
    alone("settings-faults", |world| async move {
        let api = world.user("admin").await;
        let trunk = "/settings/sip-profiles/trunk.toml";
        let before = api.get(trunk).await.ok(200);
        let broken = text(&before, "text").replace("kind = \"trunk\"", "kind = \"trunck\"");
        assert_ne!(broken, text(&before, "text"));
        let answer = seen(&api, 1).put(trunk, &json!({"text": broken})).await;
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = faulty(&answer);
        let fault = &problem["faults"][0];
        let line = broken.lines().position(|line| line.contains("trunck")).expect("it is there") as u64 + 1;
        assert_eq!(fault["line"], line, "{problem}");
        assert!(text(fault, "file").ends_with("sip-profiles/trunk.toml") && text(fault, "message").contains("trunck"));
        assert_eq!(api.get(trunk).await.ok(200), before);
        assert_eq!(api.get("/settings").await.ok(200)["faulty"], false, "what is written is in force");

        // A limit takes effect at once, and the embedded text is back when the file is removed.
        let limited = text(&before, "text").to_owned() + "\n# ours\n";
        let put = seen(&api, 1).put(trunk, &json!({"text": limited})).await.ok(200);
        assert_eq!((&put["version"], &put["overridden"]), (&json!(2), &json!(true)));
        let gone = seen(&api, 2).delete(trunk).await.ok(200);
        assert_eq!((&gone["version"], &gone["overridden"], &gone["text"]), (&json!(3), &json!(false), &before["text"]));

        // Files that were changed by hand: a fault leaves the old ones in force and is shown; a sound one is a version.
        let folder = world.app.source.data.join("ivr-flows");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("hand.toml"), "version = 1\nstart = \"none\"\n").expect("a file");
        let refused = faulty(&api.post("/settings/reload", &json!({})).await);
        assert!(text(&refused["faults"][0], "file").ends_with("hand.toml"), "{refused}");
        let state = api.get("/settings").await.ok(200);
        assert_eq!((&state["faulty"], state["faults"].as_array().map(Vec::is_empty)), (&json!(true), Some(false)));
        std::fs::write(folder.join("hand.toml"), SOUND).expect("a file");
        let state = api.post("/settings/reload", &json!({})).await.ok(200);
        assert_eq!(state["faulty"], false);
        let hand = api.get("/settings/ivr-flows/hand.toml").await.ok(200);
        assert_eq!((&hand["version"], &hand["author"]), (&json!(1), &json!("file")));
        world.app.stop().await;
    });
}

#[test]
fn a_name_leads_nowhere_but_to_the_documents() {
    run(|world| async move {
        let api = world.user("admin").await;
        for name in [
            "ivr-flows/..%2F..%2Fx.toml",
            "ivr-flows/none.toml",
            "ivr-flows/.hidden.toml",
            "src/lib.toml",
            "sip-profiles/x.sh",
        ] {
            api.get(&format!("/settings/{name}")).await.problem(404, "not-found");
        }
        seen(&api, 0).put("/settings/ivr-flows/..%2Fx.toml", &json!({"text": SOUND})).await.problem(404, "not-found");
        api.get("/settings/configuration/hotline.toml").await.problem(409, "no-configuration-file");
    });
}
