//! The spool: a local journal of accepted calls, so that nothing is lost while the database is away or when the program
//! dies.
//!
//! One thread owns a SQLite file of its own (synchronous=FULL) and commits all that waits at once: [`Spool::accept`]
//! answers when the call is on disk, and the 200 waits for that. Dialogs and waiters are snapshotted beside it. The
//! feeder copies calls to the store and deletes them here when both their ticket and their record are there.

mod age;
mod bindings;
mod copy;
mod feeder;
mod footing;
mod journal;

use super::{
    Result, StoreError,
    ingest::{AcceptedCall, FinishedCall},
    sql::to_json,
};
use crate::{
    clock::UnixMillis,
    ids::{CallId, LegId, QueueName},
};
pub use age::Waiting;
pub use copy::SpoolCopy;
pub use footing::Footing;
use journal::{Journal, Op};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, mpsc, oneshot};

/// Operations that may wait; a caller of [`Spool::accept`] then waits too, a snapshot is dropped and counted.
const MAILBOX: usize = 16_384;

/// A caller who waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpooledWaiter {
    /// The call.
    pub call: CallId,
    /// The queue.
    pub queue: QueueName,
    /// The rank: when the caller first entered a queue.
    pub enqueued_at: UnixMillis,
    /// The number to call back.
    pub number: Option<String>,
    /// The call's record, where the call was not answered and nothing else is kept of it.
    #[serde(default)]
    pub record: Option<Value>,
}

/// A call that had not ended when the program stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredCall {
    /// As it was accepted.
    pub accepted: AcceptedCall,
    /// The last progress that was noted.
    pub progress: Option<Value>,
}

/// What the spool holds from before a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// Calls that had not ended, the oldest first: each is to be finished.
    pub calls: Vec<RecoveredCall>,
    /// Dialogs as they were snapshotted, for ending their legs.
    pub dialogs: Vec<(LegId, CallId, Value)>,
    /// Callers who waited, by rank.
    pub waiters: Vec<SpooledWaiter>,
}

/// The journal. Clones share it.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    ops: mpsc::Sender<Op>,
    state: Arc<JournalState>,
}

/// What the journal's thread and others share.
#[derive(Default)]
pub(super) struct JournalState {
    /// There is something to feed.
    fresh: Notify,
    /// Calls, and endings of calls, that the store does not have yet.
    backlog: AtomicI64,
    /// Snapshots that were dropped since the mailbox was full.
    dropped: AtomicU64,
    /// Why the last commit failed; none where it did not.
    trouble: Mutex<Option<String>>,
}

fn gone() -> StoreError {
    StoreError::Unavailable("the spool is closed".into())
}

impl Spool {
    /// Opens or makes the journal in a folder, and gives what it holds from before. The folder must be on a local
    /// disk, and no other program may use it.
    pub async fn open(dir: &Path) -> Result<(Spool, Recovered)> {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let path = dir.join("spool.db");
        let (ops, mailbox) = mpsc::channel(MAILBOX);
        let state = Arc::new(JournalState::default());
        let (opened, open) = oneshot::channel();
        let thread_state = state.clone();
        std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || Journal::run(path, mailbox, thread_state, opened))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let recovered = open.await.map_err(|_| gone())??;
        Ok((Spool { shared: Arc::new(Shared { ops, state }) }, recovered))
    }

    /// Takes a call into the journal at once; the future is done when it is on disk. The 200 waits for this. Where the
    /// journal is as far behind as its mailbox is long, the call is refused.
    #[allow(clippy::disallowed_methods)] // a figure alone; nothing of it is stored
    pub fn accept(&self, call: AcceptedCall) -> impl Future<Output = Result<()>> + Send + use<> {
        let began = std::time::Instant::now();
        let (reply, answer) = oneshot::channel();
        let taken = self.shared.ops.try_send(Op::Accept(Box::new(call), reply));
        async move {
            taken.map_err(|_| StoreError::Unavailable("the spool is full or closed".into()))?;
            let result = answer.await.map_err(|_| gone())?;
            metrics::histogram!("hotline_spool_commit_seconds").record(began.elapsed().as_secs_f64());
            result
        }
    }

    /// Takes a call that is over without having been answered: done when it is on disk, however long the disk is full.
    pub fn keep(&self, call: AcceptedCall) -> impl Future<Output = Result<()>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.say(Op::Keep(Box::new(call), reply), answer)
    }

    /// Takes a call's ending, after all that was said of the call before; done when it is on disk, however long the disk
    /// is full. Its dialogs and its waiter are forgotten.
    pub fn finish(&self, call: CallId, finished: FinishedCall) -> impl Future<Output = Result<()>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.say(Op::Finish(call, Box::new(finished), reply), answer)
    }

    /// Takes back a call that was accepted and never answered: no ticket is owed for it. Done when it is on disk.
    pub fn forget(&self, call: CallId) -> impl Future<Output = Result<()>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.say(Op::Forget(call, reply), answer)
    }

    /// Notes a call's progress for a restart. The first one says that its 200 went out: from then on the store is fed;
    /// false where it could not be taken now.
    pub fn update(&self, call: CallId, progress: impl Serialize) -> bool {
        to_json(&progress).is_ok_and(|text| self.tell(Op::Update(call, text)))
    }

    /// Snapshots a dialog; false where it could not be taken now.
    pub fn dialog_put(&self, leg: LegId, call: CallId, dialog: impl Serialize) -> bool {
        to_json(&dialog).is_ok_and(|text| self.tell(Op::Dialog(leg, Some((call, text)))))
    }

    /// Forgets a dialog.
    pub fn dialog_remove(&self, leg: LegId) -> bool {
        self.tell(Op::Dialog(leg, None))
    }

    /// Notes that a caller waits.
    pub fn waiter_put(&self, waiter: SpooledWaiter) -> bool {
        self.tell(Op::Waiter(waiter.call, Some(waiter)))
    }

    /// Notes that a caller does not wait any more.
    pub fn waiter_remove(&self, call: CallId) -> bool {
        self.tell(Op::Waiter(call, None))
    }

    /// Done when everything said before is on disk. Errors where the journal cannot be written.
    pub async fn flush(&self) -> Result<()> {
        self.ask(Op::Flush).await
    }

    /// Where the journal could not be written, finds out whether it can be by now; what waits is written then.
    async fn try_again(&self) {
        if self.trouble().is_some() {
            // The outcome is the journal's trouble, or that there is none any more.
            let _ = self.flush().await;
        }
    }

    /// Calls and endings that the store does not have yet.
    pub fn backlog(&self) -> i64 {
        self.shared.state.backlog.load(Ordering::Relaxed).max(0)
    }

    /// Snapshots dropped so far.
    pub fn dropped(&self) -> u64 {
        self.shared.state.dropped.load(Ordering::Relaxed)
    }

    /// Why the journal cannot be written at the moment.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands over at once, so that the order is that of the calls; only a full mailbox makes the future wait.
    fn say(&self, op: Op, answer: oneshot::Receiver<Result<()>>) -> impl Future<Output = Result<()>> + Send + use<> {
        let taken = self.shared.ops.try_send(op);
        let ops = self.shared.ops.clone();
        async move {
            if let Err(error) = taken {
                ops.send(error.into_inner()).await.map_err(|_| gone())?;
            }
            answer.await.map_err(|_| gone())?
        }
    }

    /// Looks at the journal.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut rusqlite::Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        // Nobody waits any more: the program is ending.
        let reader: journal::Reader = Box::new(move |conn| drop(reply.send(conn.and_then(look))));
        self.shared.ops.send(Op::Read(reader)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn ask(&self, op: impl FnOnce(oneshot::Sender<Result<()>>) -> Op) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.shared.ops.send(op(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn tell(&self, op: Op) -> bool {
        let taken = self.shared.ops.try_send(op).is_ok();
        if !taken {
            self.shared.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}
