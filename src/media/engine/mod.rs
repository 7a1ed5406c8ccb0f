//! The media engine: all legs of the calls of one media thread, without sockets and without a clock.
//!
//! # Contract
//!
//! The shell gives commands to [`Engine::handle_command`], datagrams to [`Engine::handle_rtp`] and
//! [`Engine::handle_rtcp`], and calls [`Engine::tick`] when [`Engine::poll_timeout`] has come. Whatever leaves does
//! so through the [`Sink`] that is handed in, before the call returns. A leg is known by its *slot* where packets
//! are concerned: a small number that [`Engine::slot`] gives after `AddLeg`, and that is given out again later.
//!
//! A bridge forwards when a packet comes; only prompts, keys and mixes have a clock. No allocation for a packet
//! once a leg has its source. Legs hear legs of their own call alone; rooms are numbered within a call.
//!
//! Left out: other codecs than G.711, SRTP, and DTMF as tones.

mod leg;
mod line;
mod receive;
#[cfg(test)]
mod tests;
mod tick;
mod wheel;
mod wiring;
mod words;

pub use leg::Leg;
pub use words::*;

use crate::{
    clock::{Now, UnixMillis},
    ids::{CallId, LegId, RecordingId},
    media::{
        mixer::{FRAME, Mix},
        player::Player,
        rtcp, rtp,
    },
};
use leg::{LONGEST_FRAME, Playing, Recorded};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};
use wheel::{Due, Wheel};

/// Where everything goes that leaves the engine.
pub trait Sink {
    /// Sends a packet from the leg's RTP socket.
    fn send_rtp(&mut self, slot: usize, to: SocketAddr, packet: &[u8]);
    /// Sends a packet from the leg's RTCP socket.
    fn send_rtcp(&mut self, slot: usize, to: SocketAddr, packet: &[u8]);
    /// Tells a call something.
    fn event(&mut self, event: CallEvent);
    /// Hands audio to the writers; false when it was lost.
    fn record(&mut self, record: Record<'_>) -> bool;
    /// The leg takes packets from `peer` alone from now on, or (None) has to learn its source anew.
    fn locked(&mut self, _slot: usize, _peer: Option<SocketAddr>) {}
}

/// What the writers of recordings are given. `Start` and `Stop` must not be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A recording begins; frames of it follow.
    Start {
        /// The call that is recorded.
        call: CallId,
        /// The id by which frames and the end name it.
        recording: RecordingId,
        /// When it begins; frames are placed from here.
        wall: UnixMillis,
    },
    /// What a leg said.
    Frame {
        /// Which one it belongs to.
        recording: RecordingId,
        /// Who said it.
        leg: LegId,
        /// Where in the stereo picture that leg is.
        side: Side,
        /// What `payload` is.
        codec: Codec,
        /// When it came, in milliseconds since the start.
        at_ms: u32,
        /// Of its RTP packet: its place among the leg's frames.
        timestamp: u32,
        /// At most 480 octets.
        payload: &'a [u8],
    },
    /// A recording ends; the file is to be sealed.
    Stop {
        /// Which one.
        recording: RecordingId,
        /// From `Start` to now, pauses included.
        length: Duration,
        /// Frames were lost on the way to the writer.
        gap: bool,
    },
}

/// Why a command was not carried out. Races at a leg's end make them normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The leg was removed, never added, or is another call's.
    #[error("the call has no such leg")]
    NoLeg,
    /// The recording has ended, or it never began.
    #[error("the call has no such recording, or nothing is recorded here")]
    NoRecording,
    /// A leg or a recording of that id is here, and may not be added anew.
    #[error("it is there already")]
    Exists,
    /// A key that cannot be sent as an RFC 4733 event.
    #[error("not a key, no telephone-event agreed, or too many keys wait")]
    Digit,
}

/// Longest datagram that is looked at.
pub const LONGEST_PACKET: usize = 1500;

const REPORT_EVERY: u64 = 5_000_000;
const SILENT_AFTER: u64 = 5_000_000;
/// A key that is passed on is sent for this long: its real length is not known when it must go out.
const FORWARDED_KEY: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Room {
    call: CallId,
    number: u64,
    members: Vec<u32>,
    due: Option<u64>,
}

#[derive(Debug)]
struct Recording {
    id: RecordingId,
    call: CallId,
    start: u64,
    paused: bool,
    gap: bool,
}

/// What went by in one engine, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// RTP datagrams that came, whatever became of them.
    pub received: u64,
    /// RTP packets that went out: forwarded, played and mixed.
    pub sent: u64,
    /// Datagrams that were dropped because they came from elsewhere than the leg's peer.
    pub foreign: u64,
    /// Datagrams that are no RTP or RTCP, or of a payload type that was not agreed.
    pub malformed: u64,
    /// Frames that the writers' ring had no room for.
    pub unrecorded: u64,
    /// Keys that came faster than anybody presses them.
    pub keys_held_back: u64,
    /// Packets that never came, of the legs that are gone.
    pub lost: u64,
    /// Packets that came too late for a mix.
    pub late: u64,
    /// Commands that were not carried out.
    pub refused: u64,
}

/// See the module's documentation for how it is driven.
#[derive(Debug)]
pub struct Engine {
    epoch: Instant,
    rng: StdRng,
    legs: Vec<Option<Box<Leg>>>,
    free: Vec<u32>,
    by_id: HashMap<LegId, u32>,
    calls: HashMap<CallId, Vec<u32>>,
    rooms: Vec<Option<Room>>,
    recordings: Vec<Option<Recording>>,
    wheel: Wheel,
    chores: BinaryHeap<Reverse<(u64, u32)>>,
    plays: u64,
    spread: u64,
    packet: [u8; rtp::HEADER + LONGEST_FRAME],
    mix: Mix,
    frames: Vec<([i16; FRAME], bool)>,
    counters: Counters,
}

impl Engine {
    /// Engines that hand legs to one another must be given the same `epoch`.
    pub fn new(seed: u64, epoch: Instant) -> Self {
        Engine {
            epoch,
            rng: StdRng::seed_from_u64(seed),
            legs: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            calls: HashMap::new(),
            rooms: Vec::new(),
            recordings: Vec::new(),
            wheel: Wheel::new(),
            chores: BinaryHeap::new(),
            plays: 0,
            spread: 0,
            packet: [0; rtp::HEADER + LONGEST_FRAME],
            mix: Mix::default(),
            frames: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Sums over all legs since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The number by which packets of a leg are known.
    pub fn slot(&self, leg: LegId) -> Option<usize> {
        self.by_id.get(&leg).map(|slot| *slot as usize)
    }

    /// Legs that are here now.
    pub fn legs(&self) -> usize {
        self.by_id.len()
    }

    fn micros(&self, now: Now) -> u64 {
        now.mono.saturating_duration_since(self.epoch).as_micros() as u64
    }

    fn leg_slot(&self, call: CallId, leg: LegId) -> Result<u32, Refused> {
        let slot = *self.by_id.get(&leg).ok_or(Refused::NoLeg)?;
        match &self.legs[slot as usize] {
            Some(leg) if leg.call == call => Ok(slot),
            _ => Err(Refused::NoLeg),
        }
    }

    fn leg(&mut self, call: CallId, leg: LegId) -> Result<&mut Leg, Refused> {
        let slot = self.leg_slot(call, leg)?;
        self.legs[slot as usize].as_deref_mut().ok_or(Refused::NoLeg)
    }

    /// Carries out what a call asks for. Refused where what it names is not here any more; counted.
    pub fn handle_command(
        &mut self,
        now: Now,
        call: CallId,
        command: Command,
        out: &mut impl Sink,
    ) -> Result<(), Refused> {
        let result = self.carry_out(now, call, command, out);
        self.counters.refused += u64::from(result.is_err());
        result
    }

    fn carry_out(&mut self, now: Now, call: CallId, command: Command, out: &mut impl Sink) -> Result<(), Refused> {
        let at = self.micros(now);
        match command {
            Command::AddLeg { leg, learn } => self.add_leg(call, leg, learn, at)?,
            Command::SetParams { leg, params } => {
                let leg = self.leg(call, leg)?;
                if leg.set_params(params, at) {
                    out.locked(leg.slot as usize, None);
                }
            }
            Command::RemoveLeg { leg } => {
                let slot = self.leg_slot(call, leg)?;
                self.report(slot, now, true, out);
                if let Some(leg) = self.detach(slot) {
                    self.counters.lost += leg.reception.lost();
                    out.event(CallEvent { call, event: Event::Stats { leg: leg.id, stats: figures(&leg) } });
                }
                if !self.calls.contains_key(&call) {
                    self.stop_recordings_of(Some(call), at, out);
                }
            }
            Command::Hear { leg, source } => {
                self.leg(call, leg)?.source = source;
                self.connect(call, at);
            }
            Command::Play { leg, id, clips, repeat } => self.play(call, leg, id, Player::new(clips, repeat), at)?,
            Command::StopPlay { leg } => self.leg(call, leg)?.play = None,
            Command::SendDigit { leg, digit, length } => {
                let slot = self.leg_slot(call, leg)?;
                if !self.send_digit(slot, digit, length, at) {
                    return Err(Refused::Digit);
                }
            }
            Command::ForwardDigits { leg, on } => self.leg(call, leg)?.forward_digits = on,
            Command::AskStats { leg } => {
                let leg = self.leg(call, leg)?;
                out.event(CallEvent { call, event: Event::Stats { leg: leg.id, stats: figures(leg) } });
            }
            Command::StartRecording { recording } => self.start_recording(now, call, recording, out)?,
            Command::RecordLeg { recording, leg, side } => {
                let recording = self.recording(call, recording)?;
                self.leg(call, leg)?.recorded = Some(Recorded { recording, side });
            }
            Command::PauseRecording { recording, paused } => {
                let index = self.recording(call, recording)?;
                if let Some(recording) = &mut self.recordings[index as usize] {
                    recording.paused = paused;
                }
            }
            Command::StopRecording { recording } => {
                let index = self.recording(call, recording)?;
                self.stop_recording(index, at, out);
            }
        }
        Ok(())
    }

    /// Spreads what is generated over twenty slots of a millisecond.
    fn phase(&mut self) -> u64 {
        self.spread += 1;
        1 + self.spread % 20
    }

    fn play(&mut self, call: CallId, leg: LegId, id: PlayId, player: Player, at: u64) -> Result<(), Refused> {
        let delay = self.phase();
        self.plays += 1;
        let serial = self.plays;
        let slot = self.leg_slot(call, leg)?;
        if let Some(leg) = &mut self.legs[slot as usize] {
            leg.play = Some(Playing { id, serial, player });
            if leg.play_due.is_none() {
                leg.play_due = Some(self.wheel.schedule(at / 1000, Due::Play(slot), delay));
            }
        }
        Ok(())
    }

    fn send_digit(&mut self, slot: u32, digit: char, length: Duration, at: u64) -> bool {
        let Some(leg) = &mut self.legs[slot as usize] else { return false };
        if leg.params.as_ref().is_none_or(|p| p.send_dtmf.is_none()) || !leg.digits.push(digit, length) {
            return false;
        }
        if leg.digit_due.is_none() {
            leg.digit_due = Some(self.wheel.schedule(at / 1000, Due::Digit(slot), 1));
        }
        true
    }

    fn recording(&self, call: CallId, id: RecordingId) -> Result<u32, Refused> {
        self.recordings
            .iter()
            .position(|r| r.as_ref().is_some_and(|r| r.id == id && r.call == call))
            .map(|index| index as u32)
            .ok_or(Refused::NoRecording)
    }

    fn start_recording(&mut self, now: Now, call: CallId, id: RecordingId, out: &mut impl Sink) -> Result<(), Refused> {
        if self.recordings.iter().flatten().any(|r| r.id == id) {
            return Err(Refused::Exists);
        }
        let recording = Recording { id, call, start: self.micros(now), paused: false, gap: false };
        match self.recordings.iter_mut().find(|r| r.is_none()) {
            Some(place) => *place = Some(recording),
            None => self.recordings.push(Some(recording)),
        }
        if out.record(Record::Start { call, recording: id, wall: now.wall }) {
            return Ok(());
        }
        self.recordings.iter_mut().filter(|r| r.as_ref().is_some_and(|r| r.id == id)).for_each(|r| *r = None);
        Err(Refused::NoRecording)
    }

    fn stop_recording(&mut self, index: u32, at: u64, out: &mut impl Sink) {
        let Some(recording) = self.recordings[index as usize].take() else { return };
        for slot in self.calls.get(&recording.call).map_or(&[][..], |legs| legs) {
            if let Some(leg) = &mut self.legs[*slot as usize]
                && leg.recorded.is_some_and(|r| r.recording == index)
            {
                leg.recorded = None;
            }
        }
        let length = Duration::from_micros(at.saturating_sub(recording.start));
        out.record(Record::Stop { recording: recording.id, length, gap: recording.gap });
    }

    /// Ends all recordings: the process is about to end.
    pub fn stop_recordings(&mut self, now: Now, out: &mut impl Sink) {
        let at = self.micros(now);
        self.stop_recordings_of(None, at, out);
    }

    fn stop_recordings_of(&mut self, call: Option<CallId>, at: u64, out: &mut impl Sink) {
        for index in 0..self.recordings.len() {
            if self.recordings[index].as_ref().is_some_and(|r| call.is_none_or(|call| r.call == call)) {
                self.stop_recording(index as u32, at, out);
            }
        }
    }

    /// Sends the leg's RTCP report, with BYE at its end (RFC 3550 section 6.3.7: at once, since there are two of us).
    fn report(&mut self, slot: u32, now: Now, bye: bool, out: &mut impl Sink) {
        let at = self.micros(now);
        let Some(leg) = &mut self.legs[slot as usize] else { return };
        let Some(to) = leg.rtcp_destination() else { return };
        let sent = leg.stats.packets_sent != leg.sent_at_report;
        leg.sent_at_report = leg.stats.packets_sent;
        let info = sent.then(|| rtcp::SenderInfo {
            ntp: rtcp::ntp(now.wall.0),
            timestamp: leg.line.timestamp_at(at),
            packets: leg.stats.packets_sent as u32,
            octets: leg.stats.octets_sent as u32,
        });
        let block = leg.reception.report(leg.last_sr, at);
        let mut cname = [0; 16];
        for (i, octet) in cname.iter_mut().enumerate() {
            // Hexadecimal of the SSRC, twice: unique and without a name in it (RFC 7022).
            *octet = b"0123456789abcdef"[(leg.line.ssrc >> (4 * (i % 8)) & 0xf) as usize];
        }
        let mut packet = [0; rtcp::LONGEST];
        let n = rtcp::build(&mut packet, leg.line.ssrc, info, block, &cname, bye);
        if leg.is_muxed() {
            out.send_rtp(slot as usize, to, &packet[..n]);
        } else {
            out.send_rtcp(slot as usize, to, &packet[..n]);
        }
    }
}

fn figures(leg: &Leg) -> LegStats {
    LegStats { lost: leg.reception.lost(), jitter: leg.reception.jitter_time(), ..leg.stats }
}
