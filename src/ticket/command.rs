//! What people ask of a ticket, and who may ask it.
//!
//! A command reads from JSON as `{"command":"dispatch", …}`. Where a unit's command names no assignment, the unit's
//! one live assignment is meant.

use super::{
    deadline::Rule,
    rejected::Rejected,
    ticket::{Citizen, ContactKind, Matter, Verdict},
};
use crate::ids::{AgentNo, AssignmentId, TicketNo, UnitCode, UserName};
use serde::{Deserialize, Serialize};

/// Characters in any one text at most.
pub const MAX_TEXT: usize = 10_000;
/// Assisting units of one ticket at most.
pub const MAX_ASSIST: usize = 20;

macro_rules! commands {
    ($($(#[$doc:meta])* $who:ident $name:literal $variant:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* })*) => {
        /// What is asked of a ticket.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "command", rename_all = "snake_case")]
        pub enum Command { $(
            $(#[$doc])*
            $variant { $(
                $(#[$attr])*
                $field: $type,
            )* },
        )* }

        impl Command {
            /// Its name in the API.
            pub const fn name(&self) -> &'static str {
                match self { $(Command::$variant { .. } => $name,)* }
            }

            /// Who gives it.
            pub const fn desk(&self) -> Desk {
                match self { $(Command::$variant { .. } => Desk::$who,)* }
            }
        }
    };
}

commands! {
    /// Makes a request of a draft.
    Agent "register" Register {
        /// What it is about.
        #[serde(default)] matter: Matter,
        /// None leaves the citizen as the call made it.
        #[serde(default)] citizen: Option<Citizen>,
    }
    /// 直接答复: answered on the call.
    Agent "direct_answer" DirectAnswer {
        /// None leaves the matter as it is.
        #[serde(default)] matter: Option<Matter>,
        /// What the citizen was told; not blank.
        answer: String,
        /// Ask the citizen afterwards, in the place of closing at once.
        #[serde(default)] follow_up: bool,
    }
    /// 不受理: recorded with its code and where the citizen was referred.
    Agent "reject" Reject {
        /// One of the city's reasons; not blank.
        code: String,
        /// Where the citizen was told to turn.
        #[serde(default)] referred_to: String,
    }
    /// The record was no request.
    Agent "complete" Complete {
        /// What it was.
        kind: ContactKind,
        /// In the agent's words.
        #[serde(default)] note: String,
        /// The open ticket that the citizen asked after (来电催办).
        #[serde(default)] chases: Option<TicketNo>,
    }
    /// Corrects what was written down.
    Agent "amend" Amend {
        /// The whole matter as it should be; None leaves it.
        #[serde(default)] matter: Option<Matter>,
        /// The whole citizen as it should be, but for the number that called; None leaves it.
        #[serde(default)] citizen: Option<Citizen>,
    }
    /// 撤诉: the citizen takes it back.
    Agent "withdraw" Withdraw {
        /// In the citizen's words.
        #[serde(default)] reason: String,
    }
    /// 催办.
    Agent "urge" Urge {
        /// In the citizen's words.
        #[serde(default)] note: String,
    }
    /// To one lead and any assisting units.
    Dispatcher "dispatch" Dispatch {
        /// 主办.
        lead: UnitCode,
        /// 协办: at most [`MAX_ASSIST`].
        #[serde(default)] assist: Vec<UnitCode>,
        /// The time allowed; None: by the policy, from kind and urgency.
        #[serde(default)] rule: Option<Rule>,
        /// For the units.
        #[serde(default)] note: String,
    }
    /// Something must be asked of the citizen first; a unit asks from its assignment.
    Either "ask_supplement" AskSupplement {
        /// What is to be asked; not blank.
        question: String,
        /// Which unit asks; None: the only one that can be meant, or a dispatcher.
        #[serde(default)] assignment: Option<AssignmentId>,
    }
    /// The citizen answered.
    Either "supplied" Supplied {
        /// What the citizen said; not blank.
        text: String,
    }
    /// The citizen could not be reached for a supplement.
    Either "contact_failed" ContactFailed {
        /// What was tried.
        #[serde(default)] note: String,
    }
    /// 并单.
    Dispatcher "merge" Merge {
        /// The ticket that stays, another than this.
        into: TicketNo,
    }
    /// A merged ticket stands alone again.
    Dispatcher "split" Split {
        /// Why it is a matter of its own.
        #[serde(default)] reason: String,
    }
    /// 作废.
    Dispatcher "void" Void {
        /// Why it should not have been registered; not blank.
        reason: String,
    }
    /// 签收.
    Unit "sign" Sign {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
    }
    /// 到场.
    Unit "arrived" Arrived {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
    }
    /// 阶段性反馈.
    Unit "progress" Progress {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// What has been done so far; not blank.
        text: String,
    }
    /// 办结: what was done, and when and how the citizen was told.
    Unit "reply" Reply {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// What was done; not blank.
        text: String,
        /// 谁办理谁答复: when and how the unit told the citizen.
        #[serde(default)] contacted: Option<String>,
    }
    /// 退单: not ours.
    Unit "request_return" RequestReturn {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// Whose it is instead, and why; not blank.
        reason: String,
    }
    /// 延期.
    Unit "request_extension" RequestExtension {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// Working days more; the policy says how many at most.
        days: u32,
        /// What takes so long; not blank.
        reason: String,
    }
    /// 挂起.
    Unit "suspend" Suspend {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// What is waited for; not blank.
        reason: String,
    }
    /// Ends a suspension.
    Unit "resume" Resume {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
    }
    /// To another unit, or back to a dispatcher; at the limit of returns the unit is designated.
    Dispatcher "grant_return" GrantReturn {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// The next unit; None: a lead's goes back to a dispatcher, an assisting unit's is over.
        #[serde(default)] to: Option<UnitCode>,
    }
    /// The unit keeps it.
    Dispatcher "refuse_return" RefuseReturn {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// Why it is theirs after all; not blank.
        reason: String,
    }
    /// Sets the new due time.
    Dispatcher "grant_extension" GrantExtension {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
    }
    /// The due time stays.
    Dispatcher "refuse_extension" RefuseExtension {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// For the unit.
        #[serde(default)] reason: String,
    }
    /// 撤回改派: to another unit, or back to a dispatcher.
    Dispatcher "recall" Recall {
        /// None: the only one that can be meant.
        #[serde(default)] assignment: Option<AssignmentId>,
        /// The next unit; None: a lead's goes back to a dispatcher, an assisting unit's is over.
        #[serde(default)] to: Option<UnitCode>,
        /// For the unit that loses it.
        #[serde(default)] reason: String,
    }
    /// The assisting unit need not reply.
    Dispatcher "waive" Waive {
        /// Always an assisting unit's.
        assignment: AssignmentId,
        /// For the unit.
        #[serde(default)] reason: String,
    }
    /// The reply is good.
    Reviewer "accept" Accept {
        /// In the reviewer's words.
        #[serde(default)] note: String,
    }
    /// 重办: the reply is not good, or the citizen is not satisfied.
    Reviewer "redo" Redo {
        /// What the reply lacks; not blank.
        reason: String,
        /// The time allowed from now; None: as before.
        #[serde(default)] rule: Option<Rule>,
    }
    /// 客观原因: unsatisfied, and nothing more can be done; the explanation is recorded.
    Reviewer "close_objective" CloseObjective {
        /// Why nothing more can be done; not blank.
        explanation: String,
    }
    /// 回访.
    FollowUp "follow_up" FollowUp {
        /// What the citizen says, or that nobody was reached.
        result: Verdict,
        /// Whether the citizen calls the matter solved; passed over where nobody was reached.
        #[serde(default)] solved: Option<bool>,
        /// In the citizen's words.
        #[serde(default)] note: String,
    }
    /// 结案 without asking: there is nobody to ask, or a supervisor says why not.
    FollowUp "close" Close {
        /// Not blank where the citizen could be asked.
        #[serde(default)] note: String,
    }
    /// 归档.
    System "archive" Archive {}
    /// The calendar changed: due times are computed again from their frozen rules.
    System "recompute" Recompute {}
}

/// Whose work a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Desk {
    /// 话务员
    Agent,
    /// 派单员
    Dispatcher,
    /// 审核员
    Reviewer,
    /// 回访员
    FollowUp,
    /// 承办单位
    Unit,
    /// The centre or the unit.
    Either,
    /// The program, or an administrator.
    System,
}

/// A role of the console and the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// 话务员
    Agent,
    /// 班长
    Supervisor,
    /// 派单员
    Dispatcher,
    /// 审核员
    Reviewer,
    /// 回访员
    FollowUpAgent,
    /// 督办员
    SupervisionOfficer,
    /// 质检员
    QualityChecker,
    /// 知识库管理员
    KnowledgeEditor,
    /// 采集员
    Collector,
    /// 审计员
    Auditor,
    /// A unit's clerk.
    UnitClerk,
    /// A unit's head.
    UnitHead,
    /// Runs the installation.
    Admin,
    /// The program itself.
    System,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 14] = [
        Role::Agent,
        Role::Supervisor,
        Role::Dispatcher,
        Role::Reviewer,
        Role::FollowUpAgent,
        Role::SupervisionOfficer,
        Role::QualityChecker,
        Role::KnowledgeEditor,
        Role::Collector,
        Role::Auditor,
        Role::UnitClerk,
        Role::UnitHead,
        Role::Admin,
        Role::System,
    ];

    /// The name in rows and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Agent => "agent",
            Role::Supervisor => "supervisor",
            Role::Dispatcher => "dispatcher",
            Role::Reviewer => "reviewer",
            Role::FollowUpAgent => "follow_up_agent",
            Role::SupervisionOfficer => "supervision_officer",
            Role::QualityChecker => "quality_checker",
            Role::KnowledgeEditor => "knowledge_editor",
            Role::Collector => "collector",
            Role::Auditor => "auditor",
            Role::UnitClerk => "unit_clerk",
            Role::UnitHead => "unit_head",
            Role::Admin => "admin",
            Role::System => "system",
        }
    }

    /// The name on screens.
    pub const fn zh(self) -> &'static str {
        match self {
            Role::Agent => "话务员",
            Role::Supervisor => "班长",
            Role::Dispatcher => "派单员",
            Role::Reviewer => "审核员",
            Role::FollowUpAgent => "回访员",
            Role::SupervisionOfficer => "督办员",
            Role::QualityChecker => "质检员",
            Role::KnowledgeEditor => "知识库管理员",
            Role::Collector => "采集员",
            Role::Auditor => "审计员",
            Role::UnitClerk => "承办单位经办人",
            Role::UnitHead => "承办单位负责人",
            Role::Admin => "系统管理员",
            Role::System => "系统",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether this role works at a desk. A dispatcher may review and follow up: small centres have one person for all.
    pub const fn works_at(self, desk: Desk) -> bool {
        match self {
            Role::System | Role::Admin => true,
            Role::Supervisor | Role::Dispatcher => !matches!(desk, Desk::System | Desk::Unit),
            Role::Reviewer | Role::SupervisionOfficer => matches!(desk, Desk::Reviewer | Desk::FollowUp),
            Role::FollowUpAgent => matches!(desk, Desk::FollowUp | Desk::Agent),
            Role::Agent => matches!(desk, Desk::Agent | Desk::FollowUp | Desk::Either),
            Role::UnitClerk | Role::UnitHead => matches!(desk, Desk::Unit | Desk::Either),
            Role::QualityChecker | Role::KnowledgeEditor | Role::Collector | Role::Auditor => false,
        }
    }
}

/// Who gives a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The role acted in.
    pub role: Role,
    /// The user; none for the program itself.
    #[serde(default)]
    pub user: Option<UserName>,
    /// The unit acted for.
    #[serde(default)]
    pub unit: Option<UnitCode>,
    /// The agent number, where an agent acts.
    #[serde(default)]
    pub agent: Option<AgentNo>,
}

impl Actor {
    /// The program itself.
    pub fn system() -> Actor {
        Actor { role: Role::System, user: None, unit: None, agent: None }
    }

    /// A user of the centre.
    pub fn centre(role: Role, user: &str) -> Actor {
        Actor { role, user: Some(user.into()), unit: None, agent: None }
    }

    /// A clerk of a unit.
    pub fn unit(unit: &str, user: &str) -> Actor {
        Actor { role: Role::UnitClerk, user: Some(user.into()), unit: Some(unit.into()), agent: None }
    }

    /// Fails unless this actor may give such a command.
    pub(super) fn may(&self, command: &Command) -> Result<(), Rejected> {
        if self.role.works_at(command.desk()) {
            Ok(())
        } else {
            Err(Rejected::Role { command: command.name(), role: self.role.name() })
        }
    }
}

/// Fails where a required text is blank, or longer than [`MAX_TEXT`] characters.
pub(super) fn filled(name: &'static str, text: &str) -> Result<(), Rejected> {
    if text.trim().is_empty() { Err(Rejected::Field(name)) } else { bounded(name, text) }
}

/// Fails where a text is longer than [`MAX_TEXT`] characters.
pub(super) fn bounded(name: &'static str, text: &str) -> Result<(), Rejected> {
    if text.chars().count() > MAX_TEXT { Err(Rejected::Field(name)) } else { Ok(()) }
}
