//! The one task that writes.
//!
//! Callers hand it work; it runs all that waits, up to a bound, in one transaction, each in a savepoint of its own, and
//! answers only after the commit. So one fsync serves many callers, and SQLite never sees two writers. Where the
//! database is away, work is answered with `Unavailable` at once until a new connection stands.

use super::{Result, StoreError, StoreOptions, event::StoredEvent, opening::Opening, sql::Columns};
use sqlx::{AnyConnection, Connection, Executor};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{broadcast, mpsc, oneshot};

/// Pieces of work in a transaction at most.
const BATCH: usize = 100;
/// A transaction takes in no more work after this long.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// A transaction that takes longer has a database that says nothing any more: it is given up, with its connection.
const STALLED: Duration = Duration::from_secs(5);
/// How long a database may take that is opened for the first time: its schema may have to be made.
const OPENING: Duration = Duration::from_secs(10);
/// Between two attempts to connect.
const RECONNECT: Duration = Duration::from_millis(250);

/// A future that borrows the transaction.
pub(super) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// The open transaction.
pub(super) struct Tx {
    /// The writing connection.
    pub(super) conn: AnyConnection,
    next_event: i64,
    fresh: Vec<Arc<StoredEvent>>,
}

impl Tx {
    /// The next number in the line of events.
    pub(super) fn event_id(&mut self) -> i64 {
        self.next_event += 1;
        self.next_event
    }

    /// An event that subscribers hear of after the commit.
    pub(super) fn announce(&mut self, event: StoredEvent) {
        self.fresh.push(Arc::new(event));
    }
}

trait Job: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Pin<Box<dyn Future<Output = Option<bool>> + Send + 'a>>;
    fn answer(self: Box<Self>, failed: Option<String>);
}

struct Asked<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Asked<T, F>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Tx) -> Work<'a, T> + Send + 'static,
{
    /// Some(true): done; Some(false): undo this one; None: the connection is of no more use.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Pin<Box<dyn Future<Output = Option<bool>> + Send + 'a>> {
        Box::pin(async move {
            let work = self.work.take()?;
            let result = work(tx).await;
            let outcome = match &result {
                Ok(_) => Some(true),
                Err(error) if error.is_unavailable() => None,
                Err(_) => Some(false),
            };
            self.result = Some(result);
            outcome
        })
    }

    fn answer(self: Box<Self>, failed: Option<String>) {
        let result = match (self.result, failed) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(why)) => Err(StoreError::Unavailable(why)),
            (Some(result), None) => result,
            (None, None) => Err(StoreError::Unavailable("the work was not done".into())),
        };
        // Nobody waits any more: the work is done all the same.
        let _ = self.reply.send(result);
    }
}

/// The way to the writing task.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    events: broadcast::Sender<Arc<StoredEvent>>,
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Where there is no `first` connection, the database is opened as soon as it answers.
    pub(super) fn start(
        opening: Opening,
        first: Option<Tx>,
        options: &StoreOptions,
        events: broadcast::Sender<Arc<StoredEvent>>,
    ) -> Writer {
        let (queue, jobs) = mpsc::channel(options.write_queue.max(1));
        let url = opening.url.clone();
        let opening = Some(opening).filter(|_| first.is_none());
        let task = Task { url, opening, patience: options.patience, tx: first, events: events.clone(), failed: None };
        tokio::spawn(task.run(jobs));
        Writer { queue, events }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<StoredEvent>> {
        self.events.subscribe()
    }

    #[allow(clippy::disallowed_methods)] // a figure alone; nothing of it is stored
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> Work<'a, T> + Send + 'static,
    {
        let began = Instant::now();
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Asked { work: Some(work), result: None, reply });
        let gone = || StoreError::Unavailable("the store is closed".into());
        self.queue.send(Message::Job(job)).await.map_err(|_| gone())?;
        let result = answer.await.map_err(|_| gone())?;
        metrics::histogram!("hotline_store_write_seconds").record(began.elapsed().as_secs_f64());
        result
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

struct Task {
    url: String,
    /// What is to be done before the first connection is used.
    opening: Option<Opening>,
    patience: Duration,
    tx: Option<Tx>,
    events: broadcast::Sender<Arc<StoredEvent>>,
    /// Why the last attempt to connect failed, and when the next one may be made.
    failed: Option<(Instant, String)>,
}

impl Task {
    async fn run(mut self, mut jobs: mpsc::Receiver<Message>) {
        while let Some(message) = jobs.recv().await {
            let first = match message {
                Message::Job(job) => job,
                Message::Close(done) => return self.close(done).await,
            };
            if let Err(why) = self.connected().await {
                first.answer(Some(why));
                continue;
            }
            let closing = self.batch(first, &mut jobs).await;
            if let Some(done) = closing {
                return self.close(done).await;
            }
        }
    }

    async fn close(mut self, done: oneshot::Sender<()>) {
        if let Some(tx) = self.tx.take()
            && let Err(error) = tx.conn.close().await
        {
            tracing::warn!(%error, "closing the database");
        }
        let _ = done.send(());
    }

    #[allow(clippy::disallowed_methods)] // pacing of this task alone; nothing of it is stored
    async fn connected(&mut self) -> std::result::Result<(), String> {
        if self.tx.is_some() {
            return Ok(());
        }
        if let Some((at, why)) = &self.failed
            && Instant::now() < *at
        {
            return Err(why.clone());
        }
        let longest = if self.opening.is_some() { OPENING } else { self.patience };
        let connecting = async {
            match &self.opening {
                Some(opening) => opening.run().await,
                None => connect(&self.url).await,
            }
        };
        let why = match tokio::time::timeout(longest, connecting).await {
            Ok(Ok(tx)) => {
                tracing::info!("the database is back");
                self.opening = None;
                self.tx = Some(tx);
                self.failed = None;
                return Ok(());
            }
            Ok(Err(StoreError::Unavailable(why))) => why,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "connecting took too long".to_owned(),
        };
        self.failed = Some((Instant::now() + RECONNECT, why.clone()));
        Err(why)
    }

    /// Runs what waits in one transaction and answers it.
    async fn batch(&mut self, first: Box<dyn Job>, jobs: &mut mpsc::Receiver<Message>) -> Option<oneshot::Sender<()>> {
        let Some(tx) = self.tx.as_mut() else {
            first.answer(Some("no connection".into()));
            return None;
        };
        let mut done: Vec<Box<dyn Job>> = Vec::with_capacity(BATCH);
        done.push(first);
        let mut closing = None;
        let work = transaction(tx, jobs, &mut done, &mut closing);
        let failed = match tokio::time::timeout(STALLED, work).await {
            Ok(outcome) => outcome.err(),
            Err(_) => Some(format!("no answer for {} s", STALLED.as_secs())),
        };
        let fresh = std::mem::take(&mut tx.fresh);
        if let Some(why) = &failed {
            tracing::warn!(%why, "a transaction failed; connecting anew");
            if let Some(tx) = self.tx.take() {
                // Nothing of the transaction may survive: the connection is closed, not reused.
                drop(tx.conn.close_hard().await);
            }
        } else {
            for event in fresh {
                let _ = self.events.send(event);
            }
        }
        for job in done {
            job.answer(failed.clone());
        }
        closing
    }
}

/// Runs the first of `done` and what else waits in one transaction. Each is put there before it runs, so that it is
/// answered whatever becomes of the connection.
#[allow(clippy::disallowed_methods)] // pacing of this task alone; nothing of it is stored
async fn transaction(
    tx: &mut Tx,
    jobs: &mut mpsc::Receiver<Message>,
    done: &mut Vec<Box<dyn Job>>,
    closing: &mut Option<oneshot::Sender<()>>,
) -> std::result::Result<(), String> {
    let began = Instant::now();
    tx.conn.execute("BEGIN").await.map_err(|error| error.to_string())?;
    while let Some(job) = done.last_mut() {
        run_one(tx, job.as_mut()).await?;
        if done.len() >= BATCH || began.elapsed() >= BATCH_TIME {
            break;
        }
        match jobs.try_recv() {
            Ok(Message::Job(job)) => done.push(job),
            Ok(Message::Close(close)) => {
                *closing = Some(close);
                break;
            }
            Err(_) => break,
        }
    }
    tx.conn.execute("COMMIT").await.map(drop).map_err(|error| error.to_string())
}

/// One piece of work within its savepoint; an error means that the connection is of no more use.
async fn run_one(tx: &mut Tx, job: &mut dyn Job) -> std::result::Result<(), String> {
    let heard = tx.fresh.len();
    tx.conn.execute("SAVEPOINT work").await.map_err(|error| error.to_string())?;
    match job.run(tx).await {
        Some(true) => {
            tx.conn.execute("RELEASE SAVEPOINT work").await.map_err(|error| error.to_string())?;
        }
        Some(false) => {
            tx.fresh.truncate(heard);
            tx.conn.execute("ROLLBACK TO SAVEPOINT work").await.map_err(|error| error.to_string())?;
            tx.conn.execute("RELEASE SAVEPOINT work").await.map_err(|error| error.to_string())?;
        }
        None => return Err("the database is not available".into()),
    }
    Ok(())
}

/// The writing connection.
pub(super) async fn connect(url: &str) -> Result<Tx> {
    let mut conn = AnyConnection::connect(url).await?;
    if url.starts_with("sqlite:") {
        super::schema::sqlite_settings(&mut conn).await?;
    }
    let row = sqlx::query("SELECT COALESCE(max(id), 0) AS n FROM event").fetch_one(&mut conn).await?;
    let next_event = row.int("n")?;
    Ok(Tx { conn, next_event, fresh: Vec::new() })
}
