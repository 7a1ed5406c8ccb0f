//! Imports go one way. Reads every `crate::` path of `src` and fails on a wrong one, with file and line.
//!
//! `ids, clock, redact ← {sip, media, ivr, acd, ticket, sms, report} ← call ← {config, net, store} ← app ← http ← main`;
//! `sandbox` imports media and net, never sip, and only `main` imports it.

use std::{fs, path::Path};

/// Each room, and the rooms that it may import.
const ALLOWED: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("clock", &[]),
    ("redact", &[]),
    ("sip", &["ids", "clock"]),
    ("media", &["ids", "clock"]),
    ("ivr", &["ids", "clock"]),
    ("acd", &["ids", "clock"]),
    ("ticket", &["ids", "clock"]),
    ("sms", &["ids", "clock"]),
    ("report", &["ids", "clock"]),
    ("call", &["ids", "clock", "sip", "media", "ivr", "acd"]),
    ("config", &["ids", "clock", "sip", "media", "ivr", "acd", "ticket", "sms", "report", "call"]),
    ("net", &["ids", "clock", "redact", "sip", "media", "ivr", "acd", "ticket", "sms", "report", "call"]),
    ("store", &["ids", "clock", "sip", "media", "ivr", "acd", "ticket", "sms", "report", "call"]),
    ("sandbox", &["ids", "clock", "media", "net"]),
    (
        "app",
        &[
            "ids", "clock", "redact", "sip", "media", "ivr", "acd", "ticket", "sms", "report", "call", "config", "net",
            "store",
        ],
    ),
    (
        "http",
        &[
            "ids", "clock", "sip", "media", "ivr", "acd", "ticket", "sms", "report", "call", "config", "net", "store",
            "app",
        ],
    ),
];

/// What a core never names: it has no I/O and no clock.
const WORLD: &[&str] = &[
    "tokio",
    "sqlx",
    "axum",
    "std::fs",
    "std::net::Udp",
    "std::net::Tcp",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "rand::rng()",
    "thread_rng",
];
const CORES: &[&str] = &["ids", "clock", "redact", "sip", "media", "ivr", "acd", "ticket", "sms", "report", "call"];
/// The longest a source file may be, its tests aside.
const LONGEST: usize = 800;

struct Source {
    room: String,
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("the source folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("inside src").to_string_lossy().into_owned();
                let room = inside.split(['/', '.']).next().unwrap_or_default().to_owned();
                let text = fs::read_to_string(&path).expect("a source file");
                found.push(Source { room, path: inside, text });
            }
        }
    }
    assert!(found.len() > 20, "too few source files were found to be true");
    found
}

/// Whether a file is a module of tests.
fn is_test(path: &str) -> bool {
    let helpers = ["tests.rs", "pair.rs", "walk.rs", "torture.rs"];
    path.contains("/tests/") || helpers.iter().any(|helper| path.ends_with(helper))
}

/// The lines that are code: without comments, and without the tests at the file's end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let before_tests = lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    before_tests.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The rooms named by `crate::room` and by `crate::{room::…, room}` in a file.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let joined: Vec<(usize, &str)> = code(text).collect();
    for (at, (line, content)) in joined.iter().enumerate() {
        for (start, _) in content.match_indices("crate::") {
            let rest = &content[start + "crate::".len()..];
            if rest.starts_with('{') {
                let mut depth = 0usize;
                let mut word = String::new();
                'group: for (inner, text) in joined[at..].iter().map(|(n, t)| (*n, *t)) {
                    let text = if inner == *line { rest } else { text };
                    for c in text.chars() {
                        match c {
                            '{' | '}' | ',' | ':' => {
                                let name = word.trim();
                                if depth == 1 && !name.is_empty() {
                                    found.push((inner, name.to_owned()));
                                }
                                word.clear();
                                match c {
                                    '{' => depth += 1,
                                    '}' => depth -= 1,
                                    // The rest of a path is not a room's name.
                                    ':' if depth == 1 => depth += 100,
                                    ',' if depth == 101 => depth = 1,
                                    _ => {}
                                }
                                if depth == 0 || depth == 100 {
                                    break 'group;
                                }
                            }
                            c => word.push(c),
                        }
                    }
                }
            } else {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.push((*line, name));
            }
        }
    }
    found
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((_, allowed)) = ALLOWED.iter().find(|(room, _)| *room == source.room) else { continue };
        if is_test(&source.path) {
            continue;
        }
        for (line, name) in imports(&source.text) {
            let is_room = ALLOWED.iter().any(|(room, _)| *room == name);
            if is_room && name != source.room && !allowed.contains(&name.as_str()) {
                wrong.push(format!("src/{}:{line}: {} may not import {name}", source.path, source.room));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that go the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_groups_and_paths() {
    let text = "use crate::{\n    call::{Call, cdr},\n    ids::LegId,\n    sip,\n};\nfn f() { crate::media::x() }\n";
    let names: Vec<String> = imports(text).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["call", "ids", "sip", "media"]);
}

#[test]
fn cores_do_not_touch_the_world() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| CORES.contains(&source.room.as_str())) {
        if is_test(&source.path) {
            continue;
        }
        for (line, content) in code(&source.text) {
            for word in WORLD.iter().filter(|word| content.contains(**word)) {
                wrong.push(format!("src/{}:{line}: a core names {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "cores that touch the world:\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_readable() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|source| !is_test(&source.path))
        .map(|source| (&source.path, source.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("src/{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "over {LONGEST} lines, split them by noun:\n{}", long.join("\n"));
}

#[test]
fn main_alone_imports_the_sandbox() {
    for source in sources().iter().filter(|source| !matches!(source.room.as_str(), "sandbox" | "main" | "lib")) {
        let named = imports(&source.text).into_iter().find(|(_, name)| name == "sandbox");
        assert!(named.is_none(), "src/{}:{}: only main imports the sandbox", source.path, named.map_or(0, |n| n.0));
    }
}

/// What a page names in backticks.
fn named(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

#[test]
fn the_walk_through_names_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/architecture.md")).expect("docs/architecture.md");
    let texts: Vec<String> = sources().into_iter().map(|source| source.text).collect();
    let is_path = |name: &str| ["src/", "docs/", "tests/", "ivr-flows/"].iter().any(|start| name.starts_with(start));
    let mut wrong = Vec::new();
    for name in named(&page) {
        if is_path(name) && !root.join(name).exists() {
            wrong.push(format!("{name}: no such file"));
        }
        if let Some(function) = name.strip_suffix("()")
            && !texts.iter().any(|text| text.contains(&format!("fn {function}(")))
        {
            wrong.push(format!("{name}: no such function"));
        }
    }
    assert!(named(&page).filter(|name| is_path(name)).count() > 50, "the walk names too few files to be one");
    assert!(wrong.is_empty(), "docs/architecture.md names what is not there:\n{}", wrong.join("\n"));
}
