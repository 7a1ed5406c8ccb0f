//! Cuts messages out of a byte stream by Content-Length (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

/// Bounds of what is taken from a stream or a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest message in bytes, head and body.
    pub message: usize,
    /// The longest header field in bytes, folded lines together.
    pub line: usize,
    /// The most header fields.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { message: 65_536, line: 8_192, headers: 200 }
    }
}

pub enum Frame {}
pub enum FrameError {}
pub struct Framer;
