//! The call's record: what is shown while it lasts and kept when it is over. Every ending is classed: whose doing
//! it was, what happened, and the SIP and Q.850 causes (TELEPHONY "Signalling").

use crate::{
    clock::UnixMillis,
    ids::{AgentNo, CallId, HotlineNo, LegId, QueueName, RecordingId},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whose doing an ending was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    Caller,
    Agent,
    Department,
    Carrier,
    Us,
}

/// What happened at an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was answered and ended as calls end.
    Answered,
    /// The caller gave up before a person answered.
    Abandoned,
    Busy,
    NoAnswer,
    Rejected,
    Failed,
    /// Contact was lost: no RTP, no answer inside the dialog, or our own restart.
    Lost,
    /// Another party, or another offer, took its place.
    Withdrawn,
}

/// A classed ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ending {
    pub whose: Whose,
    pub what: What,
    /// The SIP status, 0 when a BYE ended it.
    pub sip: u16,
    /// The Q.850 cause (ITU-T Q.850), as in RFC 3326.
    pub q850: u8,
}

impl Ending {
    /// An ending by BYE.
    pub const fn bye(whose: Whose, what: What) -> Self {
        Ending { whose, what, sip: 0, q850: 16 }
    }

    /// The ending of a leg that we rang and that was refused with `status`.
    pub fn refused(whose: Whose, status: u16) -> Self {
        let (what, q850) = match status {
            486 | 600 => (What::Busy, 17),
            480 | 408 => (What::NoAnswer, 18),
            487 => (What::Withdrawn, 16),
            403 | 603 => (What::Rejected, 21),
            404 | 410 | 604 => (What::Failed, 1),
            488 | 606 | 415 => (What::Failed, 88),
            503 => (What::Failed, 41),
            _ => (What::Failed, 127),
        };
        Ending { whose, what, sip: status, q850 }
    }
}

/// What a leg is in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    Citizen,
    Agent {
        agent: AgentNo,
    },
    Department {
        hotline: HotlineNo,
        name: String,
    },
    /// A party that was dialled without a queue.
    Other,
}

impl Role {
    /// Whose doing it is when this party acts.
    pub fn whose(&self) -> Whose {
        match self {
            Role::Citizen => Whose::Caller,
            Role::Agent { .. } => Whose::Agent,
            Role::Department { .. } => Whose::Department,
            Role::Other => Whose::Carrier,
        }
    }
}

/// One leg's part of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegRecord {
    pub id: LegId,
    #[serde(flatten)]
    pub role: Role,
    /// `dialling`, `ringing`, `answered`, `over`.
    pub state: LegStateName,
    pub started_at: UnixMillis,
    pub answered_at: Option<UnixMillis>,
    pub ended_at: Option<UnixMillis>,
    pub ending: Option<Ending>,
}

/// A leg's state as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegStateName {
    Dialling,
    Ringing,
    Answered,
    Over,
}

/// A call's state as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    Accepting,
    Ivr,
    Queued,
    Ringing,
    Talking,
    Held,
    Consulting,
    ThreeWay,
    HandedOver,
    Ended,
}

/// How an attempt at a three-way call went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreeWayRecord {
    pub hotline: HotlineNo,
    pub at: UnixMillis,
    /// `dialling`, `ringing`, `answered`, `joined`, `busy`, `no_answer`, `rejected`, `failed`, `closed`, `unknown`,
    /// `merged`, `separate`, `cancelled`, `not_joined`.
    pub outcome: String,
    /// When a person of the department was joined with the citizen.
    pub joined_at: Option<UnixMillis>,
}

impl ThreeWayRecord {
    /// Whether it is still under way.
    pub fn is_open(&self) -> bool {
        matches!(&*self.outcome, "dialling" | "ringing" | "answered")
    }
}

/// The whole record of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    pub id: CallId,
    pub sip_call_id: String,
    pub from: String,
    pub dialled: String,
    pub state: StateName,
    pub started_at: UnixMillis,
    /// When 200 was sent: charging begins here.
    pub answered_at: Option<UnixMillis>,
    pub queue: Option<QueueName>,
    /// When the caller first joined a queue; never changes after that.
    pub enqueued_at: Option<UnixMillis>,
    /// Whether the caller heard or saw something of ours before any answer (183): what it came to is kept even where no
    /// answer followed.
    #[serde(default)]
    pub early_media: bool,
    /// When an agent first answered.
    pub served_at: Option<UnixMillis>,
    pub agent: Option<AgentNo>,
    pub ended_at: Option<UnixMillis>,
    pub ending: Option<Ending>,
    pub recording: Option<RecordingId>,
    pub legs: Vec<LegRecord>,
    pub three_way: Vec<ThreeWayRecord>,
    /// Keys that the citizen pressed in the flow.
    pub keys: String,
    /// What the citizen chose there, such as `purpose` and `language`: the variables that the flow's `set` steps wrote.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Why the last queue gave the caller up: `max_wait`, `full`, `empty`; None while one waits or was served.
    #[serde(default)]
    pub overflow: Option<String>,
    /// Whether this call leaves a ticket and a record.
    pub ticket: bool,
    pub cdr: bool,
}
