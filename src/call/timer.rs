//! What a call waits for, and what happens when it has waited long enough.

use super::Call;
use crate::{
    call::{
        cdr::{Ending, What, Whose},
        leg::LegState,
    },
    clock::Now,
    ids::LegId,
    ivr,
    media::engine::PlayId,
};
use std::time::{Duration, Instant};

/// What a call's timers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A rung leg did not answer in time.
    Ring(LegId),
    /// A silent leg gave no sign of life.
    Lost(LegId),
    MaxCall,
    /// An announcement must have been heard out, whether we were told so or not.
    Heard(LegId, PlayId),
    /// The record did not become durable in time.
    Durable,
    /// Some leg's end was never told.
    Ending,
}

/// How long the spool may take to keep a record before its caller is refused: our 100 has stopped the caller's timers.
const DURABLE: Duration = Duration::from_secs(3);
/// How much later than its clips' length an announcement's end may be told.
const HEARD: Duration = Duration::from_secs(2);
/// How long legs may take to end: longer than a BYE that nobody answers (64·T1, RFC 3261 section 17.1.2.2).
const ENDING: Duration = Duration::from_secs(40);

impl Call {
    /// The record is on its way to the spool.
    pub(super) fn await_spool(&mut self, now: Now) {
        self.timers.push((now.mono + DURABLE, Timer::Durable));
    }

    /// Sets deadlines to announcements that have begun: the word of their end may be lost on its way.
    pub(super) fn await_announcements(&mut self, now: Now) {
        for leg in &mut self.legs {
            if let (Some(length), Some(play)) = (leg.announcing_for.take(), leg.announcing) {
                self.timers.push((now.mono + length + HEARD, Timer::Heard(leg.id, play)));
            }
        }
    }

    /// All legs have been asked to end.
    pub(super) fn await_ending(&mut self, now: Now) {
        self.timers = vec![(now.mono + ENDING, Timer::Ending)];
    }

    /// Legs whose end was never told are taken for over.
    fn give_up_legs(&mut self) {
        for leg in &mut self.legs {
            leg.state = LegState::Over;
        }
    }

    /// When [`Call::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = self.timers.iter().map(|(at, _)| *at).min();
        let flow = self.flow.as_ref().and_then(ivr::Session::poll_timeout).map(|(at, _)| at);
        own.into_iter().chain(flow).min()
    }

    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(due) = self.timers.iter().position(|(at, _)| *at <= now.mono) {
            match self.timers.swap_remove(due).1 {
                Timer::Ring(leg) => self.ring_timeout(now, leg),
                Timer::Lost(leg) => self.leg_lost(now, leg),
                Timer::Durable if self.record.answered_at.is_some() => {}
                Timer::Durable => self.refuse_caller(now, 503, 41),
                Timer::Heard(leg, play) => self.play_done(now, leg, play),
                Timer::Ending => self.give_up_legs(),
                Timer::MaxCall => {
                    self.finish(now, Ending { whose: Whose::Us, what: What::Answered, sip: 0, q850: 102 })
                }
            }
        }
        if let Some(flow) = self.flow.as_mut() {
            flow.handle_timeout(now);
            self.follow_flow(now);
        }
        self.settle(now);
    }
}
