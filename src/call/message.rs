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
    /// Every clip that may be heard.
    pub clips: Arc<Clips>,
    /// How long a department may ring.
    pub department_ring: Duration,
    /// The longest a call may last.
    pub max_call: Duration,
    /// Silence on an agent's leg after which its phone is asked for a sign of life, and after which it counts as lost.
    pub agent_probe: Duration,
    /// How long an agent's leg may be silent before it counts as lost.
    pub agent_lost: Duration,
    /// Silence on another leg after which it is ended: while talking, while held or waiting.
    pub silence_talking: Duration,
    /// How long a leg may be silent while it is held or waits.
    pub silence_waiting: Duration,
    /// Codecs in the order that we offer them.
    pub codecs: Vec<media::Codec>,
    /// The packet time that we offer, in milliseconds.
    pub ptime_ms: u8,
    /// From where a leg's RTP is taken when it does not come from where the offer said.
    pub learn: media::LearnPolicy,
    /// What flows are told of opening hours.
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
    Dial {
        /// Who.
        target: DialTarget,
        /// Whether the talk is recorded.
        recorded: bool,
    },
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
    /// Its new id.
    pub call: CallId,
    /// The leg that the endpoint gave the caller.
    pub leg: LegId,
    /// Call-ID of the INVITE, to find it in traces.
    pub sip_call_id: String,
    /// The caller's number; empty when withheld.
    pub from: String,
    /// The number as dialled.
    pub dialled: String,
    /// Where it goes once it is answered.
    pub route: Route,
    /// The id that its recording gets, if one is made.
    pub recording: RecordingId,
    /// The session description of the INVITE; None where it made no offer.
    pub offer: Option<Bytes>,
    /// Whether this call leaves a ticket and a record.
    pub ticket: bool,
    /// Whether this call leaves a record of its own (CDR).
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
        /// Whose sockets are open.
        leg: LegId,
        /// Where its RTP is received, which our descriptions name.
        local: SocketAddr,
    },
    /// No sockets could be opened, such as when all ports are taken.
    MediaFailed {
        /// Whose.
        leg: LegId,
    },
    /// Something happened in a dialog.
    Sip {
        /// Whose.
        leg: LegId,
        /// What the endpoint told.
        event: LegEvent,
    },
    /// The connection over which the leg's dialog went is closed.
    FlowFailed {
        /// Whose connection.
        leg: LegId,
    },
    /// The dial target has no registered telephone, or its address cannot be reached.
    NoRoute {
        /// Who was to be rung.
        leg: LegId,
    },
    /// What the media engine told of one of this call's legs.
    Media(media::Event),
    /// What the ACD told of this call.
    Acd(acd::message::Output),
    /// The answer to `Output::FindHotline`.
    Hotline {
        /// Which one was asked for.
        hotline: HotlineNo,
        /// Where it is rung, or why it is not.
        found: Result<HotlineTarget, HotlineRefusal>,
    },
}

/// Where a departmental hotline is rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotlineTarget {
    /// As the settings write it, such as 市市场监管局.
    pub name: String,
    /// The SIP or telephone URI to be rung.
    pub uri: String,
}

/// Why a departmental hotline cannot be rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HotlineRefusal {
    /// The settings have no hotline of this number.
    #[error("没有这条热线 (no such hotline)")]
    Unknown,
    /// Outside its opening hours.
    #[error("该热线现在不在服务时间 (the hotline is closed now)")]
    Closed,
    /// Its callers are served by our own agents: there is nobody to ring.
    #[error("该热线已整合到 12345 (the hotline is merged into our own queue)")]
    Merged,
    /// It has a line of its own, and is never joined with ours.
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
        /// Whose.
        leg: LegId,
    },
    /// Close a leg's sockets.
    CloseMedia {
        /// Whose.
        leg: LegId,
    },
    /// Hand this to the media engine.
    Media(media::Command),
    /// Hand this to the SIP endpoint.
    Sip(SipCommand),
    /// Hand this to the ACD.
    Acd(acd::message::Input),
    /// Look a departmental hotline up in the settings.
    FindHotline {
        /// Its number.
        hotline: HotlineNo,
    },
    /// `Call::view` changed: publish it. `milestone`: also keep it in the spool.
    Changed {
        /// A restart must know of the change.
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
    /// 200 was sent: charging begins.
    Answered,
    /// The caller joined a queue, or came back to it.
    Enqueued {
        /// Which one.
        queue: QueueName,
    },
    /// An agent is being rung.
    AgentRinging {
        /// 工号.
        agent: AgentNo,
    },
    /// The citizen and the agent are connected.
    AgentAnswered {
        /// 工号.
        agent: AgentNo,
    },
    /// The agent's telephone died or left: the citizen goes to the front of the queue.
    AgentLost {
        /// 工号.
        agent: AgentNo,
    },
    /// The citizen hears music.
    Held,
    /// The citizen hears the agent again.
    Unheld,
    /// A department is dialled.
    ThreeWayDialling {
        /// Its number.
        hotline: HotlineNo,
    },
    /// Its telephone rings, or its announcement plays.
    ThreeWayRinging {
        /// Its number.
        hotline: HotlineNo,
    },
    /// Somebody or something picked up.
    ThreeWayAnswered {
        /// Its number.
        hotline: HotlineNo,
    },
    /// The citizen and the department hear each other.
    ThreeWayJoined {
        /// Its number.
        hotline: HotlineNo,
    },
    /// It came to no talk.
    ThreeWayFailed {
        /// Its number.
        hotline: HotlineNo,
        /// An outcome of [`super::cdr::ThreeWayRecord::outcome`], such as `busy` or `closed`.
        reason: String,
    },
    /// A party other than the citizen left.
    LegLeft {
        /// Which one.
        leg: LegId,
    },
    /// A key was pressed.
    Key {
        /// By whom.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        key: char,
    },
    /// The call ends; its legs are being hung up.
    Ended,
}

/// What a call asks of the SIP endpoint.
#[derive(Clone, Debug)]
pub enum SipCommand {
    /// A provisional response to the caller (RFC 3261 section 13.3.1.1).
    Progress {
        /// The caller's.
        leg: LegId,
        /// 180, or 183 with early media.
        status: u16,
        /// Our answer, where there is early media.
        sdp: Option<Bytes>,
    },
    /// 200 to the caller's INVITE.
    Answer {
        /// The caller's.
        leg: LegId,
        /// Our answer, or our offer as the INVITE had none.
        sdp: Bytes,
    },
    /// A final answer other than 2xx to the caller's INVITE.
    Reject {
        /// The caller's.
        leg: LegId,
        /// 300–699.
        status: u16,
        /// The Q.850 cause, sent as Reason (RFC 3326).
        cause: u8,
    },
    /// Ring a new leg. `from` is the number shown.
    Dial {
        /// The new leg.
        leg: LegId,
        /// Whom to ring.
        target: DialTarget,
        /// Empty: anonymous.
        from: String,
        /// The name shown beside it: to agents the number that was dialled; else empty.
        display: String,
        /// Our offer.
        sdp: Bytes,
    },
    /// The ACK of a 2xx that held an offer (RFC 3261 section 13.2.2.4).
    Ack {
        /// Whose.
        leg: LegId,
        /// Our answer.
        sdp: Bytes,
    },
    /// BYE or CANCEL, as the leg's state wants.
    HangUp {
        /// Whose.
        leg: LegId,
        /// The Q.850 cause, sent as Reason (RFC 3326).
        cause: u8,
    },
    /// 200 to a re-INVITE or UPDATE.
    AcceptOffer {
        /// Whose.
        leg: LegId,
        /// Which request.
        transaction: TransactionId,
        /// Our answer, or our offer where it had none.
        sdp: Bytes,
    },
    /// A refusal of a re-INVITE or UPDATE: the session stays as it was.
    RejectOffer {
        /// Whose.
        leg: LegId,
        /// Which request.
        transaction: TransactionId,
        /// 400 or 488, say.
        status: u16,
    },
    /// The answer to any other request inside the dialog.
    Respond {
        /// Which request.
        transaction: TransactionId,
        /// The whole message.
        response: Box<Response>,
    },
    /// A sign of life is asked for: OPTIONS inside the dialog.
    Probe {
        /// Who is asked.
        leg: LegId,
    },
}

/// What an agent, a supervisor or a phone's keys may ask of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The citizen hears music until `Unhold`.
    Hold,
    /// Agent and citizen hear each other again.
    Unhold,
    /// Ring a departmental hotline. `consult`: talk to it first, the citizen on hold, until `Merge`.
    ThreeWay {
        /// The department's number.
        hotline: HotlineNo,
        /// False: it is joined with the citizen as soon as it answers.
        consult: bool,
    },
    /// Join the consulted department and the citizen.
    Merge,
    /// The agent leaves; the citizen and the department go on.
    Leave,
    /// One leg is dropped; the others go on.
    Drop {
        /// Any but the citizen's.
        leg: LegId,
    },
    /// Everybody is hung up.
    HangUp,
    /// Both sides are recorded as silence until `RecordResume`, such as while a secret is read out.
    RecordPause,
    /// What is said is recorded again.
    RecordResume,
    /// Keys are sent to the department (or to the citizen when there is none).
    SendDigits {
        /// 1 to 32 of `0`–`9`, `*` and `#`.
        digits: String,
    },
}

/// Why a command was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The command is an agent's, and none is connected.
    #[error("通话中没有话务员 (no agent is on the call)")]
    NoAgent,
    /// There is nothing to resume.
    #[error("通话不在保持状态 (the call is not on hold)")]
    NotHeld,
    /// There is nothing to hold.
    #[error("通话已在保持状态 (the call is on hold already)")]
    AlreadyHeld,
    /// One department at a time.
    #[error("已有部门在线或正在呼叫 (a department is on the call or being rung)")]
    DepartmentPresent,
    /// There is nobody to merge with, to leave to or to drop.
    #[error("通话中没有部门 (no department is on the call)")]
    NoDepartment,
    /// The citizen is not left alone with a telephone that rings.
    #[error("部门尚未接听 (the department has not answered)")]
    DepartmentNotAnswered,
    /// It never was of this call, or has left it.
    #[error("没有这一方 (no such leg)")]
    NoSuchLeg,
    /// Only the whole call can be hung up on the citizen.
    #[error("不能单独挂断诉求人,请用 hangup (the citizen is never dropped alone; use hangup)")]
    CitizenNotDropped,
    /// The recording has not begun, or none is made.
    #[error("没有录音 (nothing is being recorded)")]
    NotRecording,
    /// Empty, more than 32, or another character.
    #[error("只能发送 0-9 * # (keys are 0-9, * and #)")]
    BadDigits,
    /// It ends or has ended.
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
