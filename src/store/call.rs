//! Calls: one row a call, its legs and its ending.

use super::{
    Confidence, Page, Paged, Result, Store, StoreError,
    sql::{Columns, runs, to_json, values},
    ticket::{Bind, List},
    writer::Tx,
};
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, CallId, QueueName, RecordingId, TicketId, TicketNo},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{AssertSqlSafe, any::AnyRow};

/// One call's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRow {
    /// The call.
    pub id: CallId,
    /// The Call-ID of its first leg.
    pub sip_call_id: String,
    /// `inbound`, `outbound` or `internal`.
    pub direction: String,
    /// The number that called, unmasked.
    #[serde(default)]
    pub from_number: Option<String>,
    /// The number that was dialled.
    #[serde(default)]
    pub dialled: Option<String>,
    /// `accepted`, `queued`, `talking`, `ended`, …: the call's own words.
    pub state: String,
    /// The last queue.
    #[serde(default)]
    pub queue: Option<QueueName>,
    /// The agent who answered.
    #[serde(default)]
    pub agent: Option<AgentNo>,
    /// When it was accepted.
    pub started_at: UnixMillis,
    /// When it first entered a queue.
    #[serde(default)]
    pub enqueued_at: Option<UnixMillis>,
    /// When an agent answered.
    #[serde(default)]
    pub answered_at: Option<UnixMillis>,
    /// When its last leg ended.
    #[serde(default)]
    pub ended_at: Option<UnixMillis>,
    /// The class of its ending.
    #[serde(default)]
    pub ending: Option<String>,
    /// Its primary record.
    #[serde(default)]
    pub ticket_id: Option<TicketId>,
    /// That record's number.
    #[serde(default)]
    pub ticket_no: Option<TicketNo>,
    /// Its recording.
    #[serde(default)]
    pub recording_id: Option<RecordingId>,
    /// Its legs, each with times, outcome and causes.
    #[serde(default)]
    pub legs: Value,
    /// Everything else of its record.
    #[serde(default)]
    pub detail: Value,
}

/// Which calls are listed; all that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// The Call-ID of the first leg.
    pub sip_call_id: Option<String>,
    /// The number that called.
    pub from_number: Option<String>,
    /// The state.
    pub state: Option<String>,
    /// The queue.
    pub queue: Option<QueueName>,
    /// The agent.
    pub agent: Option<AgentNo>,
    /// Only what this agent sees: calls that it was on, and those that nobody answered.
    pub seen_by: Option<AgentNo>,
    /// Whose confidential citizens the number may find.
    pub confidence: Confidence,
    /// Started at or after.
    pub from: Option<UnixMillis>,
    /// Started before.
    pub to: Option<UnixMillis>,
}

/// No ticket of the call is confidential; the same, or it is the agent's own.
const NOT_SECRET: &str = "NOT EXISTS (SELECT 1 FROM ticket t WHERE t.call_id = call.id AND t.confidential = 1)";
const OR_OWN: &str =
    "(call.agent = $? OR NOT EXISTS (SELECT 1 FROM ticket t WHERE t.call_id = call.id AND t.confidential = 1))";

const COLUMNS: usize = 19;

/// Writes calls as they are now; a row that has ended is never opened again.
pub(super) async fn upsert(tx: &mut Tx, calls: &[CallRow], day: impl Fn(UnixMillis) -> String) -> Result<()> {
    for run in runs(calls) {
        let sql = format!(
            "INSERT INTO call (id, sip_call_id, direction, from_number, dialled, state, queue, agent, started_at, day, \
             enqueued_at, answered_at, ended_at, ending, ticket_id, ticket_no, recording_id, legs, detail) VALUES {} \
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, queue = excluded.queue, agent = excluded.agent, \
             enqueued_at = excluded.enqueued_at, answered_at = excluded.answered_at, ended_at = excluded.ended_at, \
             ending = excluded.ending, ticket_id = COALESCE(excluded.ticket_id, call.ticket_id), \
             ticket_no = COALESCE(excluded.ticket_no, call.ticket_no), \
             recording_id = COALESCE(excluded.recording_id, call.recording_id), legs = excluded.legs, \
             detail = excluded.detail WHERE call.ended_at IS NULL OR excluded.ended_at IS NOT NULL",
            values(run.len(), COLUMNS)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for c in run {
            query = query
                .bind(c.id.0 as i64)
                .bind(c.sip_call_id.as_str())
                .bind(c.direction.as_str())
                .bind(c.from_number.as_deref())
                .bind(c.dialled.as_deref())
                .bind(c.state.as_str())
                .bind(c.queue.as_ref().map(|queue| queue.as_str().to_owned()))
                .bind(c.agent.as_ref().map(|agent| agent.as_str().to_owned()))
                .bind(c.started_at.0)
                .bind(day(c.started_at))
                .bind(c.enqueued_at.map(|at| at.0))
                .bind(c.answered_at.map(|at| at.0))
                .bind(c.ended_at.map(|at| at.0))
                .bind(c.ending.as_deref())
                .bind(c.ticket_id.map(|id| id.0 as i64))
                .bind(c.ticket_no.as_ref().map(|no| no.as_str().to_owned()))
                .bind(c.recording_id.map(|id| id.0 as i64))
                .bind(to_json(&c.legs)?)
                .bind(to_json(&c.detail)?);
        }
        query.execute(&mut tx.conn).await?;
    }
    Ok(())
}

fn read(row: &AnyRow) -> Result<CallRow> {
    Ok(CallRow {
        id: CallId(row.id("id")?),
        sip_call_id: row.text("sip_call_id")?,
        direction: row.text("direction")?,
        from_number: row.text_opt("from_number")?,
        dialled: row.text_opt("dialled")?,
        state: row.text("state")?,
        queue: row.text_opt("queue")?.map(QueueName::from),
        agent: row.text_opt("agent")?.map(AgentNo::from),
        started_at: row.millis("started_at")?,
        enqueued_at: row.millis_opt("enqueued_at")?,
        answered_at: row.millis_opt("answered_at")?,
        ended_at: row.millis_opt("ended_at")?,
        ending: row.text_opt("ending")?,
        ticket_id: row.id_opt("ticket_id")?.map(TicketId),
        ticket_no: row.text_opt("ticket_no")?.map(TicketNo::from),
        recording_id: row.id_opt("recording_id")?.map(RecordingId),
        legs: row.json("legs")?,
        detail: row.json("detail")?,
    })
}

impl Store {
    /// Writes a call as it is now.
    pub async fn call_upsert(&self, call: CallRow) -> Result<()> {
        let offset = self.inner.options.offset_minutes;
        self.write(move |tx| Box::pin(async move { upsert(tx, &[call], |at| super::sql::day(at, offset)).await })).await
    }

    /// The call of this id. `NotFound` where there is none.
    pub async fn call_get(&self, id: CallId) -> Result<CallRow> {
        let row = sqlx::query("SELECT * FROM call WHERE id = $1")
            .bind(id.0 as i64)
            .fetch_optional(self.reader())
            .await?
            .ok_or(StoreError::NotFound("call"))?;
        read(&row)
    }

    /// Calls that fit the filter, the latest first.
    pub async fn call_list(&self, filter: &CallFilter, page: &Page) -> Result<Paged<CallRow>> {
        let (at, id) = page.after()?;
        let rows = page.rows();
        let first = "(started_at < $1 OR (started_at = $1 AND id < $2))";
        let mut list = List::new(first, vec![Bind::Int(at), Bind::Int(id)]);
        list.text("sip_call_id", filter.sip_call_id.clone());
        if filter.from_number.is_some() {
            list.text("from_number", filter.from_number.clone());
            filter.confidence.narrow(&mut list, NOT_SECRET, OR_OWN);
        }
        list.text("state", filter.state.clone());
        list.text("queue", filter.queue.as_ref().map(|queue| queue.as_str().to_owned()));
        list.text("agent", filter.agent.as_ref().map(|agent| agent.as_str().to_owned()));
        if let Some(agent) = &filter.seen_by {
            // Legs are compact JSON, and a quotation mark inside a text is escaped: this finds the field alone.
            let leg = Bind::Text(format!("\"agent\":{}", to_json(agent)?));
            let seen = "(agent IS NULL OR agent = $? OR replace(legs, $!, '') <> legs)";
            list.add_two(seen, agent.as_str().into(), leg);
        }
        list.int("started_at >=", filter.from.map(|at| at.0));
        list.int("started_at <", filter.to.map(|at| at.0));
        let sql = list.sql("SELECT * FROM call", "started_at DESC, id DESC", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |call| (call.started_at.0, call.id.0 as i64)))
    }

    /// Joins a recording to its call.
    pub async fn call_set_recording(&self, call: CallId, recording: RecordingId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE call SET recording_id = $1 WHERE id = $2")
                    .bind(recording.0 as i64)
                    .bind(call.0 as i64)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
