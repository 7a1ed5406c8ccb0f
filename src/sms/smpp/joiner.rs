//! Long messages from citizens, joined from their parts; bounded in number and in time.

use crate::sms::text::{self, Concatenation};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Messages that may wait for parts; the oldest is given out as it is when there is no room.
const CAPACITY: usize = 64;
/// How long a message waits for its missing parts.
const PATIENCE: Duration = Duration::from_secs(300);
/// Stands where a part never came.
const GAP: &str = "[…]";

/// A message from a citizen, whole, or as whole as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub from: String,
    pub to: String,
    pub text: String,
}

#[derive(Debug)]
struct Unfinished {
    from: String,
    to: String,
    reference: u16,
    data_coding: u8,
    parts: Vec<Option<Vec<u8>>>,
    deadline: Instant,
}

impl Unfinished {
    /// Octets are joined before they are read, as some senders split pairs of surrogates.
    fn join(self) -> Joined {
        let mut joined = String::new();
        let mut run = Vec::new();
        for part in self.parts {
            match part {
                Some(octets) => run.extend(octets),
                None => {
                    joined.push_str(&text::decode(self.data_coding, &std::mem::take(&mut run)));
                    joined.push_str(GAP);
                }
            }
        }
        joined.push_str(&text::decode(self.data_coding, &run));
        Joined { from: self.from, to: self.to, text: joined }
    }
}

/// The messages that wait for parts, oldest first.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    unfinished: VecDeque<Unfinished>,
}

impl Joiner {
    /// Takes one part; gives out what it completes, and what had to make room for it.
    pub fn add(
        &mut self,
        now: Instant,
        (from, to): (&str, &str),
        at: Concatenation,
        data_coding: u8,
        octets: &[u8],
    ) -> Vec<Joined> {
        let mut out = Vec::new();
        let total = usize::from(at.total);
        let same =
            |m: &Unfinished| m.reference == at.reference && m.parts.len() == total && m.from == from && m.to == to;
        let found = self.unfinished.iter().position(same).unwrap_or_else(|| {
            if self.unfinished.len() >= CAPACITY {
                out.extend(self.unfinished.pop_front().map(Unfinished::join));
            }
            self.unfinished.push_back(Unfinished {
                from: from.to_owned(),
                to: to.to_owned(),
                reference: at.reference,
                data_coding,
                parts: vec![None; total],
                deadline: now + PATIENCE,
            });
            self.unfinished.len() - 1
        });
        let message = &mut self.unfinished[found];
        message.parts[usize::from(at.part) - 1].get_or_insert_with(|| octets.to_vec());
        if message.parts.iter().all(Option::is_some) {
            out.extend(self.unfinished.remove(found).map(Unfinished::join));
        }
        out
    }

    /// When the oldest message's patience ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.unfinished.front().map(|m| m.deadline)
    }

    /// Gives out, with gaps, what has waited long enough.
    pub fn expire(&mut self, now: Instant) -> Vec<Joined> {
        let mut out = Vec::new();
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            out.extend(self.unfinished.pop_front().map(Unfinished::join));
        }
        out
    }
}
