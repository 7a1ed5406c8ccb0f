//! Mix-minus-one: each hears the sum of the others, never itself.

/// Samples of the frame that is mixed at a time: 20 ms at 8 kHz.
pub const FRAME: usize = 160;

/// The sum of all members' frames, kept wide so that taking one out again is exact.
#[derive(Clone, Debug)]
pub struct Mix {
    sum: [i32; FRAME],
}

impl Default for Mix {
    fn default() -> Self {
        Mix { sum: [0; FRAME] }
    }
}

impl Mix {
    /// Starts a new frame.
    pub fn clear(&mut self) {
        self.sum.fill(0);
    }

    /// Adds one member's frame.
    pub fn add(&mut self, frame: &[i16; FRAME]) {
        self.sum.iter_mut().zip(frame).for_each(|(sum, s)| *sum += i32::from(*s));
    }

    /// The sum without `own`, saturated to 16 bits; the whole sum for a member that said nothing.
    pub fn without(&self, own: Option<&[i16; FRAME]>, out: &mut [i16; FRAME]) {
        let clamp = |s: i32| s.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        match own {
            Some(own) => {
                for i in 0..FRAME {
                    out[i] = clamp(self.sum[i] - i32::from(own[i]));
                }
            }
            None => out.iter_mut().zip(&self.sum).for_each(|(o, s)| *o = clamp(*s)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hears_the_others_and_the_sum_saturates() {
        let (a, b, c) = ([100; FRAME], [-20; FRAME], [i16::MAX; FRAME]);
        let mut mix = Mix::default();
        [&a, &b, &c].into_iter().for_each(|f| mix.add(f));
        let mut out = [0; FRAME];
        mix.without(Some(&c), &mut out);
        assert_eq!(out, [80; FRAME]);
        mix.without(Some(&b), &mut out);
        assert_eq!(out, [i16::MAX; FRAME]);
        mix.without(None, &mut out);
        assert_eq!(out, [i16::MAX; FRAME]);
        mix.clear();
        mix.without(None, &mut out);
        assert_eq!(out, [0; FRAME]);
    }
}
