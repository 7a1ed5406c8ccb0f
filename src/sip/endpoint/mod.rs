//! The endpoint: transport matching, transactions and dialogs in one machine (RFC 3261 sections 8, 9, 12 to 15,
//! 17 and 18).
//!
//! It does by itself what no user should have to think of: it refuses what is malformed, unknown or too much; it
//! repeats what was lost and absorbs what came twice; it keeps sessions in order and ends each of them exactly
//! once. Who may call, and what a call is for, is for its user to say.
//!
//! Not here: sockets, name resolution (a [`Flow`] is an address), authentication ([`super::auth`]), registrations
//! ([`super::registrar`]), and the reading of session descriptions, which pass through as bytes. Reliable
//! provisional responses (RFC 3262) and session timers (RFC 4028) are not offered.
//!
//! # Driving it
//!
//! After each call of [`Endpoint::handle_input`], [`Endpoint::handle_timeout`] or any command, drain
//! [`Endpoint::poll_output`]; then sleep until [`Endpoint::poll_timeout`]. Several endpoints share the traffic where
//! each message goes to the one that [`shard_of`] its Call-ID names.

mod access;
mod arena;
mod body;
mod build;
mod config;
mod connections;
mod counters;
mod in_dialog;
mod leg;
mod receive;
mod responses;
mod session;
mod transactions;
mod uac;
mod uas;
mod wheel;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;

pub use access::{Access, Rule};
pub use config::{EndpointConfig, EndpointLimits, HostPort};
pub use counters::{Classes, Counters, MethodCounts};
pub use uac::{OutgoingInvite, OutgoingRequest};

use crate::{
    clock::Now,
    ids::{IdGen, LegId},
    sip::message::{Method, Request, Response},
};
use bytes::Bytes;
use connections::Connections;
use leg::Leg;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{HashMap, VecDeque},
    hash::Hasher,
    net::SocketAddr,
    time::Instant,
};
use transactions::{Owner, Step, Transactions};
use wheel::Wheel;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams: what is lost, our transactions repeat.
    Udp,
    /// A byte stream in the clear, cut into messages by Content-Length.
    Tcp,
    /// TCP under TLS; what a `sips:` URI asks for.
    Tls,
    /// WebSocket in the clear (RFC 7118), one message a frame.
    Ws,
    /// WebSocket over TLS (RFC 7118): what browsers speak.
    Wss,
}

/// Where a message came from, or goes to: a datagram socket and an address, or one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Flow {
    /// How bytes travel on it.
    pub transport: Transport,
    /// Our socket's address, which also tells the profile.
    pub local: SocketAddr,
    /// The peer's address as our socket sees it: behind NAT, the outer one.
    pub remote: SocketAddr,
    /// The connection's number; 0 for UDP. A connection that is not open yet has number 0 and is opened by the shell.
    pub connection: u64,
}

/// Names one server transaction that waits for the user's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub u64);

/// What the endpoint is told by the shell.
#[derive(Clone, Debug)]
pub enum Input {
    /// One whole message: a datagram, or one that `message::Framer` cut from a stream.
    Packet {
        /// What it came by.
        flow: Flow,
        /// The message, start line to end of body.
        bytes: Bytes,
    },
    /// A connection closed, or a datagram could not be sent (RFC 3261 section 8.1.3.1, 17.1.4).
    FlowFailed {
        /// The one that can no longer be sent on.
        flow: Flow,
    },
}

/// What the endpoint wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// A message to be sent.
    Transmit {
        /// Where to; connection 0 with a stream transport means that one is to be opened.
        flow: Flow,
        /// The whole message.
        bytes: Bytes,
    },
    /// Something for the endpoint's user.
    Event(Event),
}

/// What the endpoint tells its user.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request outside any dialog that is not INVITE: answer it with `Endpoint::respond`.
    Request {
        /// What the answer is given to; it goes unanswered until then.
        transaction: TransactionId,
        /// What it came by.
        flow: Flow,
        /// The request, its topmost Via stamped with the source (RFC 3261 section 18.2.1).
        request: Box<Request>,
    },
    /// A new INVITE; 100 has been sent. The endpoint gave it a leg.
    Invite {
        /// The new leg, which all commands about the call name.
        leg: LegId,
        /// What it came by.
        flow: Flow,
        /// The INVITE, with the offer in its body if it holds one.
        request: Box<Request>,
    },
    /// The final answer to a request that was sent with `Endpoint::send`: None with 408 for silence and with 503 for
    /// a dead flow.
    Response {
        /// What `Endpoint::send` returned.
        transaction: TransactionId,
        /// 200–699.
        status: u16,
        /// The message; None where no peer sent one.
        response: Option<Box<Response>>,
    },
    /// Something happened on a leg.
    Leg {
        /// The leg on which it happened.
        leg: LegId,
        /// What happened.
        event: LegEvent,
    },
}

/// What happens on a leg. The variants marked *over* are the last of their leg.
#[derive(Clone, Debug)]
pub enum LegEvent {
    /// UAS: CANCEL before the final answer; 487 was sent. Over.
    Cancelled {
        /// The CANCEL, whose Reason may say why (RFC 3326).
        request: Box<Request>,
    },
    /// UAS: the ACK of our 2xx came; `sdp` when our 2xx held the offer.
    Confirmed {
        /// The peer's answer.
        sdp: Option<Bytes>,
    },
    /// UAS: no ACK in 64·T1; BYE was sent (RFC 3261 section 13.3.1.4). Over.
    NoAck,
    /// UAC: 101–199, of any early dialog; `to_tag` tells early dialogs apart.
    Progress {
        /// The provisional response.
        response: Box<Response>,
        /// Its session description: with one there may be early media.
        sdp: Option<Bytes>,
    },
    /// UAC: a 2xx; ACK was sent if the INVITE held the offer, else call `Endpoint::ack`.
    Answered {
        /// The 2xx.
        response: Box<Response>,
        /// Its session description, an answer or an offer as the INVITE had none.
        sdp: Option<Bytes>,
    },
    /// UAC: a final answer other than 2xx, or 408 for silence, 503 for a dead flow (`response` None). Over.
    Failed {
        /// 300–699.
        status: u16,
        /// The peer's final answer.
        response: Option<Box<Response>>,
    },
    /// The peer's re-INVITE or UPDATE: answer with `accept_offer` or `reject_offer`. `sdp` None: we must offer.
    Offer {
        /// What the answer is given to.
        transaction: TransactionId,
        /// INVITE or UPDATE.
        method: Method,
        /// The peer's offer.
        sdp: Option<Bytes>,
    },
    /// The peer's ACK to our 2xx to its re-INVITE, with an answer when we offered.
    OfferConfirmed {
        /// Its session description.
        sdp: Option<Bytes>,
    },
    /// Our re-INVITE or UPDATE was answered with 2xx.
    OfferAnswered {
        /// The session description of the 2xx: the peer's answer.
        sdp: Option<Bytes>,
    },
    /// Our re-INVITE was refused; the session stays as it was. (491 is retried inside, RFC 3261 section 14.1.)
    OfferFailed {
        /// The peer's, 300–699; 503 where the connection closed before it answered.
        status: u16,
    },
    /// Any other request inside the dialog (INFO, REFER, NOTIFY, MESSAGE…): answer with `Endpoint::respond`.
    Request {
        /// What the answer is given to.
        transaction: TransactionId,
        /// The request.
        request: Box<Request>,
    },
    /// The final answer to our INFO, OPTIONS, NOTIFY… inside the dialog. An OPTIONS is also sent where the connection
    /// of the dialog has closed, to see whether the peer is still there.
    Response {
        /// That of our request.
        method: Method,
        /// 200–699; 408 for silence, 503 where it could not be sent.
        status: u16,
        /// The message; None where no peer sent one.
        response: Option<Box<Response>>,
    },
    /// The peer's BYE; 200 was sent. Over.
    Ended {
        /// The BYE, whose Reason may say why (RFC 3326).
        request: Box<Request>,
    },
    /// Our BYE was answered or gave up. Over. (Also the end of a leg that we cancelled or rejected.)
    Gone,
    /// The peer is gone: a request inside the dialog was answered 481 or 408, or timed out (408), or there is no way
    /// to the peer any more (503), by its connection or by a new one. BYE was sent where there is a dialog. Over.
    Lost {
        /// What the peer said, or what stands for its silence: 408, 481 or 503.
        status: u16,
    },
}

/// Why a command was not carried out; nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such leg, or it is over.
    #[error("there is no such leg")]
    UnknownLeg,
    /// The leg is in a state in which this cannot be done.
    #[error("the leg's state does not allow this")]
    WrongState,
    /// The transaction was answered, was cancelled or took too long.
    #[error("there is no such transaction to answer")]
    UnknownTransaction,
    /// A leg of this id exists.
    #[error("the leg's id is taken")]
    LegTaken,
    /// A status outside the range that the command sends.
    #[error("the status does not fit the command")]
    BadStatus,
    /// There are too many legs or transactions.
    #[error("a limit is reached")]
    Overloaded,
}

/// Which of `shards` endpoints the messages of a Call-ID belong to; the same in every process.
pub fn shard_of(call_id: &[u8], shards: usize) -> usize {
    // FNV-1a with a last stir, since only the low part is used.
    let hash = call_id
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    ((hash ^ hash >> 32) % shards.max(1) as u64) as usize
}

/// What a timer is for.
#[derive(Clone, Copy)]
enum Timer {
    Transaction(u64),
    Leg(LegId),
}

/// One user agent: client and server, any number of sessions.
pub struct Endpoint {
    config: EndpointConfig,
    ids: IdGen,
    rng: StdRng,
    secret: u64,
    transactions: Transactions,
    legs: HashMap<LegId, Leg>,
    /// Legs by our tag.
    tags: HashMap<Bytes, LegId>,
    connections: Connections,
    wheel: Wheel<Timer>,
    fired: Vec<Timer>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Endpoint {
    /// An endpoint without legs. `seed` makes its tags, branches and Call-IDs: take it from the system's generator.
    pub fn new(config: EndpointConfig, ids: IdGen, seed: [u8; 32]) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let secret = rng.random();
        let secrets = [rng.random(), rng.random()];
        Endpoint {
            config,
            ids,
            rng,
            secret,
            transactions: Transactions::new(secrets),
            legs: HashMap::new(),
            tags: HashMap::new(),
            connections: Connections::default(),
            wheel: Wheel::new(),
            fired: Vec::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes what the shell received.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        match input {
            Input::Packet { flow, bytes } => self.receive(now.mono, flow, bytes),
            Input::FlowFailed { flow } => self.flow_failed(now.mono, flow),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.expire(now, &mut fired);
        for timer in fired.drain(..) {
            match timer {
                Timer::Transaction(id) => self.transaction_timeout(now, id),
                Timer::Leg(id) => self.leg_timeout(now, id),
            }
        }
        self.fired = fired;
    }

    /// From here on these are who may speak; what is under way goes on.
    pub fn set_access(&mut self, access: Access) {
        self.config.access = access;
    }

    /// What Via and Contact name at these local addresses, from the next message on; other addresses stay as they are.
    pub fn advertise(&mut self, advertised: HashMap<SocketAddr, HostPort>) {
        self.config.advertised.extend(advertised);
    }

    /// The totals so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many legs there are.
    pub fn leg_count(&self) -> usize {
        self.legs.len()
    }

    /// How many transactions there are, with those that linger.
    pub fn transaction_count(&self) -> usize {
        self.transactions.len()
    }

    fn transaction_timeout(&mut self, now: Instant, id: u64) {
        if !self.transactions.disarm(id, now) {
            return;
        }
        let before = self.counters.sent;
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.machine.handle_timeout(now);
        }
        self.run(now, id, None);
        self.counters.retransmitted += self.counters.sent - before;
    }

    /// Carries out what a machine wants after an input, sets its timer, and drops it where it has ended. `response`
    /// is what the input was made of.
    fn run(&mut self, now: Instant, id: u64, response: Option<Box<Response>>) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let mut told = None;
        while let Some(step) = transaction.machine.poll_output() {
            match step {
                Step::Transmit(bytes) => {
                    self.counters.sent += 1;
                    self.counters.responses_sent.add_sent(&bytes);
                    self.outputs.push_back(Output::Transmit { flow: transaction.flow, bytes });
                }
                Step::Deliver | Step::DeliverAck | Step::TimedOut | Step::TransportFailed => told = Some(step),
            }
        }
        let client = Self::is_client(&transaction.machine);
        let (owner, flow) = (transaction.owner.clone(), transaction.flow);
        if transaction.machine.is_terminated() {
            self.transactions.remove(id);
            if let Owner::Leg(leg, purpose) = &owner
                && !client
                && purpose.counts()
                && let Some(leg) = self.legs.get_mut(leg)
            {
                leg.served = leg.served.saturating_sub(1);
            }
        } else if let Some(at) = self.transactions.arm(id) {
            self.wheel.set(now, at, Timer::Transaction(id));
        }
        match (told, response) {
            (Some(Step::Deliver), Some(response)) => self.deliver(now, id, owner, response),
            (Some(Step::TimedOut | Step::TransportFailed), _) if !client => {}
            (Some(Step::TimedOut), _) => self.no_answer(now, id, owner, flow, 408),
            (Some(Step::TransportFailed), _) => self.no_answer(now, id, owner, flow, 503),
            (Some(Step::Deliver | Step::DeliverAck | Step::Transmit(_)) | None, _) => {}
        }
    }

    fn transmit(&mut self, flow: Flow, bytes: Bytes) {
        self.counters.sent += 1;
        self.counters.responses_sent.add_sent(&bytes);
        self.outputs.push_back(Output::Transmit { flow, bytes });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn leg_event(&mut self, leg: LegId, event: LegEvent) {
        self.event(Event::Leg { leg, event });
    }

    /// Sets a leg's timer for what is due next.
    fn arm_leg(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if let Some(at) = leg.next_timeout()
            && leg.armed.is_none_or(|armed| at < armed)
        {
            leg.armed = Some(at);
            self.wheel.set(now, at, Timer::Leg(id));
        }
    }

    fn leg_timeout(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.armed.is_none_or(|armed| armed > now) {
            return;
        }
        leg.armed = None;
        if leg.next_timeout().is_some_and(|at| at <= now) {
            self.leg_due(now, id);
        }
        self.arm_leg(now, id);
    }

    /// A tag that is unique in space and time (RFC 3261 section 19.3).
    fn new_tag(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>())
    }

    /// A tag for an answer that is not remembered: the same for each copy of the request.
    fn stateless_tag(&self, request: &Request) -> String {
        use std::hash::Hash;
        let mut hasher = std::hash::DefaultHasher::new();
        self.secret.hash(&mut hasher);
        request.headers.call_id().map(|id| &id[..]).unwrap_or_default().hash(&mut hasher);
        request.headers.get(&crate::sip::message::HeaderName::From).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
