//! Commands inside a session: offers, other requests, its end; and dialogs kept over a restart (RFC 3261 sections
//! 12.2.1, 14.1 and 15).

use super::{
    CommandError, Endpoint, LegEvent,
    build::put_headers,
    leg::{Cancel, Leg, Negotiation, Session, State},
    transactions::{Owner, Purpose},
};
use crate::{
    clock::Now,
    ids::LegId,
    sip::{
        dialog::{Dialog, DialogSnapshot},
        endpoint::Flow,
        message::{Header, HeaderName, Method, NameAddr},
    },
};
use bytes::Bytes;
use rand::Rng;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How often an offer that crossed the peer's is tried again.
const MOST_ATTEMPTS: u8 = 6;

impl Endpoint {
    /// Offers `sdp` in a re-INVITE. While another negotiation is under way it waits; of several that wait the last
    /// is sent.
    ///
    /// # Errors
    /// `UnknownLeg`; `WrongState` where the session is not confirmed.
    pub fn offer(&mut self, now: Now, id: LegId, sdp: Bytes) -> Result<(), CommandError> {
        match &mut self.legs.get_mut(&id).ok_or(CommandError::UnknownLeg)?.state {
            State::Established(session) => {
                session.queued = Some(sdp);
                self.send_queued_offer(now.mono, id);
                Ok(())
            }
            State::Incoming(_)
            | State::Answered(_)
            | State::Calling(_)
            | State::Unacknowledged(_)
            | State::Terminating => Err(CommandError::WrongState),
        }
    }

    /// Sends INFO, OPTIONS, NOTIFY, MESSAGE or REFER inside the dialog; `headers` hold the body's Content-Type.
    ///
    /// # Errors
    /// `UnknownLeg`; `WrongState` where the session is not confirmed, or for a method that has its own command.
    pub fn request(
        &mut self,
        now: Now,
        id: LegId,
        method: Method,
        headers: &[Header],
        body: Bytes,
    ) -> Result<(), CommandError> {
        let leg = self.legs.get_mut(&id).ok_or(CommandError::UnknownLeg)?;
        let own = matches!(method, Method::Invite | Method::Ack | Method::Cancel | Method::Bye);
        if own || !matches!(leg.state, State::Established(_)) {
            return Err(CommandError::WrongState);
        }
        let mut request = leg.dialog.request(method.clone());
        let flow = leg.next_hop();
        request.headers.push(HeaderName::Contact, leg.contact.clone());
        put_headers(&mut request.headers, headers.iter());
        request.body = body;
        self.send_request(now.mono, flow, request, Owner::Leg(id, Purpose::Request(Box::new(method))));
        Ok(())
    }

    /// Ends a leg, whatever state it is in, with `headers` (such as Reason) in the BYE, CANCEL or refusal. Its last
    /// event is still to come.
    ///
    /// # Errors
    /// `UnknownLeg`.
    pub fn hang_up(&mut self, now: Now, id: LegId, headers: &[Header]) -> Result<(), CommandError> {
        let leg = self.legs.get_mut(&id).ok_or(CommandError::UnknownLeg)?;
        match &mut leg.state {
            State::Incoming(_) => return self.reject(now, id, 480, "", headers),
            // Section 15: the one who is called may not send BYE before the ACK, or its time-out.
            State::Answered(answered) => answered.hang_up = Some(headers.to_vec()),
            // Section 9.1: CANCEL needs a provisional response first.
            State::Calling(calling) => {
                let invite = calling.transaction;
                match calling.cancel {
                    Cancel::No => calling.cancel = Cancel::Wanted(headers.to_vec()),
                    Cancel::Wanted(_) | Cancel::Sent => return Ok(()),
                }
                if self.may_cancel(invite) {
                    if let Some(Leg { state: State::Calling(calling), .. }) = self.legs.get_mut(&id) {
                        calling.cancel = Cancel::Sent;
                    }
                    self.send_cancel(now.mono, invite, headers);
                }
            }
            // The 2xx must be acknowledged before its session can be ended.
            State::Unacknowledged(waiting) => {
                let (transaction, cseq) = (waiting.transaction, waiting.cseq);
                self.establish(transaction, id, cseq, None);
                self.bye(now.mono, id, headers);
            }
            State::Established(_) => self.bye(now.mono, id, headers),
            State::Terminating => {}
        }
        Ok(())
    }

    /// The legs whose dialogs go over a flow.
    pub fn legs_on(&self, flow: Flow) -> Vec<LegId> {
        self.connections.on(flow).collect()
    }

    /// Whether any dialog goes over this address of ours.
    pub fn speaks_at(&self, local: SocketAddr) -> bool {
        self.legs.values().any(|leg| leg.next_hop().local == local)
    }

    /// The dialog of a leg, to be stored; None before the leg is answered and after its end.
    pub fn snapshot(&self, id: LegId) -> Option<DialogSnapshot> {
        let leg = self.legs.get(&id)?;
        match &leg.state {
            State::Answered(_) | State::Unacknowledged(_) | State::Established(_) | State::Terminating => {
                Some(leg.dialog.snapshot())
            }
            State::Incoming(_) | State::Calling(_) => None,
        }
    }

    /// Takes a stored dialog up again as a confirmed leg, so that it can be ended.
    ///
    /// # Errors
    /// `LegTaken`; `WrongState` where the snapshot is damaged.
    pub fn restore(&mut self, id: LegId, snapshot: &DialogSnapshot) -> Result<(), CommandError> {
        let dialog = Dialog::restore(snapshot).ok_or(CommandError::WrongState)?;
        if self.legs.contains_key(&id) || self.tags.contains_key(dialog.local_tag()) {
            return Err(CommandError::LegTaken);
        }
        let local = NameAddr::parse(&dialog.local().clone()).map_err(|_| CommandError::WrongState)?;
        let contact = self.contact(dialog.flow(), &local.uri, false);
        self.tags.insert(dialog.local_tag().clone(), id);
        self.connections.add(dialog.flow(), id);
        self.legs.insert(id, Leg::new(dialog, contact, State::Established(Session::new())));
        Ok(())
    }

    /// Sends the offer that waits, where nothing is in its way.
    pub(super) fn send_queued_offer(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let State::Established(session) = &mut leg.state else { return };
        match &mut session.negotiation {
            Negotiation::Idle => {
                if let Some(sdp) = session.queued.take() {
                    self.send_offer(now, id, sdp, 0);
                }
            }
            // A newer offer takes the place of the one that is to be tried again.
            Negotiation::Glare { sdp, .. } => {
                if let Some(newer) = session.queued.take() {
                    *sdp = newer;
                }
            }
            Negotiation::Offering { .. } | Negotiation::Answering { .. } | Negotiation::Unconfirmed(_) => {}
        }
    }

    pub(super) fn send_offer(&mut self, now: Instant, id: LegId, sdp: Bytes, attempts: u8) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let mut request = leg.dialog.request(Method::Invite);
        let flow = leg.next_hop();
        request.headers.push(HeaderName::Contact, leg.contact.clone());
        request.headers.push(HeaderName::Allow, self.config.allow_value());
        request.set_body("application/sdp", sdp.clone());
        let transaction = self.send_request(now, flow, request, Owner::Leg(id, Purpose::Reinvite));
        if let Some(Leg { state: State::Established(session), .. }) = self.legs.get_mut(&id) {
            session.negotiation = Negotiation::Offering { transaction, sdp, attempts };
        }
    }

    /// Section 14.1: after 491 the owner of the Call-ID waits 2.1 to 4 s, the other up to 2 s, in steps of 10 ms.
    pub(super) fn try_offer_again(&mut self, now: Instant, id: LegId, sdp: Bytes, attempts: u8) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let steps = if leg.dialog.is_caller() { 210..=400u64 } else { 0..=200 };
        let State::Established(session) = &mut leg.state else { return };
        if attempts + 1 >= MOST_ATTEMPTS {
            session.negotiation = Negotiation::Idle;
            self.leg_event(id, LegEvent::OfferFailed { status: 491 });
            return self.send_queued_offer(now, id);
        }
        let at = now + Duration::from_millis(10 * self.rng.random_range(steps));
        let sdp = session.queued.take().unwrap_or(sdp);
        session.negotiation = Negotiation::Glare { at, sdp, attempts: attempts + 1 };
        self.arm_leg(now, id);
    }

    /// Sends the BYE; its answer will be the leg's end.
    pub(super) fn bye(&mut self, now: Instant, id: LegId, headers: &[Header]) {
        self.terminate_all(now, id);
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.state = State::Terminating;
        }
        self.send_bye(now, id, headers, Owner::Leg(id, Purpose::Bye));
    }

    /// Sends a BYE whose answer nobody waits for.
    pub(super) fn bye_and_forget(&mut self, now: Instant, id: LegId, headers: &[Header]) {
        self.send_bye(now, id, headers, Owner::Nobody);
    }

    pub(super) fn send_bye(&mut self, now: Instant, id: LegId, headers: &[Header], owner: Owner) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let mut bye = leg.dialog.request(Method::Bye);
        let flow = leg.next_hop();
        put_headers(&mut bye.headers, headers.iter());
        self.send_request(now, flow, bye, owner);
    }

    /// The peer no longer knows the dialog: BYE, and the leg is over.
    pub(super) fn lost(&mut self, now: Instant, id: LegId, status: u16) {
        self.bye_and_forget(now, id, &[]);
        self.finish(now, id, LegEvent::Lost { status });
    }

    /// Ends a leg with its last event. This is the only place where a leg goes.
    pub(super) fn finish(&mut self, now: Instant, id: LegId, event: LegEvent) {
        self.terminate_all(now, id);
        let Some(leg) = self.legs.remove(&id) else { return };
        self.tags.remove(leg.dialog.local_tag());
        self.connections.remove(id, &leg);
        self.leg_event(id, event);
    }

    /// Section 15.1.2: requests that wait for the user's answer when the session ends are answered 487, and our own
    /// re-INVITE no longer waits without end.
    fn terminate_all(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let open = std::mem::take(&mut leg.open);
        let offering = match &leg.state {
            State::Established(Session { negotiation: Negotiation::Offering { transaction, .. }, .. }) => {
                Some(*transaction)
            }
            State::Established(_)
            | State::Incoming(_)
            | State::Answered(_)
            | State::Calling(_)
            | State::Unacknowledged(_)
            | State::Terminating => None,
        };
        for transaction in open {
            self.terminate_open(now, id, transaction);
        }
        // The answer to our re-INVITE is sent again only as long as the peer has the dialog.
        if let Some(offering) = offering {
            self.abandon(now, offering);
        }
    }
}
