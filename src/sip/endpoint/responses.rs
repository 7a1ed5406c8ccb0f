//! Responses, and the silence in their place (RFC 3261 sections 8.1.3, 13.2.2, 14.1 and 18.1.2).

use super::{
    Endpoint, Event, Flow, LegEvent, TransactionId, body,
    leg::{Calling, Cancel, Negotiation, Session, State, Unacknowledged},
    transactions::{Machine, Owner, Purpose, SentAck},
};
use crate::{
    ids::LegId,
    sip::{
        dialog::Dialog,
        message::{HeaderName, Method, Response},
        transaction::key::Branch,
    },
};
use bytes::Bytes;
use std::time::Instant;

/// How many early dialogs, and how many answers, of one forked INVITE are followed.
const MOST_FORKS: usize = 16;

impl Endpoint {
    pub(super) fn receive_response(&mut self, now: Instant, flow: Flow, response: Box<Response>) {
        let Some(id) = self.find_request(flow, &response) else {
            // RFC 6026 section 7.2: what matches no transaction is dropped, a stray 2xx too.
            self.counters.dropped += 1;
            return;
        };
        let to = response.headers.get(&HeaderName::To).cloned().unwrap_or_default();
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.machine.response(now, response.status, to);
        }
        self.run(now, id, Some(response));
    }

    /// Sections 8.1.3.3, 17.1.3 and 18.1.2: there is one Via, it is ours, and branch and method are of a request
    /// that we sent.
    fn find_request(&self, flow: Flow, response: &Response) -> Option<u64> {
        let vias = response.headers.vias().ok()?;
        let [via] = vias.as_slice() else { return None };
        if !self.is_our_via(via, flow) {
            return None;
        }
        let cancel = response.headers.cseq().ok()?.method == Method::Cancel;
        self.transactions.find_client(Branch::of_response(via)?, cancel)
    }

    /// A transaction gives a response to its owner.
    pub(super) fn deliver(&mut self, now: Instant, id: u64, owner: Owner, response: Box<Response>) {
        let status = response.status;
        match owner {
            Owner::Nobody => {}
            Owner::User if status >= 200 => {
                let transaction = TransactionId(id);
                self.event(Event::Response { transaction, status, response: Some(response) });
            }
            Owner::User => {}
            Owner::Leg(leg, Purpose::Invite) => match status {
                ..200 => self.invite_progress(now, leg, response),
                200..300 => self.invite_success(now, id, leg, response),
                300.. => self.invite_failure(now, leg, status, Some(response)),
            },
            Owner::Leg(leg, Purpose::Reinvite) => match status {
                ..200 => {}
                200..300 => self.reinvite_success(now, id, leg, response),
                300.. => self.reinvite_failure(now, id, leg, status, matches!(status, 408 | 481)),
            },
            Owner::Leg(leg, Purpose::Bye) if status >= 200 => self.finish(now, leg, LegEvent::Gone),
            Owner::Leg(leg, Purpose::Request(method)) if status >= 200 => {
                self.request_answered(now, leg, *method, status, Some(response), matches!(status, 408 | 481));
            }
            Owner::Leg(_, Purpose::Bye | Purpose::Request(_) | Purpose::Settled) => {}
        }
    }

    /// Section 8.1.3.1: silence counts as 408, a dead flow as 503. A connection that closes is not the end: the leg
    /// was told before and has gone on to a new one. But where that fails, or a datagram cannot be sent, there is no
    /// way to the peer, and the dialog ends as it does after silence (sections 12.2.1.2 and 14.1).
    pub(super) fn no_answer(&mut self, now: Instant, id: u64, owner: Owner, flow: Flow, status: u16) {
        let closed = status == 503 && flow.connection != 0;
        match owner {
            Owner::Nobody => {}
            Owner::User => self.event(Event::Response { transaction: TransactionId(id), status, response: None }),
            Owner::Leg(leg, Purpose::Invite) => self.invite_failure(now, leg, status, None),
            Owner::Leg(leg, Purpose::Reinvite) => self.reinvite_failure(now, id, leg, status, !closed),
            Owner::Leg(leg, Purpose::Bye) if closed && self.is_disconnected(leg) => {
                self.send_bye(now, leg, &[], Owner::Leg(leg, Purpose::Bye));
            }
            Owner::Leg(leg, Purpose::Bye) => self.finish(now, leg, LegEvent::Gone),
            // The leg's own OPTIONS over a new connection brings the answer.
            Owner::Leg(leg, Purpose::Request(method))
                if closed && *method == Method::Options && self.is_disconnected(leg) => {}
            Owner::Leg(leg, Purpose::Request(method)) => {
                self.request_answered(now, leg, *method, status, None, !closed);
            }
            Owner::Leg(_, Purpose::Settled) => {}
        }
    }

    /// 100–199 to our INVITE: an early dialog for each tag (section 12.1.2), and the moment for a CANCEL that had to
    /// wait (section 9.1).
    fn invite_progress(&mut self, now: Instant, id: LegId, response: Box<Response>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let State::Calling(calling) = &mut leg.state else { return };
        match &mut calling.cancel {
            Cancel::Wanted(headers) => {
                let headers = std::mem::take(headers);
                calling.cancel = Cancel::Sent;
                let invite = calling.transaction;
                return self.send_cancel(now, invite, &headers);
            }
            Cancel::Sent => return,
            Cancel::No => {}
        }
        if response.status == 100 {
            return;
        }
        if let Some(tag) = response.headers.to_tag()
            && calling.early.len() < MOST_FORKS
            && !calling.early.iter().any(|dialog| *dialog.remote_tag() == tag)
        {
            calling.early.push(Dialog::uac(&response, leg.dialog.flow()));
        }
        let sdp = body::session_description(&response.headers, &response.body).ok().flatten();
        self.leg_event(id, LegEvent::Progress { response, sdp });
    }

    /// A 2xx to our INVITE (section 13.2.2.4). The first one makes the session, each other branch of a fork is
    /// acknowledged and ended, and a copy is acknowledged again.
    fn invite_success(&mut self, now: Instant, invite: u64, id: LegId, response: Box<Response>) {
        if self.repeat_ack(invite, &response) {
            return;
        }
        let tag = response.headers.to_tag().unwrap_or_default();
        let flow = self.transactions.get(invite).map(|transaction| transaction.flow);
        let Some(mut dialog) = flow.map(|flow| Dialog::uac(&response, flow)) else { return };
        let cseq = dialog.local_cseq();
        let Some(leg) = self.legs.get_mut(&id) else { return self.end_fork(now, invite, dialog) };
        match &mut leg.state {
            State::Calling(calling) => {
                if let Some(early) = calling.early.iter().find(|early| *early.remote_tag() == tag) {
                    dialog.continue_from(early);
                }
                let Calling { cancel, offered, .. } = calling;
                let (cancel, offered) = (std::mem::replace(cancel, Cancel::No), *offered);
                leg.dialog = dialog;
                match cancel {
                    // The 2xx crossed our CANCEL, or came before it could be sent: the session exists, so it is
                    // ended by BYE (section 15).
                    Cancel::Wanted(headers) => {
                        self.establish(invite, id, cseq, None);
                        self.bye(now, id, &headers);
                    }
                    Cancel::Sent => {
                        self.establish(invite, id, cseq, None);
                        self.bye(now, id, &[]);
                    }
                    Cancel::No => {
                        if offered {
                            self.establish(invite, id, cseq, None);
                        } else {
                            leg.state = State::Unacknowledged(Unacknowledged { transaction: invite, cseq });
                        }
                        let sdp = body::session_description(&response.headers, &response.body).ok().flatten();
                        self.leg_event(id, LegEvent::Answered { response, sdp });
                    }
                }
            }
            // The user's answer to the offer in it is still to come.
            State::Unacknowledged(_) if *leg.dialog.remote_tag() == tag => {}
            State::Unacknowledged(_)
            | State::Established(_)
            | State::Terminating
            | State::Incoming(_)
            | State::Answered(_) => self.end_fork(now, invite, dialog),
        }
    }

    /// Acknowledges a 2xx and makes the leg's session.
    pub(super) fn establish(&mut self, invite: u64, id: LegId, cseq: u32, sdp: Option<Bytes>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.state = State::Established(Session::new());
        let dialog = leg.dialog.clone();
        self.acknowledge(invite, &dialog, cseq, sdp);
    }

    /// Sends the ACK of a 2xx and keeps it for the 2xx's copies.
    fn acknowledge(&mut self, invite: u64, dialog: &Dialog, cseq: u32, sdp: Option<Bytes>) {
        let mut ack = dialog.ack(cseq);
        if let Some(sdp) = sdp {
            ack.set_body("application/sdp", sdp);
        }
        let flow = dialog.next_hop();
        let bytes = self.send_ack(flow, ack);
        if let Some(transaction) = self.transactions.get_mut(invite)
            && transaction.acks.len() < MOST_FORKS
        {
            let ack = SentAck { to_tag: dialog.remote_tag().clone(), flow, bytes };
            transaction.acks.push(ack);
        }
    }

    /// Section 13.2.2.4: the ACK goes out again each time its 2xx does.
    fn repeat_ack(&mut self, invite: u64, response: &Response) -> bool {
        let tag = response.headers.to_tag().unwrap_or_default();
        let acks = self.transactions.get(invite).map(|transaction| transaction.acks.as_slice()).unwrap_or_default();
        let Some((flow, bytes)) = acks.iter().find(|ack| ack.to_tag == tag).map(|ack| (ack.flow, ack.bytes.clone()))
        else {
            return false;
        };
        self.counters.retransmitted += 1;
        self.transmit(flow, bytes);
        true
    }

    /// Another branch of a fork answered, or the call is over for its user: ACK, then BYE.
    fn end_fork(&mut self, now: Instant, invite: u64, mut dialog: Dialog) {
        let full = self.transactions.get(invite).is_none_or(|transaction| transaction.acks.len() >= MOST_FORKS);
        if full {
            self.counters.dropped += 1;
            return;
        }
        self.acknowledge(invite, &dialog, dialog.local_cseq(), None);
        let bye = dialog.request(Method::Bye);
        self.send_request(now, dialog.next_hop(), bye, Owner::Nobody);
    }

    /// 300–699 to our INVITE, or none at all.
    fn invite_failure(&mut self, now: Instant, id: LegId, status: u16, response: Option<Box<Response>>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let State::Calling(calling) = &leg.state else { return };
        let event = match calling.cancel {
            Cancel::No => LegEvent::Failed { status, response },
            Cancel::Wanted(_) | Cancel::Sent => LegEvent::Gone,
        };
        self.finish(now, id, event);
    }

    /// A 2xx to our re-INVITE: the target is refreshed and the ACK sent (section 14.1).
    fn reinvite_success(&mut self, now: Instant, transaction: u64, id: LegId, response: Box<Response>) {
        if self.repeat_ack(transaction, &response) {
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.dialog.refresh_target(&response.headers);
        let dialog = leg.dialog.clone();
        let cseq = response.headers.cseq().map(|cseq| cseq.number).unwrap_or(0);
        self.acknowledge(transaction, &dialog, cseq, None);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let State::Established(session) = &mut leg.state else { return };
        if matches!(&session.negotiation, Negotiation::Offering { transaction: ours, .. } if *ours == transaction) {
            session.negotiation = Negotiation::Idle;
            let sdp = body::session_description(&response.headers, &response.body).ok().flatten();
            self.leg_event(id, LegEvent::OfferAnswered { sdp });
            self.send_queued_offer(now, id);
        }
    }

    /// Section 14.1: 491 means that two offers crossed and is tried again; 481 and 408 mean that the peer has lost
    /// the dialog, as does silence (`lost`); after any other the session stays as it was.
    fn reinvite_failure(&mut self, now: Instant, transaction: u64, id: LegId, status: u16, lost: bool) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let State::Established(session) = &mut leg.state else { return };
        let negotiation = std::mem::replace(&mut session.negotiation, Negotiation::Idle);
        let Negotiation::Offering { transaction: ours, sdp, attempts } = negotiation else {
            session.negotiation = negotiation;
            return;
        };
        if ours != transaction {
            session.negotiation = Negotiation::Offering { transaction: ours, sdp, attempts };
            return;
        }
        match status {
            491 => self.try_offer_again(now, id, sdp, attempts),
            _ if lost => self.lost(now, id, status),
            _ => {
                self.leg_event(id, LegEvent::OfferFailed { status });
                self.send_queued_offer(now, id);
            }
        }
    }

    fn request_answered(
        &mut self,
        now: Instant,
        id: LegId,
        method: Method,
        status: u16,
        response: Option<Box<Response>>,
        lost: bool,
    ) {
        let Some(leg) = self.legs.get(&id) else { return };
        let established = matches!(leg.state, State::Established(_));
        // A sign of life that could not even be asked for: no way leads to a telephone behind NAT but the one that it
        // opened itself. It may open another one; its user hears whether it still speaks.
        let unasked = method == Method::Options && status == 503 && response.is_none();
        // Section 12.2.1.2: the peer no longer knows the dialog, or is gone.
        if established && lost && !unasked {
            return self.lost(now, id, status);
        }
        if !matches!(leg.state, State::Terminating) {
            self.leg_event(id, LegEvent::Response { method, status, response });
        }
    }

    /// Whether the requests of a leg open a new connection.
    fn is_disconnected(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|leg| leg.next_hop().connection == 0)
    }

    /// Whether a transaction is one of ours as a client.
    pub(super) fn is_client(machine: &Machine) -> bool {
        matches!(machine, Machine::InviteClient(_) | Machine::NonInviteClient(_))
    }
}
