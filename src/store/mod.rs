//! The database: one file a noun, noun first (`ticket_insert`, `ticket_list`).
//!
//! One SQL text serves SQLite and PostgreSQL through sqlx's `Any`: `$1` markers, times as BIGINT milliseconds, JSON as
//! TEXT, flags as 0 and 1. All writes go through one writer task, which commits many of them at once; reads use a
//! small pool. What calls need while the database is away is in [`spool`]. Left out: encryption of single columns.

pub mod agent_log;
pub mod assignment;
pub mod audit;
pub mod call;
pub mod callback;
mod confidence;
mod copy;
mod error;
pub mod event;
pub mod folder;
pub mod hotline;
pub mod idempotency;
pub mod ingest;
mod installation;
pub mod message;
pub mod number_block;
mod opening;
pub mod page;
mod probe;
pub mod recording;
mod reference;
mod schema;
pub mod session;
pub mod setting_version;
pub mod spool;
mod sql;
pub mod ticket;
pub mod unit;
pub mod user;
mod writer;

#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use page::{Page, Paged};
pub use schema::{SCHEMA_VERSION, schema_migrate, schema_version};

pub use self::{
    agent_log::AgentLogRow,
    call::{CallFilter, CallRow},
    callback::NewCallback,
    confidence::Confidence,
    copy::{Loading, Snapshot, TableShape, database_is_empty},
    folder::DataFolder,
    hotline::HotlineRow,
    ingest::{AcceptedCall, FinishedCall, PromisedTicket},
    installation::DatabaseUse,
    message::{MessageFilter, MessageRow, NewMessage},
    number_block::NumberBlock,
    probe::Probe,
    recording::{RecordingFilter, RecordingRow},
    spool::{Footing, Recovered, RecoveredCall, Spool, SpoolCopy, SpooledWaiter},
    ticket::{Applying, TicketFilter},
    unit::UnitRow,
    user::{UserRow, hash_password, hash_password_quickly, sip_ha1s},
};

use crate::{
    clock::UnixMillis,
    ids::{IdGen, TicketNo},
};
use event::StoredEvent;
use opening::Opening;
use sql::Columns;
use sqlx::AnyPool;
use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::broadcast;

/// What a database call gives.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Events that a slow subscriber may lag behind before it must read from the table.
const EVENT_BUFFER: usize = 4096;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// This node's number: 0–1023 in ids, modulo 90 in ticket numbers.
    pub node: u16,
    /// Connections for reading.
    pub readers: u32,
    /// Writes that may wait before a caller must wait too.
    pub write_queue: usize,
    /// How long a connection or a lock is waited for.
    pub patience: Duration,
    /// Minutes that local time is ahead of UTC: days turn at local midnight.
    pub offset_minutes: i32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { node: 1, readers: 4, write_queue: 1024, patience: Duration::from_secs(2), offset_minutes: 480 }
    }
}

/// The database. Clones share it.
///
/// Every method that asks it may err with [`StoreError::Unavailable`] (nothing was written, try again later), with
/// [`StoreError::Corrupt`] or with [`StoreError::Database`]; other errors stand at the method.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// Empty until the database has been there.
    reader: Arc<OnceLock<AnyPool>>,
    /// What stands for it until then.
    none: AnyPool,
    writer: writer::Writer,
    ids: IdGen,
    numbers: number_block::Numbers,
    options: StoreOptions,
}

impl Store {
    /// Opens the database at `url` (`sqlite:data/hotline.db` or `postgres://…`), creating a SQLite file and its folder,
    /// and brings its schema up to date. `now` seeds ids.
    ///
    /// Fails with [`StoreError::SchemaNewer`] where a newer program has used the database.
    pub async fn open(url: &str, options: StoreOptions, now: UnixMillis) -> Result<Store> {
        let opening = Opening::new(url, &options, None, now)?;
        let first = opening.run().await?;
        let store = Store::with(opening, Some(first), options).await?;
        store.number_reserve(now).await?;
        Ok(store)
    }

    /// A store of a database that is away: it is opened, and marked for its use, as soon as it answers. Until then
    /// everything that asks it errs with [`StoreError::Unavailable`]; so it does where the database is there and must not
    /// be used, with the reason.
    ///
    /// # Errors
    /// A URL that names no database.
    pub async fn open_later(url: &str, options: StoreOptions, wanted: DatabaseUse, now: UnixMillis) -> Result<Store> {
        Store::with(Opening::new(url, &options, Some(wanted), now)?, None, options).await
    }

    async fn with(opening: Opening, first: Option<writer::Tx>, options: StoreOptions) -> Result<Store> {
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        let (ids, reader) = (opening.ids.clone(), opening.reader.clone());
        let none = opening::no_readers(&opening.url).await?;
        let numbers = number_block::Numbers::new(options.node, options.offset_minutes);
        let writer = writer::Writer::start(opening, first, &options, events);
        Ok(Store { inner: Arc::new(Inner { reader, none, writer, ids, numbers, options }) })
    }

    /// Whether the database has been there since this store was made.
    pub fn is_open(&self) -> bool {
        self.inner.reader.get().is_some()
    }

    /// Whether the database answers, for writing and for reading.
    pub async fn ping(&self) -> Result<()> {
        // The writer first: it knows why there is no connection.
        self.write(|_| Box::pin(async { Ok(()) })).await?;
        sqlx::query("SELECT 1").execute(self.reader()).await?;
        Ok(())
    }

    /// Bounds a read: a database that takes connections and says nothing must not hold its callers up.
    async fn patiently<T>(&self, read: impl Future<Output = Result<T>>) -> Result<T> {
        let no_answer = || Err(StoreError::Unavailable("no answer in time".to_owned()));
        tokio::time::timeout(self.inner.options.patience, read).await.unwrap_or_else(|_| no_answer())
    }

    /// A new id, never given before by this node.
    pub fn new_id(&self) -> u64 {
        self.inner.ids.next()
    }

    /// Where all ids of this node come from: one counter for whoever needs one.
    pub fn ids(&self) -> IdGen {
        self.inner.ids.clone()
    }

    /// The next ticket number, from the reserved block: no query.
    pub fn ticket_number(&self, now: UnixMillis) -> TicketNo {
        let (no, low) = self.inner.numbers.next(now);
        if low {
            let store = self.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    if let Err(error) = store.number_reserve(now).await {
                        tracing::warn!(%error, "no new block of ticket numbers yet");
                    }
                });
            } else {
                self.inner.numbers.give_up_reserving();
            }
        }
        no
    }

    /// Events as they are committed; a receiver that lags reads on with [`Store::event_list`].
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<StoredEvent>> {
        self.inner.writer.subscribe()
    }

    /// The local date of a moment, as `YYYY-MM-DD`.
    pub fn day(&self, at: UnixMillis) -> String {
        sql::day(at, self.inner.options.offset_minutes)
    }

    /// Waits until what was written before is on disk, then closes.
    pub async fn close(&self) {
        self.inner.writer.close().await;
        self.reader().close().await;
    }

    fn reader(&self) -> &AnyPool {
        self.inner.reader.get().unwrap_or(&self.inner.none)
    }

    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut writer::Tx) -> writer::Work<'a, T> + Send + 'static,
    {
        self.inner.writer.write(work).await
    }

    #[cfg(test)]
    async fn count(&self, sql: &'static str) -> Result<i64> {
        sqlx::query(sql).fetch_one(self.reader()).await.map(|row| sql::Columns::int(&row, "n"))?
    }
}

/// A byte of a path within a URL (RFC 3986 section 2.1).
fn escaped(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

/// The file of a SQLite URL.
fn sqlite_path(url: &str) -> PathBuf {
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    PathBuf::from(rest.trim_start_matches("//").split('?').next().unwrap_or_default())
}

/// Makes the folder of a SQLite file and completes its URL.
fn prepare_url(url: &str) -> Result<String> {
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return Ok(url.to_owned());
    };
    let path = Path::new(rest.trim_start_matches("//").split('?').next().unwrap_or_default());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fault = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(fault)?;
    // As a whole path: a URL would take the first part of a relative one for a host, and fold `..` away.
    let whole = folder.canonicalize().map_err(fault)?.join(path.file_name().unwrap_or_default());
    let path: String = whole.as_os_str().as_bytes().iter().map(|byte| escaped(*byte)).collect();
    Ok(format!("sqlite://{path}?mode=rwc"))
}

/// The highest id in this range that any row has; its lower end where there is none.
async fn highest_id(reader: &AnyPool, range: std::ops::RangeInclusive<u64>) -> Result<u64> {
    let mut highest = *range.start();
    for table in ["ticket", "assignment", "call", "recording", "message", "agent_log", "callback"] {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT COALESCE(max(id), 0) AS n FROM {table} WHERE id BETWEEN $1 AND $2"
        )))
        .bind(*range.start() as i64)
        .bind(*range.end() as i64)
        .fetch_one(reader)
        .await?;
        highest = highest.max(row.int("n")? as u64);
    }
    Ok(highest)
}
