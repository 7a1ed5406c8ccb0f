//! One assignment (交办单): one dispatch of a ticket to one unit. A unit's figures live here.
//!
//! [`State::may_become`] is the whole table of its machine. The unit's clock is the assignment's own: a granted
//! return makes a new one, while the citizen's clock goes on.

use super::{calendar::Calendar, deadline::Rule, rejected::Rejected};
use crate::{
    clock::UnixMillis,
    ids::{AssignmentId, UnitCode},
};
use serde::{Deserialize, Serialize};

/// Where an assignment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// 待签收: dispatched, not yet signed for.
    ToSign,
    /// 办理中: signed, being handled.
    InProgress,
    /// 退单审核: the unit says that it is not theirs.
    ReturnReview,
    /// 办结: the unit has replied.
    Replied,
    /// The reply was accepted.
    Accepted,
    /// 挂起: the unit's clock stands still.
    Suspended,
    /// 已退单.
    Returned,
    /// 撤回改派, also when the ticket ended under it.
    Recalled,
    /// 指定承办: as in progress, but it cannot be returned any more.
    Forced,
    /// An assisting unit that need not reply any more.
    Waived,
}

impl State {
    /// Every state.
    pub const ALL: [State; 10] = [
        State::ToSign,
        State::InProgress,
        State::ReturnReview,
        State::Replied,
        State::Accepted,
        State::Suspended,
        State::Returned,
        State::Recalled,
        State::Forced,
        State::Waived,
    ];

    /// The name in rows and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            State::ToSign => "to_sign",
            State::InProgress => "in_progress",
            State::ReturnReview => "return_review",
            State::Replied => "replied",
            State::Accepted => "accepted",
            State::Suspended => "suspended",
            State::Returned => "returned",
            State::Recalled => "recalled",
            State::Forced => "forced",
            State::Waived => "waived",
        }
    }

    /// The name on screens in Chinese.
    pub const fn name_zh(self) -> &'static str {
        match self {
            State::ToSign => "待签收",
            State::InProgress => "办理中",
            State::ReturnReview => "退单审核",
            State::Replied => "办结",
            State::Accepted => "已审核",
            State::Suspended => "挂起",
            State::Returned => "已退单",
            State::Recalled => "已撤回",
            State::Forced => "指定承办",
            State::Waived => "免予答复",
        }
    }

    /// Whether the unit still has to reply.
    pub const fn is_open(self) -> bool {
        match self {
            State::ToSign | State::InProgress | State::ReturnReview | State::Suspended | State::Forced => true,
            State::Replied | State::Accepted | State::Returned | State::Recalled | State::Waived => false,
        }
    }

    /// Whether the unit is part of the ticket: open, replied or accepted.
    pub const fn is_live(self) -> bool {
        match self {
            State::ToSign
            | State::InProgress
            | State::ReturnReview
            | State::Suspended
            | State::Forced
            | State::Replied
            | State::Accepted => true,
            State::Returned | State::Recalled | State::Waived => false,
        }
    }

    /// The machine's table: which state may follow this one.
    pub const fn may_become(self, to: State) -> bool {
        use State::*;
        match self {
            ToSign => matches!(to, InProgress | ReturnReview | Recalled | Waived),
            InProgress => matches!(to, Replied | ReturnReview | Suspended | Recalled | Waived),
            ReturnReview => matches!(to, Returned | InProgress | Forced | Recalled | Waived),
            Forced => matches!(to, Replied | Suspended | Recalled | Waived),
            Suspended => matches!(to, InProgress | Forced | Recalled | Waived),
            Replied => matches!(to, Accepted | InProgress | Forced | Recalled),
            // An unsatisfied citizen's ticket is handled again.
            Accepted => matches!(to, InProgress | Forced),
            Returned | Recalled | Waived => false,
        }
    }
}

/// What a unit is on a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitRole {
    /// 主办
    Lead,
    /// 协办
    Assist,
}

impl UnitRole {
    /// The name in rows and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            UnitRole::Lead => "lead",
            UnitRole::Assist => "assist",
        }
    }
}

/// A unit's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// When it was sent.
    pub at: UnixMillis,
    /// What was done.
    pub text: String,
    /// 谁办理谁答复: when and how the unit told the citizen.
    #[serde(default)]
    pub contacted: Option<String>,
    /// Whether it was sent by its due time.
    pub in_time: bool,
}

/// An extension that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Working days more.
    pub days: u32,
    /// Why.
    pub reason: String,
    /// Granted, refused, or not decided yet.
    pub granted: Option<bool>,
}

/// One dispatch of a ticket to one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The row's id.
    pub id: AssignmentId,
    /// The unit.
    pub unit: UnitCode,
    /// Lead or assist.
    pub role: UnitRole,
    /// Where it stands.
    pub state: State,
    /// The assignment of the unit above, where this one was passed down.
    #[serde(default)]
    pub parent: Option<AssignmentId>,
    /// When it was dispatched: the unit's clock begins.
    pub dispatched_at: UnixMillis,
    /// When it must be signed.
    pub sign_due_at: UnixMillis,
    /// When it was signed.
    #[serde(default)]
    pub signed_at: Option<UnixMillis>,
    /// Whether it was signed in time; a refused return is never in time.
    #[serde(default)]
    pub signed_in_time: Option<bool>,
    /// The time allowed, frozen at dispatch.
    pub rule: Rule,
    /// What `rule` counts from: the dispatch, or the last rejection of a reply.
    pub rule_from: UnixMillis,
    /// When it must be replied to.
    pub due_at: UnixMillis,
    /// The extension asked for.
    #[serde(default)]
    pub extension: Option<Extension>,
    /// Since when it is suspended.
    #[serde(default)]
    pub suspended_at: Option<UnixMillis>,
    /// How long it was suspended since `rule_from`, in milliseconds.
    #[serde(default)]
    pub suspended_millis: i64,
    /// Designated: it cannot be returned.
    #[serde(default)]
    pub designated: bool,
    /// When somebody arrived on site.
    #[serde(default)]
    pub arrived_at: Option<UnixMillis>,
    /// The last reply.
    #[serde(default)]
    pub reply: Option<Reply>,
    /// When the reply was accepted.
    #[serde(default)]
    pub accepted_at: Option<UnixMillis>,
    /// Replies that were rejected.
    #[serde(default)]
    pub redo: u32,
}

impl Assignment {
    /// Moves to another state, or says that the table has no such step.
    pub(super) fn become_state(&mut self, to: State, command: &'static str) -> Result<(), Rejected> {
        if !self.state.may_become(to) {
            return Err(Rejected::AssignmentState { command, state: self.state });
        }
        self.state = to;
        Ok(())
    }

    /// The state in which this assignment is worked on.
    pub(super) fn working_state(&self) -> State {
        if self.designated { State::Forced } else { State::InProgress }
    }

    /// When it must be replied to by this calendar: the time allowed, then the extension's working days, then the time
    /// that the unit's clock stood still.
    pub(super) fn due(&self, calendar: &Calendar) -> UnixMillis {
        let mut due = self.rule.due(self.rule_from, calendar);
        if let Some(extension) = self.extension.as_ref().filter(|extension| extension.granted == Some(true)) {
            due = calendar.add_working_days(due, extension.days);
        }
        UnixMillis(due.0.saturating_add(self.suspended_millis))
    }

    /// Whether the unit's time was up before it replied, or is up now.
    pub fn is_overdue(&self, now: UnixMillis) -> bool {
        let stopped = self.suspended_at.unwrap_or(now);
        self.state.is_live() && self.reply.as_ref().map_or(stopped, |reply| reply.at) > self.due_at
    }
}
