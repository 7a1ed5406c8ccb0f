//! Endings: of the whole call, and of one leg.

use super::{Call, Phase, Timer};
use crate::{
    acd::message as acd,
    call::{
        cdr::{Ending, Role},
        leg::LegState,
        message::{Output, Said, SipCommand},
    },
    clock::Now,
    ids::{AgentNo, LegId, OfferId},
    media::engine as media,
};

impl Call {
    /// Ends the call: every leg is hung up, the queue and the agent are freed, the record is closed.
    pub fn finish(&mut self, now: Now, ending: Ending) {
        if matches!(self.phase, Phase::Ending | Phase::Over) {
            return;
        }
        self.close_attempt("cancelled");
        self.release_everybody(now);
        self.phase = Phase::Ending;
        self.await_ending(now);
        self.flow = None;
        self.record.ending.get_or_insert(ending);
        self.record.ended_at.get_or_insert(now.wall);
        let open: Vec<LegId> = self.legs.iter().filter(|leg| !leg.is_ending()).map(|leg| leg.id).collect();
        for leg in open {
            self.hang_up(now, leg, ending);
        }
        if self.recording_started
            && let Some(recording) = self.recording
        {
            self.output.push_back(Output::Media(media::Command::StopRecording { recording }));
        }
        self.say(Said::Ended);
    }

    /// Ends one leg: its dialog in whichever way fits, its media at once.
    pub(super) fn hang_up(&mut self, now: Now, id: LegId, ending: Ending) {
        let Some(leg) = self.leg_mut(id) else { return };
        if leg.is_ending() {
            return;
        }
        let never_dialled = leg.state == LegState::Opening && leg.role != Role::Citizen;
        leg.state = if never_dialled { LegState::Over } else { LegState::Ending };
        leg.end(now.wall, ending);
        self.changed = true;
        self.close_media(id);
        if !never_dialled {
            self.sip(SipCommand::HangUp { leg: id, cause: ending.q850 });
        }
    }

    pub(super) fn close_media(&mut self, id: LegId) {
        self.timers.retain(
            |(_, timer)| !matches!(timer, Timer::Ring(leg) | Timer::Lost(leg) | Timer::Heard(leg, _) if *leg == id),
        );
        let Some(leg) = self.leg_mut(id) else { return };
        if std::mem::take(&mut leg.media_open) {
            self.output.push_back(Output::Media(media::Command::RemoveLeg { leg: id }));
            self.output.push_back(Output::CloseMedia { leg: id });
        }
    }

    fn release_everybody(&mut self, now: Now) {
        if let Phase::Waiting { .. } = self.phase {
            self.acd(acd::Input::Leave { call: self.record.id });
        }
        for (offer, agent) in self.agent_legs() {
            self.release_agent(now, offer, agent);
        }
    }

    fn agent_legs(&self) -> Vec<(Option<(OfferId, u64)>, AgentNo)> {
        let agents = self.legs.iter().filter(|leg| !leg.is_ending()).filter_map(|leg| match &leg.role {
            Role::Agent { agent } => Some((leg.offer, agent.clone())),
            Role::Citizen | Role::Department { .. } | Role::Other => None,
        });
        agents.collect()
    }

    /// An agent has no part in the call any more.
    pub(super) fn release_agent(&mut self, _now: Now, offer: Option<(OfferId, u64)>, agent: AgentNo) {
        let call = self.record.id;
        match (&self.phase, offer) {
            (Phase::Waiting { .. }, Some((offer, epoch))) => {
                self.acd(acd::Input::Failed { offer, epoch, why: acd::OfferFailure::CallerGone })
            }
            _ => self.acd(acd::Input::Released { agent, call }),
        }
    }
}
