//! One ticket (工单): one matter and where it stands.
//!
//! [`State::may_become`] is the whole table of its machine. What a step does beside the state, and to the
//! assignments, is in `workflow`. Pressure on a unit (催办, 督办) stands beside the state and is never a state.

use super::{deadline::Rule, rejected::Rejected};
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, AssignmentId, CallId, TicketId, TicketNo, UnitCode},
};
use serde::{Deserialize, Serialize};

/// Where a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// 草稿: a call's record that nobody has worked on yet, or an agent's unfinished form.
    Draft,
    /// 待派单: registered, waits for a dispatcher.
    ToDispatch,
    /// 待补充: something must be asked of the citizen.
    ToSupplement,
    /// 办理中: with the units.
    Handling,
    /// 待审核: the lead has replied.
    ToReview,
    /// 待回访: the reply was accepted; the citizen is asked.
    ToFollowUp,
    /// 结案: the centre is done.
    Closed,
    /// 归档: closed and laid away.
    Archived,
    /// 已并单: handled as part of another ticket.
    Merged,
    /// 作废: registered by mistake.
    Void,
}

impl State {
    /// Every state, in the order of a ticket's life.
    pub const ALL: [State; 10] = [
        State::Draft,
        State::ToDispatch,
        State::ToSupplement,
        State::Handling,
        State::ToReview,
        State::ToFollowUp,
        State::Closed,
        State::Archived,
        State::Merged,
        State::Void,
    ];

    /// The name in rows and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            State::Draft => "draft",
            State::ToDispatch => "to_dispatch",
            State::ToSupplement => "to_supplement",
            State::Handling => "handling",
            State::ToReview => "to_review",
            State::ToFollowUp => "to_follow_up",
            State::Closed => "closed",
            State::Archived => "archived",
            State::Merged => "merged",
            State::Void => "void",
        }
    }

    /// The name on screens in Chinese.
    pub const fn name_zh(self) -> &'static str {
        match self {
            State::Draft => "草稿",
            State::ToDispatch => "待派单",
            State::ToSupplement => "待补充",
            State::Handling => "办理中",
            State::ToReview => "待审核",
            State::ToFollowUp => "待回访",
            State::Closed => "结案",
            State::Archived => "归档",
            State::Merged => "已并单",
            State::Void => "作废",
        }
    }

    /// Whether something is still to be done.
    pub const fn is_open(self) -> bool {
        match self {
            State::Draft
            | State::ToDispatch
            | State::ToSupplement
            | State::Handling
            | State::ToReview
            | State::ToFollowUp => true,
            State::Closed | State::Archived | State::Merged | State::Void => false,
        }
    }

    /// The machine's table: which state may follow this one.
    pub const fn may_become(self, to: State) -> bool {
        use State::*;
        match self {
            Draft => matches!(to, ToDispatch | ToFollowUp | Closed),
            ToDispatch => matches!(to, Handling | ToSupplement | Merged | Void | Closed),
            ToSupplement => matches!(to, ToDispatch | Handling | Closed),
            // Back to a dispatcher when the lead's assignment was returned or recalled without a successor.
            Handling => matches!(to, ToReview | ToSupplement | ToDispatch | Closed),
            ToReview => matches!(to, ToFollowUp | Handling | Closed),
            ToFollowUp => matches!(to, Handling | Closed),
            Closed => matches!(to, Archived),
            // A child can be split from its master again before closing.
            Merged => matches!(to, ToDispatch | Closed),
            Archived | Void => false,
        }
    }
}

/// What a record is: only requests count as accepted (受理量).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "class", content = "contact_kind", rename_all = "snake_case")]
pub enum Class {
    /// 受理: a citizen's matter.
    Request,
    /// A contact that asked for nothing new.
    Contact(ContactKind),
}

impl Class {
    /// The name in rows and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Request => "request",
            Class::Contact(_) => "contact",
        }
    }
}

/// What kind of contact it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactKind {
    /// Not sorted yet: the call goes on, or its agent has not said.
    Unsorted,
    /// 放弃: the caller left before an agent answered.
    Abandoned,
    /// 静音: nobody spoke.
    Silent,
    /// 误拨: a wrong number.
    Misdialled,
    /// 骚扰: a nuisance.
    Nuisance,
    /// 测试: a test.
    Test,
    /// 来电催办: chases an open ticket.
    Chasing,
    /// Out of scope: told where to turn.
    Referred,
}

impl ContactKind {
    /// The name in rows and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            ContactKind::Unsorted => "unsorted",
            ContactKind::Abandoned => "abandoned",
            ContactKind::Silent => "silent",
            ContactKind::Misdialled => "misdialled",
            ContactKind::Nuisance => "nuisance",
            ContactKind::Test => "test",
            ContactKind::Chasing => "chasing",
            ContactKind::Referred => "referred",
        }
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The name in rows and in the API.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// How a matter came in.
    Channel {
        /// 电话: 12345 itself or an alias.
        #[default] Phone = "phone",
        /// 网站
        Web = "web",
        /// 视频: a video call.
        Video = "video",
        /// 短信: sent to the access number.
        Sms = "sms",
        /// 微信
        WeChat = "we_chat",
        /// 传真
        Fax = "fax",
        /// 手机客户端
        App = "app",
        /// 在线客服: live chat, also for the deaf.
        Chat = "chat",
        /// 巡查采集: reported by a collector on the street.
        Patrol = "patrol",
        /// 视频采集: seen by a camera.
        VideoCollection = "video_collection",
        /// 省派工单: sent down by the province's hotline.
        Province = "province",
    }
}

named! {
    /// 业务类型: what the citizen wants.
    Kind {
        /// 咨询
        #[default] Consultation = "consultation",
        /// 求助
        Help = "help",
        /// 投诉
        Complaint = "complaint",
        /// 举报
        Report = "report",
        /// 建议
        Suggestion = "suggestion",
        /// 表扬
        Praise = "praise",
        /// 其他
        Other = "other",
    }
}

named! {
    /// How fast the matter must be handled.
    Urgency {
        /// 一般
        #[default] Normal = "normal",
        /// 紧急
        Urgent = "urgent",
        /// 特急: due on the same day unless the policy says otherwise.
        Emergency = "emergency",
    }
}

/// Where a ticket came from; never changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The call it belongs to.
    pub call: Option<CallId>,
    /// Whether it is the call's one primary record.
    pub primary: bool,
    /// How it came in.
    pub channel: Channel,
    /// The number that was dialled: 12345 or an alias.
    pub dialled: Option<String>,
    /// The ticket of the same call that this matter was split off from.
    pub split_from: Option<TicketNo>,
    /// The closed ticket that this one repeats, confirmed by the agent.
    pub repeat_of: Option<TicketNo>,
}

/// 诉求人: who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Citizen {
    /// The number that called.
    pub number: Option<String>,
    /// The number to reach the citizen at, where it differs.
    pub contact: Option<String>,
    /// The name given; none is anonymous.
    pub name: Option<String>,
    /// 保密: name, number and recording are hidden from every role that was not granted them.
    pub confidential: bool,
}

impl Citizen {
    /// The number to call or text.
    pub fn reach(&self) -> Option<&str> {
        self.contact.as_deref().or(self.number.as_deref())
    }
}

/// The matter itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matter {
    /// One line.
    pub title: String,
    /// What the citizen said.
    pub content: String,
    /// 业务类型.
    pub kind: Kind,
    /// A code of the classification scheme.
    pub category: Option<String>,
    /// A district's code.
    pub district: Option<String>,
    /// Where it happened.
    pub address: Option<String>,
    /// How fast it must be handled.
    pub urgency: Urgency,
    /// The unit that is complained about: it never receives the ticket.
    pub against: Option<UnitCode>,
}

/// What is being asked of the citizen, and where the ticket goes on afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supplement {
    /// The question.
    pub question: String,
    /// The assignment whose unit asked; none when a dispatcher asked.
    pub asked_by: Option<AssignmentId>,
    /// Contacts that failed so far.
    pub failed: u32,
}

/// How the follow-up of a ticket stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowUpRecord {
    /// When contacts failed.
    pub failed_at: Vec<UnixMillis>,
    /// The citizen's last verdict.
    pub verdict: Option<Verdict>,
    /// Whether the citizen called the matter solved.
    pub solved: Option<bool>,
    /// An unsatisfied citizen waits for a reviewer's decision.
    pub awaits_decision: bool,
}

/// What the citizen says when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// 满意
    Satisfied,
    /// 基本满意
    BasicallySatisfied,
    /// 不满意
    Unsatisfied,
    /// Nobody was reached: no verdict.
    Unreachable,
}

/// How a ticket ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// When.
    pub at: UnixMillis,
    /// In which way.
    pub outcome: Outcome,
    /// The answer, the explanation or the reason.
    pub note: String,
}

/// The way a ticket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Handled, the citizen was asked.
    FollowedUp,
    /// Handled, nobody could be reached: no verdict.
    Unreachable,
    /// Handled, there was nobody to ask.
    NoFollowUp,
    /// 客观原因: unsatisfied, and nothing more can be done.
    Objective,
    /// 直接答复: answered on the call.
    DirectAnswer,
    /// 不受理: not for this hotline.
    Rejected,
    /// 无法补充: what was missing could not be had.
    Unsupplied,
    /// 撤诉: the citizen took it back.
    Withdrawn,
    /// A contact without a request.
    Contact,
}

/// One ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The row's id.
    pub id: TicketId,
    /// The number that citizens and units see.
    pub no: TicketNo,
    /// Rises by one with each command that was applied.
    pub version: u64,
    /// Where it stands.
    pub state: State,
    /// Request or contact.
    #[serde(flatten)]
    pub class: Class,
    /// What the citizen gives with the number to ask for progress.
    pub query_code: String,
    /// Where it came from.
    pub origin: Origin,
    /// Who asks.
    pub citizen: Citizen,
    /// What about.
    pub matter: Matter,
    /// The agent who works or worked on it.
    #[serde(default)]
    pub agent: Option<AgentNo>,
    /// When the citizen's clock began; never changes.
    pub accepted_at: UnixMillis,
    /// When it was registered.
    #[serde(default)]
    pub registered_at: Option<UnixMillis>,
    /// The citizen's time, frozen at registration.
    #[serde(default)]
    pub rule: Option<Rule>,
    /// When the citizen's time is up; set at registration.
    #[serde(default)]
    pub due_at: Option<UnixMillis>,
    /// When the present step of the centre is due: review, follow-up, supplement.
    #[serde(default)]
    pub step_due_at: Option<UnixMillis>,
    /// The open question.
    #[serde(default)]
    pub supplement: Option<Supplement>,
    /// The follow-up so far.
    #[serde(default)]
    pub follow_up: FollowUpRecord,
    /// How it ended.
    #[serde(default)]
    pub closing: Option<Closing>,
    /// Replies that were rejected (二次交办).
    #[serde(default)]
    pub redo: u32,
    /// Returns that units asked for.
    #[serde(default)]
    pub returns: u32,
    /// Times it was urged (催办).
    #[serde(default)]
    pub urged: u32,
    /// The ticket it was merged into.
    #[serde(default)]
    pub merged_into: Option<TicketNo>,
    /// Events in its history so far.
    #[serde(default)]
    pub history: u64,
}

impl Ticket {
    /// A draft: the record of a call, or an agent's form, from its first moment.
    pub fn draft(
        id: TicketId,
        no: TicketNo,
        query_code: String,
        origin: Origin,
        citizen: Citizen,
        at: UnixMillis,
    ) -> Ticket {
        Ticket {
            id,
            no,
            version: 1,
            state: State::Draft,
            class: Class::Contact(ContactKind::Unsorted),
            query_code,
            origin,
            citizen,
            matter: Matter::default(),
            agent: None,
            accepted_at: at,
            registered_at: None,
            rule: None,
            due_at: None,
            step_due_at: None,
            supplement: None,
            follow_up: FollowUpRecord::default(),
            closing: None,
            redo: 0,
            returns: 0,
            urged: 0,
            merged_into: None,
            history: 0,
        }
    }

    /// Moves to another state, or says that the table has no such step.
    pub(super) fn become_state(&mut self, to: State, command: &'static str) -> Result<(), Rejected> {
        if !self.state.may_become(to) {
            return Err(Rejected::TicketState { command, state: self.state });
        }
        self.state = to;
        self.step_due_at = None;
        self.supplement = None;
        Ok(())
    }

    /// Fails unless the ticket stands in one of `states`.
    pub(super) fn require(&self, command: &'static str, states: &[State]) -> Result<(), Rejected> {
        if states.contains(&self.state) { Ok(()) } else { Err(Rejected::TicketState { command, state: self.state }) }
    }

    /// Ends the ticket.
    pub(super) fn close(
        &mut self,
        outcome: Outcome,
        note: &str,
        at: UnixMillis,
        command: &'static str,
    ) -> Result<(), Rejected> {
        self.become_state(State::Closed, command)?;
        self.follow_up.awaits_decision = false;
        self.closing = Some(Closing { at, outcome, note: note.to_owned() });
        Ok(())
    }

    /// Whether the citizen's time was up before it was closed, or is up now.
    pub fn is_overdue(&self, now: UnixMillis) -> bool {
        let until = self.closing.as_ref().map_or(now, |closing| closing.at);
        self.due_at.is_some_and(|due| until > due)
    }
}
