//! What the engine knows of one leg: where it sends and listens, what came, what is due.

use super::{
    line::Line,
    words::{Codec, LearnPolicy, LegParams, LegStats, PlayId, Side, Source},
};
use crate::{
    ids::{CallId, LegId},
    media::{
        dtmf,
        jitter::Jitter,
        player::Player,
        rtp::{Header, timestamp_distance},
    },
};
use std::{net::SocketAddr, time::Duration};

/// The longest frame that we send: 60 ms.
pub(super) const LONGEST_FRAME: usize = 480;

/// What plays.
#[derive(Debug)]
pub(super) struct Playing {
    pub(super) id: PlayId,
    /// Tells one `Play` from the next on the outgoing line.
    pub(super) serial: u64,
    pub(super) player: Player,
}

/// What a leg needs in a room and nowhere else.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) jitter: Jitter,
    /// Mixed and encoded, until it fills a packet of the leg's packet time.
    pub(super) waiting: Vec<u8>,
}

/// Marks the legs of a recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded {
    pub(super) recording: u32,
    pub(super) side: Side,
}

/// A leg, handed from engine to engine when its call moves to another thread.
#[derive(Debug)]
pub struct Leg {
    pub(super) id: LegId,
    pub(super) call: CallId,
    pub(super) slot: u32,
    pub(super) learn: LearnPolicy,
    pub(super) params: Option<LegParams>,
    /// The source that was learned, or found to be the negotiated one.
    pub(super) locked: Option<SocketAddr>,
    /// The last negotiated address, also while on hold without one.
    negotiated: Option<SocketAddr>,
    rtcp_seen: Option<SocketAddr>,
    /// Where audio is sent now; None while nothing may be sent.
    pub(super) destination: Option<SocketAddr>,
    pub(super) source: Source,
    /// Legs that hear this one.
    pub(super) listeners: Vec<u32>,
    pub(super) room: Option<u32>,
    pub(super) member: Option<Box<Member>>,
    pub(super) play: Option<Playing>,
    pub(super) play_due: Option<u64>,
    pub(super) digits: dtmf::Sender,
    pub(super) digit_due: Option<u64>,
    pub(super) keys: dtmf::Receiver,
    pub(super) key_limit: dtmf::Limit,
    pub(super) forward_digits: bool,
    pub(super) line: Line,
    pub(super) recorded: Option<Recorded>,
    pub(super) heard_at: u64,
    pub(super) told_silent: bool,
    pub(super) silent_due: u64,
    pub(super) report_due: u64,
    pub(super) chore_due: u64,
    pub(super) sent_at_report: u64,
    pub(super) reception: Reception,
    pub(super) stats: LegStats,
    /// The middle 32 bits of the peer's last SR, and when it came.
    pub(super) last_sr: Option<(u32, u64)>,
}

impl Leg {
    pub(super) fn new(id: LegId, call: CallId, learn: LearnPolicy, line: Line, at: u64) -> Self {
        Leg {
            id,
            call,
            slot: 0,
            learn,
            params: None,
            locked: None,
            negotiated: None,
            rtcp_seen: None,
            destination: None,
            source: Source::Nothing,
            listeners: Vec::new(),
            room: None,
            member: None,
            play: None,
            play_due: None,
            digits: dtmf::Sender::default(),
            digit_due: None,
            keys: dtmf::Receiver::default(),
            key_limit: dtmf::Limit::default(),
            forward_digits: false,
            line,
            recorded: None,
            heard_at: at,
            told_silent: false,
            silent_due: 0,
            report_due: 0,
            chore_due: 0,
            sent_at_report: 0,
            reception: Reception::default(),
            stats: LegStats::default(),
            last_sr: None,
        }
    }

    /// The leg's identifier.
    pub fn id(&self) -> LegId {
        self.id
    }

    /// Takes an offer/answer's result. True when the source has to be learned anew.
    pub(super) fn set_params(&mut self, params: LegParams, at: u64) -> bool {
        let listened = self.expects_packets();
        if self.params.is_none() || (params.receive && params.remote.is_some() && !listened) {
            // Silence counts from the moment that something may come.
            self.heard_at = at;
        }
        let mut learn_again = false;
        if params.remote.is_some() && params.remote != self.negotiated {
            self.negotiated = params.remote;
            learn_again = self.locked.take().is_some();
            self.rtcp_seen = None;
        }
        self.params = Some(params);
        self.set_destination();
        learn_again
    }

    fn set_destination(&mut self) {
        self.destination =
            self.params.as_ref().filter(|p| p.send).and_then(|p| p.remote.map(|remote| self.locked.unwrap_or(remote)));
    }

    /// Whether a packet's source is this leg's. `Some(true)`: it is from now on.
    pub(super) fn accept(&mut self, source: SocketAddr) -> Option<bool> {
        if let Some(locked) = self.locked {
            return (locked == source).then_some(false);
        }
        let remote = self.negotiated?;
        let allowed = source == remote
            || match &self.learn {
                LearnPolicy::Never => false,
                LearnPolicy::SameHost => source.ip() == remote.ip(),
                LearnPolicy::AllowedNets(nets) => nets.iter().any(|net| net.contains(source.ip())),
            };
        if !allowed {
            return None;
        }
        self.locked = Some(source);
        self.set_destination();
        Some(true)
    }

    /// Where RTCP is sent to. The address of packets that came counts more than the negotiated one.
    pub(super) fn rtcp_destination(&self) -> Option<SocketAddr> {
        let negotiated = self.params.as_ref()?.remote_rtcp?;
        if self.is_muxed() {
            return self.locked.or(Some(negotiated));
        }
        self.rtcp_seen.or(Some(negotiated))
    }

    /// Whether RTCP goes over the RTP port (RFC 5761).
    pub(super) fn is_muxed(&self) -> bool {
        self.params.as_ref().is_some_and(|p| p.remote_rtcp.is_some() && p.remote_rtcp == p.remote)
    }

    /// Whether RTCP from there is this leg's: from the host that its RTP goes to, or the negotiated address.
    pub(super) fn accept_rtcp(&mut self, source: SocketAddr) -> bool {
        let Some(params) = &self.params else { return false };
        if let Some(seen) = self.rtcp_seen {
            return seen == source;
        }
        let host = self.locked.or(self.negotiated).map(|a| a.ip());
        let ours = params.remote_rtcp == Some(source) || host == Some(source.ip());
        if ours {
            self.rtcp_seen = Some(source);
        }
        ours
    }

    /// Whether the peer should send at all.
    pub(super) fn expects_packets(&self) -> bool {
        self.params.as_ref().is_some_and(|p| p.receive && p.remote.is_some())
    }

    /// What a payload type means in this direction.
    pub(super) fn classify(&self, payload_type: u8) -> Kind {
        let Some(p) = &self.params else { return Kind::Unknown };
        match payload_type {
            t if t == p.receive_pt => Kind::Audio(p.codec),
            t if Some(t) == p.receive_dtmf => Kind::Digit,
            // Peers that answer with the other law of G.711 without asking: both are static.
            8 => Kind::Audio(Codec::Pcma),
            0 => Kind::Audio(Codec::Pcmu),
            // Comfort noise (RFC 3389), and its number from before that.
            13 | 19 => Kind::ComfortNoise,
            _ => Kind::Unknown,
        }
    }
}

/// What a packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Audio(Codec),
    Digit,
    ComfortNoise,
    Unknown,
}

/// What came in: RFC 3550 appendix A.1, A.3 and A.8. A new SSRC starts anew and keeps the sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reception {
    pub(super) ssrc: Option<u32>,
    base: u32,
    /// Highest sequence number with its cycles above the 16 bits.
    highest: u32,
    received: u32,
    expected_before: u32,
    received_before: u32,
    transit: u32,
    /// Sixteen times the jitter in samples.
    jitter: u32,
    lost_before: u64,
}

impl Reception {
    pub(super) fn packet(&mut self, header: &Header, at: u64) {
        let arrival = (at / 125) as u32;
        let transit = arrival.wrapping_sub(header.timestamp);
        if self.ssrc != Some(header.ssrc) {
            self.start(header, transit);
            return;
        }
        let step = header.sequence.wrapping_sub(self.highest as u16);
        if step < 3000 {
            self.highest = self.highest.wrapping_add(u32::from(step));
        } else if step < u16::MAX - 1000 {
            // A jump: the peer has begun anew.
            self.start(header, transit);
            return;
        }
        self.received = self.received.wrapping_add(1);
        let difference = timestamp_distance(transit, self.transit).unsigned_abs().min(80_000);
        self.transit = transit;
        self.jitter = (self.jitter + difference) - (self.jitter + 8) / 16;
    }

    fn start(&mut self, header: &Header, transit: u32) {
        let lost_before = self.lost();
        *self = Reception {
            ssrc: Some(header.ssrc),
            base: u32::from(header.sequence),
            highest: u32::from(header.sequence),
            received: 1,
            transit,
            lost_before,
            ..Reception::default()
        };
    }

    fn expected(&self) -> u32 {
        if self.ssrc.is_some() { self.highest.wrapping_sub(self.base).wrapping_add(1) } else { 0 }
    }

    /// Packets that never came.
    pub(super) fn lost(&self) -> u64 {
        self.lost_before + u64::from(self.expected().saturating_sub(self.received))
    }

    pub(super) fn jitter_time(&self) -> Duration {
        Duration::from_micros(u64::from(self.jitter / 16) * 125)
    }

    /// The report block on this source, and the start of the next interval.
    pub(super) fn report(&mut self, last_sr: Option<(u32, u64)>, at: u64) -> Option<crate::media::rtcp::ReportBlock> {
        let ssrc = self.ssrc?;
        let expected = self.expected().wrapping_sub(self.expected_before);
        let received = self.received.wrapping_sub(self.received_before);
        (self.expected_before, self.received_before) = (self.expected(), self.received);
        let lost = u64::from(expected.saturating_sub(received));
        let fraction = (lost << 8).checked_div(u64::from(expected)).unwrap_or(0);
        Some(crate::media::rtcp::ReportBlock {
            ssrc,
            fraction_lost: fraction.min(255) as u8,
            lost: i64::from(self.expected()).saturating_sub(i64::from(self.received)) as i32,
            highest_sequence: self.highest,
            jitter: self.jitter / 16,
            last_sr: last_sr.map_or(0, |(ntp, _)| ntp),
            delay_since_sr: last_sr.map_or(0, |(_, came)| (at.saturating_sub(came) * 65_536 / 1_000_000) as u32),
        })
    }
}
