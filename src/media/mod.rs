//! Media without sockets and without a clock: SDP, RTP, codecs, DTMF, mixing, the format of recordings.

pub mod clip;
pub mod codec;
pub mod dtmf;
pub mod engine;
pub mod jitter;
mod mixer;
mod player;
pub mod recorder;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod tone;
