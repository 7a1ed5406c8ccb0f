//! Requests inside dialogs (RFC 3261 sections 12.2.2, 13.3.1.4, 14.2 and 15.1.2; UPDATE: RFC 3311).

use super::{
    Endpoint, LegEvent, TransactionId, body,
    leg::{Negotiation, Session, State},
    receive::{Arrival, text},
    transactions::{Machine, Owner, Purpose},
};
use crate::{
    ids::LegId,
    sip::message::{HeaderName, Headers, Method, Request},
};
use bytes::Bytes;
use rand::Rng;
use std::time::Instant;

/// How many requests of one dialog may wait for the user at one time.
const MOST_OPEN: usize = 32;

/// How a new offer of the peer's is met.
enum Welcome {
    Take,
    /// 491: it crossed ours (section 14.2).
    Pending,
    /// 500 with Retry-After: the one before is not finished (section 14.2).
    Later,
    /// 481: the dialog is ending.
    Gone,
}

impl Endpoint {
    /// A request of a leg's dialog.
    pub(super) fn receive_in_dialog(&mut self, now: Instant, id: LegId, arrival: Arrival) {
        if self.is_crowded(id, &arrival.request.method) {
            self.counters.throttled += 1;
            return self.refuse_for_now(&arrival);
        }
        self.reconnected(id, arrival.flow);
        let number = arrival.request.headers.cseq().map(|cseq| cseq.number).unwrap_or(0);
        // Section 12.2.2: what is out of order is answered 500. Nothing was taken: a copy is judged anew.
        if !self.take_cseq(id, &arrival.request, number) {
            return self.refuse(&arrival, 500, "CSeq out of order", |_| {});
        }
        match arrival.request.method {
            Method::Bye => self.receive_bye(now, id, arrival),
            Method::Invite | Method::Update => {
                match body::session_description(&arrival.request.headers, &arrival.request.body) {
                    Ok(sdp) => self.receive_offer(now, id, &arrival, sdp),
                    Err(what) => self.settle(now, id, &arrival, 415, |headers| what.put_accepted(headers)),
                }
            }
            _ => self.receive_other(now, id, arrival),
        }
    }

    /// Whether a dialog has as many transactions as it may. The BYE that ends it is always taken.
    fn is_crowded(&self, id: LegId, method: &Method) -> bool {
        self.legs.get(&id).is_some_and(|leg| {
            let last = *method == Method::Bye && !matches!(leg.state, State::Terminating);
            !last && leg.served >= self.config.limits.transactions_per_dialog
        })
    }

    /// The leg that a request's To tag names, where Call-ID and From tag agree (section 12.2.2).
    pub(super) fn find_leg(&self, request: &Request) -> Option<LegId> {
        let id = *self.tags.get(&request.headers.to_tag()?)?;
        let leg = self.legs.get(&id)?;
        let call_id = request.headers.call_id().ok()?;
        let from_tag = request.headers.from_tag().unwrap_or_default();
        let known = match &leg.state {
            State::Calling(calling) => calling.early.iter().any(|dialog| dialog.matches(call_id, &from_tag)),
            State::Incoming(_)
            | State::Answered(_)
            | State::Unacknowledged(_)
            | State::Established(_)
            | State::Terminating => leg.dialog.matches(call_id, &from_tag),
        };
        known.then_some(id)
    }

    fn take_cseq(&mut self, id: LegId, request: &Request, number: u32) -> bool {
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let from_tag = request.headers.from_tag().unwrap_or_default();
        match &mut leg.state {
            State::Calling(calling) => {
                calling.early.iter_mut().any(|dialog| *dialog.remote_tag() == from_tag && dialog.take_cseq(number))
            }
            State::Incoming(_)
            | State::Answered(_)
            | State::Unacknowledged(_)
            | State::Established(_)
            | State::Terminating => leg.dialog.take_cseq(number),
        }
    }

    /// Section 15.1.2: BYE is answered 200 and ends the session.
    fn receive_bye(&mut self, now: Instant, id: LegId, arrival: Arrival) {
        let Some(leg) = self.legs.get(&id) else { return };
        let tag = text(leg.dialog.local_tag());
        let owner = Owner::Leg(id, Purpose::Settled);
        let transaction = self.open_non_invite(now, &arrival, arrival.reply_flow, owner);
        let ok = self.response(&arrival.request, 200, "", &tag);
        self.reply(now, transaction, &ok);
        let Some(leg) = self.legs.get(&id) else { return };
        let request = arrival.request;
        match &leg.state {
            // The caller may end an early dialog so, too: the INVITE gets its 487.
            State::Incoming(incoming) => {
                let invite = incoming.transaction;
                self.terminate_invite(now, id, invite);
                self.finish(now, id, LegEvent::Cancelled { request });
            }
            // The callee may not, but then it will hardly answer either: the INVITE is cancelled.
            State::Calling(calling) => {
                let invite = calling.transaction;
                self.send_cancel(now, invite, &[]);
                self.finish(now, id, LegEvent::Ended { request });
            }
            State::Answered(_) | State::Unacknowledged(_) | State::Established(_) => {
                self.finish(now, id, LegEvent::Ended { request });
            }
            // The two BYEs crossed; the leg ends with the answer to ours.
            State::Terminating => {}
        }
    }

    /// The peer's re-INVITE or UPDATE.
    fn receive_offer(&mut self, now: Instant, id: LegId, arrival: &Arrival, sdp: Option<Bytes>) {
        let is_update = arrival.request.method == Method::Update;
        let Some(leg) = self.legs.get(&id) else { return };
        // RFC 3311 section 5.2: an UPDATE without an offer is refused only where the dialog is gone.
        let refresh_only = is_update && sdp.is_none();
        let welcome = match &leg.state {
            State::Terminating => Welcome::Gone,
            State::Incoming(_)
            | State::Calling(_)
            | State::Answered(_)
            | State::Unacknowledged(_)
            | State::Established(_)
                if refresh_only =>
            {
                Welcome::Take
            }
            State::Incoming(_) | State::Calling(_) => Welcome::Later,
            State::Answered(_) | State::Unacknowledged(_) => Welcome::Pending,
            State::Established(session) => match &session.negotiation {
                // Our own offer waits for its second try; theirs comes first.
                Negotiation::Idle | Negotiation::Glare { .. } => Welcome::Take,
                Negotiation::Offering { .. } | Negotiation::Unconfirmed(_) => Welcome::Pending,
                Negotiation::Answering { .. } => Welcome::Later,
            },
        };
        match welcome {
            Welcome::Take => self.take_offer(now, id, arrival, sdp, refresh_only),
            Welcome::Pending => self.settle(now, id, arrival, 491, |_| {}),
            Welcome::Later => {
                let after = self.rng.random_range(0..=10u8).to_string();
                self.settle(now, id, arrival, 500, |headers| headers.push(HeaderName::RetryAfter, after));
            }
            Welcome::Gone => self.settle(now, id, arrival, 481, |_| {}),
        }
    }

    /// Answers a request that the user is not asked about. Its CSeq was taken, so the answer is kept in a server
    /// transaction: a copy of the request gets it again, where it would else be out of order (sections 12.2.2 and
    /// 17.2).
    fn settle(&mut self, now: Instant, id: LegId, arrival: &Arrival, status: u16, more: impl FnOnce(&mut Headers)) {
        let Some(leg) = self.legs.get(&id) else { return };
        let mut response = self.response(&arrival.request, status, "", &text(leg.dialog.local_tag()));
        more(&mut response.headers);
        let owner = Owner::Leg(id, Purpose::Settled);
        let transaction = match arrival.request.method {
            Method::Invite => self.open_invite_quietly(now, arrival, owner),
            _ => self.open_non_invite(now, arrival, arrival.reply_flow, owner),
        };
        self.reply(now, transaction, &response);
    }

    fn take_offer(&mut self, now: Instant, id: LegId, arrival: &Arrival, sdp: Option<Bytes>, refresh_only: bool) {
        let method = arrival.request.method.clone();
        let owner = Owner::Leg(id, Purpose::Reinvite);
        let transaction = match method {
            Method::Invite => self.open_invite(now, arrival, owner),
            _ => self.open_non_invite(now, arrival, arrival.reply_flow, owner),
        };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        // Section 12.2.2: both methods refresh the target.
        leg.dialog.refresh_target(&arrival.request.headers);
        if refresh_only {
            let (tag, contact) = (text(leg.dialog.local_tag()), leg.contact.clone());
            let mut ok = self.response(&arrival.request, 200, "", &tag);
            self.put_dialog(&mut ok, &arrival.request, &contact);
            return self.reply(now, transaction, &ok);
        }
        if let State::Established(session) = &mut leg.state
            && let Negotiation::Glare { sdp, .. } =
                std::mem::replace(&mut session.negotiation, Negotiation::Answering { transaction })
        {
            session.queued.get_or_insert(sdp);
        }
        self.open_for_user(id, transaction, arrival.request.clone());
        self.leg_event(id, LegEvent::Offer { transaction: TransactionId(transaction), method, sdp });
    }

    /// Any other request, which the user answers.
    fn receive_other(&mut self, now: Instant, id: LegId, arrival: Arrival) {
        let transactions = &self.transactions;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.open.retain(|open| transactions.get(*open).is_some_and(|transaction| transaction.request.is_some()));
        if matches!(leg.state, State::Terminating) {
            return self.settle(now, id, &arrival, 481, |_| {});
        }
        if leg.open.len() >= MOST_OPEN {
            let after = |headers: &mut Headers| headers.push(HeaderName::RetryAfter, &b"5"[..]);
            return self.settle(now, id, &arrival, 500, after);
        }
        let owner = Owner::Leg(id, Purpose::Request(Box::new(arrival.request.method.clone())));
        let transaction = self.open_non_invite(now, &arrival, arrival.reply_flow, owner);
        self.open_for_user(id, transaction, arrival.request.clone());
        let request = arrival.request;
        self.leg_event(id, LegEvent::Request { transaction: TransactionId(transaction), request });
    }

    /// Keeps a request until the user has answered it, or the leg's end does.
    fn open_for_user(&mut self, id: LegId, transaction: u64, request: Box<Request>) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.open.push(transaction);
        }
        if let Some(transaction) = self.transactions.get_mut(transaction) {
            transaction.request = Some(request);
        }
    }

    /// The ACK of a 2xx (section 13.3.1.4): the first one confirms, its copies are absorbed.
    pub(super) fn receive_dialog_ack(&mut self, now: Instant, arrival: Arrival) {
        let Some(id) = self.find_leg(&arrival.request) else {
            self.counters.dropped += 1;
            return;
        };
        self.reconnected(id, arrival.flow);
        let number = arrival.request.headers.cseq().map(|cseq| cseq.number).unwrap_or(0);
        let sdp = body::session_description(&arrival.request.headers, &arrival.request.body).ok().flatten();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        match &mut leg.state {
            State::Answered(answered) if answered.ok.cseq == number => {
                let hang_up = answered.hang_up.take();
                leg.state = State::Established(Session::new());
                match hang_up {
                    Some(headers) => self.bye(now, id, &headers),
                    None => self.leg_event(id, LegEvent::Confirmed { sdp }),
                }
            }
            State::Established(session) => match &session.negotiation {
                Negotiation::Unconfirmed(ok) if ok.cseq == number => {
                    session.negotiation = Negotiation::Idle;
                    self.leg_event(id, LegEvent::OfferConfirmed { sdp });
                    self.send_queued_offer(now, id);
                }
                Negotiation::Idle
                | Negotiation::Offering { .. }
                | Negotiation::Glare { .. }
                | Negotiation::Answering { .. }
                | Negotiation::Unconfirmed(_) => {}
            },
            State::Answered(_)
            | State::Incoming(_)
            | State::Calling(_)
            | State::Unacknowledged(_)
            | State::Terminating => {}
        }
    }

    /// The peer cancelled its INVITE (section 9.2): the INVITE is answered 487.
    pub(super) fn cancelled(&mut self, now: Instant, invite: u64, owner: Owner, request: Box<Request>) {
        match owner {
            Owner::Leg(id, Purpose::Invite) => {
                self.terminate_invite(now, id, invite);
                self.finish(now, id, LegEvent::Cancelled { request });
            }
            Owner::Leg(id, Purpose::Reinvite) => {
                self.terminate_open(now, id, invite);
                if let Some(leg) = self.legs.get_mut(&id) {
                    leg.open.retain(|open| *open != invite);
                    if let State::Established(session) = &mut leg.state {
                        session.negotiation = Negotiation::Idle;
                    }
                }
                self.send_queued_offer(now, id);
            }
            Owner::Leg(_, Purpose::Bye | Purpose::Request(_) | Purpose::Settled) | Owner::Nobody | Owner::User => {}
        }
    }

    /// Answers the INVITE of an incoming leg with 487.
    pub(super) fn terminate_invite(&mut self, now: Instant, id: LegId, invite: u64) {
        let Some(leg) = self.legs.get(&id) else { return };
        let State::Incoming(incoming) = &leg.state else { return };
        let response = self.response(&incoming.request, 487, "", &text(leg.dialog.local_tag()));
        self.reply(now, invite, &response);
    }

    /// Answers a request that the user has not answered with 487 (section 15.1.2).
    pub(super) fn terminate_open(&mut self, now: Instant, id: LegId, transaction: u64) {
        let Some(leg) = self.legs.get(&id) else { return };
        let tag = text(leg.dialog.local_tag());
        let request = self.transactions.get_mut(transaction).and_then(|transaction| transaction.request.take());
        if let Some(request) = request {
            let response = self.response(&request, 487, "", &tag);
            self.reply(now, transaction, &response);
        }
    }

    /// Whether a transaction is the server side of an INVITE.
    pub(super) fn is_invite_server(&self, transaction: u64) -> bool {
        self.transactions.get(transaction).is_some_and(|t| matches!(t.machine, Machine::InviteServer(_)))
    }
}
