//! One caller's walk through a flow: what it is told and what it asks for.
//!
//! Driven from outside: give it [`Input`]s and due time-outs, then take [`Output`]s until there are none and ask for
//! the next time-out. It is over after `Hangup`. It opens no clip, knows no queue and reads no clock; how long the whole
//! call may last ([`Flow::max_call`](super::Flow)) is the call's to enforce. A flow that is reloaded meanwhile is
//! another one: the session keeps its own.

use super::{
    flow::{Flow, Gather, Kind, NodeIndex, Overflow, SayKind, is_key},
    say,
};
use crate::{
    clock::{Now, UnixMillis},
    ids::{HotlineNo, QueueName},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Names one thing that was asked to be played, so that a late end is told from the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayToken(pub u64);

/// What the session is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A key, `0`–`9`, `*`, `#` or `A`–`D`; any other is passed over.
    Digit(char),
    /// What was asked for under this token has been heard to its end.
    PlayDone(PlayToken),
    /// The queue gave up on the caller: "max_wait", "full", "empty", "no_such_queue"; or "exit" after an exit key.
    QueueLeft {
        /// An outcome of the `queue` node.
        why: String,
    },
    /// A three-way step ended: "answered" once they have talked and the department hung up, else "busy", "no_answer",
    /// "closed" or "failed".
    StepDone {
        /// An outcome of the `three_way` node.
        result: String,
    },
}

/// What the session asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Play these clips, named by path such as `prompts/zh/welcome.wav`; replaces what plays.
    Play {
        /// Comes back in [`Input::PlayDone`].
        token: PlayToken,
        /// One after the other, without a pause.
        clips: Vec<String>,
    },
    /// A key was pressed: what plays is cut short.
    StopPlay,
    /// The caller waits for an agent; the session goes on only if the queue gives up or a key leads out of it.
    Enqueue {
        /// The queue's name in the settings.
        queue: QueueName,
        /// When the queue is to give up; None leaves it to the queue's own settings.
        max_wait: Option<Duration>,
        /// As written, for the record: the session follows it itself once told [`Input::QueueLeft`].
        overflow: String,
        /// 0–999, higher is served first.
        priority: u16,
    },
    /// The caller pressed a key that leads out of the queue: take the place back.
    LeaveQueue,
    /// The queue gave the caller up: note that a call back is owed, with the place in this queue.
    OweCallback {
        /// The queue whose place is kept.
        queue: QueueName,
    },
    /// Connect the caller with a department; ends in [`Input::StepDone`].
    ThreeWay {
        /// The department's number.
        hotline: HotlineNo,
    },
    /// The flow is over: hang up with this Q.850 cause.
    Hangup {
        /// ITU-T Q.850, such as 16 for normal clearing.
        cause: u8,
    },
}

/// What a time-out is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No first key since the prompt's end.
    FirstDigit,
    /// No further key.
    InterDigit,
}

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// `call.from`.
    pub from: String,
    /// `call.dialled`: the number as dialled, an alias included.
    pub dialled: String,
}

/// Opening hours by the calendar's name.
pub trait Hours: Send + Sync {
    /// Whether `calendar` is open at `now`; an unknown calendar is closed.
    fn open(&self, calendar: &str, now: UnixMillis) -> bool;
}

impl<F: Fn(&str, UnixMillis) -> bool + Send + Sync> Hours for F {
    fn open(&self, calendar: &str, now: UnixMillis) -> bool {
        self(calendar, now)
    }
}

/// Where the caller is.
#[derive(Clone, Debug, PartialEq)]
enum State {
    /// Hears something; a key cuts it short only where a menu follows.
    Playing {
        token: PlayToken,
        then: Then,
    },
    /// Hears a menu's prompt; the first key cuts it short.
    Prompting {
        node: NodeIndex,
        token: PlayToken,
        tries: u32,
    },
    /// Keys are awaited.
    Collecting {
        node: NodeIndex,
        tries: u32,
        digits: String,
        deadline: Instant,
    },
    /// `overflowed`: in the queue that the node's overflow names, not in its own.
    Queued {
        node: NodeIndex,
        overflowed: bool,
    },
    ThreeWay {
        node: NodeIndex,
    },
    Ended,
}

/// What follows a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Go(Option<NodeIndex>),
    Hangup(u8),
}

/// How far an input has got.
enum Verdict {
    Wait,
    Go(NodeIndex),
    Invalid,
}

/// Keys that are kept for the next menu, at most.
const MAX_TYPED_AHEAD: usize = 32;
/// Nodes that are gone through between two inputs, at most: beyond, the flow turns in a circle.
const MAX_HOPS: u32 = 100;
/// Q.850: normal clearing, user busy, normal unspecified, temporary failure.
const NORMAL: u8 = 16;
const BUSY: u8 = 17;
const UNSPECIFIED: u8 = 31;
const TEMPORARY_FAILURE: u8 = 41;

/// One caller in one flow.
pub struct Session {
    flow: Arc<Flow>,
    hours: Arc<dyn Hours>,
    variables: BTreeMap<String, String>,
    /// The variables that `set` steps wrote: what the caller chose, without what was keyed.
    chosen: BTreeMap<String, String>,
    state: State,
    outputs: VecDeque<Output>,
    typed_ahead: VecDeque<char>,
    last_token: u64,
    hops: u32,
    /// The node entered last.
    at: NodeIndex,
}

impl Session {
    /// Begins the walk at the flow's start; its first outputs are ready.
    pub fn new(flow: Arc<Flow>, caller: &Caller, hours: Arc<dyn Hours>, now: Now) -> Self {
        let variables = BTreeMap::from([
            ("call.from".to_string(), caller.from.clone()),
            ("call.dialled".to_string(), caller.dialled.clone()),
        ]);
        let start = flow.start;
        let (outputs, typed_ahead) = (VecDeque::new(), VecDeque::new());
        let state = State::Ended;
        let chosen = BTreeMap::new();
        let mut session =
            Session { flow, hours, variables, chosen, state, outputs, typed_ahead, last_token: 0, hops: 0, at: start };
        session.enter(now, start);
        session
    }

    /// The flow that this session keeps.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The name of the node where the caller is.
    pub fn node_name(&self) -> &str {
        &self.flow.node(self.at).name
    }

    /// Whether the walk is over.
    pub fn is_over(&self) -> bool {
        self.state == State::Ended
    }

    /// A variable's value.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// What the caller chose: the variables that the flow's `set` steps wrote, such as `purpose` and `language`. What
    /// was keyed by hand is not among them: it may be a secret.
    pub fn chosen(&self) -> &BTreeMap<String, String> {
        &self.chosen
    }

    /// What is asked for next; None when there is nothing more until the next input or time-out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        match &self.state {
            State::Collecting { digits, deadline, .. } if digits.is_empty() => Some((*deadline, Reason::FirstDigit)),
            State::Collecting { deadline, .. } => Some((*deadline, Reason::InterDigit)),
            State::Playing { .. }
            | State::Prompting { .. }
            | State::Queued { .. }
            | State::ThreeWay { .. }
            | State::Ended => None,
        }
    }

    /// Does what is due at `now`; harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Now) {
        let State::Collecting { node, tries, digits, deadline } = &self.state else { return };
        if now.mono < *deadline {
            return;
        }
        let (node, tries, digits) = (*node, *tries, digits.clone());
        self.hops = 0;
        if digits.is_empty() {
            self.try_again(now, node, tries, "timeout");
        } else {
            self.judge(now, node, tries, digits, true);
        }
    }

    /// Takes in what happened; late and unexpected inputs change nothing.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        self.hops = 0;
        match input {
            Input::Digit(key) if is_key(key) => self.key(now, key),
            Input::Digit(_) => {}
            Input::PlayDone(token) => self.play_done(now, token),
            Input::QueueLeft { why } => self.queue_left(now, &why),
            Input::StepDone { result } => self.step_done(now, &result),
        }
    }

    fn key(&mut self, now: Now, key: char) {
        match &mut self.state {
            State::Playing { then, .. } => {
                let then = *then;
                if self.typed_ahead.len() < MAX_TYPED_AHEAD {
                    self.typed_ahead.push_back(key);
                }
                if let Then::Go(Some(next)) = then
                    && self.leads_to_menu(next)
                {
                    self.outputs.push_back(Output::StopPlay);
                    self.go(now, Some(next));
                }
            }
            State::Prompting { node, tries, .. } => {
                let (node, tries) = (*node, *tries);
                self.outputs.push_back(Output::StopPlay);
                self.collect_key(now, node, tries, String::new(), key);
            }
            State::Collecting { node, tries, digits, .. } => {
                let (node, tries, digits) = (*node, *tries, std::mem::take(digits));
                self.collect_key(now, node, tries, digits, key);
            }
            State::Queued { node, .. } => {
                let mut label = [0u8; 4];
                let label: &str = key.encode_utf8(&mut label);
                if let Some(next) = self.flow.node(*node).on.get(label).copied() {
                    self.outputs.push_back(Output::LeaveQueue);
                    self.enter(now, next);
                }
            }
            State::ThreeWay { .. } | State::Ended => {}
        }
    }

    /// Whether a menu follows with nothing to be heard before it.
    fn leads_to_menu(&self, mut index: NodeIndex) -> bool {
        for _ in 0..MAX_HOPS {
            let node = self.flow.node(index);
            match (&node.kind, node.next) {
                (Kind::Gather(_), _) => return true,
                (Kind::Goto | Kind::Set(_), Some(next)) => index = next,
                _ => return false,
            }
        }
        false
    }

    fn play_done(&mut self, now: Now, done: PlayToken) {
        match &self.state {
            State::Playing { token, then } if *token == done => match *then {
                Then::Go(next) => self.go(now, next),
                Then::Hangup(cause) => self.hang_up(cause),
            },
            State::Prompting { node, token, tries } if *token == done => {
                let (node, tries) = (*node, *tries);
                self.await_first_key(now, node, tries);
            }
            State::Playing { .. }
            | State::Prompting { .. }
            | State::Collecting { .. }
            | State::Queued { .. }
            | State::ThreeWay { .. }
            | State::Ended => {}
        }
    }

    fn queue_left(&mut self, now: Now, why: &str) {
        let State::Queued { node: index, overflowed } = self.state else { return };
        let node = self.flow.node(index);
        if let Some(next) = node.on.get(why).copied().or(node.next) {
            return self.enter(now, next);
        }
        let Kind::Queue(queue) = &node.kind else { return };
        let name = queue.name.value.clone();
        match queue.overflow.clone() {
            Overflow::Callback => self.owe_callback(name),
            Overflow::HangUp => self.play(say::clips(&["system_error"]), Then::Hangup(BUSY)),
            // A second queue that gives up as well ends in a call back: the caller is not handed round.
            Overflow::Queue(other) if !overflowed => {
                self.outputs.push_back(Output::Enqueue {
                    queue: other.value,
                    max_wait: queue.max_wait,
                    overflow: Overflow::Callback.word(),
                    priority: queue.priority,
                });
                self.state = State::Queued { node: index, overflowed: true };
            }
            Overflow::Queue(_) => self.owe_callback(name),
            Overflow::Hotline(hotline) => {
                self.outputs.push_back(Output::ThreeWay { hotline: hotline.value });
                self.state = State::ThreeWay { node: index };
            }
        }
    }

    /// A caller whose number was withheld is promised nothing: there is no number to call.
    fn owe_callback(&mut self, queue: QueueName) {
        if self.variable("call.from").is_none_or(str::is_empty) {
            return self.play(say::clips(&["system_error"]), Then::Hangup(BUSY));
        }
        self.outputs.push_back(Output::OweCallback { queue });
        let mut clips = say::clips(&["queue_full"]);
        if self.variable("language") == Some("en") {
            clips.push("prompts/en/goodbye.wav".to_owned());
        }
        self.play(clips, Then::Hangup(NORMAL));
    }

    fn step_done(&mut self, now: Now, result: &str) {
        let State::ThreeWay { node } = self.state else { return };
        let node = self.flow.node(node);
        let branch = node.on.get(result).copied();
        let (failed, next) = (node.on.get("failed").copied(), node.next);
        match (result, branch) {
            (_, Some(next)) => self.enter(now, next),
            ("answered", None) => self.hang_up(NORMAL),
            (_, None) => match failed.or(next) {
                Some(next) => self.enter(now, next),
                None => self.play(say::clips(&["system_error"]), Then::Hangup(UNSPECIFIED)),
            },
        }
    }

    fn go(&mut self, now: Now, next: Option<NodeIndex>) {
        match next {
            Some(next) => self.enter(now, next),
            None => self.hang_up(UNSPECIFIED),
        }
    }

    fn hang_up(&mut self, cause: u8) {
        self.outputs.push_back(Output::Hangup { cause });
        self.state = State::Ended;
    }

    fn play(&mut self, clips: Vec<String>, then: Then) {
        self.last_token += 1;
        let token = PlayToken(self.last_token);
        self.outputs.push_back(Output::Play { token, clips });
        self.state = State::Playing { token, then };
    }

    /// Enters `index` and every node after it in which no time is spent.
    fn enter(&mut self, now: Now, index: NodeIndex) {
        let flow = Arc::clone(&self.flow);
        let mut next = Some(index);
        while let Some(index) = next {
            self.hops += 1;
            if self.hops > MAX_HOPS {
                return self.hang_up(TEMPORARY_FAILURE);
            }
            self.at = index;
            let node = flow.node(index);
            next = match &node.kind {
                Kind::Hours { calendar } => {
                    let outcome = if self.hours.open(calendar, now.wall) { "open" } else { "closed" };
                    node.on.get(outcome).copied().or(node.next)
                }
                Kind::If(condition) => {
                    let outcome = if condition.holds(&self.variables) { "yes" } else { "no" };
                    node.on.get(outcome).copied().or(node.next)
                }
                Kind::Set(settings) => {
                    for (name, template) in settings {
                        let value = template.expand(&self.variables);
                        self.variables.insert(name.clone(), value.clone());
                        self.chosen.insert(name.clone(), value);
                    }
                    node.next
                }
                Kind::Goto => node.next,
                Kind::Gather(_)
                | Kind::Play { .. }
                | Kind::Say(_)
                | Kind::Queue(_)
                | Kind::ThreeWay { .. }
                | Kind::Hangup { .. } => return self.stay(now, index),
            };
        }
        self.hang_up(UNSPECIFIED);
    }

    /// Begins a node in which time is spent.
    fn stay(&mut self, now: Now, index: NodeIndex) {
        let flow = Arc::clone(&self.flow);
        let node = flow.node(index);
        match &node.kind {
            Kind::Gather(gather) => self.prompt(now, index, gather, 1, ""),
            Kind::Play { prompt } => self.play(names(prompt), Then::Go(node.next)),
            Kind::Say(wanted) => {
                let text = wanted.text.expand(&self.variables);
                let clips = spoken(wanted.how, &text);
                match clips.is_empty() {
                    true => self.go(now, node.next),
                    false => self.play(clips, Then::Go(node.next)),
                }
            }
            Kind::Queue(queue) => {
                self.typed_ahead.clear();
                self.outputs.push_back(Output::Enqueue {
                    queue: queue.name.value.clone(),
                    max_wait: queue.max_wait,
                    overflow: queue.overflow.word(),
                    priority: queue.priority,
                });
                self.state = State::Queued { node: index, overflowed: false };
            }
            Kind::ThreeWay { hotline } => {
                self.outputs.push_back(Output::ThreeWay { hotline: hotline.value.clone() });
                self.state = State::ThreeWay { node: index };
            }
            Kind::Hangup { cause, prompt } => match prompt.is_empty() {
                true => self.hang_up(*cause),
                false => self.play(names(prompt), Then::Hangup(*cause)),
            },
            // `enter` passes through these.
            Kind::Hours { .. } | Kind::Set(_) | Kind::If(_) | Kind::Goto => {}
        }
    }

    /// Plays a menu's prompt for the `tries`th time, unless keys were typed ahead.
    fn prompt(&mut self, now: Now, index: NodeIndex, gather: &Gather, tries: u32, why_again: &str) {
        if let Some(key) = self.typed_ahead.pop_front() {
            return self.collect_key(now, index, tries, String::new(), key);
        }
        let mut clips = match why_again {
            "invalid" => names(&gather.invalid_prompt),
            "timeout" => names(&gather.timeout_prompt),
            _ => Vec::new(),
        };
        clips.extend(names(&gather.prompt));
        if clips.is_empty() {
            return self.await_first_key(now, index, tries);
        }
        self.last_token += 1;
        let token = PlayToken(self.last_token);
        self.outputs.push_back(Output::Play { token, clips });
        self.state = State::Prompting { node: index, token, tries };
    }

    fn await_first_key(&mut self, now: Now, node: NodeIndex, tries: u32) {
        let Some(gather) = self.gather(node) else { return };
        let deadline = now.mono + gather.timeout;
        self.state = State::Collecting { node, tries, digits: String::new(), deadline };
    }

    fn gather(&self, index: NodeIndex) -> Option<&Gather> {
        match &self.flow.node(index).kind {
            Kind::Gather(gather) => Some(gather),
            Kind::Play { .. }
            | Kind::Say(_)
            | Kind::Queue(_)
            | Kind::ThreeWay { .. }
            | Kind::Hours { .. }
            | Kind::Set(_)
            | Kind::If(_)
            | Kind::Goto
            | Kind::Hangup { .. } => None,
        }
    }

    /// Takes one key of an input, and those typed ahead of it.
    fn collect_key(&mut self, now: Now, node: NodeIndex, tries: u32, mut digits: String, key: char) {
        let Some(gather) = self.gather(node) else { return };
        let (inter_digit, terminator) = (gather.inter_digit, gather.terminator);
        let ended = terminator == Some(key);
        if !ended {
            digits.push(key);
        }
        self.state = State::Collecting { node, tries, digits: digits.clone(), deadline: now.mono + inter_digit };
        self.judge(now, node, tries, digits, ended);
        if let State::Collecting { node: same, tries, digits, .. } = &mut self.state
            && *same == node
            && let Some(key) = self.typed_ahead.pop_front()
        {
            let (tries, digits) = (*tries, std::mem::take(digits));
            self.collect_key(now, node, tries, digits, key);
        }
    }

    fn judge(&mut self, now: Now, node: NodeIndex, tries: u32, digits: String, ended: bool) {
        let Some(gather) = self.gather(node) else { return };
        let branches = &self.flow.node(node).on;
        let free = branches.get("digits").copied();
        let full = ended || digits.len() >= gather.max_digits;
        let longer = branches
            .keys()
            .any(|label| label.len() > digits.len() && label.starts_with(&digits) && label.chars().all(is_key));
        let verdict = match branches.get(&digits).copied() {
            _ if !full && (longer || free.is_some()) => Verdict::Wait,
            Some(next) => Verdict::Go(next),
            None => match free {
                Some(next) if digits.len() >= gather.min_digits => Verdict::Go(next),
                _ => Verdict::Invalid,
            },
        };
        match verdict {
            Verdict::Wait => {}
            Verdict::Go(next) => {
                if let Some(name) = gather.variable.clone() {
                    self.variables.insert(name, digits.clone());
                }
                self.variables.insert("digits".into(), digits);
                self.enter(now, next);
            }
            Verdict::Invalid => {
                self.variables.insert("digits".into(), digits);
                self.try_again(now, node, tries, "invalid");
            }
        }
    }

    /// Repeats the prompt, or leaves by `outcome` when there were tries enough.
    fn try_again(&mut self, now: Now, node: NodeIndex, tries: u32, outcome: &str) {
        self.typed_ahead.clear();
        let flow = Arc::clone(&self.flow);
        let Kind::Gather(gather) = &flow.node(node).kind else { return };
        if tries < gather.max_tries {
            return self.prompt(now, node, gather, tries + 1, outcome);
        }
        let branches = &flow.node(node).on;
        let next = branches.get(outcome).or_else(|| branches.get("timeout")).copied();
        self.go(now, next.or(flow.node(node).next));
    }
}

fn names(clips: &[super::document::Located<String>]) -> Vec<String> {
    clips.iter().map(|clip| clip.value.clone()).collect()
}

/// The clips for a value; nothing for one that cannot be spoken that way.
fn spoken(how: SayKind, text: &str) -> Vec<String> {
    let number = text.trim().parse::<u64>();
    let words = match how {
        SayKind::Number => number.map(say::number_zh).unwrap_or_default(),
        SayKind::Digits => say::digits_zh(text),
        SayKind::Telephone => say::telephone_zh(text),
        SayKind::Ticket => say::ticket_zh(text),
        SayKind::Position => number.map(say::position_zh).unwrap_or_default(),
        SayKind::Wait => number.map(|seconds| say::wait_zh(Duration::from_secs(seconds))).unwrap_or_default(),
    };
    say::clips(&words)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may ask the clock")]
mod tests {
    use super::*;

    /// A session on a virtual clock.
    struct Stage {
        session: Session,
        now: Now,
    }

    const MILLI: Duration = Duration::from_millis(1);

    impl Stage {
        fn new(text: &str) -> Self {
            Stage::by("13912345678", text)
        }

        fn by(from: &str, text: &str) -> Self {
            let flow = Arc::new(Flow::parse(text, "f.toml").unwrap());
            let hours = Arc::new(|calendar: &str, now: UnixMillis| calendar == "office" && now.0 < 1000);
            let now = Now { mono: Instant::now(), wall: UnixMillis(0) };
            let caller = Caller { from: from.into(), dialled: "12319".into() };
            Stage { session: Session::new(flow, &caller, hours, now), now }
        }

        fn out(&mut self) -> Vec<Output> {
            std::iter::from_fn(|| self.session.poll_output()).collect()
        }

        /// The token of the one thing that is to be played now.
        #[track_caller]
        fn played(&mut self, clip: &str) -> PlayToken {
            let out = self.out();
            match out.as_slice() {
                [.., Output::Play { token, clips }] if clips.iter().any(|c| c.contains(clip)) => *token,
                other => panic!("{clip} is not played: {other:?}"),
            }
        }

        fn done(&mut self, token: PlayToken) {
            self.session.handle_input(self.now, Input::PlayDone(token));
        }

        fn keys(&mut self, keys: &str) {
            for key in keys.chars() {
                self.session.handle_input(self.now, Input::Digit(key));
            }
        }

        fn pass(&mut self, time: Duration) {
            self.now = self.now.plus(time);
            self.session.handle_timeout(self.now);
        }
    }

    const MENU: &str = r#"version = 1
start = "menu"
[node.menu]
gather = { prompt = "menu.wav", invalid_prompt = "wrong.wav", timeout_prompt = "silent.wav", timeout = "5s", inter_digit = "2s", max_tries = 2 }
on = { "1" = "one", "12" = "twelve", "0" = "agent", timeout = "bye", invalid = "lost" }
[node.one]
play = "one.wav"
next = "bye"
[node.twelve]
play = "twelve.wav"
next = "bye"
[node.agent]
queue = { name = "general", max_wait = "120s", overflow = "callback" }
[node.bye]
hangup = { cause = 16, prompt = "bye.wav" }
[node.lost]
hangup = { cause = 31 }
"#;

    fn enqueue(queue: &str, overflow: &str) -> Output {
        let max_wait = Some(Duration::from_secs(120));
        Output::Enqueue { queue: queue.into(), max_wait, overflow: overflow.into(), priority: 0 }
    }

    #[test]
    fn zero_cuts_the_prompt_and_queues_at_once() {
        let mut stage = Stage::new(MENU);
        let token = stage.played("menu.wav");
        stage.keys("0");
        assert_eq!(stage.out(), [Output::StopPlay, enqueue("general", "callback")]);
        // The late end of the prompt and further keys change nothing.
        stage.done(token);
        stage.keys("1");
        assert_eq!(stage.out(), []);
    }

    #[test]
    fn the_time_out_counts_from_the_prompts_end() {
        let mut stage = Stage::new(MENU);
        let token = stage.played("menu.wav");
        assert_eq!(stage.session.poll_timeout(), None);
        stage.pass(Duration::from_secs(9));
        assert_eq!(stage.out(), []);
        stage.done(token);
        let due = stage.now.mono + Duration::from_secs(5);
        assert_eq!(stage.session.poll_timeout(), Some((due, Reason::FirstDigit)));
        stage.pass(Duration::from_secs(5) - MILLI);
        assert_eq!(stage.out(), []);
        stage.pass(MILLI);
        // The second and last try.
        let token = stage.played("silent.wav");
        stage.done(token);
        stage.pass(Duration::from_secs(5));
        let token = stage.played("bye.wav");
        stage.done(token);
        assert_eq!(stage.out(), [Output::Hangup { cause: 16 }]);
        assert!(stage.session.is_over());
    }

    #[test]
    fn a_longer_branch_waits_for_its_second_key() {
        let mut stage = Stage::new(MENU);
        stage.played("menu.wav");
        stage.keys("1");
        assert_eq!(stage.out(), [Output::StopPlay]);
        let due = stage.now.mono + Duration::from_secs(2);
        assert_eq!(stage.session.poll_timeout(), Some((due, Reason::InterDigit)));
        stage.pass(Duration::from_secs(2));
        stage.played("one.wav");

        let mut stage = Stage::new(MENU);
        stage.played("menu.wav");
        stage.keys("12");
        stage.played("twelve.wav");
        assert_eq!(stage.session.variable("digits"), Some("12"));
    }

    #[test]
    fn wrong_keys_use_up_the_tries() {
        let mut stage = Stage::new(MENU);
        stage.played("menu.wav");
        stage.keys("7");
        stage.played("wrong.wav");
        stage.keys("8");
        assert_eq!(stage.out(), [Output::StopPlay, Output::Hangup { cause: 31 }]);
    }

    #[test]
    fn digits_end_by_terminator_length_or_silence() {
        let flow = r##"version = 1
start = "ask"
[node.ask]
gather = { prompt = "ask.wav", terminator = "#", min_digits = 3, max_digits = 5, max_tries = 2, variable = "ticket" }
on = { digits = "say", timeout = "bye", invalid = "bye" }
[node.say]
say = { ticket = "{ticket}" }
next = "bye"
[node.bye]
hangup = true
"##;
        for (keys, heard) in [("261#", 3), ("26112", 5)] {
            let mut stage = Stage::new(flow);
            stage.played("ask.wav");
            stage.keys(keys);
            let out = stage.out();
            let Some(Output::Play { clips, .. }) = out.last() else { panic!("{out:?}") };
            assert_eq!(clips.len(), heard);
            assert_eq!(clips[2], "prompts/zh/digit_1_yao.wav");
        }
        let mut stage = Stage::new(flow);
        stage.played("ask.wav");
        stage.keys("261");
        stage.pass(Duration::from_secs(3));
        stage.played("digit_1_yao");
        // Too few.
        let mut stage = Stage::new(flow);
        stage.played("ask.wav");
        stage.keys("26#");
        stage.played("ask.wav");
    }

    #[test]
    fn keys_are_typed_ahead_of_a_menu_but_a_notice_is_heard_out() {
        let flow = r#"version = 1
start = "notice"
[node.notice]
play = "notice.wav"
next = "hello"
[node.hello]
play = "hello.wav"
next = "menu"
[node.menu]
gather = { prompt = "menu.wav" }
on = { "1" = "menu2", "0" = "agent", timeout = "agent" }
[node.menu2]
gather = { prompt = "menu2.wav" }
on = { "2" = "bye", "0" = "agent", timeout = "agent" }
[node.agent]
queue = "general"
[node.bye]
hangup = true
"#;
        let mut stage = Stage::new(flow);
        let token = stage.played("notice.wav");
        stage.keys("1");
        assert_eq!(stage.out(), [], "the notice plays on");
        stage.done(token);
        stage.played("hello.wav");
        stage.keys("2");
        // The greeting before the menu is cut, both menus are passed without a prompt.
        assert_eq!(stage.out(), [Output::StopPlay, Output::Hangup { cause: 16 }]);
    }

    #[test]
    fn the_queues_overflow_is_followed() {
        let flow = |queue: &str| format!("version = 1\nstart = \"q\"\n[node.q]\nqueue = {queue}\n");
        let left = |stage: &mut Stage| {
            stage.session.handle_input(stage.now, Input::QueueLeft { why: "max_wait".into() });
        };
        let mut stage = Stage::new(&flow(r#"{ name = "a", max_wait = "120s" }"#));
        assert_eq!(stage.out(), [enqueue("a", "callback")]);
        left(&mut stage);
        assert_eq!(stage.session.poll_output(), Some(Output::OweCallback { queue: "a".into() }));
        let token = stage.played("queue_full");
        stage.done(token);
        assert_eq!(stage.out(), [Output::Hangup { cause: 16 }]);

        let mut stage = Stage::new(&flow(r#"{ name = "a", max_wait = "120s", overflow = "queue:b" }"#));
        assert_eq!(stage.out(), [enqueue("a", "queue:b")]);
        left(&mut stage);
        assert_eq!(stage.out(), [enqueue("b", "callback")]);
        left(&mut stage);
        assert_eq!(stage.session.poll_output(), Some(Output::OweCallback { queue: "a".into() }));

        let mut stage = Stage::new(&flow(r#"{ name = "a", max_wait = "120s", overflow = "hotline:12330" }"#));
        stage.out();
        left(&mut stage);
        assert_eq!(stage.out(), [Output::ThreeWay { hotline: "12330".into() }]);
        stage.session.handle_input(stage.now, Input::StepDone { result: "busy".into() });
        stage.played("system_error");
    }

    #[test]
    fn a_key_leads_out_of_the_queue() {
        let mut stage = Stage::new(
            r#"version = 1
start = "q"
[node.q]
queue = "general"
on = { "1" = "bye", full = "bye" }
[node.bye]
hangup = "busy"
"#,
        );
        stage.out();
        stage.keys("5");
        assert_eq!(stage.out(), []);
        stage.keys("1");
        assert_eq!(stage.out(), [Output::LeaveQueue, Output::Hangup { cause: 17 }]);
    }

    #[test]
    fn hours_variables_and_conditions() {
        let flow = r#"version = 1
start = "mark"
[node.mark]
set = { label = "from {call.dialled}" }
next = "alias"
[node.alias]
if = { variable = "label", is = "from 12319" }
on = { yes = "hours", no = "bye" }
[node.hours]
hours = "office"
on = { open = "third", closed = "bye" }
[node.third]
three_way = "12330"
on = { busy = "bye", failed = "sorry" }
[node.sorry]
play = "sorry.wav"
next = "bye"
[node.bye]
hangup = true
"#;
        let mut stage = Stage::new(flow);
        assert_eq!(stage.out(), [Output::ThreeWay { hotline: "12330".into() }]);
        assert_eq!(stage.session.chosen(), &BTreeMap::from([("label".to_owned(), "from 12319".to_owned())]));
        stage.session.handle_input(stage.now, Input::StepDone { result: "closed".into() });
        stage.played("sorry.wav");
    }

    #[test]
    fn what_follows_a_talk_with_a_department() {
        let flow = "version = 1\nstart = \"a\"\n[node.a]\nthree_way = \"12330\"\non = { answered = \"thanks\" }\n\
                    next = \"sorry\"\n[node.thanks]\nplay = \"thanks.wav\"\nnext = \"bye\"\n\
                    [node.sorry]\nplay = \"sorry.wav\"\nnext = \"bye\"\n[node.bye]\nhangup = true\n";
        let step = |stage: &mut Stage, result: &str| {
            stage.out();
            stage.session.handle_input(stage.now, Input::StepDone { result: result.into() });
        };
        let mut stage = Stage::new(flow);
        step(&mut stage, "answered");
        stage.played("thanks.wav");
        let mut stage = Stage::new(flow);
        step(&mut stage, "busy");
        stage.played("sorry.wav");
        // Without a branch the talk was the end of it.
        let mut stage = Stage::new(&flow.replace("on = { answered = \"thanks\" }\n", ""));
        step(&mut stage, "answered");
        assert_eq!(stage.out(), [Output::Hangup { cause: NORMAL }]);
    }

    #[test]
    fn who_withheld_the_number_is_promised_nothing() {
        let flow = "version = 1\nstart = \"q\"\n[node.q]\nqueue = { name = \"a\", overflow = \"callback\" }\n";
        let mut stage = Stage::by("", flow);
        stage.out();
        stage.session.handle_input(stage.now, Input::QueueLeft { why: "max_wait".into() });
        let out = stage.out();
        let [Output::Play { token, clips }] = out.as_slice() else { panic!("one thing is said: {out:?}") };
        assert_eq!(clips, &["prompts/zh/system_error.wav"]);
        stage.done(*token);
        assert_eq!(stage.out(), [Output::Hangup { cause: BUSY }]);
    }

    #[test]
    fn a_circle_without_time_ends_the_call() {
        let mut stage = Stage::new("version = 1\nstart = \"a\"\n[node.a]\ngoto = \"b\"\n[node.b]\ngoto = \"a\"\n");
        assert_eq!(stage.out(), [Output::Hangup { cause: 41 }]);
    }

    proptest::proptest! {
        /// Whatever a caller does, the session neither panics nor grows.
        #[test]
        fn any_input_is_survived(script in proptest::collection::vec(0u8..40, 0..200)) {
            let mut stage = Stage::new(MENU);
            let mut last = PlayToken(0);
            for step in script {
                match step {
                    0..=9 => stage.keys(&step.to_string()),
                    10..=12 => stage.keys("*#x"),
                    13..=20 => stage.done(last),
                    21..=25 => stage.session.handle_input(stage.now, Input::QueueLeft { why: "full".into() }),
                    26..=30 => stage.session.handle_input(stage.now, Input::StepDone { result: "busy".into() }),
                    _ => stage.pass(Duration::from_secs(3)),
                }
                let over = stage.session.is_over();
                for output in stage.out() {
                    if let Output::Play { token, .. } = output {
                        last = token;
                    }
                }
                proptest::prop_assert!(stage.session.typed_ahead.len() <= MAX_TYPED_AHEAD);
                proptest::prop_assert!(!over || stage.session.poll_timeout().is_none());
            }
        }
    }
}
