//! A flow as it is walked: nodes with their targets resolved. Reading it from TOML is `parse`.

use super::{document::Located, fault::Place};
use crate::ids::{HotlineNo, QueueName};
use std::{collections::BTreeMap, time::Duration};

/// A node's place in [`Flow::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub usize);

/// When the call is answered: charging begins with the 200.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Before the first prompt.
    #[default]
    Immediate,
    /// When an agent answers; until then prompts and music are early media.
    OnAgent,
}

/// A flow whose every reference inside itself is sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// The file's name without `.toml`.
    pub name: String,
    /// The path, for faults.
    pub file: String,
    /// Where a caller begins.
    pub start: NodeIndex,
    /// When the call is answered, and charging begins.
    pub answer: Answer,
    /// The longest a call may last.
    pub max_call: Duration,
    /// Whether a call that enters this flow gets its primary ticket.
    pub ticket: bool,
    /// In the order in which they are written.
    pub nodes: Vec<Node>,
}

impl Flow {
    /// The node at `index`.
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index.0]
    }

    /// All nodes with their indexes.
    pub fn indexed(&self) -> impl Iterator<Item = (NodeIndex, &Node)> {
        self.nodes.iter().enumerate().map(|(at, node)| (NodeIndex(at), node))
    }
}

/// One step of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What stands behind `node.`; unique in the flow.
    pub name: String,
    /// Where it is written, for faults.
    pub place: Place,
    /// What it does.
    pub kind: Kind,
    /// Where the outcomes lead: keys, `timeout`, `closed` and so on.
    pub on: BTreeMap<String, NodeIndex>,
    /// Where every other outcome leads.
    pub next: Option<NodeIndex>,
}

impl Node {
    /// Every way out of the node, each with its label (empty for `next`).
    pub fn edges(&self) -> impl Iterator<Item = (&str, NodeIndex)> {
        self.on.iter().map(|(label, to)| (label.as_str(), *to)).chain(self.next.map(|to| ("", to)))
    }

    /// The clips that the node names itself.
    pub fn clips(&self) -> impl Iterator<Item = &Located<String>> {
        let (first, second, third): (&[_], &[_], &[_]) = match &self.kind {
            Kind::Gather(gather) => (&gather.prompt, &gather.invalid_prompt, &gather.timeout_prompt),
            Kind::Play { prompt } | Kind::Hangup { prompt, .. } => (prompt, &[], &[]),
            Kind::Say(_)
            | Kind::Queue(_)
            | Kind::ThreeWay { .. }
            | Kind::Hours { .. }
            | Kind::Set(_)
            | Kind::If(_)
            | Kind::Goto => (&[], &[], &[]),
        };
        first.iter().chain(second).chain(third)
    }
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A menu, or digits to be keyed.
    Gather(Gather),
    /// Plays clips to their end; no key cuts them short unless a menu follows.
    Play {
        /// Paths of clips, one after the other; at least one.
        prompt: Vec<Located<String>>,
    },
    /// Speaks a value from clips.
    Say(Say),
    /// The caller waits for an agent.
    Queue(Queue),
    /// Brings a department onto the line.
    ThreeWay {
        /// Whose number is dialled, from the settings' directory.
        hotline: Located<HotlineNo>,
    },
    /// Branches to `open` or `closed`.
    Hours {
        /// Name of the opening hours.
        calendar: String,
    },
    /// Sets variables, in the order in which they are written.
    Set(Vec<(String, Template)>),
    /// Branches to `yes` or `no`.
    If(Condition),
    /// Goes on to `next`, for a flow's layout.
    Goto,
    /// Ends the call with this Q.850 cause once the prompt has been heard.
    Hangup {
        /// 16 is normal clearing, 17 busy (ITU-T Q.850).
        cause: u8,
        /// Paths of clips; none where the caller is hung up on at once.
        prompt: Vec<Located<String>>,
    },
}

impl Kind {
    /// The word that the node is written with.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::Gather(_) => "gather",
            Kind::Play { .. } => "play",
            Kind::Say(_) => "say",
            Kind::Queue(_) => "queue",
            Kind::ThreeWay { .. } => "three_way",
            Kind::Hours { .. } => "hours",
            Kind::Set(_) => "set",
            Kind::If(_) => "if",
            Kind::Goto => "goto",
            Kind::Hangup { .. } => "hangup",
        }
    }

    /// Whether the caller spends no time in it.
    pub fn is_instant(&self) -> bool {
        matches!(self, Kind::Hours { .. } | Kind::Set(_) | Kind::If(_) | Kind::Goto)
    }
}

/// A menu, or digits to be keyed. Keys are taken while the prompt plays.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// Paths of clips, one after the other; none where keys are awaited at once.
    pub prompt: Vec<Located<String>>,
    /// Heard before the prompt is repeated after a wrong key.
    pub invalid_prompt: Vec<Located<String>>,
    /// Heard before the prompt is repeated after no key.
    pub timeout_prompt: Vec<Located<String>>,
    /// From the prompt's end to the first key.
    pub timeout: Duration,
    /// Between two keys.
    pub inter_digit: Duration,
    /// How often the prompt is heard before `timeout` or `invalid` is taken; 1–20.
    pub max_tries: u32,
    /// Fewer digits than this are invalid; 1–32.
    pub min_digits: usize,
    /// With so many digits the input is over; 1–32.
    pub max_digits: usize,
    /// The key that ends the input and is not part of it.
    pub terminator: Option<char>,
    /// The variable that takes the digits, beside `digits`.
    pub variable: Option<String>,
}

/// Something spoken from clips.
#[derive(Clone, Debug, PartialEq)]
pub struct Say {
    /// By which rules.
    pub how: SayKind,
    /// What is spoken, once its variables are filled in.
    pub text: Template,
}

/// How a value is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SayKind {
    /// As one counts.
    Number,
    /// Digit by digit.
    Digits,
    /// Digit by digit with 幺 for one.
    Telephone,
    /// As telephone numbers are.
    Ticket,
    /// "您现在排在第 … 位".
    Position,
    /// An estimated wait in seconds, spoken in minutes.
    Wait,
}

/// Where a caller waits for an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// The queue's name in the settings.
    pub name: Located<QueueName>,
    /// When the queue gives up; None leaves it to the queue's own settings.
    pub max_wait: Option<Duration>,
    /// What happens then without a branch in `on`.
    pub overflow: Overflow,
    /// 0–999, higher is served first.
    pub priority: u16,
}

/// What becomes of a caller whom the queue gives up on and for whom no branch is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Overflow {
    /// Noted as owed a call back, told so, and hung up.
    Callback,
    /// Told that the lines are busy, and hung up.
    HangUp,
    /// Put into another queue; if that gives up too, owed a call back.
    Queue(Located<QueueName>),
    /// Connected to a departmental hotline.
    Hotline(Located<HotlineNo>),
}

impl Overflow {
    /// The word that it is written with.
    pub fn word(&self) -> String {
        match self {
            Overflow::Callback => "callback".into(),
            Overflow::HangUp => "hang_up".into(),
            Overflow::Queue(name) => format!("queue:{}", name.value),
            Overflow::Hotline(number) => format!("hotline:{}", number.value),
        }
    }
}

/// A test of a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Its name, such as `call.dialled`.
    pub variable: String,
    /// What its value is held against.
    pub test: Test,
}

/// What a variable is tested for; an unset variable is the empty text.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The same text.
    Is(Template),
    /// Any other text.
    IsNot(Template),
    /// One of these texts.
    In(Vec<String>),
    /// A beginning, such as an area code.
    StartsWith(Template),
    /// Both false where the variable is no number.
    Above(i64),
    /// Less than; `Above` is more than, and neither takes the limit itself.
    Below(i64),
}

impl Condition {
    /// Whether it holds for these variables.
    pub fn holds(&self, variables: &BTreeMap<String, String>) -> bool {
        let value = variables.get(&self.variable).map_or("", String::as_str);
        match &self.test {
            Test::Is(text) => value == text.expand(variables),
            Test::IsNot(text) => value != text.expand(variables),
            Test::In(texts) => texts.iter().any(|text| text == value),
            Test::StartsWith(text) => value.starts_with(&text.expand(variables)),
            Test::Above(limit) => value.parse::<i64>().is_ok_and(|number| number > *limit),
            Test::Below(limit) => value.parse::<i64>().is_ok_and(|number| number < *limit),
        }
    }
}

/// A text in which `{name}` stands for a variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// The longest value a variable takes, in bytes: a flow that feeds a variable into itself does not grow for ever.
const MAX_VALUE: usize = 512;

impl Template {
    /// Reads a template; None where a brace is not closed or holds no name.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = open + rest[open..].find('}')?;
            let name = rest[open + 1..close].trim();
            if !is_variable_name(name) {
                return None;
            }
            parts.push(Part::Text(rest[..open].to_string()));
            parts.push(Part::Variable(name.to_string()));
            rest = &rest[close + 1..];
        }
        if rest.contains('}') {
            return None;
        }
        parts.push(Part::Text(rest.to_string()));
        Some(Template { parts })
    }

    /// The text with the variables' values, at most 512 bytes of it.
    pub fn expand(&self, variables: &BTreeMap<String, String>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Variable(name) => text.push_str(variables.get(name).map_or("", String::as_str)),
            }
        }
        if text.len() > MAX_VALUE {
            let end = (0..=MAX_VALUE).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
        }
        text
    }

    /// The names of the variables in it.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text, where it has no variables.
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// Whether `name` may name a variable: letters, digits, `_` and `.`.
pub fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}

/// Whether `key` is a key of a telephone.
pub fn is_key(key: char) -> bool {
    matches!(key, '0'..='9' | '*' | '#' | 'A'..='D')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let variables = BTreeMap::from([("a".to_string(), "1".to_string()), ("call.from".into(), "139".into())]);
        let expand = |text: &str| Template::parse(text).map(|t| t.expand(&variables));
        assert_eq!(expand("x{a}y{ call.from }"), Some("x1y139".into()));
        assert_eq!(expand("{unset}"), Some(String::new()));
        for bad in ["{a", "a}", "{}", "{a b}"] {
            assert_eq!(expand(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_do_not_grow_for_ever() {
        let variables = BTreeMap::from([("a".to_string(), "字".repeat(400))]);
        let text = Template::parse("{a}{a}").map(|t| t.expand(&variables)).unwrap_or_default();
        assert_eq!(text.len(), 510);
    }
}
