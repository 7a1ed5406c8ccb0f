//! What agents and supervisors may ask, by API or by the keys of a plain telephone.

use super::{Call, Phase};
use crate::{
    acd::message as acd,
    call::{
        cdr::{Ending, What, Whose},
        keys::Keyed,
        message::{Command, Output, Rejected, Said},
    },
    clock::Now,
    ids::LegId,
    media::engine as media,
};

impl Call {
    pub(super) fn command(&mut self, now: Now, command: Command) -> Result<(), Rejected> {
        if matches!(self.phase, Phase::Ending | Phase::Over) {
            return Err(Rejected::Over);
        }
        match command {
            Command::Hold => self.hold(true),
            Command::Unhold => self.hold(false),
            Command::ThreeWay { hotline, consult } => self.start_three_way(now, hotline, consult),
            Command::Merge => self.merge(now),
            Command::Leave => self.leave(now),
            Command::Drop { leg } => self.drop_leg(now, leg),
            Command::HangUp => {
                let what = if self.record.served_at.is_some() { What::Answered } else { What::Rejected };
                self.finish(now, Ending::bye(Whose::Agent, what));
                Ok(())
            }
            Command::RecordPause => self.pause_recording(true),
            Command::RecordResume => self.pause_recording(false),
            Command::SendDigits { digits } => self.send_digits(&digits),
        }
    }

    fn hold(&mut self, hold: bool) -> Result<(), Rejected> {
        let Phase::Talking { other, held } = &mut self.phase else { return Err(Rejected::NoAgent) };
        if *held == hold {
            return Err(if hold { Rejected::AlreadyHeld } else { Rejected::NotHeld });
        }
        *held = hold;
        let other = *other;
        self.say(if hold { Said::Held } else { Said::Unheld });
        self.doing(if hold { acd::Activity::Holding } else { acd::Activity::Talking });
        if hold && self.is_agent(other) {
            self.announce(self.caller, &self.prompt("hold"));
        } else {
            self.hush(self.caller);
        }
        Ok(())
    }

    fn drop_leg(&mut self, now: Now, id: LegId) -> Result<(), Rejected> {
        if id == self.caller {
            return Err(Rejected::CitizenNotDropped);
        }
        let whose = match self.leg(id) {
            Some(leg) if !leg.is_ending() => leg.role.whose(),
            _ => return Err(Rejected::NoSuchLeg),
        };
        let ending = Ending::bye(whose, What::Withdrawn);
        self.hang_up(now, id, ending);
        match self.phase {
            Phase::Talking { other, .. } if other == id && self.is_agent(id) => self.agent_gone(now, id, ending),
            Phase::Accepting
            | Phase::Flow
            | Phase::Waiting { .. }
            | Phase::Talking { .. }
            | Phase::Consulting { .. }
            | Phase::ThreeWay { .. }
            | Phase::HandedOver { .. }
            | Phase::Ringing { .. }
            | Phase::Parked
            | Phase::Ending
            | Phase::Over => self.left(now, id, ending),
        }
        Ok(())
    }

    fn pause_recording(&mut self, paused: bool) -> Result<(), Rejected> {
        let recording = self.recording.filter(|_| self.recording_started).ok_or(Rejected::NotRecording)?;
        self.output.push_back(Output::Media(media::Command::PauseRecording { recording, paused }));
        Ok(())
    }

    fn send_digits(&mut self, digits: &str) -> Result<(), Rejected> {
        if digits.is_empty() || digits.len() > 32 || !digits.chars().all(|c| matches!(c, '0'..='9' | '*' | '#')) {
            return Err(Rejected::BadDigits);
        }
        let to = match self.phase {
            Phase::Consulting { department, .. } | Phase::ThreeWay { department, .. } => department,
            Phase::Talking { .. } => self.caller,
            Phase::Accepting
            | Phase::Flow
            | Phase::Waiting { .. }
            | Phase::HandedOver { .. }
            | Phase::Ringing { .. }
            | Phase::Parked
            | Phase::Ending
            | Phase::Over => return Err(Rejected::NoAgent),
        };
        for digit in digits.chars() {
            self.send_key(to, digit);
        }
        Ok(())
    }

    /// A key of the agent's telephone: a feature, or for the other party.
    pub(super) fn agent_key(&mut self, now: Now, id: LegId, key: char) {
        let result = match self.keys.key(now.mono, key) {
            Keyed::Collecting | Keyed::Unknown => Ok(()),
            Keyed::Pass(key) => {
                self.pass_key(id, key);
                Ok(())
            }
            Keyed::ThreeWay { hotline, consult } => self.start_three_way(now, hotline, consult),
            Keyed::Merge => self.merge(now),
            Keyed::Leave => self.leave(now),
            Keyed::DropDepartment => match self.phase {
                Phase::Consulting { department, .. } | Phase::ThreeWay { department, .. } => {
                    self.drop_leg(now, department)
                }
                Phase::Accepting
                | Phase::Flow
                | Phase::Waiting { .. }
                | Phase::Talking { .. }
                | Phase::HandedOver { .. }
                | Phase::Ringing { .. }
                | Phase::Parked
                | Phase::Ending
                | Phase::Over => Err(Rejected::NoDepartment),
            },
            Keyed::ToggleHold => self.hold(!matches!(self.phase, Phase::Talking { held: true, .. })),
        };
        if result.is_err() {
            // The agent hears that the keys came to nothing.
            self.announce(id, &["prompts/zh/invalid_key.wav".to_owned()]);
        }
    }
}
