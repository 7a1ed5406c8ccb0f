//! Calls as they come from the spool: each gets its row and its one primary ticket, however often it comes.
//!
//! Many calls are written in one transaction. A record that nobody worked on is completed as a contact when its call
//! has ended.

use super::{
    Result, Store, StoreError,
    call::{self, CallRow},
    callback::{self, NewCallback},
    event::{self, NewEvent},
    recording::{self, RecordingRow},
    sql::{self, Columns, runs},
    ticket,
    writer::Tx,
};
use crate::{
    clock::UnixMillis,
    ids::{CallId, TicketId, TicketNo},
    ticket::{Actor, Case, Channel, Citizen, Command, ContactKind, Context, Event, Origin, Rules, State, Ticket},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use std::collections::{HashMap, HashSet};

/// The ticket that was promised to a call when it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromisedTicket {
    /// Its id.
    pub id: TicketId,
    /// Its number.
    pub no: TicketNo,
    /// Its query code.
    pub query_code: String,
}

/// A call from the moment its 200 is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedCall {
    /// The call.
    pub call: CallId,
    /// The Call-ID of its first leg.
    pub sip_call_id: String,
    /// `inbound`, `outbound` or `internal`.
    pub direction: String,
    /// The number that called.
    pub from: Option<String>,
    /// The number that was dialled.
    pub dialled: Option<String>,
    /// The caller withheld the number or asked for 保密.
    pub confidential: bool,
    /// When it was accepted.
    pub at: UnixMillis,
    /// Its primary record; none for calls that have no record, such as those between agents.
    pub ticket: Option<PromisedTicket>,
}

/// A call when its last leg has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishedCall {
    /// Its record.
    pub row: CallRow,
    /// What its primary record becomes where nobody worked on it; none leaves the draft with its agent.
    pub contact: Option<ContactKind>,
    /// The callback that it leaves owed.
    pub callback: Option<NewCallback>,
    /// Its recording as it began: its row is there with the call's, whatever became of the word of its beginning.
    #[serde(default)]
    pub recording: Option<RecordingRow>,
}

/// One call to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingest {
    /// As it was accepted.
    pub accepted: AcceptedCall,
    /// Its record as it was last noted.
    pub progress: Option<Value>,
    /// As it ended, where it has.
    pub finished: Option<FinishedCall>,
}

struct Prepared {
    case: Case,
    events: Vec<Event>,
}

impl Ingest {
    fn ended_at(&self) -> UnixMillis {
        self.finished.as_ref().and_then(|f| f.row.ended_at).unwrap_or(self.accepted.at)
    }

    /// The primary record as it should be if it is not there yet.
    fn prepare(&self) -> Option<Prepared> {
        let (accepted, promised) = (&self.accepted, self.accepted.ticket.as_ref()?);
        let origin = Origin {
            call: Some(accepted.call),
            primary: true,
            channel: Channel::Phone,
            dialled: accepted.dialled.clone(),
            ..Origin::default()
        };
        let citizen =
            Citizen { number: accepted.from.clone(), confidential: accepted.confidential, ..Citizen::default() };
        let code = promised.query_code.clone();
        let draft = Ticket::draft(promised.id, promised.no.clone(), code, origin, citizen, accepted.at);
        let (case, created) = Case::create(draft, &Actor::system());
        let mut prepared = Prepared { case, events: vec![created] };
        if let Some(kind) = self.finished.as_ref().and_then(|f| f.contact)
            && let Some((case, events)) = completed(&prepared.case, kind, self.ended_at())
        {
            prepared.case = case;
            prepared.events.extend(events);
        }
        Some(prepared)
    }

    /// What is known of its recording where nothing was written of it yet.
    fn recording(&self) -> Option<RecordingRow> {
        let row = self.finished.as_ref()?.recording.clone()?;
        Some(RecordingRow { ticket_no: self.accepted.ticket.as_ref().map(|ticket| ticket.no.clone()), ..row })
    }

    fn row(&self) -> CallRow {
        let accepted = &self.accepted;
        let mut row = self.finished.as_ref().map_or_else(
            || CallRow {
                id: accepted.call,
                sip_call_id: accepted.sip_call_id.clone(),
                direction: accepted.direction.clone(),
                from_number: accepted.from.clone(),
                dialled: accepted.dialled.clone(),
                state: "accepted".into(),
                queue: None,
                agent: None,
                started_at: accepted.at,
                enqueued_at: None,
                answered_at: None,
                ended_at: None,
                ending: None,
                ticket_id: None,
                ticket_no: None,
                recording_id: None,
                legs: Value::Array(Vec::new()),
                detail: self.progress.clone().unwrap_or_default(),
            },
            |finished| finished.row.clone(),
        );
        row.id = accepted.call;
        row.ticket_id = accepted.ticket.as_ref().map(|t| t.id).or(row.ticket_id);
        row.ticket_no = accepted.ticket.as_ref().map(|t| t.no.clone()).or(row.ticket_no);
        row
    }
}

/// A draft that nobody worked on, completed as a contact; none where somebody did.
fn completed(case: &Case, kind: ContactKind, at: UnixMillis) -> Option<(Case, Vec<Event>)> {
    if case.ticket.state != State::Draft || case.ticket.version != 1 {
        return None;
    }
    let command = Command::Complete { kind, note: String::new(), chases: None };
    let (by, rules) = (Actor::system(), Rules::default());
    let context = Context { by: &by, rules: &rules, next_id: &|| 0 };
    case.apply(&command, &context, at).ok()
}

impl Store {
    /// A primary record's id, number and query code for a call that is about to be accepted: no query.
    pub fn ticket_promise(&self, now: UnixMillis) -> PromisedTicket {
        PromisedTicket {
            id: TicketId(self.new_id()),
            no: self.ticket_number(now),
            query_code: crate::ticket::number::query_code(&mut rand::rng()),
        }
    }

    /// The one primary ticket of a call, made where it is not there yet.
    pub async fn ticket_ensure_for_call(&self, accepted: AcceptedCall) -> Result<Case> {
        let call = accepted.call;
        self.ingest(vec![Ingest { accepted, progress: None, finished: None }]).await?;
        self.ticket_of_call(call).await?.ok_or(StoreError::NotFound("ticket"))
    }

    /// Writes calls with their primary tickets: all or none, and the same however often it is repeated.
    pub async fn ingest(&self, items: Vec<Ingest>) -> Result<()> {
        let store = self.clone();
        self.write(move |tx| Box::pin(async move { ingest(tx, &store, items).await })).await
    }
}

async fn ingest(tx: &mut Tx, store: &Store, mut items: Vec<Ingest>) -> Result<()> {
    let offset = store.inner.options.offset_minutes;
    let day = |at| sql::day(at, offset);
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(item.accepted.call));

    let prepared: Vec<(usize, Prepared)> =
        items.iter().enumerate().filter_map(|(place, item)| Some((place, item.prepare()?))).collect();
    let tickets: Vec<&Ticket> = prepared.iter().map(|(_, p)| &p.case.ticket).collect();
    let fresh: HashSet<u64> = ticket::insert_new(tx, &tickets, day).await?.into_iter().collect();
    let (new, old): (Vec<_>, Vec<_>) = prepared.into_iter().partition(|(_, p)| fresh.contains(&p.case.ticket.id.0));
    write_new(tx, new.iter().map(|(_, p)| p), day).await?;

    let existing = primaries(tx, old.iter().filter_map(|(_, p)| p.case.ticket.origin.call)).await?;
    for (place, mut prepared) in old {
        let item = &mut items[place];
        match existing.get(&item.accepted.call.0) {
            Some(ticket) => {
                item.accepted.ticket = Some(PromisedTicket {
                    id: ticket.id,
                    no: ticket.no.clone(),
                    query_code: ticket.query_code.clone(),
                });
                complete_old(tx, item, ticket.clone(), day).await?;
            }
            None => {
                // Another ticket has the number: this can be only after a block was lost. The call keeps its record.
                let no = store.ticket_number(item.accepted.at);
                tracing::error!(old = %prepared.case.ticket.no, new = %no, "a ticket number was taken; numbered anew");
                prepared.case.ticket.no = no.clone();
                if ticket::insert_new(tx, &[&prepared.case.ticket], day).await?.is_empty() {
                    return Err(StoreError::Conflict("the ticket's number"));
                }
                write_new(tx, std::iter::once(&prepared), day).await?;
                if let Some(promised) = &mut item.accepted.ticket {
                    promised.no = no;
                }
            }
        }
    }

    let rows: Vec<CallRow> = items.iter().map(Ingest::row).collect();
    call::upsert(tx, &rows, day).await?;
    let recordings: Vec<RecordingRow> = items.iter().filter_map(Ingest::recording).collect();
    recording::insert_new(tx, &recordings, day).await?;
    for item in &items {
        if let Some(owed) = item.finished.as_ref().and_then(|f| f.callback.as_ref()) {
            let at = item.ended_at();
            callback::insert(tx, store.new_id(), owed, day(at), at).await?;
        }
    }
    Ok(())
}

async fn write_new(
    tx: &mut Tx,
    new: impl Iterator<Item = &Prepared> + Clone,
    day: impl Fn(UnixMillis) -> String,
) -> Result<()> {
    let entries: Vec<(TicketId, &Event)> =
        new.clone().flat_map(|p| p.events.iter().map(|event| (p.case.ticket.id, event))).collect();
    let events: Vec<NewEvent> =
        new.flat_map(|p| p.events.iter().map(|event| ticket::published(&p.case.ticket, event))).collect();
    ticket::history_insert(tx, &entries, day).await?;
    event::append(tx, events).await
}

/// The primary records of calls, as they are.
async fn primaries(tx: &mut Tx, calls: impl Iterator<Item = CallId>) -> Result<HashMap<u64, Ticket>> {
    let calls: Vec<CallId> = calls.collect();
    let mut found = HashMap::new();
    for run in runs(&calls) {
        let marks: Vec<String> = (1..=run.len()).map(|n| format!("${n}")).collect();
        let text = format!("SELECT body FROM ticket WHERE is_primary = 1 AND call_id IN ({})", marks.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(text));
        for call in run {
            query = query.bind(call.0 as i64);
        }
        for row in query.fetch_all(&mut tx.conn).await? {
            let ticket: Ticket = row.json("body")?;
            if let Some(call) = ticket.origin.call {
                found.insert(call.0, ticket);
            }
        }
    }
    Ok(found)
}

async fn complete_old(
    tx: &mut Tx,
    item: &Ingest,
    ticket: Ticket,
    day: impl Fn(UnixMillis) -> String + Copy,
) -> Result<()> {
    let Some(kind) = item.finished.as_ref().and_then(|f| f.contact) else {
        return Ok(());
    };
    let before = Case { ticket, assignments: Vec::new() };
    let Some((case, events)) = completed(&before, kind, item.ended_at()) else {
        return Ok(());
    };
    ticket::save(tx, &before.ticket, &case, &events, day, item.ended_at()).await
}
