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
#[path = "session_tests.rs"]
mod tests;
