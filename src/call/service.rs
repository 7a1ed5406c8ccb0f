//! The agent's side: being rung, answering, talking, leaving; and what the engine reports.

use super::{Call, Notice, Phase, Timer};
use crate::{
    acd::message as acd,
    call::{
        cdr::{Ending, Role, What, Whose},
        leg::LegState,
        message::{DialTarget, Output, Said, SipCommand},
    },
    clock::Now,
    ids::{LegId, OfferId},
    ivr::session as flow,
    media::engine as media,
};
use std::time::Duration;

/// The most keys of a flow that the record keeps.
const MOST_KEYS: usize = 64;
/// How long a key is sent for.
const KEY_LENGTH: Duration = Duration::from_millis(120);

impl Call {
    pub(super) fn acd_output(&mut self, now: Now, output: acd::Output) {
        match output {
            acd::Output::Offer { offer, epoch, agent, extension, ring_timeout, .. } => {
                if !matches!(self.phase, Phase::Waiting { ringing: None }) {
                    return self.acd(acd::Input::Failed { offer, epoch, why: acd::OfferFailure::CallerGone });
                }
                let leg = self.new_leg(now, Role::Agent { agent: agent.clone() });
                self.timers.push((now.mono + ring_timeout, Timer::Ring(leg)));
                self.phase = Phase::Waiting { ringing: Some(leg) };
                if let Some(leg) = self.leg_mut(leg) {
                    leg.offer = Some((offer, epoch));
                    leg.dial = Some(DialTarget::Extension(extension));
                }
                self.say(Said::AgentRinging { agent });
            }
            acd::Output::Withdraw { offer, .. } | acd::Output::Stale { offer, .. } => self.offer_void(now, offer),
            acd::Output::Confirmed { offer, .. } => self.confirmed(now, offer),
            acd::Output::Position { position, estimate, .. } => self.say_position(position, estimate),
            acd::Output::Overflow { why, .. } => self.overflow(now, overflow_name(why)),
            _ => {}
        }
    }

    /// The offer is no longer good: stop ringing; a late answer is ended.
    fn offer_void(&mut self, now: Now, offer: OfferId) {
        let Some(leg) = self.leg_of_offer(offer) else { return };
        self.hang_up(now, leg, Ending::bye(Whose::Us, What::Withdrawn));
        if matches!(self.phase, Phase::Waiting { ringing: Some(ringing) } if ringing == leg) {
            self.phase = Phase::Waiting { ringing: None };
        }
    }

    /// The agent's answer counts: connect them, start recording.
    fn confirmed(&mut self, now: Now, offer: OfferId) {
        let Some(leg) = self.leg_of_offer(offer) else { return };
        let Some(Role::Agent { agent }) = self.leg(leg).map(|leg| leg.role.clone()) else { return };
        self.record.agent = Some(agent.clone());
        self.record.overflow = None;
        self.hush(self.caller);
        self.flow = None;
        self.connect(now, leg);
        self.say(Said::AgentAnswered { agent });
    }

    /// Bridges the caller and a party that answered.
    pub(super) fn connect(&mut self, now: Now, other: LegId) {
        self.record.served_at.get_or_insert(now.wall);
        self.record.waits = false;
        self.phase = Phase::Talking { other, held: false };
        if self.record.answered_at.is_none() && self.leg(self.caller).is_some_and(|leg| !leg.is_up()) {
            self.accept(now);
        }
        self.record_leg(other);
    }

    /// Adds a party to the recording, which begins with the first.
    pub(super) fn record_leg(&mut self, other: LegId) {
        let Some(recording) = self.recording else { return };
        if !self.recording_started {
            self.recording_started = true;
            self.record.recording = Some(recording);
            self.output.push_back(Output::Media(media::Command::StartRecording { recording }));
            self.record_side(recording, self.caller, media::Side::Left);
        }
        self.record_side(recording, other, media::Side::Right);
    }

    fn record_side(&mut self, recording: crate::ids::RecordingId, leg: LegId, side: media::Side) {
        self.output.push_back(Output::Media(media::Command::RecordLeg { recording, leg, side }));
    }

    fn leg_of_offer(&self, offer: OfferId) -> Option<LegId> {
        let ours = |id: Option<(OfferId, u64)>| id.is_some_and(|(id, _)| id == offer);
        self.legs.iter().find(|leg| ours(leg.offer) && !leg.is_ending()).map(|leg| leg.id)
    }

    /// The leg's media is open: ring it.
    pub(super) fn dial(&mut self, id: LegId) {
        let from = self.record.from.clone();
        let dialled = self.record.dialled.clone();
        let Some(leg) = self.leg_mut(id) else { return };
        let (Some(target), Some(session)) = (leg.dial.clone(), leg.sdp.as_mut()) else { return };
        leg.state = LegState::Dialling;
        let sdp = session.offer(crate::media::sdp::Direction::SendRecv);
        let display = match &leg.role {
            Role::Agent { .. } => dialled,
            Role::Citizen | Role::Department { .. } | Role::Other => String::new(),
        };
        self.sip(SipCommand::Dial { leg: id, target, from, display, sdp });
    }

    pub(super) fn ring_timeout(&mut self, now: Now, id: LegId) {
        let Some(leg) = self.leg(id) else { return };
        let ending = Ending { whose: leg.role.whose(), what: What::NoAnswer, sip: 408, q850: 19 };
        self.hang_up(now, id, ending);
        self.left(now, id, ending);
    }

    /// A leg gave no sign of life in time.
    pub(super) fn leg_lost(&mut self, now: Now, id: LegId) {
        let Some(leg) = self.leg(id) else { return };
        let ending = Ending { whose: leg.role.whose(), what: What::Lost, sip: 0, q850: 27 };
        self.hang_up(now, id, ending);
        self.left(now, id, ending);
    }

    pub(super) fn media_event(&mut self, now: Now, event: media::Event) {
        match event {
            media::Event::Digit { leg, digit } => self.digit(now, leg, digit),
            media::Event::PlayDone { leg, id } => self.play_done(now, leg, id),
            media::Event::Silent { leg, length, held } => self.silent(now, leg, length, held),
            media::Event::Heard { leg } => self.alive(leg),
            _ => {}
        }
    }

    /// A leg showed that it lives.
    pub(super) fn alive(&mut self, id: LegId) {
        self.timers.retain(|(_, timer)| *timer != Timer::Lost(id));
    }

    /// The connection of a leg closed. While its voice is heard it is not lost: its telephone may open another one.
    pub(super) fn flow_failed(&mut self, now: Now, id: LegId) {
        if let Some(leg) = self.leg_mut(id) {
            leg.cut_off = true;
        }
        self.unanswered(now, id);
    }

    /// A leg can neither be heard nor be asked: whoever waits for its sign of life waits in vain.
    pub(super) fn unanswered(&mut self, now: Now, id: LegId) {
        let cut_off = self.leg(id).is_some_and(|leg| leg.cut_off);
        if cut_off && self.timers.iter().any(|(_, timer)| *timer == Timer::Lost(id)) {
            self.leg_lost(now, id);
        }
    }

    fn silent(&mut self, now: Now, id: LegId, length: Duration, held: bool) {
        let Some(leg) = self.leg(id).filter(|leg| leg.state == LegState::Up) else { return };
        let settings = self.settings.clone();
        if let Role::Agent { .. } = leg.role {
            // Who holds us may send nothing at all: it is asked all the same.
            if length >= settings.agent_probe && !self.timers.iter().any(|(_, timer)| *timer == Timer::Lost(id)) {
                let rest = settings.agent_lost.saturating_sub(settings.agent_probe);
                self.timers.push((now.mono + rest, Timer::Lost(id)));
                self.sip(SipCommand::Probe { leg: id });
            }
            return;
        }
        let talking = match self.phase {
            Phase::Talking { held: false, .. } | Phase::ThreeWay { .. } | Phase::HandedOver { .. } => true,
            // The agent talks to it, the citizen is on hold.
            Phase::Consulting { department, .. } => department == id,
            Phase::Accepting
            | Phase::Flow
            | Phase::Waiting { .. }
            | Phase::Talking { held: true, .. }
            | Phase::Ringing { .. }
            | Phase::Parked
            | Phase::Ending
            | Phase::Over => false,
        };
        let limit = if talking && !held && !leg.holds_us { settings.silence_talking } else { settings.silence_waiting };
        if length >= limit {
            self.leg_lost(now, id);
        }
    }

    pub(super) fn play_done(&mut self, now: Now, id: LegId, play: media::PlayId) {
        if let Some(leg) = self.leg_mut(id)
            && leg.announcing == Some(play)
        {
            leg.announcing = None;
        }
        self.timers.retain(|(_, timer)| *timer != Timer::Heard(id, play));
        if let Some((of, token)) = self.flow_play
            && of == play
        {
            self.flow_play = None;
            self.tell_flow(now, flow::Input::PlayDone(token));
            self.follow_flow(now);
        }
        if let Some((of, notice)) = self.notice
            && of == play
        {
            self.notice = None;
            match notice {
                Notice::Join => self.join(now),
                Notice::HangUp(q850) => {
                    self.finish(now, Ending { whose: Whose::Us, what: What::Abandoned, sip: 0, q850 })
                }
            }
        }
    }

    fn digit(&mut self, now: Now, id: LegId, digit: char) {
        // The record changes only where the key is kept.
        self.output.push_back(Output::Said(Said::Key { leg: id, key: digit }));
        if id == self.caller && matches!(self.phase, Phase::Flow | Phase::Waiting { .. }) {
            if self.record.keys.len() < MOST_KEYS {
                self.record.keys.push(digit);
                self.changed = true;
            }
            self.tell_flow(now, flow::Input::Digit(digit));
            return self.follow_flow(now);
        }
        let Some(leg) = self.leg(id) else { return };
        match leg.role {
            Role::Agent { .. } => self.agent_key(now, id, digit),
            Role::Citizen | Role::Department { .. } | Role::Other => self.pass_key(id, digit),
        }
    }

    /// Sends a key on to everybody who hears this leg.
    pub(super) fn pass_key(&mut self, from: LegId, digit: char) {
        let connected: Vec<LegId> = match self.phase {
            Phase::Talking { other, held: false } => vec![self.caller, other],
            Phase::Consulting { agent, department, .. } => vec![agent, department],
            Phase::ThreeWay { agent, department } => vec![self.caller, agent, department],
            Phase::HandedOver { department } => vec![self.caller, department],
            Phase::Accepting
            | Phase::Flow
            | Phase::Waiting { .. }
            | Phase::Talking { held: true, .. }
            | Phase::Ringing { .. }
            | Phase::Parked
            | Phase::Ending
            | Phase::Over => Vec::new(),
        };
        if !connected.contains(&from) {
            return;
        }
        for leg in connected.into_iter().filter(|leg| *leg != from) {
            self.send_key(leg, digit);
        }
    }

    pub(super) fn send_key(&mut self, leg: LegId, digit: char) {
        self.output.push_back(Output::Media(media::Command::SendDigit { leg, digit, length: KEY_LENGTH }));
    }
}

fn overflow_name(why: acd::Overflow) -> &'static str {
    match why {
        acd::Overflow::MaxWait => "max_wait",
        acd::Overflow::Full => "full",
        acd::Overflow::Empty => "empty",
        acd::Overflow::NoSuchQueue => "no_such_queue",
    }
}
