//! Lays the frames of a recording's legs on one stereo timeline.
//!
//! A frame's place follows from its RTP timestamp; the first frame of a leg, and one whose timestamp no longer fits
//! the time at which it came, is placed by that time. A second is given out when frames have had 200 ms more to
//! come. Legs on the same side are added up.

use crate::{
    ids::LegId,
    media::{codec::Codec, engine::Side},
};

/// Samples of a second.
pub const SECOND: usize = 8000;
/// How long frames may be late, in milliseconds.
pub const HOLD_BACK: u32 = 200;

const SILENCE: u8 = Codec::Pcma.silence();
/// Samples a side that are kept: a second, the hold-back, and as much again for frames that are ahead.
const WINDOW: usize = SECOND + 4000;
/// So far ahead of its coming a frame cannot be: 120 ms.
const AHEAD: i64 = 960;
/// So far behind, its line has begun anew; between the two bounds it has to stay behind for a while.
const FAR: i64 = SECOND as i64;
const BEHIND: i64 = 960;
const PATIENCE: u8 = 25;

/// What a leg said, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Who said it; each leg has a line of its own.
    pub leg: LegId,
    /// Where it is laid.
    pub side: Side,
    /// What `payload` is.
    pub codec: Codec,
    /// When it came, in milliseconds since the recording's start.
    pub at_ms: u32,
    /// Of its RTP packet, at 8 kHz.
    pub timestamp: u32,
    /// One octet a sample.
    pub payload: &'a [u8],
}

#[derive(Debug)]
struct Track {
    leg: LegId,
    /// The newest frame's timestamp and its place.
    timestamp: u32,
    place: i64,
    /// After the last sample that was laid.
    end: i64,
    behind: u8,
    recent: [Option<u32>; 16],
    next: usize,
}

/// The part of a recording that is not given out yet.
#[derive(Debug)]
pub struct Timeline {
    /// Left and right in turn.
    window: Vec<u8>,
    /// The place of the window's first sample.
    base: i64,
    tracks: Vec<Track>,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline { window: vec![SILENCE; 2 * WINDOW], base: 0, tracks: Vec::new() }
    }
}

impl Timeline {
    /// Samples a side that were given out.
    pub fn given_out(&self) -> u64 {
        self.base as u64
    }

    /// Gives out the seconds that no frame can change any more at this time. Call it before [`Timeline::place`].
    pub fn advance(&mut self, at_ms: u32, mut give_out: impl FnMut(&[u8])) {
        while i64::from(at_ms) * 8 >= self.base + SECOND as i64 + i64::from(HOLD_BACK) * 8 {
            self.give_out(SECOND, &mut give_out);
        }
    }

    /// Gives out the rest of a recording of this length.
    pub fn finish(&mut self, samples: u64, mut give_out: impl FnMut(&[u8])) {
        let samples = i64::try_from(samples).unwrap_or(i64::MAX);
        while self.base < samples {
            self.give_out((samples - self.base).min(SECOND as i64) as usize, &mut give_out);
        }
    }

    fn give_out(&mut self, samples: usize, give_out: &mut impl FnMut(&[u8])) {
        give_out(&self.window[..2 * samples]);
        self.window.copy_within(2 * samples.., 0);
        let kept = 2 * (WINDOW - samples);
        self.window[kept..].fill(SILENCE);
        self.base += samples as i64;
    }

    /// Lays a frame; what comes later than the hold-back allows, or twice, is left out.
    pub fn place(&mut self, frame: Frame<'_>) {
        let length = frame.payload.len() as i64;
        // It was complete when it was sent, so it ends where it came.
        let by_arrival = (i64::from(frame.at_ms) * 8 - length).max(0);
        let index = match self.tracks.iter().position(|t| t.leg == frame.leg) {
            Some(index) => index,
            None => {
                self.tracks.push(Track {
                    leg: frame.leg,
                    timestamp: frame.timestamp,
                    place: by_arrival,
                    end: by_arrival,
                    behind: 0,
                    recent: [None; 16],
                    next: 0,
                });
                self.tracks.len() - 1
            }
        };
        let track = &mut self.tracks[index];
        if track.recent.contains(&Some(frame.timestamp)) {
            return;
        }
        track.recent[track.next] = Some(frame.timestamp);
        track.next = (track.next + 1) % track.recent.len();
        let start = track.place_of(frame.timestamp, by_arrival);
        track.end = track.end.max(start + length);
        self.lay(start, frame.side, frame.codec, frame.payload);
    }

    fn lay(&mut self, start: i64, side: Side, codec: Codec, payload: &[u8]) {
        let side = match side {
            Side::Left => 0,
            Side::Right => 1,
        };
        for (i, octet) in payload.iter().enumerate() {
            let place = start + i as i64 - self.base;
            if place < 0 {
                continue;
            }
            let Some(sample) = self.window.get_mut(place as usize * 2 + side) else { break };
            let octet = if codec == Codec::Pcma { *octet } else { Codec::Pcma.encode(codec.decode(*octet)) };
            *sample = if *sample == SILENCE {
                octet
            } else {
                Codec::Pcma.encode(Codec::Pcma.decode(*sample).saturating_add(Codec::Pcma.decode(octet)))
            };
        }
    }
}

impl Track {
    fn place_of(&mut self, timestamp: u32, by_arrival: i64) -> i64 {
        let step = i64::from(timestamp.wrapping_sub(self.timestamp) as i32);
        let place = self.place + step;
        let ahead = place - by_arrival;
        self.behind = if ahead < -BEHIND { self.behind.saturating_add(1) } else { 0 };
        if !(-FAR..=AHEAD).contains(&ahead) || self.behind >= PATIENCE {
            self.behind = 0;
            (self.timestamp, self.place) = (timestamp, by_arrival.max(self.end));
            return self.place;
        }
        if step > 0 {
            (self.timestamp, self.place) = (timestamp, place);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::{Sine, level};
    use proptest::prelude::*;

    fn decoded(stereo: &[u8], side: usize) -> Vec<i16> {
        stereo.iter().skip(side).step_by(2).map(|o| Codec::Pcma.decode(*o)).collect()
    }

    fn tone(hertz: f64, frames: usize, codec: Codec) -> Vec<Vec<u8>> {
        let mut sine = Sine::new(hertz, 8000.0);
        let mut samples = [0; 160];
        (0..frames)
            .map(|_| {
                sine.fill(&mut samples);
                let mut out = vec![0; 160];
                codec.encode_slice(&samples, &mut out);
                out
            })
            .collect()
    }

    fn frame(leg: u64, side: Side, codec: Codec, n: usize, at_ms: usize, payload: &[u8]) -> Frame<'_> {
        Frame { leg: LegId(leg), side, codec, at_ms: at_ms as u32, timestamp: (n * 160) as u32 ^ 0xffff_0000, payload }
    }

    #[test]
    fn sides_are_kept_apart_and_the_length_is_exact() {
        let (left, right) = (tone(500.0, 150, Codec::Pcma), tone(900.0, 150, Codec::Pcmu));
        let (mut timeline, mut out) = (Timeline::default(), vec![]);
        for n in 0..150 {
            let at = n * 20 + 20;
            timeline.advance(at as u32, |s| out.extend_from_slice(s));
            timeline.place(frame(1, Side::Left, Codec::Pcma, n, at, &left[n]));
            timeline.place(frame(2, Side::Right, Codec::Pcmu, n, at + 5, &right[n]));
        }
        timeline.finish(8 * 3210, |s| out.extend_from_slice(s));
        assert_eq!(out.len(), 2 * 8 * 3210);
        let (l, r) = (decoded(&out, 0), decoded(&out, 1));
        assert!(level(&l[..24_000], 500.0) > -13.0 && level(&l[..24_000], 900.0) < -50.0);
        assert!(level(&r[200..24_000], 900.0) > -13.0 && level(&r[200..24_000], 500.0) < -50.0);
    }

    #[test]
    fn jitter_disorder_and_duplicates_leave_a_clean_tone() {
        let tone = tone(500.0, 200, Codec::Pcma);
        let mut arrivals: Vec<(usize, usize)> = (0..200).map(|n| (n * 20 + 20 + n * 37 % 50, n)).collect();
        arrivals.extend((0..200).step_by(9).map(|n| (n * 20 + 75, n)));
        arrivals.sort_unstable();
        let (mut timeline, mut out) = (Timeline::default(), vec![]);
        for (at, n) in arrivals {
            timeline.advance(at as u32, |s| out.extend_from_slice(s));
            timeline.place(frame(1, Side::Left, Codec::Pcma, n, at, &tone[n]));
        }
        timeline.finish(32_000, |s| out.extend_from_slice(s));
        let left = decoded(&out, 0);
        assert!(level(&left[800..31_200], 500.0) > -12.6, "{}", level(&left[800..31_200], 500.0));
        assert!(level(&left[800..31_200], 620.0) < -60.0);
    }

    #[test]
    fn a_gap_is_silence_and_a_new_line_is_placed_by_its_coming() {
        let tone = tone(500.0, 50, Codec::Pcma);
        let (mut timeline, mut out) = (Timeline::default(), vec![]);
        for (at, n) in (0..50).map(|n| (n * 20 + 20, n)).chain((0..50).map(|n| (2020 + n * 20, n))) {
            timeline.advance(at as u32, |s| out.extend_from_slice(s));
            let mut frame = frame(1, Side::Right, Codec::Pcma, n, at, &tone[n]);
            if at > 2000 {
                frame.timestamp = frame.timestamp.wrapping_add(123_456_789);
            }
            timeline.place(frame);
        }
        timeline.finish(24_000, |s| out.extend_from_slice(s));
        let right = decoded(&out, 1);
        assert!(level(&right[..8000], 500.0) > -13.0);
        assert!(level(&right[8000..16_000], 500.0) < -60.0);
        assert!(level(&right[16_000..], 500.0) > -13.0);
    }

    #[test]
    fn legs_of_one_side_are_added() {
        let (a, b) = (tone(500.0, 50, Codec::Pcma), tone(900.0, 50, Codec::Pcma));
        let mut timeline = Timeline::default();
        for n in 0..50 {
            timeline.place(frame(1, Side::Right, Codec::Pcma, n, n * 20 + 20, &a[n]));
            timeline.place(frame(2, Side::Right, Codec::Pcma, n, n * 20 + 20, &b[n]));
        }
        let mut out = vec![];
        timeline.finish(8000, |s| out.extend_from_slice(s));
        let right = decoded(&out, 1);
        assert!(level(&right, 500.0) > -13.0 && level(&right, 900.0) > -13.0);
    }

    proptest! {
        #[test]
        fn any_frames_are_taken(frames in proptest::collection::vec((0u64..3, any::<u32>(), 0u32..20, 0usize..481, any::<bool>()), 0..80)) {
            let (mut timeline, mut at, mut out) = (Timeline::default(), 0u32, 0);
            for (leg, timestamp, passed, length, near) in frames {
                at += passed * 37;
                let timestamp = if near { timestamp % 100_000 } else { timestamp };
                timeline.advance(at, |s| out += s.len());
                timeline.place(Frame {
                    leg: LegId(leg), side: Side::Left, codec: Codec::Pcma, at_ms: at, timestamp, payload: &vec![1; length],
                });
            }
            timeline.finish(u64::from(at) * 8, |s| out += s.len());
            prop_assert_eq!(out, at as usize * 16);
        }
    }
}
