//! The INVITE client transaction (RFC 3261 section 17.1.1, RFC 6026 section 7.2).
//!
//! ```text
//!            INVITE
//!              v
//!           Calling ----- 2xx ----> Accepted -- M --> Terminated
//!              |  1xx                  ^
//!              v                       |
//!         Proceeding ---- 2xx ---------+
//!              |
//!           300-699  send ACK (from Calling too)
//!              v
//!          Completed -- D --> Terminated
//! ```
//!
//! Not here: the ACK of a 2xx, which is the user's (section 13.2.2.4), and the CANCEL, which is a transaction of
//! its own.

use super::{Outbox, Reliability, Retransmit, Timers, derive, earlier};
use bytes::Bytes;
use std::time::Instant;

/// Where the transaction stands.
#[derive(Debug)]
enum State {
    /// The INVITE was sent and nothing was heard. `abandoned` once the INVITE no longer matters.
    Calling { request: Bytes, retransmit: Option<Retransmit>, give_up: Instant, abandoned: bool },
    /// A provisional response came. `give_up` is set once the INVITE no longer matters.
    Proceeding { request: Bytes, give_up: Option<Instant> },
    /// A response of 300–699 came and was acknowledged; its copies are acknowledged again.
    Completed { ack: Bytes, until: Instant },
    /// A 2xx came; its copies, and those of other branches of a fork, are the user's.
    Accepted { until: Instant },
    /// Nothing is left to do.
    Terminated,
}

/// What the transaction is told.
#[derive(Debug)]
pub enum Input {
    /// A response of 100–199.
    Provisional,
    /// A 2xx.
    Success,
    /// A response of 300–699, with the value of its To field, which the ACK repeats.
    Failure {
        /// To of the response, with the tag that the ACK must carry.
        to: Bytes,
    },
    /// The user sent a CANCEL for the INVITE, or the dialog that it belongs to has ended.
    Abandoned,
    /// The INVITE or the ACK could not be sent.
    TransportFailed,
}

/// What the transaction wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to where the INVITE went.
    Transmit(Bytes),
    /// Give the response that came to the user.
    Deliver,
    /// Tell the user that there was no answer: to be treated as a 408.
    TimedOut,
    /// Tell the user that the peer cannot be reached: to be treated as a 503.
    TransportFailed,
}

/// The timers, by their letters in the RFCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Send the INVITE again.
    A,
    /// There was no response.
    B,
    /// There was no final response to an INVITE that no longer matters (section 9.1; it has no letter).
    Abandon,
    /// No more copies of the failure response are expected.
    D,
    /// No more copies of a 2xx are expected.
    M,
}

/// One INVITE that we sent, until nothing of it can arrive any more.
#[derive(Debug)]
pub struct InviteClient {
    state: State,
    timers: Timers,
    reliability: Reliability,
    outbox: Outbox<Output, 2>,
}

impl InviteClient {
    /// Sends `request`, an INVITE as printed by this house: its lines are unfolded and its names are in full.
    pub fn new(now: Instant, timers: Timers, reliability: Reliability, request: Bytes) -> Self {
        let mut outbox = Outbox::new();
        outbox.push(Output::Transmit(request.clone()));
        // Section 17.1.1.2: timer A starts at T1, on an unreliable transport alone; timer B at 64·T1 on any.
        let retransmit = match reliability {
            Reliability::Reliable => None,
            Reliability::Unreliable => Some(Retransmit::first(now, timers.t1())),
        };
        let state = State::Calling { request, retransmit, give_up: now + timers.t1x64(), abandoned: false };
        InviteClient { state, timers, reliability, outbox }
    }

    /// Takes one input; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match &mut self.state {
            State::Calling { request, abandoned, .. } => match input {
                // The INVITE arrived, so it is not sent again; the answer may take as long as a person does.
                Input::Provisional => {
                    let give_up = abandoned.then_some(now + self.timers.t1x64());
                    self.state = State::Proceeding { request: std::mem::take(request), give_up };
                    self.outbox.push(Output::Deliver);
                }
                Input::Success => self.accept(now),
                Input::Failure { to } => {
                    let ack = derive::ack(request, &to);
                    self.complete(now, ack);
                }
                // Timer B ends this state in any case.
                Input::Abandoned => *abandoned = true,
                Input::TransportFailed => self.fail(),
            },
            State::Proceeding { request, give_up } => match input {
                Input::Provisional => self.outbox.push(Output::Deliver),
                Input::Success => self.accept(now),
                Input::Failure { to } => {
                    let ack = derive::ack(request, &to);
                    self.complete(now, ack);
                }
                // Section 9.1: a peer that never answers an INVITE that was cancelled is given up after 64·T1.
                Input::Abandoned => {
                    give_up.get_or_insert(now + self.timers.t1x64());
                }
                Input::TransportFailed => self.fail(),
            },
            State::Completed { ack, .. } => match input {
                // A copy of the response means that the ACK was lost; the user has seen the response.
                Input::Failure { .. } => self.outbox.push(Output::Transmit(ack.clone())),
                Input::Provisional | Input::Success | Input::Abandoned => {}
                Input::TransportFailed => self.fail(),
            },
            State::Accepted { .. } => match input {
                // RFC 6026 section 7.2: each 2xx, of this branch or another, is the user's to acknowledge.
                Input::Success => self.outbox.push(Output::Deliver),
                Input::Provisional | Input::Failure { .. } | Input::Abandoned => {}
                // The dialog finds out by itself that the peer is gone.
                Input::TransportFailed => {}
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
            State::Calling { retransmit, give_up, .. } => {
                earlier(retransmit.map(|r| (r.at, Reason::A)), (*give_up, Reason::B))
            }
            State::Proceeding { give_up, .. } => give_up.map(|at| (at, Reason::Abandon)),
            State::Completed { until, .. } => Some((*until, Reason::D)),
            State::Accepted { until } => Some((*until, Reason::M)),
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
            Reason::A => self.retransmit(now),
            Reason::B | Reason::Abandon => {
                self.outbox.push(Output::TimedOut);
                self.state = State::Terminated;
            }
            Reason::D | Reason::M => self.state = State::Terminated,
        }
    }

    /// The INVITE's bytes, of which a CANCEL is made; `None` once a final response came.
    pub fn request(&self) -> Option<&Bytes> {
        match &self.state {
            State::Calling { request, .. } | State::Proceeding { request, .. } => Some(request),
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => None,
        }
    }

    /// Whether a provisional response came and no final one: the only time a CANCEL may be sent (section 9.1).
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether the machine can be dropped.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// RFC 6026 section 7.2: timer M is 64·T1 on every transport, since a fork may answer several times.
    fn accept(&mut self, now: Instant) {
        self.outbox.push(Output::Deliver);
        self.state = State::Accepted { until: now + self.timers.t1x64() };
    }

    /// Section 17.1.1.2: the failure is acknowledged here and delivered. Timer D is at least 32 s, or nothing on a
    /// reliable transport.
    fn complete(&mut self, now: Instant, ack: Bytes) {
        self.outbox.push(Output::Transmit(ack.clone()));
        self.outbox.push(Output::Deliver);
        self.state = match self.reliability {
            Reliability::Reliable => State::Terminated,
            Reliability::Unreliable => State::Completed { ack, until: now + self.timers.t1x64() },
        };
    }

    /// Section 17.1.4: the user is told and the transaction ends.
    fn fail(&mut self) {
        self.outbox.push(Output::TransportFailed);
        self.state = State::Terminated;
    }

    /// Timer A: after T1, 2·T1, 4·T1 and so on without a limit but timer B.
    fn retransmit(&mut self, now: Instant) {
        if let State::Calling { request, retransmit: Some(retransmit), .. } = &mut self.state {
            *retransmit = retransmit.next(now, self.timers.t1x64());
            self.outbox.push(Output::Transmit(request.clone()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.
mod tests {
    use super::*;
    use std::time::Duration;

    const T1: Duration = Duration::from_millis(500);
    const INVITE: &str = "INVITE sip:b@example.net SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
        From: <sip:a@example.net>;tag=1\r\n\
        To: <sip:b@example.net>\r\n\
        Call-ID: c\r\n\
        CSeq: 7 INVITE\r\n\r\n";

    fn drain(machine: &mut InviteClient) -> Vec<Output> {
        std::iter::from_fn(|| machine.poll_output()).collect()
    }

    fn give(machine: &mut InviteClient, now: Instant, input: Input) -> Vec<Output> {
        machine.handle_input(now, input);
        drain(machine)
    }

    fn begin(reliability: Reliability) -> (InviteClient, Instant) {
        let now = Instant::now();
        let request = Bytes::from_static(INVITE.as_bytes());
        let mut machine = InviteClient::new(now, Timers::default(), reliability, request.clone());
        assert_eq!(drain(&mut machine), [Output::Transmit(request)]);
        (machine, now)
    }

    fn failure() -> Input {
        Input::Failure { to: Bytes::from_static(b"<sip:b@example.net>;tag=2") }
    }

    #[test]
    fn timer_a_doubles_and_timer_b_gives_up() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        let mut at = Vec::new();
        while let Some((when, _)) = machine.poll_timeout() {
            machine.handle_timeout(when);
            at.push(((when - now).as_millis(), drain(&mut machine)));
        }
        let moments: Vec<_> = at.iter().map(|(at, _)| *at).collect();
        assert_eq!(moments, [500, 1500, 3500, 7500, 15500, 31500, 32000]);
        assert_eq!(at.last().map(|(_, outputs)| outputs.as_slice()), Some([Output::TimedOut].as_slice()));
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_reliable_transport_is_sent_the_invite_once() {
        let (machine, now) = begin(Reliability::Reliable);
        assert_eq!(machine.poll_timeout(), Some((now + 64 * T1, Reason::B)));
    }

    #[test]
    fn a_provisional_response_stops_both_timers() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        assert_eq!(give(&mut machine, now, Input::Provisional), [Output::Deliver]);
        assert_eq!(machine.poll_timeout(), None);
        assert!(machine.is_proceeding());
        assert_eq!(give(&mut machine, now, Input::Provisional), [Output::Deliver]);
    }

    #[test]
    fn a_failure_is_acknowledged_each_time_and_delivered_once_until_timer_d() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        let outputs = give(&mut machine, now, failure());
        let [Output::Transmit(ack), Output::Deliver] = outputs.as_slice() else { panic!("{outputs:?}") };
        assert!(ack.starts_with(b"ACK sip:b@example.net SIP/2.0\r\n"));
        assert_eq!(give(&mut machine, now, failure()), [Output::Transmit(ack.clone())]);
        assert_eq!(give(&mut machine, now, Input::Success), []);
        assert_eq!(machine.poll_timeout(), Some((now + Duration::from_secs(32), Reason::D)));
        machine.handle_timeout(now + Duration::from_secs(32));
        assert!(machine.is_terminated());
    }

    #[test]
    fn a_failure_over_a_reliable_transport_ends_at_once() {
        let (mut machine, now) = begin(Reliability::Reliable);
        give(&mut machine, now, Input::Provisional);
        assert_eq!(give(&mut machine, now, failure()).len(), 2);
        assert!(machine.is_terminated());
    }

    #[test]
    fn every_2xx_is_delivered_until_timer_m() {
        for reliability in [Reliability::Reliable, Reliability::Unreliable] {
            let (mut machine, now) = begin(reliability);
            assert_eq!(give(&mut machine, now, Input::Success), [Output::Deliver]);
            assert_eq!(give(&mut machine, now, Input::Success), [Output::Deliver]);
            assert_eq!(give(&mut machine, now, failure()), []);
            assert_eq!(machine.poll_timeout(), Some((now + 64 * T1, Reason::M)));
            machine.handle_timeout(now + 64 * T1);
            assert!(machine.is_terminated());
        }
    }

    #[test]
    fn an_abandoned_invite_is_given_up_after_64_t1() {
        for order in [[Input::Abandoned, Input::Provisional], [Input::Provisional, Input::Abandoned]] {
            let (mut machine, now) = begin(Reliability::Unreliable);
            for input in order {
                give(&mut machine, now, input);
            }
            assert_eq!(machine.poll_timeout(), Some((now + 64 * T1, Reason::Abandon)));
            machine.handle_timeout(now + 64 * T1);
            assert_eq!(drain(&mut machine), [Output::TimedOut]);
        }
    }

    #[test]
    fn a_failed_transport_ends_it() {
        let (mut machine, now) = begin(Reliability::Reliable);
        assert_eq!(give(&mut machine, now, Input::TransportFailed), [Output::TransportFailed]);
        assert!(machine.is_terminated());
    }
}
