//! Recordings: where they lie and what is known of them. The sound itself is in files.

use super::{
    Page, Paged, Result, Store, StoreError,
    sql::{Columns, to_json},
    ticket::{Bind, List},
};
use crate::{
    clock::UnixMillis,
    ids::{CallId, RecordingId, TicketNo},
};
use serde_json::Value;
use sqlx::any::AnyRow;

/// One recording.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingRow {
    /// Its id.
    pub id: RecordingId,
    /// The call.
    pub call: CallId,
    /// The call's record.
    pub ticket_no: Option<TicketNo>,
    /// The file, relative to the recordings' folder.
    pub path: String,
    /// `recording`, `complete` or `missing`.
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
    /// Only for those who were granted confidential tickets.
    pub confidential: bool,
    /// Everything else.
    pub detail: Value,
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

impl Store {
    /// Writes a recording as it is now, and joins it to its call. One that is over is never opened again, whichever word
    /// comes last, and a record that is known stays known.
    pub async fn recording_upsert(&self, r: RecordingRow) -> Result<()> {
        let day = self.day(r.started_at);
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO recording (id, call_id, ticket_no, path, state, started_at, day, ended_at, duration_ms, \
                     shortened, gaps, confidential, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                     ON CONFLICT (id) DO UPDATE SET ticket_no = COALESCE(excluded.ticket_no, recording.ticket_no), \
                     state = excluded.state, ended_at = excluded.ended_at, duration_ms = excluded.duration_ms, shortened = excluded.shortened, \
                     gaps = excluded.gaps, confidential = excluded.confidential, detail = excluded.detail \
                     WHERE recording.state = 'recording' OR excluded.state <> 'recording'",
                )
                .bind(r.id.0 as i64)
                .bind(r.call.0 as i64)
                .bind(r.ticket_no.as_ref().map(|no| no.as_str().to_owned()))
                .bind(r.path.as_str())
                .bind(r.state.as_str())
                .bind(r.started_at.0)
                .bind(day)
                .bind(r.ended_at.map(|at| at.0))
                .bind(r.duration_ms)
                .bind(i64::from(r.shortened))
                .bind(r.gaps)
                .bind(i64::from(r.confidential))
                .bind(to_json(&r.detail)?)
                .execute(&mut tx.conn)
                .await?;
                sqlx::query("UPDATE call SET recording_id = $1 WHERE id = $2")
                    .bind(r.id.0 as i64)
                    .bind(r.call.0 as i64)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Recordings that began before `before` and whose end nobody wrote down.
    pub async fn recordings_left_open(&self, before: UnixMillis) -> Result<Vec<RecordingRow>> {
        let rows = sqlx::query("SELECT * FROM recording WHERE state = 'recording' AND started_at < $1 ORDER BY id")
            .bind(before.0)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// The recording of this id.
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

    /// Recordings, the latest first; with a state, only those in it (after a restart: those still `recording`).
    pub async fn recording_list(&self, state: Option<&str>, page: &Page) -> Result<Paged<RecordingRow>> {
        let (at, id) = page.after()?;
        let rows = page.rows();
        let first = "(started_at < $1 OR (started_at = $1 AND id < $2))";
        let mut list = List::new(first, vec![Bind::Int(at), Bind::Int(id)]);
        list.text("state", state.map(str::to_owned));
        let sql = list.sql("SELECT * FROM recording", "started_at DESC, id DESC", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |r| (r.started_at.0, r.id.0 as i64)))
    }
}
