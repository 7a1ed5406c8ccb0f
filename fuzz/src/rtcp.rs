//! One compound RTCP packet.

use crate::media::rtcp::{LONGEST, Packet, build, ntp, parse};

/// Reads all packets, and writes the reports again.
pub fn check(data: &[u8]) {
    let compound = match parse(data) {
        Ok(compound) => compound,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut count = 0;
    for (number, packet) in compound.enumerate() {
        count += 1;
        let (ssrc, info, mut blocks) = match packet {
            Packet::SenderReport { ssrc, info, blocks } => (ssrc, Some(info), blocks),
            Packet::ReceiverReport { ssrc, blocks } => (ssrc, None, blocks),
            Packet::Sdes | Packet::Bye { .. } | Packet::Other { .. } => {
                assert_ne!(number, 0, "the first is a report");
                continue;
            }
        };
        assert!(blocks.count() < 32);
        let block = blocks.next();
        let mut out = [0; LONGEST];
        let cname = &data[..data.len().min(40)];
        let length = build(&mut out, ssrc, info, block, cname, number % 2 == 0);
        let mut again = parse(&out[..length]).expect("our own report");
        let (read_ssrc, read_info, mut read_blocks) = match again.next() {
            Some(Packet::SenderReport { ssrc, info, blocks }) => (ssrc, Some(info), blocks),
            Some(Packet::ReceiverReport { ssrc, blocks }) => (ssrc, None, blocks),
            other => panic!("{other:?}"),
        };
        assert_eq!((read_ssrc, read_info, read_blocks.next(), read_blocks.next()), (ssrc, info, block, None));
        assert_eq!(again.next(), Some(Packet::Sdes));
        let _ = ntp(i64::from(ssrc));
    }
    assert!(count >= 1 && count <= data.len() / 4);
}
