//! The four transaction machines (RFC 3261 section 17, as amended by RFC 6026), one file each.
//!
//! A machine knows nothing of headers, addresses or sockets. It is told what kind of message came, it holds the
//! bytes that it may have to send again, and it says what to send and what to tell its user. Finding the machine
//! that a message belongs to is the matter of [`key`]; building ACK and CANCEL out of an INVITE, of [`mod@derive`].
//!
//! The shape of each machine, which every protocol machine of the house shares:
//!
//! - `State`: one variant a state of the RFC, by its name, holding just what that state needs;
//! - `handle_input(now, Input)`: one branch a state, the RFC's rule beside it;
//! - `poll_output()`: what to do, until `None`; to be drained after each call;
//! - `poll_timeout()`: when to call `handle_timeout(now)` next, and which of the RFC's timers that is.

pub mod derive;
pub mod invite_client;
pub mod invite_server;
pub mod key;
pub mod non_invite_client;
pub mod non_invite_server;

use std::time::{Duration, Instant};

/// The three base intervals (RFC 3261 section 17.1.1.1), in milliseconds: every copy of them is kept small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// The estimate of a round trip.
    pub t1_ms: u32,
    /// The longest interval between retransmissions of a non-INVITE request and of a response to INVITE.
    pub t2_ms: u32,
    /// How long a message stays in the network.
    pub t4_ms: u32,
}

impl Default for Timers {
    /// The values of the RFC: 500 ms, 4 s, 5 s.
    fn default() -> Self {
        Timers { t1_ms: 500, t2_ms: 4_000, t4_ms: 5_000 }
    }
}

impl Timers {
    /// T1.
    pub fn t1(&self) -> Duration {
        Duration::from_millis(self.t1_ms.into())
    }

    /// T2.
    pub fn t2(&self) -> Duration {
        Duration::from_millis(self.t2_ms.into())
    }

    /// T4.
    pub fn t4(&self) -> Duration {
        Duration::from_millis(self.t4_ms.into())
    }

    /// 64·T1: how long a transaction tries, and how long one lingers.
    pub fn t1x64(&self) -> Duration {
        64 * self.t1()
    }
}

/// Whether the transport repeats what was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// TCP, TLS and WebSocket: no retransmission, no lingering for repeated messages.
    Reliable,
    /// UDP.
    Unreliable,
}

/// One pending retransmission: when, and the interval that led there.
#[derive(Clone, Copy, Debug)]
struct Retransmit {
    at: Instant,
    interval: Duration,
}

impl Retransmit {
    /// The first one, due after `interval`.
    fn first(now: Instant, interval: Duration) -> Self {
        Retransmit { at: now + interval, interval }
    }

    /// The one after this: twice the interval, up to `limit`.
    fn next(self, now: Instant, limit: Duration) -> Self {
        Retransmit::first(now, (self.interval * 2).min(limit))
    }
}

/// The outputs of one input: never more than `N`, so they need no heap.
#[derive(Debug)]
struct Outbox<T, const N: usize>([Option<T>; N]);

impl<T, const N: usize> Outbox<T, N> {
    fn new() -> Self {
        Outbox([const { None }; N])
    }

    /// Adds one; where the user did not drain the box, the oldest gives way.
    fn push(&mut self, item: T) {
        if self.0.iter().all(Option::is_some) {
            self.pop();
        }
        if let Some(free) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(item);
        }
    }

    fn pop(&mut self) -> Option<T> {
        let first = self.0.first_mut()?.take();
        self.0.rotate_left(1);
        first
    }
}

/// The earlier of two deadlines, the first where they are equal.
fn earlier<R>(a: Option<(Instant, R)>, b: (Instant, R)) -> Option<(Instant, R)> {
    match a {
        Some(a) if a.0 <= b.0 => Some(a),
        _ => Some(b),
    }
}
