//! SIP messages: byte-based parser and printer (RFC 3261 sections 7, 20 and 25).

use bytes::Bytes;

/// A method. Unknown ones are kept as they came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Info,
    Update,
    Prack,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    Other(Bytes),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub headers: Vec<()>,
    pub body: Bytes,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<()>,
    pub body: Bytes,
}
