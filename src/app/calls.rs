//! Calls as the API sees them: those in progress from memory, those that are over from the store.

use super::{
    App, AppError,
    live::LiveCall,
    permissions::{self, CallScope, Reach, Thing},
    view::CallView,
};
use crate::{
    call::{
        Command,
        cdr::{CallRecord, LegStateName, Role as LegRole, StateName},
    },
    clock::UnixMillis,
    ids::{AgentNo, CallId, LegId, TicketNo},
    net::clock,
    store::{CallFilter, CallRow, Page, Store, StoreError},
    ticket::Actor,
};
use std::collections::{BTreeMap, HashSet};

/// Which calls are asked for; all that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Call-ID of the caller's dialog.
    pub sip_call_id: Option<String>,
    /// The caller's whole number.
    pub from: Option<String>,
    /// A state's name, or `live`.
    pub state: Option<String>,
    /// Of whom it is, or was, a call.
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

    /// The same for what is over, as far as this user sees it.
    fn stored(&self, actor: &Actor) -> CallFilter {
        let own = permissions::reach(actor, Thing::Calls) == Reach::Own;
        // Without a number an agent has no calls of its own: no agent's number is empty.
        let seen_by = own.then(|| actor.agent.clone().unwrap_or_else(|| AgentNo::from("")));
        CallFilter {
            sip_call_id: self.sip_call_id.clone(),
            from_number: self.from.clone(),
            state: self.state.clone(),
            agent: self.agent.clone(),
            seen_by,
            confidence: permissions::confidence(actor),
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
        from: row.from_number.clone().unwrap_or_default(),
        dialled: row.dialled.clone().unwrap_or_default(),
        state: match row.ended_at {
            Some(_) => StateName::Ended,
            None => named(&row.state).unwrap_or(StateName::Ivr),
        },
        answered_at: row.answered_at.or(Some(row.started_at)),
        queue: row.queue.clone(),
        enqueued_at: row.enqueued_at,
        agent: row.agent.clone(),
        ended_at: row.ended_at,
        recording: row.recording_id,
        legs: serde_json::from_value(row.legs.clone()).unwrap_or_default(),
        ticket: row.ticket_no.is_some(),
        ..CallRecord::begun(row.id, row.sip_call_id.clone(), row.started_at)
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

/// Where a listed call was found.
enum Found {
    Live(LiveCall),
    Stored { record: Box<CallRecord>, ticket_no: Option<TicketNo> },
}

impl Found {
    fn stored(&self) -> Option<CallId> {
        match self {
            Found::Live(_) => None,
            Found::Stored { record, .. } => Some(record.id),
        }
    }
}

/// One page over what is in progress and what is stored, by when each began, and where it goes on.
async fn merged(
    store: &Store,
    live: Vec<LiveCall>,
    fits: impl Fn(&LiveCall) -> bool,
    stored: Option<&CallFilter>,
    seen: impl Fn(&CallRecord) -> bool,
    page: &Page,
) -> Result<(Vec<Found>, Option<String>), StoreError> {
    let (after, limit) = (page.after()?, page.limit as usize);
    let place = |started_at: UnixMillis, id: CallId| (started_at.0, id.0 as i64);
    // What is in progress is shown as it is now, and not as its row was last written.
    let in_progress: HashSet<CallId> = live.iter().map(|call| call.record.id).collect();
    let fitting = live.into_iter().filter(fits);
    let mut found: BTreeMap<(i64, i64), Found> =
        fitting.map(|call| (place(call.record.started_at, call.record.id), Found::Live(call))).collect();
    found.retain(|place, _| *place < after);
    let (mut rows, mut next) = (0, stored.map(|_| page.clone()));
    while let (Some(filter), Some(page)) = (stored, next.take_if(|_| rows < limit)) {
        let fetched = store.call_list(filter, &page).await?;
        for row in fetched.items.iter().filter(|row| !in_progress.contains(&row.id)) {
            let record = record_of(row);
            if seen(&record) {
                rows += 1;
                let (record, ticket_no) = (Box::new(record), row.ticket_no.clone());
                found.insert(place(row.started_at, row.id), Found::Stored { record, ticket_no });
            }
        }
        next = fetched.next_cursor.map(|cursor| Page { cursor: Some(cursor), ..page });
    }
    let more = next.is_some() || found.len() > limit;
    let shown: Vec<((i64, i64), Found)> = found.into_iter().rev().take(limit).collect();
    let next_cursor = shown.last().filter(|_| more).map(|((at, id), _)| format!("{at}.{id}"));
    Ok((shown.into_iter().map(|(_, found)| found).collect(), next_cursor))
}

/// What says who may see a call in progress.
pub(super) fn scope_of(call: &LiveCall) -> CallScope {
    CallScope::new(&call.record, call.confidential)
}

fn live_view(actor: &Actor, call: &LiveCall) -> CallView {
    let shown = permissions::sees_caller(actor, &scope_of(call));
    CallView::new(&call.record, call.ticket_no.as_ref(), shown)
}

impl App {
    /// Calls that fit, in progress or over, the newest first. A call keeps its place when it ends, so that whoever
    /// walks the pages meets each one once.
    ///
    /// # Errors
    /// `Forbidden`, the store's.
    pub async fn call_list(
        &self,
        actor: &Actor,
        filter: &Filter,
        page: &Page,
    ) -> Result<(Vec<CallView>, Option<String>), AppError> {
        permissions::require(actor, Thing::Calls)?;
        let live = self.live.calls();
        let fits = |call: &LiveCall| {
            let scope = scope_of(call);
            filter.fits(&call.record)
                && permissions::may_see_call(actor, &scope)
                && (filter.from.is_none() || permissions::sees_caller(actor, &scope))
        };
        let stored = Some(filter.stored(actor)).filter(|_| filter.state.as_deref() != Some("live"));
        // The query leaves out most of what this user does not see; the rule decides.
        let seen = |record: &CallRecord| permissions::may_see_call(actor, &CallScope::new(record, false));
        let (found, next_cursor) = merged(&self.store, live, fits, stored.as_ref(), seen, page).await?;
        Ok((self.call_views(actor, &found).await?, next_cursor))
    }

    async fn call_views(&self, actor: &Actor, found: &[Found]) -> Result<Vec<CallView>, AppError> {
        let stored: Vec<CallId> = found.iter().filter_map(Found::stored).collect();
        let confidential = self.store.confidential_calls(&stored).await?;
        let view = |found: &Found| match found {
            Found::Live(call) => live_view(actor, call),
            Found::Stored { record, ticket_no } => {
                let scope = CallScope::new(record, confidential.contains(&record.id));
                CallView::new(record, ticket_no.as_ref(), permissions::sees_caller(actor, &scope))
            }
        };
        Ok(found.iter().map(view).collect())
    }

    /// One call.
    ///
    /// # Errors
    /// `NotFound`, also where this user may not see it.
    pub async fn call_get(&self, actor: &Actor, id: CallId) -> Result<CallView, AppError> {
        let (record, ticket_no, scope) = self.call_seen(actor, id).await?;
        Ok(CallView::new(&record, ticket_no.as_ref(), permissions::sees_caller(actor, &scope)))
    }

    /// A call that this user may see.
    async fn call_seen(
        &self,
        actor: &Actor,
        id: CallId,
    ) -> Result<(CallRecord, Option<TicketNo>, CallScope), AppError> {
        permissions::require(actor, Thing::Calls)?;
        let (record, ticket_no, scope) = self.call_record(id).await?;
        if permissions::may_see_call(actor, &scope) {
            Ok((record, ticket_no, scope))
        } else {
            Err(AppError::NotFound("通话"))
        }
    }

    /// A call in progress or over, and what says who may see it.
    pub(super) async fn call_record(&self, id: CallId) -> Result<(CallRecord, Option<TicketNo>, CallScope), AppError> {
        if let Some(call) = self.live.call(id) {
            let scope = scope_of(&call);
            return Ok(((*call.record).clone(), call.ticket_no, scope));
        }
        match self.store.call_get(id).await {
            Ok(row) => {
                let record = record_of(&row);
                let confidential = self.store.confidential_calls(&[id]).await?.contains(&id);
                let scope = CallScope::new(&record, confidential);
                Ok((record, row.ticket_no, scope))
            }
            Err(StoreError::NotFound(_)) => Err(AppError::NotFound("通话")),
            Err(error) => Err(error.into()),
        }
    }

    /// A call in progress that this user may command.
    async fn commanded(&self, actor: &Actor, id: CallId) -> Result<LiveCall, AppError> {
        permissions::require(actor, Thing::CallControl)?;
        let Some(live) = self.live.call(id) else {
            self.call_get(actor, id).await?;
            return Err(crate::call::Rejected::Over.into());
        };
        if permissions::may_command(actor, &scope_of(&live)) {
            Ok(live)
        } else {
            Err(AppError::Forbidden("只有这通电话的话务员或班长可以操作".to_owned()))
        }
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
        Ok(live_view(actor, &self.live.call(id).unwrap_or(live)))
    }

    /// The caller's number in the clear; the audit log keeps who asked and why.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`; the store's: without an audit row nothing is revealed.
    pub async fn call_reveal(&self, actor: &Actor, id: CallId, reason: &str) -> Result<String, AppError> {
        permissions::require(actor, Thing::Reveal)?;
        let (record, _, scope) = self.call_seen(actor, id).await?;
        if !permissions::may_reveal(actor, &scope) {
            let why = if scope.confidential {
                "诉求人要求保密,您无权查看其号码"
            } else {
                "只能查看本人接听的来电号码"
            };
            return Err(AppError::Forbidden(why.to_owned()));
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
    use crate::{store::StoreOptions, ticket::Role};
    use serde_json::{Value, json};
    use std::sync::Arc;

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

    fn scope() -> CallScope {
        CallScope::new(&record(), false)
    }

    fn agent(number: &str) -> Actor {
        Actor { role: Role::Agent, agent: Some(number.into()), ..Actor::system() }
    }

    #[test]
    fn commands_are_for_the_agent_who_talks_now() {
        let may: Vec<bool> =
            ["8001", "8002", "8003", "8004"].map(|number| permissions::may_command(&agent(number), &scope())).into();
        assert_eq!(may, [false, false, true, false]);
    }

    #[test]
    fn who_let_it_ring_does_not_see_it() {
        let may: Vec<bool> =
            ["8001", "8002", "8003", "8004"].map(|number| permissions::may_see_call(&agent(number), &scope())).into();
        assert_eq!(may, [true, false, true, true]);
    }

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

    /// A call that began in the millisecond of two: the id decides between them.
    fn nth(n: u64) -> CallRecord {
        CallRecord { id: CallId(n), started_at: UnixMillis(n as i64 / 2), agent: None, legs: Vec::new(), ..record() }
    }

    /// 60 in progress between 60 that are over; of those in progress, every other has a row already.
    #[tokio::test]
    async fn pages_hold_each_call_once_in_progress_or_over() {
        let folder = std::env::temp_dir().join(format!("hotline-calls-{}", std::process::id()));
        let url = format!("sqlite:{}/hotline.db", folder.display());
        let store = Store::open(&url, StoreOptions::default(), UnixMillis(1)).await.unwrap();
        for n in (1..=120).filter(|n| n % 2 == 0 || n % 4 == 1) {
            store.call_upsert(row_of(&nth(n)).unwrap()).await.unwrap();
        }
        let live = || {
            let call = |n| LiveCall { record: Arc::new(nth(n)), ticket_no: None, confidential: false };
            (1..=120).filter(|n| n % 2 == 1).map(call).collect::<Vec<_>>()
        };
        let filter = CallFilter::default();
        for limit in [1, 7, 50, 60, 119, 120, 121, 500] {
            let (mut seen, mut page) = (Vec::new(), Page { limit, cursor: None });
            loop {
                let (found, next) = merged(&store, live(), |_| true, Some(&filter), |_| true, &page).await.unwrap();
                assert!(found.len() <= limit as usize);
                seen.extend(found.iter().map(|found| match found {
                    Found::Live(call) => (call.record.id.0, true),
                    Found::Stored { record, .. } => (record.id.0, false),
                }));
                let Some(cursor) = next else { break };
                assert_eq!(found.len(), limit as usize, "only the last page is short");
                page.cursor = Some(cursor);
            }
            let wanted: Vec<(u64, bool)> = (1..=120).rev().map(|n| (n, n % 2 == 1)).collect();
            assert_eq!(seen, wanted, "limit {limit}");
        }
        let page = Page { limit: 500, cursor: None };
        let (found, next) = merged(&store, live(), |call| call.record.id.0 < 10, None, |_| true, &page).await.unwrap();
        assert_eq!((found.len(), next), (5, None), "those in progress alone");
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[tokio::test]
    async fn what_an_agent_does_not_see_takes_no_place_in_its_list() {
        let folder = std::env::temp_dir().join(format!("hotline-calls-seen-{}", std::process::id()));
        let url = format!("sqlite:{}/hotline.db", folder.display());
        let store = Store::open(&url, StoreOptions::default(), UnixMillis(1)).await.unwrap();
        for n in 1..=20 {
            // Every call rang at 8002 first; 8001 answered it.
            let row = row_of(&CallRecord { id: CallId(n), started_at: UnixMillis(n as i64), ..record() }).unwrap();
            store.call_upsert(row).await.unwrap();
        }
        let page = Page { limit: 5, cursor: None };
        for (number, wanted) in [("8001", 5), ("8002", 0), ("8009", 0)] {
            let (actor, filter) = (agent(number), Filter::default().stored(&agent(number)));
            let seen = |record: &CallRecord| permissions::may_see_call(&actor, &CallScope::new(record, false));
            let (found, next) = merged(&store, Vec::new(), |_| true, Some(&filter), seen, &page).await.unwrap();
            assert_eq!((found.len(), next.is_some()), (wanted, wanted > 0), "{number}");
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}
