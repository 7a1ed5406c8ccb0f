//! Tickets as the API sees them: who may see what of one, and the SMS that a step sends to its citizen.

use super::{
    App, AppError,
    events::Audience,
    permissions::{self, Thing},
    ticket_view::{TicketRecording, TicketView, case_view, former_view, ticket_view, unit_view},
    view::{MANUAL, MessageView},
};
use crate::{
    ids::{AgentNo, CallId, TicketNo, UnitCode},
    net::clock,
    sms::{
        number::MobileNumber,
        template::{Place, Purpose},
    },
    store::{Applying, MessageFilter, MessageRow, NewMessage, Page, StoreError, TicketFilter},
    ticket::{Actor, Case, Citizen, Command, Event, Matter, Origin, Part, Rejected, What, number},
};
use std::collections::BTreeSet;

/// The number that citizens dial.
const HOTLINE: &str = "12345";

impl App {
    /// Tickets that fit, the latest first; a unit's users get what their unit works on or has replied to.
    ///
    /// # Errors
    /// `Forbidden`, the store's.
    pub async fn ticket_list(
        &self,
        actor: &Actor,
        mut filter: TicketFilter,
        page: &Page,
    ) -> Result<(Vec<TicketView>, Option<String>), AppError> {
        permissions::require(actor, Thing::Tickets)?;
        filter.seen_by.clone_from(&actor.unit);
        filter.confidence = permissions::confidence(actor);
        let rows = self.store.ticket_list(&filter, page).await?;
        let view = |ticket| ticket_view(ticket, permissions::sees_confidential(actor, ticket));
        Ok((rows.items.iter().map(view).collect(), rows.next_cursor))
    }

    /// One ticket with its assignments and history.
    ///
    /// # Errors
    /// `NotFound`, also where this user may not see it; `Forbidden`.
    pub async fn ticket_get(&self, actor: &Actor, no: &str) -> Result<TicketView, AppError> {
        let no = number::parse(no).map_err(|_| AppError::NotFound("工单"))?;
        let case = self.ticket_seen(actor, &no).await?;
        self.shown(actor, &case).await
    }

    /// A ticket that this user may see, be it in part.
    async fn ticket_seen(&self, actor: &Actor, no: &TicketNo) -> Result<Case, AppError> {
        permissions::require(actor, Thing::Tickets)?;
        let case = self.ticket_case(no).await?;
        match permissions::part_of(actor, &case) {
            Part::Nothing => Err(AppError::NotFound("工单")),
            Part::Former | Part::Whole => Ok(case),
        }
    }

    /// A ticket as this user sees it, with its history and what was recorded.
    async fn shown(&self, actor: &Actor, case: &Case) -> Result<TicketView, AppError> {
        let history = self.store.ticket_history(case.ticket.id).await?;
        let mut view = case_view(actor, case, &history);
        if let (None, Some(call)) = (&actor.unit, case.ticket.origin.call) {
            let heard = self.recordings_heard(actor, call).await?;
            view.recordings = heard.iter().map(TicketRecording::from).collect();
        }
        Ok(view)
    }

    /// Where a new ticket comes from: the call is one that this user sees, and what it splits off from is of that call.
    async fn checked(&self, actor: &Actor, origin: Origin) -> Result<Origin, AppError> {
        let mut origin = Origin { primary: false, ..origin };
        if let Some(no) = &origin.split_from {
            let unknown = || refusal("unknown_ticket", format!("没有工单 {no},不能从它拆分"));
            let no = number::parse(no.as_str()).map_err(|_| unknown())?;
            let from = match self.ticket_case(&no).await {
                Err(AppError::NotFound(_)) => return Err(unknown()),
                from => from?.ticket.origin,
            };
            if origin.call.is_some() && origin.call != from.call {
                return Err(refusal("other_call", format!("工单 {no} 不属于这通电话")));
            }
            (origin.call, origin.dialled) = (from.call, from.dialled);
        }
        if let Some(call) = origin.call {
            self.call_get(actor, call).await.map_err(|error| match error {
                AppError::NotFound(_) => refusal("unknown_call", format!("没有通话 {call},或者您无权查看")),
                error => error,
            })?;
        }
        Ok(origin)
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
        let origin = self.checked(actor, origin).await?;
        let now = clock::now().wall;
        let mut draft = self.store.ticket_draft(Origin { primary: false, ..origin }, citizen.clone(), now);
        draft.agent.clone_from(&actor.agent);
        let command = Command::Register { matter, citizen: Some(citizen) };
        let messages = |case: &Case, events: &[Event]| self.messages_for(case, events);
        let in_force = self.in_force();
        let applying = Applying { by: actor, if_version: None, rules: &in_force.rules, messages: &messages };
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
        let before = self.ticket_seen(actor, &no).await?;
        // Who does not know the citizen cannot undo 保密 by writing another over it.
        let rewrites = matches!(command, Command::Amend { citizen: Some(_), .. });
        if rewrites && !permissions::sees_confidential(actor, &before.ticket) {
            return Err(AppError::Forbidden("诉求人要求保密,您无权更改其信息".to_owned()));
        }
        let now = clock::now().wall;
        let messages = |case: &Case, events: &[Event]| self.messages_for(case, events);
        let in_force = self.in_force();
        let applying = Applying { by: actor, if_version, rules: &in_force.rules, messages: &messages };
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
        let call = case.ticket.origin.call.map(tracing::field::display);
        tracing::info!(call, ticket = %case.ticket.no, command = command.name(), events = events.len(), "a ticket moved");
        self.shown(actor, &case).await
    }

    /// Tells those who may know that a ticket changed.
    pub(super) fn publish_ticket(&self, case: &Case) {
        let ticket = &case.ticket;
        let confidential = ticket.citizen.confidential;
        // Its call's number is hidden from here on, also where it was shown a moment ago.
        let call = ticket.origin.call.filter(|_| confidential);
        if let Some(call) = call.and_then(|call| self.live.set_confidential(call)) {
            self.publish_call(&call.record);
        }
        let audience = Audience::Citizen { thing: Thing::Tickets, confidential, agent: ticket.agent.clone() };
        self.events.publish_hiding("ticket", audience, &ticket_view(ticket, true), &ticket_view(ticket, false));
        let units: BTreeSet<&UnitCode> = case.assignments.iter().map(|assignment| &assignment.unit).collect();
        for unit in units {
            let view = match case.part_of(unit) {
                Part::Nothing => continue,
                Part::Former => former_view(unit, case, &[]),
                Part::Whole => unit_view(unit, case, &[]),
            };
            self.events.publish("ticket", Audience::Unit(unit.clone()), &view);
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
        let templates = self.in_force().templates();
        let message = |(seq, purpose): (u64, Purpose)| match templates.render(purpose, &values) {
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

    /// Messages that fit, the latest first.
    ///
    /// # Errors
    /// `Forbidden`, the store's.
    pub async fn message_list(
        &self,
        actor: &Actor,
        filter: &MessageFilter,
        page: &Page,
    ) -> Result<(Vec<MessageView>, Option<String>), AppError> {
        permissions::require(actor, Thing::Messages)?;
        let rows = self.store.message_list(filter, page).await?;
        let tickets: BTreeSet<TicketNo> = rows.items.iter().filter_map(|row| row.ticket_no.clone()).collect();
        let tickets: Vec<TicketNo> = tickets.into_iter().collect();
        let confidential = self.store.confidential_tickets(&tickets).await?;
        let view = |row: &MessageRow| {
            let secret = row.ticket_no.as_ref().and_then(|no| confidential.get(no));
            MessageView::new(row, secret.is_none_or(|agent| permissions::confides_in(actor, agent.as_ref())))
        };
        Ok((rows.items.iter().map(view).collect(), rows.next_cursor))
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
        permissions::require(actor, Thing::Sending)?;
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
            purpose: MANUAL.to_owned(),
            number: number.as_str().to_owned(),
            text: text.to_owned(),
        };
        let who = actor.user.as_ref().map_or("system", |user| user.as_str());
        let row = self.store.message_create(new, who, clock::now().wall).await?;
        self.bell.ring();
        self.publish_message(&row).await;
        // The number and the text are the writer's own.
        Ok(MessageView::new(&row, true))
    }
}

fn refusal(code: &'static str, reason: String) -> AppError {
    AppError::TicketRefused { code, reason }
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

/// What a list of tickets may be narrowed by, from the API's words. `Invalid` for a state that there is not.
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
