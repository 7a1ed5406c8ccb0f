//! What the coordinator and its workers say to each other: one JSON object a line, on the worker's stdin and stdout.

use super::behaviour::Behaviour;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, net::SocketAddr};

/// One worker's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub seed: u64,
    pub index: u32,
    /// Calls a second; redialling comes on top.
    pub rate: f64,
    /// New callers at most; none: until told to stop.
    pub callers: Option<u64>,
    /// Agent numbers that sit here.
    pub agents: Vec<String>,
    pub trunk: SocketAddr,
    pub registrar: SocketAddr,
    /// Such as `http://127.0.0.1:8080/api/v1`.
    pub api: String,
    /// The hotlines that an agent may bring in.
    pub hotlines: Vec<String>,
    pub behaviour: Behaviour,
}

/// From the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Order {
    /// Opens the departments, before the centre starts that must know where they are.
    Departments { hotlines: Vec<String> },
    /// Agents sit down; then callers come.
    Begin(Box<Share>),
    /// No new callers; those on the line go on.
    Stop,
    /// Everybody leaves.
    Leave,
}

/// From a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Tale {
    /// Where departments are reached.
    Departments { at: SocketAddr },
    /// Agents sit.
    Seated { agents: usize, failed: Vec<String> },
    /// Each second.
    Pulse(Pulse),
    /// A citizen's call is over.
    Call(CitizenCall),
    /// An agent's telephone was answered, and that call is over.
    AgentCall(AgentCall),
    /// A ticket was registered, and the API said so.
    Registered { ticket: String },
    /// Every caller is done, and none will come.
    Quiet,
    /// Something that a person should know.
    Trouble { what: String },
}

/// How a worker's people do, now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    /// Callers on the line before the answer, in greeting or queue, and with an agent.
    pub dialling: u64,
    pub waiting: u64,
    pub talking: u64,
    pub placed: u64,
    pub ended: u64,
    /// Those who will dial again.
    pub to_redial: u64,
    /// Agents with a living dialog.
    pub busy: Vec<String>,
    pub agents: AgentTally,
    pub departments: BTreeMap<String, u64>,
}

/// What agents did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentTally {
    /// INVITEs that rang.
    pub offered: u64,
    /// Answered: a 200 that was acknowledged.
    pub answered: u64,
    pub refused: u64,
    pub rang_out: u64,
    pub vanished_ringing: u64,
    pub vanished_talking: u64,
    pub rested: u64,
    /// Times that an agent found that the centre had taken it off the queue.
    pub taken_off: u64,
    pub held: u64,
    pub three_way: u64,
    pub registered: u64,
    /// API requests that had no good answer.
    pub api_failures: u64,
}

impl std::ops::AddAssign<&AgentTally> for AgentTally {
    fn add_assign(&mut self, other: &AgentTally) {
        self.offered += other.offered;
        self.answered += other.answered;
        self.refused += other.refused;
        self.rang_out += other.rang_out;
        self.vanished_ringing += other.vanished_ringing;
        self.vanished_talking += other.vanished_talking;
        self.rested += other.rested;
        self.taken_off += other.taken_off;
        self.held += other.held;
        self.three_way += other.three_way;
        self.registered += other.registered;
        self.api_failures += other.api_failures;
    }
}

/// How a call went, as its citizen saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CitizenCall {
    pub sip_call_id: String,
    /// 0 the first time.
    pub redial: u32,
    /// Milliseconds since 1970.
    pub placed_at: i64,
    pub answered_at: Option<i64>,
    /// When an agent was first heard.
    pub voice_at: Option<i64>,
    pub ended_at: i64,
    pub result: Result,
}

/// A call that an agent's telephone answered. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentCall {
    pub agent: String,
    pub answered_at: i64,
    pub ended_at: i64,
}

/// What a call came to for its citizen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Result {
    /// The line answered.
    Answered { end: End },
    /// The citizen took it back before the answer.
    Cancelled,
    /// The line refused it.
    Refused { status: u16 },
    /// Nothing was heard of it.
    Failed,
}

/// Who ended an answered call, as its citizen saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    LeftGreeting,
    LostPatience,
    Talked,
    /// The other side hung up.
    Theirs,
    /// Nobody: contact was lost.
    Lost,
}

/// One line; None for a line that says nothing.
pub fn read<T: DeserializeOwned>(line: &str) -> Option<T> {
    serde_json::from_str(line.trim()).ok()
}

/// One line, without its end.
pub fn write<T: Serialize>(what: &T) -> String {
    // What is sent here always is JSON: maps have text for keys.
    serde_json::to_string(what).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let call = CitizenCall {
            sip_call_id: "x@127.0.0.1".into(),
            redial: 1,
            placed_at: 5,
            answered_at: Some(6),
            voice_at: None,
            ended_at: 9,
            result: Result::Answered { end: End::LostPatience },
        };
        for tale in [Tale::Call(call), Tale::Pulse(Pulse::default()), Tale::Quiet] {
            assert_eq!(read::<Tale>(&write(&tale)), Some(tale));
        }
        let share = Share {
            seed: 1,
            index: 0,
            rate: 5.0,
            callers: None,
            agents: vec!["8001".into()],
            trunk: "127.0.0.1:5060".parse().unwrap(),
            registrar: "127.0.0.1:5070".parse().unwrap(),
            api: "http://127.0.0.1:8080/api/v1".into(),
            hotlines: vec![],
            behaviour: Behaviour::usual(20.0, 40.0, true),
        };
        for order in [Order::Begin(Box::new(share)), Order::Stop, Order::Leave] {
            assert_eq!(read::<Order>(&write(&order)), Some(order));
        }
        assert_eq!(read::<Order>("nonsense"), None);
    }
}
