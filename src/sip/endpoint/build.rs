//! Requests and responses as this endpoint writes them.

use super::{
    Endpoint, Flow, TransactionId, Transport,
    transactions::{Machine, Owner, reliability},
};
use crate::sip::{
    message::{Header, HeaderName, Headers, Host, Method, Request, Response, Uri, Via, escape_user},
    transaction::{invite_client::InviteClient, key::Branch, non_invite_client::NonInviteClient},
};
use bytes::Bytes;
use rand::Rng;
use std::time::Instant;

/// What a transaction writes by itself; a user's headers of these names are left out.
const OWN: [HeaderName; 9] = [
    HeaderName::Via,
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::MaxForwards,
    HeaderName::Contact,
    HeaderName::RecordRoute,
    HeaderName::ContentLength,
];

impl Endpoint {
    /// Our Contact on a flow, with the user part of one of our identities. Where the dialog is `secure` and the flow is
    /// encrypted it is a SIPS URI (sections 8.1.1.8 and 12.1.1), whose transport goes without saying (section 26.2.2).
    pub(super) fn contact(&self, flow: Flow, identity: &Uri, secure: bool) -> Bytes {
        let advertised = self.config.advertised(flow);
        let user = identity.user().unwrap_or_default();
        let sips = secure && flow.transport == Transport::Tls;
        let mut text = String::with_capacity(64);
        text.push_str(if sips { "<sips:" } else { "<sip:" });
        if !user.is_empty() {
            text.push_str(&escape_user(&user));
            text.push('@');
        }
        text.push_str(&advertised.to_string());
        if let Some(transport) = flow.transport.uri_param().filter(|_| !sips) {
            text.push_str(";transport=");
            text.push_str(transport);
        }
        text.push('>');
        text.into()
    }

    /// Puts our Via on top of a request (RFC 3261 section 18.1.1); rport is asked for (RFC 3581).
    fn put_via(&self, request: &mut Request, flow: Flow, branch: Branch) {
        let advertised = self.config.advertised(flow);
        let transport = flow.transport.token();
        request
            .headers
            .prepend(HeaderName::Via, format!("SIP/2.0/{transport} {advertised};branch={};rport", branch.text()));
    }

    /// Whether a response's topmost Via is one that we put there on this flow (section 18.1.2).
    pub(super) fn is_our_via(&self, via: &Via, flow: Flow) -> bool {
        let advertised = self.config.advertised(flow);
        via.port == advertised.port && Host::new(advertised.host).is_some_and(|host| host == via.host)
    }

    /// Sends a request in a new client transaction.
    pub(super) fn send_request(&mut self, now: Instant, flow: Flow, mut request: Request, owner: Owner) -> u64 {
        let branch = Branch(self.rng.random());
        self.put_via(&mut request, flow, branch);
        request.headers.set(HeaderName::UserAgent, self.config.user_agent.clone());
        let (timers, bytes) = (self.config.timers, exact(request.to_bytes()));
        let machine = match request.method {
            Method::Invite => Machine::InviteClient(InviteClient::new(now, timers, reliability(flow), bytes)),
            _ => Machine::NonInviteClient(NonInviteClient::new(now, timers, reliability(flow), bytes)),
        };
        let id = self.transactions.add_client(machine, branch, false, flow, owner);
        self.run(now, id, None);
        id
    }

    /// Sends an ACK for a 2xx, which is a transaction of its own (section 13.2.2.4), and gives its bytes.
    pub(super) fn send_ack(&mut self, flow: Flow, mut ack: Request) -> Bytes {
        let branch = Branch(self.rng.random());
        self.put_via(&mut ack, flow, branch);
        let bytes = exact(ack.to_bytes());
        self.transmit(flow, bytes.clone());
        bytes
    }

    /// A response with what every one of ours has.
    pub(super) fn response(&self, request: &Request, status: u16, reason: &str, tag: &str) -> Response {
        let mut response = Response::to_request(request, status, reason).with_to_tag(tag);
        response.headers.push(HeaderName::Server, self.config.user_agent.clone());
        response
    }

    /// Adds what a response that makes or keeps a dialog has (sections 12.1.1 and 13.3.1).
    pub(super) fn put_dialog(&self, response: &mut Response, request: &Request, contact: &Bytes) {
        response.headers.copy_from(&request.headers, &HeaderName::RecordRoute);
        response.headers.push(HeaderName::Contact, contact.clone());
        response.headers.push(HeaderName::Allow, self.config.allow_value());
        if !self.config.supported.is_empty() {
            response.headers.push(HeaderName::Supported, self.config.supported.join(", "));
        }
    }

    /// Sends a response in its server transaction; after a final one the request is forgotten.
    pub(super) fn reply(&mut self, now: Instant, id: u64, response: &Response) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.machine.respond(now, response.status, exact(response.to_bytes()));
        if response.status >= 200 {
            transaction.request = None;
        }
        if matches!(response.status, 401 | 407) {
            self.transactions.forget_merge(id);
        }
        self.run(now, id, None);
    }

    /// The open server transaction that a user names, and its request.
    pub(super) fn open_request(&self, id: TransactionId) -> Option<&Request> {
        self.transactions.get(id.0)?.request.as_deref()
    }
}

/// Whether a request makes a dialog that is secure all the way (section 12.1.1).
pub(super) fn asks_for_sips(request: &Request) -> bool {
    let first = request.headers.record_routes().ok().and_then(|routes| routes.into_iter().next());
    let peer = first.or_else(|| request.headers.contact().ok().flatten());
    is_sips(&request.uri) || peer.is_some_and(|peer| is_sips(&peer.uri))
}

/// Whether a URI is a SIPS URI.
pub(super) fn is_sips(uri: &Uri) -> bool {
    uri.as_sip().is_some_and(|uri| uri.secure)
}

/// Adds a user's headers, without those that are not the user's to write.
pub(super) fn put_headers<'a>(headers: &mut Headers, more: impl Iterator<Item = &'a Header>) {
    for header in more.filter(|header| !OWN.contains(&header.name)) {
        headers.push(header.name.clone(), header.value.clone());
    }
}

/// Header fields as lines.
pub(super) fn lines(headers: &[Header]) -> Vec<u8> {
    let mut clean = Headers::new();
    put_headers(&mut clean, headers.iter());
    let mut out = Vec::new();
    for header in clean.iter() {
        out.extend_from_slice(header.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&header.value);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Where a response to a request of this topmost Via goes (section 18.2.2): back over its connection; over datagrams
/// to the address it came from, at the port that rport or, without rport, sent-by names. `maddr` is left aside: it
/// would let anyone aim our answers at others.
pub(super) fn response_flow(flow: Flow, stamped: &Via) -> Flow {
    match flow.transport {
        Transport::Udp => {
            let port = stamped.response_address(5060).map_or(flow.remote.port(), |address| address.port());
            let remote = std::net::SocketAddr::new(flow.remote.ip(), port);
            Flow { remote, ..flow }
        }
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => flow,
    }
}

/// The bytes without spare room: they may be kept for as long as a transaction lingers.
fn exact(bytes: Bytes) -> Bytes {
    Bytes::copy_from_slice(&bytes)
}
