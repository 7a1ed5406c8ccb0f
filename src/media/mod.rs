//! Media without sockets and without a clock: SDP, RTP, codecs, DTMF, mixing, the format of recordings.

pub mod engine;
pub mod sdp;
