//! One RTP packet, and its payload as a telephone event.

use crate::media::{
    dtmf,
    rtp::{HEADER, Header, is_rtcp, sequence_distance, timestamp_distance, write_header},
};

/// Reads the header and writes it again.
pub fn check(data: &[u8]) {
    let _ = is_rtcp(data);
    match Header::parse(data) {
        Ok(header) => {
            assert!(HEADER <= header.start && header.start <= header.end && header.end <= data.len());
            let mut out = [0; HEADER];
            let Header { marker, payload_type, sequence, timestamp, ssrc, start, end } = header;
            write_header(&mut out, marker, payload_type, sequence, timestamp, ssrc);
            assert_eq!(out[1..], data[1..HEADER]);
            let again = Header::parse(&out).expect("our own header");
            assert_eq!(again, Header { start: HEADER, end: HEADER, ..header });
            assert_eq!(sequence_distance(sequence, sequence.wrapping_sub(1)), 1);
            assert_eq!(timestamp_distance(timestamp, timestamp.wrapping_add(160)), -160);
            let mut receiver = dtmf::Receiver::default();
            if let Some(key) = receiver.receive(ssrc, timestamp, &data[start..end]) {
                assert_eq!(dtmf::event(key).and_then(dtmf::key), Some(key));
            }
            // The same event again is the same key press.
            assert_eq!(receiver.receive(ssrc, timestamp, &data[start..end]), None);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
