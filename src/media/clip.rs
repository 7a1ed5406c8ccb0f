//! Clips: audio that is decoded once and played often.
//!
//! 8 kHz, 16-bit mono only; other rates and widths are refused rather than resampled badly.

use super::{
    codec::Codec,
    tone::{RATE, Sine},
};
use std::{io::Read, time::Duration};

/// A clip: 8 kHz, 16-bit mono, decoded once at load and kept in both companded forms.
#[derive(Debug)]
pub struct Clip {
    /// What it is called in messages, such as its file or `ring_back`.
    pub name: String,
    /// A-law, one octet a sample.
    pub pcma: Vec<u8>,
    /// µ-law, one octet a sample.
    pub pcmu: Vec<u8>,
}

/// Why a WAV file is no clip.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// It cannot be read, or its header is broken.
    #[error("not a WAV file: {0}")]
    Wav(#[from] hound::Error),
    /// It is of another format, which would have to be resampled.
    #[error("must be 8000 Hz, 16 bit, mono PCM; is {rate} Hz, {bits} bit, {channels} channel(s)")]
    Format {
        /// Samples a second.
        rate: u32,
        /// Bits a sample.
        bits: u16,
        /// 1 would be right.
        channels: u16,
    },
    /// More than an hour of samples, which a clip keeps in memory.
    #[error("longer than an hour")]
    TooLong,
}

impl Clip {
    /// A clip of samples.
    pub fn from_samples(name: impl Into<String>, samples: &[i16]) -> Clip {
        let (mut pcma, mut pcmu) = (vec![0; samples.len()], vec![0; samples.len()]);
        Codec::Pcma.encode_slice(samples, &mut pcma);
        Codec::Pcmu.encode_slice(samples, &mut pcmu);
        Clip { name: name.into(), pcma, pcmu }
    }

    /// Decodes a WAV file; errors where it is not 8 kHz, 16-bit mono PCM.
    pub fn from_wav(name: impl Into<String>, reader: impl Read) -> Result<Clip, ClipError> {
        let mut wav = hound::WavReader::new(reader)?;
        let spec = wav.spec();
        if (spec.sample_rate, spec.bits_per_sample, spec.channels) != (RATE, 16, 1) {
            return Err(ClipError::Format {
                rate: spec.sample_rate,
                bits: spec.bits_per_sample,
                channels: spec.channels,
            });
        }
        if wav.duration() > RATE * 3600 {
            return Err(ClipError::TooLong);
        }
        let samples = wav.samples::<i16>().collect::<Result<Vec<_>, _>>()?;
        Ok(Clip::from_samples(name, &samples))
    }

    /// China's ring-back tone: 450 Hz, one second on, four off (GB/T 3380; ITU-T E.180 supplement 2), at −10 dB.
    pub fn ring_back() -> Clip {
        let mut samples = vec![0; RATE as usize * 5];
        Sine::new(450.0, 10_362.0).fill(&mut samples[..RATE as usize]);
        Clip::from_samples("ring_back", &samples)
    }

    /// China's busy tone: 450 Hz, 0.35 s on, 0.35 s off, at −10 dB.
    pub fn busy() -> Clip {
        let mut samples = vec![0; RATE as usize * 7 / 10];
        let half = samples.len() / 2;
        Sine::new(450.0, 10_362.0).fill(&mut samples[..half]);
        Clip::from_samples("busy", &samples)
    }

    /// The octets of one codec, one a sample.
    pub fn octets(&self, codec: Codec) -> &[u8] {
        match codec {
            Codec::Pcma => &self.pcma,
            Codec::Pcmu => &self.pcmu,
        }
    }

    /// How long it plays.
    pub fn length(&self) -> Duration {
        Duration::from_micros(self.pcma.len() as u64 * 125)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::level;

    fn wav(rate: u32, channels: u16) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        (0..800).for_each(|i| writer.write_sample(i as i16).unwrap());
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_wav_becomes_both_laws() {
        let clip = Clip::from_wav("x", &wav(8000, 1)[..]).unwrap();
        assert_eq!((clip.pcma.len(), clip.pcmu.len(), clip.length()), (800, 800, Duration::from_millis(100)));
        assert!((i32::from(Codec::Pcma.decode(clip.pcma[700])) - 700).abs() < 20);
        assert!(matches!(Clip::from_wav("x", &wav(16000, 1)[..]), Err(ClipError::Format { rate: 16000, .. })));
        assert!(matches!(Clip::from_wav("x", &wav(8000, 2)[..]), Err(ClipError::Format { channels: 2, .. })));
        assert!(matches!(Clip::from_wav("x", &b"RIFF"[..]), Err(ClipError::Wav(_))));
    }

    #[test]
    fn ring_back_sounds_for_one_second_of_five() {
        let clip = Clip::ring_back();
        let samples: Vec<i16> = clip.pcma.iter().map(|o| Codec::Pcma.decode(*o)).collect();
        assert_eq!(samples.len(), 40_000);
        assert!((level(&samples[..8000], 450.0) + 10.0).abs() < 0.5);
        assert!(level(&samples[8000..], 450.0) < -70.0);
    }
}
