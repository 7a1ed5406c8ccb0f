//! Messages as they come: which of them are answered here, and which are given on (RFC 3261 sections 8.2 and 18).

use super::{
    Endpoint, Event, Flow, TransactionId, body,
    build::{asks_for_sips, response_flow},
    leg::{Incoming, Leg, State},
    transactions::{Machine, Owner, Purpose, reliability},
};
use crate::{
    ids::LegId,
    sip::{
        dialog::Dialog,
        message::{HeaderName, Headers, Message, Method, ParseError, Request, Response, Via},
        transaction::{
            invite_server::{self, InviteServer},
            non_invite_server::NonInviteServer,
        },
    },
};
use bytes::Bytes;
use std::time::Instant;

/// A request on its way in: its topmost Via as it came, and the flow that answers go to. In the request itself the
/// Via is stamped with its source.
pub(super) struct Arrival {
    pub(super) request: Box<Request>,
    pub(super) via: Via,
    pub(super) flow: Flow,
    pub(super) reply_flow: Flow,
    /// How many transactions its sender may have; None for a stranger.
    pub(super) most: Option<usize>,
}

impl Endpoint {
    pub(super) fn receive(&mut self, now: Instant, flow: Flow, bytes: Bytes) {
        let most = self.config.access.transactions_of(flow.local, flow.remote.ip());
        match Message::parse(bytes) {
            Ok(Message::Request(request)) => {
                self.counters.requests.add(&request.method);
                match arrive(flow, Box::new(request), most) {
                    Some(arrival) => self.receive_request(now, arrival),
                    None => self.counters.malformed += 1,
                }
            }
            Ok(Message::Response(response)) => {
                self.counters.responses += 1;
                self.counters.responses_by_class.add(response.status);
                self.receive_response(now, flow, Box::new(response));
            }
            Err(_) if most.is_none() => self.counters.strangers += 1,
            Err(error) => self.refuse_malformed(flow, error),
        }
    }

    /// Section 16.3 in spirit: what cannot be read is answered once, without a memory of it, with as much of it as can
    /// be read (RFC 4475 section 3.3.1); what has no Via or is no request is dropped.
    fn refuse_malformed(&mut self, flow: Flow, error: ParseError) {
        self.counters.malformed += 1;
        let status = error.status();
        let Some(answer) = error.response() else { return };
        let Some(request) = error.partial else { return };
        let reason = String::from_utf8_lossy(&answer.reason).into_owned();
        if request.headers.top_via().is_ok() {
            if let Some(arrival) = arrive(flow, request, Some(0)) {
                self.refuse(&arrival, status, &reason, |_| {});
            }
        } else {
            // The Via itself is broken (RFC 4475 section 3.1.2.1): only the source says where to answer.
            let tag = self.stateless_tag(&request);
            let response = self.response(&request, status, &reason, &tag);
            self.transmit(flow, response.to_bytes());
        }
    }

    fn receive_request(&mut self, now: Instant, arrival: Arrival) {
        let method = arrival.request.method.clone();
        if method == Method::Ack {
            return self.receive_ack(now, arrival);
        }
        // Section 17.2.3: a request of a known transaction came again.
        if let Some(id) = self.transactions.find_server(&arrival.request, &arrival.via, &method) {
            self.counters.repeated += 1;
            let before = self.counters.sent;
            if let Some(transaction) = self.transactions.get_mut(id) {
                transaction.found_again(arrival.reply_flow);
                transaction.machine.repeated(now);
            }
            self.run(now, id, None);
            self.counters.retransmitted += self.counters.sent - before;
        } else if method == Method::Cancel {
            self.receive_cancel(now, arrival);
        } else if let Some(leg) = self.find_leg(&arrival.request) {
            // Our tags are known to those alone with whom we speak, wherever they are.
            if self.passes(&arrival) {
                self.receive_in_dialog(now, leg, arrival);
            }
        } else if let Some(most) = arrival.most {
            if self.passes(&arrival) {
                self.receive_outside(now, arrival, most);
            }
        } else {
            self.counters.strangers += 1;
        }
    }

    /// Section 8.2.1 to 8.2.3, as far as it is the same inside and outside dialogs; what fails is answered here.
    fn passes(&mut self, arrival: &Arrival) -> bool {
        let request = &arrival.request;
        // Section 16.3 step 3; an OPTIONS is answered all the same (section 11).
        if request.headers.max_forwards() == Ok(Some(0)) && request.method != Method::Options {
            self.refuse(arrival, 483, "", |_| {});
            return false;
        }
        if !self.config.allows(&request.method) {
            let status = if matches!(request.method, Method::Other(_)) { 501 } else { 405 };
            let allow = self.config.allow_value();
            self.refuse(arrival, status, "", |headers| headers.push(HeaderName::Allow, allow.clone()));
            return false;
        }
        // Section 8.2.2.3: every option tag that is required and not known is named.
        let unknown: Vec<String> = request
            .headers
            .tokens(&HeaderName::Require)
            .iter()
            .filter(|tag| !self.config.supported.iter().any(|known| known.eq_ignore_ascii_case(tag.as_str())))
            .map(|tag| tag.as_str().to_owned())
            .collect();
        if !unknown.is_empty() {
            self.refuse(arrival, 420, "", |headers| headers.push(HeaderName::Unsupported, unknown.join(", ")));
            return false;
        }
        true
    }

    /// A new request that belongs to no dialog; its sender may have `most` transactions.
    fn receive_outside(&mut self, now: Instant, arrival: Arrival, most: usize) {
        if arrival.request.headers.to_tag().is_some() {
            return self.refuse(&arrival, 481, "", |_| {});
        }
        // Section 8.2.2.2: it forked on its way and came here twice.
        if self.transactions.is_merged(&arrival.request) {
            return self.refuse(&arrival, 482, "", |_| {});
        }
        // A BYE or its kin without a dialog (section 15.1.2, RFC 3311 section 5.2, RFC 6665 section 4.1.3).
        if matches!(arrival.request.method, Method::Bye | Method::Update | Method::Prack | Method::Info) {
            return self.refuse(&arrival, 481, "", |_| {});
        }
        let limits = self.config.limits;
        let full = arrival.request.method == Method::Invite && self.legs.len() >= limits.legs;
        if full || self.transactions.len() >= limits.transactions {
            self.counters.overloaded += 1;
            return self.refuse_for_now(&arrival);
        }
        if self.transactions.of_peer(arrival.reply_flow) >= most {
            self.counters.throttled += 1;
            return self.refuse_for_now(&arrival);
        }
        if arrival.request.method == Method::Invite {
            if self.may_describe(&arrival) && self.understands_body(&arrival) {
                self.receive_invite(now, arrival);
            }
        } else {
            let (flow, reply_flow) = (arrival.flow, arrival.reply_flow);
            let id = self.open_non_invite(now, &arrival, reply_flow, Owner::User);
            let request = arrival.request;
            if let Some(transaction) = self.transactions.get_mut(id) {
                transaction.request = Some(request.clone());
            }
            self.event(Event::Request { transaction: TransactionId(id), flow, request });
        }
    }

    /// Section 20.1, RFC 4475 section 3.3.15: a call whose answer may not hold a session description is answered 406.
    /// Without Accept it may; an empty one is taken for none.
    fn may_describe(&mut self, arrival: &Arrival) -> bool {
        let mut ranges = arrival
            .request
            .headers
            .get_all(&HeaderName::Accept)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(|range| range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii())
            .filter(|range| !range.is_empty())
            .peekable();
        let fits = |range: &[u8]| {
            [&b"application/sdp"[..], b"application/*", b"*/*"].iter().any(|known| range.eq_ignore_ascii_case(known))
                || range.len() > 10 && range[..10].eq_ignore_ascii_case(b"multipart/")
        };
        let fit = ranges.peek().is_none() || ranges.any(fits);
        if !fit {
            self.refuse(arrival, 406, "", |_| {});
        }
        fit
    }

    /// Section 8.2.3: a body that must be understood and is not is answered 415.
    fn understands_body(&mut self, arrival: &Arrival) -> bool {
        match body::session_description(&arrival.request.headers, &arrival.request.body) {
            Ok(_) => true,
            Err(what) => {
                self.refuse(arrival, 415, "", |headers| what.put_accepted(headers));
                false
            }
        }
    }

    /// A new call: it is given a leg and a tag, and answered 100 (section 8.2.6.1).
    fn receive_invite(&mut self, now: Instant, arrival: Arrival) {
        let tag = self.new_tag();
        let Some(dialog) = Dialog::uas(&arrival.request, &tag, arrival.flow) else {
            return self.refuse(&arrival, 400, "Bad Request - Contact is no SIP URI", |_| {});
        };
        let leg = LegId(self.ids.next());
        let id = self.open_invite(now, &arrival, Owner::Leg(leg, Purpose::Invite));
        let Arrival { request, flow, .. } = arrival;
        let contact = self.contact(flow, &request.uri, asks_for_sips(&request));
        self.tags.insert(dialog.local_tag().clone(), leg);
        self.connections.add(flow, leg);
        let state = State::Incoming(Incoming { transaction: id, request: request.clone(), progress: None });
        self.legs.insert(leg, Leg::new(dialog, contact, state));
        self.event(Event::Invite { leg, flow, request });
    }

    /// Opens a server transaction for an INVITE, which sends the 100.
    pub(super) fn open_invite(&mut self, now: Instant, arrival: &Arrival, owner: Owner) -> u64 {
        let trying = Response::to_request(&arrival.request, 100, "").to_bytes();
        let machine = InviteServer::new(self.config.timers, reliability(arrival.flow), trying);
        self.open_server(now, arrival, Machine::InviteServer(machine), arrival.reply_flow, owner)
    }

    /// Opens a server transaction for an INVITE that is refused at once: it needs no 100 (section 17.2.1).
    pub(super) fn open_invite_quietly(&mut self, now: Instant, arrival: &Arrival, owner: Owner) -> u64 {
        let mut machine = InviteServer::new(self.config.timers, reliability(arrival.flow), Bytes::new());
        machine.poll_output();
        self.open_server(now, arrival, Machine::InviteServer(machine), arrival.reply_flow, owner)
    }

    /// Opens a server transaction for any other request.
    pub(super) fn open_non_invite(&mut self, now: Instant, arrival: &Arrival, flow: Flow, owner: Owner) -> u64 {
        let machine = NonInviteServer::new(now, self.config.timers, reliability(flow));
        self.open_server(now, arrival, Machine::NonInviteServer(machine), flow, owner)
    }

    fn open_server(&mut self, now: Instant, arrival: &Arrival, machine: Machine, flow: Flow, owner: Owner) -> u64 {
        if let Owner::Leg(leg, purpose) = &owner
            && purpose.counts()
            && let Some(leg) = self.legs.get_mut(leg)
        {
            leg.served = leg.served.saturating_add(1);
        }
        let id = self.transactions.add_server(machine, &arrival.request, &arrival.via, flow, owner);
        self.run(now, id, None);
        id
    }

    /// Section 9.2: the CANCEL itself is answered 200 where its INVITE is known, and the INVITE 487 where it has no
    /// final answer yet.
    fn receive_cancel(&mut self, now: Instant, arrival: Arrival) {
        let Some(invite) = self.transactions.find_server(&arrival.request, &arrival.via, &Method::Invite) else {
            if arrival.most.is_none() {
                self.counters.strangers += 1;
                return;
            }
            return self.refuse(&arrival, 481, "", |_| {});
        };
        let (owner, proceeding) = match self.transactions.get(invite) {
            Some(transaction) => {
                let proceeding = matches!(&transaction.machine, Machine::InviteServer(m) if m.is_proceeding());
                (transaction.owner.clone(), proceeding)
            }
            None => (Owner::Nobody, false),
        };
        // The tag is that of the INVITE's own answers.
        let tag = match &owner {
            Owner::Leg(leg, _) => self.legs.get(leg).map(|leg| text(leg.dialog.local_tag())),
            Owner::Nobody | Owner::User => None,
        };
        let tag = tag.unwrap_or_else(|| self.stateless_tag(&arrival.request));
        let id = self.open_non_invite(now, &arrival, arrival.reply_flow, Owner::Nobody);
        let ok = self.response(&arrival.request, 200, "", &tag);
        self.reply(now, id, &ok);
        if proceeding {
            self.cancelled(now, invite, owner, arrival.request);
        }
    }

    /// Section 17.1.1.3: the ACK of a failure belongs to the INVITE's transaction; any other to a dialog.
    fn receive_ack(&mut self, now: Instant, arrival: Arrival) {
        let found = self.transactions.find_server(&arrival.request, &arrival.via, &Method::Invite);
        if let Some(transaction) = found.and_then(|id| self.transactions.get_mut(id))
            && let Machine::InviteServer(machine) = &mut transaction.machine
        {
            machine.handle_input(now, invite_server::Input::Ack);
            let mine = machine.poll_output() == Some(invite_server::Output::DeliverAck);
            if let Some(id) = found {
                self.run(now, id, None);
            }
            if !mine {
                return;
            }
        }
        self.receive_dialog_ack(now, arrival);
    }

    /// 503 with Retry-After and without a memory of it (section 21.5.4).
    pub(super) fn refuse_for_now(&mut self, arrival: &Arrival) {
        let after = self.config.limits.retry_after.to_string();
        self.refuse(arrival, 503, "", |headers| headers.push(HeaderName::RetryAfter, after));
    }

    /// Answers without a transaction: a copy of the request is answered anew, in the same words (section 8.2.7).
    pub(super) fn refuse(&mut self, arrival: &Arrival, status: u16, reason: &str, more: impl FnOnce(&mut Headers)) {
        let tag = self.stateless_tag(&arrival.request);
        let mut response = self.response(&arrival.request, status, reason, &tag);
        more(&mut response.headers);
        self.transmit(arrival.reply_flow, response.to_bytes());
    }
}

/// Stamps the topmost Via with the request's source (section 18.2.1, RFC 3581 section 4).
fn arrive(flow: Flow, mut request: Box<Request>, most: Option<usize>) -> Option<Arrival> {
    let via = request.headers.top_via().ok()?;
    let mut stamped = via.clone();
    stamped.stamp_source(flow.remote);
    request.headers.set_top_via(&stamped);
    let reply_flow = response_flow(flow, &stamped);
    Some(Arrival { request, via, flow, reply_flow, most })
}

/// A tag of ours as text.
pub(super) fn text(tag: &Bytes) -> String {
    String::from_utf8_lossy(tag).into_owned()
}
