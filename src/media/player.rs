//! Plays clips one after the other into frames.

use super::{clip::Clip, codec::Codec};
use std::sync::Arc;

/// Where a list of clips has got to.
#[derive(Debug)]
pub struct Player {
    clips: Vec<Arc<Clip>>,
    repeat: bool,
    clip: usize,
    offset: usize,
}

impl Player {
    /// Starts at the first clip; with `repeat` the list goes round for ever, unless it holds no sound at all.
    pub fn new(clips: Vec<Arc<Clip>>, repeat: bool) -> Self {
        let repeat = repeat && clips.iter().any(|c| !c.pcma.is_empty());
        Player { clips, repeat, clip: 0, offset: 0 }
    }

    /// Fills `out` with the next octets, silence after the end. False when there was nothing left to play.
    pub fn fill(&mut self, codec: Codec, out: &mut [u8]) -> bool {
        let mut filled = 0;
        while filled < out.len() {
            let Some(clip) = self.clips.get(self.clip) else {
                if self.repeat {
                    (self.clip, self.offset) = (0, 0);
                    continue;
                }
                break;
            };
            let rest = clip.octets(codec).get(self.offset..).unwrap_or(&[]);
            let n = rest.len().min(out.len() - filled);
            out[filled..filled + n].copy_from_slice(&rest[..n]);
            filled += n;
            self.offset += n;
            if n == rest.len() {
                (self.clip, self.offset) = (self.clip + 1, 0);
            }
        }
        out[filled..].fill(codec.silence());
        filled > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(samples: &[i16]) -> Arc<Clip> {
        Arc::new(Clip::from_samples("t", samples))
    }

    #[test]
    fn clips_join_and_the_rest_is_silence() {
        let mut player = Player::new(vec![clip(&[1000; 3]), clip(&[]), clip(&[-1000; 2])], false);
        let mut out = [0; 8];
        assert!(player.fill(Codec::Pcma, &mut out));
        let (up, down) = (Codec::Pcma.encode(1000), Codec::Pcma.encode(-1000));
        assert_eq!(out, [up, up, up, down, down, 0xd5, 0xd5, 0xd5]);
        assert!(!player.fill(Codec::Pcma, &mut out));
    }

    #[test]
    fn repeated_clips_go_round_and_empty_ones_end() {
        let mut player = Player::new(vec![clip(&[1000; 3])], true);
        let mut out = [0; 100];
        assert!(player.fill(Codec::Pcmu, &mut out));
        assert!(out.iter().all(|o| *o == Codec::Pcmu.encode(1000)));
        assert!(!Player::new(vec![clip(&[])], true).fill(Codec::Pcmu, &mut out));
        assert!(!Player::new(vec![], true).fill(Codec::Pcmu, &mut out));
    }
}
