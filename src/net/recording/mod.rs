//! Recordings on disk: writer threads fed by the media threads' rings, and reading them back.
//!
//! Each media thread has one writer. It lays frames on timelines and appends sealed seconds, each with one write;
//! one more thread brings what was written to the disk, at most once a second for all. Nothing is written in the
//! clear. A failed write ends that recording with an alarm and a gap; calls go on.

pub mod export;
pub(crate) mod ring;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

pub use crate::media::recorder::Key;
pub use export::{ExportError, Reader, Summary, export_wav};

use super::rtp::EventSink;
use crate::ids::RecordingId;
use ring::Producer;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

/// How recordings are kept.
#[derive(Clone, Debug)]
pub struct RecordingConfig {
    /// Made if it is not there.
    pub folder: PathBuf,
    /// The master key that seals what is written.
    pub key: Key,
    /// Frames that may wait for one writer: 512 octets each.
    pub ring_slots: usize,
}

impl RecordingConfig {
    /// 16,384 frames a media thread: eight seconds of twenty calls.
    pub fn new(folder: impl Into<PathBuf>, key: Key) -> Self {
        RecordingConfig { folder: folder.into(), key, ring_slots: 16_384 }
    }
}

/// Where a recording's file is: one of 256 folders, so that none grows too large.
pub fn path(folder: &Path, recording: RecordingId) -> PathBuf {
    folder.join(format!("{:02x}", recording.0 & 0xff)).join(format!("{recording}.hlrec"))
}

/// What the writers count; read by metrics.
#[derive(Debug, Default)]
pub struct WriterCounters {
    /// Recordings that were begun.
    pub recordings: AtomicU64,
    /// Seconds of stereo that were written.
    pub seconds: AtomicU64,
    /// Recordings that a failed write ended, or that could not begin. More than none is an alarm.
    pub failed: AtomicU64,
    /// Times when what was written could not be brought to the disk.
    pub failed_syncs: AtomicU64,
}

/// The writer threads.
pub(crate) struct Writers {
    threads: Vec<JoinHandle<()>>,
    syncer: sync::Syncer,
    counters: Arc<WriterCounters>,
}

impl Writers {
    /// Starts one writer for each media thread, and gives the media threads' ends of the rings.
    pub(crate) fn start(
        config: RecordingConfig,
        threads: usize,
        events: EventSink,
    ) -> io::Result<(Writers, Vec<Producer>)> {
        std::fs::create_dir_all(&config.folder)?;
        let counters = Arc::new(WriterCounters::default());
        let syncer = sync::Syncer::start(&config.folder, events.clone(), counters.clone())?;
        let mut writers = Writers { threads: vec![], syncer, counters };
        let mut producers = vec![];
        for n in 0..threads {
            let (producer, consumer) = ring::ring(config.ring_slots);
            let writer = writer::Writer::new(
                config.folder.clone(),
                config.key.clone(),
                writers.syncer.handle(),
                writers.counters.clone(),
            );
            let thread = std::thread::Builder::new().name(format!("rec-{n}")).spawn(move || writer.run(consumer))?;
            producers.push(producer(thread.thread().clone()));
            writers.threads.push(thread);
        }
        Ok((writers, producers))
    }

    /// What was written.
    pub(crate) fn counters(&self) -> &Arc<WriterCounters> {
        &self.counters
    }

    /// Waits until everything is sealed and on the disk. The media threads must have ended.
    pub(crate) fn stop(self) {
        for thread in self.threads {
            thread.thread().unpark();
            let _ = thread.join();
        }
        self.syncer.stop();
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
