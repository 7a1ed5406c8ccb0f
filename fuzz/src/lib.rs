//! What the fuzz targets check. Each `check` takes octets as a peer would send them and panics where a core breaks a
//! promise: that reading never panics, that what was read can be printed and is then read back as the same, and that
//! every accessor can be called on it.

// The cores are the product's own files; what is not called from here is not dead there.
#![allow(dead_code, unused_imports)]

#[path = "../../src/clock.rs"]
pub mod clock;
#[path = "../../src/ids.rs"]
pub mod ids;
#[path = "../../src/media/mod.rs"]
pub mod media;
#[path = "../../src/sip/mod.rs"]
pub mod sip;
#[path = "../../src/sms/mod.rs"]
pub mod sms;

pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod sip_message;
pub mod sip_stream;
pub mod smpp;

/// A moment to hand to machines: time stands still but where a check moves it.
pub(crate) fn now() -> clock::Now {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let mono = *START.get_or_init(std::time::Instant::now);
    clock::Now { mono, wall: clock::UnixMillis(1_800_000_000_000) }
}

/// The check of a target by its name.
pub fn by_name(target: &str) -> Option<fn(&[u8])> {
    Some(match target {
        "sip_message" => sip_message::check,
        "sip_stream" => sip_stream::check,
        "sdp" => sdp::check,
        "rtp" => rtp::check,
        "rtcp" => rtcp::check,
        "smpp" => smpp::check,
        _ => return None,
    })
}
