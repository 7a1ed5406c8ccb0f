//! The media engine's words: what a call asks of it and what it tells. One engine runs in each media thread.

use crate::ids::{CallId, LegId, RecordingId};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// A companded codec; the only ones that the engine mixes today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Pcma,
    Pcmu,
}

/// A clip: 8 kHz, 16-bit mono, decoded once at load and kept in both companded forms.
#[derive(Debug)]
pub struct Clip {
    pub name: String,
    pub pcma: Vec<u8>,
    pub pcmu: Vec<u8>,
}

/// One thing that was asked to be played on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayId(pub u64);

/// What a leg was negotiated to (from `media::sdp`), replaced whole by each new offer/answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegParams {
    /// Where we send; None while on hold with 0.0.0.0 or before an answer.
    pub remote: Option<SocketAddr>,
    /// Where RTCP goes (`a=rtcp`, or port + 1, or the same with rtcp-mux).
    pub remote_rtcp: Option<SocketAddr>,
    pub codec: Codec,
    /// Payload types that we send with, and that the peer sends with: they may differ by direction.
    pub send_pt: u8,
    pub receive_pt: u8,
    /// telephone-event payload types by direction; None: the peer has none.
    pub send_dtmf: Option<u8>,
    pub receive_dtmf: Option<u8>,
    /// Packet time that we send with, 10–60 ms.
    pub ptime_ms: u8,
    /// Whether the negotiated direction lets us send and receive.
    pub send: bool,
    pub receive: bool,
}

/// What a leg hears when nothing is played to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Nothing,
    /// The other leg's audio, forwarded without decoding when the codecs agree.
    Leg(LegId),
    /// All other legs whose source is the same room: mix-minus-one.
    Room(u64),
}

/// On which side of the stereo recording a leg is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// What a call asks of the engine.
#[derive(Clone, Debug)]
pub enum Command {
    /// The leg's sockets are open (the shell did that); it sends and receives nothing yet.
    AddLeg {
        leg: LegId,
    },
    /// The result of an offer/answer.
    SetParams {
        leg: LegId,
        params: LegParams,
    },
    /// Frees the leg; its sockets are closed by the shell.
    RemoveLeg {
        leg: LegId,
    },
    Hear {
        leg: LegId,
        source: Source,
    },
    /// Plays clips one after the other (again and again with `repeat`) in place of the source. Replaces what plays.
    Play {
        leg: LegId,
        id: PlayId,
        clips: Vec<Arc<Clip>>,
        repeat: bool,
    },
    StopPlay {
        leg: LegId,
    },
    /// Sends one key as RFC 4733 events.
    SendDigit {
        leg: LegId,
        digit: char,
        length: Duration,
    },
    /// Begins a recording; legs are added to it by `RecordLeg`.
    StartRecording {
        recording: RecordingId,
    },
    RecordLeg {
        recording: RecordingId,
        leg: LegId,
        side: Side,
    },
    /// While paused both sides are written as silence.
    PauseRecording {
        recording: RecordingId,
        paused: bool,
    },
    StopRecording {
        recording: RecordingId,
    },
}

/// What the engine tells a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key, once, however often its packets came.
    Digit { leg: LegId, digit: char },
    /// What `Play` asked for came to its end (not sent when stopped or replaced).
    PlayDone { leg: LegId, id: PlayId },
    /// Neither RTP nor RTCP came for this long, though the peer should send; repeated each 5 s.
    Silent { leg: LegId, length: Duration },
    /// Packets came again after `Silent`.
    Heard { leg: LegId },
    /// The recording is sealed. `gap` when something was lost on the way to the writer.
    RecordingDone { recording: RecordingId, length: Duration, gap: bool },
}

/// An event and the call that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEvent {
    pub call: CallId,
    pub event: Event,
}
