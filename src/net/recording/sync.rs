//! Brings written recordings to the disk: at most once a second, for all files together.

use super::{WriterCounters, count};
use crate::{
    media::engine::{CallEvent, Event},
    net::rtp::EventSink,
};
use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

/// From so many files on the whole file system is synchronised at once: one journal commit in place of many.
const MANY: usize = 16;
const INTERVAL: Duration = Duration::from_secs(1);
/// How soon after the last time a finished recording is synchronised.
const SOON: Duration = Duration::from_millis(100);

/// A recording's file, and whether the disk once failed to take what was written to it: then it may lack some of it
/// for ever, for the system tells of it once only.
pub(super) struct Kept {
    pub(super) file: File,
    failed: AtomicBool,
}

impl Kept {
    pub(super) fn new(file: File) -> Self {
        Kept { file, failed: AtomicBool::new(false) }
    }
}

#[derive(Default)]
struct Work {
    dirty: Vec<Arc<Kept>>,
    /// Folders with new files.
    folders: Vec<PathBuf>,
    /// Told when what was written before is on the disk.
    done: Vec<(CallEvent, Option<Arc<Kept>>)>,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    wake: Condvar,
}

/// The synchronising thread.
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// A writer's way to it.
#[derive(Clone)]
pub(super) struct Handle(Arc<Shared>);

impl Handle {
    /// The file has new chunks. Said again only after the file was synchronised or the second is over.
    pub(super) fn written(&self, file: &Arc<Kept>) {
        self.with(|work| work.dirty.push(file.clone()));
    }

    /// A file was made in this folder.
    pub(super) fn made(&self, folder: PathBuf) {
        self.with(|work| work.folders.push(folder));
    }

    /// A recording is complete; the event is told when it is on the disk, or cannot be brought there.
    pub(super) fn done(&self, event: CallEvent, file: Option<Arc<Kept>>) {
        self.with(|work| work.done.push((event, file)));
        self.0.wake.notify_one();
    }

    fn with(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.0.work.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Syncer {
    pub(super) fn start(folder: &Path, events: EventSink, counters: Arc<WriterCounters>) -> io::Result<Syncer> {
        let shared = Arc::new(Shared::default());
        let (ours, root) = (shared.clone(), File::open(folder)?);
        let thread = std::thread::Builder::new()
            .name("rec-sync".into())
            .spawn(move || while !round(&ours, &root, &events, &counters) {})?;
        Ok(Syncer { shared, thread })
    }

    pub(super) fn handle(&self) -> Handle {
        Handle(self.shared.clone())
    }

    pub(super) fn stop(self) {
        self.shared.work.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.shared.wake.notify_one();
        let _ = self.thread.join();
    }
}

/// Waits, synchronises, tells. True: it was the last time.
fn round(shared: &Shared, root: &File, events: &EventSink, counters: &WriterCounters) -> bool {
    std::thread::sleep(SOON);
    let guard = shared.work.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut guard, _) = shared
        .wake
        .wait_timeout_while(guard, INTERVAL - SOON, |work| work.done.is_empty() && !work.stopped)
        .unwrap_or_else(PoisonError::into_inner);
    let mut work = std::mem::take(&mut *guard);
    guard.stopped = work.stopped;
    drop(guard);
    work.dirty.sort_unstable_by_key(|kept| kept.file.as_raw_fd());
    work.dirty.dedup_by_key(|kept| kept.file.as_raw_fd());
    work.folders.sort_unstable();
    work.folders.dedup();
    if let Err(error) = synchronise(&work, root) {
        count(&counters.failed_syncs);
        tracing::error!(%error, "recordings cannot be brought to the disk");
    }
    for (mut told, kept) in work.done.drain(..) {
        if let Event::RecordingDone { failed, .. } = &mut told.event {
            *failed |= kept.is_none_or(|kept| kept.failed.load(Relaxed));
        }
        events(told);
    }
    work.stopped
}

fn synchronise(work: &Work, root: &File) -> io::Result<()> {
    let done = bring_to_disk(work, root);
    if done.is_err() {
        work.dirty.iter().for_each(|kept| kept.failed.store(true, Relaxed));
    }
    done
}

fn bring_to_disk(work: &Work, root: &File) -> io::Result<()> {
    if work.dirty.len() + work.folders.len() > MANY {
        // SAFETY: no pointers; the descriptor is open.
        return match unsafe { libc::syncfs(root.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
    }
    // One bad file must not keep the others from the disk.
    let files: Vec<io::Result<()>> = work.dirty.iter().map(|kept| kept.file.sync_data()).collect();
    files.into_iter().collect::<io::Result<()>>()?;
    work.folders.iter().try_for_each(|folder| File::open(folder)?.sync_all())
}
