//! One message's fate: pending → submitted → delivered, failed or uncertain. A business machine: [`Delivery::apply`]
//! is pure, its result is saved by compare-and-set on `version`.
//!
//! A message of several parts is one message here: it is submitted when every part was accepted, delivered when
//! every part was, failed when one part was. A try that ends without an answer may have been sent: such a message
//! is uncertain, never pending. Receipts match once; one that overtakes its submit response waits in
//! [`EarlyReceipts`]. All times are wall times, since all of them are stored and outlive the process.
//! Left out: claiming rows and writing them (the store and the outbox), and what the texts say.

mod counts;
mod early;
mod part;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use early::{EarlyReceipts, Receipt};
pub use part::{Outcome, Part, ReceiptState, Refusal};

use crate::clock::UnixMillis;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// Where a message stands; at each moment in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its first or next try, or a try is on its way.
    Pending,
    /// The SMS centre took every part; receipts are awaited.
    Submitted,
    /// Every part has reached the telephone.
    Delivered,
    /// Given up: the dead letter, seen by people.
    Failed,
    /// A part may or may not have been taken: its answer was lost.
    Uncertain,
}

impl State {
    /// All of them.
    pub const ALL: [State; 5] = [State::Pending, State::Submitted, State::Delivered, State::Failed, State::Uncertain];

    /// The name in rows and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Submitted => "submitted",
            State::Delivered => "delivered",
            State::Failed => "failed",
            State::Uncertain => "uncertain",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        State::ALL.into_iter().find(|s| s.as_str() == text).ok_or(UnknownState)
    }
}

/// The text names no [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such delivery state")]
pub struct UnknownState;

/// What is done about a message whose answer was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUncertain {
    /// It waits for a late answer, a receipt or a person.
    #[default]
    Hold,
    /// Its doubtful parts are sent once more, after the first retry delay: the citizen may get them twice.
    ResendOnce,
}

/// How hard the sending is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Seconds before the second, third, … try; the last one repeats.
    pub retry_s: Vec<u64>,
    /// Tries that reached the gateway before a message is given up.
    pub max_attempts: u32,
    /// Seconds before another try where the last never left the house or was throttled; such a try does not count.
    pub not_sent_s: u64,
    /// Seconds a try may take before it is held to be lost.
    pub lease_s: u64,
    /// Seconds after its creation when an unsent message is of no more use.
    pub max_age_s: u64,
    /// What is done about lost answers.
    pub on_uncertain: OnUncertain,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            retry_s: vec![10, 30, 120, 600, 3600],
            max_attempts: 8,
            not_sent_s: 10,
            lease_s: 60,
            max_age_s: 48 * 3600,
            on_uncertain: OnUncertain::Hold,
        }
    }
}

impl Policy {
    /// The wait after `attempts` counted tries.
    pub fn delay(&self, attempts: u32) -> Duration {
        let at = (attempts.max(1) as usize - 1).min(self.retry_s.len().saturating_sub(1));
        Duration::from_secs(self.retry_s.get(at).copied().unwrap_or(self.not_sent_s))
    }
}

/// Why a message was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// A part was refused with a permanent status: the SMPP command_status.
    #[error("the SMS centre refused it for good, status {0:#010x}")]
    Refused(u32),
    /// The policy's last try was refused as well.
    #[error("given up after {attempts} tries, last status {status:#010x}")]
    Attempts {
        /// How many tries reached the gateway.
        attempts: u32,
        /// The last SMPP command_status; 0 where there was none.
        status: u32,
    },
    /// No try got through within the policy's `max_age_s`.
    #[error("could not be sent while it was of use")]
    TooOld,
    /// A receipt says that a part did not reach the telephone.
    #[error("the SMS centre could not deliver it: {state} {error}")]
    Undelivered {
        /// What the receipt says.
        state: ReceiptState,
        /// The receipt's `err:` code, in the carrier's own numbering.
        error: String,
    },
    /// `Command::Withdraw`: it was never sent, or may have been.
    #[error("withdrawn by a person")]
    Withdrawn,
}

/// One message's delivery. Stored whole as JSON, with `state`, `attempts`, `next_try` as columns to claim by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Where it stands.
    pub state: State,
    /// Tries that reached the gateway.
    pub attempts: u32,
    /// When [`Delivery::due`] has something to say; `None` when nothing is to be done by itself.
    pub next_try: Option<UnixMillis>,
    /// Since when a try is on its way.
    pub trying_since: Option<UnixMillis>,
    /// Times doubtful parts were sent again.
    pub resends: u32,
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// The last thing the gateway said against it.
    pub last_status: Option<u32>,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
    /// When it was written.
    pub created_at: UnixMillis,
    /// When it came to its state.
    pub since: UnixMillis,
    /// When the last part was accepted.
    pub submitted_at: Option<UnixMillis>,
    /// Goes up by one with every change.
    pub version: u64,
    /// The try on its way met something other than a closed or throttling gateway.
    counts: bool,
}

/// What happens to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The outbox claims it and will submit the parts that the event names.
    Try,
    /// What came of one part of a try; `part` counts from 0.
    Outcome {
        /// Which part, from 0.
        part: u8,
        /// What the gateway said of it.
        outcome: Outcome,
    },
    /// A receipt came in.
    Receipt(Receipt),
    /// The try's lease ran out, or its process died: what has no answer is uncertain.
    Lost,
    /// A person has an uncertain message's doubtful parts sent again.
    Resend,
    /// A person takes a dead letter up again, or gives an uncertain message a new start.
    Requeue,
    /// A person gives up a pending or uncertain message.
    Withdraw,
}

/// What follows from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Submit these parts now, counted from 0.
    Submit {
        /// At least one: those that wait and those in doubt.
        parts: Vec<u8>,
    },
    /// It went from one state to another.
    Moved {
        /// Where it stood.
        from: State,
        /// Where it stands.
        to: State,
        /// When.
        at: UnixMillis,
    },
    /// Answers were lost (counted).
    AnswerLost {
        /// How many parts' answers.
        parts: u32,
    },
    /// Doubtful parts will be sent, or are sent, again (counted).
    Resent {
        /// How many parts may come twice.
        parts: u32,
    },
    /// The next try is at this time.
    RetryAt(UnixMillis),
}

/// Why a command does not apply; the row stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The command has no meaning where the message stands.
    #[error("the message is {0}")]
    WrongState(State),
    /// `next_try` is later, or there is none.
    #[error("its time has not come")]
    NotDue,
    /// The answers of the try that is on its way must come first.
    #[error("a try is on its way")]
    Busy,
    /// The part's number is beyond the message's parts.
    #[error("there is no such part")]
    NoSuchPart,
    /// An outcome of a part of which none is awaited.
    #[error("the part has its answer already")]
    Answered,
    /// It may be another message's, or come before the submit's answer.
    #[error("no part has that id")]
    UnknownReceipt,
    /// Only the first ending counts.
    #[error("the part has its receipt already")]
    DuplicateReceipt,
    /// It says that the message is on its way, which changes nothing.
    #[error("the receipt tells no ending")]
    NotFinal,
}

impl Delivery {
    /// A new message of `parts` short messages (1 at least), due at once.
    pub fn new(parts: usize, now: UnixMillis) -> Self {
        Delivery {
            state: State::Pending,
            attempts: 0,
            next_try: Some(now),
            trying_since: None,
            resends: 0,
            parts: vec![Part::Waiting; parts.clamp(1, 255)],
            last_status: None,
            failure: None,
            created_at: now,
            since: now,
            submitted_at: None,
            version: 0,
            counts: false,
        }
    }

    /// The command the clock asks for, when its time has come.
    pub fn due(&self, now: UnixMillis) -> Option<Command> {
        if self.next_try? > now {
            return None;
        }
        Some(if self.trying_since.is_some() { Command::Lost } else { Command::Try })
    }

    /// The SMS centre's ids of the accepted parts, in order: what receipts are looked up by.
    pub fn smsc_ids(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(Part::smsc_id)
    }

    /// What is to be shown as the trouble, if there is any.
    pub fn error(&self) -> Option<String> {
        let status = || self.last_status.map(|status| format!("last status {status:#010x}"));
        self.failure.as_ref().map(ToString::to_string).or_else(status)
    }

    /// What becomes of the message by `command`. Pure: `self` stays. Rejected where the command does not apply.
    pub fn apply(&self, command: Command, policy: &Policy, now: UnixMillis) -> Result<(Self, Vec<Event>), Rejected> {
        let mut next = self.clone();
        let mut events = Vec::new();
        match command {
            Command::Try => next.start_try(policy, now, &mut events)?,
            Command::Outcome { part, outcome } => next.take_outcome(part, outcome, policy, now, &mut events)?,
            Command::Receipt(receipt) => next.take_receipt(&receipt, policy, now, &mut events)?,
            Command::Lost => next.lose_answers(policy, now, &mut events)?,
            Command::Resend => next.resend(now, &mut events)?,
            Command::Requeue => next.requeue(now, &mut events)?,
            Command::Withdraw => next.withdraw(now, &mut events)?,
        }
        next.version += 1;
        Ok((next, events))
    }

    fn start_try(&mut self, policy: &Policy, now: UnixMillis, events: &mut Vec<Event>) -> Result<(), Rejected> {
        if !matches!(self.state, State::Pending | State::Uncertain) {
            return Err(Rejected::WrongState(self.state));
        }
        if self.trying_since.is_some() {
            return Err(Rejected::Busy);
        }
        if self.next_try.is_none_or(|at| at > now) {
            return Err(Rejected::NotDue);
        }
        let (doubtful, parts) = self.unsent();
        if doubtful == 0 && now.since(self.created_at) > Duration::from_secs(policy.max_age_s) {
            self.fail(Failure::TooOld, now, events);
            return Ok(());
        }
        if doubtful > 0 {
            self.resends += 1;
            events.push(Event::Resent { parts: doubtful });
        }
        for &part in &parts {
            self.parts[usize::from(part)] = Part::Trying;
        }
        (self.trying_since, self.counts) = (Some(now), false);
        // Should no answer be written down, the row comes up again when the lease is over.
        self.next_try = Some(now.plus(Duration::from_secs(policy.lease_s)));
        self.go(State::Pending, now, events);
        events.push(Event::Submit { parts });
        Ok(())
    }

    /// How many doubtful parts there are, and the parts to send.
    fn unsent(&self) -> (u32, Vec<u8>) {
        let doubtful = self.parts.iter().filter(|p| **p == Part::Uncertain).count() as u32;
        let unsent = self.parts.iter().enumerate().filter(|(_, p)| matches!(p, Part::Waiting | Part::Uncertain));
        (doubtful, unsent.map(|(at, _)| at as u8).collect())
    }

    fn take_outcome(
        &mut self,
        part: u8,
        outcome: Outcome,
        policy: &Policy,
        now: UnixMillis,
        events: &mut Vec<Event>,
    ) -> Result<(), Rejected> {
        let slot = self.parts.get_mut(usize::from(part)).ok_or(Rejected::NoSuchPart)?;
        match (&*slot, &outcome) {
            // A late answer ends the doubt; that an answer is lost is no news then.
            (Part::Uncertain, Outcome::Uncertain) => return Err(Rejected::Answered),
            (Part::Trying | Part::Uncertain, _) => {}
            (Part::Waiting | Part::Refused | Part::Accepted { .. }, _) => return Err(Rejected::Answered),
            (Part::Delivered { .. } | Part::Undelivered { .. }, _) => return Err(Rejected::Answered),
        }
        match outcome {
            Outcome::Accepted { smsc_id } => {
                self.counts = true;
                *slot = Part::Accepted { smsc_id };
            }
            Outcome::Refused { refusal, status } => {
                self.counts |= refusal.counts();
                self.last_status = Some(status);
                *slot = if refusal == Refusal::Permanent { Part::Refused } else { Part::Waiting };
            }
            Outcome::Uncertain => {
                self.counts = true;
                *slot = Part::Uncertain;
                events.push(Event::AnswerLost { parts: 1 });
            }
        }
        self.settle(policy, now, events);
        Ok(())
    }

    fn lose_answers(&mut self, policy: &Policy, now: UnixMillis, events: &mut Vec<Event>) -> Result<(), Rejected> {
        if self.trying_since.is_none() {
            return Err(Rejected::WrongState(self.state));
        }
        let mut lost = 0;
        for part in self.parts.iter_mut().filter(|p| **p == Part::Trying) {
            *part = Part::Uncertain;
            lost += 1;
        }
        self.counts = true;
        events.push(Event::AnswerLost { parts: lost });
        self.settle(policy, now, events);
        Ok(())
    }

    fn take_receipt(
        &mut self,
        receipt: &Receipt,
        policy: &Policy,
        now: UnixMillis,
        events: &mut Vec<Event>,
    ) -> Result<(), Rejected> {
        let matching = self.parts.iter_mut().find(|p| p.smsc_id() == Some(receipt.smsc_id.as_str()));
        let slot = matching.ok_or(Rejected::UnknownReceipt)?;
        let Part::Accepted { smsc_id } = &*slot else {
            return Err(Rejected::DuplicateReceipt);
        };
        let smsc_id = smsc_id.clone();
        *slot = match receipt.state {
            ReceiptState::EnRoute | ReceiptState::Accepted => return Err(Rejected::NotFinal),
            ReceiptState::Delivered => Part::Delivered { smsc_id },
            state => Part::Undelivered { smsc_id, state, error: receipt.error.clone() },
        };
        self.settle(policy, now, events);
        Ok(())
    }

    fn resend(&mut self, now: UnixMillis, events: &mut Vec<Event>) -> Result<(), Rejected> {
        if self.state != State::Uncertain {
            return Err(Rejected::WrongState(self.state));
        }
        self.next_try = Some(now);
        events.push(Event::RetryAt(now));
        Ok(())
    }

    fn requeue(&mut self, now: UnixMillis, events: &mut Vec<Event>) -> Result<(), Rejected> {
        if !matches!(self.state, State::Failed | State::Uncertain) {
            return Err(Rejected::WrongState(self.state));
        }
        for part in &mut self.parts {
            // What reached the telephone, or is on its way there, is not sent twice.
            if !matches!(part, Part::Delivered { .. } | Part::Accepted { .. }) {
                *part = Part::Waiting;
            }
        }
        if !self.parts.contains(&Part::Waiting) {
            self.parts.fill(Part::Waiting);
        }
        (self.attempts, self.failure, self.last_status) = (0, None, None);
        (self.next_try, self.created_at) = (Some(now), now);
        self.go(State::Pending, now, events);
        events.push(Event::RetryAt(now));
        Ok(())
    }

    fn withdraw(&mut self, now: UnixMillis, events: &mut Vec<Event>) -> Result<(), Rejected> {
        if self.trying_since.is_some() {
            return Err(Rejected::Busy);
        }
        if !matches!(self.state, State::Pending | State::Uncertain) {
            return Err(Rejected::WrongState(self.state));
        }
        self.fail(Failure::Withdrawn, now, events);
        Ok(())
    }

    /// Draws the message's state from its parts.
    fn settle(&mut self, policy: &Policy, now: UnixMillis, events: &mut Vec<Event>) {
        if self.parts.contains(&Part::Trying) {
            return;
        }
        if self.trying_since.take().is_some() && self.counts {
            self.attempts += 1;
        }
        // A dead letter stays one until a person takes it up: late answers and receipts only mark its parts.
        if self.state == State::Failed {
            return;
        }
        if let Some(failure) = self.failure_of_a_part() {
            self.fail(failure, now, events);
        } else if self.parts.contains(&Part::Uncertain) {
            let again = policy.on_uncertain == OnUncertain::ResendOnce && self.resends == 0;
            self.next_try = again.then(|| now.plus(policy.delay(1)));
            self.go(State::Uncertain, now, events);
            events.extend(self.next_try.map(Event::RetryAt));
        } else if self.parts.contains(&Part::Waiting) {
            self.wait_for_next_try(policy, now, events);
        } else {
            self.next_try = None;
            let delivered = self.parts.iter().all(|p| matches!(p, Part::Delivered { .. }));
            self.submitted_at.get_or_insert(now);
            self.last_status = None;
            self.go(State::Submitted, now, events);
            if delivered {
                self.go(State::Delivered, now, events);
            }
        }
    }

    fn failure_of_a_part(&self) -> Option<Failure> {
        self.parts.iter().find_map(|part| match part {
            Part::Refused => Some(Failure::Refused(self.last_status.unwrap_or(0))),
            Part::Undelivered { state, error, .. } => {
                Some(Failure::Undelivered { state: *state, error: error.clone() })
            }
            Part::Waiting | Part::Trying | Part::Uncertain | Part::Accepted { .. } | Part::Delivered { .. } => None,
        })
    }

    fn wait_for_next_try(&mut self, policy: &Policy, now: UnixMillis, events: &mut Vec<Event>) {
        if self.counts && self.attempts >= policy.max_attempts {
            let failure = Failure::Attempts { attempts: self.attempts, status: self.last_status.unwrap_or(0) };
            return self.fail(failure, now, events);
        }
        let delay = if self.counts { policy.delay(self.attempts) } else { Duration::from_secs(policy.not_sent_s) };
        let at = now.plus(delay);
        self.next_try = Some(at);
        self.go(State::Pending, now, events);
        events.push(Event::RetryAt(at));
    }

    fn fail(&mut self, failure: Failure, now: UnixMillis, events: &mut Vec<Event>) {
        self.failure = Some(failure);
        self.next_try = None;
        self.go(State::Failed, now, events);
    }

    fn go(&mut self, to: State, now: UnixMillis, events: &mut Vec<Event>) {
        if self.state != to {
            events.push(Event::Moved { from: self.state, to, at: now });
            (self.state, self.since) = (to, now);
        }
    }
}
