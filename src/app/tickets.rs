//! Tickets as the API sees them: who may see what of one, and the SMS that a step sends to its citizen.

use super::{
    App, AppError,
    events::Audience,
    view::{MessageView, When, masked},
};
use crate::{
    ids::{AgentNo, CallId, TicketNo, UnitCode},
    net::clock,
    sms::{
        number::MobileNumber,
        template::{Place, Purpose},
    },
    store::{Applying, NewMessage, Page, StoreError, TicketFilter},
    ticket::{
        Actor, Assignment, Case, Citizen, Class, Command, Event, Matter, Origin, Rejected, Role, Ticket, What,
        assignment::State as AssignmentState, number,
    },
};
use serde::Serialize;
use utoipa::ToSchema;

/// The number that citizens dial.
const HOTLINE: &str = "12345";

/// Who asks, as it is shown: masked, or hidden when confidential.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CitizenView {
    pub name: Option<String>,
    /// Masked.
    pub number: Option<String>,
    /// Masked.
    pub contact: Option<String>,
    pub confidential: bool,
}

/// One assignment as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AssignmentView {
    pub id: String,
    pub unit: String,
    /// `lead` or `assist`.
    pub role: &'static str,
    pub state: &'static str,
    pub dispatched_at: When,
    pub sign_due_at: When,
    pub signed_at: Option<When>,
    pub due_at: When,
    pub replied_at: Option<When>,
    pub reply: Option<String>,
    pub accepted_at: Option<When>,
    pub redo: u32,
    pub overdue: bool,
}

/// One step of a ticket's history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventView {
    pub seq: u64,
    pub at: When,
    pub by: Option<String>,
    pub role: &'static str,
    /// The ticket's state afterwards.
    pub state: &'static str,
    /// What happened, with its particulars.
    #[schema(value_type = Object)]
    pub what: serde_json::Value,
}

/// A ticket as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketView {
    pub no: String,
    /// For `If-Match`.
    pub version: u64,
    pub state: &'static str,
    pub state_zh: &'static str,
    /// `request` or `contact`.
    pub class: &'static str,
    pub contact_kind: Option<&'static str>,
    pub channel: &'static str,
    pub call: Option<String>,
    /// Whether it is its call's one primary record.
    pub primary: bool,
    pub dialled: Option<String>,
    pub citizen: CitizenView,
    #[schema(value_type = Object)]
    pub matter: Matter,
    pub agent: Option<String>,
    pub accepted_at: When,
    pub registered_at: Option<When>,
    pub due_at: Option<When>,
    pub overdue: bool,
    pub redo: u32,
    pub urged: u32,
    pub merged_into: Option<String>,
    /// How it ended.
    #[schema(value_type = Option<Object>)]
    pub outcome: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<AssignmentView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<EventView>,
}

fn assignment_view(a: &Assignment) -> AssignmentView {
    AssignmentView {
        id: a.id.to_string(),
        unit: a.unit.to_string(),
        role: a.role.name(),
        state: a.state.name(),
        dispatched_at: When(a.dispatched_at),
        sign_due_at: When(a.sign_due_at),
        signed_at: a.signed_at.map(When),
        due_at: When(a.due_at),
        replied_at: a.reply.as_ref().map(|reply| When(reply.at)),
        reply: a.reply.as_ref().map(|reply| reply.text.clone()),
        accepted_at: a.accepted_at.map(When),
        redo: a.redo,
        overdue: a.is_overdue(clock::now().wall),
    }
}

fn event_view(event: &Event) -> EventView {
    EventView {
        seq: event.seq,
        at: When(event.at),
        by: event.by.user.as_ref().map(ToString::to_string),
        role: event.by.role.name(),
        state: event.state.name(),
        what: serde_json::to_value(&event.what).unwrap_or_default(),
    }
}

/// Whether this user sees a confidential citizen: those who talk to the citizen, and those who lead them.
fn sees_confidential(actor: &Actor, ticket: &Ticket) -> bool {
    matches!(actor.role, Role::Supervisor | Role::FollowUpAgent)
        || (actor.agent.is_some() && actor.agent == ticket.agent)
}

fn citizen_view(actor: &Actor, ticket: &Ticket) -> CitizenView {
    let Citizen { number, contact, name, confidential } = ticket.citizen.clone();
    let shown = !confidential || sees_confidential(actor, ticket);
    CitizenView {
        name: name.filter(|_| shown),
        number: number.filter(|_| shown).map(|number| masked(&number)),
        contact: contact.filter(|_| shown).map(|number| masked(&number)),
        confidential,
    }
}

/// A ticket as this user sees it.
pub fn ticket_view(actor: &Actor, ticket: &Ticket) -> TicketView {
    let contact_kind = match ticket.class {
        Class::Contact(kind) => Some(kind.name()),
        Class::Request => None,
    };
    TicketView {
        no: ticket.no.to_string(),
        version: ticket.version,
        state: ticket.state.name(),
        state_zh: ticket.state.name_zh(),
        class: ticket.class.name(),
        contact_kind,
        channel: ticket.origin.channel.name(),
        call: ticket.origin.call.map(|call| call.to_string()),
        primary: ticket.origin.primary,
        dialled: ticket.origin.dialled.clone(),
        citizen: citizen_view(actor, ticket),
        matter: ticket.matter.clone(),
        agent: ticket.agent.as_ref().map(ToString::to_string),
        accepted_at: When(ticket.accepted_at),
        registered_at: ticket.registered_at.map(When),
        due_at: ticket.due_at.map(When),
        overdue: ticket.is_overdue(clock::now().wall),
        redo: ticket.redo,
        urged: ticket.urged,
        merged_into: ticket.merged_into.as_ref().map(ToString::to_string),
        outcome: ticket.closing.as_ref().map(|closing| serde_json::to_value(closing.outcome).unwrap_or_default()),
        assignments: Vec::new(),
        history: Vec::new(),
    }
}

fn case_view(actor: &Actor, case: &Case, history: &[Event]) -> TicketView {
    let own = |a: &&Assignment| actor.unit.as_ref().is_none_or(|unit| a.unit == *unit);
    // A unit sees what happened from its own dispatch on, not what was said of others.
    let shown =
        |event: &&Event| actor.unit.is_none() || matches!(event.what, What::Dispatched { .. } | What::Created { .. });
    TicketView {
        assignments: case.assignments.iter().filter(own).map(assignment_view).collect(),
        history: history.iter().filter(shown).map(event_view).collect(),
        ..ticket_view(actor, &case.ticket)
    }
}

/// Whether this user may see a ticket: the centre all, a unit those that it has or had a part in.
fn may_see(actor: &Actor, case: &Case) -> bool {
    actor.unit.as_ref().is_none_or(|unit| case.concerns(unit))
}

impl App {
    /// Tickets that fit, the latest first; a unit's users get their unit's.
    ///
    /// # Errors
    /// The store's.
    pub async fn ticket_list(
        &self,
        actor: &Actor,
        mut filter: TicketFilter,
        page: &Page,
    ) -> Result<(Vec<TicketView>, Option<String>), AppError> {
        if let Some(unit) = &actor.unit {
            filter.unit = Some(unit.clone());
        }
        let rows = self.store.ticket_list(&filter, page).await?;
        Ok((rows.items.iter().map(|ticket| ticket_view(actor, ticket)).collect(), rows.next_cursor))
    }

    /// One ticket with its assignments and history.
    ///
    /// # Errors
    /// `NotFound`, also where this user may not see it.
    pub async fn ticket_get(&self, actor: &Actor, no: &str) -> Result<TicketView, AppError> {
        let no = number::parse(no).map_err(|_| AppError::NotFound("工单"))?;
        let case = self.ticket_case(&no).await?;
        if !may_see(actor, &case) {
            return Err(AppError::NotFound("工单"));
        }
        let history = self.store.ticket_history(case.ticket.id).await?;
        Ok(case_view(actor, &case, &history))
    }

    async fn ticket_case(&self, no: &TicketNo) -> Result<Case, AppError> {
        self.store.ticket_get(no).await.map_err(|error| match error {
            StoreError::NotFound(_) => AppError::NotFound("工单"),
            error => error.into(),
        })
    }

    /// A new ticket that came by another channel than a call, or splits off from a call's.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid` without a title, `NotFound` of the call or the ticket it splits off from, `TicketRefused`,
    /// the store's.
    pub async fn ticket_create(
        &self,
        actor: &Actor,
        origin: Origin,
        citizen: Citizen,
        matter: Matter,
    ) -> Result<TicketView, AppError> {
        if !actor.role.works_at(crate::ticket::command::Desk::Agent) {
            return Err(AppError::Forbidden("只有中心的话务员、派单员和班长可以登记工单".to_owned()));
        }
        if matter.title.trim().is_empty() {
            return Err(AppError::Invalid("请填写诉求标题(matter.title)".to_owned()));
        }
        if let Some(call) = origin.call {
            self.call_get(actor, call).await?;
        }
        if let Some(no) = &origin.split_from {
            self.ticket_case(no).await?;
        }
        let now = clock::now().wall;
        let mut draft = self.store.ticket_draft(Origin { primary: false, ..origin }, citizen.clone(), now);
        draft.agent.clone_from(&actor.agent);
        let command = Command::Register { matter, citizen: Some(citizen) };
        let messages = |case: &Case, events: &[Event]| self.messages_for(case, events);
        let applying = Applying { by: actor, if_version: None, rules: &self.rules, messages: &messages };
        let applied = self.store.ticket_insert_applied(draft, &command, applying, now).await.map_err(refused)?;
        self.applied(actor, &command, applied).await
    }

    /// Carries out a command on a ticket; the SMS that go with it are written in the same transaction.
    ///
    /// # Errors
    /// `NotFound`, `TicketRefused` with a stable code, `VersionMismatch`, the store's.
    pub async fn ticket_command(
        &self,
        actor: &Actor,
        no: &str,
        command: &Command,
        if_version: Option<u64>,
    ) -> Result<TicketView, AppError> {
        let no = number::parse(no).map_err(|_| AppError::NotFound("工单"))?;
        let before = self.ticket_case(&no).await?;
        if !may_see(actor, &before) {
            return Err(AppError::NotFound("工单"));
        }
        let now = clock::now().wall;
        let messages = |case: &Case, events: &[Event]| self.messages_for(case, events);
        let applying = Applying { by: actor, if_version, rules: &self.rules, messages: &messages };
        let (case, events) = match self.store.ticket_apply(&no, command, applying, now).await {
            Ok(applied) => applied,
            Err(StoreError::Conflict(_)) => {
                return Err(AppError::VersionMismatch { current: self.ticket_case(&no).await?.ticket.version });
            }
            Err(error) => return Err(refused(error)),
        };
        self.applied(actor, command, (case, events)).await
    }

    /// A command was carried out: those who listen are told, and the actor sees the ticket as it is now.
    async fn applied(
        &self,
        actor: &Actor,
        command: &Command,
        (case, events): (Case, Vec<Event>),
    ) -> Result<TicketView, AppError> {
        self.bell.ring();
        self.publish_ticket(&case);
        let history = self.store.ticket_history(case.ticket.id).await?;
        tracing::info!(ticket = %case.ticket.no, command = command.name(), events = events.len(), "a ticket moved");
        Ok(case_view(actor, &case, &history))
    }

    /// Tells those who may know that a ticket changed.
    pub(super) fn publish_ticket(&self, case: &Case) {
        let centre = Actor::system();
        self.events.publish("ticket", Audience::Centre, &ticket_view(&centre, &case.ticket));
        for assignment in case.assignments.iter().filter(|a| a.state != AssignmentState::Recalled) {
            let unit = Actor { role: Role::UnitClerk, user: None, unit: Some(assignment.unit.clone()), agent: None };
            let audience = Audience::UnitOnly(assignment.unit.clone());
            self.events.publish("ticket", audience, &ticket_view(&unit, &case.ticket));
        }
    }

    /// The SMS that what happened sends to the citizen: never the content of the complaint.
    fn messages_for(&self, case: &Case, events: &[Event]) -> Vec<NewMessage> {
        let ticket = &case.ticket;
        let Some(number) = ticket.citizen.reach().and_then(|number| MobileNumber::parse(number).ok()) else {
            return Vec::new();
        };
        let purposes = events.iter().filter_map(|event| match event.what {
            What::Registered { .. } => Some((event.seq, Purpose::Acceptance)),
            What::Accepted { .. } => Some((event.seq, Purpose::Result)),
            _ => None,
        });
        let values = [
            (Place::TicketNo, ticket.no.as_str()),
            (Place::QueryCode, ticket.query_code.as_str()),
            (Place::Hotline, HOTLINE),
            (Place::Status, ticket.state.name_zh()),
        ];
        let message = |(seq, purpose): (u64, Purpose)| match self.templates.render(purpose, &values) {
            Ok(text) => Some(NewMessage {
                once: Some(format!("{}:{seq}:{}", ticket.no, purpose.as_str())),
                ticket_no: Some(ticket.no.clone()),
                purpose: purpose.as_str().to_owned(),
                number: number.as_str().to_owned(),
                text,
            }),
            Err(error) => {
                tracing::error!(ticket = %ticket.no, %error, "an SMS could not be written");
                None
            }
        };
        purposes.filter_map(message).collect()
    }

    /// Writes an SMS by hand.
    ///
    /// # Errors
    /// `Invalid` for a number that is no mobile number or a text that is empty or too long; the store's.
    pub async fn message_create(
        &self,
        actor: &Actor,
        to: &str,
        text: &str,
        ticket: Option<TicketNo>,
    ) -> Result<MessageView, AppError> {
        let number = MobileNumber::parse(to).map_err(|why| AppError::Invalid(format!("收信号码无效:{why}")))?;
        if text.trim().is_empty() {
            return Err(AppError::Invalid("短信内容不能为空".to_owned()));
        }
        crate::sms::text::segment(text, 0).map_err(|why| AppError::Invalid(format!("短信内容无效:{why}")))?;
        if let Some(no) = &ticket {
            self.ticket_case(no).await?;
        }
        let new = NewMessage {
            once: None,
            ticket_no: ticket,
            purpose: "manual".to_owned(),
            number: number.as_str().to_owned(),
            text: text.to_owned(),
        };
        let who = actor.user.as_ref().map_or("system", |user| user.as_str());
        let row = self.store.message_create(new, who, clock::now().wall).await?;
        self.bell.ring();
        self.publish_message(&row);
        Ok(MessageView::from(&row))
    }
}

/// Why the store did not carry out a command.
fn refused(error: StoreError) -> AppError {
    match error {
        StoreError::Rejected(why @ (Rejected::Role { .. } | Rejected::OtherUnit)) => AppError::Forbidden(why.zh()),
        StoreError::Rejected(why) => {
            AppError::TicketRefused { code: why.code(), reason: format!("{}({why})", why.zh()) }
        }
        error => error.into(),
    }
}

/// What a list of tickets may be narrowed by, from the API's words.
pub fn filter_of(
    state: Option<&str>,
    call: Option<CallId>,
    unit: Option<UnitCode>,
    agent: Option<AgentNo>,
    number: Option<String>,
) -> Result<TicketFilter, AppError> {
    let state = match state {
        None => None,
        Some(name) => Some(
            crate::ticket::State::ALL
                .into_iter()
                .find(|state| state.name() == name)
                .ok_or_else(|| AppError::Invalid(format!("没有名为 {name:?} 的工单状态")))?,
        ),
    };
    Ok(TicketFilter { state, call, unit, agent, citizen_number: number, ..TicketFilter::default() })
}
