//! The audit log: a chain in which each row's hash covers the row before, so that a changed, removed or inserted row
//! is found. Removing rows at the end is found by whoever noted the last hash.

use super::{Page, Paged, Result, Store, installation, sql::Columns, writer::Tx};
use crate::clock::UnixMillis;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;

/// Rows that are checked at once.
const CHUNK: i64 = 1_000;

/// One row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place, from 1, without gaps.
    pub seq: i64,
    /// When.
    pub at: UnixMillis,
    /// Who.
    pub actor: String,
    /// What was done, such as `number.reveal`.
    pub action: String,
    /// To what, such as a ticket's number.
    pub object: String,
    /// Why, from where.
    pub detail: String,
    /// The chain's hash up to and with this row.
    pub hash: String,
}

/// What checking the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Unbroken: rows and last hash.
    Whole {
        /// Rows.
        rows: i64,
        /// The last hash; empty for an empty log.
        last: String,
    },
    /// Broken at this place.
    Broken {
        /// The first place that does not fit.
        seq: i64,
    },
}

fn chain(previous: &str, row: &AuditRow) -> String {
    let mut hash = Sha256::new();
    let (seq, at) = (row.seq.to_string(), row.at.0.to_string());
    // Lengths before values: no two different rows give the same bytes.
    for part in [previous, &seq, &at, &row.actor, &row.action, &row.object, &row.detail] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

fn read(row: &AnyRow) -> Result<AuditRow> {
    Ok(AuditRow {
        seq: row.int("seq")?,
        at: row.millis("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        object: row.text("object")?,
        detail: row.text("detail")?,
        hash: row.text("hash")?,
    })
}

/// Adds a row behind the last one, within whatever else the transaction does.
pub(super) async fn append(tx: &mut Tx, mut row: AuditRow) -> Result<AuditRow> {
    // A command may write beside the program that runs: two links to one row would be one too many.
    installation::count(tx, "audit").await?;
    let last =
        sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(&mut tx.conn).await?;
    let (seq, previous) = match last {
        Some(row) => (row.int("seq")?, row.text("hash")?),
        None => (0, String::new()),
    };
    row.seq = seq + 1;
    row.hash = chain(&previous, &row);
    sqlx::query("INSERT INTO audit (seq, at, actor, action, object, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(row.seq)
        .bind(row.at.0)
        .bind(row.actor.as_str())
        .bind(row.action.as_str())
        .bind(row.object.as_str())
        .bind(row.detail.as_str())
        .bind(row.hash.as_str())
        .execute(&mut tx.conn)
        .await?;
    Ok(row)
}

impl Store {
    /// Adds a row; gives it with its place and hash.
    pub async fn audit_append(
        &self,
        actor: &str,
        action: &str,
        object: &str,
        detail: &str,
        at: UnixMillis,
    ) -> Result<AuditRow> {
        let text = str::to_owned;
        let (actor, action, object, detail) = (text(actor), text(action), text(object), text(detail));
        let row = AuditRow { seq: 0, at, actor, action, object, detail, hash: String::new() };
        self.write(move |tx| Box::pin(append(tx, row))).await
    }

    /// The log, the latest first.
    pub async fn audit_list(&self, page: &Page) -> Result<Paged<AuditRow>> {
        let (_, seq) = page.after()?;
        let rows = page.rows();
        let found = sqlx::query("SELECT * FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2")
            .bind(seq)
            .bind(rows as i64 + 1)
            .fetch_all(self.reader())
            .await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |row| (row.at.0, row.seq)))
    }

    /// Checks the whole chain.
    pub async fn audit_verify(&self) -> Result<AuditVerdict> {
        let (mut seq, mut last) = (0, String::new());
        loop {
            let rows = sqlx::query("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(seq)
                .bind(CHUNK)
                .fetch_all(self.reader())
                .await?;
            if rows.is_empty() {
                return Ok(AuditVerdict::Whole { rows: seq, last });
            }
            for row in &rows {
                let row = read(row)?;
                if row.seq != seq + 1 || chain(&last, &row) != row.hash {
                    return Ok(AuditVerdict::Broken { seq: seq + 1 });
                }
                (seq, last) = (row.seq, row.hash);
            }
        }
    }
}
