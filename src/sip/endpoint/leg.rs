//! A leg: one session with a peer, from its INVITE to the end of its BYE.

use super::Flow;
use crate::sip::{
    dialog::Dialog,
    message::{Header, Request},
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A leg and its dialog.
pub(super) struct Leg {
    /// Of a leg that is calling: what the INVITE holds, without a tag of the peer.
    pub(super) dialog: Dialog,
    /// Our Contact.
    pub(super) contact: Bytes,
    pub(super) state: State,
    /// Requests inside the dialog that the user has not answered yet.
    pub(super) open: Vec<u64>,
    /// Server transactions of the dialog, with those that linger.
    pub(super) served: u16,
    /// Where the INVITE is answered since its connection closed.
    pub(super) reopened: Option<Box<Flow>>,
    /// For when the leg's timer is set.
    pub(super) armed: Option<Instant>,
}

/// Where a leg stands.
pub(super) enum State {
    /// UAS: the INVITE waits for the user's final answer.
    Incoming(Incoming),
    /// UAS: our 2xx waits for its ACK (RFC 3261 section 13.3.1.4).
    Answered(Answered),
    /// UAC: the INVITE waits for a final answer.
    Calling(Calling),
    /// UAC: a 2xx brought an offer, which the user has not answered yet (section 13.2.2.4).
    Unacknowledged(Unacknowledged),
    /// Both sides have confirmed the session.
    Established(Session),
    /// Our BYE waits for its answer (section 15.1.1).
    Terminating,
}

pub(super) struct Incoming {
    pub(super) transaction: u64,
    pub(super) request: Box<Request>,
    /// The latest of 101–199, repeated each minute so that proxies go on waiting (section 13.3.1.1).
    pub(super) progress: Option<(Instant, Bytes)>,
}

pub(super) struct Answered {
    pub(super) ok: RepeatedOk,
    /// The user has hung up: BYE goes out once the ACK is in (section 15).
    pub(super) hang_up: Option<Vec<Header>>,
}

/// A 2xx to an INVITE, sent again until its ACK comes (section 13.3.1.4).
pub(super) struct RepeatedOk {
    pub(super) transaction: u64,
    pub(super) cseq: u32,
    pub(super) bytes: Bytes,
    pub(super) at: Instant,
    pub(super) interval: Duration,
    pub(super) give_up: Instant,
}

impl RepeatedOk {
    pub(super) fn next_timeout(&self) -> Instant {
        self.at.min(self.give_up)
    }
}

pub(super) struct Calling {
    pub(super) transaction: u64,
    pub(super) early: Vec<Dialog>,
    pub(super) cancel: Cancel,
    /// Whether the INVITE held an offer.
    pub(super) offered: bool,
}

/// How far giving up has come (section 9.1).
pub(super) enum Cancel {
    /// The call is wanted.
    No,
    /// The user has hung up; CANCEL has to wait for a provisional response.
    Wanted(Vec<Header>),
    /// CANCEL was sent.
    Sent,
}

pub(super) struct Unacknowledged {
    pub(super) transaction: u64,
    pub(super) cseq: u32,
}

/// An established session and what is being negotiated in it.
pub(super) struct Session {
    pub(super) negotiation: Negotiation,
    /// The user's latest offer, while another negotiation is under way.
    pub(super) queued: Option<Bytes>,
    /// When to ask whether the peer is there: its connection has closed.
    pub(super) probe: Option<Instant>,
}

impl Session {
    pub(super) fn new() -> Self {
        Session { negotiation: Negotiation::Idle, queued: None, probe: None }
    }
}

/// One offer at a time (section 14).
pub(super) enum Negotiation {
    Idle,
    /// Our re-INVITE waits for its final answer.
    Offering {
        transaction: u64,
        sdp: Bytes,
        attempts: u8,
    },
    /// Our re-INVITE crossed the peer's; it is tried again at `at` (section 14.1).
    Glare {
        at: Instant,
        sdp: Bytes,
        attempts: u8,
    },
    /// The peer's re-INVITE or UPDATE waits for the user's answer.
    Answering {
        transaction: u64,
    },
    /// Our 2xx to the peer's re-INVITE waits for its ACK.
    Unconfirmed(RepeatedOk),
}

impl State {
    /// The state's name, for tests and traces.
    #[cfg(test)]
    pub(super) fn name(&self) -> &'static str {
        match self {
            State::Incoming(_) => "incoming",
            State::Answered(_) => "answered",
            State::Calling(_) => "calling",
            State::Unacknowledged(_) => "unacknowledged",
            State::Established(_) => "established",
            State::Terminating => "terminating",
        }
    }
}

impl Leg {
    pub(super) fn new(dialog: Dialog, contact: Bytes, state: State) -> Self {
        Leg { dialog, contact, state, open: Vec::new(), served: 0, reopened: None, armed: None }
    }

    /// When something is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Incoming(incoming) => incoming.progress.as_ref().map(|(at, _)| *at),
            State::Answered(answered) => Some(answered.ok.next_timeout()),
            State::Established(session) => {
                let negotiation = match &session.negotiation {
                    Negotiation::Glare { at, .. } => Some(*at),
                    Negotiation::Unconfirmed(ok) => Some(ok.next_timeout()),
                    Negotiation::Idle | Negotiation::Offering { .. } | Negotiation::Answering { .. } => None,
                };
                [negotiation, session.probe].into_iter().flatten().min()
            }
            State::Calling(_) | State::Unacknowledged(_) | State::Terminating => None,
        }
    }

    /// Where requests to the peer go.
    pub(super) fn next_hop(&self) -> Flow {
        self.dialog.next_hop()
    }
}
