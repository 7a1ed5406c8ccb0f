//! Who hears whom: derived from the phase after every input, and told to the engine where it changed.

use super::{Call, Notice, Phase, Timer};
use crate::{
    call::{
        leg::{Hears, Leg, LegState},
        message::{Output, Route},
    },
    ids::LegId,
    media::engine::{Clip, Command, PlayId, Source},
};
use std::sync::Arc;

/// The clip that a waiting or held party hears.
const MUSIC: &str = "prompts/music_on_hold.wav";
/// The ring-back tone; made at start-up, not read from a file.
pub const RING_BACK: &str = "ring_back";

impl Call {
    /// Tells the engine what each leg hears, where that differs from what it was told.
    pub(super) fn arrange(&mut self) {
        for index in 0..self.legs.len() {
            let leg = &self.legs[index];
            if !leg.media_open || leg.params.is_none() || leg.announcing.is_some() {
                continue;
            }
            let wanted = self.wanted(leg);
            if leg.hears != Some(wanted) {
                self.tell(index, wanted);
            }
        }
    }

    fn wanted(&self, leg: &Leg) -> Hears {
        let id = leg.id;
        let pair = |other: LegId| self.between(id, other);
        match self.phase {
            Phase::Accepting | Phase::Flow | Phase::Ending | Phase::Over => Hears::Nothing,
            Phase::Waiting { .. } if id == self.caller => Hears::Music,
            Phase::Waiting { .. } => Hears::Nothing,
            Phase::Talking { held: true, .. } if id == self.caller => Hears::Music,
            Phase::Talking { held: true, .. } => Hears::Nothing,
            Phase::Talking { other, held: false } if id == self.caller => pair(other),
            Phase::Talking { other, held: false } if id == other => pair(self.caller),
            Phase::Talking { .. } => Hears::Nothing,
            Phase::Consulting { .. } if id == self.caller => Hears::Music,
            Phase::Consulting { agent, department, .. } if id == agent => self.towards(department),
            Phase::Consulting { agent, department, .. } if id == department && leg.state == LegState::Up => pair(agent),
            Phase::Consulting { .. } => Hears::Nothing,
            Phase::ThreeWay { .. } => Hears::Room(self.record.id.0),
            Phase::HandedOver { department } if id == self.caller => pair(department),
            Phase::HandedOver { department } if id == department => pair(self.caller),
            Phase::HandedOver { .. } => Hears::Nothing,
            // A department that picked up hears first that the call is recorded: the citizen hears it ring till then.
            Phase::Ringing { other, .. } if id == self.caller => match self.leg(other) {
                Some(leg) if leg.state == LegState::Up => Hears::RingBack,
                _ => self.towards(other),
            },
            Phase::Ringing { .. } => Hears::Nothing,
            Phase::Parked => match self.route {
                Route::Room(room) => Hears::Room(room),
                _ => Hears::Nothing,
            },
        }
    }

    /// What one party of a pair hears: the other, or music while the other holds it.
    fn between(&self, id: LegId, other: LegId) -> Hears {
        let other_holds = self.leg(other).is_some_and(|leg| leg.holds_us);
        let self_holds = self.leg(id).is_some_and(|leg| leg.holds_us);
        if other_holds && !self_holds { Hears::Music } else { Hears::Leg(other) }
    }

    /// What is heard of a party that is being rung: its early media, else our ring-back tone.
    fn towards(&self, other: LegId) -> Hears {
        match self.leg(other) {
            Some(leg) if leg.state == LegState::Up && leg.holds_us => Hears::Music,
            Some(leg) if leg.state == LegState::Up => Hears::Leg(other),
            Some(leg) if leg.early_media => Hears::Leg(other),
            Some(_) => Hears::RingBack,
            None => Hears::Nothing,
        }
    }

    /// What is played to one who waits, or is held.
    fn music(&self) -> String {
        let queue = match self.phase {
            Phase::Waiting { .. } => self.record.queue.as_ref(),
            _ => None,
        };
        queue.and_then(|queue| self.settings.queues.get(queue)).map_or_else(|| MUSIC.to_owned(), |q| q.music.clone())
    }

    fn tell(&mut self, index: usize, wanted: Hears) {
        let (leg, before) = (self.legs[index].id, self.legs[index].hears);
        let loops = |hears| matches!(hears, Some(Hears::Music | Hears::RingBack));
        self.legs[index].hears = Some(wanted);
        let source = match wanted {
            Hears::Music => return self.play(leg, &[self.music()], true).map_or((), drop),
            Hears::RingBack => return self.play(leg, &[RING_BACK.to_owned()], true).map_or((), drop),
            Hears::Nothing => Source::Nothing,
            Hears::Leg(other) => Source::Leg(other),
            Hears::Room(room) => Source::Room(room),
        };
        self.output.push_back(Output::Media(Command::Hear { leg, source }));
        if loops(before) {
            self.output.push_back(Output::Media(Command::StopPlay { leg }));
        }
    }

    /// Plays clips; None when none of them is in the library.
    pub(super) fn play(&mut self, leg: LegId, clips: &[String], repeat: bool) -> Option<PlayId> {
        let clips: Vec<Arc<Clip>> = clips.iter().filter_map(|name| self.settings.clips.get(name).cloned()).collect();
        if clips.is_empty() || !self.leg(leg).is_some_and(|leg| leg.media_open) {
            return None;
        }
        let id = PlayId(self.ids.next());
        self.output.push_back(Output::Media(Command::Play { leg, id, clips, repeat }));
        Some(id)
    }

    /// Says something over whatever the leg hears; afterwards it hears again what the phase wants.
    pub(super) fn announce(&mut self, leg: LegId, clips: &[String]) -> Option<PlayId> {
        let id = self.play(leg, clips, false)?;
        let clips = clips.iter().filter_map(|name| self.settings.clips.get(name));
        let length = clips.map(|clip| clip.length()).sum();
        if let Some(leg) = self.leg_mut(leg) {
            leg.announcing = Some(id);
            leg.announcing_for = Some(length);
            leg.hears = None;
        }
        Some(id)
    }

    /// As `announce`; when it has been heard out (or nothing can be played), `notice` follows.
    pub(super) fn announce_then(&mut self, leg: LegId, clip: &str, notice: Notice) -> bool {
        match self.announce(leg, &[clip.to_owned()]) {
            Some(id) => {
                self.notice = Some((id, notice));
                true
            }
            None => false,
        }
    }

    /// Ends an announcement early.
    pub(super) fn hush(&mut self, id: LegId) {
        if let Some(leg) = self.leg_mut(id)
            && leg.announcing.take().is_some()
        {
            self.output.push_back(Output::Media(Command::StopPlay { leg: id }));
            self.timers.retain(|(_, timer)| !matches!(timer, Timer::Heard(leg, _) if *leg == id));
        }
    }
}
