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
    Created { class: Class },
    /// It became a request.
    Registered { due_at: UnixMillis },
    /// Answered on the call.
    DirectlyAnswered { answer: String },
    /// Not for this hotline.
    Rejected { code: String, referred_to: String },
    /// It was no request.
    Completed { kind: ContactKind, note: String, chases: Option<TicketNo> },
    /// What was written down was corrected; the values before.
    Amended { matter: Option<Matter>, citizen: Option<Citizen> },
    /// Given to a unit.
    Dispatched {
        assignment: AssignmentId,
        unit: UnitCode,
        role: UnitRole,
        rule: Rule,
        due_at: UnixMillis,
        note: String,
        designated: bool,
    },
    /// Something is asked of the citizen.
    SupplementAsked { assignment: Option<AssignmentId>, question: String },
    /// The citizen answered.
    Supplied { text: String },
    /// The citizen could not be reached.
    ContactFailed { tries: u32, note: String },
    /// Handled as part of another.
    Merged { into: TicketNo },
    /// Stands alone again.
    Split { from: Option<TicketNo>, reason: String },
    /// Void.
    Voided { reason: String },
    /// Signed for.
    Signed { assignment: AssignmentId, in_time: bool },
    /// On site.
    Arrived { assignment: AssignmentId },
    /// Progress.
    Progress { assignment: AssignmentId, text: String },
    /// The unit is done.
    Replied { assignment: AssignmentId, text: String, contacted: Option<String>, in_time: bool },
    /// The unit says that it is not theirs.
    ReturnRequested { assignment: AssignmentId, reason: String },
    /// Returned.
    ReturnGranted { assignment: AssignmentId },
    /// The unit keeps it.
    ReturnRefused { assignment: AssignmentId, reason: String },
    /// Designated: it cannot be returned any more.
    Designated { assignment: AssignmentId },
    /// More time is asked for.
    ExtensionRequested { assignment: AssignmentId, days: u32, reason: String },
    /// More time.
    ExtensionGranted { assignment: AssignmentId, due_at: UnixMillis },
    /// No more time.
    ExtensionRefused { assignment: AssignmentId, reason: String },
    /// The unit's clock stands still.
    Suspended { assignment: AssignmentId, reason: String },
    /// The unit's clock goes on.
    Resumed { assignment: AssignmentId, due_at: UnixMillis },
    /// Taken back.
    Recalled { assignment: AssignmentId, reason: String },
    /// Need not reply.
    Waived { assignment: AssignmentId, reason: String },
    /// The reply is good.
    Accepted { note: String },
    /// To be handled again.
    Redone { assignment: AssignmentId, reason: String, due_at: UnixMillis },
    /// The citizen was asked, or could not be.
    FollowedUp { result: Verdict, solved: Option<bool>, note: String },
    /// Urged.
    Urged { times: u32, note: String },
    /// The centre is done.
    Closed { outcome: Outcome, note: String },
    /// Laid away.
    Archived {},
    /// A due time was computed again because the calendar changed.
    DueMoved { assignment: Option<AssignmentId>, from: UnixMillis, to: UnixMillis },
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
