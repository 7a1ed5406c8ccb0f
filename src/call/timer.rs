//! What a call waits for, and what happens when it has waited long enough.

use super::Call;
use crate::{
    call::cdr::{Ending, What, Whose},
    clock::Now,
    ids::LegId,
    ivr,
};
use std::time::Instant;

/// What a call's timers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A rung leg did not answer in time.
    Ring(LegId),
    /// A silent leg gave no sign of life.
    Lost(LegId),
    MaxCall,
}

impl Call {
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
