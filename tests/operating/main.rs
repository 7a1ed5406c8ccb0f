//! What an operator reads and loads: docs/metrics.md, the dashboard and the alert rules name the figures that the
//! program has, and no others.

use hotline::app::{alarms::Alarm, catalogue};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of figures in a text.
fn names(text: &str) -> BTreeSet<String> {
    let begins = text.match_indices("hotline_").map(|(at, _)| at);
    let name = |at: usize| text[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    begins.filter(|at| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_')).map(name).collect()
}

fn known() -> BTreeSet<String> {
    catalogue::all().map(|metric| metric.name.to_owned()).collect()
}

/// The string literals of the program's code that name a figure.
fn named_in_code(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            named_in_code(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("app/catalogue.rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for literal in code.split('"').filter(|literal| literal.starts_with("hotline_")) {
                if literal.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                    found.insert(literal.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_figure_of_the_code_is_in_the_catalogue_and_every_one_of_the_catalogue_in_the_code() {
    let mut code = BTreeSet::new();
    named_in_code(&root().join("src"), &mut code);
    // A cookie, not a figure.
    code.remove("hotline_session");
    let known = known();
    assert!(code.len() > 80, "too few names were found to be true: {code:?}");
    assert_eq!(code.difference(&known).collect::<Vec<_>>(), [""; 0], "in the code alone");
    assert_eq!(known.difference(&code).collect::<Vec<_>>(), [""; 0], "in the catalogue alone");
    assert_eq!(catalogue::all().count(), known.len(), "a name is there twice");
}

#[test]
fn names_follow_the_rule() {
    for metric in catalogue::all() {
        assert!(metric.name.starts_with("hotline_") && !metric.help.is_empty(), "{metric:?}");
        assert_eq!(metric.kind == catalogue::Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.kind != catalogue::Kind::Times || metric.name.ends_with("_seconds"), "{}", metric.name);
        for label in metric.labels {
            assert!(
                !["call", "caller", "number", "citizen", "ticket", "from", "to_number"].contains(label),
                "{metric:?}"
            );
        }
    }
}

#[test]
fn the_document_is_the_catalogue() {
    let path = root().join("docs/metrics.md");
    if std::env::var_os("WRITE_DOCUMENTS").is_some() {
        fs::write(&path, catalogue::document()).expect("docs/metrics.md");
    }
    assert_eq!(
        read("docs/metrics.md"),
        catalogue::document(),
        "write it anew: WRITE_DOCUMENTS=1 cargo test --test operating"
    );
}

/// A figure's name, or that of a histogram's series.
fn is_known(name: &str, known: &BTreeSet<String>) -> bool {
    let parts = ["_bucket", "_sum", "_count"];
    known.contains(name) || parts.iter().any(|part| name.strip_suffix(part).is_some_and(|name| known.contains(name)))
}

#[test]
fn the_dashboard_shows_figures_that_there_are() {
    let text = read("deploy/grafana/hotline.json");
    let board: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let rows: Vec<&str> =
        panels.iter().filter(|panel| panel["type"] == "row").filter_map(|row| row["title"].as_str()).collect();
    assert_eq!(rows, ["告警", "话务", "排队", "坐席", "媒体", "工单与短信", "系统"]);
    let known = known();
    let mut shown = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "two panels of one id: {panel}");
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            let named = names(expression);
            assert!(!named.is_empty(), "{expression}");
            shown.extend(named);
        }
    }
    let unknown: Vec<_> = shown.iter().filter(|name| !is_known(name, &known)).collect();
    assert!(unknown.is_empty(), "the program has no {unknown:?}");
    assert!(shown.len() > 50, "{shown:?}");
}

#[test]
fn the_rules_judge_figures_that_there_are() {
    let text = read("deploy/prometheus/hotline-rules.yml");
    let known = known();
    let named = names(&text);
    let unknown: Vec<_> = named.iter().filter(|name| !is_known(name, &known)).collect();
    assert!(unknown.is_empty() && named.contains("hotline_alarm"), "the program has no {unknown:?}");
    let alerts = text.matches("- alert: ").count();
    assert!(alerts >= 10);
    for part in ["expr: ", "severity: ", "summary: \"", "description: \""] {
        assert_eq!(text.matches(part).count(), alerts, "each rule has its {part}");
    }
}

#[test]
fn every_alarm_is_in_the_document() {
    let text = read("docs/metrics.md");
    for alarm in Alarm::ALL {
        assert!(text.contains(&format!("| `{}` | {} |", alarm.code(), alarm.title())), "{}", alarm.code());
    }
}
