//! Tickets: rows with their assignments, history and events, written together.

use super::{
    Confidence, Page, Paged, Result, Store, StoreError, assignment, confidence,
    event::{self, NewEvent},
    message::{self, NewMessage},
    reference,
    sql::{Columns, runs, to_json, values},
    writer::Tx,
};
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, CallId, TicketId, TicketNo, UnitCode},
    ticket::{Actor, Case, Class, Command, Context, Event, Rules, State, Ticket},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, any::AnyRow};

/// Attempts to apply a command that named no version while others change the same ticket.
const ATTEMPTS: usize = 5;

/// Which tickets are listed; all that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct TicketFilter {
    /// Its state.
    pub state: Option<State>,
    /// `request` or `contact`.
    pub class: Option<String>,
    /// Its channel's name.
    pub channel: Option<String>,
    /// Its district.
    pub district: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// A call it belongs to.
    pub call: Option<CallId>,
    /// The number that called.
    pub citizen_number: Option<String>,
    /// A unit that has or had a part in it.
    pub unit: Option<UnitCode>,
    /// Only what this unit works on or has replied to, and not what is complained about it: what its people see.
    pub seen_by: Option<UnitCode>,
    /// The agent who worked on it.
    pub agent: Option<AgentNo>,
    /// Whose confidential citizens the number may find.
    pub confidence: Confidence,
    /// Accepted at or after.
    pub from: Option<UnixMillis>,
    /// Accepted before.
    pub to: Option<UnixMillis>,
    /// Only what is still open and past its due time at this moment.
    pub overdue_at: Option<UnixMillis>,
}

/// What goes with a command that is applied.
#[derive(Clone, Copy)]
pub struct Applying<'a> {
    /// Who gives it.
    pub by: &'a Actor,
    /// The version that the caller has seen (If-Match); none takes the latest.
    pub if_version: Option<u64>,
    /// Settings that decide due times and limits.
    pub rules: &'a Rules,
    /// Messages that are to be sent for what happened; written in the same transaction.
    pub messages: &'a (dyn Fn(&Case, &[Event]) -> Vec<NewMessage> + Sync),
}

impl<'a> Applying<'a> {
    /// The latest version, and no messages.
    pub fn plain(by: &'a Actor, rules: &'a Rules) -> Applying<'a> {
        Applying { by, if_version: None, rules, messages: &|_, _| Vec::new() }
    }
}

/// What a unit's people see: `Case::part_of` gives `Part::Whole`.
const SEEN_BY: &str = "EXISTS (SELECT 1 FROM assignment a WHERE a.ticket_id = ticket.id AND a.unit = $? AND a.state IN \
                       ('to_sign', 'in_progress', 'return_review', 'suspended', 'forced', 'replied', 'accepted'))";

const COLUMNS: usize = 26;

/// Inserts tickets where neither their id, nor their number, nor their call's primary record exists; gives the ids of
/// those that were new.
pub(super) async fn insert_new(
    tx: &mut Tx,
    tickets: &[&Ticket],
    day: impl Fn(UnixMillis) -> String,
) -> Result<Vec<u64>> {
    let mut fresh = Vec::with_capacity(tickets.len());
    for run in runs(tickets) {
        let sql = format!(
            "INSERT INTO ticket (id, no, version, state, class, contact_kind, channel, call_id, is_primary, kind, category, \
             district, urgency, lead_unit, citizen_number, confidential, dialled, agent, merged_into, accepted_at, day, \
             due_at, closed_at, updated_at, redo, body) VALUES {} ON CONFLICT DO NOTHING RETURNING id",
            values(run.len(), COLUMNS)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for t in run {
            query = query
                .bind(t.id.0 as i64)
                .bind(t.no.as_str())
                .bind(t.version as i64)
                .bind(t.state.name())
                .bind(t.class.name())
                .bind(contact_kind(t))
                .bind(t.origin.channel.name())
                .bind(t.origin.call.map(|call| call.0 as i64))
                .bind(i64::from(t.origin.primary))
                .bind(t.matter.kind.name())
                .bind(t.matter.category.as_deref())
                .bind(t.matter.district.as_deref())
                .bind(t.matter.urgency.name())
                .bind(None::<String>)
                .bind(t.citizen.number.as_deref())
                .bind(i64::from(t.citizen.confidential))
                .bind(t.origin.dialled.as_deref())
                .bind(t.agent.as_ref().map(AgentNo::as_str))
                .bind(t.merged_into.as_ref().map(TicketNo::as_str))
                .bind(t.accepted_at.0)
                .bind(day(t.accepted_at))
                .bind(t.due_at.map(|at| at.0))
                .bind(t.closing.as_ref().map(|closing| closing.at.0))
                .bind(t.accepted_at.0)
                .bind(i64::from(t.redo))
                .bind(to_json(t)?);
        }
        for row in query.fetch_all(&mut tx.conn).await? {
            fresh.push(row.id("id")?);
        }
    }
    Ok(fresh)
}

fn contact_kind(ticket: &Ticket) -> Option<&'static str> {
    match ticket.class {
        Class::Request => None,
        Class::Contact(kind) => Some(kind.name()),
    }
}

/// Writes entries of histories.
pub(super) async fn history_insert(
    tx: &mut Tx,
    entries: &[(TicketId, &Event)],
    day: impl Fn(UnixMillis) -> String,
) -> Result<()> {
    for run in runs(entries) {
        let sql = format!(
            "INSERT INTO ticket_history (ticket_id, seq, at, day, event, actor, body) VALUES {}",
            values(run.len(), 7)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (ticket, e) in run {
            query = query
                .bind(ticket.0 as i64)
                .bind(e.seq as i64)
                .bind(e.at.0)
                .bind(day(e.at))
                .bind(e.what.name())
                .bind(e.by.user.as_ref().map(|user| user.as_str().to_owned()))
                .bind(to_json(e)?);
        }
        query.execute(&mut tx.conn).await?;
    }
    Ok(())
}

/// What is published of a ticket's event: never what the citizen said nor who the citizen is.
pub(super) fn published(ticket: &Ticket, event: &Event) -> NewEvent {
    NewEvent {
        at: event.at,
        topic: format!("ticket.{}", event.what.name()),
        subject: ticket.no.to_string(),
        body: json!({
            "ticket_no": ticket.no,
            "version": ticket.version,
            "state": ticket.state,
            "class": ticket.class.name(),
            "seq": event.seq,
            "call_id": ticket.origin.call,
            "confidential": ticket.citizen.confidential,
        }),
    }
}

/// Writes a new record with its first event.
async fn create(
    tx: &mut Tx,
    ticket: &Ticket,
    created: &Event,
    day: impl Fn(UnixMillis) -> String + Copy,
) -> Result<()> {
    if insert_new(tx, &[ticket], day).await?.is_empty() {
        return Err(StoreError::Conflict("the ticket"));
    }
    history_insert(tx, &[(ticket.id, created)], day).await?;
    event::append(tx, vec![published(ticket, created)]).await
}

/// Saves a case that was changed from `before`, by compare-and-set on the version.
pub(super) async fn save(
    tx: &mut Tx,
    before: &Ticket,
    case: &Case,
    happened: &[Event],
    day: impl Fn(UnixMillis) -> String + Copy,
    at: UnixMillis,
) -> Result<()> {
    let t = &case.ticket;
    let done = sqlx::query(
        "UPDATE ticket SET version = $1, state = $2, class = $3, contact_kind = $4, kind = $5, category = $6, district = $7, \
         urgency = $8, lead_unit = $9, citizen_number = $10, confidential = $11, agent = $12, merged_into = $13, \
         due_at = $14, closed_at = $15, updated_at = $16, redo = $17, body = $18 WHERE id = $19 AND version = $20",
    )
    .bind(t.version as i64)
    .bind(t.state.name())
    .bind(t.class.name())
    .bind(contact_kind(t))
    .bind(t.matter.kind.name())
    .bind(t.matter.category.as_deref())
    .bind(t.matter.district.as_deref())
    .bind(t.matter.urgency.name())
    .bind(case.lead().map(|lead| lead.unit.as_str().to_owned()))
    .bind(t.citizen.number.as_deref())
    .bind(i64::from(t.citizen.confidential))
    .bind(t.agent.as_ref().map(AgentNo::as_str))
    .bind(t.merged_into.as_ref().map(TicketNo::as_str))
    .bind(t.due_at.map(|at| at.0))
    .bind(t.closing.as_ref().map(|closing| closing.at.0))
    .bind(at.0)
    .bind(i64::from(t.redo))
    .bind(to_json(t)?)
    .bind(t.id.0 as i64)
    .bind(before.version as i64)
    .execute(&mut tx.conn)
    .await?;
    if done.rows_affected() != 1 {
        return Err(StoreError::Conflict("the ticket"));
    }
    if let Some(call) = t.origin.call {
        confidence::mark_recordings(tx, call).await?;
    }
    assignment::save(tx, t.id, &case.assignments, day).await?;
    let entries: Vec<_> = happened.iter().map(|event| (t.id, event)).collect();
    history_insert(tx, &entries, day).await?;
    event::append(tx, happened.iter().map(|event| published(t, event)).collect()).await
}

fn read(row: &AnyRow) -> Result<Ticket> {
    row.json("body")
}

impl Store {
    /// A draft with its id, number and query code, not yet in the database.
    pub fn ticket_draft(
        &self,
        origin: crate::ticket::Origin,
        citizen: crate::ticket::Citizen,
        now: UnixMillis,
    ) -> Ticket {
        let code = crate::ticket::number::query_code(&mut rand::rng());
        Ticket::draft(TicketId(self.new_id()), self.ticket_number(now), code, origin, citizen, now)
    }

    /// Writes a new record with its first event. Fails with `Conflict` where the number or the call's primary record
    /// exists.
    pub async fn ticket_insert(&self, ticket: Ticket, by: &Actor) -> Result<Case> {
        let (case, created) = Case::create(ticket, by);
        let kept = case.clone();
        let offset = self.inner.options.offset_minutes;
        self.write(move |tx| {
            Box::pin(async move {
                reference::of_origin(tx, &case.ticket.origin).await?;
                create(tx, &case.ticket, &created, |at| super::sql::day(at, offset)).await
            })
        })
        .await?;
        Ok(kept)
    }

    /// Writes a new record and the first command on it, in one transaction. Fails with `Rejected` where the record does
    /// not take the command; then nothing is written.
    pub async fn ticket_insert_applied(
        &self,
        draft: Ticket,
        command: &Command,
        applying: Applying<'_>,
        now: UnixMillis,
    ) -> Result<(Case, Vec<Event>)> {
        let (before, created) = Case::create(draft, applying.by);
        let (case, happened) = {
            let next_id = || self.new_id();
            let context = Context { by: applying.by, rules: applying.rules, next_id: &next_id };
            before.apply(command, &context, now)?
        };
        let messages = (applying.messages)(&case, &happened);
        self.save_case(before.ticket, Some(created), case.clone(), happened.clone(), messages, now).await?;
        Ok((case, happened))
    }

    /// The ticket of this number with its assignments. `NotFound` where there is none.
    pub async fn ticket_get(&self, no: &TicketNo) -> Result<Case> {
        let row = sqlx::query("SELECT body FROM ticket WHERE no = $1")
            .bind(no.as_str())
            .fetch_optional(self.reader())
            .await?
            .ok_or(StoreError::NotFound("ticket"))?;
        self.with_assignments(read(&row)?).await
    }

    /// The one primary record of a call.
    pub async fn ticket_of_call(&self, call: CallId) -> Result<Option<Case>> {
        let row = sqlx::query("SELECT body FROM ticket WHERE call_id = $1 AND is_primary = 1")
            .bind(call.0 as i64)
            .fetch_optional(self.reader())
            .await?;
        match row {
            Some(row) => Ok(Some(self.with_assignments(read(&row)?).await?)),
            None => Ok(None),
        }
    }

    /// The call that a ticket came of.
    pub async fn ticket_call(&self, no: &TicketNo) -> Result<Option<CallId>> {
        let row = sqlx::query("SELECT call_id FROM ticket WHERE no = $1")
            .bind(no.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.map_or(Ok(None), |row| Ok(row.int_opt("call_id")?.map(|call| CallId(call as u64))))
    }

    async fn with_assignments(&self, ticket: Ticket) -> Result<Case> {
        let assignments = self.assignments_of(ticket.id).await?;
        Ok(Case { ticket, assignments })
    }

    /// A ticket's history, the oldest first.
    pub async fn ticket_history(&self, ticket: TicketId) -> Result<Vec<Event>> {
        let rows = sqlx::query("SELECT body FROM ticket_history WHERE ticket_id = $1 ORDER BY seq")
            .bind(ticket.0 as i64)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|row| row.json("body")).collect()
    }

    /// Tickets that fit the filter, the latest accepted first.
    pub async fn ticket_list(&self, filter: &TicketFilter, page: &Page) -> Result<Paged<Ticket>> {
        let (at, id) = page.after()?;
        let rows = page.rows();
        let mut list =
            List::new("(accepted_at < $1 OR (accepted_at = $1 AND id < $2))", vec![Bind::Int(at), Bind::Int(id)]);
        list.text("state", filter.state.map(|state| state.name().to_owned()));
        list.text("class", filter.class.clone());
        list.text("channel", filter.channel.clone());
        list.text("district", filter.district.clone());
        list.text("category", filter.category.clone());
        if filter.citizen_number.is_some() {
            list.text("citizen_number", filter.citizen_number.clone());
            filter.confidence.narrow(&mut list, "confidential = 0", "(confidential = 0 OR agent = $?)");
        }
        list.text("agent", filter.agent.as_ref().map(|agent| agent.as_str().to_owned()));
        list.int("call_id =", filter.call.map(|call| call.0 as i64));
        list.int("accepted_at >=", filter.from.map(|at| at.0));
        list.int("accepted_at <", filter.to.map(|at| at.0));
        if let Some(unit) = &filter.unit {
            list.add(
                "EXISTS (SELECT 1 FROM assignment a WHERE a.ticket_id = ticket.id AND a.unit = $?)",
                unit.as_str().into(),
            );
        }
        if let Some(unit) = &filter.seen_by {
            list.add(SEEN_BY, unit.as_str().into());
            // The body is compact JSON, and a quotation mark inside a text is escaped: this finds the field alone.
            list.add("replace(body, $?, '') = body", Bind::Text(format!("\"against\":{}", to_json(unit)?)));
        }
        if let Some(at) = filter.overdue_at {
            list.int("closed_at IS NULL AND due_at <", Some(at.0));
        }
        let sql = list.sql("SELECT body FROM ticket", "accepted_at DESC, id DESC", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<Ticket>>>()?;
        Ok(Paged::cut(items, rows, |ticket| (ticket.accepted_at.0, ticket.id.0 as i64)))
    }

    /// Open tickets and how many, by state.
    pub async fn ticket_counts(&self) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query("SELECT state, count(*) AS n FROM ticket GROUP BY state ORDER BY state")
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|row| Ok((row.text("state")?, row.int("n")?))).collect()
    }

    /// Applies a command: ticket, assignments, history, events and messages in one transaction, by compare-and-set on
    /// the version. Fails with `Conflict` where `if_version` is not the latest, with `Rejected` where the ticket does
    /// not take the command; then nothing is written.
    pub async fn ticket_apply(
        &self,
        no: &TicketNo,
        command: &Command,
        applying: Applying<'_>,
        now: UnixMillis,
    ) -> Result<(Case, Vec<Event>)> {
        for _ in 0..ATTEMPTS {
            let before = self.ticket_get(no).await?;
            if applying.if_version.is_some_and(|seen| seen != before.ticket.version) {
                return Err(StoreError::Conflict("the ticket"));
            }
            let (case, happened) = {
                let next_id = || self.new_id();
                let context = Context { by: applying.by, rules: applying.rules, next_id: &next_id };
                before.apply(command, &context, now)?
            };
            let messages = (applying.messages)(&case, &happened);
            let saved = self.save_case(before.ticket, None, case.clone(), happened.clone(), messages, now).await;
            match saved {
                Err(StoreError::Conflict(_)) if applying.if_version.is_none() => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok((case, happened)),
            }
        }
        Err(StoreError::Conflict("the ticket"))
    }

    /// Saves a case; with the event of its creation, `before` is written first.
    async fn save_case(
        &self,
        before: Ticket,
        created: Option<Event>,
        case: Case,
        happened: Vec<Event>,
        messages: Vec<NewMessage>,
        now: UnixMillis,
    ) -> Result<()> {
        let offset = self.inner.options.offset_minutes;
        let ids: Vec<u64> = messages.iter().map(|_| self.new_id()).collect();
        self.write(move |tx| {
            Box::pin(async move {
                let day = |at| super::sql::day(at, offset);
                if let Some(created) = &created {
                    reference::of_origin(tx, &before.origin).await?;
                    create(tx, &before, created, day).await?;
                }
                reference::of_events(tx, &happened).await?;
                save(tx, &before, &case, &happened, day, now).await?;
                for (id, new) in ids.into_iter().zip(messages) {
                    message::insert(tx, id, &new, super::sql::day(now, offset), now).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// A value to bind.
#[derive(Clone, Debug)]
pub(super) enum Bind {
    Int(i64),
    Text(String),
}

impl From<&str> for Bind {
    fn from(text: &str) -> Self {
        Bind::Text(text.to_owned())
    }
}

/// A list's conditions; only texts of this program reach the SQL, values are bound.
pub(super) struct List {
    conditions: String,
    binds: Vec<Bind>,
}

impl List {
    pub(super) fn new(first: &str, binds: Vec<Bind>) -> List {
        List { conditions: first.to_owned(), binds }
    }

    /// Adds a condition whose `$?` is the value.
    pub(super) fn add(&mut self, condition: &'static str, value: Bind) {
        self.binds.push(value);
        self.conditions.push_str(" AND ");
        self.conditions.push_str(&condition.replace("$?", &format!("${}", self.binds.len())));
    }

    /// Adds a condition whose `$?` is the first value and whose `$!` the second.
    pub(super) fn add_two(&mut self, condition: &'static str, first: Bind, second: Bind) {
        self.binds.extend([first, second]);
        let (one, two) = (self.binds.len() - 1, self.binds.len());
        self.conditions.push_str(" AND ");
        self.conditions.push_str(&condition.replace("$?", &format!("${one}")).replace("$!", &format!("${two}")));
    }

    /// Adds a condition without a value.
    pub(super) fn plain(&mut self, condition: &'static str) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
    }

    pub(super) fn text(&mut self, column: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.binds.push(Bind::Text(value));
            self.conditions.push_str(&format!(" AND {column} = ${}", self.binds.len()));
        }
    }

    pub(super) fn int(&mut self, comparison: &'static str, value: Option<i64>) {
        if let Some(value) = value {
            self.binds.push(Bind::Int(value));
            self.conditions.push_str(&format!(" AND {comparison} ${}", self.binds.len()));
        }
    }

    pub(super) fn sql(&self, select: &str, order: &str, limit: usize) -> String {
        format!("{select} WHERE {} ORDER BY {order} LIMIT {limit}", self.conditions)
    }

    pub(super) fn query(&self, sql: &str) -> sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments> {
        let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
        for bind in &self.binds {
            query = match bind {
                Bind::Int(value) => query.bind(*value),
                Bind::Text(value) => query.bind(value.clone()),
            };
        }
        query
    }
}
