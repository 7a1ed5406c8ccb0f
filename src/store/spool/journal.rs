//! The journal's thread: takes all that waits, writes it in one transaction, then answers.
//!
//! It speaks to SQLite itself, in its own thread: a driver with a thread of its own would cost two changes of thread a
//! statement, on the way of every call's 200 (docs/decisions/0005-the-spool-speaks-to-sqlite-itself.md).

use super::{JournalState, Recovered, RecoveredCall, SpooledWaiter, bindings, footing};
use crate::{
    ids::{CallId, LegId},
    store::{
        Result, StoreError,
        ingest::{AcceptedCall, FinishedCall},
        sql::{from_json, to_json},
    },
};
use rusqlite::{Connection, TransactionBehavior, params};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Operations in a transaction at most.
const BATCH: usize = 1_024;
/// Calls that are given to the feeder at once.
pub(super) const ROUND: usize = 64;

const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS accepted (call INTEGER PRIMARY KEY, body TEXT NOT NULL, progress TEXT, finished TEXT, \
     fed INTEGER NOT NULL DEFAULT 0, stuck INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX IF NOT EXISTS to_feed ON accepted (call) WHERE (fed = 0 OR finished IS NOT NULL) AND stuck = 0",
    "CREATE TABLE IF NOT EXISTS dialog (leg INTEGER PRIMARY KEY, call INTEGER NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS dialog_call ON dialog (call)",
    "CREATE TABLE IF NOT EXISTS waiter (call INTEGER PRIMARY KEY, enqueued_at INTEGER NOT NULL, body TEXT NOT NULL)",
    bindings::SCHEMA,
    footing::SCHEMA,
    // What is written to find out whether the disk takes anything again.
    "CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY, body TEXT NOT NULL)",
];

/// As long as what a call writes at least.
const PROBE: &str = "INSERT OR REPLACE INTO probe (id, body) VALUES (1, hex(randomblob(4096)))";

type Reply = oneshot::Sender<Result<()>>;

/// What the journal is asked.
pub(in crate::store) enum Op {
    Accept(Box<AcceptedCall>, Reply),
    /// A call that is over: nobody waits for a 200.
    Keep(Box<AcceptedCall>, Reply),
    Finish(CallId, Box<FinishedCall>, Reply),
    Update(CallId, String),
    /// It was never answered after all.
    Forget(CallId, Reply),
    Dialog(LegId, Option<(CallId, String)>),
    Waiter(CallId, Option<SpooledWaiter>),
    Bindings(String, Option<String>),
    Footing(String, Reply),
    /// The store has these: as accepted, as finished; these it will never take.
    Fed {
        accepted: Vec<CallId>,
        finished: Vec<CallId>,
        stuck: Vec<CallId>,
        weight: i64,
        reply: Reply,
    },
    /// Looks at what is there, after what was said before is written.
    Read(Reader),
    Flush(Reply),
}

/// What looks at the journal, and tells who asked.
pub(in crate::store) type Reader = Box<dyn FnOnce(Result<&mut Connection>) + Send>;

/// A call that the store does not have as it is.
pub(in crate::store) struct Unfed {
    pub(super) body: String,
    pub(super) progress: Option<String>,
    pub(super) finished: Option<String>,
    /// What it counts in the backlog: one as accepted, one as finished.
    pub(super) weight: i64,
}

/// How the file is opened.
pub(super) fn connect(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(2))?;
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

/// Makes the tables that are not there.
pub(super) fn make(conn: &Connection) -> Result<()> {
    SCHEMA.iter().try_for_each(|statement| Ok(conn.execute_batch(statement)?))
}

/// What a batch comes to: of several words on one thing the last one counts.
#[derive(Default)]
struct Batch {
    accepts: Vec<(CallId, String)>,
    keeps: Vec<(CallId, String)>,
    updates: HashMap<CallId, String>,
    finishes: Vec<(CallId, String)>,
    forgotten: Vec<CallId>,
    dialogs: HashMap<LegId, Option<(CallId, String)>>,
    waiters: HashMap<CallId, Option<SpooledWaiter>>,
    bindings: HashMap<String, Option<String>>,
    footing: Option<String>,
    fed: Vec<CallId>,
    done: Vec<CallId>,
    stuck: Vec<CallId>,
    fed_weight: i64,
    /// Answered after the commit, whatever came of it.
    replies: Vec<Reply>,
    /// Answered when it is on disk, however many commits that takes.
    patient: Vec<Reply>,
    readers: Vec<Reader>,
    words: u64,
}

impl Batch {
    fn add(&mut self, op: Op) {
        match op {
            Op::Accept(call, reply) => self.json(&*call, reply, |batch, text, reply| {
                batch.accepts.push((call.call, text));
                batch.replies.push(reply);
            }),
            Op::Keep(call, reply) => self.json(&*call, reply, |batch, text, reply| {
                batch.keeps.push((call.call, text));
                batch.patient.push(reply);
            }),
            Op::Finish(call, finished, reply) => self.json(&*finished, reply, |batch, text, reply| {
                batch.finishes.push((call, text));
                batch.patient.push(reply);
            }),
            Op::Update(call, progress) => {
                self.words += 1;
                self.updates.insert(call, progress);
            }
            Op::Forget(call, reply) => {
                self.forgotten.push(call);
                self.patient.push(reply);
            }
            Op::Dialog(leg, dialog) => {
                self.words += 1;
                self.dialogs.insert(leg, dialog);
            }
            Op::Waiter(call, waiter) => {
                self.words += 1;
                self.waiters.insert(call, waiter);
            }
            Op::Bindings(aor, bindings) => {
                self.words += 1;
                self.bindings.insert(aor, bindings);
            }
            Op::Footing(body, reply) => {
                self.footing = Some(body);
                self.replies.push(reply);
            }
            Op::Fed { accepted, finished, stuck, weight, reply } => {
                self.fed_weight += weight;
                self.fed.extend(accepted);
                self.done.extend(finished);
                self.stuck.extend(stuck);
                self.replies.push(reply);
            }
            Op::Read(reader) => self.readers.push(reader),
            Op::Flush(reply) => self.replies.push(reply),
        }
    }

    /// Whether there is anything to write, or anybody to be told that it is written.
    fn is_empty(&self) -> bool {
        self.words == 0 && self.replies.is_empty() && self.patient.is_empty()
    }

    /// What is still to be written after a failed commit: all but new calls, which are refused, and what the feeder says
    /// again. It is as much as the calls in progress at most.
    fn kept(self) -> Batch {
        Batch {
            accepts: Vec::new(),
            fed: Vec::new(),
            done: Vec::new(),
            stuck: Vec::new(),
            fed_weight: 0,
            replies: Vec::new(),
            ..self
        }
    }

    fn json<T: serde::Serialize>(&mut self, value: &T, reply: Reply, keep: impl FnOnce(&mut Batch, String, Reply)) {
        match to_json(value) {
            Ok(text) => keep(self, text, reply),
            Err(error) => drop(reply.send(Err(error))),
        }
    }
}

/// The thread's state.
pub(super) struct Journal {
    path: PathBuf,
    conn: Option<Connection>,
    state: Arc<JournalState>,
    /// What a failed commit left to be written by the next one.
    kept: Batch,
}

impl Journal {
    /// Runs until the last handle is gone.
    pub(super) fn run(
        path: PathBuf,
        mut mailbox: mpsc::Receiver<Op>,
        state: Arc<JournalState>,
        opened: oneshot::Sender<Result<Recovered>>,
    ) {
        let mut journal = Journal { path, conn: None, state, kept: Batch::default() };
        let recovered = journal.open();
        let failed = recovered.is_err();
        if opened.send(recovered).is_err() || failed {
            return;
        }
        while let Some(op) = mailbox.blocking_recv() {
            let mut batch = std::mem::take(&mut journal.kept);
            batch.add(op);
            for _ in 1..BATCH {
                match mailbox.try_recv() {
                    Ok(op) => batch.add(op),
                    Err(_) => break,
                }
            }
            let readers = std::mem::take(&mut batch.readers);
            if !batch.is_empty() {
                journal.commit(batch);
            }
            for reader in readers {
                reader(journal.connection());
            }
        }
        let kept = std::mem::take(&mut journal.kept);
        if !kept.is_empty() {
            journal.commit(kept);
        }
    }

    fn open(&mut self) -> Result<Recovered> {
        let mut conn = connect(&self.path)?;
        make(&conn)?;
        // What an earlier program could not store, this one may.
        conn.execute("UPDATE accepted SET stuck = 0 WHERE stuck = 1", [])?;
        let recovered = recover(&mut conn)?;
        let sql = "SELECT COALESCE(sum((fed = 0) + (finished IS NOT NULL)), 0) FROM accepted WHERE stuck = 0";
        let backlog = conn.query_row(sql, [], |row| row.get(0))?;
        self.state.backlog.store(backlog, Ordering::Relaxed);
        self.conn = Some(conn);
        Ok(recovered)
    }

    fn connection(&mut self) -> Result<&mut Connection> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => connect(&self.path)?,
        };
        Ok(self.conn.insert(conn))
    }

    fn commit(&mut self, mut batch: Batch) {
        let outcome = self.write(&batch);
        *self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner) =
            outcome.as_ref().err().map(ToString::to_string);
        let mut replies = std::mem::take(&mut batch.replies);
        let failed = match outcome {
            Ok(added) => {
                self.state.backlog.fetch_add(added - batch.fed_weight, Ordering::Relaxed);
                if !batch.updates.is_empty() || !batch.finishes.is_empty() {
                    self.state.fresh.notify_one();
                }
                replies.append(&mut batch.patient);
                None
            }
            Err(error) => {
                tracing::error!(%error, "the spool could not be written");
                // A connection with a failed transaction is not reused.
                self.conn = None;
                self.kept = batch.kept();
                Some(error.to_string())
            }
        };
        for reply in replies {
            let answer = failed.clone().map_or(Ok(()), |why| Err(StoreError::Unavailable(why)));
            // Nobody waits any more: it is on disk all the same.
            let _ = reply.send(answer);
        }
    }

    /// Gives what it adds to the backlog.
    fn write(&mut self, batch: &Batch) -> Result<i64> {
        let troubled = self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let tx = self.connection()?.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if troubled {
            // A transaction that writes nothing succeeds on a full disk, too.
            tx.execute(PROBE, [])?;
        }
        let added = write_calls(&tx, batch)?;
        write_snapshots(&tx, batch)?;
        bindings::write(&tx, &batch.bindings)?;
        footing::write(&tx, batch.footing.as_deref())?;
        tx.commit()?;
        Ok(added)
    }
}

fn ids(calls: &[CallId]) -> String {
    let numbers: Vec<u64> = calls.iter().map(|call| call.0).collect();
    serde_json::to_string(&numbers).unwrap_or_else(|_| "[]".into())
}

/// Gives what is to be fed more than before: a call or an ending that was there already is not counted again.
fn write_calls(tx: &Connection, batch: &Batch) -> Result<i64> {
    let mut added = 0;
    let mut insert =
        tx.prepare_cached("INSERT INTO accepted (call, body) VALUES (?1, ?2) ON CONFLICT (call) DO NOTHING")?;
    for (call, body) in batch.accepts.iter().chain(&batch.keeps) {
        added += insert.execute(params![call.0 as i64, body])? as i64;
    }
    let mut update = tx.prepare_cached("UPDATE accepted SET progress = ?2 WHERE call = ?1")?;
    for (call, progress) in &batch.updates {
        update.execute(params![call.0 as i64, progress])?;
    }
    let mut finish = tx.prepare_cached("UPDATE accepted SET finished = ?2 WHERE call = ?1 AND finished IS NULL")?;
    for (call, finished) in &batch.finishes {
        added += finish.execute(params![call.0 as i64, finished])? as i64;
    }
    for (calls, sql) in [
        (&batch.fed, "UPDATE accepted SET fed = 1 WHERE call IN (SELECT value FROM json_each(?1))"),
        (&batch.stuck, "UPDATE accepted SET stuck = 1 WHERE call IN (SELECT value FROM json_each(?1))"),
        (&batch.done, "DELETE FROM accepted WHERE finished IS NOT NULL AND call IN (SELECT value FROM json_each(?1))"),
    ] {
        if !calls.is_empty() {
            tx.prepare_cached(sql)?.execute([ids(calls)])?;
        }
    }
    if !batch.forgotten.is_empty() {
        let sql =
            "DELETE FROM accepted WHERE fed = 0 AND finished IS NULL AND call IN (SELECT value FROM json_each(?1))";
        added -= tx.prepare_cached(sql)?.execute([ids(&batch.forgotten)])? as i64;
    }
    Ok(added)
}

fn write_snapshots(tx: &Connection, batch: &Batch) -> Result<()> {
    for (leg, dialog) in &batch.dialogs {
        match dialog {
            Some((call, body)) => tx
                .prepare_cached("INSERT OR REPLACE INTO dialog (leg, call, body) VALUES (?1, ?2, ?3)")?
                .execute(params![leg.0 as i64, call.0 as i64, body])?,
            None => tx.prepare_cached("DELETE FROM dialog WHERE leg = ?1")?.execute([leg.0 as i64])?,
        };
    }
    for (call, waiter) in &batch.waiters {
        match waiter {
            Some(waiter) => tx
                .prepare_cached("INSERT OR REPLACE INTO waiter (call, enqueued_at, body) VALUES (?1, ?2, ?3)")?
                .execute(params![call.0 as i64, waiter.enqueued_at.0, to_json(waiter)?])?,
            None => tx.prepare_cached("DELETE FROM waiter WHERE call = ?1")?.execute([call.0 as i64])?,
        };
    }
    if !batch.finishes.is_empty() {
        let ended = ids(&batch.finishes.iter().map(|(call, _)| *call).collect::<Vec<_>>());
        for sql in [
            "DELETE FROM dialog WHERE call IN (SELECT value FROM json_each(?1))",
            "DELETE FROM waiter WHERE call IN (SELECT value FROM json_each(?1))",
        ] {
            tx.prepare_cached(sql)?.execute([&ended])?;
        }
    }
    Ok(())
}

/// What is to be fed, the oldest first, [`ROUND`] at most.
pub(super) fn waiting(conn: &mut Connection) -> Result<Vec<Unfed>> {
    let sql = "SELECT body, progress, finished, fed FROM accepted \
               WHERE ((fed = 0 AND progress IS NOT NULL) OR finished IS NOT NULL) AND stuck = 0 ORDER BY call LIMIT ?1";
    let mut query = conn.prepare_cached(sql)?;
    let rows = query.query_map([ROUND as i64], |row| {
        let (finished, fed): (Option<String>, i64) = (row.get(2)?, row.get(3)?);
        let weight = 1 - fed + i64::from(finished.is_some());
        Ok(Unfed { body: row.get(0)?, progress: row.get(1)?, finished, weight })
    })?;
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

fn recover(conn: &mut Connection) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut calls = conn.prepare("SELECT body, progress FROM accepted WHERE finished IS NULL ORDER BY call")?;
    let mut rows = calls.query([])?;
    while let Some(row) = rows.next()? {
        let (body, progress): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let progress = progress.map(|text| from_json(&text)).transpose()?;
        recovered.calls.push(RecoveredCall { accepted: from_json(&body)?, progress });
    }
    let mut dialogs = conn.prepare("SELECT leg, call, body FROM dialog ORDER BY leg")?;
    let mut rows = dialogs.query([])?;
    while let Some(row) = rows.next()? {
        let (leg, call, body): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        recovered.dialogs.push((LegId(leg as u64), CallId(call as u64), from_json(&body)?));
    }
    let mut waiters = conn.prepare("SELECT body FROM waiter ORDER BY enqueued_at, call")?;
    let mut rows = waiters.query([])?;
    while let Some(row) = rows.next()? {
        recovered.waiters.push(from_json(&row.get::<_, String>(0)?)?);
    }
    Ok(recovered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_on_disk_when_it_is_done() {
        let folder = std::env::temp_dir().join(format!("hotline-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let conn = connect(&folder.join("spool.db")).unwrap();
        let asked = |what: &str| conn.pragma_query_value(None, what, |row| row.get::<_, i64>(0)).unwrap();
        // 2 is FULL: with WAL, anything less is on disk at a checkpoint only.
        assert_eq!(asked("synchronous"), 2);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
