//! Idempotency keys: a repeated request gets the first one's answer and does nothing again.

use super::{Result, Store, StoreError, sql::Columns};
use crate::clock::UnixMillis;

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idempotent {
    /// New: do the work, then call [`Store::idempotency_finish`].
    New,
    /// The first request is not answered yet, or its program ended before it was.
    Running {
        /// When it began.
        since: UnixMillis,
    },
    /// The same key came with another request.
    Mismatch,
    /// The answer that was given.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
}

impl Store {
    /// Takes a key of a user for a request, named by the hash of its method, path, query and body.
    pub async fn idempotency_begin(
        &self,
        scope: &str,
        key: &str,
        request_hash: &str,
        now: UnixMillis,
    ) -> Result<Idempotent> {
        let text = str::to_owned;
        let (scope, key, request_hash) = (text(scope), text(key), text(request_hash));
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "INSERT INTO idempotency (scope, idem_key, request_hash, created_at) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (scope, idem_key) DO NOTHING",
                )
                .bind(scope.as_str())
                .bind(key.as_str())
                .bind(request_hash.as_str())
                .bind(now.0)
                .execute(&mut tx.conn)
                .await?;
                if done.rows_affected() == 1 {
                    return Ok(Idempotent::New);
                }
                let row = sqlx::query(
                    "SELECT request_hash, status, body, created_at FROM idempotency WHERE scope = $1 AND idem_key = $2",
                )
                .bind(scope)
                .bind(key)
                .fetch_one(&mut tx.conn)
                .await?;
                if row.text("request_hash")? != request_hash {
                    return Ok(Idempotent::Mismatch);
                }
                let Some(status) = row.int_opt("status")? else {
                    return Ok(Idempotent::Running { since: row.millis("created_at")? });
                };
                let body = row.text_opt("body")?.unwrap_or_default();
                Ok(Idempotent::Answered { status: status as u16, body })
            })
        })
        .await
    }

    /// Keeps the answer. `NotFound` where the key was let go meanwhile.
    pub async fn idempotency_finish(&self, scope: &str, key: &str, status: u16, body: &str) -> Result<()> {
        let text = str::to_owned;
        let (scope, key, body) = (text(scope), text(key), text(body));
        self.write(move |tx| {
            Box::pin(async move {
                let done =
                    sqlx::query("UPDATE idempotency SET status = $1, body = $2 WHERE scope = $3 AND idem_key = $4")
                        .bind(i64::from(status))
                        .bind(body)
                        .bind(scope)
                        .bind(key)
                        .execute(&mut tx.conn)
                        .await?;
                if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound("idempotency key")) }
            })
        })
        .await
    }

    /// Frees a key whose work failed and may be tried again.
    pub async fn idempotency_release(&self, scope: &str, key: &str) -> Result<()> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM idempotency WHERE scope = $1 AND idem_key = $2 AND status IS NULL")
                    .bind(scope)
                    .bind(key)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Forgets keys from before `before`; gives how many.
    pub async fn idempotency_trim(&self, before: UnixMillis) -> Result<u64> {
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query("DELETE FROM idempotency WHERE created_at < $1")
                    .bind(before.0)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }
}
