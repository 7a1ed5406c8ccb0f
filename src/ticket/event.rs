//! What happened to a ticket: its history, which is only ever added to.

use super::{
    assignment::UnitRole,
    command::Actor,
    deadline::Rule,
    ticket::{Citizen, Class, ContactKind, Matter, Outcome, State, Verdict},
};
use crate::{
    clock::UnixMillis,
    ids::{AssignmentId, TicketNo, UnitCode},
};
use serde::{Deserialize, Serialize};

/// One entry of a ticket's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The place in the ticket's history, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: UnixMillis,
    /// Who.
    pub by: Actor,
    /// The ticket's state afterwards.
    pub state: State,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The record was made.
    Created {
        /// A contact that is not sorted yet, where a call made it.
        class: Class,
    },
    /// It became a request.
    Registered {
        /// When the citizen's time is up.
        due_at: UnixMillis,
    },
    /// Answered on the call.
    DirectlyAnswered {
        /// What the citizen was told.
        answer: String,
    },
    /// Not for this hotline.
    Rejected {
        /// The reason's code, as the city lists them.
        code: String,
        /// Where the citizen was told to turn; may be empty.
        referred_to: String,
    },
    /// It was no request.
    Completed {
        /// What kind of contact it was.
        kind: ContactKind,
        /// The agent's words; may be empty.
        note: String,
        /// The open ticket that the citizen asked after (来电催办).
        chases: Option<TicketNo>,
    },
    /// What was written down was corrected; the values before.
    Amended {
        /// None where it was not touched.
        matter: Option<Matter>,
        /// None where it was not touched.
        citizen: Option<Citizen>,
    },
    /// Given to a unit.
    Dispatched {
        /// The new assignment.
        assignment: AssignmentId,
        /// Who gets it.
        unit: UnitCode,
        /// Lead or assist.
        role: UnitRole,
        /// The time allowed, frozen here.
        rule: Rule,
        /// When the unit must have replied.
        due_at: UnixMillis,
        /// The dispatcher's words; may be empty.
        note: String,
        /// It cannot be returned.
        designated: bool,
    },
    /// Something is asked of the citizen.
    SupplementAsked {
        /// Whose unit asks; none where a dispatcher does.
        assignment: Option<AssignmentId>,
        /// What is asked.
        question: String,
    },
    /// The citizen answered.
    Supplied {
        /// What the citizen said.
        text: String,
    },
    /// The citizen could not be reached.
    ContactFailed {
        /// How many contacts have failed by now; at the policy's limit the ticket is closed.
        tries: u32,
        /// May be empty.
        note: String,
    },
    /// Handled as part of another.
    Merged {
        /// The ticket that stays.
        into: TicketNo,
    },
    /// Stands alone again.
    Split {
        /// The ticket that it was part of.
        from: Option<TicketNo>,
        /// May be empty.
        reason: String,
    },
    /// Void.
    Voided {
        /// Why it should not have been registered.
        reason: String,
    },
    /// Signed for.
    Signed {
        /// Which one.
        assignment: AssignmentId,
        /// By the assignment's `sign_due_at`.
        in_time: bool,
    },
    /// On site.
    Arrived {
        /// Which one.
        assignment: AssignmentId,
    },
    /// Progress.
    Progress {
        /// Which one.
        assignment: AssignmentId,
        /// What has been done so far.
        text: String,
    },
    /// The unit is done.
    Replied {
        /// Which one.
        assignment: AssignmentId,
        /// What was done.
        text: String,
        /// 谁办理谁答复: when and how the unit told the citizen.
        contacted: Option<String>,
        /// By the assignment's `due_at`.
        in_time: bool,
    },
    /// The unit says that it is not theirs.
    ReturnRequested {
        /// Which one.
        assignment: AssignmentId,
        /// Why it is not theirs.
        reason: String,
    },
    /// Returned.
    ReturnGranted {
        /// Which one; another unit's begins with a `dispatched` of its own.
        assignment: AssignmentId,
    },
    /// The unit keeps it.
    ReturnRefused {
        /// Which one.
        assignment: AssignmentId,
        /// Why it is theirs after all.
        reason: String,
    },
    /// Designated: it cannot be returned any more.
    Designated {
        /// Which one.
        assignment: AssignmentId,
    },
    /// More time is asked for.
    ExtensionRequested {
        /// Which one.
        assignment: AssignmentId,
        /// Working days more.
        days: u32,
        /// What takes so long.
        reason: String,
    },
    /// More time.
    ExtensionGranted {
        /// Which one.
        assignment: AssignmentId,
        /// When it is due now.
        due_at: UnixMillis,
    },
    /// No more time.
    ExtensionRefused {
        /// Which one.
        assignment: AssignmentId,
        /// May be empty.
        reason: String,
    },
    /// The unit's clock stands still.
    Suspended {
        /// Which one.
        assignment: AssignmentId,
        /// What is waited for.
        reason: String,
    },
    /// The unit's clock goes on.
    Resumed {
        /// Which one.
        assignment: AssignmentId,
        /// When it is due now, later by as long as it was suspended.
        due_at: UnixMillis,
    },
    /// Taken back.
    Recalled {
        /// Which one.
        assignment: AssignmentId,
        /// `withdrawn`, `unsupplied` or `void` where the ticket ended under it, else the dispatcher's words.
        reason: String,
    },
    /// Need not reply.
    Waived {
        /// Which one; always an assisting unit's.
        assignment: AssignmentId,
        /// May be empty.
        reason: String,
    },
    /// The reply is good.
    Accepted {
        /// The reviewer's words; may be empty.
        note: String,
    },
    /// To be handled again.
    Redone {
        /// The lead's.
        assignment: AssignmentId,
        /// What the reply lacks.
        reason: String,
        /// When it is due again.
        due_at: UnixMillis,
    },
    /// The citizen was asked, or could not be.
    FollowedUp {
        /// The verdict, or that nobody was reached.
        result: Verdict,
        /// Whether the citizen calls the matter solved; none where that was not asked.
        solved: Option<bool>,
        /// May be empty.
        note: String,
    },
    /// Urged.
    Urged {
        /// How often by now.
        times: u32,
        /// What the citizen said; may be empty.
        note: String,
    },
    /// The centre is done.
    Closed {
        /// In which way.
        outcome: Outcome,
        /// The answer, the explanation or the reason.
        note: String,
    },
    /// Laid away.
    Archived {},
    /// A due time was computed again because the calendar changed.
    DueMoved {
        /// Whose; none where it is the citizen's own.
        assignment: Option<AssignmentId>,
        /// Before.
        from: UnixMillis,
        /// After.
        to: UnixMillis,
    },
}

impl What {
    /// The assignment that it happened to; none where it happened to the ticket.
    pub const fn assignment(&self) -> Option<AssignmentId> {
        use What::*;
        match self {
            Dispatched { assignment, .. }
            | Signed { assignment, .. }
            | Arrived { assignment }
            | Progress { assignment, .. }
            | Replied { assignment, .. }
            | ReturnRequested { assignment, .. }
            | ReturnGranted { assignment }
            | ReturnRefused { assignment, .. }
            | Designated { assignment }
            | ExtensionRequested { assignment, .. }
            | ExtensionGranted { assignment, .. }
            | ExtensionRefused { assignment, .. }
            | Suspended { assignment, .. }
            | Resumed { assignment, .. }
            | Recalled { assignment, .. }
            | Waived { assignment, .. }
            | Redone { assignment, .. } => Some(*assignment),
            SupplementAsked { assignment, .. } | DueMoved { assignment, .. } => *assignment,
            Created { .. }
            | Registered { .. }
            | DirectlyAnswered { .. }
            | Rejected { .. }
            | Completed { .. }
            | Amended { .. }
            | Supplied { .. }
            | ContactFailed { .. }
            | Merged { .. }
            | Split { .. }
            | Voided { .. }
            | Accepted { .. }
            | FollowedUp { .. }
            | Urged { .. }
            | Closed { .. }
            | Archived {} => None,
        }
    }

    /// The name in rows and in the API: the same as its JSON's `event`.
    pub const fn name(&self) -> &'static str {
        match self {
            What::Created { .. } => "created",
            What::Registered { .. } => "registered",
            What::DirectlyAnswered { .. } => "directly_answered",
            What::Rejected { .. } => "rejected",
            What::Completed { .. } => "completed",
            What::Amended { .. } => "amended",
            What::Dispatched { .. } => "dispatched",
            What::SupplementAsked { .. } => "supplement_asked",
            What::Supplied { .. } => "supplied",
            What::ContactFailed { .. } => "contact_failed",
            What::Merged { .. } => "merged",
            What::Split { .. } => "split",
            What::Voided { .. } => "voided",
            What::Signed { .. } => "signed",
            What::Arrived { .. } => "arrived",
            What::Progress { .. } => "progress",
            What::Replied { .. } => "replied",
            What::ReturnRequested { .. } => "return_requested",
            What::ReturnGranted { .. } => "return_granted",
            What::ReturnRefused { .. } => "return_refused",
            What::Designated { .. } => "designated",
            What::ExtensionRequested { .. } => "extension_requested",
            What::ExtensionGranted { .. } => "extension_granted",
            What::ExtensionRefused { .. } => "extension_refused",
            What::Suspended { .. } => "suspended",
            What::Resumed { .. } => "resumed",
            What::Recalled { .. } => "recalled",
            What::Waived { .. } => "waived",
            What::Accepted { .. } => "accepted",
            What::Redone { .. } => "redone",
            What::FollowedUp { .. } => "followed_up",
            What::Urged { .. } => "urged",
            What::Closed { .. } => "closed",
            What::Archived { .. } => "archived",
            What::DueMoved { .. } => "due_moved",
        }
    }
}
