//! Commands of the one who calls (RFC 3261 sections 8.1, 9.1 and 13.2).

use super::{
    CommandError, Endpoint, Flow, TransactionId,
    build::{is_sips, lines, put_headers},
    leg::{Calling, Cancel, Leg, State},
    transactions::{Machine, Owner, Purpose, reliability},
};
use crate::{
    clock::Now,
    ids::LegId,
    sip::{
        dialog::Dialog,
        message::{Header, HeaderName, Method, NameAddr, Request, Response, Uri},
        transaction::{derive, invite_client, non_invite_client::NonInviteClient},
    },
};
use bytes::Bytes;
use rand::Rng;
use std::time::Instant;

/// A call to be made.
#[derive(Clone, Debug)]
pub struct OutgoingInvite {
    /// Where the INVITE is sent.
    pub flow: Flow,
    /// The Request-URI.
    pub uri: Uri,
    /// Who calls; a tag is added.
    pub from: NameAddr,
    /// Who is called, without a tag.
    pub to: NameAddr,
    /// Route, the topmost first.
    pub route: Vec<NameAddr>,
    /// Any other headers.
    pub headers: Vec<Header>,
    /// The offer; without one the 2xx brings it.
    pub sdp: Option<Bytes>,
    /// Call-ID and CSeq of a call that is tried again with credentials (section 22.2); None makes new ones.
    pub again: Option<(Bytes, u32)>,
}

/// A request outside any dialog, such as REGISTER, OPTIONS or MESSAGE.
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    /// Where it is sent.
    pub flow: Flow,
    /// Any method but INVITE, ACK and CANCEL.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// Who sends; a tag is added.
    pub from: NameAddr,
    /// Who is meant.
    pub to: NameAddr,
    /// Route, the topmost first.
    pub route: Vec<NameAddr>,
    /// Any other headers; a Contact of ours is added where there is none.
    pub headers: Vec<Header>,
    /// The body, with its type in `headers`.
    pub body: Bytes,
    /// Call-ID and CSeq: those of a registration grow from one REGISTER to the next (section 10.2). None makes new
    /// ones.
    pub again: Option<(Bytes, u32)>,
}

impl Endpoint {
    /// Calls somebody. The leg's events tell what becomes of it.
    ///
    /// # Errors
    /// `LegTaken`, `Overloaded`.
    pub fn invite(&mut self, now: Now, id: LegId, invite: OutgoingInvite) -> Result<(), CommandError> {
        if self.legs.contains_key(&id) {
            return Err(CommandError::LegTaken);
        }
        let limits = self.config.limits;
        if self.legs.len() >= limits.legs || self.transactions.len() >= limits.transactions {
            return Err(CommandError::Overloaded);
        }
        let contact = self.contact(invite.flow, &invite.from.uri, is_sips(&invite.uri));
        let OutgoingInvite { flow, uri, from, to, route, headers, sdp, again } = invite;
        let mut request = self.outgoing(Method::Invite, uri, from, to, &route, again);
        request.headers.push(HeaderName::Contact, contact.clone());
        request.headers.push(HeaderName::Allow, self.config.allow_value());
        if !self.config.supported.is_empty() {
            request.headers.push(HeaderName::Supported, self.config.supported.join(", "));
        }
        put_headers(&mut request.headers, headers.iter());
        let offered = sdp.is_some();
        if let Some(sdp) = sdp {
            request.set_body("application/sdp", sdp);
        }
        let dialog = Dialog::uac(&Response::to_request(&request, 100, ""), flow);
        self.tags.insert(dialog.local_tag().clone(), id);
        self.connections.add(flow, id);
        let calling = Calling { transaction: 0, early: Vec::new(), cancel: Cancel::No, offered };
        self.legs.insert(id, Leg::new(dialog, contact, State::Calling(calling)));
        let transaction = self.send_request(now.mono, flow, request, Owner::Leg(id, Purpose::Invite));
        if let Some(Leg { state: State::Calling(calling), .. }) = self.legs.get_mut(&id) {
            calling.transaction = transaction;
        }
        Ok(())
    }

    /// Sends a request outside any dialog; [`super::Event::Response`] brings its answer.
    ///
    /// # Errors
    /// `WrongState` for INVITE, ACK and CANCEL; `Overloaded`.
    pub fn send(&mut self, now: Now, request: OutgoingRequest) -> Result<TransactionId, CommandError> {
        if matches!(request.method, Method::Invite | Method::Ack | Method::Cancel) {
            return Err(CommandError::WrongState);
        }
        if self.transactions.len() >= self.config.limits.transactions {
            return Err(CommandError::Overloaded);
        }
        let contact = self.contact(request.flow, &request.from.uri, is_sips(&request.uri));
        let OutgoingRequest { flow, method, uri, from, to, route, headers, body, again } = request;
        let mut request = self.outgoing(method, uri, from, to, &route, again);
        put_headers(&mut request.headers, headers.iter());
        match headers.iter().find(|header| header.name == HeaderName::Contact) {
            Some(own) => request.headers.push(HeaderName::Contact, own.value.clone()),
            None => request.headers.push(HeaderName::Contact, contact),
        }
        request.body = body;
        Ok(TransactionId(self.send_request(now.mono, flow, request, Owner::User)))
    }

    /// Answers the offer that a 2xx brought: the ACK carries `sdp` (section 13.2.2.4).
    ///
    /// # Errors
    /// `UnknownLeg`, `WrongState` where no ACK is owed.
    pub fn ack(&mut self, _now: Now, id: LegId, sdp: Bytes) -> Result<(), CommandError> {
        let leg = self.legs.get(&id).ok_or(CommandError::UnknownLeg)?;
        match &leg.state {
            State::Unacknowledged(waiting) => {
                let (transaction, cseq) = (waiting.transaction, waiting.cseq);
                self.establish(transaction, id, cseq, Some(sdp));
                Ok(())
            }
            State::Incoming(_)
            | State::Answered(_)
            | State::Calling(_)
            | State::Established(_)
            | State::Terminating => Err(CommandError::WrongState),
        }
    }

    /// Sends the CANCEL of an INVITE that has had a provisional response (section 9.1).
    pub(super) fn send_cancel(&mut self, now: Instant, invite: u64, headers: &[Header]) {
        let Some(branch) = self.transactions.branch(invite) else { return };
        let Some(transaction) = self.transactions.get(invite) else { return };
        let Machine::InviteClient(machine) = &transaction.machine else { return };
        let flow = transaction.flow;
        let Some(cancel) = machine.request().map(|request| derive::cancel(request, &lines(headers))) else { return };
        self.abandon(now, invite);
        let machine = NonInviteClient::new(now, self.config.timers, reliability(flow), cancel);
        let machine = Machine::NonInviteClient(machine);
        let id = self.transactions.add_client(machine, branch, true, flow, Owner::Nobody);
        self.run(now, id, None);
    }

    /// An INVITE of ours no longer matters: it waits for its final answer for 64·T1 at most.
    pub(super) fn abandon(&mut self, now: Instant, invite: u64) {
        if let Some(transaction) = self.transactions.get_mut(invite)
            && let Machine::InviteClient(machine) = &mut transaction.machine
        {
            machine.handle_input(now, invite_client::Input::Abandoned);
            self.run(now, invite, None);
        }
    }

    /// Whether an INVITE of ours has had a provisional response and no final one.
    pub(super) fn may_cancel(&self, invite: u64) -> bool {
        self.transactions
            .get(invite)
            .is_some_and(|transaction| matches!(&transaction.machine, Machine::InviteClient(m) if m.is_proceeding()))
    }

    /// A request that begins a dialog or stands alone (section 8.1.1), without Via.
    fn outgoing(
        &mut self,
        method: Method,
        uri: Uri,
        from: NameAddr,
        to: NameAddr,
        route: &[NameAddr],
        again: Option<(Bytes, u32)>,
    ) -> Request {
        let tag = self.new_tag();
        let (call_id, number) = again.unwrap_or_else(|| (self.new_call_id(), 1));
        let cseq = format!("{number} {method}");
        let mut request = Request::new(method, uri);
        for route in route {
            request.headers.push(HeaderName::Route, route);
        }
        request.headers.push(HeaderName::MaxForwards, &b"70"[..]);
        request.headers.push(HeaderName::From, from.with_tag(&tag));
        request.headers.push(HeaderName::To, to);
        request.headers.push(HeaderName::CallId, call_id);
        request.headers.push(HeaderName::CSeq, cseq);
        request
    }

    /// A Call-ID whose messages come back to this endpoint.
    fn new_call_id(&mut self) -> Bytes {
        loop {
            let call_id = format!("{:032x}", self.rng.random::<u128>());
            if super::shard_of(call_id.as_bytes(), self.config.shards) == self.config.shard || self.config.shards <= 1 {
                return call_id.into();
            }
        }
    }
}
