//! The books: how many messages stand where.

use super::{Event, State};
use serde::{Deserialize, Serialize};

/// How many messages stand where; kept by events, so that the invariant can be checked at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages ever written: the sum of the five that follow.
    pub created: u64,
    /// Messages that wait to be sent, or are being sent.
    pub pending: u64,
    /// Messages the SMS centre has and has not reported on.
    pub submitted: u64,
    /// Messages the telephones have.
    pub delivered: u64,
    /// Dead letters.
    pub failed: u64,
    /// Messages that may or may not have been sent.
    pub uncertain: u64,
    /// Parts whose answer was lost, ever.
    pub answers_lost: u64,
    /// Parts sent again because their answer was lost, ever.
    pub resent: u64,
}

impl Counts {
    /// A message was written.
    pub fn created(&mut self) {
        self.created += 1;
        self.pending += 1;
    }

    /// Something happened to a message.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Moved { from, to, .. } => {
                let left = self.of_mut(*from);
                *left = left.saturating_sub(1);
                *self.of_mut(*to) += 1;
            }
            Event::AnswerLost { parts } => self.answers_lost += u64::from(*parts),
            Event::Resent { parts } => self.resent += u64::from(*parts),
            Event::Submit { .. } | Event::RetryAt(_) => {}
        }
    }

    /// How many stand in `state`.
    pub fn of(&self, state: State) -> u64 {
        match state {
            State::Pending => self.pending,
            State::Submitted => self.submitted,
            State::Delivered => self.delivered,
            State::Failed => self.failed,
            State::Uncertain => self.uncertain,
        }
    }

    fn of_mut(&mut self, state: State) -> &mut u64 {
        match state {
            State::Pending => &mut self.pending,
            State::Submitted => &mut self.submitted,
            State::Delivered => &mut self.delivered,
            State::Failed => &mut self.failed,
            State::Uncertain => &mut self.uncertain,
        }
    }

    /// Created = pending + submitted + delivered + failed + uncertain.
    pub fn balanced(&self) -> bool {
        self.created == State::ALL.into_iter().map(|state| self.of(state)).sum::<u64>()
    }
}
