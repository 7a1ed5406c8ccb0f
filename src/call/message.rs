//! What a call is told, what it asks for, and what may be commanded of it.

use crate::{
    acd,
    ids::{AgentNo, CallId, Extension, HotlineNo, LegId, QueueName, RecordingId},
    ivr,
    media::engine as media,
    sip::{
        endpoint::{LegEvent, TransactionId},
        message::Response,
    },
};
use bytes::Bytes;
use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

/// Every clip by its path, such as `prompts/zh/welcome.wav`.
pub type Clips = HashMap<String, Arc<media::Clip>>;

/// What a call is made with; shared by all calls and replaced whole when settings change.
pub struct Settings {
    pub clips: Arc<Clips>,
    /// How long a department may ring.
    pub department_ring: Duration,
    /// The longest a call may last.
    pub max_call: Duration,
    /// Silence on an agent's leg after which its phone is asked for a sign of life, and after which it counts as lost.
    pub agent_probe: Duration,
    pub agent_lost: Duration,
    /// Silence on another leg after which it is ended: while talking, while held or waiting.
    pub silence_talking: Duration,
    pub silence_waiting: Duration,
    /// Codecs in the order that we offer them.
    pub codecs: Vec<media::Codec>,
    pub ptime_ms: u8,
    /// From where a leg's RTP is taken when it does not come from where the offer said.
    pub learn: media::LearnPolicy,
    pub hours: Arc<dyn ivr::Hours>,
    /// What is heard in each queue; in one that is not here, the plain music and the place.
    pub queues: HashMap<QueueName, QueueSound>,
}

/// What those who wait in a queue hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSound {
    /// The clip that is played over and over.
    pub music: String,
    /// Whether the place in the queue is said.
    pub says_position: bool,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("clips", &self.clips.len()).finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Settings {
            clips: Arc::default(),
            department_ring: seconds(25),
            max_call: seconds(2 * 3600),
            agent_probe: seconds(5),
            agent_lost: seconds(12),
            silence_talking: seconds(30),
            silence_waiting: seconds(300),
            codecs: vec![media::Codec::Pcma, media::Codec::Pcmu],
            ptime_ms: 20,
            learn: media::LearnPolicy::SameHost,
            hours: Arc::new(|_: &str, _| true),
            queues: HashMap::new(),
        }
    }
}

/// Where an inbound call goes once it is answered.
#[derive(Clone, Debug)]
pub enum Route {
    /// A flow decides; the call keeps the flow that it began with.
    Flow(Arc<ivr::Flow>),
    /// Straight to a queue.
    Queue(QueueName),
    /// Another party is rung and bridged.
    Dial { target: DialTarget, recorded: bool },
    /// A conference room; all callers of the same room hear each other.
    Room(u64),
    /// A clip, again and again.
    PlayLoop(String),
    /// Silence.
    Hold,
}

/// Who is rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialTarget {
    /// A seat's registered telephone.
    Extension(Extension),
    /// Any SIP address.
    Uri(String),
}

/// An inbound INVITE that passed the gate.
#[derive(Clone, Debug)]
pub struct NewCall {
    pub call: CallId,
    pub leg: LegId,
    pub sip_call_id: String,
    /// The caller's number; empty when withheld.
    pub from: String,
    /// The number as dialled.
    pub dialled: String,
    pub route: Route,
    pub recording: RecordingId,
    pub offer: Option<Bytes>,
    /// Whether this call leaves a ticket and a record.
    pub ticket: bool,
    pub cdr: bool,
}

/// What a call is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The record of the accepted call is durable: 200 may be sent.
    Spooled,
    /// The record could not be made durable.
    SpoolFailed,
    /// The answer to `Output::OpenMedia`.
    MediaOpened {
        leg: LegId,
        local: SocketAddr,
    },
    MediaFailed {
        leg: LegId,
    },
    Sip {
        leg: LegId,
        event: LegEvent,
    },
    /// The connection over which the leg's dialog went is closed.
    FlowFailed {
        leg: LegId,
    },
    /// The dial target has no registered telephone, or its address cannot be reached.
    NoRoute {
        leg: LegId,
    },
    Media(media::Event),
    Acd(acd::message::Output),
    /// The answer to `Output::FindHotline`.
    Hotline {
        hotline: HotlineNo,
        found: Result<HotlineTarget, HotlineRefusal>,
    },
}

/// Where a departmental hotline is rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotlineTarget {
    pub name: String,
    pub uri: String,
}

/// Why a departmental hotline cannot be rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HotlineRefusal {
    #[error("没有这条热线 (no such hotline)")]
    Unknown,
    #[error("该热线现在不在服务时间 (the hotline is closed now)")]
    Closed,
    #[error("该热线已整合到 12345 (the hotline is merged into our own queue)")]
    Merged,
    #[error("该热线不与 12345 互转 (the hotline is kept separate)")]
    Separate,
}

/// What a call asks for.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make the record of this accepted call durable, then say `Spooled`.
    Spool,
    /// Open sockets for a leg, then say `MediaOpened`.
    OpenMedia {
        leg: LegId,
    },
    CloseMedia {
        leg: LegId,
    },
    Media(media::Command),
    Sip(SipCommand),
    Acd(acd::message::Input),
    FindHotline {
        hotline: HotlineNo,
    },
    /// `Call::view` changed: publish it. `milestone`: also keep it in the spool.
    Changed {
        milestone: bool,
    },
    /// Something worth telling the live page and the ticket's history.
    Said(Said),
    /// All legs are over; the record is complete. The last output.
    Over,
}

/// Events of a call for the event stream.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Said {
    Answered,
    Enqueued { queue: QueueName },
    AgentRinging { agent: AgentNo },
    AgentAnswered { agent: AgentNo },
    AgentLost { agent: AgentNo },
    Held,
    Unheld,
    ThreeWayDialling { hotline: HotlineNo },
    ThreeWayRinging { hotline: HotlineNo },
    ThreeWayAnswered { hotline: HotlineNo },
    ThreeWayJoined { hotline: HotlineNo },
    ThreeWayFailed { hotline: HotlineNo, reason: String },
    LegLeft { leg: LegId },
    Key { leg: LegId, key: char },
    Ended,
}

/// What a call asks of the SIP endpoint.
#[derive(Clone, Debug)]
pub enum SipCommand {
    Progress {
        leg: LegId,
        status: u16,
        sdp: Option<Bytes>,
    },
    Answer {
        leg: LegId,
        sdp: Bytes,
    },
    Reject {
        leg: LegId,
        status: u16,
        cause: u8,
    },
    /// Ring a new leg. `from` is the number shown.
    Dial {
        leg: LegId,
        target: DialTarget,
        from: String,
        display: String,
        sdp: Bytes,
    },
    Ack {
        leg: LegId,
        sdp: Bytes,
    },
    HangUp {
        leg: LegId,
        cause: u8,
    },
    AcceptOffer {
        leg: LegId,
        transaction: TransactionId,
        sdp: Bytes,
    },
    RejectOffer {
        leg: LegId,
        transaction: TransactionId,
        status: u16,
    },
    Respond {
        transaction: TransactionId,
        response: Box<Response>,
    },
    /// A sign of life is asked for: OPTIONS inside the dialog.
    Probe {
        leg: LegId,
    },
}

/// What an agent, a supervisor or a phone's keys may ask of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Hold,
    Unhold,
    /// Ring a departmental hotline. `consult`: talk to it first, the citizen on hold, until `Merge`.
    ThreeWay {
        hotline: HotlineNo,
        consult: bool,
    },
    /// Join the consulted department and the citizen.
    Merge,
    /// The agent leaves; the citizen and the department go on.
    Leave,
    /// One leg is dropped; the others go on.
    Drop {
        leg: LegId,
    },
    /// Everybody is hung up.
    HangUp,
    RecordPause,
    RecordResume,
    /// Keys are sent to the department (or to the citizen when there is none).
    SendDigits {
        digits: String,
    },
}

/// Why a command was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("通话中没有话务员 (no agent is on the call)")]
    NoAgent,
    #[error("通话不在保持状态 (the call is not on hold)")]
    NotHeld,
    #[error("通话已在保持状态 (the call is on hold already)")]
    AlreadyHeld,
    #[error("已有部门在线或正在呼叫 (a department is on the call or being rung)")]
    DepartmentPresent,
    #[error("通话中没有部门 (no department is on the call)")]
    NoDepartment,
    #[error("部门尚未接听 (the department has not answered)")]
    DepartmentNotAnswered,
    #[error("没有这一方 (no such leg)")]
    NoSuchLeg,
    #[error("不能单独挂断诉求人,请用 hangup (the citizen is never dropped alone; use hangup)")]
    CitizenNotDropped,
    #[error("没有录音 (nothing is being recorded)")]
    NotRecording,
    #[error("只能发送 0-9 * # (keys are 0-9, * and #)")]
    BadDigits,
    #[error("通话已结束 (the call is over)")]
    Over,
}

impl Rejected {
    /// A stable code for API users.
    pub fn code(self) -> &'static str {
        match self {
            Rejected::NoAgent => "no-agent",
            Rejected::NotHeld => "not-held",
            Rejected::AlreadyHeld => "already-held",
            Rejected::DepartmentPresent => "department-present",
            Rejected::NoDepartment => "no-department",
            Rejected::DepartmentNotAnswered => "department-not-answered",
            Rejected::NoSuchLeg => "no-such-leg",
            Rejected::CitizenNotDropped => "citizen-not-dropped",
            Rejected::NotRecording => "not-recording",
            Rejected::BadDigits => "bad-digits",
            Rejected::Over => "call-over",
        }
    }
}
