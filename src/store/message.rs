//! SMS rows: each is at every moment in exactly one of pending, submitted, delivered, failed and uncertain.
//!
//! A sender claims due rows for a time; a claim that runs out without a result leaves the row *uncertain*, since the
//! centre may have taken it. A receipt is matched once, by the id that the centre gave, also when it comes before the
//! response that names the id.

use super::{
    Page, Paged, Result, Store, StoreError,
    sql::Columns,
    ticket::{Bind, List},
    writer::Tx,
};
use crate::{
    clock::UnixMillis,
    ids::{MessageId, TicketNo},
};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, any::AnyRow};
use std::time::Duration;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Not handed over yet.
    Pending,
    /// The centre has it.
    Submitted,
    /// The receipt says that it arrived.
    Delivered,
    /// It will not arrive.
    Failed,
    /// Handed over perhaps: the response was lost.
    Uncertain,
}

impl MessageState {
    /// Every state.
    pub const ALL: [MessageState; 5] = [
        MessageState::Pending,
        MessageState::Submitted,
        MessageState::Delivered,
        MessageState::Failed,
        MessageState::Uncertain,
    ];

    /// The name in rows and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            MessageState::Pending => "pending",
            MessageState::Submitted => "submitted",
            MessageState::Delivered => "delivered",
            MessageState::Failed => "failed",
            MessageState::Uncertain => "uncertain",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<MessageState> {
        MessageState::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// A key that makes a repeated wish one message, such as ticket and event.
    pub once: Option<String>,
    /// The ticket it is about.
    pub ticket_no: Option<TicketNo>,
    /// What for: `acceptance`, `progress`, `result`, `satisfaction`, `manual`, …
    pub purpose: String,
    /// Where to.
    pub number: String,
    /// What.
    pub text: String,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Its id.
    pub id: MessageId,
    /// The ticket it is about.
    pub ticket_no: Option<TicketNo>,
    /// What for.
    pub purpose: String,
    /// Where to, unmasked.
    pub number: String,
    /// What.
    pub text: String,
    /// Where it stands.
    pub state: MessageState,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next.
    pub next_try_at: UnixMillis,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When the centre took it.
    pub submitted_at: Option<UnixMillis>,
    /// When its fate was known.
    pub done_at: Option<UnixMillis>,
    /// The last error.
    pub error: Option<String>,
}

/// Which messages are listed; all that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// The ticket.
    pub ticket_no: Option<TicketNo>,
    /// Where it stands.
    pub state: Option<MessageState>,
}

/// Inserts a message; a repeated `once` inserts nothing.
pub(super) async fn insert(tx: &mut Tx, id: u64, new: &NewMessage, day: String, now: UnixMillis) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO message (id, once_key, ticket_no, purpose, number, text, state, attempts, next_try_at, parts, created_at, day) \
         VALUES ($1, $2, $3, $4, $5, $6, 'pending', 0, $7, 0, $8, $9) ON CONFLICT (once_key) DO NOTHING",
    )
    .bind(id as i64)
    .bind(new.once.as_deref())
    .bind(new.ticket_no.as_ref().map(|no| no.as_str().to_owned()))
    .bind(new.purpose.as_str())
    .bind(new.number.as_str())
    .bind(new.text.as_str())
    .bind(now.0)
    .bind(now.0)
    .bind(day)
    .execute(&mut tx.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &AnyRow) -> Result<MessageRow> {
    let state = row.text("state")?;
    Ok(MessageRow {
        id: MessageId(row.id("id")?),
        ticket_no: row.text_opt("ticket_no")?.map(TicketNo::from),
        purpose: row.text("purpose")?,
        number: row.text("number")?,
        text: row.text("text")?,
        state: MessageState::from_name(&state).ok_or_else(|| StoreError::Corrupt(format!("message state {state}")))?,
        attempts: row.int("attempts")? as u32,
        next_try_at: row.millis("next_try_at")?,
        created_at: row.millis("created_at")?,
        submitted_at: row.millis_opt("submitted_at")?,
        done_at: row.millis_opt("done_at")?,
        error: row.text_opt("error")?,
    })
}

/// Sets the state that follows from the parts' receipts: one failed part fails the whole, all delivered deliver it.
async fn settle(conn: &mut AnyConnection, message: i64, at: UnixMillis) -> Result<()> {
    let row = sqlx::query(
        "SELECT m.parts AS parts, \
         CAST(COALESCE(sum(CASE WHEN p.outcome = 'delivered' THEN 1 ELSE 0 END), 0) AS BIGINT) AS delivered, \
         CAST(COALESCE(sum(CASE WHEN p.outcome = 'failed' THEN 1 ELSE 0 END), 0) AS BIGINT) AS failed \
         FROM message m LEFT JOIN message_part p ON p.message_id = m.id WHERE m.id = $1 GROUP BY m.parts",
    )
    .bind(message)
    .fetch_one(&mut *conn)
    .await?;
    let (parts, delivered, failed) = (row.int("parts")?, row.int("delivered")?, row.int("failed")?);
    let state = if failed > 0 {
        MessageState::Failed
    } else if parts > 0 && delivered >= parts {
        MessageState::Delivered
    } else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE message SET state = $1, done_at = $2 WHERE id = $3 AND state IN ('submitted', 'uncertain', 'pending')",
    )
    .bind(state.name())
    .bind(at.0)
    .bind(message)
    .execute(conn)
    .await?;
    Ok(())
}

impl Store {
    /// Creates a message; with a `once` that exists, gives the message that exists.
    pub async fn message_create(&self, new: NewMessage, now: UnixMillis) -> Result<MessageRow> {
        let id = self.new_id();
        let day = self.day(now);
        self.write(move |tx| {
            Box::pin(async move {
                insert(tx, id, &new, day, now).await?;
                let row = sqlx::query("SELECT * FROM message WHERE id = $1 OR once_key = $2")
                    .bind(id as i64)
                    .bind(new.once)
                    .fetch_one(&mut tx.conn)
                    .await?;
                read(&row)
            })
        })
        .await
    }

    /// The message of this id.
    pub async fn message_get(&self, id: MessageId) -> Result<MessageRow> {
        let row = sqlx::query("SELECT * FROM message WHERE id = $1")
            .bind(id.0 as i64)
            .fetch_optional(self.reader())
            .await?
            .ok_or(StoreError::NotFound("message"))?;
        read(&row)
    }

    /// Messages that fit the filter, the latest first.
    pub async fn message_list(&self, filter: &MessageFilter, page: &Page) -> Result<Paged<MessageRow>> {
        let (at, id) = page.after()?;
        let rows = page.rows();
        let first = "(created_at < $1 OR (created_at = $1 AND id < $2))";
        let mut list = List::new(first, vec![Bind::Int(at), Bind::Int(id)]);
        list.text("ticket_no", filter.ticket_no.as_ref().map(|no| no.as_str().to_owned()));
        list.text("state", filter.state.map(|state| state.name().to_owned()));
        let sql = list.sql("SELECT * FROM message", "created_at DESC, id DESC", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |message| (message.created_at.0, message.id.0 as i64)))
    }

    /// How many messages are in each state; every state is named.
    pub async fn message_counts(&self) -> Result<Vec<(MessageState, i64)>> {
        let rows =
            sqlx::query("SELECT state, count(*) AS n FROM message GROUP BY state").fetch_all(self.reader()).await?;
        let mut counts: Vec<_> = MessageState::ALL.into_iter().map(|state| (state, 0)).collect();
        for row in rows {
            let state = row.text("state")?;
            if let Some(count) = counts.iter_mut().find(|(known, _)| known.name() == state) {
                count.1 = row.int("n")?;
            }
        }
        Ok(counts)
    }

    /// Claims pending messages whose time has come, the oldest first, for `hold`; each claim counts as an attempt.
    pub async fn message_claim(&self, limit: u32, hold: Duration, now: UnixMillis) -> Result<Vec<MessageRow>> {
        self.write(move |tx| {
            Box::pin(async move {
                // The outer conditions are repeated so that of two nodes only one gets a row.
                let rows = sqlx::query(
                    "UPDATE message SET claimed_until = $1, attempts = attempts + 1 WHERE id IN (SELECT id FROM message \
                     WHERE state = 'pending' AND next_try_at <= $2 AND claimed_until IS NULL \
                     ORDER BY next_try_at, id LIMIT $3) AND state = 'pending' AND claimed_until IS NULL RETURNING *",
                )
                .bind(now.plus(hold).0)
                .bind(now.0)
                .bind(i64::from(limit))
                .fetch_all(&mut tx.conn)
                .await?;
                rows.iter().map(read).collect()
            })
        })
        .await
    }

    /// The centre took a message under these ids, one for each part.
    pub async fn message_submitted(&self, id: MessageId, smsc_ids: Vec<String>, now: UnixMillis) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let id = id.0 as i64;
                sqlx::query(
                    "UPDATE message SET state = 'submitted', submitted_at = $1, claimed_until = NULL, parts = $2, error = NULL \
                     WHERE id = $3 AND state IN ('pending', 'uncertain')",
                )
                .bind(now.0)
                .bind(smsc_ids.len() as i64)
                .bind(id)
                .execute(&mut tx.conn)
                .await?;
                for smsc_id in smsc_ids {
                    let early = sqlx::query("DELETE FROM message_receipt_early WHERE smsc_id = $1 RETURNING outcome")
                        .bind(smsc_id.as_str())
                        .fetch_optional(&mut tx.conn)
                        .await?;
                    let outcome = early.map(|row| row.text("outcome")).transpose()?;
                    sqlx::query(
                        "INSERT INTO message_part (smsc_id, message_id, outcome, receipt_at) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (smsc_id) DO NOTHING",
                    )
                    .bind(smsc_id)
                    .bind(id)
                    .bind(outcome.clone())
                    .bind(outcome.map(|_| now.0))
                    .execute(&mut tx.conn)
                    .await?;
                }
                settle(&mut tx.conn, id, now).await
            })
        })
        .await
    }

    /// An attempt failed: again at `next_try`, or never where that is none (dead letter).
    pub async fn message_failed(
        &self,
        id: MessageId,
        error: String,
        next_try: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE message SET state = $1, next_try_at = $2, done_at = $3, claimed_until = NULL, error = $4 \
                     WHERE id = $5 AND state IN ('pending', 'uncertain')",
                )
                .bind(if next_try.is_some() { "pending" } else { "failed" })
                .bind(next_try.unwrap_or(now).0)
                .bind(if next_try.is_some() { None } else { Some(now.0) })
                .bind(error)
                .bind(id.0 as i64)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The response to a submit was lost.
    pub async fn message_uncertain(&self, id: MessageId, error: String) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE message SET state = 'uncertain', claimed_until = NULL, error = $1 \
                     WHERE id = $2 AND state = 'pending'",
                )
                .bind(error)
                .bind(id.0 as i64)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Claims that ran out (a sender died with them) become uncertain; gives how many.
    pub async fn message_expire_claims(&self, now: UnixMillis) -> Result<u64> {
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE message SET state = 'uncertain', claimed_until = NULL, error = 'the sender stopped' \
                     WHERE state = 'pending' AND claimed_until < $1",
                )
                .bind(now.0)
                .execute(&mut tx.conn)
                .await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }

    /// A receipt for one part; gives whether it was the first for that id. One that comes before its submit response
    /// is kept for it.
    pub async fn message_receipt(
        &self,
        smsc_id: String,
        delivered: bool,
        error: Option<String>,
        now: UnixMillis,
    ) -> Result<bool> {
        let outcome = if delivered { "delivered" } else { "failed" };
        self.write(move |tx| {
            Box::pin(async move {
                let matched = sqlx::query(
                    "UPDATE message_part SET outcome = $1, receipt_at = $2 WHERE smsc_id = $3 AND outcome IS NULL \
                     RETURNING message_id",
                )
                .bind(outcome)
                .bind(now.0)
                .bind(smsc_id.as_str())
                .fetch_optional(&mut tx.conn)
                .await?;
                if let Some(row) = matched {
                    let message = row.int("message_id")?;
                    if error.is_some() {
                        sqlx::query("UPDATE message SET error = $1 WHERE id = $2")
                            .bind(error)
                            .bind(message)
                            .execute(&mut tx.conn)
                            .await?;
                    }
                    settle(&mut tx.conn, message, now).await?;
                    return Ok(true);
                }
                let early = sqlx::query(
                    "INSERT INTO message_receipt_early (smsc_id, outcome, error, at) SELECT $1, $2, $3, $4 \
                     WHERE NOT EXISTS (SELECT 1 FROM message_part WHERE smsc_id = $5) ON CONFLICT (smsc_id) DO NOTHING",
                )
                .bind(smsc_id.as_str())
                .bind(outcome)
                .bind(error)
                .bind(now.0)
                .bind(smsc_id.as_str())
                .execute(&mut tx.conn)
                .await?;
                Ok(early.rows_affected() == 1)
            })
        })
        .await
    }
}
