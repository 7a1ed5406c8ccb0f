//! RTP packets, read and written in place (RFC 3550 section 5).
//!
//! Nothing here allocates or copies a payload. The contents of header extensions are skipped, not read.

/// Octets of a header without contributing sources and extension.
pub const HEADER: usize = 12;

/// A parsed packet: the fixed header's fields and where the payload lies in the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The first packet of a talk spurt or of a telephone event.
    pub marker: bool,
    /// 0–127.
    pub payload_type: u8,
    /// One more each packet, from a random beginning, wrapping.
    pub sequence: u16,
    /// In samples, from a random beginning, wrapping.
    pub timestamp: u32,
    /// The synchronisation source, which may change in mid-call.
    pub ssrc: u32,
    /// The payload is `start..end`: contributing sources, extension and padding are outside.
    pub start: usize,
    /// One past the payload's last octet.
    pub end: usize,
}

/// Why a datagram is no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It ends inside its fixed header, its contributing sources or its extension.
    #[error("shorter than its header says")]
    Short,
    /// Its first two bits are not 2, as with STUN or DTLS on the same port.
    #[error("the version is not 2")]
    Version,
    /// Its padding count is zero or reaches into the header.
    #[error("the padding is longer than the payload")]
    Padding,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Header {
    /// Reads a datagram's header; errors where lengths or the version are wrong (RFC 3550 section 5.1 and A.1).
    pub fn parse(packet: &[u8]) -> Result<Header, ParseError> {
        let first = *packet.first().ok_or(ParseError::Short)?;
        if first >> 6 != 2 {
            return Err(ParseError::Version);
        }
        let second = *packet.get(1).ok_or(ParseError::Short)?;
        let sequence = be16(packet, 2).ok_or(ParseError::Short)?;
        let timestamp = be32(packet, 4).ok_or(ParseError::Short)?;
        let ssrc = be32(packet, 8).ok_or(ParseError::Short)?;
        let mut start = HEADER + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            // Section 5.3.1: 16 bits of profile, 16 bits of length in words.
            let words = be16(packet, start + 2).ok_or(ParseError::Short)?;
            start += 4 + 4 * usize::from(words);
        }
        let mut end = packet.len();
        if start > end {
            return Err(ParseError::Short);
        }
        if first & 0x20 != 0 {
            // The last octet counts the padding, itself included.
            let padding = usize::from(packet[end - 1]);
            if padding == 0 || padding > end - start {
                return Err(ParseError::Padding);
            }
            end -= padding;
        }
        Ok(Header { marker: second & 0x80 != 0, payload_type: second & 0x7f, sequence, timestamp, ssrc, start, end })
    }
}

/// Writes a plain 12-octet header at the front of `out`.
pub fn write_header(out: &mut [u8; HEADER], marker: bool, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) {
    out[0] = 0x80;
    out[1] = payload_type & 0x7f | u8::from(marker) << 7;
    out[2..4].copy_from_slice(&sequence.to_be_bytes());
    out[4..8].copy_from_slice(&timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&ssrc.to_be_bytes());
}

/// Whether a datagram on a shared port is RTCP: packet types 192 to 223 (RFC 5761 section 4).
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.len() >= 8 && packet[0] >> 6 == 2 && (192..=223).contains(&packet[1])
}

/// `a - b` on the circle of sequence numbers.
pub fn sequence_distance(a: u16, b: u16) -> i32 {
    i32::from(a.wrapping_sub(b) as i16)
}

/// `a - b` on the circle of timestamps.
pub fn timestamp_distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut p = vec![first, 0x88, 0x12, 0x34, 0, 0, 0, 160, 1, 2, 3, 4];
        p.extend_from_slice(rest);
        p
    }

    #[test]
    fn plain_header_is_read_and_written_back() {
        let p = packet(0x80, &[1, 2, 3]);
        let h = Header::parse(&p).unwrap();
        assert_eq!((h.marker, h.payload_type, h.sequence, h.timestamp, h.ssrc), (true, 8, 0x1234, 160, 0x01020304));
        assert_eq!(&p[h.start..h.end], [1, 2, 3]);
        let mut out = [0; HEADER];
        write_header(&mut out, h.marker, h.payload_type, h.sequence, h.timestamp, h.ssrc);
        assert_eq!(out, p[..HEADER]);
    }

    #[test]
    fn sources_extension_and_padding_are_left_out() {
        let mut rest = vec![9; 8]; // two contributing sources
        rest.extend_from_slice(&[0xbe, 0xde, 0, 1, 7, 7, 7, 7]); // one word of extension
        rest.extend_from_slice(&[42, 43, 0, 0, 3]); // two octets, three of padding
        let p = packet(0x80 | 0x20 | 0x10 | 2, &rest);
        let h = Header::parse(&p).unwrap();
        assert_eq!(&p[h.start..h.end], [42, 43]);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert_eq!(Header::parse(&[]), Err(ParseError::Short));
        assert_eq!(Header::parse(&packet(0x80, &[])[..11]), Err(ParseError::Short));
        assert_eq!(Header::parse(&packet(0x40, &[])), Err(ParseError::Version));
        assert_eq!(Header::parse(&packet(0x81, &[1])), Err(ParseError::Short));
        assert_eq!(Header::parse(&packet(0x90, &[0, 0, 0xff, 0xff])), Err(ParseError::Short));
        assert_eq!(Header::parse(&packet(0xa0, &[1, 0])), Err(ParseError::Padding));
        assert_eq!(Header::parse(&packet(0xa0, &[1, 3])), Err(ParseError::Padding));
        assert_eq!(Header::parse(&packet(0xa0, &[])), Err(ParseError::Padding));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in any::<u8>()) {
            let mut bytes = bytes;
            if let Some(b) = bytes.first_mut() { *b = 0x80 | first & 0x3f; }
            if let Ok(h) = Header::parse(&bytes) {
                prop_assert!(h.start >= HEADER && h.start <= h.end && h.end <= bytes.len());
            }
        }
    }
}
