//! Why a command was not taken. A rejected command changes nothing.

use super::{assignment, ticket};
use crate::ids::{AssignmentId, TicketNo, UnitCode};

/// Why a command was not taken; `Display` is the reason in English.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The ticket does not stand where the command applies.
    #[error("`{command}` does not apply to a ticket that is {}", state.name())]
    TicketState {
        /// The command.
        command: &'static str,
        /// Where the ticket stands.
        state: ticket::State,
    },
    /// The assignment does not stand where the command applies.
    #[error("`{command}` does not apply to an assignment that is {}", state.name())]
    AssignmentState {
        /// The command.
        command: &'static str,
        /// Where the assignment stands.
        state: assignment::State,
    },
    /// The role may not give this command.
    #[error("the role {role} may not `{command}`")]
    Role {
        /// The command.
        command: &'static str,
        /// The role.
        role: &'static str,
    },
    /// The assignment is another unit's.
    #[error("the assignment belongs to another unit")]
    OtherUnit,
    /// The ticket has no such assignment.
    #[error("the ticket has no assignment {0}")]
    NoAssignment(AssignmentId),
    /// The command does not say which assignment it means, and there is not exactly one.
    #[error("say which assignment is meant")]
    WhichAssignment,
    /// The lead replied before every assisting unit did.
    #[error("the assisting unit {0} has neither replied nor been waived")]
    AssistPending(UnitCode),
    /// The unit has the ticket already, or is named twice.
    #[error("the unit {0} has this ticket already")]
    UnitTwice(UnitCode),
    /// The unit is the one complained about.
    #[error("the complaint is about the unit {0}: it may not receive it")]
    ComplainedAbout(UnitCode),
    /// Too long after dispatch to return it.
    #[error("the time for returning the assignment is over")]
    ReturnTooLate,
    /// Designated to the unit: cannot be returned.
    #[error("the assignment was designated and cannot be returned")]
    Designated,
    /// More working days than may be granted in all.
    #[error("an extension of 1 to {0} working days can be asked for")]
    ExtensionLength(u32),
    /// An extension was asked for before.
    #[error("an extension was asked for already")]
    ExtensionTwice,
    /// No extension waits for a decision.
    #[error("no extension waits for a decision")]
    NoExtension,
    /// The policy has no suspension.
    #[error("the policy does not let assignments be suspended")]
    NoSuspension,
    /// It was handled again as often as is allowed.
    #[error("the ticket was handled again {0} times, which is the limit")]
    RedoLimit(u32),
    /// An unsatisfied verdict waits for a reviewer.
    #[error("an unsatisfied verdict waits for a reviewer's decision")]
    AwaitsDecision,
    /// No unsatisfied verdict waits.
    #[error("no unsatisfied verdict waits for a decision")]
    NothingToDecide,
    /// Nobody handled the ticket, so it cannot be handled again.
    #[error("no unit has handled the ticket")]
    NoLead,
    /// The lead cannot be waived.
    #[error("the lead unit cannot be waived; recall it instead")]
    LeadWaived,
    /// The ticket cannot be merged into itself.
    #[error("a ticket cannot be merged into itself")]
    MergeSelf,
    /// There is a citizen who can be asked.
    #[error("the citizen can be reached: follow up, or let a supervisor close it with a reason")]
    CitizenReachable,
    /// No unit of this code takes tickets.
    #[error("there is no active unit {0}")]
    UnknownUnit(UnitCode),
    /// No ticket of this number is there, or it is over.
    #[error("there is no open ticket {0}")]
    UnknownTicket(TicketNo),
    /// Something required is empty or too long.
    #[error("`{0}` must be filled in and hold no more than {max} characters", max = super::command::MAX_TEXT)]
    Field(&'static str),
}

impl Rejected {
    /// The stable code that the API shows.
    pub const fn code(&self) -> &'static str {
        match self {
            Rejected::TicketState { .. } => "ticket_state",
            Rejected::AssignmentState { .. } => "assignment_state",
            Rejected::Role { .. } => "role",
            Rejected::OtherUnit => "other_unit",
            Rejected::NoAssignment(_) => "no_assignment",
            Rejected::WhichAssignment => "which_assignment",
            Rejected::AssistPending(_) => "assist_pending",
            Rejected::UnitTwice(_) => "unit_twice",
            Rejected::ComplainedAbout(_) => "complained_about",
            Rejected::ReturnTooLate => "return_too_late",
            Rejected::Designated => "designated",
            Rejected::ExtensionLength(_) => "extension_length",
            Rejected::ExtensionTwice => "extension_twice",
            Rejected::NoExtension => "no_extension",
            Rejected::NoSuspension => "no_suspension",
            Rejected::RedoLimit(_) => "redo_limit",
            Rejected::AwaitsDecision => "awaits_decision",
            Rejected::NothingToDecide => "nothing_to_decide",
            Rejected::NoLead => "no_lead",
            Rejected::LeadWaived => "lead_waived",
            Rejected::MergeSelf => "merge_self",
            Rejected::CitizenReachable => "citizen_reachable",
            Rejected::UnknownUnit(_) => "unknown_unit",
            Rejected::UnknownTicket(_) => "unknown_ticket",
            Rejected::Field(_) => "field",
        }
    }

    /// The reason in Chinese.
    pub fn zh(&self) -> String {
        match self {
            Rejected::TicketState { command, state } => {
                format!("工单处于“{}”状态,不能执行该操作({command})", state.name_zh())
            }
            Rejected::AssignmentState { command, state } => {
                format!("交办单处于“{}”状态,不能执行该操作({command})", state.name_zh())
            }
            Rejected::Role { command, role } => format!("角色 {role} 无权执行该操作({command})"),
            Rejected::OtherUnit => "该交办单属于其他承办单位".into(),
            Rejected::NoAssignment(id) => format!("该工单没有交办单 {id}"),
            Rejected::WhichAssignment => "请指明交办单".into(),
            Rejected::AssistPending(unit) => format!("协办单位 {unit} 尚未答复,也未免予答复,主办单位不能办结"),
            Rejected::UnitTwice(unit) => format!("单位 {unit} 已承办该工单"),
            Rejected::ComplainedAbout(unit) => format!("单位 {unit} 是被投诉对象,不得承办该工单"),
            Rejected::ReturnTooLate => "已超过退单期限".into(),
            Rejected::Designated => "该交办单为指定承办,不能退单".into(),
            Rejected::ExtensionLength(max) => format!("延期应为 1 至 {max} 个工作日"),
            Rejected::ExtensionTwice => "已申请过延期".into(),
            Rejected::NoExtension => "没有待审批的延期申请".into(),
            Rejected::NoSuspension => "现行规则不允许挂起".into(),
            Rejected::RedoLimit(max) => format!("重办已达上限({max} 次)"),
            Rejected::AwaitsDecision => "回访不满意,须由审核员决定".into(),
            Rejected::NothingToDecide => "没有待决定的不满意回访".into(),
            Rejected::NoLead => "没有承办单位,不能重办".into(),
            Rejected::LeadWaived => "主办单位不能免予答复,请撤回改派".into(),
            Rejected::MergeSelf => "工单不能并入自身".into(),
            Rejected::CitizenReachable => "能联系到诉求人,应先回访;确需免予回访的,由班长填写理由后结案".into(),
            Rejected::UnknownUnit(unit) => format!("没有承办单位 {unit},或者它已停用"),
            Rejected::UnknownTicket(no) => format!("没有工单 {no},或者它已办结"),
            Rejected::Field(name) => format!("“{name}”不能为空,且不超过 {} 字", super::command::MAX_TEXT),
        }
    }
}
