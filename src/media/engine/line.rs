//! A leg's outgoing line: one SSRC, sequence and timestamp through prompt, peer, keys and conference.
//!
//! A switch of what feeds the line takes the next sequence number, a timestamp that is ahead by the time that really
//! passed, and the marker bit (RFC 3550 section 5.1, RFC 3551 section 4.1).

use crate::{
    ids::LegId,
    media::rtp::{Header, sequence_distance, timestamp_distance},
};

/// What the last packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    None,
    Play(u64),
    Room,
    Digit,
    Peer { leg: LegId, ssrc: u32 },
}

/// How a forwarded packet is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
}

/// Microseconds of one sample.
const SAMPLE: u64 = 125;
/// A generated line that stood still for longer goes on as after a switch.
const STILL: u64 = 200_000;
/// Jumps of a peer's own line that are taken as a new one: in packets, and in samples against the clock.
const SEQUENCE_JUMP: i32 = 1000;
const TIMESTAMP_JUMP: i64 = 24_000;
/// Packets after a switch during which older ones of the peer are dropped.
const SETTLE: u8 = 64;

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// When `timestamp` was sent, and how many samples that packet held.
    at: u64,
    samples: u32,
    feed: Feed,
    sequence_offset: u16,
    timestamp_offset: u32,
    first_in: u16,
    settle: u8,
    last_in: u16,
    last_in_timestamp: u32,
}

impl Line {
    pub(super) fn new(ssrc: u32, sequence: u16, timestamp: u32, at: u64) -> Self {
        Line {
            ssrc,
            sequence,
            timestamp,
            at,
            samples: 0,
            feed: Feed::None,
            sequence_offset: 0,
            timestamp_offset: 0,
            first_in: 0,
            settle: 0,
            last_in: 0,
            last_in_timestamp: 0,
        }
    }

    /// The timestamp that belongs to a moment (for sender reports and switches).
    pub(super) fn timestamp_at(&self, at: u64) -> u32 {
        let passed = (at.saturating_sub(self.at) / SAMPLE) as u32;
        self.timestamp.wrapping_add(passed)
    }

    fn after_switch(&self, at: u64) -> u32 {
        let passed = (at.saturating_sub(self.at) / SAMPLE).min(u64::from(u32::MAX)) as u32;
        self.timestamp.wrapping_add(passed.max(self.samples))
    }

    /// The next packet of something that we generate.
    pub(super) fn generated(&mut self, at: u64, feed: Feed, samples: u32) -> Numbers {
        let same = self.feed == feed && at.saturating_sub(self.at) < STILL;
        self.timestamp = if same { self.timestamp.wrapping_add(self.samples) } else { self.after_switch(at) };
        self.sequence = self.sequence.wrapping_add(1);
        (self.at, self.samples, self.feed) = (at, samples, feed);
        Numbers { sequence: self.sequence, timestamp: self.timestamp, marker: !same }
    }

    /// The next packet of a key: `first` takes a new timestamp, the others keep it (RFC 4733 section 2.1).
    pub(super) fn digit(&mut self, at: u64, first: bool) -> Numbers {
        if first {
            self.timestamp = self.after_switch(at);
            (self.at, self.samples, self.feed) = (at, 0, Feed::Digit);
        }
        self.sequence = self.sequence.wrapping_add(1);
        Numbers { sequence: self.sequence, timestamp: self.timestamp, marker: first }
    }

    /// The numbers of a peer's packet; gaps and disorder of its line are kept. None: it is older than the switch.
    pub(super) fn forwarded(&mut self, at: u64, leg: LegId, header: &Header, samples: u32) -> Option<Numbers> {
        let feed = Feed::Peer { leg, ssrc: header.ssrc };
        if self.feed == feed {
            let step = sequence_distance(header.sequence, self.last_in);
            let passed = (at.saturating_sub(self.at) / SAMPLE) as i64;
            let ahead = i64::from(timestamp_distance(header.timestamp, self.last_in_timestamp)) - passed;
            if step.abs() <= SEQUENCE_JUMP && ahead.abs() <= TIMESTAMP_JUMP {
                return self.follow(at, header, samples, step);
            }
        }
        let timestamp = self.after_switch(at);
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence_offset = self.sequence.wrapping_sub(header.sequence);
        self.timestamp_offset = timestamp.wrapping_sub(header.timestamp);
        (self.timestamp, self.at, self.samples, self.feed) = (timestamp, at, samples, feed);
        (self.first_in, self.settle) = (header.sequence, SETTLE);
        (self.last_in, self.last_in_timestamp) = (header.sequence, header.timestamp);
        Some(Numbers { sequence: self.sequence, timestamp, marker: true })
    }

    fn follow(&mut self, at: u64, header: &Header, samples: u32, step: i32) -> Option<Numbers> {
        if self.settle > 0 {
            if sequence_distance(header.sequence, self.first_in) < 0 {
                return None;
            }
            self.settle -= 1;
        }
        let sequence = header.sequence.wrapping_add(self.sequence_offset);
        let timestamp = header.timestamp.wrapping_add(self.timestamp_offset);
        if step > 0 {
            (self.sequence, self.timestamp, self.at, self.samples) = (sequence, timestamp, at, samples);
            (self.last_in, self.last_in_timestamp) = (header.sequence, header.timestamp);
        }
        Some(Numbers { sequence, timestamp, marker: header.marker })
    }
}
