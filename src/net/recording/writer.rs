//! One writer thread: takes frames from its ring, lays them on timelines, appends sealed seconds.

use super::{
    WriterCounters, count, path,
    ring::{Consumer, Entry},
    sync::{Handle, Kept},
};
use crate::{
    clock::UnixMillis,
    ids::{CallId, RecordingId},
    media::{
        engine::{CallEvent, Event},
        recorder::{End, Frame, Header, Key, Sealer, Timeline},
    },
    net::clock,
};
use rand::Rng;
use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How often the ring is looked at while something is recorded, and while nothing is.
const BUSY: Duration = Duration::from_millis(20);
const IDLE: Duration = Duration::from_millis(500);

struct Open {
    call: CallId,
    started: Instant,
    timeline: Timeline,
    sealer: Sealer,
    /// None after a failed write.
    file: Option<Arc<Kept>>,
    /// Whole seconds in the file.
    seconds: u64,
}

pub(super) struct Writer {
    folder: PathBuf,
    key: Key,
    syncer: Handle,
    counters: Arc<WriterCounters>,
    open: HashMap<RecordingId, Open>,
    chunk: Vec<u8>,
}

impl Writer {
    pub(super) fn new(folder: PathBuf, key: Key, syncer: Handle, counters: Arc<WriterCounters>) -> Writer {
        Writer { folder, key, syncer, counters, open: HashMap::new(), chunk: Vec::new() }
    }

    pub(super) fn run(mut self, mut ring: Consumer) {
        loop {
            // Asked before the ring is emptied: what an ended media thread left in it is written.
            let last = ring.is_abandoned();
            let now = clock::now().mono;
            while ring.take(|entry, payload| self.handle(now, entry, payload)) {}
            self.advance(now);
            if last {
                break;
            }
            thread::park_timeout(if self.open.is_empty() { IDLE } else { BUSY });
        }
    }

    fn handle(&mut self, now: Instant, entry: Entry, payload: &[u8]) {
        match entry {
            Entry::Start { call, recording, wall } => self.start(now, call, recording, wall),
            Entry::Frame { recording, leg, side, codec, at_ms, timestamp } => {
                let Some(open) = self.open.get_mut(&recording) else { return };
                let Open { call, timeline, sealer, file, seconds, .. } = open;
                timeline.advance(at_ms, |second| {
                    *seconds +=
                        append((*call, recording), file, sealer, second, &mut self.chunk, &self.syncer, &self.counters);
                });
                timeline.place(Frame { leg, side, codec, at_ms, timestamp, payload });
            }
            Entry::Stop { recording, length, gap } => self.stop(recording, length, gap),
        }
    }

    fn start(&mut self, now: Instant, call: CallId, recording: RecordingId, start: UnixMillis) {
        let header = Header { recording, start, key_id: self.key.id, salt: rand::rng().random() };
        let sealer = Sealer::new(&self.key, header);
        let file = match self.create(recording, &sealer) {
            Ok(kept) => Some(Arc::new(kept)),
            Err(error) => {
                count(&self.counters.failed);
                tracing::error!(%call, %recording, %error, "a recording cannot begin");
                None
            }
        };
        count(&self.counters.recordings);
        self.open
            .insert(recording, Open { call, started: now, timeline: Timeline::default(), sealer, file, seconds: 0 });
    }

    fn create(&self, recording: RecordingId, sealer: &Sealer) -> io::Result<Kept> {
        let path = path(&self.folder, recording);
        if let Some(folder) = path.parent() {
            if std::fs::create_dir(folder).is_ok() {
                self.syncer.made(self.folder.clone());
            }
            self.syncer.made(folder.to_owned());
        }
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(sealer.header())?;
        Ok(Kept::new(file))
    }

    /// Seals what is old enough, also where no frame came.
    fn advance(&mut self, now: Instant) {
        for (recording, open) in &mut self.open {
            let at_ms = now.saturating_duration_since(open.started).as_millis().min(u128::from(u32::MAX)) as u32;
            let Open { call, timeline, sealer, file, seconds, .. } = open;
            timeline.advance(at_ms, |second| {
                *seconds +=
                    append((*call, *recording), file, sealer, second, &mut self.chunk, &self.syncer, &self.counters);
            });
        }
    }

    fn stop(&mut self, recording: RecordingId, length: Duration, gap: bool) {
        let Some(open) = self.open.remove(&recording) else { return };
        let Open { call, mut timeline, mut sealer, mut file, mut seconds, .. } = open;
        let samples = (length.as_micros() / 125) as u64;
        timeline.finish(samples, |second| {
            seconds += append(
                (call, recording),
                &mut file,
                &mut sealer,
                second,
                &mut self.chunk,
                &self.syncer,
                &self.counters,
            );
        });
        // After a failed write what plays ends with the last second before it.
        let failed = file.is_none();
        let length = if failed { length.min(Duration::from_secs(seconds)) } else { length };
        if let Some(kept) = &file {
            let end = End { samples, gap };
            let ended = sealer.end(end, &mut self.chunk).map_err(io::Error::other);
            if let Err(error) = ended.and_then(|()| (&kept.file).write_all(&self.chunk)) {
                count(&self.counters.failed);
                tracing::error!(%call, %recording, %error, "a recording's end cannot be written");
            }
            self.syncer.written(kept);
        }
        self.syncer.done(CallEvent { call, event: Event::RecordingDone { recording, length, gap, failed } }, file);
    }
}

/// Appends a sealed second with one write; gives how many were written. A failed write ends the recording: its torn
/// chunk is not read.
fn append(
    (call, recording): (CallId, RecordingId),
    file: &mut Option<Arc<Kept>>,
    sealer: &mut Sealer,
    second: &[u8],
    chunk: &mut Vec<u8>,
    syncer: &Handle,
    counters: &WriterCounters,
) -> u64 {
    let Some(open) = file else { return 0 };
    let written = sealer.audio(second, chunk).map_err(io::Error::other).and_then(|()| (&open.file).write_all(chunk));
    match written {
        Ok(()) => {
            count(&counters.seconds);
            syncer.written(open);
            1
        }
        Err(error) => {
            count(&counters.failed);
            tracing::error!(%call, %recording, %error, "a recording cannot be written any more");
            *file = None;
            0
        }
    }
}
