//! What a recording must be: stereo, the citizen on the left, our side on the right, nothing missing.

use super::Tones;
use crate::sandbox::ua::audio::level_at;
use std::{io::Cursor, time::Duration};

/// What was measured on a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub channels: u16,
    pub length: Duration,
    /// Each tone in its loudest half second on its own side, and the least on the other side at such moments; in dBov.
    pub citizen_left: f64,
    pub citizen_right: f64,
    pub agent_left: f64,
    pub agent_right: f64,
    pub department_right: f64,
}

/// Measures a WAV file; None when it is none, or has no 16-bit samples.
pub fn measure(wav: &[u8], tones: Tones) -> Option<Measured> {
    let mut reader = hound::WavReader::new(Cursor::new(wav)).ok()?;
    let spec = reader.spec();
    if spec.bits_per_sample != 16 || spec.channels == 0 || spec.sample_rate != 8000 {
        return None;
    }
    let length = Duration::from_secs_f64(f64::from(reader.duration()) / f64::from(spec.sample_rate));
    let samples: Vec<i16> = reader.samples::<i16>().collect::<Result<_, _>>().ok()?;
    let channels = usize::from(spec.channels);
    let side = |at: usize| samples.iter().skip(at).step_by(channels).copied().collect::<Vec<_>>();
    let (left, right) = (side(0), side(channels - 1));
    // Where a tone is at its loudest, its quietest moment on the other side counts: speech there holds every tone a
    // little, and a channel that really leaks does so all the time.
    let loudest = |own: &[i16], other: &[i16], hertz: f64| {
        let halves = own.chunks_exact(4000).zip(other.chunks_exact(4000));
        let levels: Vec<(f64, f64)> =
            halves.map(|(own, other)| (level_at(own, hertz), level_at(other, hertz))).collect();
        let best = levels.iter().map(|(own, _)| *own).fold(-120.0, f64::max);
        let at_best = levels.iter().filter(|(own, _)| *own > best - 3.0).map(|(_, other)| *other);
        (best, at_best.fold(f64::INFINITY, f64::min))
    };
    let (citizen_left, citizen_right) = loudest(&left, &right, tones.citizen);
    let (agent_right, agent_left) = loudest(&right, &left, tones.agent);
    let (department_right, _) = loudest(&right, &left, tones.department);
    Some(Measured {
        channels: spec.channels,
        length,
        citizen_left,
        citizen_right,
        agent_left,
        agent_right,
        department_right,
    })
}

impl Measured {
    /// Whether each is on its own side and on no other.
    pub fn sides_are_right(&self) -> bool {
        let heard = [self.citizen_left, self.agent_right, self.department_right].iter().all(|level| *level > -35.0);
        let apart = self.citizen_right < self.citizen_left - 40.0 && self.agent_left < self.agent_right - 40.0;
        self.channels == 2 && heard && apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::ua::audio::{Audio, FRAME, Player};

    const TONES: Tones = Tones { citizen: 500.37, agent: 1111.37, department: 1900.37 };

    fn wav(left: &[f64], right: &[f64]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        let mut sides = [left, right].map(|s| s.iter().map(|f| Player::new(Audio::tone(*f))).collect::<Vec<_>>());
        for _ in 0..50 {
            let frames = sides.each_mut().map(|players| {
                players.iter_mut().map(|p| p.next_frame().unwrap()).fold([0i16; FRAME], |mut sum, frame| {
                    sum.iter_mut().zip(frame).for_each(|(s, f)| *s += f);
                    sum
                })
            });
            for (l, r) in frames[0].iter().zip(&frames[1]) {
                writer.write_sample(*l).unwrap();
                writer.write_sample(*r).unwrap();
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn sides_and_length_are_measured() {
        let good = measure(&wav(&[TONES.citizen], &[TONES.agent, TONES.department]), TONES).unwrap();
        assert!(good.sides_are_right(), "{good:?}");
        assert_eq!((good.channels, good.length), (2, Duration::from_secs(1)));
        for (left, right) in [
            (vec![TONES.agent], vec![TONES.citizen, TONES.department]),
            (vec![TONES.citizen], vec![TONES.agent]),
            (vec![TONES.citizen, TONES.agent], vec![TONES.agent, TONES.department]),
        ] {
            assert!(!measure(&wav(&left, &right), TONES).unwrap().sides_are_right());
        }
        assert!(measure(b"RIFF", TONES).is_none());
    }
}
