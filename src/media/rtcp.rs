//! RTCP: reading compound packets and building reports (RFC 3550 section 6).
//!
//! Sender and receiver reports, SDES (its CNAME is sent, contents are not read) and BYE. Other packets, APP and the
//! feedback of RFC 4585 among them, are counted in and skipped. No encryption and no XR.

/// One report block (section 6.4.1): how the peer hears the source `ssrc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that is reported on.
    pub ssrc: u32,
    /// Lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Lost since the beginning; 24 bits, signed.
    pub lost: i32,
    /// The highest sequence number that came, its cycles in the upper 16 bits.
    pub highest_sequence: u32,
    /// In timestamp units.
    pub jitter: u32,
    /// The middle 32 bits of the last SR's NTP time; 0: none came.
    pub last_sr: u32,
    /// Since that SR, in 1/65536 s.
    pub delay_since_sr: u32,
}

/// The sender's part of an SR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time: seconds since 1900 and their fraction.
    pub ntp: u64,
    /// The same moment on the line of the RTP timestamps.
    pub timestamp: u32,
    /// Sent since the beginning.
    pub packets: u32,
    /// Payload sent since the beginning.
    pub octets: u32,
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR (section 6.4.1): from one who sends.
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// What it has sent.
        info: SenderInfo,
        /// What it hears.
        blocks: Blocks<'a>,
    },
    /// RR (section 6.4.2): from one who only hears.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it hears.
        blocks: Blocks<'a>,
    },
    /// SDES (section 6.5), not read.
    Sdes,
    /// BYE (section 6.6).
    Bye {
        /// The first source that leaves; None where the packet names none.
        ssrc: Option<u32>,
    },
    /// A packet that means nothing here, such as APP.
    Other {
        /// 192–223.
        packet_type: u8,
    },
}

/// The report blocks of one packet, read as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;
    fn next(&mut self) -> Option<ReportBlock> {
        let (b, rest) = self.0.split_at_checked(24)?;
        self.0 = rest;
        let lost = u32_at(b, 4) & 0x00ff_ffff;
        Some(ReportBlock {
            ssrc: u32_at(b, 0),
            fraction_lost: b[4],
            lost: ((lost << 8) as i32) >> 8,
            highest_sequence: u32_at(b, 8),
            jitter: u32_at(b, 12),
            last_sr: u32_at(b, 16),
            delay_since_sr: u32_at(b, 20),
        })
    }
}

/// Why a datagram is no compound RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A packet is longer than what is left of the datagram, or shorter than its count of blocks.
    #[error("a length does not fit the datagram")]
    Length,
    /// One of its packets is of another version.
    #[error("the version is not 2")]
    Version,
    /// Padding is allowed in the last packet alone, and within it.
    #[error("padding before the last packet, or longer than it")]
    Padding,
    /// A compound begins with SR or RR (section 6.1); the short ones of RFC 5506 are not taken.
    #[error("the first packet is not a report")]
    NoReport,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Reads a compound packet by packet; the whole of it is checked before anything is given out (A.2). Errors where
/// lengths, versions or the order break the rules.
pub fn parse(datagram: &[u8]) -> Result<Compound<'_>, ParseError> {
    let mut rest = datagram;
    let mut first = true;
    loop {
        let (body, _, packet_type, count, after) = split(rest)?;
        if first && packet_type != 200 && packet_type != 201 {
            return Err(ParseError::NoReport);
        }
        let fixed = match packet_type {
            200 => 24 + 24 * usize::from(count),
            201 => 4 + 24 * usize::from(count),
            203 => 4 * usize::from(count),
            _ => 0,
        };
        if body.len() < fixed {
            return Err(ParseError::Length);
        }
        first = false;
        if after.is_empty() {
            return Ok(Compound(datagram));
        }
        rest = after;
    }
}

type Split<'a> = (&'a [u8], bool, u8, u8, &'a [u8]);

/// One packet's body without header and padding, whether it was padded, its type and count, and what follows.
fn split(bytes: &[u8]) -> Result<Split<'_>, ParseError> {
    let &[first, packet_type, high, low, ..] = bytes else { return Err(ParseError::Length) };
    if first >> 6 != 2 {
        return Err(ParseError::Version);
    }
    let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    let (packet, after) = bytes.split_at_checked(length).ok_or(ParseError::Length)?;
    let mut body = &packet[4..];
    let padded = first & 0x20 != 0;
    if padded {
        let padding = usize::from(*body.last().ok_or(ParseError::Padding)?);
        if !after.is_empty() || padding == 0 || padding > body.len() {
            return Err(ParseError::Padding);
        }
        body = &body[..body.len() - padding];
    }
    Ok((body, padded, packet_type, first & 0x1f, after))
}

/// The packets of a datagram whose lengths were found right.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a>(&'a [u8]);

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;
    fn next(&mut self) -> Option<Packet<'a>> {
        let (body, _, packet_type, count, after) = split(self.0).ok()?;
        self.0 = after;
        let blocks = |from: usize| Blocks(body.get(from..from + 24 * usize::from(count)).unwrap_or(&[]));
        Some(match packet_type {
            200 => Packet::SenderReport {
                ssrc: u32_at(body, 0),
                info: SenderInfo {
                    ntp: u64::from(u32_at(body, 4)) << 32 | u64::from(u32_at(body, 8)),
                    timestamp: u32_at(body, 12),
                    packets: u32_at(body, 16),
                    octets: u32_at(body, 20),
                },
                blocks: blocks(24),
            },
            201 => Packet::ReceiverReport { ssrc: u32_at(body, 0), blocks: blocks(4) },
            202 => Packet::Sdes,
            203 => Packet::Bye { ssrc: (count > 0).then(|| u32_at(body, 0)) },
            packet_type => Packet::Other { packet_type },
        })
    }
}

/// The most octets that [`build`] writes.
pub const LONGEST: usize = 28 + 24 + 28 + 8;

/// Writes a compound: SR (or RR without `info`) with at most one block, SDES with the CNAME, and BYE when `bye`.
/// `cname` is cut at 16 octets. Gives the octets written.
pub fn build(
    out: &mut [u8; LONGEST],
    ssrc: u32,
    info: Option<SenderInfo>,
    block: Option<ReportBlock>,
    cname: &[u8],
    bye: bool,
) -> usize {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    let count = u8::from(block.is_some());
    let words = 1 + if info.is_some() { 5 } else { 0 } + 6 * u16::from(count);
    put(&[0x80 | count, if info.is_some() { 200 } else { 201 }]);
    put(&words.to_be_bytes());
    put(&ssrc.to_be_bytes());
    if let Some(info) = info {
        put(&info.ntp.to_be_bytes());
        put(&info.timestamp.to_be_bytes());
        put(&info.packets.to_be_bytes());
        put(&info.octets.to_be_bytes());
    }
    if let Some(b) = block {
        put(&b.ssrc.to_be_bytes());
        let lost = b.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0x00ff_ffff;
        put(&(u32::from(b.fraction_lost) << 24 | lost).to_be_bytes());
        put(&b.highest_sequence.to_be_bytes());
        put(&b.jitter.to_be_bytes());
        put(&b.last_sr.to_be_bytes());
        put(&b.delay_since_sr.to_be_bytes());
    }
    // SDES: one chunk, one CNAME item, then at least one null octet up to a word's end (section 6.5).
    let cname = &cname[..cname.len().min(16)];
    let chunk = 4 + (2 + cname.len() + 1).next_multiple_of(4);
    put(&[0x81, 202]);
    put(&((chunk / 4) as u16).to_be_bytes());
    put(&ssrc.to_be_bytes());
    put(&[1, cname.len() as u8]);
    put(cname);
    put(&[0; 4][..chunk - 6 - cname.len()]);
    if bye {
        put(&[0x81, 203, 0, 1]);
        put(&ssrc.to_be_bytes());
    }
    at
}

/// NTP time of a wall clock in milliseconds since 1970.
pub fn ntp(unix_millis: i64) -> u64 {
    const FROM_1900: u64 = 2_208_988_800;
    let millis = unix_millis.max(0) as u64;
    ((millis / 1000 + FROM_1900) << 32) | (((millis % 1000) << 32) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block() -> ReportBlock {
        ReportBlock {
            ssrc: 7,
            fraction_lost: 3,
            lost: -2,
            highest_sequence: 70_000,
            jitter: 9,
            last_sr: 1,
            delay_since_sr: 65536,
        }
    }

    #[test]
    fn what_is_built_is_read_back() {
        let info = SenderInfo { ntp: ntp(1_700_000_000_500), timestamp: 5, packets: 6, octets: 7 };
        let mut out = [0; LONGEST];
        let n = build(&mut out, 99, Some(info), Some(block()), b"0123456789abcdef", true);
        assert_eq!(n, LONGEST);
        let all: Vec<_> = parse(&out[..n]).unwrap().collect();
        let Packet::SenderReport { ssrc: 99, info: read, mut blocks } = all[0] else { panic!("{all:?}") };
        assert_eq!((read, blocks.next(), blocks.next()), (info, Some(block()), None));
        assert_eq!(all[1..], [Packet::Sdes, Packet::Bye { ssrc: Some(99) }]);
        let n = build(&mut out, 99, None, None, b"x", false);
        let all: Vec<_> = parse(&out[..n]).unwrap().collect();
        assert!(matches!(all[..], [Packet::ReceiverReport { ssrc: 99, .. }, Packet::Sdes]));
    }

    #[test]
    fn unknown_packets_are_kept_skipped_and_wrong_lengths_refused() {
        let mut ok = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
        ok.extend_from_slice(&[0x80, 206, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(parse(&ok).unwrap().nth(1), Some(Packet::Other { packet_type: 206 }));
        assert_eq!(parse(&ok[..ok.len() - 1]).unwrap_err(), ParseError::Length);
        assert_eq!(parse(&[0x82, 201, 0, 1, 0, 0, 0, 1]).unwrap_err(), ParseError::Length);
        assert_eq!(parse(&[0x80, 204, 0, 1, 0, 0, 0, 1]).unwrap_err(), ParseError::NoReport);
        assert_eq!(parse(&[0xa0, 201, 0, 1, 0, 0, 0, 9]).unwrap_err(), ParseError::Padding);
        assert_eq!(parse(&[]).unwrap_err(), ParseError::Length);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), pt in 199u8..206) {
            if bytes.len() > 3 { bytes[0] |= 0x80; bytes[0] &= 0xbf; bytes[1] = pt; bytes[2] = 0; bytes[3] %= 30; }
            if let Ok(compound) = parse(&bytes) {
                for packet in compound {
                    if let Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } = packet {
                        prop_assert!(blocks.count() < 32);
                    }
                }
            }
        }
    }
}
