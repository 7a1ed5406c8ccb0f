//! What the dialogs report, and what becomes of a call when one of its parties leaves.

use super::{Call, Phase};
use crate::{
    acd::message as acd,
    call::{
        cdr::{Ending, Role, What, Whose},
        leg::LegState,
        message::{Said, SipCommand},
    },
    clock::Now,
    ids::LegId,
    media::sdp,
    sip::{
        endpoint::{LegEvent, TransactionId},
        message::{Method, Response},
    },
};
use bytes::Bytes;

impl Call {
    pub(super) fn sip_event(&mut self, now: Now, id: LegId, event: LegEvent) {
        let Some(role) = self.leg(id).map(|leg| leg.role.clone()) else { return };
        let whose = role.whose();
        if let (true, Some(leg)) = (came_from_peer(&event), self.leg_mut(id)) {
            leg.cut_off = false;
        }
        match event {
            LegEvent::Progress { sdp, .. } => self.progress(id, sdp),
            LegEvent::Answered { sdp, .. } => self.answered(now, id, sdp),
            LegEvent::Confirmed { sdp } => self.acked(now, id, sdp),
            LegEvent::Offer { transaction, sdp, .. } => self.offered(id, transaction, sdp),
            LegEvent::OfferConfirmed { sdp } => self.take_answer(now, id, sdp),
            LegEvent::OfferAnswered { .. } | LegEvent::OfferFailed { .. } => {}
            LegEvent::Request { transaction, request } => {
                // INFO says nothing that we need; OPTIONS asks for a sign of life (RFC 3261 section 11.2).
                let (status, reason) = match request.method {
                    Method::Info | Method::Options => (200, "OK"),
                    _ => (501, "Not Implemented"),
                };
                let response = Box::new(Response::to_request(&request, status, reason));
                self.sip(SipCommand::Respond { transaction, response });
            }
            LegEvent::Response { status, response, .. } => match response {
                _ if status == 481 || status == 408 => self.leg_lost(now, id),
                Some(_) => self.alive(id),
                // It could not even be sent: no sign of life.
                None => self.unanswered(now, id),
            },
            LegEvent::Cancelled { .. } => {
                self.leg_over(now, id, Ending { whose, what: What::Abandoned, sip: 487, q850: 16 })
            }
            LegEvent::NoAck => self.leg_over(now, id, Ending { whose, what: What::Lost, sip: 408, q850: 102 }),
            LegEvent::Failed { status, .. } => self.leg_over(now, id, Ending::refused(whose, status)),
            LegEvent::Ended { .. } => self.leg_over(now, id, Ending::bye(whose, What::Answered)),
            LegEvent::Lost { status } => {
                self.leg_over(now, id, Ending { whose, what: What::Lost, sip: status, q850: 41 })
            }
            LegEvent::Gone => self.leg_over(now, id, Ending::bye(Whose::Us, What::Withdrawn)),
        }
    }

    fn progress(&mut self, id: LegId, sdp: Option<Bytes>) {
        let Some(leg) = self.leg_mut(id) else { return };
        if leg.state != LegState::Dialling && leg.state != LegState::Ringing {
            return;
        }
        let first = leg.state == LegState::Dialling;
        leg.state = LegState::Ringing;
        let (offer, role) = (leg.offer, leg.role.clone());
        if let Some(body) = sdp
            && let Some(Ok(params)) = leg.sdp.as_mut().map(|session| session.accept_answer(&body))
        {
            leg.params = Some(params);
            leg.early_media = true;
            self.set_params(id);
        }
        if !first {
            return;
        }
        match role {
            Role::Agent { .. } => {
                if let Some((offer, epoch)) = offer {
                    self.acd(acd::Input::Ringing { offer, epoch });
                }
            }
            Role::Department { .. } => self.department_ringing(),
            Role::Citizen | Role::Other => {}
        }
    }

    /// A party that we rang picked up.
    fn answered(&mut self, now: Now, id: LegId, sdp: Option<Bytes>) {
        let Some(leg) = self.leg_mut(id).filter(|leg| !leg.is_ending()) else { return };
        let early = leg.early_media;
        let answer = sdp.and_then(|body| leg.sdp.as_mut().map(|session| session.accept_answer(&body)));
        match answer {
            Some(Ok(params)) => leg.params = Some(params),
            // The answer came early, in a 183 (RFC 3261 section 13.2.1).
            None if early => {}
            Some(Err(_)) | None => {
                let ending = Ending { whose: leg.role.whose(), what: What::Failed, sip: 488, q850: 88 };
                self.hang_up(now, id, ending);
                return self.left(now, id, ending);
            }
        }
        leg.state = LegState::Up;
        leg.answered_at = Some(now.wall);
        let (offer, role) = (leg.offer, leg.role.clone());
        self.timers.retain(|(_, timer)| *timer != super::Timer::Ring(id));
        self.set_params(id);
        match (role, offer) {
            (Role::Agent { .. }, Some((offer, epoch))) => self.acd(acd::Input::Answered { offer, epoch }),
            (Role::Department { .. }, _) => self.department_answered(now, id),
            (Role::Other, _) => {
                if let Phase::Ringing { recorded, .. } = self.phase {
                    self.recording = self.recording.filter(|_| recorded);
                    self.connect(now, id);
                }
            }
            (Role::Agent { .. } | Role::Citizen, _) => {}
        }
    }

    /// The caller's ACK.
    fn acked(&mut self, now: Now, id: LegId, sdp: Option<Bytes>) {
        self.take_answer(now, id, sdp);
        if id == self.caller && self.leg(id).is_some_and(|leg| leg.state == LegState::Answering) {
            self.caller_confirmed(now);
        }
    }

    /// The answer to an offer that we made in a 2xx.
    fn take_answer(&mut self, now: Now, id: LegId, sdp: Option<Bytes>) {
        let Some(leg) = self.leg_mut(id) else { return };
        if !std::mem::take(&mut leg.awaits_answer) {
            return;
        }
        match sdp.and_then(|body| leg.sdp.as_mut().map(|session| session.accept_answer(&body))) {
            Some(Ok(params)) => {
                leg.holds_us = !params.send;
                leg.params = Some(params);
                self.set_params(id);
            }
            Some(Err(_)) | None => {
                let ending = Ending { whose: leg.role.whose(), what: What::Failed, sip: 488, q850: 88 };
                self.hang_up(now, id, ending);
                self.left(now, id, ending);
            }
        }
    }

    /// A re-INVITE or UPDATE: hold, resume, another address or codec (RFC 3264 section 8).
    fn offered(&mut self, id: LegId, transaction: TransactionId, sdp: Option<Bytes>) {
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(session) = leg.sdp.as_mut() else {
            return self.sip(SipCommand::RejectOffer { leg: id, transaction, status: 488 });
        };
        let Some(body) = sdp else {
            leg.awaits_answer = true;
            let sdp = session.offer(sdp::Direction::SendRecv);
            return self.sip(SipCommand::AcceptOffer { leg: id, transaction, sdp });
        };
        match session.answer(&body, sdp::Direction::SendRecv) {
            Ok((sdp, params)) => {
                let held_before = std::mem::replace(&mut leg.holds_us, !params.send);
                let holds = leg.holds_us;
                leg.params = Some(params);
                self.set_params(id);
                self.sip(SipCommand::AcceptOffer { leg: id, transaction, sdp });
                if held_before != holds {
                    self.held_by_phone(id, holds);
                }
            }
            Err(error) => self.sip(SipCommand::RejectOffer { leg: id, transaction, status: error.status() }),
        }
    }

    fn held_by_phone(&mut self, id: LegId, holds: bool) {
        if self.is_agent(id) && matches!(self.phase, Phase::Talking { .. }) {
            self.say(if holds { Said::Held } else { Said::Unheld });
            self.doing(if holds { acd::Activity::Holding } else { acd::Activity::Talking });
        }
    }

    /// A leg's dialog is over, or never came to be.
    pub(super) fn leg_over(&mut self, now: Now, id: LegId, ending: Ending) {
        let Some(leg) = self.leg_mut(id) else { return };
        let asked_for = leg.is_ending();
        leg.state = LegState::Over;
        leg.end(now.wall, ending);
        self.changed = true;
        self.close_media(id);
        if !asked_for {
            self.left(now, id, ending);
        }
    }

    /// What becomes of the call when a party has left it.
    pub(super) fn left(&mut self, now: Now, id: LegId, ending: Ending) {
        if id == self.caller {
            return self.caller_left(now, ending);
        }
        self.say(Said::LegLeft { leg: id });
        match self.phase {
            Phase::Waiting { ringing: Some(ringing) } if ringing == id => self.offer_failed(id, ending),
            Phase::Talking { other, .. } if other == id => self.other_left(now, id, ending),
            Phase::Consulting { agent, department, .. } | Phase::ThreeWay { agent, department } => {
                if id == department {
                    self.back_to_agent(agent, ending);
                } else if id == agent {
                    self.agent_left_department(now, id, department, ending);
                }
            }
            Phase::HandedOver { department } if department == id => {
                if ending.what == What::Lost {
                    self.enqueue_in_front(now);
                } else {
                    self.finish(now, ending);
                }
            }
            Phase::Ringing { other, .. } if other == id => self.dialled_failed(now, ending),
            Phase::Accepting
            | Phase::Flow
            | Phase::Waiting { .. }
            | Phase::Talking { .. }
            | Phase::HandedOver { .. }
            | Phase::Ringing { .. }
            | Phase::Parked
            | Phase::Ending
            | Phase::Over => {}
        }
    }

    fn caller_left(&mut self, now: Now, mut ending: Ending) {
        let answered_by_somebody = self.record.served_at.is_some() || matches!(self.phase, Phase::Parked);
        if !answered_by_somebody && ending.what == What::Answered {
            ending.what = What::Abandoned;
        }
        self.finish(now, ending);
    }

    fn offer_failed(&mut self, id: LegId, ending: Ending) {
        let why = match ending.what {
            What::Busy => acd::OfferFailure::Busy,
            What::NoAnswer if ending.sip == 480 => acd::OfferFailure::Unreachable,
            What::NoAnswer => acd::OfferFailure::NoAnswer,
            What::Rejected | What::Answered | What::Withdrawn => acd::OfferFailure::Rejected,
            What::Failed | What::Lost | What::Abandoned => acd::OfferFailure::Unreachable,
        };
        if let Some((offer, epoch)) = self.leg(id).and_then(|leg| leg.offer) {
            self.acd(acd::Input::Failed { offer, epoch, why });
        }
        self.phase = Phase::Waiting { ringing: None };
    }

    /// The party that the caller talked to is gone: the end of the call, unless it was lost.
    fn other_left(&mut self, now: Now, id: LegId, ending: Ending) {
        if ending.what == What::Lost && self.is_agent(id) {
            self.agent_gone(now, id, ending);
        } else {
            self.part_with_agent(now, id, ending);
            if self.flow.is_some() {
                // The department that a flow connected has hung up, or was lost: the flow says what follows.
                let result = if ending.what == What::Lost { "failed" } else { "answered" };
                return self.step_done(now, result);
            }
            self.finish(now, ending);
        }
    }

    /// The agent is gone while a department is on the call: the others go on; if it had not answered, back to the queue.
    fn agent_left_department(&mut self, now: Now, id: LegId, department: LegId, ending: Ending) {
        if self.leg(department).is_some_and(|leg| leg.state == LegState::Up) {
            self.part_with_agent(now, id, ending);
            self.hand_over(now, department);
        } else {
            self.close_attempt("cancelled");
            self.hang_up(now, department, Ending { whose: Whose::Us, what: What::Withdrawn, sip: 487, q850: 16 });
            self.agent_gone(now, id, ending);
        }
    }

    /// An agent's part in the call is over. Who only hung up stays as ready as before; a telephone that died is rung no
    /// more.
    fn part_with_agent(&mut self, now: Now, id: LegId, ending: Ending) {
        let Some(Role::Agent { agent }) = self.leg(id).map(|leg| leg.role.clone()) else { return };
        if ending.what == What::Lost {
            let status = acd::Status::NotReady { reason: "phone_lost".to_owned() };
            self.acd(acd::Input::SetStatus { agent: agent.clone(), status });
        }
        self.release_agent(now, None, agent);
    }

    /// The agent is gone and nobody else is there for the citizen: a holding clip, and the front of the queue.
    pub(super) fn agent_gone(&mut self, now: Now, id: LegId, ending: Ending) {
        self.part_with_agent(now, id, ending);
        if let Some(Role::Agent { agent }) = self.leg(id).map(|leg| leg.role.clone()) {
            self.say(Said::AgentLost { agent });
        }
        self.hush(self.caller);
        self.enqueue_in_front(now);
    }

    /// A party that the caller dialled did not answer.
    fn dialled_failed(&mut self, now: Now, ending: Ending) {
        if self.flow.is_some() {
            let result = match ending.what {
                What::Busy => "busy",
                What::NoAnswer => "no_answer",
                _ => "failed",
            };
            self.three_way_failed(ending);
            self.step_done(now, result);
        } else {
            self.finish(now, ending);
        }
    }
}

/// Whether an event of a confirmed dialog shows that its peer still reaches us.
fn came_from_peer(event: &LegEvent) -> bool {
    match event {
        LegEvent::Offer { .. }
        | LegEvent::OfferConfirmed { .. }
        | LegEvent::OfferAnswered { .. }
        | LegEvent::Request { .. } => true,
        LegEvent::Response { response, .. } => response.is_some(),
        LegEvent::Cancelled { .. }
        | LegEvent::Confirmed { .. }
        | LegEvent::NoAck
        | LegEvent::Progress { .. }
        | LegEvent::Answered { .. }
        | LegEvent::Failed { .. }
        | LegEvent::OfferFailed { .. }
        | LegEvent::Ended { .. }
        | LegEvent::Gone
        | LegEvent::Lost { .. } => false,
    }
}
