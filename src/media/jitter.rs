//! A small adaptive jitter buffer: packets in as they come, 20 ms frames out on the mixer's clock.
//!
//! Samples lie at their timestamp in a ring, so that late, repeated and overtaken packets fall into place by
//! themselves. The delay aims at 20–60 ms: it grows when packets come too late and shrinks by 10 ms a second while
//! there is more than is needed, which also takes up the drift between two clocks. A lost frame is concealed by the
//! one before it, fading out.

use super::{codec::Codec, mixer::FRAME};

/// Samples in the ring: 256 ms.
const SIZE: usize = 2048;
/// Marks a sample that never came; no G.711 octet decodes to it.
const EMPTY: i16 = i16::MIN;
const SHORTEST: u32 = 160;
const FIRST: u32 = 320;
const LONGEST: u32 = 480;
/// More than this in the buffer is thrown away at once: 120 ms.
const MOST: i32 = 960;
/// Frames without a sample after which the stream has paused: the next packet starts it anew.
const PAUSED: u32 = 10;
/// Frames over which the spare delay is measured: one second.
const WINDOW: u32 = 50;

/// One stream on its way into the mixer.
#[derive(Debug)]
pub struct Jitter {
    ring: Box<[i16; SIZE]>,
    active: bool,
    ssrc: u32,
    /// Timestamp of the next sample to be played.
    play: u32,
    /// Timestamp after the newest sample.
    end: u32,
    target: u32,
    empty_frames: u32,
    window: u32,
    least_spare: i32,
    last: [i16; FRAME],
    late: u64,
}

impl Default for Jitter {
    fn default() -> Self {
        Jitter {
            ring: Box::new([EMPTY; SIZE]),
            active: false,
            ssrc: 0,
            play: 0,
            end: 0,
            target: FIRST,
            empty_frames: 0,
            window: 0,
            least_spare: i32::MAX,
            last: [0; FRAME],
            late: 0,
        }
    }
}

impl Jitter {
    /// Packets that came too late to be heard.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Samples that wait to be played.
    pub fn depth(&self) -> usize {
        if self.active { (self.end.wrapping_sub(self.play) as i32).max(0) as usize } else { 0 }
    }

    fn start(&mut self, ssrc: u32, timestamp: u32) {
        self.ring.fill(EMPTY);
        self.active = true;
        self.ssrc = ssrc;
        self.play = timestamp.wrapping_sub(self.target);
        self.end = timestamp;
        self.empty_frames = 0;
        self.window = 0;
        self.least_spare = i32::MAX;
    }

    /// Takes one packet's payload; decodes it to its place.
    pub fn write(&mut self, ssrc: u32, timestamp: u32, codec: Codec, payload: &[u8]) {
        let payload = &payload[..payload.len().min(SIZE / 2)];
        let length = payload.len() as i32;
        let mut offset = timestamp.wrapping_sub(self.play) as i32;
        let far = offset > SIZE as i32 - length || offset < -(SIZE as i32);
        if !self.active || ssrc != self.ssrc || far {
            self.start(ssrc, timestamp);
            offset = self.target as i32;
        }
        if offset + length <= 0 {
            // Too late to be heard. Wait 20 ms longer from now on.
            self.late += 1;
            self.target = (self.target + 80).min(LONGEST);
            if (self.end.wrapping_sub(self.play) as i32) < LONGEST as i32 {
                self.play = self.play.wrapping_sub(FRAME as u32);
            }
            return;
        }
        let table = codec.decode_table();
        let skip = (-offset).max(0) as usize;
        for (i, octet) in payload.iter().enumerate().skip(skip) {
            self.ring[timestamp.wrapping_add(i as u32) as usize % SIZE] = table[usize::from(*octet)];
        }
        let end = timestamp.wrapping_add(length as u32);
        if (end.wrapping_sub(self.end) as i32) > 0 {
            self.end = end;
        }
        let depth = self.end.wrapping_sub(self.play) as i32;
        if depth > MOST {
            self.skip((depth - self.target as i32) as u32);
        }
    }

    fn skip(&mut self, samples: u32) {
        for i in 0..samples {
            self.ring[self.play.wrapping_add(i) as usize % SIZE] = EMPTY;
        }
        self.play = self.play.wrapping_add(samples);
    }

    /// Gives the next 20 ms; false (and silence) when the stream says nothing.
    pub fn read(&mut self, out: &mut [i16; FRAME]) -> bool {
        if !self.active {
            out.fill(0);
            return false;
        }
        let mut came = 0;
        for (i, sample) in out.iter_mut().enumerate() {
            let place = &mut self.ring[self.play.wrapping_add(i as u32) as usize % SIZE];
            if *place == EMPTY {
                // Conceal: the frame before it, half as loud each time.
                *sample = self.last[i] / 2;
            } else {
                came += 1;
                *sample = std::mem::replace(place, EMPTY);
            }
        }
        self.last = *out;
        self.play = self.play.wrapping_add(FRAME as u32);
        if came == 0 {
            self.empty_frames += 1;
            self.active = self.empty_frames < PAUSED;
            return true;
        }
        self.empty_frames = 0;
        self.adapt();
        true
    }

    fn adapt(&mut self) {
        self.least_spare = self.least_spare.min(self.end.wrapping_sub(self.play) as i32);
        self.window += 1;
        if self.window >= WINDOW {
            if self.least_spare > FIRST as i32 {
                self.skip(80);
                self.target = self.target.saturating_sub(40).max(SHORTEST);
            }
            self.window = 0;
            self.least_spare = i32::MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::{Sine, level};
    use proptest::prelude::*;

    fn tone(frames: usize) -> Vec<[u8; 160]> {
        let mut sine = Sine::new(600.0, 10_000.0);
        let mut samples = [0; 160];
        (0..frames)
            .map(|_| {
                sine.fill(&mut samples);
                let mut octets = [0; 160];
                Codec::Pcma.encode_slice(&samples, &mut octets);
                octets
            })
            .collect()
    }

    fn heard(order: impl Iterator<Item = Vec<usize>>, frames: &[[u8; 160]]) -> (Vec<i16>, Jitter) {
        let (mut jitter, mut all, mut out) = (Jitter::default(), vec![], [0; FRAME]);
        for arrivals in order {
            for n in arrivals {
                jitter.write(1, (n * 160) as u32 + 7777, Codec::Pcma, &frames[n]);
            }
            jitter.read(&mut out);
            all.extend_from_slice(&out);
        }
        (all, jitter)
    }

    #[test]
    fn a_steady_stream_comes_out_whole_within_60_ms() {
        let frames = tone(100);
        let (all, jitter) = heard((0..100).map(|n| vec![n]), &frames);
        assert!(jitter.depth() <= 480, "{}", jitter.depth());
        assert!(level(&all[1600..], 600.0) > -11.0, "{}", level(&all[1600..], 600.0));
        assert!(level(&all[1600..], 750.0) < -45.0);
    }

    #[test]
    fn duplicates_disorder_and_late_packets_do_no_harm() {
        let frames = tone(200);
        let order = (0..200).map(|n| match n % 10 {
            3 => vec![],
            4 => vec![n, n - 1, n],
            _ => vec![n],
        });
        let (all, jitter) = heard(order, &frames);
        assert!(jitter.depth() <= 640, "{}", jitter.depth());
        assert!(level(&all[16_000..], 600.0) > -11.0, "{}", level(&all[16_000..], 600.0));
    }

    #[test]
    fn a_loss_is_concealed_and_a_pause_starts_anew() {
        let frames = tone(60);
        let mut jitter = Jitter::default();
        let mut out = [0; FRAME];
        for n in 0..10 {
            jitter.write(1, n * 160, Codec::Pcma, &frames[n as usize]);
            jitter.read(&mut out);
        }
        (0..3).for_each(|_| assert!(jitter.read(&mut out)));
        assert!(out.iter().any(|s| *s != 0), "fades");
        (0..20).for_each(|_| assert!(jitter.read(&mut out) || out == [0; FRAME]));
        assert!(!jitter.read(&mut out));
        assert_eq!(out, [0; FRAME]);
        jitter.write(9, 4_000_000_000, Codec::Pcma, &frames[0]);
        assert!(jitter.depth() <= 480);
    }

    #[test]
    fn a_fast_clock_does_not_fill_the_buffer() {
        let frames = tone(2000);
        // Two packets in one read every fifty: 2 % fast.
        let mut n = 0;
        let order = (0..1900).map(|i| {
            n += 1;
            if i % 50 == 0 {
                n += 1;
                vec![n - 2, n - 1]
            } else {
                vec![n - 1]
            }
        });
        let (_, jitter) = heard(order, &frames);
        assert!(jitter.depth() <= MOST as usize, "{}", jitter.depth());
    }

    proptest! {
        #[test]
        fn any_packets_are_taken(packets in proptest::collection::vec((0u32..3, any::<u32>(), 0usize..1400, any::<bool>()), 0..60)) {
            let mut jitter = Jitter::default();
            let mut out = [0; FRAME];
            for (ssrc, timestamp, length, near) in packets {
                let timestamp = if near { timestamp % 4000 } else { timestamp };
                jitter.write(ssrc, timestamp, Codec::Pcmu, &vec![1; length]);
                jitter.read(&mut out);
                prop_assert!(jitter.depth() <= SIZE);
            }
        }
    }
}
