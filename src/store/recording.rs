//! Recordings: where they lie and what is known of them. The sound itself is in files.

use super::{
    Confidence, Page, Paged, Result, Store, StoreError, confidence,
    sql::{Columns, runs, to_json, values},
    ticket::{Bind, List},
    writer::Tx,
};
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, CallId, RecordingId, TicketNo},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{AssertSqlSafe, any::AnyRow};

/// One recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordingRow {
    /// Its id.
    pub id: RecordingId,
    /// The call.
    pub call: CallId,
    /// The call's record.
    pub ticket_no: Option<TicketNo>,
    /// The file, relative to the recordings' folder.
    pub path: String,
    /// `recording`, `complete`, `shortened` or `missing`.
    pub state: String,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// Its length in milliseconds.
    pub duration_ms: i64,
    /// A fault cut it short.
    pub shortened: bool,
    /// Gaps that an overflow left in it.
    pub gaps: i64,
    /// A ticket of its call is confidential.
    pub confidential: bool,
    /// Everything else.
    pub detail: Value,
}

impl RecordingRow {
    /// A recording that has just begun.
    pub fn begun(id: RecordingId, call: CallId, path: String, started_at: UnixMillis) -> Self {
        RecordingRow {
            id,
            call,
            ticket_no: None,
            path,
            state: "recording".to_owned(),
            started_at,
            ended_at: None,
            duration_ms: 0,
            shortened: false,
            gaps: 0,
            confidential: false,
            detail: Value::Null,
        }
    }
}

/// Not confidential, or a call that the agent answered.
const OR_OWN: &str =
    "(confidential = 0 OR EXISTS (SELECT 1 FROM call c WHERE c.id = recording.call_id AND c.agent = $?))";

/// Which recordings are listed; all that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct RecordingFilter {
    /// Its state.
    pub state: Option<String>,
    /// Only calls that this agent answered.
    pub agent: Option<AgentNo>,
    /// Whose confidential citizens' recordings are listed.
    pub confidence: Confidence,
}

fn read(row: &AnyRow) -> Result<RecordingRow> {
    Ok(RecordingRow {
        id: RecordingId(row.id("id")?),
        call: CallId(row.id("call_id")?),
        ticket_no: row.text_opt("ticket_no")?.map(TicketNo::from),
        path: row.text("path")?,
        state: row.text("state")?,
        started_at: row.millis("started_at")?,
        ended_at: row.millis_opt("ended_at")?,
        duration_ms: row.int("duration_ms")?,
        shortened: row.flag("shortened")?,
        gaps: row.int("gaps")?,
        confidential: row.flag("confidential")?,
        detail: row.json("detail")?,
    })
}

const INSERT: &str = "INSERT INTO recording (id, call_id, ticket_no, path, state, started_at, day, ended_at, duration_ms, \
     shortened, gaps, confidential, detail)";
const COLUMNS: usize = 13;

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// The values of [`INSERT`]'s columns.
fn bound<'q>(query: Query<'q>, r: &RecordingRow, day: String) -> Result<Query<'q>> {
    Ok(query
        .bind(r.id.0 as i64)
        .bind(r.call.0 as i64)
        .bind(r.ticket_no.as_ref().map(|no| no.as_str().to_owned()))
        .bind(r.path.clone())
        .bind(r.state.clone())
        .bind(r.started_at.0)
        .bind(day)
        .bind(r.ended_at.map(|at| at.0))
        .bind(r.duration_ms)
        .bind(i64::from(r.shortened))
        .bind(r.gaps)
        .bind(i64::from(r.confidential))
        .bind(to_json(&r.detail)?))
}

/// Writes recordings that are not known yet; one that is stays as it is.
pub(super) async fn insert_new(tx: &mut Tx, rows: &[RecordingRow], day: impl Fn(UnixMillis) -> String) -> Result<()> {
    for run in runs(rows) {
        let values = values(run.len(), COLUMNS);
        let sql = format!("{INSERT} VALUES {values} ON CONFLICT (id) DO NOTHING RETURNING call_id");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for r in run {
            query = bound(query, r, day(r.started_at))?;
        }
        for row in query.fetch_all(&mut tx.conn).await? {
            confidence::mark_recordings(tx, CallId(row.id("call_id")?)).await?;
        }
    }
    Ok(())
}

impl Store {
    /// Writes a recording as it is now, and joins it to its call. One that is over is never opened again, whichever word
    /// comes last (where the database was away, that of its end may come first), and a record that is known stays known.
    /// Whether it is confidential its call's tickets say.
    pub async fn recording_upsert(&self, r: RecordingRow) -> Result<()> {
        let day = self.day(r.started_at);
        self.write(move |tx| {
            Box::pin(async move {
                let sql = format!(
                    "{INSERT} VALUES {} \
                     ON CONFLICT (id) DO UPDATE SET ticket_no = COALESCE(excluded.ticket_no, recording.ticket_no), \
                     state = excluded.state, ended_at = excluded.ended_at, duration_ms = excluded.duration_ms, shortened = excluded.shortened, \
                     gaps = excluded.gaps, confidential = excluded.confidential, detail = excluded.detail \
                     WHERE recording.state = 'recording' OR excluded.state <> 'recording'",
                    values(1, COLUMNS)
                );
                bound(sqlx::query(AssertSqlSafe(sql)), &r, day)?.execute(&mut tx.conn).await?;
                sqlx::query("UPDATE call SET recording_id = $1 WHERE id = $2")
                    .bind(r.id.0 as i64)
                    .bind(r.call.0 as i64)
                    .execute(&mut tx.conn)
                    .await?;
                confidence::mark_recordings(tx, r.call).await
            })
        })
        .await
    }

    /// Closes a recording that is under way: what plays of it is `length_ms` long. One that is over stays as it is.
    ///
    /// # Errors
    /// `NotFound` where the word of its beginning has not come yet.
    pub async fn recording_end(&self, id: RecordingId, length_ms: i64, gap: bool, shortened: bool) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE recording SET state = $1, ended_at = started_at + $2, duration_ms = $3, gaps = $4, shortened = $5 \
                     WHERE id = $6 AND state = 'recording'",
                )
                .bind(if shortened { "shortened" } else { "complete" })
                .bind(length_ms)
                .bind(length_ms)
                .bind(i64::from(gap))
                .bind(i64::from(shortened))
                .bind(id.0 as i64)
                .execute(&mut tx.conn)
                .await?;
                if done.rows_affected() > 0 {
                    return Ok(());
                }
                let known = sqlx::query("SELECT 1 AS n FROM recording WHERE id = $1")
                    .bind(id.0 as i64)
                    .fetch_optional(&mut tx.conn)
                    .await?;
                known.map(|_| ()).ok_or(StoreError::NotFound("recording"))
            })
        })
        .await
    }

    /// The recording of this id. `NotFound` where there is none.
    pub async fn recording_get(&self, id: RecordingId) -> Result<RecordingRow> {
        let row = sqlx::query("SELECT * FROM recording WHERE id = $1")
            .bind(id.0 as i64)
            .fetch_optional(self.reader())
            .await?
            .ok_or(StoreError::NotFound("recording"))?;
        read(&row)
    }

    /// A call's recordings, the oldest first.
    pub async fn recordings_of(&self, call: CallId) -> Result<Vec<RecordingRow>> {
        let rows = sqlx::query("SELECT * FROM recording WHERE call_id = $1 ORDER BY started_at, id")
            .bind(call.0 as i64)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Recordings that fit the filter, the latest first.
    pub async fn recording_list(&self, filter: &RecordingFilter, page: &Page) -> Result<Paged<RecordingRow>> {
        let (at, id) = page.after()?;
        let rows = page.rows();
        let first = "(started_at < $1 OR (started_at = $1 AND id < $2))";
        let mut list = List::new(first, vec![Bind::Int(at), Bind::Int(id)]);
        list.text("state", filter.state.clone());
        if let Some(agent) = &filter.agent {
            list.add(
                "EXISTS (SELECT 1 FROM call c WHERE c.id = recording.call_id AND c.agent = $?)",
                agent.as_str().into(),
            );
        }
        filter.confidence.narrow(&mut list, "confidential = 0", OR_OWN);
        let sql = list.sql("SELECT * FROM recording", "started_at DESC, id DESC", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |r| (r.started_at.0, r.id.0 as i64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        ingest::Ingest,
        tests::{accepted, ended, on_each},
    };

    #[test]
    fn a_recording_comes_with_its_call_and_leaves_one_that_is_known_alone() {
        on_each(|store, now| async move {
            let calls = [store.new_id(), store.new_id()].map(|call| accepted(&store, call, now));
            let row =
                |call: CallId| RecordingRow::begun(RecordingId(call.0 + 1_000_000), call, format!("{call}.rec"), now);
            // The word of the first one's beginning came, and that of its end.
            let known = row(calls[0].call);
            store.recording_upsert(known.clone()).await.unwrap();
            store.recording_end(known.id, 5_000, false, false).await.unwrap();
            let items: Vec<Ingest> = calls
                .iter()
                .map(|call| {
                    let mut finished = ended(call, now, None);
                    finished.recording = Some(row(call.call));
                    Ingest { accepted: call.clone(), progress: None, finished: Some(finished) }
                })
                .collect();
            store.ingest(items.clone()).await.unwrap();
            store.ingest(items).await.unwrap();
            let found = store.recording_get(known.id).await.unwrap();
            assert_eq!((found.state.as_str(), found.duration_ms), ("complete", 5_000));
            let new = store.recordings_of(calls[1].call).await.unwrap();
            assert_eq!(new.len(), 1);
            assert_eq!(
                (new[0].state.as_str(), new[0].path.as_str()),
                ("recording", &*format!("{}.rec", calls[1].call))
            );
            assert_eq!(new[0].ticket_no, calls[1].ticket.as_ref().map(|ticket| ticket.no.clone()));
        });
    }
}
