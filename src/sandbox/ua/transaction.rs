//! The client and server transactions of a simulated user agent (RFC 3261 section 17, RFC 6026), without I/O.

use rsip::{Method, Request};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Round-trip estimate (RFC 3261 section 17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// 64 × T1: how long a request is tried, and how long a finished transaction answers retransmissions.
pub const LINGER: Duration = Duration::from_secs(32);
/// An INVITE that rings but never comes to an end (RFC 3261 section 16.6, timer C).
const RINGING: Duration = Duration::from_secs(180);

/// The state of a client transaction; non-INVITE ones call `Calling` Trying.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Resent at `next`.
    Calling {
        next: Instant,
        interval: Duration,
    },
    Proceeding {
        next: Instant,
    },
    /// A final response came; the ACK of a refused INVITE is kept for its retransmissions.
    Completed {
        ack: Option<Vec<u8>>,
    },
}

/// What a client transaction wants at its time-out.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    Resend,
    /// No final response: told to its owner.
    TimedOut,
    /// Nothing more will come.
    Finished,
    Nothing,
}

/// One request of ours.
#[derive(Debug)]
pub struct Client<P> {
    pub request: Request,
    pub bytes: Vec<u8>,
    pub to: SocketAddr,
    /// What the answer is for.
    pub purpose: P,
    /// How often it was sent with other credentials.
    pub attempts: u8,
    reliable: bool,
    state: State,
    until: Instant,
}

impl<P> Client<P> {
    /// A request that was just sent; `reliable` over TCP: nothing is resent.
    pub fn new(now: Instant, request: Request, to: SocketAddr, purpose: P, reliable: bool) -> Self {
        let bytes = request.to_string().into_bytes();
        let state = State::Calling { next: now + T1, interval: T1 };
        Client { request, bytes, to, purpose, attempts: 0, reliable, state, until: now + LINGER }
    }

    fn is_invite(&self) -> bool {
        self.request.method == Method::Invite
    }

    /// When to ask [`Client::handle_timeout`].
    pub fn poll_timeout(&self) -> Instant {
        match &self.state {
            State::Calling { next, .. } if !self.reliable => self.until.min(*next),
            State::Proceeding { next } if !self.reliable && !self.is_invite() => self.until.min(*next),
            State::Calling { .. } | State::Proceeding { .. } | State::Completed { .. } => self.until,
        }
    }

    /// What is due now.
    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        let (invite, reliable, until) = (self.is_invite(), self.reliable, self.until);
        match &mut self.state {
            State::Completed { .. } if now >= until => Due::Finished,
            State::Completed { .. } => Due::Nothing,
            // Timers B, C and F.
            State::Calling { .. } | State::Proceeding { .. } if now >= until => {
                self.state = State::Completed { ack: None };
                Due::TimedOut
            }
            // Timers A and E.
            State::Calling { next, interval } if !reliable && now >= *next => {
                *interval = if invite { *interval * 2 } else { (*interval * 2).min(T2) };
                *next = now + *interval;
                Due::Resend
            }
            State::Proceeding { next } if !invite && !reliable && now >= *next => {
                *next = now + T2;
                Due::Resend
            }
            State::Calling { .. } | State::Proceeding { .. } => Due::Nothing,
        }
    }

    /// Takes the status of a response; true when its owner should see it, false for a retransmission.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> bool {
        match &self.state {
            State::Calling { .. } | State::Proceeding { .. } if status < 200 => {
                self.state = State::Proceeding { next: now + T2 };
                if self.is_invite() {
                    self.until = now + RINGING;
                }
                true
            }
            State::Calling { .. } | State::Proceeding { .. } => {
                self.state = State::Completed { ack: None };
                self.until = now + LINGER;
                true
            }
            // Each 2xx to an INVITE is the owner's to acknowledge (RFC 6026 section 7.2).
            State::Completed { .. } => self.is_invite() && (200..300).contains(&status),
        }
    }

    /// Whether a provisional response came: from then on a CANCEL may go out (RFC 3261 section 9.1).
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Keeps the ACK of a refused INVITE.
    pub fn keep_ack(&mut self, ack: Vec<u8>) {
        self.state = State::Completed { ack: Some(ack) };
    }

    /// The ACK to send again when the refusal comes again.
    pub fn ack(&self) -> Option<&[u8]> {
        match &self.state {
            State::Completed { ack } => ack.as_deref(),
            State::Calling { .. } | State::Proceeding { .. } => None,
        }
    }

    /// Gives up waiting at this moment at the latest, as after a CANCEL.
    pub fn shorten(&mut self, until: Instant) {
        self.until = self.until.min(until);
    }
}

/// Something that is sent again and again until it is acknowledged: a final response to an INVITE.
#[derive(Debug)]
pub struct Resend {
    pub bytes: Vec<u8>,
    pub to: SocketAddr,
    next: Instant,
    interval: Duration,
    until: Instant,
    reliable: bool,
}

impl Resend {
    /// Something that was just sent; a 2xx is resent over TCP too (RFC 3261 section 13.3.1.4).
    pub fn new(now: Instant, bytes: Vec<u8>, to: SocketAddr, reliable: bool) -> Self {
        Resend { bytes, to, next: now + T1, interval: T1, until: now + LINGER, reliable }
    }

    /// When to ask [`Resend::handle_timeout`].
    pub fn poll_timeout(&self) -> Instant {
        if self.reliable { self.until } else { self.next.min(self.until) }
    }

    /// What is due now.
    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        if now >= self.until {
            return Due::TimedOut;
        }
        if self.reliable || now < self.next {
            return Due::Nothing;
        }
        self.interval = (self.interval * 2).min(T2);
        self.next = now + self.interval;
        Due::Resend
    }
}

/// One request of the peer: what it was answered last.
#[derive(Debug)]
pub struct Server {
    /// The session that an INVITE belongs to.
    pub session: Option<u64>,
    pub last: Option<Vec<u8>>,
    pub to: SocketAddr,
    /// A refusal of an INVITE that waits for its ACK.
    pub refusal: Option<Resend>,
    pub until: Instant,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // Tests hold the clock.
    use super::super::message::request;
    use super::*;

    fn client(now: Instant, method: Method) -> Client<()> {
        let request = request(method, "sip:a@127.0.0.1", vec![], String::new()).unwrap();
        Client::new(now, request, "127.0.0.1:9".parse().unwrap(), (), false)
    }

    fn resends(client: &mut Client<()>, start: Instant) -> (Vec<u128>, u128) {
        let mut times = Vec::new();
        loop {
            let now = client.poll_timeout();
            match client.handle_timeout(now) {
                Due::Resend => times.push((now - start).as_millis()),
                Due::TimedOut => return (times, (now - start).as_millis()),
                Due::Nothing | Due::Finished => panic!("asked too early"),
            }
        }
    }

    #[test]
    fn an_invite_is_resent_doubling_for_32_s() {
        let start = Instant::now();
        let (times, end) = resends(&mut client(start, Method::Invite), start);
        assert_eq!((times, end), (vec![500, 1500, 3500, 7500, 15500, 31500], 32_000));
    }

    #[test]
    fn another_request_is_resent_at_most_every_4_s() {
        let start = Instant::now();
        let (times, end) = resends(&mut client(start, Method::Bye), start);
        assert_eq!(times[..5], [500, 1500, 3500, 7500, 11500]);
        assert_eq!(end, 32_000);
    }

    #[test]
    fn a_ringing_invite_is_not_resent_and_ends_once() {
        let start = Instant::now();
        let mut client = client(start, Method::Invite);
        assert!(client.handle_response(start, 180) && client.is_proceeding());
        assert_eq!(client.poll_timeout(), start + RINGING);
        assert!(client.handle_response(start, 486));
        assert!(!client.handle_response(start, 486));
        client.keep_ack(b"ACK".to_vec());
        assert_eq!(client.ack(), Some(&b"ACK"[..]));
        assert_eq!(client.handle_timeout(start + LINGER), Due::Finished);
    }
}
