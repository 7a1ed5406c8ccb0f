//! `/healthz`, `/readyz`, `/metrics`: for machines, without a session.

use crate::{
    ask::Answer,
    shape,
    world::{World, run, until},
};
use axum::{body::Body, http::Request};
use hotline::app::catalogue::{self, Kind};
use serde_json::json;
use std::collections::BTreeMap;

pub async fn plain(world: &World, path: &str) -> Answer {
    world.stranger().send(Request::get(path).body(Body::empty()).expect("a request")).await
}

#[test]
fn the_program_says_that_it_runs() {
    run(|world| async move {
        assert_eq!(plain(world, "/healthz").await.ok(200), json!({"status": "ok"}));
    });
}

#[test]
fn readiness_tells_each_part_by_itself() {
    run(|world| async move {
        let ready = until("a bound SMS centre", || async {
            let ready = plain(world, "/readyz").await.ok(200);
            (ready["sms"]["ok"] == true).then_some(ready)
        })
        .await;
        shape::of(
            &ready,
            "ready:bool database:object spool:object sms:object calendar:object clock:object settings:object \
             alarms:array",
        );
        assert_eq!(ready["ready"], true);
        for part in ["database", "spool", "sms", "clock", "settings"] {
            shape::of(&ready[part], "ok:bool detail:string");
            assert_eq!(ready[part]["ok"], true, "{ready}");
        }
    });
}

#[test]
fn figures_are_named_by_the_rule_and_name_nobody() {
    run(|world| async move {
        // The switch tells its figures every second.
        let figures = until("the switch's figures", || async {
            let answer = plain(world, "/metrics").await;
            assert_eq!(answer.status, 200);
            assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
            let text = answer.text();
            text.contains("hotline_calls_in_progress").then_some(text)
        })
        .await;
        let kinds: BTreeMap<_, _> =
            figures.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        assert!(kinds.len() > 5, "{figures}");
        for (name, kind) in &kinds {
            assert!(name.starts_with("hotline_"), "{name}");
            match *kind {
                "counter" => assert!(name.ends_with("_total"), "{name}"),
                "histogram" | "summary" => assert!(name.ends_with("_seconds"), "{name}"),
                _ => assert_eq!(*kind, "gauge", "{name}"),
            }
        }
        // What is exported is in the catalogue, as what it is there, and explained.
        for (name, kind) in &kinds {
            let known = catalogue::all().find(|metric| metric.name == *name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(known.kind == Kind::Counter, *kind == "counter", "{name}");
            assert_eq!(known.kind == Kind::Gauge, *kind == "gauge", "{name}");
            assert!(figures.contains(&format!("# HELP {name} ")), "{name}");
        }
        for line in figures.lines().filter(|line| line.contains('{')) {
            let (name, labels) = line.split_once('{').expect("labels");
            let known =
                catalogue::all().find(|metric| name.starts_with(metric.name)).unwrap_or_else(|| panic!("{line}"));
            for label in labels.split("\",").filter_map(|label| label.trim_start_matches(',').split_once('=')) {
                let told = known.labels.contains(&label.0) || ["le", "quantile"].contains(&label.0);
                assert!(told || label.0.contains('}'), "{} is no label of {name}", label.0);
            }
        }
        let labels =
            figures.lines().filter_map(|line| line.split_once('{')?.1.split_once('}')).map(|(labels, _)| labels);
        for label in labels {
            let longest = label.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
            // A queue's name may hold a hotline's number; a person's has seven digits or more.
            assert!(longest < Some(6), "{label} may name a caller or a call");
        }
    });
}

#[test]
fn without_the_database_everything_says_so_and_nothing_is_done() {
    run(|_| async move {
        let world = World::start("away").await;
        let admin = world.user("admin").await;
        world.app.store.close().await;
        let keyed = admin.with("idempotency-key", "away");
        let body = json!({"to": "13900008001", "text": "好"});
        for answer in [admin.get("/tickets").await, keyed.post("/messages", &body).await] {
            answer.problem(503, "unavailable");
            assert_eq!(answer.header("retry-after"), "5");
        }
        let body = json!({"user": "admin", "password": "sandbox-admin"});
        world.stranger().post("/sessions", &body).await.problem(503, "unavailable");
        assert_eq!(plain(&world, "/healthz").await.status, 200, "the program itself runs");
        let ready = plain(&world, "/readyz").await;
        assert_eq!(ready.status, 503);
        let ready: serde_json::Value = serde_json::from_slice(&ready.body).expect("JSON");
        assert_eq!((&ready["ready"], &ready["database"]["ok"]), (&json!(false), &json!(false)));
        world.app.stop().await;
    });
}
