//! SIP messages: byte-based parser and printer (RFC 3261 sections 7, 20 and 25).
//!
//! A message is taken apart into slices of the buffer it came in; nothing is copied but folded lines. What every
//! element needs (start line, Via, From, To, Call-ID, CSeq, Contact, routes) is checked while parsing, so that a
//! malformed message is refused in one place; all else is parsed when it is asked for.
//!
//! Left out: SDP and other bodies, `Date`, and the meaning of any field.

mod addr;
mod error;
mod framer;
mod headers;
pub(crate) mod lex;
mod method;
mod name;
mod params;
mod parse;
mod print;
mod status;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod torture;
mod typed;
mod uri;
mod via;

pub use addr::{Contacts, NameAddr};
pub use error::{Defect, ParseError};
pub use framer::{Frame, FrameError, Framer, Limits};
pub use headers::{Header, Headers};
pub use lex::quote;
pub use method::{Method, OtherMethod, Token};
pub use name::HeaderName;
pub use params::Params;
pub use status::reason_phrase;
pub use text::decode_text;
pub(crate) use text::decode_text_owned;
pub use typed::{CSeq, ContentType, RAck, ReasonValue, Refresher, Replaces, SessionExpires, Warning};
pub use uri::{Host, SipUri, TelUri, Uri, escape_user, unescape};
pub use via::{MAGIC_COOKIE, Via};

use bytes::Bytes;

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It begins with a method.
    Request(Request),
    /// It begins with `SIP/2.0`.
    Response(Response),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked for; methods that are not known here are kept by name.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The header fields, in their order.
    pub headers: Headers,
    /// The body, as many bytes as Content-Length says.
    pub body: Bytes,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 100–699.
    pub status: u16,
    /// The reason phrase as it came.
    pub reason: Bytes,
    /// The header fields, in their order.
    pub headers: Headers,
    /// The body, as many bytes as Content-Length says.
    pub body: Bytes,
}

impl Message {
    /// The header fields of either.
    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }

    /// The body of either; empty where there is none.
    pub fn body(&self) -> &Bytes {
        match self {
            Message::Request(request) => &request.body,
            Message::Response(response) => &response.body,
        }
    }
}

impl Request {
    /// A request without header fields and body.
    pub fn new(method: Method, uri: Uri) -> Request {
        Request { method, uri, headers: Headers::with_capacity(16), body: Bytes::new() }
    }

    /// Puts in a body with its Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        self.headers.set(HeaderName::ContentType, content_type.to_owned());
        self.body = body.into();
    }
}

impl Response {
    /// A response with the fields that RFC 3261 section 8.2.6 has copied: Via, From, To, Call-ID, CSeq, and
    /// Timestamp into a 100. An empty `reason` stands for the status's usual phrase. To gets no tag.
    pub fn to_request(request: &Request, status: u16, reason: &str) -> Response {
        let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
        let mut headers = Headers::with_capacity(12);
        for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
            headers.copy_from(&request.headers, &name);
        }
        if status == 100 {
            headers.copy_from(&request.headers, &HeaderName::Timestamp);
        }
        let reason = text::clean(Bytes::copy_from_slice(reason.as_bytes()));
        Response { status, reason, headers, body: Bytes::new() }
    }

    /// The same response with `tag` in To, unless To has a tag or the status is 100.
    pub fn with_to_tag(mut self, tag: &str) -> Response {
        if self.status > 100
            && let Ok(to) = self.headers.to()
            && to.tag().is_none()
        {
            self.headers.set(HeaderName::To, to.with_tag(tag));
        }
        self
    }

    /// Puts in a body with its Content-Type.
    pub fn set_body(&mut self, content_type: &str, body: impl Into<Bytes>) {
        self.headers.set(HeaderName::ContentType, content_type.to_owned());
        self.body = body.into();
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Message {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Message {
        Message::Response(response)
    }
}
