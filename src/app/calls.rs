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
use std::collections::{BTreeMap, HashSet};

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

    /// The same for what is over.
    fn stored(&self) -> CallFilter {
        CallFilter {
            sip_call_id: self.sip_call_id.clone(),
            from_number: self.from.clone(),
            state: self.state.clone(),
            agent: self.agent.clone(),
            ..CallFilter::default()
        }
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

/// The record that a stored row was made of. A call that was accepted and has not ended has a row without one.
pub fn record_of(row: &CallRow) -> Result<CallRecord, StoreError> {
    if row.detail.is_null() {
        return Ok(accepted(row));
    }
    serde_json::from_value(row.detail.clone()).map_err(|error| StoreError::Corrupt(format!("call {}: {error}", row.id)))
}

fn accepted(row: &CallRow) -> CallRecord {
    CallRecord {
        id: row.id,
        sip_call_id: row.sip_call_id.clone(),
        from: row.from_number.clone().unwrap_or_default(),
        dialled: row.dialled.clone().unwrap_or_default(),
        state: if row.ended_at.is_some() { StateName::Ended } else { StateName::Accepting },
        started_at: row.started_at,
        answered_at: row.answered_at,
        queue: row.queue.clone(),
        enqueued_at: row.enqueued_at,
        served_at: None,
        agent: row.agent.clone(),
        ended_at: row.ended_at,
        ending: None,
        recording: row.recording_id,
        legs: Vec::new(),
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
    /// Calls that fit, in progress or over, the newest first. A call keeps its place when it ends, so that whoever
    /// walks the pages meets each one once.
    ///
    /// # Errors
    /// The store's.
    pub async fn call_list(
        &self,
        actor: &Actor,
        filter: &Filter,
        page: &Page,
    ) -> Result<(Vec<CallView>, Option<String>), AppError> {
        let after = page.after()?;
        let place = |record: &CallRecord| (record.started_at.0, record.id.0 as i64);
        let live = self.live.calls();
        let in_progress: HashSet<CallId> = live.iter().map(|call| call.record.id).collect();
        let fitting = live.iter().filter(|call| filter.fits(&call.record) && may_see(actor, &call.record));
        let mut found: BTreeMap<_, Option<CallView>> = fitting
            .map(|call| (place(&call.record), Some(CallView::from(call))))
            .filter(|(place, _)| *place < after)
            .collect();
        let mut more = false;
        if filter.state.as_deref() != Some("live") {
            let rows = self.store.call_list(&filter.stored(), page).await?;
            more = rows.next_cursor.is_some();
            for row in &rows.items {
                let record = record_of(row)?;
                let shown = may_see(actor, &record) && !in_progress.contains(&row.id);
                // What is not shown keeps its place: the next page goes on behind it.
                let view = shown.then(|| CallView::new(&record, row.ticket_no.as_ref()));
                found.entry(place(&record)).or_insert(view);
            }
        }
        let limit = page.limit as usize;
        more |= found.len() > limit;
        let (mut items, mut last) = (Vec::new(), None);
        for ((at, id), view) in found.into_iter().rev().take(limit) {
            items.extend(view);
            last = Some(format!("{at}.{id}"));
        }
        Ok((items, last.filter(|_| more)))
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

    /// The record of a call in progress or over, and the number of its ticket.
    pub(super) async fn call_record(&self, id: CallId) -> Result<(CallRecord, Option<crate::ids::TicketNo>), AppError> {
        if let Some(LiveCall { record, ticket_no }) = self.live.call(id) {
            return Ok(((*record).clone(), ticket_no));
        }
        match self.store.call_get(id).await {
            Ok(row) => Ok((record_of(&row)?, row.ticket_no)),
            Err(StoreError::NotFound(_)) => Err(AppError::NotFound("通话")),
            Err(error) => Err(error.into()),
        }
    }

    /// A call in progress that this user may command.
    async fn commanded(&self, actor: &Actor, id: CallId) -> Result<LiveCall, AppError> {
        let Some(live) = self.live.call(id) else {
            self.call_get(actor, id).await?;
            return Err(crate::call::Rejected::Over.into());
        };
        let leads = matches!(actor.role, Role::Supervisor | Role::Admin);
        if !leads && !on_call(actor, &live.record) {
            return Err(AppError::Forbidden("只有这通电话的话务员或班长可以操作".to_owned()));
        }
        Ok(live)
    }

    /// Carries out a command on a call in progress: by the agent who is on it, or a supervisor.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `CallRefused`, `Overloaded`.
    pub async fn call_command(&self, actor: &Actor, id: CallId, command: Command) -> Result<CallView, AppError> {
        let live = self.commanded(actor, id).await?;
        match self.switch.command(id, command).await? {
            Ok(()) => {}
            Err(Some(rejected)) => return Err(rejected.into()),
            // It is shown a little longer than the switch has it.
            Err(None) => return Err(crate::call::Rejected::Over.into()),
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
    /// As [`App::call_command`]'s.
    pub async fn department_leg(&self, actor: &Actor, id: CallId) -> Result<LegId, AppError> {
        let live = self.commanded(actor, id).await?;
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
    use serde_json::Value;

    #[test]
    fn a_row_without_a_record_is_a_call_that_was_accepted() {
        let at = crate::clock::UnixMillis(1_795_305_600_000);
        let mut row = CallRow {
            id: CallId(7),
            sip_call_id: "a@b".into(),
            direction: "inbound".into(),
            from_number: Some("13900000001".into()),
            dialled: Some("12345".into()),
            state: "accepted".into(),
            queue: None,
            agent: None,
            started_at: at,
            enqueued_at: None,
            answered_at: Some(at),
            ended_at: None,
            ending: None,
            ticket_id: None,
            ticket_no: Some("261122000000017".into()),
            recording_id: None,
            legs: Value::Null,
            detail: Value::Null,
        };
        let record = record_of(&row).expect("a record");
        assert_eq!((record.id, record.state, record.from.as_str()), (CallId(7), StateName::Accepting, "13900000001"));
        assert_eq!(record_of(&row_of(&record).expect("a row")).expect("a record"), record);
        row.detail = Value::Bool(true);
        assert!(matches!(record_of(&row), Err(StoreError::Corrupt(_))));
    }
}
