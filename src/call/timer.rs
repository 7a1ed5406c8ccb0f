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

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::{
        call::message::{Input, NewCall, Output, Route, Settings},
        clock::UnixMillis,
        ids::{CallId, IdGen, RecordingId},
        media::engine as media,
    };
    use std::sync::Arc;

    fn parked(now: Now) -> Call {
        let new = NewCall {
            call: CallId(1),
            leg: LegId(2),
            sip_call_id: "c".to_owned(),
            from: "1001".to_owned(),
            dialled: "12345".to_owned(),
            route: Route::Queue("general".into()),
            recording: RecordingId(3),
            offer: None,
            ticket: true,
            cdr: true,
        };
        let mut call = Call::new(now, Arc::new(Settings::default()), IdGen::new(0, 1), new);
        call.handle_input(now, Input::MediaOpened { leg: LegId(2), local: ([192, 0, 2, 1], 4_000).into() });
        call
    }

    #[test]
    fn a_call_whose_leg_never_says_that_it_is_over_is_over_all_the_same() {
        let now = Now { mono: Instant::now(), wall: UnixMillis(1) };
        let mut call = parked(now);
        call.finish(now, Ending::bye(Whose::Us, What::Lost));
        call.handle_timeout(now.plus(ENDING / 2));
        assert!(!call.is_over());
        call.handle_timeout(now.plus(ENDING));
        assert!(call.is_over());
        assert!(std::iter::from_fn(|| call.poll_output()).any(|output| matches!(output, Output::Over)));
        assert_eq!(call.poll_timeout(), None);
    }

    #[test]
    fn the_record_keeps_so_many_keys_and_no_more() {
        let now = Now { mono: Instant::now(), wall: UnixMillis(1) };
        let mut call = parked(now);
        for _ in 0..1_000 {
            call.handle_input(now, Input::Media(media::Event::Digit { leg: LegId(2), digit: '5' }));
        }
        assert_eq!(call.view().keys.len(), 64);
    }
}
