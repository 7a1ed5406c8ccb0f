//! Whether callers can get stuck in a flow, and whether what it refers to is there.

use super::{
    document::Located,
    fault::{Fault, nearest},
    flow::*,
    say,
};
use crate::ids::QueueName;
use std::collections::BTreeSet;

/// What a flow may refer to.
pub struct FlowContext<'a> {
    /// Whether there is a clip of this path, such as `prompts/zh/welcome.wav`.
    pub prompt_exists: &'a dyn Fn(&str) -> bool,
    /// The names of the queues in the settings.
    pub queues: &'a BTreeSet<String>,
    /// The numbers of the departmental hotlines in the settings, such as `12330`.
    pub hotlines: &'a BTreeSet<String>,
    /// The names of the opening hours that `hours` nodes may ask.
    pub calendars: &'a BTreeSet<String>,
}

impl Flow {
    /// Everything that is wrong with the flow, warnings included, sorted by place.
    pub fn check(&self, context: &FlowContext<'_>) -> Vec<Fault> {
        let mut checker = Checker { flow: self, faults: Vec::new() };
        checker.references(context);
        checker.dead_ends();
        checker.unreachable();
        checker.loops();
        checker.menus();
        let mut faults = checker.faults;
        faults.sort_by_key(|fault| (fault.line, fault.column));
        faults
    }
}

struct Checker<'a> {
    flow: &'a Flow,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    fn fault(&mut self, node: &Node, what: String, fix: impl Into<String>) {
        self.faults.push(Fault::new(&self.flow.file, node.place, what, fix));
    }

    fn unknown<T: std::fmt::Display>(&mut self, kind: &str, name: &Located<T>, known: &BTreeSet<String>) {
        let written = name.value.to_string();
        if known.contains(&written) {
            return;
        }
        let fix = match nearest(&written, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add it to the settings, or name another {kind}"),
        };
        self.faults.push(Fault::new(&self.flow.file, name.place, format!("there is no {kind} \"{written}\""), fix));
    }

    fn references(&mut self, context: &FlowContext<'_>) {
        let flow = self.flow;
        for node in &flow.nodes {
            for clip in node.clips().filter(|clip| !(context.prompt_exists)(&clip.value)) {
                let what = format!("prompt \"{}\" is missing", clip.value);
                let fix = format!("put the recording at ivr-flows/{} (8 kHz, 16-bit, mono WAV)", clip.value);
                self.faults.push(Fault::new(&flow.file, clip.place, what, fix));
            }
            match &node.kind {
                Kind::Queue(queue) => {
                    self.queue(node, &queue.name, context.queues);
                    match &queue.overflow {
                        Overflow::Queue(name) => self.unknown("queue", name, context.queues),
                        Overflow::Hotline(number) => self.unknown("hotline", number, context.hotlines),
                        // The second is for who withheld the number.
                        Overflow::Callback => self.spoken(node, &["queue_full", "system_error"], context),
                        Overflow::HangUp => self.spoken(node, &["system_error"], context),
                    }
                }
                Kind::ThreeWay { hotline } => self.unknown("hotline", hotline, context.hotlines),
                Kind::Hours { calendar } => {
                    let name = Located { value: calendar.clone(), place: node.place };
                    self.unknown("calendar", &name, context.calendars);
                }
                Kind::Say(_) => {
                    for clip in say::all_clips().iter().filter(|clip| !(context.prompt_exists)(clip)) {
                        let what = format!("prompt \"{clip}\", which `say` may need, is missing");
                        self.fault(node, what, format!("put the recording at ivr-flows/{clip}"));
                    }
                }
                Kind::Gather(_) | Kind::Play { .. } | Kind::Set(_) | Kind::If(_) | Kind::Goto | Kind::Hangup { .. } => {
                }
            }
        }
    }

    /// A queue that is not there is a fault, or a warning where a branch says what becomes of the caller then.
    fn queue(&mut self, node: &Node, name: &Located<QueueName>, known: &BTreeSet<String>) {
        let before = self.faults.len();
        self.unknown("queue", name, known);
        if node.on.contains_key("no_such_queue") {
            let found = self.faults.split_off(before);
            self.faults.extend(found.into_iter().map(Fault::as_warning));
        }
    }

    fn spoken(&mut self, node: &Node, words: &[&str], context: &FlowContext<'_>) {
        for clip in say::clips(words).iter().filter(|clip| !(context.prompt_exists)(clip)) {
            let what = format!("prompt \"{clip}\", which the overflow of \"{}\" plays, is missing", node.name);
            self.fault(node, what, format!("put the recording at ivr-flows/{clip}"));
        }
    }

    /// Nodes after which nothing comes, though the call goes on.
    fn dead_ends(&mut self) {
        for node in &self.flow.nodes {
            let (missing, fix) = match &node.kind {
                Kind::Play { .. } | Kind::Say(_) | Kind::Set(_) if node.next.is_none() => ("next", "next = \"NODE\""),
                Kind::Gather(_) if !node.on.contains_key("timeout") && node.next.is_none() => {
                    ("on.timeout", "on = { timeout = \"NODE\", … } for callers who press nothing")
                }
                Kind::ThreeWay { .. } if !node.on.contains_key("failed") && node.next.is_none() => {
                    ("on.failed", "on = { failed = \"NODE\" } for a hotline that does not answer")
                }
                _ => continue,
            };
            let what = format!("dead end: node \"{}\" has no `{missing}`", node.name);
            self.fault(node, what, format!("write {fix}"));
        }
    }

    fn unreachable(&mut self) {
        let reached = self.reach(self.flow.start, |node| node.edges().map(|(_, to)| to).collect());
        for (index, node) in self.flow.indexed() {
            if !reached.contains(&index) {
                let what = format!("node \"{}\" is unreachable", node.name);
                self.fault(node, what, "lead a key or a next to it, or remove it");
            }
        }
    }

    /// Loops without a way out: for anyone, for callers who press nothing, and those in which no time passes.
    fn loops(&mut self) {
        let flow = self.flow;
        let is_exit = |node: &Node| {
            matches!(node.kind, Kind::Hangup { .. } | Kind::Queue(_) | Kind::ThreeWay { .. })
                || (node.edges().next().is_none())
        };
        let every = |node: &Node| node.edges().map(|(_, to)| to).collect::<Vec<_>>();
        let silent = |node: &Node| match &node.kind {
            Kind::Gather(_) => node.on.get("timeout").copied().or(node.next).into_iter().collect(),
            _ => every(node),
        };
        let instant = |node: &Node| if node.kind.is_instant() { every(node) } else { Vec::new() };
        for (index, node) in flow.indexed() {
            let gets_out = |edges: &dyn Fn(&Node) -> Vec<NodeIndex>| {
                self.reach(index, edges).iter().any(|to| is_exit(flow.node(*to)))
            };
            let in_circle = |edges: &dyn Fn(&Node) -> Vec<NodeIndex>| {
                edges(node).iter().any(|to| self.reach(*to, edges).contains(&index))
            };
            if node.kind.is_instant() && in_circle(&instant) {
                let what = format!("node \"{}\" is in a loop in which no time passes", node.name);
                self.fault(node, what, "put a prompt or a menu into the loop, or lead it elsewhere");
            } else if in_circle(&every) && !gets_out(&every) {
                let what = format!("node \"{}\" is in a loop without a way out", node.name);
                self.fault(node, what, "lead one of its branches to a queue or to hangup");
            } else if in_circle(&silent) && !gets_out(&silent) {
                let what = format!("a caller who presses nothing never leaves the loop with node \"{}\"", node.name);
                self.fault(node, what, "lead on.timeout of one of its menus to a queue or to hangup");
            }
        }
    }

    /// Every menu has 0 for a person.
    fn menus(&mut self) {
        for node in &self.flow.nodes {
            let Kind::Gather(gather) = &node.kind else { continue };
            if !node.on.keys().any(|label| label.len() == 1 && label.chars().all(is_key)) {
                continue;
            }
            let what = match node.on.get("0") {
                None => format!("menu \"{}\" has no 0 for a person", node.name),
                Some(to) if !self.leads_to_person(*to) => {
                    format!("0 in menu \"{}\" does not lead to a person", node.name)
                }
                Some(_) if gather.terminator == Some('0') => {
                    format!("0 in menu \"{}\" ends the input and cannot be chosen", node.name)
                }
                Some(_) => continue,
            };
            let fault = Fault::new(&self.flow.file, node.place, what, "add \"0\" = \"NODE\" with a node that queues");
            self.faults.push(fault.as_warning());
        }
    }

    fn leads_to_person(&self, from: NodeIndex) -> bool {
        let reached = self.reach(from, |node| node.edges().map(|(_, to)| to).collect());
        reached.iter().any(|to| matches!(self.flow.node(*to).kind, Kind::Queue(_) | Kind::ThreeWay { .. }))
    }

    /// Every node that can be reached from `from`, itself included.
    fn reach(&self, from: NodeIndex, edges: impl Fn(&Node) -> Vec<NodeIndex>) -> BTreeSet<NodeIndex> {
        let mut reached = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(index) = open.pop() {
            open.extend(edges(self.flow.node(index)).into_iter().filter(|to| reached.insert(*to)));
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<Fault> {
        let flow = Flow::parse(text, "f.toml").unwrap();
        let set = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
        flow.check(&FlowContext {
            prompt_exists: &|clip| !clip.contains("missing"),
            queues: &set(&["general", "english"]),
            hotlines: &set(&["12330"]),
            calendars: &set(&["office"]),
        })
    }

    #[track_caller]
    fn assert_found(found: &[Fault], line: u32, what: &str) {
        assert!(found.iter().any(|f| f.line == line && f.to_string().contains(what)), "{line} {what}: {found:#?}");
    }

    #[test]
    fn shipped_flows_are_clean() {
        for text in [include_str!("../../ivr-flows/12345.toml"), include_str!("../../ivr-flows/menu_main.toml")] {
            assert_eq!(check(text), []);
        }
    }

    #[test]
    fn references_and_dead_ends() {
        let found = check(
            r#"version = 1
start = "a"
[node.a]
gather = { prompt = "prompts/zh/missing.wav" }
on = { "1" = "b", "2" = "c", "3" = "d" }
[node.b]
queue = { name = "generel", overflow = "hotline:12331" }
[node.c]
play = "prompts/zh/x.wav"
[node.d]
three_way = "12399"
[node.lost]
hours = "ofice"
on = { open = "b", closed = "b" }
"#,
        );
        assert_found(&found, 4, "prompt \"prompts/zh/missing.wav\" is missing");
        assert_found(&found, 3, "no `on.timeout`");
        assert_found(&found, 3, "has no 0 for a person");
        assert_found(&found, 7, "did you mean \"general\"?");
        assert_found(&found, 7, "there is no hotline \"12331\"");
        assert_found(&found, 8, "dead end: node \"c\"");
        assert_found(&found, 10, "dead end: node \"d\"");
        assert_found(&found, 11, "did you mean \"12330\"?");
        assert_found(&found, 12, "node \"lost\" is unreachable");
        assert_found(&found, 12, "did you mean \"office\"?");
        let warnings: Vec<_> = found.iter().filter(|f| f.is_warning()).collect();
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
    }

    #[test]
    fn loops() {
        let found = check(
            r#"version = 1
start = "a"
[node.a]
play = "x.wav"
next = "b"
[node.b]
goto = "a"
"#,
        );
        assert_found(&found, 3, "loop without a way out");
        let found = check(
            r#"version = 1
start = "a"
[node.a]
gather = { prompt = "x.wav" }
on = { "0" = "q", timeout = "a" }
[node.q]
queue = "general"
"#,
        );
        assert_found(&found, 3, "a caller who presses nothing never leaves");
        assert_eq!(found.len(), 1, "{found:#?}");
        let found = check(
            r#"version = 1
start = "a"
[node.a]
set = { x = "1" }
next = "b"
[node.b]
if = { variable = "x", is = "1" }
on = { yes = "a", no = "q" }
[node.q]
queue = "general"
"#,
        );
        assert_found(&found, 3, "in which no time passes");
    }

    #[test]
    fn zero_has_to_lead_to_a_person() {
        let found = check(
            r#"version = 1
start = "a"
[node.a]
gather = { prompt = "x.wav" }
on = { "0" = "bye", timeout = "bye" }
[node.bye]
hangup = { cause = 16, prompt = "prompts/zh/goodbye.wav" }
"#,
        );
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_found(&found, 3, "does not lead to a person");
        assert!(found[0].is_warning());
    }
}
