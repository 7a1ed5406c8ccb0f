//! Callbacks owed (呼损回拨): a lost call is a debt, kept with the rank that the caller had.

use super::{
    Page, Paged, Result, Store, StoreError,
    sql::Columns,
    ticket::{Bind, List},
    writer::Tx,
};
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, CallId, CallbackId, QueueName},
};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use std::time::Duration;

/// A callback that is owed from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCallback {
    /// The lost call; it owes one callback at most.
    pub call: CallId,
    /// The number to call; none where it was withheld.
    pub number: Option<String>,
    /// The queue.
    pub queue: QueueName,
    /// The caller's rank: when it first entered the queue.
    pub enqueued_at: UnixMillis,
    /// Why the call was lost: `abandoned`, `restart`, `overflow`, …
    pub reason: String,
}

/// One callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackRow {
    /// Its id.
    pub id: CallbackId,
    /// The lost call.
    pub call: CallId,
    /// The number to call.
    pub number: Option<String>,
    /// The queue.
    pub queue: QueueName,
    /// The caller's rank.
    pub enqueued_at: UnixMillis,
    /// Since when it is owed.
    pub owed_at: UnixMillis,
    /// Why the call was lost.
    pub reason: String,
    /// `owed`, `settled` or `given_up`.
    pub state: String,
    /// Tries so far.
    pub tries: u32,
    /// When it may be tried next.
    pub next_try_at: UnixMillis,
    /// The agent who tries now.
    pub claimed_by: Option<AgentNo>,
    /// When it was settled or given up.
    pub settled_at: Option<UnixMillis>,
}

fn read(row: &AnyRow) -> Result<CallbackRow> {
    Ok(CallbackRow {
        id: CallbackId(row.id("id")?),
        call: CallId(row.id("call_id")?),
        number: row.text_opt("number")?,
        queue: row.text("queue")?.into(),
        enqueued_at: row.millis("enqueued_at")?,
        owed_at: row.millis("owed_at")?,
        reason: row.text("reason")?,
        state: row.text("state")?,
        tries: row.int("tries")? as u32,
        next_try_at: row.millis("next_try_at")?,
        claimed_by: row.text_opt("claimed_by")?.map(AgentNo::from),
        settled_at: row.millis_opt("settled_at")?,
    })
}

pub(super) async fn insert(tx: &mut Tx, id: u64, new: &NewCallback, day: String, now: UnixMillis) -> Result<()> {
    sqlx::query(
        "INSERT INTO callback (id, call_id, number, queue, enqueued_at, owed_at, day, reason, state, tries, next_try_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'owed', 0, $9) ON CONFLICT (call_id) DO NOTHING",
    )
    .bind(id as i64)
    .bind(new.call.0 as i64)
    .bind(new.number.as_deref())
    .bind(new.queue.as_str())
    .bind(new.enqueued_at.0)
    .bind(now.0)
    .bind(day)
    .bind(new.reason.as_str())
    .bind(now.0)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

impl Store {
    /// Owes a callback; once a call.
    pub async fn callback_owe(&self, new: NewCallback, now: UnixMillis) -> Result<()> {
        let (id, day) = (self.new_id(), self.day(now));
        self.write(move |tx| Box::pin(async move { insert(tx, id, &new, day, now).await })).await
    }

    /// Callbacks in a state (`owed` first by rank), the earliest rank first.
    pub async fn callback_list(&self, state: &str, page: &Page) -> Result<Paged<CallbackRow>> {
        let (at, id) = match &page.cursor {
            Some(_) => page.after()?,
            None => (i64::MIN, i64::MIN),
        };
        let rows = page.rows();
        let first = "(enqueued_at > $1 OR (enqueued_at = $1 AND id > $2))";
        let mut list = List::new(first, vec![Bind::Int(at), Bind::Int(id)]);
        list.text("state", Some(state.to_owned()));
        let sql = list.sql("SELECT * FROM callback", "enqueued_at, id", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |callback| (callback.enqueued_at.0, callback.id.0 as i64)))
    }

    /// Gives the owed callback of the earliest rank to a free agent, for `hold`; this counts as a try.
    pub async fn callback_claim(
        &self,
        agent: &AgentNo,
        hold: Duration,
        now: UnixMillis,
    ) -> Result<Option<CallbackRow>> {
        let agent = agent.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let row = sqlx::query(
                    "UPDATE callback SET claimed_by = $1, claimed_until = $2, tries = tries + 1 WHERE id IN \
                     (SELECT id FROM callback WHERE state = 'owed' AND number IS NOT NULL AND next_try_at <= $3 \
                     AND (claimed_until IS NULL OR claimed_until < $3) ORDER BY enqueued_at, id LIMIT 1) \
                     AND state = 'owed' AND (claimed_until IS NULL OR claimed_until < $3) RETURNING *",
                )
                .bind(agent.as_str())
                .bind(now.plus(hold).0)
                .bind(now.0)
                .fetch_optional(&mut tx.conn)
                .await?;
                row.as_ref().map(read).transpose()
            })
        })
        .await
    }

    /// The agent confirmed that the person was reached.
    pub async fn callback_settle(&self, id: CallbackId, now: UnixMillis) -> Result<()> {
        self.callback_end(id, "settled", now).await
    }

    /// A try failed: again at `next_try`, or given up where that is none.
    pub async fn callback_failed(&self, id: CallbackId, next_try: Option<UnixMillis>, now: UnixMillis) -> Result<()> {
        let Some(next_try) = next_try else {
            return self.callback_end(id, "given_up", now).await;
        };
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE callback SET claimed_by = NULL, claimed_until = NULL, next_try_at = $1 \
                     WHERE id = $2 AND state = 'owed'",
                )
                .bind(next_try.0)
                .bind(id.0 as i64)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn callback_end(&self, id: CallbackId, state: &'static str, now: UnixMillis) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE callback SET state = $1, settled_at = $2, claimed_until = NULL WHERE id = $3 AND state = 'owed'",
                )
                .bind(state)
                .bind(now.0)
                .bind(id.0 as i64)
                .execute(&mut tx.conn)
                .await?;
                if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound("owed callback")) }
            })
        })
        .await
    }
}
