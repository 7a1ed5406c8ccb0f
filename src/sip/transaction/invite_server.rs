//! The INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).
//!
//! ```text
//!            INVITE
//!              |  send 100
//!              v
//!         Proceeding ---- 2xx ----> Accepted -- L --> Terminated
//!              |
//!            300-699
//!              v
//!          Completed --- ACK ----> Confirmed -- I --> Terminated
//!              |
//!              H: no ACK --------------------------> Terminated
//! ```
//!
//! Not here: repeating a 2xx until its ACK, which is the user's matter (section 13.3.1.4), and finding the
//! transaction that an INVITE or an ACK belongs to ([`super::key`]).

use super::{Outbox, Reliability, Retransmit, Timers, earlier};
use bytes::Bytes;
use std::time::Instant;

/// Where the transaction stands.
#[derive(Debug)]
enum State {
    /// The INVITE waits for its final response.
    Proceeding { provisional: Bytes },
    /// A response of 300–699 was sent and waits for its ACK.
    Completed { response: Bytes, retransmit: Option<Retransmit>, give_up: Instant },
    /// The ACK came; late copies of it are still absorbed.
    Confirmed { until: Instant },
    /// A 2xx was sent; late copies of the INVITE are still absorbed.
    Accepted { until: Instant },
    /// Nothing is left to do.
    Terminated,
}

/// What the transaction is told.
#[derive(Debug)]
pub enum Input {
    /// The INVITE came again.
    Invite,
    /// An ACK came that matches the INVITE.
    Ack,
    /// The user sends a response of 101–199.
    Provisional(Bytes),
    /// The user sends a 2xx, for the first time or again.
    Success(Bytes),
    /// The user sends a response of 300–699.
    Failure(Bytes),
    /// A response could not be sent.
    TransportFailed,
}

/// What the transaction wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to where the INVITE came from.
    Transmit(Bytes),
    /// Give the ACK to the user: it acknowledges a 2xx.
    DeliverAck,
    /// Tell the user that the failure response was never acknowledged.
    TimedOut,
    /// Tell the user that a response could not be sent.
    TransportFailed,
}

/// The timers, by their letters in the RFCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Send the failure response again.
    G,
    /// The ACK of the failure response did not come.
    H,
    /// No more copies of the ACK are expected.
    I,
    /// No more copies of an accepted INVITE are expected.
    L,
}

/// One INVITE, from its arrival until nothing of it can arrive any more.
#[derive(Debug)]
pub struct InviteServer {
    state: State,
    timers: Timers,
    reliability: Reliability,
    outbox: Outbox<Output, 1>,
}

impl InviteServer {
    /// Begins with a new INVITE and answers it at once with `trying`, the 100: the user may take longer than the
    /// 200 ms that section 17.2.1 allows.
    pub fn new(timers: Timers, reliability: Reliability, trying: Bytes) -> Self {
        let mut outbox = Outbox::new();
        outbox.push(Output::Transmit(trying.clone()));
        InviteServer { state: State::Proceeding { provisional: trying }, timers, reliability, outbox }
    }

    /// Takes one input; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match &self.state {
            State::Proceeding { provisional } => match input {
                // A repeated INVITE is answered with the latest provisional response.
                Input::Invite => self.outbox.push(Output::Transmit(provisional.clone())),
                Input::Provisional(response) => {
                    self.outbox.push(Output::Transmit(response.clone()));
                    self.state = State::Proceeding { provisional: response };
                }
                Input::Success(response) => self.accept(now, response),
                Input::Failure(response) => self.complete(now, response),
                // Nothing was answered that an ACK could belong to.
                Input::Ack => {}
                // RFC 6026 section 8.7: the user is told and the state stays, to absorb what still comes.
                Input::TransportFailed => self.outbox.push(Output::TransportFailed),
            },
            State::Completed { response, .. } => match input {
                // A repeated INVITE means that the response was lost.
                Input::Invite => self.outbox.push(Output::Transmit(response.clone())),
                Input::Ack => self.confirm(now),
                // One final response is enough; any other of the user's is discarded.
                Input::Provisional(_) | Input::Success(_) | Input::Failure(_) => {}
                Input::TransportFailed => self.outbox.push(Output::TransportFailed),
            },
            State::Confirmed { .. } => match input {
                // The ACK repeated, or an INVITE that it overtook: both absorbed.
                Input::Invite | Input::Ack => {}
                Input::Provisional(_) | Input::Success(_) | Input::Failure(_) | Input::TransportFailed => {}
            },
            State::Accepted { .. } => match input {
                // RFC 6026 section 7.1: absorbed without an answer; the user repeats its 2xx by its own clock.
                Input::Invite => {}
                // Only an RFC 2543 peer's ACK for a 2xx matches the INVITE; it is the user's.
                Input::Ack => self.outbox.push(Output::DeliverAck),
                Input::Success(response) => self.outbox.push(Output::Transmit(response)),
                Input::Provisional(_) | Input::Failure(_) => {}
                Input::TransportFailed => self.outbox.push(Output::TransportFailed),
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
            State::Proceeding { .. } => None,
            State::Completed { retransmit, give_up, .. } => {
                earlier(retransmit.map(|r| (r.at, Reason::G)), (*give_up, Reason::H))
            }
            State::Confirmed { until } => Some((*until, Reason::I)),
            State::Accepted { until } => Some((*until, Reason::L)),
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
            Reason::G => self.retransmit(now),
            Reason::H => {
                self.outbox.push(Output::TimedOut);
                self.state = State::Terminated;
            }
            Reason::I | Reason::L => self.state = State::Terminated,
        }
    }

    /// Whether the user may still answer.
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether the machine can be dropped.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// RFC 6026 section 7.1: a 2xx is sent and timer L set to 64·T1, on every transport.
    fn accept(&mut self, now: Instant, response: Bytes) {
        self.outbox.push(Output::Transmit(response));
        self.state = State::Accepted { until: now + self.timers.t1x64() };
    }

    /// Section 17.2.1: a failure is sent, timer H set to 64·T1 and, on an unreliable transport, timer G to T1.
    fn complete(&mut self, now: Instant, response: Bytes) {
        self.outbox.push(Output::Transmit(response.clone()));
        let retransmit = match self.reliability {
            Reliability::Reliable => None,
            Reliability::Unreliable => Some(Retransmit::first(now, self.timers.t1())),
        };
        self.state = State::Completed { response, retransmit, give_up: now + self.timers.t1x64() };
    }

    /// Section 17.2.1: copies of the ACK are absorbed for T4 (timer I); a reliable transport makes none.
    fn confirm(&mut self, now: Instant) {
        self.state = match self.reliability {
            Reliability::Reliable => State::Terminated,
            Reliability::Unreliable => State::Confirmed { until: now + self.timers.t4() },
        };
    }

    /// Timer G: the response goes out again, after T1, 2·T1, 4·T1 and so on, at most T2 apart.
    fn retransmit(&mut self, now: Instant) {
        if let State::Completed { response, retransmit: Some(retransmit), .. } = &mut self.state {
            *retransmit = retransmit.next(now, self.timers.t2());
            self.outbox.push(Output::Transmit(response.clone()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.
mod tests {
    use super::*;
    use std::time::Duration;

    const T1: Duration = Duration::from_millis(500);

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn transmit(text: &'static str) -> Vec<Output> {
        vec![Output::Transmit(bytes(text))]
    }

    fn drain(machine: &mut InviteServer) -> Vec<Output> {
        std::iter::from_fn(|| machine.poll_output()).collect()
    }

    fn give(machine: &mut InviteServer, now: Instant, input: Input) -> Vec<Output> {
        machine.handle_input(now, input);
        drain(machine)
    }

    fn begin(reliability: Reliability) -> (InviteServer, Instant) {
        let mut machine = InviteServer::new(Timers::default(), reliability, bytes("100"));
        assert_eq!(drain(&mut machine), transmit("100"));
        (machine, Instant::now())
    }

    /// Runs every timer up to `until`; gives the moments after `start` at which something was sent.
    fn run(machine: &mut InviteServer, start: Instant, until: Instant) -> Vec<(Duration, Output)> {
        let mut seen = Vec::new();
        while let Some((at, _)) = machine.poll_timeout().filter(|(at, _)| *at <= until) {
            machine.handle_timeout(at);
            seen.extend(drain(machine).into_iter().map(|output| (at - start, output)));
        }
        seen
    }

    #[test]
    fn repeated_invite_is_answered_with_the_latest_provisional_response() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        assert_eq!(give(&mut machine, now, Input::Invite), transmit("100"));
        assert_eq!(give(&mut machine, now, Input::Provisional(bytes("180"))), transmit("180"));
        assert_eq!(give(&mut machine, now, Input::Invite), transmit("180"));
        assert_eq!(machine.poll_timeout(), None);
        assert!(machine.is_proceeding());
    }

    #[test]
    fn timer_g_doubles_up_to_t2_and_timer_h_gives_up() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        assert_eq!(give(&mut machine, now, Input::Failure(bytes("486"))), transmit("486"));
        let seen = run(&mut machine, now, now + 64 * T1);
        let at: Vec<_> = seen.iter().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(at, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000]);
        assert_eq!(seen.last().map(|(_, output)| output), Some(&Output::TimedOut));
        assert!(machine.is_terminated());
    }

    #[test]
    fn reliable_failure_is_sent_once_and_still_waits_for_its_ack() {
        let (mut machine, now) = begin(Reliability::Reliable);
        give(&mut machine, now, Input::Failure(bytes("486")));
        assert_eq!(machine.poll_timeout(), Some((now + 64 * T1, Reason::H)));
        assert_eq!(give(&mut machine, now, Input::Ack), []);
        assert!(machine.is_terminated());
    }

    #[test]
    fn ack_stops_timer_g_and_timer_i_ends_the_transaction() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        give(&mut machine, now, Input::Failure(bytes("486")));
        assert_eq!(give(&mut machine, now, Input::Invite), transmit("486"));
        assert_eq!(give(&mut machine, now, Input::Ack), []);
        assert_eq!(machine.poll_timeout(), Some((now + Duration::from_secs(5), Reason::I)));
        assert_eq!(give(&mut machine, now, Input::Ack), []);
        assert_eq!(give(&mut machine, now, Input::Invite), []);
        assert_eq!(run(&mut machine, now, now + 64 * T1), []);
        assert!(machine.is_terminated());
    }

    #[test]
    fn accepted_absorbs_the_invite_and_passes_2xx_and_ack_until_timer_l() {
        for reliability in [Reliability::Reliable, Reliability::Unreliable] {
            let (mut machine, now) = begin(reliability);
            assert_eq!(give(&mut machine, now, Input::Success(bytes("200"))), transmit("200"));
            assert_eq!(give(&mut machine, now, Input::Invite), []);
            assert_eq!(give(&mut machine, now, Input::Success(bytes("200"))), transmit("200"));
            assert_eq!(give(&mut machine, now, Input::Ack), [Output::DeliverAck]);
            assert_eq!(machine.poll_timeout(), Some((now + 64 * T1, Reason::L)));
            machine.handle_timeout(now + 64 * T1);
            assert!(machine.is_terminated());
        }
    }

    #[test]
    fn a_second_final_response_is_discarded() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        give(&mut machine, now, Input::Failure(bytes("486")));
        assert_eq!(give(&mut machine, now, Input::Success(bytes("200"))), []);
        assert_eq!(give(&mut machine, now, Input::Invite), transmit("486"));
    }

    #[test]
    fn a_failed_transport_is_told_and_the_state_stays() {
        let (mut machine, now) = begin(Reliability::Reliable);
        assert_eq!(give(&mut machine, now, Input::TransportFailed), [Output::TransportFailed]);
        assert!(machine.is_proceeding());
    }

    #[test]
    fn an_early_timeout_does_nothing() {
        let (mut machine, now) = begin(Reliability::Unreliable);
        give(&mut machine, now, Input::Failure(bytes("486")));
        machine.handle_timeout(now + T1 - Duration::from_millis(1));
        assert_eq!(drain(&mut machine), []);
    }

    #[test]
    fn the_machine_itself_is_small() {
        assert!(size_of::<InviteServer>() <= 200, "{}", size_of::<InviteServer>());
    }
}
