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
    /// The agent who tries now, or who tried last and has not said how it went.
    pub claimed_by: Option<AgentNo>,
    /// Until when no other agent may try.
    pub claimed_until: Option<UnixMillis>,
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
        claimed_until: row.millis_opt("claimed_until")?,
        settled_at: row.millis_opt("settled_at")?,
    })
}

pub(super) async fn insert(tx: &mut Tx, id: u64, new: &NewCallback, day: String, now: UnixMillis) -> Result<()> {
    sqlx::query(
        "INSERT INTO callback (id, call_id, number, queue, enqueued_at, owed_at, day, reason, state, tries, next_try_at, settled_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $10, 0, $9, $11) ON CONFLICT (call_id) DO NOTHING",
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
    // Nobody can be called whose number was withheld: it is counted, and given up at once.
    .bind(if new.number.is_some() { "owed" } else { "given_up" })
    .bind(new.number.is_none().then_some(now.0))
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

    /// Callbacks in a state but those of `hidden` queues, the earliest rank first.
    pub async fn callback_list(&self, state: &str, hidden: &[QueueName], page: &Page) -> Result<Paged<CallbackRow>> {
        let (at, id) = match &page.cursor {
            Some(_) => page.after()?,
            None => (i64::MIN, i64::MIN),
        };
        let rows = page.rows();
        let first = "(enqueued_at > $1 OR (enqueued_at = $1 AND id > $2))";
        let mut list = List::new(first, vec![Bind::Int(at), Bind::Int(id)]);
        list.text("state", Some(state.to_owned()));
        for queue in hidden {
            list.add("queue <> $?", Bind::Text(queue.to_string()));
        }
        let sql = list.sql("SELECT * FROM callback", "enqueued_at, id", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |callback| (callback.enqueued_at.0, callback.id.0 as i64)))
    }

    /// One callback.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn callback_get(&self, id: CallbackId) -> Result<CallbackRow> {
        let row =
            sqlx::query("SELECT * FROM callback WHERE id = $1").bind(id.0 as i64).fetch_optional(self.reader()).await?;
        row.as_ref().map(read).transpose()?.ok_or(StoreError::NotFound("callback"))
    }

    /// The callback that a call left owed, if it did.
    pub async fn callback_of_call(&self, call: CallId) -> Result<Option<CallbackRow>> {
        let row = sqlx::query("SELECT * FROM callback WHERE call_id = $1")
            .bind(call.0 as i64)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Gives an owed callback to an agent until `hold` is over; this counts as a try. None where it is not owed, another
    /// agent has it (or another one of the same number), its time has not come, or there were `max_tries`.
    pub async fn callback_claim(
        &self,
        id: CallbackId,
        agent: &AgentNo,
        hold: Duration,
        max_tries: u32,
        now: UnixMillis,
    ) -> Result<Option<CallbackRow>> {
        let agent = agent.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let row = sqlx::query(
                    "UPDATE callback SET claimed_by = $1, claimed_until = $2, tries = tries + 1 \
                     WHERE id = $3 AND state = 'owed' AND number IS NOT NULL AND tries < $4 AND next_try_at <= $5 \
                     AND (claimed_until IS NULL OR claimed_until < $5) AND NOT EXISTS (SELECT 1 FROM callback AS same \
                     WHERE same.number = callback.number AND same.state = 'owed' AND same.claimed_until >= $5) RETURNING *",
                )
                .bind(agent.as_str())
                .bind(now.plus(hold).0)
                .bind(id.0 as i64)
                .bind(i64::from(max_tries))
                .bind(now.0)
                .fetch_optional(&mut tx.conn)
                .await?;
                row.as_ref().map(read).transpose()
            })
        })
        .await
    }

    /// The person was reached: this callback is settled, and every other one that is owed to the same number.
    ///
    /// # Errors
    /// `NotFound` where it is not owed, or not claimed by `claimed_by` any more.
    pub async fn callback_settle(&self, id: CallbackId, claimed_by: &AgentNo, now: UnixMillis) -> Result<()> {
        let agent = claimed_by.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE callback SET state = 'settled', settled_at = $1, claimed_until = NULL \
                     WHERE state = 'owed' AND EXISTS (SELECT 1 FROM callback AS asked WHERE asked.id = $2 \
                     AND asked.state = 'owed' AND asked.claimed_by = $3 \
                     AND (asked.id = callback.id OR asked.number = callback.number))",
                )
                .bind(now.0)
                .bind(id.0 as i64)
                .bind(agent.as_str())
                .execute(&mut tx.conn)
                .await?;
                if done.rows_affected() > 0 { Ok(()) } else { Err(StoreError::NotFound("claimed callback")) }
            })
        })
        .await
    }

    /// A try failed: again at `next_try`, or given up where that is none.
    ///
    /// # Errors
    /// `NotFound` where it is not owed, or not claimed by `claimed_by` any more.
    pub async fn callback_failed(
        &self,
        id: CallbackId,
        claimed_by: &AgentNo,
        next_try: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<()> {
        let agent = claimed_by.clone();
        let state = if next_try.is_some() { "owed" } else { "given_up" };
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE callback SET state = $1, next_try_at = $2, settled_at = $3, claimed_by = NULL, \
                     claimed_until = NULL WHERE id = $4 AND state = 'owed' AND claimed_by = $5",
                )
                .bind(state)
                .bind(next_try.unwrap_or(now).0)
                .bind(next_try.is_none().then_some(now.0))
                .bind(id.0 as i64)
                .bind(agent.as_str())
                .execute(&mut tx.conn)
                .await?;
                if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound("claimed callback")) }
            })
        })
        .await
    }
}
