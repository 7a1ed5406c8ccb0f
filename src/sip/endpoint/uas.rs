//! Commands of the one who is called (RFC 3261 section 13.3), and what a leg does when its timer runs out.

use super::{
    CommandError, Endpoint, LegEvent, TransactionId,
    build::put_headers,
    leg::{Answered, Incoming, Negotiation, RepeatedOk, State},
    receive::text,
};
use crate::{
    clock::Now,
    ids::LegId,
    sip::message::{Header, Method, Response},
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Section 13.3.1.1: a proxy gives up an INVITE after three minutes of silence.
const REFRESH: Duration = Duration::from_secs(60);

impl Endpoint {
    /// Answers a request that came as [`super::Event::Request`] or [`LegEvent::Request`]. Of `response`, status,
    /// reason, body and all headers are taken but those that are copied from the request.
    ///
    /// # Errors
    /// `UnknownTransaction` where it has been answered or has taken over 64·T1.
    pub fn respond(&mut self, now: Now, id: TransactionId, response: Response) -> Result<(), CommandError> {
        let request = self.open_request(id).ok_or(CommandError::UnknownTransaction)?;
        if self.is_invite_server(id.0) {
            return Err(CommandError::WrongState);
        }
        let reason = String::from_utf8_lossy(&response.reason);
        let tag = self.stateless_tag(request);
        let mut own = self.response(request, response.status, &reason, &tag);
        let contact = crate::sip::message::HeaderName::Contact;
        put_headers(&mut own.headers, response.headers.iter());
        own.headers.copy_from(&response.headers, &contact);
        own.body = response.body;
        self.reply(now.mono, id.0, &own);
        Ok(())
    }

    /// Sends a response of 101–199 on a leg that is called: 180, 182 or 183, with early media's description.
    ///
    /// # Errors
    /// `UnknownLeg`, `WrongState` where the leg has a final answer, `BadStatus`.
    pub fn progress(
        &mut self,
        now: Now,
        leg: LegId,
        status: u16,
        reason: &str,
        sdp: Option<Bytes>,
    ) -> Result<(), CommandError> {
        if !(101..200).contains(&status) {
            return Err(CommandError::BadStatus);
        }
        let response = self.dialog_response(leg, status, reason, sdp)?;
        let bytes = response.to_bytes();
        let incoming = self.incoming(leg)?;
        incoming.progress = Some((now.mono + REFRESH, bytes));
        let transaction = incoming.transaction;
        self.reply(now.mono, transaction, &response);
        self.arm_leg(now.mono, leg);
        Ok(())
    }

    /// Answers a leg that is called with 200 and repeats it until the ACK comes. `sdp` answers the INVITE's offer;
    /// where it had none, `sdp` is the offer and the answer comes with [`LegEvent::Confirmed`].
    ///
    /// # Errors
    /// `UnknownLeg`, `WrongState`.
    pub fn answer(&mut self, now: Now, leg: LegId, sdp: Bytes) -> Result<(), CommandError> {
        let response = self.dialog_response(leg, 200, "", Some(sdp))?;
        let transaction = self.incoming(leg)?.transaction;
        let ok = self.repeated_ok(now.mono, transaction, &response);
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.state = State::Answered(Answered { ok, hang_up: None });
        }
        self.reply(now.mono, transaction, &response);
        self.arm_leg(now.mono, leg);
        Ok(())
    }

    /// Refuses a leg that is called with a response of 300–699 and `headers`; the leg is over.
    ///
    /// # Errors
    /// `UnknownLeg`, `WrongState` where the leg has a final answer, `BadStatus`.
    pub fn reject(
        &mut self,
        now: Now,
        leg: LegId,
        status: u16,
        reason: &str,
        headers: &[Header],
    ) -> Result<(), CommandError> {
        if !(300..700).contains(&status) {
            return Err(CommandError::BadStatus);
        }
        self.incoming(leg)?;
        let state = self.legs.get(&leg).ok_or(CommandError::UnknownLeg)?;
        let State::Incoming(Incoming { transaction, request, .. }) = &state.state else {
            return Err(CommandError::WrongState);
        };
        let transaction = *transaction;
        let mut response = self.response(request, status, reason, &text(state.dialog.local_tag()));
        put_headers(&mut response.headers, headers.iter());
        // A redirection names its targets in Contact (section 8.3).
        for contact in headers.iter().filter(|header| header.name == crate::sip::message::HeaderName::Contact) {
            response.headers.push(contact.name.clone(), contact.value.clone());
        }
        self.reply(now.mono, transaction, &response);
        self.finish(now.mono, leg, LegEvent::Gone);
        Ok(())
    }

    /// Accepts the peer's re-INVITE or UPDATE with 200: `sdp` is the answer, or the offer where the request had none.
    ///
    /// # Errors
    /// `UnknownLeg`; `UnknownTransaction` where the peer has cancelled it meanwhile.
    pub fn accept_offer(
        &mut self,
        now: Now,
        leg: LegId,
        transaction: TransactionId,
        sdp: Bytes,
    ) -> Result<(), CommandError> {
        let mut response = self.offer_response(leg, transaction, 200)?;
        let request = self.open_request(transaction).ok_or(CommandError::UnknownTransaction)?;
        let contact = self.legs.get(&leg).map(|leg| leg.contact.clone()).unwrap_or_default();
        let is_invite = request.method == Method::Invite;
        self.put_dialog(&mut response, request, &contact);
        response.set_body("application/sdp", sdp);
        let negotiation = if is_invite {
            Negotiation::Unconfirmed(self.repeated_ok(now.mono, transaction.0, &response))
        } else {
            Negotiation::Idle
        };
        self.close_offer(leg, transaction, negotiation);
        self.reply(now.mono, transaction.0, &response);
        self.arm_leg(now.mono, leg);
        self.send_queued_offer(now.mono, leg);
        Ok(())
    }

    /// Refuses the peer's re-INVITE or UPDATE with a status of 300–699; the session stays as it was.
    ///
    /// # Errors
    /// As [`Self::accept_offer`], and `BadStatus`.
    pub fn reject_offer(
        &mut self,
        now: Now,
        leg: LegId,
        transaction: TransactionId,
        status: u16,
    ) -> Result<(), CommandError> {
        if !(300..700).contains(&status) {
            return Err(CommandError::BadStatus);
        }
        let response = self.offer_response(leg, transaction, status)?;
        self.close_offer(leg, transaction, Negotiation::Idle);
        self.reply(now.mono, transaction.0, &response);
        self.send_queued_offer(now.mono, leg);
        Ok(())
    }

    /// What a leg does at its time.
    pub(super) fn leg_due(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let t2 = self.config.timers.t2();
        match &mut leg.state {
            State::Incoming(Incoming { transaction, progress: Some((at, bytes)), .. }) => {
                *at = now + REFRESH;
                let (transaction, bytes) = (*transaction, bytes.clone());
                self.reply_again(now, transaction, 180, bytes);
            }
            State::Answered(Answered { ok, .. }) => match ok.due(now, t2) {
                Some((transaction, bytes)) => self.reply_again(now, transaction, 200, bytes),
                None => self.unacknowledged(now, id),
            },
            // What else is due has its turn in a moment.
            State::Established(session) if session.probe.is_some_and(|at| at <= now) => {
                session.probe = None;
                self.probe(now, id);
            }
            State::Established(session) => match &mut session.negotiation {
                Negotiation::Unconfirmed(ok) => match ok.due(now, t2) {
                    Some((transaction, bytes)) => self.reply_again(now, transaction, 200, bytes),
                    None => self.unacknowledged(now, id),
                },
                Negotiation::Glare { sdp, attempts, .. } => {
                    let (sdp, attempts) = (sdp.clone(), *attempts);
                    self.send_offer(now, id, sdp, attempts);
                }
                Negotiation::Idle | Negotiation::Offering { .. } | Negotiation::Answering { .. } => {}
            },
            State::Incoming(_) | State::Calling(_) | State::Unacknowledged(_) | State::Terminating => {}
        }
    }

    /// Section 13.3.1.4: no ACK in 64·T1; the dialog is ended by BYE.
    fn unacknowledged(&mut self, now: Instant, id: LegId) {
        self.bye_and_forget(now, id, &[]);
        self.finish(now, id, LegEvent::NoAck);
    }

    fn reply_again(&mut self, now: Instant, transaction: u64, status: u16, bytes: Bytes) {
        let before = self.counters.sent;
        if let Some(transaction) = self.transactions.get_mut(transaction) {
            transaction.machine.respond(now, status, bytes);
        }
        self.run(now, transaction, None);
        self.counters.retransmitted += self.counters.sent - before;
    }

    fn incoming(&mut self, leg: LegId) -> Result<&mut Incoming, CommandError> {
        match &mut self.legs.get_mut(&leg).ok_or(CommandError::UnknownLeg)?.state {
            State::Incoming(incoming) => Ok(incoming),
            State::Answered(_)
            | State::Calling(_)
            | State::Unacknowledged(_)
            | State::Established(_)
            | State::Terminating => Err(CommandError::WrongState),
        }
    }

    /// A response to the INVITE that makes the dialog.
    fn dialog_response(
        &mut self,
        leg: LegId,
        status: u16,
        reason: &str,
        sdp: Option<Bytes>,
    ) -> Result<Response, CommandError> {
        self.incoming(leg)?;
        let leg = self.legs.get(&leg).ok_or(CommandError::UnknownLeg)?;
        let State::Incoming(incoming) = &leg.state else { return Err(CommandError::WrongState) };
        let mut response = self.response(&incoming.request, status, reason, &text(leg.dialog.local_tag()));
        self.put_dialog(&mut response, &incoming.request, &leg.contact);
        if let Some(sdp) = sdp {
            response.set_body("application/sdp", sdp);
        }
        Ok(response)
    }

    fn repeated_ok(&self, now: Instant, transaction: u64, response: &Response) -> RepeatedOk {
        let timers = self.config.timers;
        RepeatedOk {
            transaction,
            cseq: response.headers.cseq().map(|cseq| cseq.number).unwrap_or(0),
            bytes: response.to_bytes(),
            at: now + timers.t1(),
            interval: timers.t1(),
            give_up: now + timers.t1x64(),
        }
    }

    fn offer_response(&self, id: LegId, transaction: TransactionId, status: u16) -> Result<Response, CommandError> {
        let leg = self.legs.get(&id).ok_or(CommandError::UnknownLeg)?;
        let answering = match &leg.state {
            State::Established(session) => {
                matches!(&session.negotiation, Negotiation::Answering { transaction: open } if *open == transaction.0)
            }
            State::Incoming(_)
            | State::Answered(_)
            | State::Calling(_)
            | State::Unacknowledged(_)
            | State::Terminating => false,
        };
        let request = self.open_request(transaction).filter(|_| answering).ok_or(CommandError::UnknownTransaction)?;
        Ok(self.response(request, status, "", &text(leg.dialog.local_tag())))
    }

    fn close_offer(&mut self, id: LegId, transaction: TransactionId, next: Negotiation) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.open.retain(|open| *open != transaction.0);
        if let State::Established(session) = &mut leg.state {
            session.negotiation = next;
        }
    }
}

impl RepeatedOk {
    /// What to send at `now`; None where it is time to give up.
    fn due(&mut self, now: Instant, t2: Duration) -> Option<(u64, Bytes)> {
        if now >= self.give_up {
            return None;
        }
        self.interval = (self.interval * 2).min(t2);
        self.at = now + self.interval;
        Some((self.transaction, self.bytes.clone()))
    }
}
