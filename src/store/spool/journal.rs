//! The journal's thread: takes all that waits, writes it in one transaction, then answers.

use super::{JournalState, Recovered, RecoveredCall, SpooledWaiter, bindings};
use crate::{
    ids::{CallId, LegId},
    store::{
        Result, StoreError,
        ingest::{AcceptedCall, FinishedCall},
        sql::{from_json, runs, to_json, values},
    },
};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Operations in a transaction at most.
const BATCH: usize = 1_024;

const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS accepted (call INTEGER PRIMARY KEY, body TEXT NOT NULL, progress TEXT, finished TEXT, \
     fed INTEGER NOT NULL DEFAULT 0, stuck INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX IF NOT EXISTS to_feed ON accepted (call) WHERE (fed = 0 OR finished IS NOT NULL) AND stuck = 0",
    "CREATE TABLE IF NOT EXISTS dialog (leg INTEGER PRIMARY KEY, call INTEGER NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS dialog_call ON dialog (call)",
    "CREATE TABLE IF NOT EXISTS waiter (call INTEGER PRIMARY KEY, enqueued_at INTEGER NOT NULL, body TEXT NOT NULL)",
    bindings::SCHEMA,
];

type Reply = oneshot::Sender<Result<()>>;

/// What the journal is asked.
pub(in crate::store) enum Op {
    Accept(Box<AcceptedCall>, Reply),
    Finish(CallId, Box<FinishedCall>, Reply),
    Update(CallId, Value),
    /// It was never answered after all.
    Forget(CallId, Reply),
    Dialog(LegId, Option<(CallId, Value)>),
    Waiter(CallId, Option<SpooledWaiter>),
    Bindings(String, Option<Value>),
    /// The store has these: as accepted, as finished; these it will never take.
    Fed {
        accepted: Vec<CallId>,
        finished: Vec<CallId>,
        stuck: Vec<CallId>,
        weight: i64,
        reply: Reply,
    },
    Flush(Reply),
}

/// How the file is opened, by the thread and by the feeder.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(2));
    Ok(options.connect().await?)
}

/// What a batch comes to: of several words on one thing the last one counts.
#[derive(Default)]
struct Batch {
    accepts: Vec<(CallId, String)>,
    updates: HashMap<CallId, String>,
    finishes: Vec<(CallId, String)>,
    forgotten: Vec<CallId>,
    dialogs: HashMap<LegId, Option<(CallId, String)>>,
    waiters: HashMap<CallId, Option<SpooledWaiter>>,
    bindings: HashMap<String, Option<Value>>,
    fed: Vec<CallId>,
    done: Vec<CallId>,
    stuck: Vec<CallId>,
    fed_weight: i64,
    replies: Vec<Reply>,
    words: u64,
}

impl Batch {
    fn add(&mut self, op: Op) {
        match op {
            Op::Accept(call, reply) => self.json(&*call, reply, |batch, text| batch.accepts.push((call.call, text))),
            Op::Finish(call, finished, reply) => {
                self.json(&*finished, reply, |batch, text| batch.finishes.push((call, text)));
            }
            Op::Update(call, progress) => {
                self.words += 1;
                self.updates.insert(call, progress.to_string());
            }
            Op::Forget(call, reply) => {
                self.forgotten.push(call);
                self.replies.push(reply);
            }
            Op::Dialog(leg, dialog) => {
                self.words += 1;
                self.dialogs.insert(leg, dialog.map(|(call, body)| (call, body.to_string())));
            }
            Op::Waiter(call, waiter) => {
                self.words += 1;
                self.waiters.insert(call, waiter);
            }
            Op::Bindings(aor, bindings) => {
                self.words += 1;
                self.bindings.insert(aor, bindings);
            }
            Op::Fed { accepted, finished, stuck, weight, reply } => {
                self.fed_weight += weight;
                self.fed.extend(accepted);
                self.done.extend(finished);
                self.stuck.extend(stuck);
                self.replies.push(reply);
            }
            Op::Flush(reply) => self.replies.push(reply),
        }
    }

    fn json<T: serde::Serialize>(&mut self, value: &T, reply: Reply, keep: impl FnOnce(&mut Batch, String)) {
        match to_json(value) {
            Ok(text) => {
                keep(self, text);
                self.replies.push(reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }
}

/// The thread's state.
pub(super) struct Journal {
    path: PathBuf,
    conn: Option<SqliteConnection>,
    state: Arc<JournalState>,
}

impl Journal {
    /// Runs until the last handle is gone.
    pub(super) fn run(
        path: PathBuf,
        mut mailbox: mpsc::Receiver<Op>,
        state: Arc<JournalState>,
        opened: oneshot::Sender<Result<Recovered>>,
    ) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(opened.send(Err(StoreError::Unavailable(error.to_string())))),
        };
        runtime.block_on(async move {
            let mut journal = Journal { path, conn: None, state };
            let recovered = journal.open().await;
            let failed = recovered.is_err();
            if opened.send(recovered).is_err() || failed {
                return;
            }
            while let Some(op) = mailbox.recv().await {
                let mut batch = Batch::default();
                batch.add(op);
                for _ in 1..BATCH {
                    match mailbox.try_recv() {
                        Ok(op) => batch.add(op),
                        Err(_) => break,
                    }
                }
                journal.commit(batch).await;
            }
            if let Some(conn) = journal.conn.take() {
                let _ = conn.close().await;
            }
        });
    }

    async fn open(&mut self) -> Result<Recovered> {
        let mut conn = connect(&self.path).await?;
        for statement in SCHEMA {
            conn.execute(*statement).await?;
        }
        let recovered = recover(&mut conn).await?;
        let row = sqlx::query(
            "SELECT COALESCE(sum((fed = 0) + (finished IS NOT NULL)), 0) AS n FROM accepted WHERE stuck = 0",
        )
        .fetch_one(&mut conn)
        .await?;
        self.state.backlog.store(row.try_get("n").unwrap_or(0), Ordering::Relaxed);
        self.conn = Some(conn);
        Ok(recovered)
    }

    async fn commit(&mut self, batch: Batch) {
        let outcome = self.write(&batch).await;
        match &outcome {
            Ok(forgotten) => {
                let forgotten = *forgotten as i64;
                let added = (batch.accepts.len() + batch.finishes.len()) as i64 - forgotten;
                self.state.backlog.fetch_add(added - batch.fed_weight, Ordering::Relaxed);
                if !batch.updates.is_empty() || !batch.finishes.is_empty() {
                    self.state.fresh.notify_one();
                }
            }
            Err(error) => {
                tracing::error!(%error, "the spool could not be written");
                self.state.dropped.fetch_add(batch.words, Ordering::Relaxed);
                // A connection with a failed transaction is not reused.
                if let Some(conn) = self.conn.take() {
                    let _ = conn.close_hard().await;
                }
            }
        }
        for reply in batch.replies {
            let answer = match &outcome {
                Ok(_) => Ok(()),
                Err(error) => Err(StoreError::Unavailable(error.to_string())),
            };
            // Nobody waits any more: it is on disk all the same.
            let _ = reply.send(answer);
        }
    }

    /// Gives how many calls were forgotten.
    async fn write(&mut self, batch: &Batch) -> Result<u64> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            None => self.conn.insert(connect(&self.path).await?),
        };
        conn.execute("BEGIN IMMEDIATE").await?;
        let forgotten = write_calls(conn, batch).await?;
        write_snapshots(conn, batch).await?;
        bindings::write(conn, &batch.bindings).await?;
        conn.execute("COMMIT").await?;
        Ok(forgotten)
    }
}

fn ids(calls: &[CallId]) -> String {
    let numbers: Vec<u64> = calls.iter().map(|call| call.0).collect();
    serde_json::to_string(&numbers).unwrap_or_else(|_| "[]".into())
}

async fn write_calls(conn: &mut SqliteConnection, batch: &Batch) -> Result<u64> {
    for run in runs(&batch.accepts) {
        let sql =
            format!("INSERT INTO accepted (call, body) VALUES {} ON CONFLICT (call) DO NOTHING", values(run.len(), 2));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (call, body) in run {
            query = query.bind(call.0 as i64).bind(body.as_str());
        }
        query.execute(&mut *conn).await?;
    }
    for (call, progress) in &batch.updates {
        sqlx::query("UPDATE accepted SET progress = $1 WHERE call = $2")
            .bind(progress.as_str())
            .bind(call.0 as i64)
            .execute(&mut *conn)
            .await?;
    }
    if !batch.finishes.is_empty() {
        for (call, finished) in &batch.finishes {
            sqlx::query("UPDATE accepted SET finished = $1 WHERE call = $2 AND finished IS NULL")
                .bind(finished.as_str())
                .bind(call.0 as i64)
                .execute(&mut *conn)
                .await?;
        }
    }
    // Two updates and one delete, each for all calls of the batch.
    for (calls, sql) in [
        (&batch.fed, "UPDATE accepted SET fed = 1 WHERE call IN (SELECT value FROM json_each($1))"),
        (&batch.stuck, "UPDATE accepted SET stuck = 1 WHERE call IN (SELECT value FROM json_each($1))"),
        (&batch.done, "DELETE FROM accepted WHERE finished IS NOT NULL AND call IN (SELECT value FROM json_each($1))"),
    ] {
        if !calls.is_empty() {
            sqlx::query(sql).bind(ids(calls)).execute(&mut *conn).await?;
        }
    }
    if batch.forgotten.is_empty() {
        return Ok(0);
    }
    let sql = "DELETE FROM accepted WHERE fed = 0 AND finished IS NULL AND call IN (SELECT value FROM json_each($1))";
    Ok(sqlx::query(sql).bind(ids(&batch.forgotten)).execute(&mut *conn).await?.rows_affected())
}

async fn write_snapshots(conn: &mut SqliteConnection, batch: &Batch) -> Result<()> {
    for (leg, dialog) in &batch.dialogs {
        match dialog {
            Some((call, body)) => {
                sqlx::query("INSERT OR REPLACE INTO dialog (leg, call, body) VALUES ($1, $2, $3)")
                    .bind(leg.0 as i64)
                    .bind(call.0 as i64)
                    .bind(body.as_str())
                    .execute(&mut *conn)
                    .await?;
            }
            None => {
                sqlx::query("DELETE FROM dialog WHERE leg = $1").bind(leg.0 as i64).execute(&mut *conn).await?;
            }
        }
    }
    for (call, waiter) in &batch.waiters {
        match waiter {
            Some(waiter) => {
                sqlx::query("INSERT OR REPLACE INTO waiter (call, enqueued_at, body) VALUES ($1, $2, $3)")
                    .bind(call.0 as i64)
                    .bind(waiter.enqueued_at.0)
                    .bind(to_json(waiter)?)
                    .execute(&mut *conn)
                    .await?;
            }
            None => {
                sqlx::query("DELETE FROM waiter WHERE call = $1").bind(call.0 as i64).execute(&mut *conn).await?;
            }
        }
    }
    if !batch.finishes.is_empty() {
        let ended: Vec<CallId> = batch.finishes.iter().map(|(call, _)| *call).collect();
        for sql in [
            "DELETE FROM dialog WHERE call IN (SELECT value FROM json_each($1))",
            "DELETE FROM waiter WHERE call IN (SELECT value FROM json_each($1))",
        ] {
            sqlx::query(sql).bind(ids(&ended)).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

async fn recover(conn: &mut SqliteConnection) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let rows = sqlx::query("SELECT body, progress FROM accepted WHERE finished IS NULL ORDER BY call")
        .fetch_all(&mut *conn)
        .await?;
    for row in rows {
        let (body, progress): (String, Option<String>) = (row.try_get("body")?, row.try_get("progress")?);
        let progress = progress.map(|text| from_json(&text)).transpose()?;
        recovered.calls.push(RecoveredCall { accepted: from_json(&body)?, progress });
    }
    for row in sqlx::query("SELECT leg, call, body FROM dialog ORDER BY leg").fetch_all(&mut *conn).await? {
        let (leg, call, body): (i64, i64, String) = (row.try_get("leg")?, row.try_get("call")?, row.try_get("body")?);
        recovered.dialogs.push((LegId(leg as u64), CallId(call as u64), from_json(&body)?));
    }
    for row in sqlx::query("SELECT body FROM waiter ORDER BY enqueued_at, call").fetch_all(&mut *conn).await? {
        let body: String = row.try_get("body")?;
        recovered.waiters.push(from_json(&body)?);
    }
    Ok(recovered)
}
