//! One call inside the engine: its dialog (RFC 3261 section 12), its offer and answer (RFC 3264), its media.

use super::{
    G711,
    call::{Ending, Invitation, Phase, Side, Status},
    message,
    rtp::{self, DTMF, Route},
    sdp::{Description, Direction},
    transaction::{LINGER, Resend},
};
use rsip::{Headers, Request};
use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Instant};
use tokio::sync::watch;

/// What a policy does next with an incoming call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Ring,
    EarlyMedia,
    Answer,
    Refuse(u16),
    Redirect(String),
}

/// The INVITE that we were sent, until it has its final response; and a re-INVITE likewise.
#[derive(Debug)]
pub(super) struct Invited {
    pub request: Request,
    pub source: SocketAddr,
    /// The key of its server transaction.
    pub key: (String, String),
}

#[derive(Debug)]
pub(super) struct Session {
    pub id: u64,
    pub call_id: String,
    pub local_tag: String,
    pub remote_tag: Option<String>,
    /// From and To as we write them, without tags.
    pub local: String,
    pub remote: String,
    /// The peer's Contact.
    pub target: String,
    pub routes: Vec<String>,
    /// Where the peer's last message came from, for targets that lead nowhere.
    pub source: SocketAddr,
    pub cseq: u32,
    pub remote_cseq: u32,
    pub status: watch::Sender<Status>,
    pub media: Arc<rtp::Session>,
    pub invitation: Option<Arc<Invitation>>,
    sdp_session: u64,
    sdp_version: u64,
    /// Which way we would like audio to flow.
    pub direction: Direction,
    /// The branch of our INVITE that has no final response yet, and of a re-INVITE.
    pub inviting: Option<String>,
    /// Hang up as soon as the rules let us: a CANCEL may not overtake the first provisional response.
    pub cancel_wanted: bool,
    pub cancelled: bool,
    /// The ACK of our last 2xx, by sequence number.
    pub ack: Option<(u32, Vec<u8>, SocketAddr)>,
    pub invited: Option<Invited>,
    /// Our 2xx that waits for its ACK.
    pub ok: Option<Resend>,
    /// That 2xx carries our offer; the answer comes in the ACK.
    pub answer_in_ack: bool,
    pub steps: VecDeque<(Instant, Step)>,
    pub silent: bool,
    pub forget_at: Option<Instant>,
}

impl Session {
    pub fn new(id: u64, call_id: String, local_tag: String, media: rtp::Session, source: SocketAddr) -> Session {
        let fresh = Status {
            phase: Phase::Dialing,
            answered: false,
            provisional: 0,
            early_media: false,
            held: false,
            offers: 0,
        };
        Session {
            id,
            call_id,
            local_tag,
            remote_tag: None,
            local: String::new(),
            remote: String::new(),
            target: String::new(),
            routes: Vec::new(),
            source,
            cseq: 0,
            remote_cseq: 0,
            status: watch::Sender::new(fresh),
            media: Arc::new(media),
            invitation: None,
            sdp_session: u64::from(rand::random::<u32>()),
            sdp_version: 0,
            direction: Direction::SendRecv,
            inviting: None,
            cancel_wanted: false,
            cancelled: false,
            ack: None,
            invited: None,
            ok: None,
            answer_in_ack: false,
            steps: VecDeque::new(),
            silent: false,
            forget_at: None,
        }
    }

    pub fn phase(&self) -> Phase {
        self.status.borrow().phase.clone()
    }

    pub fn is_answered(&self) -> bool {
        self.status.borrow().phase == Phase::Answered
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.status.borrow().phase, Phase::Ended(_))
    }

    pub fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    /// Ends once; the dialog is remembered a while for stray messages.
    pub fn end(&mut self, now: Instant, by: Side, status: u16, reason: &str) {
        if self.is_ended() {
            return;
        }
        self.media.close();
        self.steps.clear();
        self.ok = None;
        self.forget_at = Some(now + LINGER);
        let reason = reason.to_owned();
        self.change(|s| s.phase = Phase::Ended(Ending { by, status, reason }));
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let steps = self.steps.front().map(|(at, _)| *at);
        let ok = self.ok.as_ref().map(Resend::poll_timeout);
        steps.into_iter().chain(ok).chain(self.forget_at).min()
    }

    /// From with our tag.
    pub fn local_value(&self) -> String {
        format!("{};tag={}", self.local, self.local_tag)
    }

    /// To, with the peer's tag once it is known.
    pub fn remote_value(&self) -> String {
        match &self.remote_tag {
            Some(tag) => format!("{};tag={tag}", self.remote),
            None => self.remote.clone(),
        }
    }

    /// Where requests inside the dialog go: the first route, else the target, else where the peer was last seen.
    pub fn destination(&self) -> SocketAddr {
        let first = self.routes.first().map_or(self.target.as_str(), |route| message::uri_of(route));
        message::address_of(first).unwrap_or(self.source)
    }

    /// Learns target and, from a response, the route set in reverse (RFC 3261 section 12.1.2).
    pub fn learn(&mut self, headers: &Headers, reversed: bool) {
        if let Some(contact) = message::listed(headers, "Contact").first() {
            self.target = message::uri_of(contact).to_owned();
        }
        self.routes = message::listed(headers, "Record-Route");
        if reversed {
            self.routes.reverse();
        }
    }

    /// Our next offer.
    pub fn offer(&mut self, codecs: &[G711]) -> String {
        let rtp = self.media.local();
        self.describe(Description { rtp, codecs: codecs.to_vec(), dtmf: Some(DTMF), direction: self.direction })
    }

    fn describe(&mut self, description: Description) -> String {
        self.sdp_version += 1;
        description.write(self.sdp_session, self.sdp_version)
    }

    /// Answers an offer and takes it into use; None when it has nothing that we speak.
    pub fn answer(&mut self, offer: &Description) -> Option<String> {
        let codec = *offer.codecs.first()?;
        let offered = match (offer.rtp.ip().is_unspecified(), offer.direction) {
            // The old form of hold (RFC 3264 section 8.4).
            (true, Direction::SendRecv) => Direction::SendOnly,
            (_, direction) => direction,
        };
        let direction = offered.answer(self.direction);
        self.take_route(offer, codec, direction, offer.dtmf.unwrap_or(DTMF));
        let held = !offered.receives();
        self.change(|s| s.held = held);
        let rtp = self.media.local();
        Some(self.describe(Description { rtp, codecs: vec![codec], dtmf: offer.dtmf, direction }))
    }

    /// Takes the answer to our offer into use; false when it has nothing that we speak.
    pub fn answered_with(&mut self, answer: &Description) -> bool {
        let Some(codec) = answer.codecs.first() else { return false };
        let direction = answer.direction.answer(self.direction);
        self.take_route(answer, *codec, direction, DTMF);
        let held = !answer.direction.receives() && self.direction.sends();
        self.change(|s| s.held = held);
        true
    }

    fn take_route(&mut self, theirs: &Description, codec: G711, direction: Direction, receive_dtmf: u8) {
        let route = Route { remote: theirs.rtp, codec, send_dtmf: theirs.dtmf, receive_dtmf, direction };
        self.media.set_route(Some(route));
    }
}
