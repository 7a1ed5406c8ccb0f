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
    /// The citizen, or whoever called.
    Caller,
    /// Our agent, or the agent's telephone.
    Agent,
    /// A department that was rung.
    Department,
    /// Another party that was dialled, or the network to it.
    Carrier,
    /// This program, its limits or its operator.
    Us,
}

impl Whose {
    /// The name in records and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Whose::Caller => "caller",
            Whose::Agent => "agent",
            Whose::Department => "department",
            Whose::Carrier => "carrier",
            Whose::Us => "us",
        }
    }
}

/// What happened at an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was answered and ended as calls end.
    Answered,
    /// The caller gave up before a person answered.
    Abandoned,
    /// 486 or 600: the party was on another call.
    Busy,
    /// It rang out, or the telephone was not there (408, 480).
    NoAnswer,
    /// 403 or 603: the party refused it.
    Rejected,
    /// Any other refusal, or media that could not be agreed on.
    Failed,
    /// Contact was lost: no RTP, no answer inside the dialog, or our own restart.
    Lost,
    /// Another party, or another offer, took its place.
    Withdrawn,
}

impl What {
    /// The name in records and figures.
    pub const fn name(self) -> &'static str {
        match self {
            What::Answered => "answered",
            What::Abandoned => "abandoned",
            What::Busy => "busy",
            What::NoAnswer => "no_answer",
            What::Rejected => "rejected",
            What::Failed => "failed",
            What::Lost => "lost",
            What::Withdrawn => "withdrawn",
        }
    }
}

/// A classed ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ending {
    /// Whose doing it was.
    pub whose: Whose,
    /// What happened.
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
    /// Who called.
    Citizen,
    /// One of ours, given by the ACD.
    Agent {
        /// 工号.
        agent: AgentNo,
    },
    /// A departmental hotline.
    Department {
        /// Its number in the settings.
        hotline: HotlineNo,
        /// Its name there; the number until that is known.
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
    /// Unique among all calls.
    pub id: LegId,
    /// What the party is in the call.
    #[serde(flatten)]
    pub role: Role,
    /// `dialling`, `ringing`, `answered`, `over`.
    pub state: LegStateName,
    /// When it called, or we began to ring it.
    pub started_at: UnixMillis,
    /// When it, or we, answered.
    pub answered_at: Option<UnixMillis>,
    /// When its dialog was over.
    pub ended_at: Option<UnixMillis>,
    /// None while it lasts.
    pub ending: Option<Ending>,
}

/// A leg's state as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegStateName {
    /// Its sockets are being opened, or our INVITE is out.
    Dialling,
    /// 180 or 183 came.
    Ringing,
    /// 200 went or came.
    Answered,
    /// BYE, CANCEL or a refusal; or it is being sent.
    Over,
}

/// A call's state as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Not answered yet.
    Accepting,
    /// A flow leads, or a room, a clip or silence is heard.
    Ivr,
    /// Waits for an agent, and none is rung.
    Queued,
    /// An agent, or another party, is rung.
    Ringing,
    /// Citizen and agent, or another party.
    Talking,
    /// The citizen hears music.
    Held,
    /// A department is rung or talks to the agent; the citizen is on hold.
    Consulting,
    /// Citizen, agent and department.
    ThreeWay,
    /// The agent left; citizen and department talk.
    HandedOver,
    /// Over, or being hung up.
    Ended,
}

/// How an attempt at a three-way call went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreeWayRecord {
    /// Whom it was to join.
    pub hotline: HotlineNo,
    /// When it was asked for.
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
    /// Unique among all nodes, also after a restart.
    pub id: CallId,
    /// Call-ID of the caller's dialog.
    pub sip_call_id: String,
    /// The caller's number; empty when withheld.
    pub from: String,
    /// The number as dialled: 12345 or an alias.
    pub dialled: String,
    /// What is shown.
    pub state: StateName,
    /// When the INVITE came.
    pub started_at: UnixMillis,
    /// When 200 was sent: charging begins here.
    pub answered_at: Option<UnixMillis>,
    /// The last queue that the caller was in.
    pub queue: Option<QueueName>,
    /// When the caller first joined a queue; never changes after that.
    pub enqueued_at: Option<UnixMillis>,
    /// Whether the caller heard or saw something of ours before any answer (183): what it came to is kept even where no
    /// answer followed.
    #[serde(default)]
    pub early_media: bool,
    /// When an agent first answered.
    pub served_at: Option<UnixMillis>,
    /// Whether the caller has joined a queue and has not reached anybody since, also where an agent was lost before: at the
    /// end of the call a callback is owed.
    #[serde(default)]
    pub waits: bool,
    /// The agent who answered last.
    pub agent: Option<AgentNo>,
    /// When the last leg was over.
    pub ended_at: Option<UnixMillis>,
    /// None while it lasts.
    pub ending: Option<Ending>,
    /// None where nothing was recorded.
    pub recording: Option<RecordingId>,
    /// In the order in which they came; the caller's is the first.
    pub legs: Vec<LegRecord>,
    /// One for each department that was asked for, in order.
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
    /// Whether it leaves a record of its own (CDR).
    pub cdr: bool,
}

impl CallRecord {
    /// The record of a call that has just begun, by nobody and to nowhere: whoever makes one fills in what is known.
    pub fn begun(id: CallId, sip_call_id: String, started_at: UnixMillis) -> Self {
        CallRecord {
            id,
            sip_call_id,
            from: String::new(),
            dialled: String::new(),
            state: StateName::Accepting,
            started_at,
            answered_at: None,
            queue: None,
            enqueued_at: None,
            early_media: false,
            served_at: None,
            waits: false,
            agent: None,
            ended_at: None,
            ending: None,
            recording: None,
            legs: Vec::new(),
            three_way: Vec::new(),
            keys: String::new(),
            variables: BTreeMap::new(),
            overflow: None,
            ticket: false,
            cdr: true,
        }
    }
}
