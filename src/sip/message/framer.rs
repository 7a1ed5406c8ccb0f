//! Cuts messages out of a byte stream by Content-Length (RFC 3261 section 18.3, RFC 5626 section 3.5.1).
//!
//! The buffer never holds more than one message and what came with it in one read; an ambiguous or missing
//! Content-Length, or a limit passed, ends the stream.

use super::{Defect, Message, ParseError, lex};
use bytes::{Buf, Bytes, BytesMut};

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

/// One thing cut from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, for [`Message::parse`].
    Message(Bytes),
    /// A double CRLF between messages: the peer asks for a sign of life; answer with one CRLF (RFC 5626 section 4.4.1).
    Ping,
    /// A single CRLF between messages: the answer to our ping, or line ends that mean nothing.
    Pong,
}

/// Why a stream cannot be read on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("stream: {0}")]
pub struct FrameError(
    /// What to answer with, if anything, before the connection is closed.
    pub ParseError,
);

/// Cuts one stream. Feed it with [`Framer::extend`], then call [`Framer::next_frame`] until it gives None.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    /// How far the current head was searched for its end.
    searched: usize,
    /// The current message's whole length, once its head has been read.
    length: Option<usize>,
    /// The last frame was a single CRLF: another one makes it a ping that came in two pieces.
    half_ping: bool,
    failed: bool,
}

impl Default for Framer {
    fn default() -> Self {
        Framer::new(Limits::default())
    }
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(limits: Limits) -> Framer {
        Framer { limits, buffer: BytesMut::new(), searched: 0, length: None, half_ping: false, failed: false }
    }

    /// Takes bytes from the stream; after an error they are dropped.
    ///
    /// Call [`Framer::next_frame`] to exhaustion after each read, then no more than one unfinished message (at most
    /// [`Limits::message`] bytes) stays in the buffer.
    pub fn extend(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes wait for the rest of their message.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame; None where more bytes are needed. After an error the stream is to be closed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.failed {
            return Ok(None);
        }
        if self.length.is_none() && self.searched == 0 {
            match self.buffer.first() {
                Some(b'\r' | b'\n') => return self.keep_alive().unwrap_or(Ok(None)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
        if self.length.is_none() {
            let Some(head) = self.find_head()? else { return Ok(None) };
            self.length = Some(self.whole_length(head)?);
        }
        let Some(length) = self.length.filter(|&n| n <= self.buffer.len()) else { return Ok(None) };
        self.length = None;
        self.searched = 0;
        self.half_ping = false;
        Ok(Some(Frame::Message(self.buffer.split_to(length).freeze())))
    }

    /// Line ends between messages. None where the bytes at hand are the beginning of one.
    fn keep_alive(&mut self) -> Option<Result<Option<Frame>, FrameError>> {
        if self.buffer.starts_with(b"\r\n\r\n") {
            self.buffer.advance(4);
            self.half_ping = false;
            Some(Ok(Some(Frame::Ping)))
        } else if &self.buffer[..] == b"\r" || &self.buffer[..] == b"\r\n\r" {
            None
        } else if self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            self.half_ping = !self.half_ping;
            Some(Ok(Some(if self.half_ping { Frame::Pong } else { Frame::Ping })))
        } else {
            Some(Err(self.fail(Defect::LineEnd)))
        }
    }

    /// The length of the head with its empty line; None while it is not there.
    fn find_head(&mut self) -> Result<Option<usize>, FrameError> {
        let from = self.searched.saturating_sub(3);
        match memchr::memmem::find(&self.buffer[from..], b"\r\n\r\n") {
            Some(at) if from + at + 4 <= self.limits.message => Ok(Some(from + at + 4)),
            None if self.buffer.len() < self.limits.message => {
                self.searched = self.buffer.len();
                Ok(None)
            }
            _ => Err(self.fail(Defect::TooLarge)),
        }
    }

    /// The message's length by its one Content-Length. `head` is the head's length.
    fn whole_length(&mut self, head: usize) -> Result<usize, FrameError> {
        match content_length(&self.buffer[..head]) {
            Ok(body) => match head.checked_add(body).filter(|&n| n <= self.limits.message) {
                Some(length) => Ok(length),
                None => Err(self.fail(Defect::TooLarge)),
            },
            Err(defect) => Err(self.fail(defect)),
        }
    }

    /// Ends the stream; what is at hand is read once more for the headers that a 400 needs.
    fn fail(&mut self, defect: Defect) -> FrameError {
        self.failed = true;
        let mut at_hand = self.buffer.split().freeze();
        at_hand.truncate(self.limits.message);
        let partial = match Message::parse_with(at_hand, &self.limits) {
            Ok(Message::Request(request)) => Some(Box::new(request)),
            Ok(Message::Response(_)) => None,
            Err(error) => error.partial,
        };
        FrameError(ParseError { defect, partial })
    }
}

/// The one Content-Length of a head that ends with an empty line.
fn content_length(head: &[u8]) -> Result<usize, Defect> {
    use super::HeaderName::ContentLength;
    let mut found = None;
    for line in head.split(|&b| b == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = lex::trim_end(&line[..colon]);
        if !(name.eq_ignore_ascii_case(b"l") || name.eq_ignore_ascii_case(b"Content-Length")) {
            continue;
        }
        if found.is_some() {
            return Err(Defect::Repeated(ContentLength));
        }
        let value = lex::trim(line[colon + 1..].strip_suffix(b"\r").unwrap_or(&line[colon + 1..]));
        let number = lex::number(value, u64::from(u32::MAX)).ok_or(Defect::Header(ContentLength))?;
        found = Some(number as usize);
    }
    found.ok_or(Defect::Missing(ContentLength))
}
