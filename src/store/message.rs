//! SMS rows: what is said to whom, and the delivery machine's state beside it (`sms::delivery`).
//!
//! A row is saved by compare-and-set on the delivery's version, so that what two events make of it is never lost. The
//! ids that the SMS centre gives to parts lead back to their message. When to try again, what a receipt means and when
//! a message is given up is the machine's business, not this file's.

use super::{
    Page, Paged, Result, Store, StoreError,
    audit::{self, NewAudit},
    sql::Columns,
    ticket::{Bind, List},
    writer::Tx,
};
use crate::{
    clock::UnixMillis,
    ids::{MessageId, TicketNo},
    sms::{
        delivery::{Delivery, State},
        text,
    },
};
use sqlx::any::AnyRow;

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// A key that makes a repeated wish one message, such as ticket and event.
    pub once: Option<String>,
    /// The ticket it is about.
    pub ticket_no: Option<TicketNo>,
    /// What for: `acceptance`, `progress`, `result`, `satisfaction`, `manual`, …
    pub purpose: String,
    /// Where to: a mobile number of 11 digits.
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
    /// Where it stands, and what is due.
    pub delivery: Delivery,
}

/// Which messages are listed; all that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// The ticket.
    pub ticket_no: Option<TicketNo>,
    /// Where it stands.
    pub state: Option<State>,
}

/// Inserts a message; a repeated `once` inserts nothing.
pub(super) async fn insert(tx: &mut Tx, id: u64, new: &NewMessage, day: String, now: UnixMillis) -> Result<bool> {
    let delivery = Delivery::new(text::part_count(&new.text), now);
    let done = sqlx::query(
        "INSERT INTO message (id, once_key, ticket_no, purpose, number, text, state, attempts, next_try_at, version, \
         created_at, day, body) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, $12) \
         ON CONFLICT (once_key) DO NOTHING",
    )
    .bind(id as i64)
    .bind(new.once.as_deref())
    .bind(new.ticket_no.as_ref().map(|no| no.as_str().to_owned()))
    .bind(new.purpose.as_str())
    .bind(new.number.as_str())
    .bind(new.text.as_str())
    .bind(delivery.state.as_str())
    .bind(delivery.next_try.map(|at| at.0))
    .bind(delivery.version as i64)
    .bind(now.0)
    .bind(day)
    .bind(body(&delivery)?)
    .execute(&mut tx.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn body(delivery: &Delivery) -> Result<String> {
    serde_json::to_string(delivery).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn read(row: &AnyRow) -> Result<MessageRow> {
    Ok(MessageRow {
        id: MessageId(row.id("id")?),
        ticket_no: row.text_opt("ticket_no")?.map(TicketNo::from),
        purpose: row.text("purpose")?,
        number: row.text("number")?,
        text: row.text("text")?,
        delivery: row.json("body")?,
    })
}

impl Store {
    /// Creates a message, with an audit row that names who wrote it; with a `once` that exists, gives the message that
    /// exists.
    pub async fn message_create(&self, new: NewMessage, by: &str, now: UnixMillis) -> Result<MessageRow> {
        let id = self.new_id();
        let day = self.day(now);
        let audit = NewAudit {
            at: now,
            actor: by.to_owned(),
            action: "message.create".to_owned(),
            object: id.to_string(),
            detail: String::new(),
        };
        self.write(move |tx| {
            Box::pin(async move {
                if insert(tx, id, &new, day, now).await? {
                    audit::append(tx, audit).await?;
                }
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
    pub async fn message_get(&self, id: MessageId) -> Result<Option<MessageRow>> {
        let row =
            sqlx::query("SELECT * FROM message WHERE id = $1").bind(id.0 as i64).fetch_optional(self.reader()).await?;
        row.as_ref().map(read).transpose()
    }

    /// Messages that fit the filter, the latest first.
    pub async fn message_list(&self, filter: &MessageFilter, page: &Page) -> Result<Paged<MessageRow>> {
        let (at, id) = page.after()?;
        let rows = page.rows();
        let first = "(created_at < $1 OR (created_at = $1 AND id < $2))";
        let mut list = List::new(first, vec![Bind::Int(at), Bind::Int(id)]);
        list.text("ticket_no", filter.ticket_no.as_ref().map(|no| no.as_str().to_owned()));
        list.text("state", filter.state.map(|state| state.as_str().to_owned()));
        let sql = list.sql("SELECT * FROM message", "created_at DESC, id DESC", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |message| (message.delivery.created_at.0, message.id.0 as i64)))
    }

    /// How many messages stand where.
    pub async fn message_counts(&self) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query("SELECT state, count(*) AS n FROM message GROUP BY state ORDER BY state")
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|row| Ok((row.text("state")?, row.int("n")?))).collect()
    }

    /// Messages that something is to be done about at `now`, the most overdue first.
    pub async fn message_due(&self, now: UnixMillis, limit: i64) -> Result<Vec<MessageRow>> {
        let rows = sqlx::query("SELECT * FROM message WHERE next_try_at <= $1 ORDER BY next_try_at, id LIMIT $2")
            .bind(now.0)
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// The message that one of its parts has this id at the SMS centre.
    pub async fn message_by_smsc_id(&self, smsc_id: &str) -> Result<Option<MessageRow>> {
        let row =
            sqlx::query("SELECT m.* FROM message m JOIN message_part p ON p.message_id = m.id WHERE p.smsc_id = $1")
                .bind(smsc_id)
                .fetch_optional(self.reader())
                .await?;
        row.as_ref().map(read).transpose()
    }

    /// Saves what became of a message whose version was `seen`; false when it was changed meanwhile.
    pub async fn message_save(&self, id: MessageId, seen: u64, delivery: &Delivery) -> Result<bool> {
        let delivery = delivery.clone();
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE message SET state = $1, attempts = $2, next_try_at = $3, version = $4, body = $5 \
                     WHERE id = $6 AND version = $7",
                )
                .bind(delivery.state.as_str())
                .bind(i64::from(delivery.attempts))
                .bind(delivery.next_try.map(|at| at.0))
                .bind(delivery.version as i64)
                .bind(body(&delivery)?)
                .bind(id.0 as i64)
                .bind(seen as i64)
                .execute(&mut tx.conn)
                .await?;
                if done.rows_affected() == 0 {
                    return Ok(false);
                }
                for smsc_id in delivery.smsc_ids() {
                    sqlx::query(
                        "INSERT INTO message_part (smsc_id, message_id) VALUES ($1, $2) ON CONFLICT (smsc_id) DO NOTHING",
                    )
                    .bind(smsc_id.to_owned())
                    .bind(id.0 as i64)
                    .execute(&mut tx.conn)
                    .await?;
                }
                Ok(true)
            })
        })
        .await
    }
}
