//! The line of events: what was published, in order, so that a listener can resume where it was cut off.
//!
//! Events are written in the transaction of what they tell of: a committed change always has its event. Readers that
//! must see each one (webhooks, SMS) keep a cursor.

use super::{
    Result, Store,
    sql::{Columns, runs, to_json, values},
    writer::Tx,
};
use crate::clock::UnixMillis;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, any::AnyRow};
use std::sync::Arc;

/// Events read at once at most.
pub const EVENT_PAGE: i64 = 500;

/// An event to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// When.
    pub at: UnixMillis,
    /// What kind, such as `ticket.dispatched`.
    pub topic: String,
    /// The number of the ticket, call or agent it is about.
    pub subject: String,
    /// What is told.
    pub body: Value,
}

/// A published event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredEvent {
    /// Its place in the line; rises, with gaps.
    pub id: i64,
    /// When.
    pub at: UnixMillis,
    /// What kind.
    pub topic: String,
    /// What it is about.
    pub subject: String,
    /// What is told.
    pub body: Value,
}

/// Writes events in the open transaction.
pub(super) async fn append(tx: &mut Tx, events: Vec<NewEvent>) -> Result<()> {
    let stored: Vec<StoredEvent> = events
        .into_iter()
        .map(|e| StoredEvent { id: tx.event_id(), at: e.at, topic: e.topic, subject: e.subject, body: e.body })
        .collect();
    for run in runs(&stored) {
        let sql = format!("INSERT INTO event (id, at, topic, subject, body) VALUES {}", values(run.len(), 5));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for e in run {
            query = query.bind(e.id).bind(e.at.0).bind(e.topic.as_str()).bind(e.subject.as_str());
            query = query.bind(to_json(&e.body)?);
        }
        query.execute(&mut tx.conn).await?;
    }
    for event in stored {
        tx.announce(event);
    }
    Ok(())
}

fn read(row: &AnyRow) -> Result<StoredEvent> {
    Ok(StoredEvent {
        id: row.int("id")?,
        at: row.millis("at")?,
        topic: row.text("topic")?,
        subject: row.text("subject")?,
        body: row.json("body")?,
    })
}

impl Store {
    /// Publishes events.
    pub async fn event_append(&self, events: Vec<NewEvent>) -> Result<()> {
        self.write(move |tx| Box::pin(append(tx, events))).await
    }

    /// Events after `id`, the oldest first, `limit` at most (500).
    pub async fn event_list(&self, id: i64, limit: i64) -> Result<Vec<Arc<StoredEvent>>> {
        let rows = sqlx::query("SELECT id, at, topic, subject, body FROM event WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(id)
            .bind(limit.clamp(1, EVENT_PAGE))
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|row| read(row).map(Arc::new)).collect()
    }

    /// The first and the last event's id; zero where there is none. A listener before the first has missed some.
    pub async fn event_bounds(&self) -> Result<(i64, i64)> {
        let row = sqlx::query("SELECT COALESCE(min(id), 0) AS a, COALESCE(max(id), 0) AS b FROM event")
            .fetch_one(self.reader())
            .await?;
        Ok((row.int("a")?, row.int("b")?))
    }

    /// Where a reader that must see each event has come to; zero for a new one.
    pub async fn event_cursor(&self, reader: &str) -> Result<i64> {
        let row = sqlx::query("SELECT last_id FROM event_cursor WHERE reader = $1")
            .bind(reader)
            .fetch_optional(self.reader())
            .await?;
        row.map_or(Ok(0), |row| row.int("last_id"))
    }

    /// Notes where a reader has come to.
    pub async fn event_cursor_set(&self, reader: &str, last_id: i64) -> Result<()> {
        let reader = reader.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO event_cursor (reader, last_id) VALUES ($1, $2) \
                     ON CONFLICT (reader) DO UPDATE SET last_id = $3",
                )
                .bind(reader)
                .bind(last_id)
                .bind(last_id)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Drops events before `before`, but none that a reader with a cursor has yet to see, and never the last; gives
    /// how many.
    pub async fn event_trim(&self, before: UnixMillis) -> Result<u64> {
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "DELETE FROM event WHERE at < $1 AND id < (SELECT max(id) FROM event) \
                     AND id <= COALESCE((SELECT min(last_id) FROM event_cursor), id)",
                )
                .bind(before.0)
                .execute(&mut tx.conn)
                .await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }
}
