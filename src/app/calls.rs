//! Calls as the API sees them: those in progress from memory, those that are over from the store.

use super::{App, AppError, live::LiveCall, view::CallView};
use crate::{
    call::{
        Command,
        cdr::{CallRecord, LegStateName, Role as LegRole, StateName},
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
    actor.role != Role::Agent || record.agent.is_none() || on_call(actor, record)
}

/// Whether this user is, or was, a party of the call.
fn on_call(actor: &Actor, record: &CallRecord) -> bool {
    let Some(own) = &actor.agent else { return false };
    record.agent.as_ref() == Some(own)
        || record.legs.iter().any(|leg| matches!(&leg.role, LegRole::Agent { agent } if agent == own))
}

/// The record that a stored row was made of. A row that was fed before its call had told anything, or whose record
/// cannot be read, is shown by its columns: one row never fails a page.
pub fn record_of(row: &CallRow) -> CallRecord {
    if !row.detail.is_null() {
        match serde_json::from_value(row.detail.clone()) {
            Ok(record) => return record,
            Err(error) => {
                tracing::error!(call = %row.id, %error, "a call's record cannot be read; its columns are shown")
            }
        }
    }
    let named = |name: &str| serde_json::from_value(serde_json::Value::from(name)).ok();
    CallRecord {
        id: row.id,
        sip_call_id: row.sip_call_id.clone(),
        from: row.from_number.clone().unwrap_or_default(),
        dialled: row.dialled.clone().unwrap_or_default(),
        state: match row.ended_at {
            Some(_) => StateName::Ended,
            None => named(&row.state).unwrap_or(StateName::Ivr),
        },
        started_at: row.started_at,
        answered_at: row.answered_at.or(Some(row.started_at)),
        queue: row.queue.clone(),
        enqueued_at: row.enqueued_at,
        served_at: None,
        agent: row.agent.clone(),
        ended_at: row.ended_at,
        ending: None,
        recording: row.recording_id,
        legs: serde_json::from_value(row.legs.clone()).unwrap_or_default(),
        three_way: Vec::new(),
        keys: String::new(),
        ticket: row.ticket_no.is_some(),
        cdr: true,
    }
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
            let record = record_of(row);
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
            Ok(row) => Ok((record_of(&row), row.ticket_no)),
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
    use crate::clock::UnixMillis;
    use serde_json::{Value, json};

    fn row(detail: Value) -> CallRow {
        CallRow {
            id: CallId(7),
            sip_call_id: "a@b".into(),
            direction: "inbound".into(),
            from_number: Some("13800000001".into()),
            dialled: Some("12345".into()),
            state: "accepted".into(),
            queue: None,
            agent: Some("8001".into()),
            started_at: UnixMillis(5),
            enqueued_at: None,
            answered_at: None,
            ended_at: None,
            ending: None,
            ticket_id: None,
            ticket_no: Some("261122010000421".into()),
            recording_id: None,
            legs: json!([]),
            detail,
        }
    }

    #[test]
    fn a_row_without_a_record_is_shown_by_its_columns() {
        for detail in [Value::Null, json!({"state": "of another program"})] {
            let record = record_of(&row(detail));
            assert_eq!((record.id, record.from.as_str(), record.state), (CallId(7), "13800000001", StateName::Ivr));
            assert_eq!((record.answered_at, record.ticket), (Some(UnixMillis(5)), true));
            assert_eq!(record.agent.as_ref().map(AgentNo::as_str), Some("8001"));
        }
        let ended = record_of(&CallRow { ended_at: Some(UnixMillis(9)), ..row(Value::Null) });
        assert_eq!((ended.state, ended.ended_at), (StateName::Ended, Some(UnixMillis(9))));
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let record = CallRecord { keys: "1".into(), ..record_of(&row(Value::Null)) };
        assert_eq!(record_of(&row_of(&record).unwrap()), record);
    }
}
