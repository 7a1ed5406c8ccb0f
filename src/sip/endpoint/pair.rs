//! Two endpoints that exchange bytes on a virtual clock, over a network with seeded loss, duplication and delay.
//!
//! Only the endpoint's public interface is used, and time passes only in [`Pair::step`].

#![allow(clippy::disallowed_methods)] // The virtual clock begins at some real moment.

use super::*;
use crate::clock::UnixMillis;
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// What the network does to a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Of a hundred, how many are lost.
    pub loss: u32,
    /// Of a hundred, how many come twice.
    pub duplicate: u32,
    /// The delay's bounds in milliseconds; what is delayed differently comes in another order.
    pub delay: (u64, u64),
}

impl Network {
    /// Nothing is lost, and everything takes a millisecond.
    pub const PERFECT: Network = Network { loss: 0, duplicate: 0, delay: (1, 1) };
}

/// One of the two endpoints.
pub struct Side {
    pub endpoint: Endpoint,
    pub address: SocketAddr,
    /// What it told its user, not yet looked at.
    pub events: VecDeque<Event>,
}

/// A datagram on its way: due, number, source, destination, bytes.
type Datagram = Reverse<(Instant, u64, SocketAddr, SocketAddr, Bytes)>;

/// Two endpoints and the network between them.
pub struct Pair {
    pub a: Side,
    pub b: Side,
    pub now: Now,
    pub network: Network,
    pub transport: Transport,
    /// Datagrams that it holds for are lost.
    pub lose: Box<dyn FnMut(&str) -> bool>,
    /// First lines of all that was sent, with the sender: `a: INVITE sip:…`.
    pub sent: Vec<String>,
    rng: StdRng,
    in_flight: BinaryHeap<Datagram>,
    number: u64,
}

impl Pair {
    /// A pair over `network`; everything that is random follows from `seed`.
    pub fn new(seed: u64, network: Network) -> Self {
        Self::with(seed, network, EndpointConfig::default(), EndpointConfig::default())
    }

    /// A pair of two configurations.
    pub fn with(seed: u64, network: Network, a: EndpointConfig, b: EndpointConfig) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut side = |n: u8, config| Side {
            endpoint: Endpoint::new(config, IdGen::new(n.into(), 1), rng.random()),
            address: SocketAddr::from(([192, 0, 2, n], 5060)),
            events: VecDeque::new(),
        };
        let (a, b) = (side(1, a), side(2, b));
        Pair {
            a,
            b,
            now: Now { mono: Instant::now(), wall: UnixMillis(0) },
            network,
            transport: Transport::Udp,
            lose: Box::new(|_| false),
            sent: Vec::new(),
            rng,
            in_flight: BinaryHeap::new(),
            number: 0,
        }
    }

    /// The flow from `a` to `b`.
    pub fn flow(&self) -> Flow {
        Flow { transport: self.transport, local: self.a.address, remote: self.b.address, connection: 0 }
    }

    /// Takes what both want to send and tell.
    pub fn drain(&mut self) {
        for (name, side) in [("a", &mut self.a), ("b", &mut self.b)] {
            while let Some(output) = side.endpoint.poll_output() {
                let (flow, bytes) = match output {
                    Output::Event(event) => {
                        side.events.push_back(event);
                        continue;
                    }
                    Output::Transmit { flow, bytes } => (flow, bytes),
                };
                assert_eq!(flow.local, side.address, "sent from another's address");
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.sent.push(format!("{name}: {}", text.lines().next().unwrap_or_default()));
                if (self.lose)(&text) || self.rng.random_range(0..100) < self.network.loss {
                    continue;
                }
                let copies = if self.rng.random_range(0..100) < self.network.duplicate { 2 } else { 1 };
                for _ in 0..copies {
                    let (least, most) = self.network.delay;
                    let due = self.now.mono + Duration::from_millis(self.rng.random_range(least..=most));
                    self.number += 1;
                    let datagram = (due, self.number, side.address, flow.remote, bytes.clone());
                    self.in_flight.push(Reverse(datagram));
                }
            }
        }
    }

    /// Goes on to the next thing that happens, if one happens by `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        self.drain();
        let packet = self.in_flight.peek().map(|Reverse((due, ..))| *due);
        let timers = [self.a.endpoint.poll_timeout(), self.b.endpoint.poll_timeout()];
        let next = timers.into_iter().flatten().chain(packet).min().filter(|next| *next <= until);
        let Some(next) = next else { return false };
        self.now = self.now.plus(next.saturating_duration_since(self.now.mono));
        if packet == Some(next) {
            if let Some(Reverse((_, _, from, to, bytes))) = self.in_flight.pop() {
                self.arrive(from, to, bytes);
            }
        } else {
            self.a.endpoint.handle_timeout(self.now);
            self.b.endpoint.handle_timeout(self.now);
        }
        self.drain();
        true
    }

    /// Gives a datagram to the side that has the address.
    pub fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let (now, transport) = (self.now, self.transport);
        for side in [&mut self.a, &mut self.b] {
            if side.address == to {
                let flow = Flow { transport, local: to, remote: from, connection: 0 };
                side.endpoint.handle_input(now, Input::Packet { flow, bytes: bytes.clone() });
            }
        }
    }

    /// Lets `time` pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now.mono + time;
        while self.step(until) {}
        self.now = self.now.plus(until.saturating_duration_since(self.now.mono));
    }

    /// Lets time pass until nothing is on its way and no timer is set.
    pub fn run_out(&mut self) {
        self.run(Duration::from_secs(600));
    }

    /// How many of the lines that were sent begin so.
    pub fn count(&self, begin: &str) -> usize {
        self.sent.iter().filter(|line| line.starts_with(begin)).count()
    }
}

impl Side {
    /// The events that `pick` takes, in order; the others are left.
    pub fn take<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        let (taken, left) = std::mem::take(&mut self.events)
            .into_iter()
            .map(|e| (pick(&e), e))
            .partition::<Vec<_>, _>(|(taken, _)| taken.is_some());
        self.events = left.into_iter().map(|(_, event)| event).collect();
        taken.into_iter().filter_map(|(taken, _)| taken).collect()
    }

    /// The legs of the calls that came.
    pub fn invites(&mut self) -> Vec<LegId> {
        self.take(|event| match event {
            Event::Invite { leg, .. } => Some(*leg),
            _ => None,
        })
    }

    /// What happened on a leg.
    pub fn leg(&mut self, wanted: LegId) -> Vec<LegEvent> {
        self.take(|event| match event {
            Event::Leg { leg, event } if *leg == wanted => Some(event.clone()),
            _ => None,
        })
    }
}
