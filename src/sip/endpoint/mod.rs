//! The endpoint: transport matching, transactions and dialogs in one machine.

mod arena;
mod wheel;

use crate::{
    ids::LegId,
    sip::message::{Method, Request, Response},
};
use bytes::Bytes;
use std::net::SocketAddr;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

/// Where a message came from, or goes to: a datagram socket and an address, or one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub transport: Transport,
    /// Our socket's address, which also tells the profile.
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// The connection's number; 0 for UDP. A connection that is not open yet has number 0 and is opened by the shell.
    pub connection: u64,
}

/// Names one server transaction that waits for the user's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub u64);

/// What the endpoint is told by the shell.
#[derive(Clone, Debug)]
pub enum Input {
    /// One whole message: a datagram, or one that `message::Framer` cut from a stream.
    Packet { flow: Flow, bytes: Bytes },
    /// A connection closed, or a datagram could not be sent (RFC 3261 section 8.1.3.1, 17.1.4).
    FlowFailed { flow: Flow },
}

/// What the endpoint wants done.
#[derive(Clone, Debug)]
pub enum Output {
    Transmit { flow: Flow, bytes: Bytes },
    Event(Event),
}

/// What the endpoint tells its user.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request outside any dialog that is not INVITE: answer it with `Endpoint::respond`.
    Request { transaction: TransactionId, flow: Flow, request: Box<Request> },
    /// A new INVITE; 100 has been sent. The endpoint gave it a leg.
    Invite { leg: LegId, flow: Flow, request: Box<Request> },
    /// Something happened on a leg.
    Leg { leg: LegId, event: LegEvent },
}

/// What happens on a leg. The variants marked *over* are the last of their leg.
#[derive(Clone, Debug)]
pub enum LegEvent {
    /// UAS: CANCEL before the final answer; 487 was sent. Over.
    Cancelled { request: Box<Request> },
    /// UAS: the ACK of our 2xx came; `sdp` when our 2xx held the offer.
    Confirmed { sdp: Option<Bytes> },
    /// UAS: no ACK in 64·T1; BYE was sent (RFC 3261 section 13.3.1.4). Over.
    NoAck,
    /// UAC: 101–199, of any early dialog; `to_tag` tells early dialogs apart.
    Progress { response: Box<Response>, sdp: Option<Bytes> },
    /// UAC: a 2xx; ACK was sent if the INVITE held the offer, else call `Endpoint::ack`.
    Answered { response: Box<Response>, sdp: Option<Bytes> },
    /// UAC: a final answer other than 2xx, or 408 for silence, 503 for a dead flow (`response` None). Over.
    Failed { status: u16, response: Option<Box<Response>> },
    /// The peer's re-INVITE or UPDATE: answer with `accept_offer` or `reject_offer`. `sdp` None: we must offer.
    Offer { transaction: TransactionId, method: Method, sdp: Option<Bytes> },
    /// The peer's ACK to our 2xx to its re-INVITE, with an answer when we offered.
    OfferConfirmed { sdp: Option<Bytes> },
    /// Our re-INVITE or UPDATE was answered with 2xx.
    OfferAnswered { sdp: Option<Bytes> },
    /// Our re-INVITE was refused; the session stays as it was. (491 is retried inside, RFC 3261 section 14.1.)
    OfferFailed { status: u16 },
    /// Any other request inside the dialog (INFO, REFER, NOTIFY, MESSAGE…): answer with `Endpoint::respond`.
    Request { transaction: TransactionId, request: Box<Request> },
    /// The final answer to our INFO, OPTIONS, NOTIFY… inside the dialog.
    Response { method: Method, status: u16, response: Option<Box<Response>> },
    /// The peer's BYE; 200 was sent. Over.
    Ended { request: Box<Request> },
    /// Our BYE was answered or gave up. Over. (Also the end of a leg that we cancelled or rejected.)
    Gone,
    /// A request inside the dialog was answered 481 or 408, or timed out: the peer is gone. BYE was sent. Over.
    Lost { status: u16 },
}
