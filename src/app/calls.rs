//! Calls as the API sees them: those in progress from memory, those that are over from the store.

use super::{App, AppError, events::Audience, live::LiveCall, view::CallView};
use crate::{
    call::{
        Command,
        cdr::{CallRecord, LegRecord, LegStateName, Role as LegRole, StateName},
    },
    ids::{AgentNo, CallId, LegId},
    net::clock,
    store::{CallFilter, CallRow, Page, StoreError},
    ticket::{Actor, Role},
};

/// Which calls are asked for; all that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub sip_call_id: Option<String>,
    /// The caller's whole number.
    pub from: Option<String>,
    /// A state's name, or `live`.
    pub state: Option<String>,
    pub agent: Option<AgentNo>,
}

impl Filter {
    fn fits(&self, record: &CallRecord) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        same(&self.sip_call_id, &record.sip_call_id)
            && same(&self.from, &record.from)
            && self.state.as_deref().is_none_or(|state| state == "live" || state == state_name(record.state))
            && self.agent.as_ref().is_none_or(|agent| record.agent.as_ref() == Some(agent))
    }
}

/// A state's name in the API.
pub fn state_name(state: StateName) -> &'static str {
    match state {
        StateName::Accepting => "accepting",
        StateName::Ivr => "ivr",
        StateName::Queued => "queued",
        StateName::Ringing => "ringing",
        StateName::Talking => "talking",
        StateName::Held => "held",
        StateName::Consulting => "consulting",
        StateName::ThreeWay => "three_way",
        StateName::HandedOver => "handed_over",
        StateName::Ended => "ended",
    }
}

/// Whether this user may see a call: agents their own, everybody else of the centre all.
fn may_see(actor: &Actor, record: &CallRecord) -> bool {
    if actor.unit.is_some() {
        return false;
    }
    actor.role != Role::Agent || record.agent.is_none() || took_part(actor, record)
}

/// Whether this user was a party of the call, or is rung for it: who let it ring had no part in it.
fn took_part(actor: &Actor, record: &CallRecord) -> bool {
    let Some(own) = &actor.agent else { return false };
    record.agent.as_ref() == Some(own)
        || own_legs(own, record).any(|leg| leg.answered_at.is_some() || leg.state != LegStateName::Over)
}

/// Whether this user talks on the call now.
fn on_call(actor: &Actor, record: &CallRecord) -> bool {
    let Some(own) = &actor.agent else { return false };
    own_legs(own, record).any(|leg| leg.state == LegStateName::Answered)
}

fn own_legs<'a>(own: &'a AgentNo, record: &'a CallRecord) -> impl Iterator<Item = &'a LegRecord> {
    record.legs.iter().filter(move |leg| matches!(&leg.role, LegRole::Agent { agent } if agent == own))
}

/// Who may see a call, for the event stream: the same people as [`may_see`].
pub(super) fn audience(record: &CallRecord) -> Audience {
    if record.agent.is_none() {
        return Audience::Centre;
    }
    let mut agents: Vec<AgentNo> = record.agent.iter().cloned().collect();
    for leg in &record.legs {
        match &leg.role {
            LegRole::Agent { agent } if !agents.contains(agent) => agents.push(agent.clone()),
            LegRole::Agent { .. } | LegRole::Citizen | LegRole::Department { .. } | LegRole::Other => {}
        }
    }
    Audience::OnCall(agents)
}

/// The record that a stored row was made of.
pub fn record_of(row: &CallRow) -> Result<CallRecord, StoreError> {
    serde_json::from_value(row.detail.clone()).map_err(|error| StoreError::Corrupt(format!("call {}: {error}", row.id)))
}

/// The row of a call's record.
pub fn row_of(record: &CallRecord) -> Result<CallRow, serde_json::Error> {
    let ending = record.ending.map(|ending| serde_json::to_value(ending.what)).transpose()?;
    Ok(CallRow {
        id: record.id,
        sip_call_id: record.sip_call_id.clone(),
        direction: "inbound".to_owned(),
        from_number: Some(record.from.clone()).filter(|from| !from.is_empty()),
        dialled: Some(record.dialled.clone()),
        state: state_name(record.state).to_owned(),
        queue: record.queue.clone(),
        agent: record.agent.clone(),
        started_at: record.started_at,
        enqueued_at: record.enqueued_at,
        answered_at: record.answered_at,
        ended_at: record.ended_at,
        ending: ending.and_then(|value| value.as_str().map(str::to_owned)),
        ticket_id: None,
        ticket_no: None,
        recording_id: record.recording.filter(|_| record.served_at.is_some()),
        legs: serde_json::to_value(&record.legs)?,
        detail: serde_json::to_value(record)?,
    })
}

impl App {
    /// Calls that fit, those in progress first, then those that are over, each the newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn call_list(
        &self,
        actor: &Actor,
        filter: &Filter,
        page: &Page,
    ) -> Result<(Vec<CallView>, Option<String>), AppError> {
        let mut items = Vec::new();
        if page.cursor.is_none() {
            let live = self.live.calls();
            let fitting = live.iter().rev().filter(|call| filter.fits(&call.record) && may_see(actor, &call.record));
            items.extend(fitting.map(CallView::from).take(page.limit as usize));
        }
        if filter.state.as_deref() == Some("live") || items.len() >= page.limit as usize {
            return Ok((items, None));
        }
        let stored = CallFilter {
            sip_call_id: filter.sip_call_id.clone(),
            from_number: filter.from.clone(),
            state: filter.state.clone(),
            agent: filter.agent.clone(),
            ..CallFilter::default()
        };
        let rows = self.store.call_list(&stored, page).await?;
        for row in &rows.items {
            if self.live.call(row.id).is_some() {
                continue;
            }
            let record = record_of(row)?;
            if may_see(actor, &record) {
                items.push(CallView::new(&record, row.ticket_no.as_ref()));
            }
        }
        Ok((items, rows.next_cursor))
    }

    /// One call.
    ///
    /// # Errors
    /// `NotFound`, also where this user may not see it.
    pub async fn call_get(&self, actor: &Actor, id: CallId) -> Result<CallView, AppError> {
        let (record, ticket_no) = self.call_record(id).await?;
        if may_see(actor, &record) {
            Ok(CallView::new(&record, ticket_no.as_ref()))
        } else {
            Err(AppError::NotFound("通话"))
        }
    }

    async fn call_record(&self, id: CallId) -> Result<(CallRecord, Option<crate::ids::TicketNo>), AppError> {
        if let Some(LiveCall { record, ticket_no }) = self.live.call(id) {
            return Ok(((*record).clone(), ticket_no));
        }
        match self.store.call_get(id).await {
            Ok(row) => Ok((record_of(&row)?, row.ticket_no)),
            Err(StoreError::NotFound(_)) => Err(AppError::NotFound("通话")),
            Err(error) => Err(error.into()),
        }
    }

    /// Carries out a command on a call in progress: by the agent who is on it, or a supervisor.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `CallRefused`, `Overloaded`.
    pub async fn call_command(&self, actor: &Actor, id: CallId, command: Command) -> Result<CallView, AppError> {
        let live = self.live.call(id).ok_or(AppError::NotFound("通话"))?;
        let leads = matches!(actor.role, Role::Supervisor | Role::Admin);
        if !leads && !on_call(actor, &live.record) {
            return Err(AppError::Forbidden("只有这通电话的话务员或班长可以操作".to_owned()));
        }
        match self.switch.command(id, command).await? {
            Ok(()) => {}
            Err(Some(rejected)) => return Err(rejected.into()),
            Err(None) => return Err(AppError::NotFound("通话")),
        }
        // The switch published the call's new state before it answered.
        Ok(CallView::from(&self.live.call(id).unwrap_or(live)))
    }

    /// The caller's number in the clear; the audit log keeps who asked and why.
    ///
    /// # Errors
    /// `NotFound`; the store's: without an audit row nothing is revealed.
    pub async fn call_reveal(&self, actor: &Actor, id: CallId, reason: &str) -> Result<String, AppError> {
        let (record, _) = self.call_record(id).await?;
        if !may_see(actor, &record) {
            return Err(AppError::NotFound("通话"));
        }
        self.audit(actor, "call.reveal", &id.to_string(), reason).await?;
        Ok(record.from)
    }

    /// The department's leg of a call in progress.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn department_leg(&self, id: CallId) -> Result<LegId, AppError> {
        let live = self.live.call(id).ok_or(AppError::NotFound("通话"))?;
        let open = live.record.legs.iter().filter(|leg| leg.state != LegStateName::Over);
        let department = open.filter(|leg| matches!(leg.role, LegRole::Department { .. })).map(|leg| leg.id).next();
        department.ok_or(AppError::CallRefused(crate::call::Rejected::NoDepartment))
    }

    /// Writes an audit row.
    ///
    /// # Errors
    /// The store's.
    pub async fn audit(&self, actor: &Actor, action: &str, object: &str, detail: &str) -> Result<(), AppError> {
        let who = actor.user.as_ref().map_or("system", |user| user.as_str());
        self.store.audit_append(who, action, object, detail, clock::now().wall).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Served by 8001, who left; 8002 only rang; 8003 talks; 8004 is rung.
    fn record() -> CallRecord {
        let leg = |id: u64, agent: &str, state: &str, answered: Option<i64>| json!({ "id": id.to_string(), "role": "agent", "agent": agent, "state": state, "started_at": 1, "answered_at": answered });
        serde_json::from_value(json!({
            "id": "1", "sip_call_id": "c", "from": "1001", "dialled": "12345", "state": "talking", "started_at": 1,
            "agent": "8001", "keys": "", "ticket": true, "cdr": true, "three_way": [],
            "legs": [
                leg(2, "8001", "over", Some(2)), leg(3, "8002", "over", None),
                leg(4, "8003", "answered", Some(3)), leg(5, "8004", "ringing", None),
            ],
        }))
        .expect("a record")
    }

    fn agent(number: &str) -> Actor {
        Actor { role: Role::Agent, agent: Some(number.into()), ..Actor::system() }
    }

    #[test]
    fn commands_are_for_the_agent_who_talks_now() {
        let may: Vec<bool> = ["8001", "8002", "8003", "8004"].map(|number| on_call(&agent(number), &record())).into();
        assert_eq!(may, [false, false, true, false]);
    }

    #[test]
    fn who_let_it_ring_does_not_see_it() {
        let may: Vec<bool> = ["8001", "8002", "8003", "8004"].map(|number| may_see(&agent(number), &record())).into();
        assert_eq!(may, [true, false, true, true]);
    }
}
