//! The way of audio from a media thread to its writer: a ring of fixed slots, one producer, one consumer, no lock.
//!
//! A full ring loses frames, and the recording says so; starts and stops have a reserve of their own and, should
//! that be used up, wait at the producer.

use crate::{
    clock::UnixMillis,
    ids::{CallId, LegId, RecordingId},
    media::engine::{Codec, Record, Side},
};
use std::{
    cell::UnsafeCell,
    collections::VecDeque,
    mem::MaybeUninit,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::Thread,
    time::Duration,
};

/// The longest payload of a slot.
const PAYLOAD: usize = 480;
/// Slots that frames leave to starts and stops.
const RESERVE: usize = 256;

/// A record without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Start { call: CallId, recording: RecordingId, wall: UnixMillis },
    Frame { recording: RecordingId, leg: LegId, side: Side, codec: Codec, at_ms: u32, timestamp: u32 },
    Stop { recording: RecordingId, length: Duration, gap: bool },
}

struct Slot {
    entry: Entry,
    length: u16,
    payload: [MaybeUninit<u8>; PAYLOAD],
}

struct Shared {
    slots: Box<[UnsafeCell<MaybeUninit<Slot>>]>,
    /// Slots ever written and ever read; the producer alone raises the first, the consumer alone the second.
    written: AtomicUsize,
    read: AtomicUsize,
}

// SAFETY: a slot is touched by the producer alone while `written - read` does not cover it, and by the consumer alone
// while it does; the release stores and acquire loads of the two counters hand it over.
unsafe impl Sync for Shared {}
// SAFETY: slots hold plain data.
unsafe impl Send for Shared {}

/// The media thread's end.
pub(crate) struct Producer {
    shared: Arc<Shared>,
    waiting: VecDeque<Entry>,
    writer: Thread,
}

/// The writer's end.
pub(super) struct Consumer {
    shared: Arc<Shared>,
}

/// The two ends, and how the first is told whom to wake.
pub(super) fn ring(slots: usize) -> (impl FnOnce(Thread) -> Producer, Consumer) {
    let slots = (0..slots.max(2 * RESERVE).next_power_of_two()).map(|_| UnsafeCell::new(MaybeUninit::uninit()));
    let shared = Arc::new(Shared { slots: slots.collect(), written: AtomicUsize::new(0), read: AtomicUsize::new(0) });
    let consumer = Consumer { shared: shared.clone() };
    (move |writer| Producer { shared, waiting: VecDeque::new(), writer }, consumer)
}

impl Producer {
    /// Puts a record into the ring; false when a frame was lost.
    pub(crate) fn push(&mut self, record: Record<'_>) -> bool {
        let (entry, payload) = match record {
            Record::Start { call, recording, wall } => (Entry::Start { call, recording, wall }, &[][..]),
            Record::Frame { recording, leg, side, codec, at_ms, timestamp, payload } => {
                (Entry::Frame { recording, leg, side, codec, at_ms, timestamp }, payload)
            }
            Record::Stop { recording, length, gap } => (Entry::Stop { recording, length, gap }, &[][..]),
        };
        while let Some(first) = self.waiting.front().copied() {
            if !self.put(first, &[], 0) {
                break;
            }
            self.waiting.pop_front();
        }
        if matches!(entry, Entry::Frame { .. }) {
            return self.waiting.is_empty() && payload.len() <= PAYLOAD && self.put(entry, payload, RESERVE);
        }
        if !self.waiting.is_empty() || !self.put(entry, payload, 0) {
            self.waiting.push_back(entry);
        }
        self.writer.unpark();
        true
    }

    fn put(&mut self, entry: Entry, payload: &[u8], reserve: usize) -> bool {
        let written = self.shared.written.load(Ordering::Relaxed);
        let used = written.wrapping_sub(self.shared.read.load(Ordering::Acquire));
        if used + reserve >= self.shared.slots.len() {
            return false;
        }
        let cell = &self.shared.slots[written & (self.shared.slots.len() - 1)];
        // SAFETY: the slot is not covered (used < length), so it is ours until `written` is raised below. Only the
        // parts that are read again are written: entry, length, and `length` octets.
        unsafe {
            let slot = (*cell.get()).as_mut_ptr();
            (&raw mut (*slot).entry).write(entry);
            (&raw mut (*slot).length).write(payload.len() as u16);
            let to = (&raw mut (*slot).payload).cast::<u8>();
            std::ptr::copy_nonoverlapping(payload.as_ptr(), to, payload.len());
        }
        self.shared.written.store(written.wrapping_add(1), Ordering::Release);
        true
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // The process ends in order: what waits is brought in as soon as the writer makes room.
        for _ in 0..1000 {
            while let Some(first) = self.waiting.front().copied() {
                if !self.put(first, &[], 0) {
                    break;
                }
                self.waiting.pop_front();
            }
            if self.waiting.is_empty() {
                break;
            }
            self.writer.unpark();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Consumer {
    /// Takes the oldest record; false when there is none.
    pub(super) fn take(&mut self, with: impl FnOnce(Entry, &[u8])) -> bool {
        let read = self.shared.read.load(Ordering::Relaxed);
        if read == self.shared.written.load(Ordering::Acquire) {
            return false;
        }
        let cell = &self.shared.slots[read & (self.shared.slots.len() - 1)];
        // SAFETY: the slot is covered, so it is ours until `read` is raised below; its entry, its length and `length`
        // (at most PAYLOAD) octets were written.
        let (entry, payload) = unsafe {
            let slot = (*cell.get()).as_ptr();
            let length = usize::from((&raw const (*slot).length).read());
            let from = (&raw const (*slot).payload).cast::<u8>();
            ((&raw const (*slot).entry).read(), std::slice::from_raw_parts(from, length))
        };
        with(entry, payload);
        self.shared.read.store(read.wrapping_add(1), Ordering::Release);
        true
    }

    /// Whether the media thread has ended.
    pub(super) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: u32, payload: &[u8]) -> Record<'_> {
        Record::Frame {
            recording: RecordingId(1),
            leg: LegId(2),
            side: Side::Left,
            codec: Codec::Pcma,
            at_ms: n,
            timestamp: n,
            payload,
        }
    }

    #[test]
    fn frames_keep_their_order_across_threads() {
        let (producer, mut consumer) = ring(512);
        let mut producer = producer(std::thread::current());
        let sender = std::thread::spawn(move || {
            let mut n = 0u32;
            while n < 100_000 {
                if producer.push(frame(n, &n.to_be_bytes()[..(n % 5) as usize])) {
                    n += 1;
                } else {
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0u32;
        while expected < 100_000 {
            consumer.take(|entry, payload| {
                assert!(matches!(entry, Entry::Frame { at_ms, .. } if at_ms == expected));
                assert_eq!(payload, &expected.to_be_bytes()[..(expected % 5) as usize]);
                expected += 1;
            });
        }
        sender.join().unwrap();
        assert!(!consumer.take(|_, _| ()));
        assert!(consumer.is_abandoned());
    }

    #[test]
    fn a_full_ring_loses_frames_and_no_stop() {
        let (producer, mut consumer) = ring(512);
        let mut producer = producer(std::thread::current());
        assert_eq!((0..600).filter(|n| producer.push(frame(*n, &[1; 160]))).count(), 256);
        let stop = |n| Record::Stop { recording: RecordingId(n), length: Duration::ZERO, gap: true };
        (0..400).for_each(|n| assert!(producer.push(stop(n))));
        assert!(!producer.push(frame(1, &[0; 481])));
        let mut stops = 0;
        while consumer.take(|entry, _| stops += u64::from(matches!(entry, Entry::Stop { .. }))) {}
        producer.push(stop(400));
        while consumer.take(|entry, _| stops += u64::from(matches!(entry, Entry::Stop { .. }))) {}
        assert_eq!(stops, 401);
    }
}
