//! The server transaction of every request but INVITE and ACK (RFC 3261 section 17.2.2).
//!
//! ```text
//!         request
//!            v
//!         Trying --- 1xx ---> Proceeding
//!            |                    |
//!         200-699              200-699
//!            v                    v
//!        Completed <--------------+
//!            | J
//!            v
//!        Terminated
//! ```

use super::{Outbox, Reliability, Timers};
use bytes::Bytes;
use std::time::Instant;

/// Where the transaction stands.
#[derive(Debug)]
enum State {
    /// The user has not said anything.
    Trying { give_up: Instant },
    /// The user said that it will take a while.
    Proceeding { provisional: Bytes, give_up: Instant },
    /// The final response was sent; copies of the request are answered with it.
    Completed { response: Bytes, until: Instant },
    /// Nothing is left to do.
    Terminated,
}

/// What the transaction is told.
#[derive(Debug)]
pub enum Input {
    /// The request came again.
    Request,
    /// The user sends a provisional response; RFC 4320 section 4.1 leaves only 100.
    Provisional(Bytes),
    /// The user sends the final response.
    Final(Bytes),
    /// A response could not be sent.
    TransportFailed,
}

/// What the transaction wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to where the request came from.
    Transmit(Bytes),
    /// Tell the user that an answer is no longer awaited.
    TimedOut,
    /// Tell the user that a response could not be sent.
    TransportFailed,
}

/// The timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer's timer F has run out: an answer would come too late (RFC 4320 section 4.2).
    Stale,
    /// No more copies of the request are expected.
    J,
}

/// One request, from its arrival until no copy of it can arrive any more.
#[derive(Debug)]
pub struct NonInviteServer {
    state: State,
    timers: Timers,
    reliability: Reliability,
    outbox: Outbox<Output, 1>,
}

impl NonInviteServer {
    /// Begins with a new request, which the creator gives to the user.
    pub fn new(now: Instant, timers: Timers, reliability: Reliability) -> Self {
        let state = State::Trying { give_up: now + timers.t1x64() };
        NonInviteServer { state, timers, reliability, outbox: Outbox::new() }
    }

    /// Takes one input; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match &self.state {
            State::Trying { give_up } => match input {
                // Nothing was sent that could be repeated.
                Input::Request => {}
                Input::Provisional(response) => {
                    self.outbox.push(Output::Transmit(response.clone()));
                    self.state = State::Proceeding { provisional: response, give_up: *give_up };
                }
                Input::Final(response) => self.complete(now, response),
                Input::TransportFailed => self.fail(),
            },
            State::Proceeding { provisional, give_up } => match input {
                Input::Request => self.outbox.push(Output::Transmit(provisional.clone())),
                Input::Provisional(response) => {
                    self.outbox.push(Output::Transmit(response.clone()));
                    self.state = State::Proceeding { provisional: response, give_up: *give_up };
                }
                Input::Final(response) => self.complete(now, response),
                Input::TransportFailed => self.fail(),
            },
            State::Completed { response, .. } => match input {
                // A copy of the request means that the response was lost.
                Input::Request => self.outbox.push(Output::Transmit(response.clone())),
                // One final response is enough; any other of the user's is discarded.
                Input::Provisional(_) | Input::Final(_) => {}
                Input::TransportFailed => self.fail(),
            },
            State::Terminated => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// When [`Self::handle_timeout`] is due, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        match &self.state {
            State::Trying { give_up } | State::Proceeding { give_up, .. } => Some((*give_up, Reason::Stale)),
            State::Completed { until, .. } => Some((*until, Reason::J)),
            State::Terminated => None,
        }
    }

    /// Does what is due at `now`; nothing where nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some((at, reason)) = self.poll_timeout() else { return };
        if at > now {
            return;
        }
        match reason {
            Reason::Stale => {
                self.outbox.push(Output::TimedOut);
                self.state = State::Terminated;
            }
            Reason::J => self.state = State::Terminated,
        }
    }

    /// Whether the machine can be dropped.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// Section 17.2.2: timer J is 64·T1, or nothing on a reliable transport, which makes no copies.
    fn complete(&mut self, now: Instant, response: Bytes) {
        self.outbox.push(Output::Transmit(response.clone()));
        self.state = match self.reliability {
            Reliability::Reliable => State::Terminated,
            Reliability::Unreliable => State::Completed { response, until: now + self.timers.t1x64() },
        };
    }

    /// Section 17.2.4: the user is told and the transaction ends.
    fn fail(&mut self) {
        self.outbox.push(Output::TransportFailed);
        self.state = State::Terminated;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.
mod tests {
    use super::*;
    use std::time::Duration;

    const GIVE_UP: Duration = Duration::from_secs(32);

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn give(machine: &mut NonInviteServer, now: Instant, input: Input) -> Vec<Output> {
        machine.handle_input(now, input);
        std::iter::from_fn(|| machine.poll_output()).collect()
    }

    fn begin(reliability: Reliability) -> (NonInviteServer, Instant) {
        let now = Instant::now();
        (NonInviteServer::new(now, Timers::default(), reliability), now)
    }

    #[test]
    fn a_copy_is_silent_before_an_answer_and_answered_after_until_timer_j() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        assert_eq!(give(&mut machine, now, Input::Request), []);
        assert_eq!(give(&mut machine, now, Input::Provisional(bytes("100"))), [Output::Transmit(bytes("100"))]);
        assert_eq!(give(&mut machine, now, Input::Request), [Output::Transmit(bytes("100"))]);
        assert_eq!(give(&mut machine, now, Input::Final(bytes("200"))), [Output::Transmit(bytes("200"))]);
        assert_eq!(give(&mut machine, now, Input::Request), [Output::Transmit(bytes("200"))]);
        assert_eq!(give(&mut machine, now, Input::Final(bytes("500"))), []);
        assert_eq!(machine.poll_timeout(), Some((now + GIVE_UP, Reason::J)));
        machine.handle_timeout(now + GIVE_UP);
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_reliable_transport_needs_no_lingering() {
        let (mut machine, now) = begin(Reliability::Reliable);
        assert_eq!(give(&mut machine, now, Input::Final(bytes("200"))), [Output::Transmit(bytes("200"))]);
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_user_who_never_answers_does_not_hold_it_open() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        assert_eq!(machine.poll_timeout(), Some((now + GIVE_UP, Reason::Stale)));
        machine.handle_timeout(now + GIVE_UP - Duration::from_millis(1));
        assert!(!machine.is_terminated());
        machine.handle_timeout(now + GIVE_UP + Duration::from_millis(1));
        assert_eq!(machine.poll_output(), Some(Output::TimedOut));
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_failed_transport_ends_it() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        give(&mut machine, now, Input::Final(bytes("200")));
        assert_eq!(give(&mut machine, now, Input::TransportFailed), [Output::TransportFailed]);
        assert!(machine.is_terminated());
    }
}
