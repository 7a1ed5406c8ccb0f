//! Audio of the simulated parties: G.711 (ITU-T), tones, clips and Goertzel's level measurement.
//!
//! Written apart from `media::codec` on purpose: a mistake there must not cancel itself out here.

use std::{
    collections::VecDeque,
    f64::consts::TAU,
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
};

/// Samples a second, everywhere in the sandbox.
pub const RATE: u32 = 8000;
/// Samples in a packet of 20 ms.
pub const FRAME: usize = 160;

/// A companded codec that the simulated parties speak (RFC 3551 payload types 8 and 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum G711 {
    /// A-law, payload type 8.
    Pcma,
    /// µ-law, payload type 0.
    Pcmu,
}

impl G711 {
    /// The static payload type.
    pub fn payload_type(self) -> u8 {
        match self {
            G711::Pcma => 8,
            G711::Pcmu => 0,
        }
    }

    /// The codec of a static payload type.
    pub fn of(payload_type: u8) -> Option<G711> {
        match payload_type {
            8 => Some(G711::Pcma),
            0 => Some(G711::Pcmu),
            _ => None,
        }
    }

    /// One sample to one octet.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            G711::Pcma => a_law(sample),
            G711::Pcmu => mu_law(sample),
        }
    }

    /// One octet to one sample.
    pub fn decode(self, octet: u8) -> i16 {
        match self {
            G711::Pcma => a_linear(octet),
            G711::Pcmu => mu_linear(octet),
        }
    }
}

/// G.711 A-law: sign, three bits of segment, four of position; even bits inverted.
fn a_law(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80u8, i32::from(sample)) } else { (0, -i32::from(sample) - 1) };
    let magnitude = (magnitude >> 4).min(0x7ff);
    let segment = (32 - (magnitude >> 4).leading_zeros()).min(7);
    // Segments 0 and 1 have the same step.
    let position = magnitude >> segment.saturating_sub(1) & 0x0f;
    (sign | (segment as u8) << 4 | position as u8) ^ 0x55
}

fn a_linear(octet: u8) -> i16 {
    let octet = octet ^ 0x55;
    let (segment, position) = (i32::from(octet >> 4 & 7), i32::from(octet & 0x0f));
    let magnitude = match segment {
        0 => (position << 4) + 8,
        _ => ((position << 4) + 0x108) << (segment - 1),
    };
    (if octet & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

/// G.711 µ-law: bias 132, all bits inverted.
fn mu_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80u8 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let segment = 24 - magnitude.leading_zeros() as i32;
    let position = magnitude >> (segment + 3) & 0x0f;
    !(sign | (segment as u8) << 4 | position as u8)
}

fn mu_linear(octet: u8) -> i16 {
    let octet = !octet;
    let magnitude = ((i32::from(octet & 0x0f) << 3) + 132) << (octet >> 4 & 7);
    (if octet & 0x80 != 0 { 132 - magnitude } else { magnitude - 132 }) as i16
}

/// Samples on their way from somebody to a party's mouth.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Mutex<VecDeque<i16>>>);

impl Feed {
    /// Hands over samples; beyond a second in stock the oldest are dropped.
    pub fn push(&self, samples: &[i16]) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(samples);
        let old = queue.len().saturating_sub(RATE as usize);
        queue.drain(..old);
    }

    /// A frame; None while less than that is in stock.
    fn take(&self) -> Option<[i16; FRAME]> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() < FRAME {
            return None;
        }
        let mut frame = [0; FRAME];
        frame.iter_mut().zip(queue.drain(..FRAME)).for_each(|(to, from)| *to = from);
        Some(frame)
    }
}

/// What a party says.
#[derive(Clone, Debug, Default)]
pub enum Audio {
    /// Packets of silence.
    #[default]
    Silence,
    /// No packets at all.
    Mute,
    /// A steady sine: its frequency in Hz and its level in dBov (0 is full scale).
    Tone {
        /// Its frequency.
        hertz: f64,
        /// In dBov; 0 is full scale.
        level: f64,
    },
    /// Samples once, then silence.
    Clip(Arc<[i16]>),
    /// Samples again and again.
    Loop(Arc<[i16]>),
    /// Samples that somebody hands over while they are needed; silence while there are none.
    Live(Feed),
    /// A clip, then a tone.
    ClipThenTone {
        /// Samples once.
        clip: Arc<[i16]>,
        /// The tone's frequency.
        hertz: f64,
        /// In dBov; 0 is full scale.
        level: f64,
    },
}

impl Audio {
    /// A tone at −16 dBov: loud, and two more beside it do not clip.
    pub fn tone(hertz: f64) -> Audio {
        Audio::Tone { hertz, level: -16.0 }
    }
}

/// Reads a clip: 8 kHz, 16-bit, mono; None for anything else.
pub fn clip_from_wav(bytes: &[u8]) -> Option<Arc<[i16]>> {
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).ok()?;
    let spec = reader.spec();
    if (spec.sample_rate, spec.bits_per_sample, spec.channels) != (RATE, 16, 1) {
        return None;
    }
    reader.samples::<i16>().collect::<Result<Vec<_>, _>>().ok().map(Arc::from)
}

/// Turns an [`Audio`] into frames, one after the other.
#[derive(Debug)]
pub struct Player {
    audio: Audio,
    /// Samples said so far.
    at: usize,
}

impl Player {
    /// A player at the beginning of what it says.
    pub fn new(audio: Audio) -> Self {
        Player { audio, at: 0 }
    }

    /// Leaves out so many frames.
    pub fn skip(&mut self, frames: u32) {
        self.at += frames as usize * FRAME;
    }

    /// The next 20 ms; None when the party sends nothing.
    pub fn next_frame(&mut self) -> Option<[i16; FRAME]> {
        if let Audio::Live(feed) = &self.audio {
            return Some(feed.take().unwrap_or([0; FRAME]));
        }
        let mut frame = [0i16; FRAME];
        let at = self.at;
        self.at += FRAME;
        let from_clip = |clip: &[i16], n: usize| clip.get(n).copied().unwrap_or(0);
        for (i, sample) in frame.iter_mut().enumerate() {
            let n = at + i;
            *sample = match &self.audio {
                Audio::Mute => return None,
                Audio::Silence | Audio::Live(_) => 0,
                Audio::Tone { hertz, level } => sine(*hertz, *level, n),
                Audio::Clip(clip) => from_clip(clip, n),
                Audio::Loop(clip) if clip.is_empty() => 0,
                Audio::Loop(clip) => from_clip(clip, n % clip.len()),
                Audio::ClipThenTone { clip, hertz, level } => {
                    if n < clip.len() {
                        from_clip(clip, n)
                    } else {
                        sine(*hertz, *level, n)
                    }
                }
            };
        }
        Some(frame)
    }
}

fn sine(hertz: f64, level: f64, n: usize) -> i16 {
    let amplitude = 32767.0 * 10f64.powf(level / 20.0);
    (amplitude * (TAU * hertz * n as f64 / f64::from(RATE)).sin()).round() as i16
}

/// The level of one frequency in the samples, in dBov: a full-scale sine reads 0; nothing reads −120.
///
/// Goertzel's algorithm under a Hann window, so that a tone some tens of hertz away does not leak in.
pub fn level_at(samples: &[i16], hertz: f64) -> f64 {
    if samples.len() < FRAME {
        return FLOOR;
    }
    let length = samples.len() as f64;
    let turn = 2.0 * (TAU * hertz / f64::from(RATE)).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * n as f64 / length).cos();
        let now = f64::from(*sample) / 32768.0 * window + turn * one - two;
        two = one;
        one = now;
    }
    let power = (one * one + two * two - turn * one * two).max(0.0);
    // The window halves the amplitude, and a sine of amplitude 1 sums to half the length.
    decibel(power.sqrt() * 4.0 / length)
}

/// The level of all that is in the samples, in dBov: a full-scale sine reads 0.
pub fn level(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return FLOOR;
    }
    let sum: f64 = samples.iter().map(|s| (f64::from(*s) / 32768.0).powi(2)).sum();
    decibel((sum / samples.len() as f64 * 2.0).sqrt())
}

const FLOOR: f64 = -120.0;

fn decibel(amplitude: f64) -> f64 {
    (20.0 * amplitude.max(1e-9).log10()).max(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(audio: Audio, frames: usize) -> Vec<i16> {
        let mut player = Player::new(audio);
        (0..frames).flat_map(|_| player.next_frame().unwrap_or([0; FRAME])).collect()
    }

    #[test]
    fn known_octets() {
        // ITU-T G.711: silence is D5 (A-law) and FF (µ-law); full scale AA and 80.
        assert_eq!((G711::Pcma.encode(0), G711::Pcmu.encode(0)), (0xd5, 0xff));
        assert_eq!((G711::Pcma.encode(32767), G711::Pcmu.encode(32767)), (0xaa, 0x80));
        assert_eq!((G711::Pcma.encode(-32768), G711::Pcmu.encode(-32768)), (0x2a, 0x00));
        assert_eq!((G711::Pcma.decode(0xd5), G711::Pcma.decode(0x55)), (8, -8));
        assert_eq!((G711::Pcma.decode(0xaa), G711::Pcmu.decode(0x80)), (32256, 32124));
        assert_eq!(G711::Pcmu.decode(0xff), 0);
    }

    #[test]
    fn every_octet_survives_a_round_trip() {
        for octet in 0..=255u8 {
            assert_eq!(G711::Pcma.encode(G711::Pcma.decode(octet)), octet);
            if octet != 0x7f {
                // µ-law has two zeros.
                assert_eq!(G711::Pcmu.encode(G711::Pcmu.decode(octet)), octet);
            }
        }
    }

    #[test]
    fn coded_samples_stay_near() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            for codec in [G711::Pcma, G711::Pcmu] {
                let error = (i32::from(codec.decode(codec.encode(sample))) - i32::from(sample)).abs();
                assert!(error <= i32::from(sample).abs() / 16 + 16, "{codec:?} {sample} is off by {error}");
            }
        }
    }

    #[test]
    fn levels_are_measured_and_apart() {
        let tone = samples(Audio::tone(1013.0), 50);
        assert!((level_at(&tone, 1013.0) + 16.0).abs() < 0.2);
        assert!((level(&tone) + 16.0).abs() < 0.2);
        assert!(level_at(&tone, 1213.0) < -80.0);
        let coded: Vec<_> = tone.iter().map(|s| G711::Pcma.decode(G711::Pcma.encode(*s))).collect();
        assert!((level_at(&coded, 1013.0) + 16.0).abs() < 0.3);
        assert!(level_at(&coded, 1213.0) < -70.0, "{}", level_at(&coded, 1213.0));
        assert_eq!(level_at(&[], 1000.0), -120.0);
    }

    #[test]
    fn clips_end_in_silence_and_loops_do_not() {
        let clip: Arc<[i16]> = (0..200).map(|n| n + 1).collect();
        let once = samples(Audio::Clip(clip.clone()), 2);
        assert_eq!((once[199], once[200]), (200, 0));
        assert_eq!(samples(Audio::Loop(clip.clone()), 2)[200], 1);
        let then = samples(Audio::ClipThenTone { clip, hertz: 500.0, level: -6.0 }, 50);
        assert!(level_at(&then[400..], 500.0) > -7.0);
        assert!(Player::new(Audio::Mute).next_frame().is_none());
    }

    #[test]
    fn only_telephone_wav_is_a_clip() {
        let wav = |rate| {
            let mut bytes = Cursor::new(Vec::new());
            let spec = hound::WavSpec {
                channels: 1,
                sample_rate: rate,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            };
            let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
            [1i16, -2, 3].iter().for_each(|s| writer.write_sample(*s).unwrap());
            writer.finalize().unwrap();
            bytes.into_inner()
        };
        assert_eq!(&*clip_from_wav(&wav(8000)).unwrap(), [1, -2, 3]);
        assert!(clip_from_wav(&wav(16000)).is_none());
        assert!(clip_from_wav(b"RIFF").is_none());
    }
}
