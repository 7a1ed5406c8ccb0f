//! The client transaction of every request but INVITE and ACK (RFC 3261 section 17.1.2).
//!
//! ```text
//!         request
//!            v
//!         Trying --- 1xx ---> Proceeding
//!            |                    |
//!         200-699              200-699
//!            v                    v
//!        Completed <--------------+
//!            | K
//!            v
//!        Terminated
//! ```

use super::{Outbox, Reliability, Retransmit, Timers, earlier};
use bytes::Bytes;
use std::time::Instant;

/// Where the transaction stands.
#[derive(Debug)]
enum State {
    /// The request was sent and nothing was heard.
    Trying { request: Bytes, retransmit: Option<Retransmit>, give_up: Instant },
    /// A provisional response came.
    Proceeding { request: Bytes, retransmit: Option<Retransmit>, give_up: Instant },
    /// The final response came; its copies are absorbed.
    Completed { until: Instant },
    /// Nothing is left to do.
    Terminated,
}

/// What the transaction is told.
#[derive(Debug)]
pub enum Input {
    /// A response of 100–199.
    Provisional,
    /// A response of 200–699.
    Final,
    /// The request could not be sent.
    TransportFailed,
}

/// What the transaction wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to where the request goes.
    Transmit(Bytes),
    /// Give the response that came to the user.
    Deliver,
    /// Tell the user that there was no answer: to be treated as a 408.
    TimedOut,
    /// Tell the user that the peer cannot be reached: to be treated as a 503.
    TransportFailed,
}

/// The timers, by their letters in the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Send the request again.
    E,
    /// There was no final response.
    F,
    /// No more copies of the response are expected.
    K,
}

/// One request that we sent, until no copy of its response can arrive any more.
#[derive(Debug)]
pub struct NonInviteClient {
    state: State,
    timers: Timers,
    reliability: Reliability,
    outbox: Outbox<Output, 1>,
}

impl NonInviteClient {
    /// Sends `request`.
    pub fn new(now: Instant, timers: Timers, reliability: Reliability, request: Bytes) -> Self {
        let mut outbox = Outbox::new();
        outbox.push(Output::Transmit(request.clone()));
        // Section 17.1.2.2: timer E starts at T1, on an unreliable transport alone; timer F at 64·T1 on any.
        let retransmit = match reliability {
            Reliability::Reliable => None,
            Reliability::Unreliable => Some(Retransmit::first(now, timers.t1())),
        };
        let state = State::Trying { request, retransmit, give_up: now + timers.t1x64() };
        NonInviteClient { state, timers, reliability, outbox }
    }

    /// Takes one input; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match &mut self.state {
            State::Trying { request, retransmit, give_up } => match input {
                // The request goes on being sent, since only a final response ends it.
                Input::Provisional => {
                    self.outbox.push(Output::Deliver);
                    let (request, retransmit, give_up) = (std::mem::take(request), *retransmit, *give_up);
                    self.state = State::Proceeding { request, retransmit, give_up };
                }
                Input::Final => self.complete(now),
                Input::TransportFailed => self.fail(),
            },
            State::Proceeding { .. } => match input {
                Input::Provisional => self.outbox.push(Output::Deliver),
                Input::Final => self.complete(now),
                Input::TransportFailed => self.fail(),
            },
            State::Completed { .. } => match input {
                // A copy of the response is absorbed.
                Input::Provisional | Input::Final | Input::TransportFailed => {}
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
            State::Trying { retransmit, give_up, .. } | State::Proceeding { retransmit, give_up, .. } => {
                earlier(retransmit.map(|r| (r.at, Reason::E)), (*give_up, Reason::F))
            }
            State::Completed { until } => Some((*until, Reason::K)),
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
            Reason::E => self.retransmit(now),
            Reason::F => {
                self.outbox.push(Output::TimedOut);
                self.state = State::Terminated;
            }
            Reason::K => self.state = State::Terminated,
        }
    }

    /// Whether the machine can be dropped.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// Section 17.1.2.2: timer K is T4, or nothing on a reliable transport.
    fn complete(&mut self, now: Instant) {
        self.outbox.push(Output::Deliver);
        self.state = match self.reliability {
            Reliability::Reliable => State::Terminated,
            Reliability::Unreliable => State::Completed { until: now + self.timers.t4() },
        };
    }

    /// Section 17.1.4: the user is told and the transaction ends.
    fn fail(&mut self) {
        self.outbox.push(Output::TransportFailed);
        self.state = State::Terminated;
    }

    /// Timer E: after T1, 2·T1 and so on up to T2; every T2 once a provisional response came.
    fn retransmit(&mut self, now: Instant) {
        match &mut self.state {
            State::Trying { request, retransmit: Some(retransmit), .. } => {
                *retransmit = retransmit.next(now, self.timers.t2());
                self.outbox.push(Output::Transmit(request.clone()));
            }
            State::Proceeding { request, retransmit: Some(retransmit), .. } => {
                *retransmit = Retransmit::first(now, self.timers.t2());
                self.outbox.push(Output::Transmit(request.clone()));
            }
            State::Trying { .. } | State::Proceeding { .. } | State::Completed { .. } | State::Terminated => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.
mod tests {
    use super::*;
    use std::time::Duration;

    fn drain(machine: &mut NonInviteClient) -> Vec<Output> {
        std::iter::from_fn(|| machine.poll_output()).collect()
    }

    fn give(machine: &mut NonInviteClient, now: Instant, input: Input) -> Vec<Output> {
        machine.handle_input(now, input);
        drain(machine)
    }

    fn begin(reliability: Reliability) -> (NonInviteClient, Instant) {
        let now = Instant::now();
        let request = Bytes::from_static(b"BYE");
        let mut machine = NonInviteClient::new(now, Timers::default(), reliability, request.clone());
        assert_eq!(drain(&mut machine), [Output::Transmit(request)]);
        (machine, now)
    }

    fn moments(machine: &mut NonInviteClient, start: Instant) -> Vec<u128> {
        let mut at = Vec::new();
        while let Some((when, _)) = machine.poll_timeout() {
            machine.handle_timeout(when);
            at.push((when - start).as_millis());
        }
        at
    }

    #[test]
    fn timer_e_doubles_up_to_t2_and_timer_f_gives_up() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        let at = moments(&mut machine, now);
        assert_eq!(at, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000]);
        assert_eq!(drain(&mut machine).last(), Some(&Output::TimedOut));
    }

    #[test]
    fn what_is_late_happens_and_nothing_before_its_time() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        machine.handle_timeout(now + Duration::from_millis(499));
        assert_eq!(drain(&mut machine), []);
        machine.handle_timeout(now + Duration::from_millis(900));
        assert_eq!(drain(&mut machine), [Output::Transmit(Bytes::from_static(b"BYE"))]);
    }

    #[test]
    fn timer_e_is_t2_after_a_provisional_response() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        assert_eq!(give(&mut machine, now, Input::Provisional), [Output::Deliver]);
        assert_eq!(moments(&mut machine, now)[..3], [500, 4500, 8500]);
    }

    #[test]
    fn a_final_response_is_delivered_once_until_timer_k() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        assert_eq!(give(&mut machine, now, Input::Final), [Output::Deliver]);
        assert_eq!(give(&mut machine, now, Input::Final), []);
        assert_eq!(machine.poll_timeout(), Some((now + Duration::from_secs(5), Reason::K)));
        machine.handle_timeout(now + Duration::from_secs(5));
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_reliable_transport_is_sent_the_request_once_and_ends_at_once() {
        let (mut machine, now) = begin(Reliability::Reliable);
        assert_eq!(machine.poll_timeout(), Some((now + Duration::from_secs(32), Reason::F)));
        assert_eq!(give(&mut machine, now, Input::Final), [Output::Deliver]);
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_failed_transport_ends_it() {
        let (mut machine, now) = begin(Reliability::Reliable);
        assert_eq!(give(&mut machine, now, Input::TransportFailed), [Output::TransportFailed]);
        assert!(machine.is_terminated());
    }
}
