//! G.711 (ITU-T G.711, RFC 3551 section 4.5.14): tables, built when the program is compiled.
//!
//! Samples are 16 bits. Converting between the two laws is one look-up an octet.

/// A companded codec; the only ones that are mixed today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A-law: payload type 8, the usual one in China and Europe.
    Pcma,
    /// µ-law: payload type 0.
    Pcmu,
}

impl Codec {
    /// The other law.
    pub fn other(self) -> Codec {
        match self {
            Codec::Pcma => Codec::Pcmu,
            Codec::Pcmu => Codec::Pcma,
        }
    }

    /// The static payload type (RFC 3551 table 4).
    pub fn static_payload_type(self) -> u8 {
        match self {
            Codec::Pcma => 8,
            Codec::Pcmu => 0,
        }
    }

    /// The octet that stands for silence.
    pub const fn silence(self) -> u8 {
        match self {
            Codec::Pcma => 0xd5,
            Codec::Pcmu => 0xff,
        }
    }

    /// The samples of all 256 octets.
    pub fn decode_table(self) -> &'static [i16; 256] {
        match self {
            Codec::Pcma => &ALAW_DECODE,
            Codec::Pcmu => &ULAW_DECODE,
        }
    }

    /// One sample of one octet.
    pub fn decode(self, octet: u8) -> i16 {
        self.decode_table()[usize::from(octet)]
    }

    /// The octet nearest to a sample.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Codec::Pcma => alaw(sample),
            Codec::Pcmu => ulaw(sample),
        }
    }

    /// Encodes as many samples as both slices hold.
    pub fn encode_slice(self, samples: &[i16], out: &mut [u8]) {
        match self {
            Codec::Pcma => samples.iter().zip(out).for_each(|(s, o)| *o = alaw(*s)),
            Codec::Pcmu => samples.iter().zip(out).for_each(|(s, o)| *o = ulaw(*s)),
        }
    }

    /// Rewrites octets of the other law into this one.
    pub fn convert_from_other(self, octets: &mut [u8]) {
        let table = match self {
            Codec::Pcma => &ULAW_TO_ALAW,
            Codec::Pcmu => &ALAW_TO_ULAW,
        };
        octets.iter_mut().for_each(|o| *o = table[usize::from(*o)]);
    }
}

const fn alaw(sample: i16) -> u8 {
    // 13 bits of magnitude; even bits are inverted on the line.
    let (sign, magnitude) = if sample >= 0 { (0x80, sample >> 3) } else { (0, !(sample >> 3)) };
    let magnitude = magnitude as u16;
    let code = if magnitude < 32 {
        magnitude >> 1
    } else {
        let segment = 11 - magnitude.leading_zeros() as u16;
        segment << 4 | magnitude >> segment & 0x0f
    };
    (code as u8 | sign) ^ 0x55
}

const fn ulaw(sample: i16) -> u8 {
    // 14 bits of magnitude with the law's bias of 33; all bits are inverted on the line.
    let (sign, magnitude) = if sample >= 0 { (0, sample as i32) } else { (0x80, -(sample as i32)) };
    let biased = (if magnitude > 32635 { 32635 } else { magnitude }) as u32 + 132;
    let segment = 24 - biased.leading_zeros();
    !(sign | (segment << 4) as u8 | (biased >> (segment + 3) & 0x0f) as u8)
}

const fn alaw_decoded(octet: u8) -> i16 {
    let code = octet ^ 0x55;
    let segment = (code >> 4 & 7) as i16;
    let low = ((code & 0x0f) as i16) << 4;
    let magnitude = if segment == 0 { low + 8 } else { (low + 0x108) << (segment - 1) };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

const fn ulaw_decoded(octet: u8) -> i16 {
    let code = !octet;
    let magnitude = (((((code & 0x0f) as i16) << 3) + 132) << (code >> 4 & 7)) - 132;
    if code & 0x80 != 0 { -magnitude } else { magnitude }
}

const fn samples(alaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = if alaw { alaw_decoded(i as u8) } else { ulaw_decoded(i as u8) };
        i += 1;
    }
    table
}

const fn transcoded(from_alaw: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = if from_alaw { ulaw(ALAW_DECODE[i]) } else { alaw(ULAW_DECODE[i]) };
        i += 1;
    }
    table
}

static ALAW_TO_ULAW: [u8; 256] = transcoded(true);
static ULAW_TO_ALAW: [u8; 256] = transcoded(false);
const ALAW_DECODE: [i16; 256] = samples(true);
const ULAW_DECODE: [i16; 256] = samples(false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_octet_is_its_own_nearest() {
        for codec in [Codec::Pcma, Codec::Pcmu] {
            for octet in 0..=255u8 {
                let sample = codec.decode(octet);
                assert_eq!(codec.decode(codec.encode(sample)), sample, "{codec:?} {octet:#x}");
            }
        }
    }

    #[test]
    fn known_values_of_the_recommendation() {
        assert_eq!(Codec::Pcma.decode(0xd5), 8);
        assert_eq!(Codec::Pcma.decode(0xaa), 32256);
        assert_eq!(Codec::Pcma.decode(0x2a), -32256);
        assert_eq!(Codec::Pcmu.decode(0xff), 0);
        assert_eq!(Codec::Pcmu.decode(0x80), 32124);
        assert_eq!(Codec::Pcmu.decode(0x00), -32124);
        assert_eq!(Codec::Pcma.encode(0), 0xd5);
        assert_eq!(Codec::Pcmu.encode(0), 0xff);
    }

    #[test]
    fn the_error_stays_below_the_step() {
        for codec in [Codec::Pcma, Codec::Pcmu] {
            for sample in i16::MIN..=i16::MAX {
                let error = (i32::from(codec.decode(codec.encode(sample))) - i32::from(sample)).abs();
                let allowed = ((i32::from(sample).abs() + 132) / 31).max(16);
                assert!(error <= allowed, "{codec:?} {sample}: {error}");
            }
        }
    }

    #[test]
    fn converting_there_and_back_stays_close() {
        for octet in 0..=255u8 {
            let mut o = [octet];
            Codec::Pcmu.convert_from_other(&mut o);
            Codec::Pcma.convert_from_other(&mut o);
            let (a, b) = (i32::from(Codec::Pcma.decode(octet)), i32::from(Codec::Pcma.decode(o[0])));
            assert!((a - b).abs() <= (a.abs() / 15).max(16), "{octet:#x}: {a} {b}");
        }
    }
}
