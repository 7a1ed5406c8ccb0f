//! One party of a call: its dialog, its media and what it hears.

use crate::{
    call::{
        cdr::{Ending, LegRecord, LegStateName, Role},
        message::DialTarget,
    },
    clock::UnixMillis,
    ids::{LegId, OfferId},
    media::{engine as media, sdp},
};
use std::time::Duration;

/// Where a leg is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// Sockets are being opened, or an inbound leg waits for our answer.
    Opening,
    /// Our INVITE is out.
    Dialling,
    /// 180 or 183 came.
    Ringing,
    /// Inbound: 200 is out and the ACK awaited.
    Answering,
    /// The dialog is confirmed.
    Up,
    /// We asked for its end.
    Ending,
    /// Its dialog is over and its sockets are closed.
    Over,
}

/// What a leg hears when nothing is announced to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// Silence.
    Nothing,
    /// The queue's music, or that of those on hold.
    Music,
    /// The ring-back tone, while another party is rung.
    RingBack,
    /// What one other party says.
    Leg(LegId),
    /// What all others in this room say.
    Room(u64),
}

/// One leg.
#[derive(Debug)]
pub struct Leg {
    /// The endpoint's and the engine's name for it, too.
    pub id: LegId,
    /// What the party is in the call.
    pub role: Role,
    /// Where it is in its life.
    pub state: LegState,
    /// Its side of offer and answer; None until its media is open.
    pub sdp: Option<sdp::Session>,
    /// The negotiated media, once there is some.
    pub params: Option<media::LegParams>,
    /// Whom to ring once its media is open.
    pub dial: Option<DialTarget>,
    /// The ACD's offer that rings this leg.
    pub offer: Option<(OfferId, u64)>,
    /// What it hears now; None: nothing was said to the engine yet.
    pub hears: Option<Hears>,
    /// What is announced to it at the moment.
    pub announcing: Option<media::PlayId>,
    /// How long that takes, until its deadline is set.
    pub announcing_for: Option<Duration>,
    /// Whether its party put us on hold by its own telephone.
    pub holds_us: bool,
    /// Whether early media of its own is heard (183 with SDP).
    pub early_media: bool,
    /// Whether we answered with an offer of ours and await the party's answer in the ACK.
    pub awaits_answer: bool,
    /// Whether the connection to it closed, and nothing has come over another one since.
    pub cut_off: bool,
    /// Whether it has sockets.
    pub media_open: bool,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it, or we, answered.
    pub answered_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// Its first cause; later ones do not change it.
    pub ending: Option<Ending>,
}

impl Leg {
    /// A leg that begins now.
    pub fn new(id: LegId, role: Role, at: UnixMillis) -> Self {
        Leg {
            id,
            role,
            state: LegState::Opening,
            sdp: None,
            params: None,
            dial: None,
            offer: None,
            hears: None,
            announcing: None,
            announcing_for: None,
            holds_us: false,
            early_media: false,
            awaits_answer: false,
            cut_off: false,
            media_open: false,
            started_at: at,
            answered_at: None,
            ended_at: None,
            ending: None,
        }
    }

    /// Whether its dialog is confirmed or about to be.
    pub fn is_up(&self) -> bool {
        match self.state {
            LegState::Up | LegState::Answering => true,
            LegState::Opening | LegState::Dialling | LegState::Ringing | LegState::Ending | LegState::Over => false,
        }
    }

    /// Whether nothing more is to come of it.
    pub fn is_ending(&self) -> bool {
        matches!(self.state, LegState::Ending | LegState::Over)
    }

    /// Closes its record with the first cause given.
    pub fn end(&mut self, at: UnixMillis, ending: Ending) {
        self.ending.get_or_insert(ending);
        self.ended_at.get_or_insert(at);
    }

    /// Its part of the record.
    pub fn record(&self) -> LegRecord {
        LegRecord {
            id: self.id,
            role: self.role.clone(),
            state: match self.state {
                LegState::Opening | LegState::Dialling => LegStateName::Dialling,
                LegState::Ringing => LegStateName::Ringing,
                LegState::Answering | LegState::Up => LegStateName::Answered,
                LegState::Ending | LegState::Over => LegStateName::Over,
            },
            started_at: self.started_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            ending: self.ending,
        }
    }
}
