//! A flow from its TOML.

use super::{
    document::{self, Located, Table, Value},
    fault::{Fault, nearest},
    flow::*,
};
use crate::ids::{HotlineNo, QueueName};
use std::{collections::BTreeMap, time::Duration};

/// The node kinds and whether this program has them.
const KINDS: [(&str, bool); 18] = [
    ("gather", true),
    ("play", true),
    ("say", true),
    ("queue", true),
    ("three_way", true),
    ("hours", true),
    ("set", true),
    ("if", true),
    ("goto", true),
    ("hangup", true),
    ("transfer", false),
    ("language", false),
    ("record", false),
    ("callback", false),
    ("ticket_status", false),
    ("survey", false),
    ("sms", false),
    ("http", false),
];

/// Outcomes of a queue: why it gave the caller up.
const QUEUE_OUTCOMES: [&str; 5] = ["max_wait", "full", "empty", "no_such_queue", "exit"];
/// Outcomes of a three-way step.
const STEP_OUTCOMES: [&str; 5] = ["answered", "busy", "no_answer", "closed", "failed"];

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MAX_NODES: usize = 1000;
const MAX_CLIPS: usize = 50;

impl Flow {
    /// Reads a flow; `file` is what faults are reported under, its stem the flow's name. Errors with every fault in it,
    /// each with its place.
    pub fn parse(text: &str, file: &str) -> Result<Flow, Vec<Fault>> {
        let read = document::read(text, file, |root| read_flow(root, file))?;
        // A flow that could not be put together has reported why.
        read.ok_or_else(|| vec![Fault::of_file(file, "the flow has no usable nodes", "give it a start and a node")])
    }
}

fn read_flow(root: &Table<'_>, file: &str) -> Option<Flow> {
    if root.value("version").is_none() {
        root.missing("version", "write version = 1");
    }
    root.integer("version", 1..=1);
    let start = root.required_text("start", "write start = \"NODE\", the first node's name");
    let answer = root.choice("answer", &[("immediate", Answer::Immediate), ("on_agent", Answer::OnAgent)]);
    let max_call = root.duration("max_call", SECOND * 10..=HOUR * 24).unwrap_or(HOUR * 2);
    let ticket = root.flag("ticket").unwrap_or(true);
    let Some(table) = root.table("node") else {
        if root.value("node").is_none() {
            root.missing("node", "write at least one [node.NAME]");
        }
        return None;
    };
    let entries = table.all();
    if entries.len() > MAX_NODES {
        table.fault_at(table.place(), "too many nodes", format!("split the flow: {MAX_NODES} are the most"));
        return None;
    }
    let names: BTreeMap<&str, NodeIndex> =
        entries.iter().enumerate().map(|(at, (name, _))| (name.value.as_str(), NodeIndex(at))).collect();
    let nodes: Vec<Option<Node>> = entries.iter().map(|(name, value)| read_node(name, value, &names)).collect();
    let start = start.and_then(|name| match names.get(name.as_str()) {
        Some(index) => Some(*index),
        None => {
            root.fault("start", format!("start = \"{name}\" names no node"), which_node(&name, &names));
            None
        }
    })?;
    let nodes = nodes.into_iter().collect::<Option<Vec<_>>>()?;
    let stem = file.rsplit('/').next().unwrap_or(file);
    let name = stem.strip_suffix(".toml").unwrap_or(stem).to_string();
    Some(Flow { name, file: file.into(), start, answer: answer.unwrap_or_default(), max_call, ticket, nodes })
}

fn which_node(written: &str, names: &BTreeMap<&str, NodeIndex>) -> String {
    match nearest(written, names.keys().copied()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => {
            format!("add [node.{written}], or name one of: {}", names.keys().copied().collect::<Vec<_>>().join(", "))
        }
    }
}

/// A node's name as the value of `value`.
fn target(value: &Value<'_>, names: &BTreeMap<&str, NodeIndex>) -> Option<NodeIndex> {
    let name = value.text()?;
    let found = names.get(name).copied();
    if found.is_none() {
        value.fault(format!("there is no node \"{name}\""), which_node(name, names));
    }
    found
}

fn read_node(name: &Located<String>, value: &Value<'_>, names: &BTreeMap<&str, NodeIndex>) -> Option<Node> {
    let table = value.table()?;
    let mut found = Vec::new();
    for (word, supported) in KINDS {
        let Some(verb) = table.value(word) else { continue };
        if supported {
            found.push((word, verb));
        } else {
            verb.fault(format!("`{word}` nodes are not supported yet"), "use another kind of node here");
        }
        if found.len() > 1 {
            let what = format!("node \"{}\" is both `{}` and `{word}`", name.value, found[0].0);
            table.fault_at(name.place, what, "give each its own node and join them with next");
        }
    }
    let on_value = table.value("on");
    let next = table.value("next");
    let Some((word, verb)) = found.into_iter().next() else {
        let unsupported = KINDS.iter().any(|(word, supported)| !supported && table.value(word).is_some());
        if !unsupported {
            let kinds: Vec<_> = KINDS.iter().filter(|kind| kind.1).map(|kind| kind.0).collect();
            let what = format!("node \"{}\" does nothing", name.value);
            table.fault_at(name.place, what, format!("give it one of: {}", kinds.join(", ")));
        }
        return None;
    };
    let on = on_value.map(|on| read_branches(&on, word, names)).unwrap_or_default();
    let next = match word {
        "goto" => target(&verb, names),
        _ => next.and_then(|next| target(&next, names)),
    };
    let kind = read_kind(word, &verb, &on)?;
    require_branches(&table, name, &kind, &on);
    Some(Node { name: name.value.clone(), place: name.place, kind, on, next })
}

/// What an answer that can only be one of two must lead to.
fn require_branches(table: &Table<'_>, name: &Located<String>, kind: &Kind, on: &BTreeMap<String, NodeIndex>) {
    let wanted: &[&str] = match kind {
        Kind::Hours { .. } => &["open", "closed"],
        Kind::If(_) => &["yes", "no"],
        Kind::Gather(_)
        | Kind::Play { .. }
        | Kind::Say(_)
        | Kind::Queue(_)
        | Kind::ThreeWay { .. }
        | Kind::Set(_)
        | Kind::Goto
        | Kind::Hangup { .. } => &[],
    };
    for outcome in wanted.iter().filter(|outcome| !on.contains_key(**outcome)) {
        let what = format!("branch `{outcome}` is missing in node \"{}\"", name.value);
        table.fault_at(name.place, what, format!("write on = {{ {outcome} = \"NODE\", … }}"));
    }
}

/// `on = { "1" = "node", timeout = "node" }`, with the outcomes that the kind has.
fn read_branches(on: &Value<'_>, kind: &str, names: &BTreeMap<&str, NodeIndex>) -> BTreeMap<String, NodeIndex> {
    let Some(table) = on.table() else { return BTreeMap::new() };
    let (outcomes, keys): (&[&str], bool) = match kind {
        "gather" => (&["timeout", "invalid", "digits"], true),
        "queue" => (&QUEUE_OUTCOMES, true),
        "three_way" => (&STEP_OUTCOMES, false),
        "hours" => (&["open", "closed"], false),
        "if" => (&["yes", "no"], false),
        _ => (&[], false),
    };
    let mut branches = BTreeMap::new();
    for (label, value) in table.all() {
        let is_keys = keys && !label.value.is_empty() && label.value.len() <= 32 && label.value.chars().all(is_key);
        if !is_keys && !outcomes.contains(&label.value.as_str()) {
            let fix = match nearest(&label.value, outcomes.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None if keys => format!("use keys such as \"1\", or one of: {}", outcomes.join(", ")),
                None if outcomes.is_empty() => "remove it and write next = \"NODE\"".into(),
                None => format!("use one of: {}", outcomes.join(", ")),
            };
            table.fault_at(label.place, format!("a `{kind}` node has no outcome `{}`", label.value), fix);
        } else if kind == "queue" && is_keys && label.value.len() > 1 {
            let what = format!("`{}` is more than one key", label.value);
            table.fault_at(label.place, what, "a waiting caller leaves the queue with a single key");
        }
        if let Some(index) = target(&value, names) {
            branches.insert(label.value, index);
        }
    }
    branches
}

fn read_kind(word: &str, verb: &Value<'_>, on: &BTreeMap<String, NodeIndex>) -> Option<Kind> {
    match word {
        "gather" => read_gather(&verb.table()?, on).map(Kind::Gather),
        "play" => {
            let prompt = match verb.is_table() {
                true => prompts(&verb.table()?, "prompt"),
                false => limited(verb.texts(), verb),
            };
            if prompt.is_empty() {
                verb.fault("nothing to play", "name a clip such as \"prompts/zh/welcome.wav\"");
            }
            Some(Kind::Play { prompt })
        }
        "say" => read_say(&verb.table()?).map(Kind::Say),
        "queue" => read_queue(verb).map(Kind::Queue),
        "three_way" => {
            let hotline = match verb.is_table() {
                true => {
                    let table = verb.table()?;
                    let place = table.place_of("hotline");
                    let value = table.required_text("hotline", "write hotline = \"12330\"")?;
                    Located { value, place }
                }
                false => Located { value: verb.text()?.to_string(), place: verb.place() },
            };
            Some(Kind::ThreeWay { hotline: Located { value: HotlineNo::from(hotline.value), place: hotline.place } })
        }
        "hours" => {
            let calendar = match verb.is_table() {
                true => verb.table()?.required_text("calendar", "write calendar = \"NAME\"")?,
                false => verb.text()?.to_string(),
            };
            Some(Kind::Hours { calendar })
        }
        "set" => read_set(&verb.table()?).map(Kind::Set),
        "if" => read_condition(&verb.table()?).map(Kind::If),
        "goto" => Some(Kind::Goto),
        _ => read_hangup(verb),
    }
}

fn limited(clips: Vec<Located<String>>, value: &Value<'_>) -> Vec<Located<String>> {
    if clips.len() > MAX_CLIPS {
        value.fault(format!("{} clips in one go", clips.len()), format!("play {MAX_CLIPS} at most"));
    }
    clips
}

fn prompts(table: &Table<'_>, key: &'static str) -> Vec<Located<String>> {
    table.value(key).map(|value| limited(value.texts(), &value)).unwrap_or_default()
}

fn read_gather(table: &Table<'_>, on: &BTreeMap<String, NodeIndex>) -> Option<Gather> {
    let longest_key = on.keys().filter(|label| label.chars().all(is_key)).map(String::len).max();
    let terminator = match table.text("terminator") {
        None => None,
        Some(text) => match text.chars().next() {
            Some(key) if text.len() == 1 && is_key(key) => Some(key),
            _ => {
                table.fault("terminator", format!("`terminator` = \"{text}\" is not a key"), "write \"#\"");
                None
            }
        },
    };
    if let Some(key) = terminator
        && let Some(label) = on.keys().find(|label| label.chars().all(is_key) && label.contains(key))
    {
        let what = format!("key `{key}` ends the input and cannot be part of the branch \"{label}\"");
        table.fault("terminator", what, "use another terminator or another key");
    }
    if longest_key.is_none() && !on.contains_key("digits") {
        let fix = "add on = { \"0\" = \"NODE\", timeout = \"NODE\" }, or on.digits";
        table.fault_at(table.place(), "a `gather` node that no key gets out of", fix);
    }
    let default_max = if on.contains_key("digits") { 20 } else { longest_key.unwrap_or(1) };
    let max_digits = table.integer("max_digits", 1..=32).map_or(default_max, |n| n as usize);
    let min_digits = table.integer("min_digits", 1..=32).map_or(1, |n| n as usize);
    if min_digits > max_digits {
        let what = format!("min_digits = {min_digits} is more than max_digits = {max_digits}");
        table.fault("min_digits", what, "make max_digits at least as large");
    }
    if let Some(longest) = longest_key.filter(|longest| *longest > max_digits) {
        let what = format!("max_digits = {max_digits} makes the branch with {longest} keys unreachable");
        table.fault("max_digits", what, format!("write max_digits = {longest} or more"));
    }
    let variable = table.text("variable");
    if let Some(name) = &variable {
        check_variable(table, "variable", name);
    }
    Some(Gather {
        prompt: prompts(table, "prompt"),
        invalid_prompt: prompts(table, "invalid_prompt"),
        timeout_prompt: prompts(table, "timeout_prompt"),
        timeout: table.duration("timeout", Duration::ZERO..=SECOND * 120).unwrap_or(SECOND * 5),
        inter_digit: table.duration("inter_digit", Duration::from_millis(100)..=SECOND * 60).unwrap_or(SECOND * 3),
        max_tries: table.integer("max_tries", 1..=20).map_or(3, |n| n as u32),
        min_digits,
        max_digits,
        terminator,
        variable,
    })
}

fn check_variable(table: &Table<'_>, key: &'static str, name: &str) {
    if !is_variable_name(name) {
        table.fault(key, format!("\"{name}\" cannot name a variable"), "use letters, digits, _ and .");
    } else if name.starts_with("call.") {
        table.fault(key, format!("`{name}` is a fact of the call and cannot be set"), "use another name");
    }
}

fn template(value: &Value<'_>) -> Option<Template> {
    let text = value.text()?;
    let parsed = Template::parse(text);
    if parsed.is_none() {
        value.fault(format!("\"{text}\" has a brace without a variable's name"), "write {call.from}, for example");
    }
    parsed
}

fn read_say(table: &Table<'_>) -> Option<Say> {
    const WORDS: [(&str, SayKind); 6] = [
        ("number", SayKind::Number),
        ("digits", SayKind::Digits),
        ("telephone", SayKind::Telephone),
        ("ticket", SayKind::Ticket),
        ("position", SayKind::Position),
        ("wait", SayKind::Wait),
    ];
    let found: Vec<_> = WORDS.into_iter().filter_map(|(word, how)| Some((how, table.value(word)?))).collect();
    let [(how, value)] = found.as_slice() else {
        let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
        let what = if found.is_empty() { "nothing to say" } else { "more than one thing to say in one node" };
        table.fault_at(table.place(), what, format!("give it one of: {}", words.join(", ")));
        return None;
    };
    Some(Say { how: *how, text: template(value)? })
}

fn read_queue(verb: &Value<'_>) -> Option<Queue> {
    if !verb.is_table() {
        let name = Located { value: QueueName::from(verb.text()?), place: verb.place() };
        return Some(Queue { name, max_wait: None, overflow: Overflow::Callback, priority: 0 });
    }
    let table = verb.table()?;
    let place = table.place_of("name");
    let name = table.required_text("name", "write name = \"general\"");
    let max_wait = table.duration("max_wait", SECOND..=HOUR * 12);
    let overflow = read_overflow(&table);
    let priority = table.integer("priority", 0..=999).map_or(0, |n| n as u16);
    Some(Queue { name: Located { value: QueueName::from(name?), place }, max_wait, overflow, priority })
}

fn read_overflow(table: &Table<'_>) -> Overflow {
    let Some(text) = table.text("overflow") else { return Overflow::Callback };
    let place = table.place_of("overflow");
    match text.split_once(':') {
        None if text == "callback" => return Overflow::Callback,
        None if text == "hang_up" => return Overflow::HangUp,
        None if text == "message" => {
            table.fault("overflow", "overflow = \"message\" is not supported yet", "use \"callback\"");
            return Overflow::Callback;
        }
        Some(("queue", name)) if !name.is_empty() => return Overflow::Queue(Located { value: name.into(), place }),
        Some(("hotline", number)) if !number.is_empty() => {
            return Overflow::Hotline(Located { value: number.into(), place });
        }
        _ => {}
    }
    let fix = "write \"callback\", \"hang_up\", \"queue:NAME\" or \"hotline:NUMBER\"";
    table.fault("overflow", format!("`overflow` = \"{text}\" is unknown"), fix);
    Overflow::Callback
}

fn read_set(table: &Table<'_>) -> Option<Vec<(String, Template)>> {
    let mut settings = Vec::new();
    for (name, value) in table.all() {
        if !is_variable_name(&name.value) || name.value.starts_with("call.") {
            let what = format!("\"{}\" cannot be set", name.value);
            table.fault_at(name.place, what, "use letters, digits and _; call.* are facts of the call");
        }
        if let Some(template) = template(&value) {
            settings.push((name.value, template));
        }
    }
    if settings.is_empty() {
        table.fault_at(table.place(), "nothing to set", "write set = { name = \"value\" }");
    }
    Some(settings)
}

fn read_condition(table: &Table<'_>) -> Option<Condition> {
    let variable = table.required_text("variable", "write variable = \"call.dialled\", for example");
    let mut tests = Vec::new();
    let any = i64::MIN..=i64::MAX;
    tests.extend(table.value("is").and_then(|v| template(&v)).map(Test::Is));
    tests.extend(table.value("is_not").and_then(|v| template(&v)).map(Test::IsNot));
    tests.extend(table.value("starts_with").and_then(|v| template(&v)).map(Test::StartsWith));
    tests.extend(table.value("in").map(|v| Test::In(v.texts().into_iter().map(|text| text.value).collect())));
    tests.extend(table.integer("above", any.clone()).map(Test::Above));
    tests.extend(table.integer("below", any).map(Test::Below));
    if tests.len() != 1 {
        let what = format!("`if` has {} tests", tests.len());
        table.fault_at(table.place(), what, "give it exactly one of: is, is_not, in, starts_with, above, below");
        return None;
    }
    let test = tests.pop()?;
    Some(Condition { variable: variable?, test })
}

fn read_hangup(verb: &Value<'_>) -> Option<Kind> {
    const NORMAL: u8 = 16;
    if verb.is_table() {
        let table = verb.table()?;
        let cause = table.integer("cause", 1..=127).map_or(NORMAL, |n| n as u8);
        return Some(Kind::Hangup { cause, prompt: prompts(&table, "prompt") });
    }
    match verb.as_text() {
        Some("normal") => Some(Kind::Hangup { cause: NORMAL, prompt: Vec::new() }),
        Some("busy") => Some(Kind::Hangup { cause: 17, prompt: Vec::new() }),
        Some(_) => {
            verb.fault("`hangup` knows \"normal\" and \"busy\"", "or write hangup = { cause = 16, prompt = \"…\" }");
            None
        }
        None => match verb.flag() {
            Some(true) => Some(Kind::Hangup { cause: NORMAL, prompt: Vec::new() }),
            Some(false) => {
                verb.fault("hangup = false does nothing", "write hangup = true, or remove the node");
                None
            }
            None => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<Fault> {
        Flow::parse(text, "ivr-flows/f.toml").unwrap_err()
    }

    /// The example of the interface, word by word, with the nodes that it names.
    const EXAMPLE: &str = r#"
version = 1
start = "welcome"
[node.welcome]          # keys are taken while it plays; 0.5 s after its end the caller is in the queue
gather = { prompt = ["prompts/zh/welcome.wav", "prompts/zh/to_agent_keys.wav"], timeout = "0.5s", inter_digit = "2s", max_tries = 1 }
on = { "4" = "progress", "9" = "english", timeout = "agent", invalid = "agent", "0" = "agent" }
[node.agent]
queue = { name = "general", max_wait = "120s", overflow = "callback" }
"#;

    #[test]
    fn the_example_is_read() {
        let text = format!("{EXAMPLE}[node.progress]\ngoto = \"agent\"\n[node.english]\ngoto = \"agent\"\n");
        let flow = Flow::parse(&text, "ivr-flows/f.toml").unwrap();
        assert_eq!((flow.name.as_str(), flow.ticket, flow.max_call), ("f", true, HOUR * 2));
        let welcome = flow.node(flow.start);
        assert_eq!(welcome.name, "welcome");
        let Kind::Gather(gather) = &welcome.kind else { panic!("{welcome:?}") };
        assert_eq!((gather.timeout, gather.inter_digit), (SECOND / 2, SECOND * 2));
        assert_eq!((gather.max_tries, gather.min_digits, gather.max_digits), (1, 1, 1));
        assert_eq!(welcome.on.len(), 5);
        let Kind::Queue(queue) = &flow.nodes[1].kind else { panic!() };
        assert_eq!((queue.max_wait, &queue.overflow), (Some(SECOND * 120), &Overflow::Callback));
    }

    #[test]
    fn nodes_that_are_not_there_are_named_with_their_line() {
        let found = faults(EXAMPLE);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [6, 6], "{found:#?}");
        assert!(found[0].what.contains("\"progress\"") && found[1].what.contains("\"english\""));
        assert_eq!(found[0].column, 14);
    }

    #[test]
    fn every_fault_at_once() {
        let found = faults(
            r#"version = 2
start = "welcom"
answr = "immediate"
[node.welcome]
gather = { promt = "a.wav", timeout = 5, max_tries = 0 }
on = { "1" = "quue", timout = "queue" }
[node.queue]
queue = { overflow = "elsewhere" }
[node.status]
ticket_status = { }
[node.odd]
dance = true
[node.both]
play = "a.wav"
hangup = true
[node.hours]
hours = "office"
on = { open = "queue" }
[node.test]
if = { variable = "x", is = "1", above = 2 }
on = { yes = "queue", no = "queue" }
[node.say]
say = { number = "{" }
"#,
        );
        let has = |line: u32, what: &str| found.iter().any(|f| f.line == line && f.to_string().contains(what));
        for (line, what) in [
            (1, "`version` = 2 is out of range"),
            (2, "did you mean \"welcome\"?"),
            (3, "did you mean `answer`?"),
            (5, "did you mean `prompt`?"),
            (5, "write a time with its unit"),
            (5, "`node.welcome.gather.max_tries` = 0 is out of range"),
            (6, "there is no node \"quue\""),
            (6, "did you mean `timeout`?"),
            (8, "`name` is missing"),
            (8, "`overflow` = \"elsewhere\" is unknown"),
            (10, "`ticket_status` nodes are not supported yet"),
            (11, "node \"odd\" does nothing"),
            (12, "unknown key `node.odd.dance`"),
            (13, "both `play` and `hangup`"),
            (16, "branch `closed` is missing"),
            (20, "`if` has 2 tests"),
            (23, "brace"),
        ] {
            assert!(has(line, what), "line {line}: {what} not in {found:#?}");
        }
    }

    #[test]
    fn kinds_to_come_are_not_called_unknown() {
        for (word, _) in KINDS.iter().filter(|kind| !kind.1) {
            let found = faults(&format!("version = 1\nstart = \"a\"\n[node.a]\n{word} = {{ x = 1 }}\n"));
            assert_eq!(found.len(), 1, "{found:#?}");
            assert!(found[0].what.contains("not supported yet"), "{found:#?}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in
            ["", "version", "[node]", "node = 1", "start = \"a\"\n[node.a]\nplay=[]", "\u{feff}version = 1", "[["]
        {
            assert!(!faults(text).is_empty(), "{text}");
        }
    }
}
