//! The media engine's words: what a call asks of it and what it tells.

use crate::ids::{CallId, LegId, RecordingId};
pub use crate::media::{clip::Clip, codec::Codec};
use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

/// A network: an address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or address/prefix, such as 10.0.0.0/8")]
pub struct NotANetwork;

fn bits(address: IpAddr) -> (u128, u8) {
    match address.to_canonical() {
        IpAddr::V4(a) => (u128::from(u32::from(a)) << 96, 32),
        IpAddr::V6(a) => (u128::from(a), 128),
    }
}

impl IpNet {
    /// A network; None where the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<IpNet> {
        (prefix <= bits(address).1).then_some(IpNet { address, prefix })
    }

    /// Whether an address lies in the network; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let ((ours, our_width), (theirs, width)) = (bits(self.address), bits(address));
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        our_width == width && (ours ^ theirs) & mask == 0
    }
}

impl FromStr for IpNet {
    type Err = NotANetwork;
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let prefix = prefix.map_or(Ok(bits(address).1), |p| p.parse().map_err(|_| NotANetwork))?;
        IpNet::new(address, prefix).ok_or(NotANetwork)
    }
}

/// From where a leg's packets are taken besides the negotiated address. What is learned first stays, until an
/// offer/answer changes the negotiated address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LearnPolicy {
    /// From the negotiated address and port alone.
    Never,
    /// From any port of the negotiated host.
    #[default]
    SameHost,
    /// From anywhere inside these networks: peers behind NAT.
    AllowedNets(Arc<[IpNet]>),
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
    /// The one codec of both directions.
    pub codec: Codec,
    /// Payload types that we send with, and that the peer sends with: they may differ by direction.
    pub send_pt: u8,
    /// The payload type that the peer sends with.
    pub receive_pt: u8,
    /// telephone-event payload types by direction; None: the peer has none.
    pub send_dtmf: Option<u8>,
    /// The telephone-event type that the peer sends with.
    pub receive_dtmf: Option<u8>,
    /// Packet time that we send with, 10–60 ms.
    pub ptime_ms: u8,
    /// Whether the negotiated direction lets us send and receive.
    pub send: bool,
    /// Whether what the peer sends is heard.
    pub receive: bool,
}

/// What a leg hears when nothing is played to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Silence: no packets are sent.
    Nothing,
    /// The other leg's audio, forwarded without decoding when the codecs agree.
    Leg(LegId),
    /// All other legs whose source is the same room: mix-minus-one.
    Room(u64),
}

/// On which side of the stereo recording a leg is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The citizen's.
    Left,
    /// Ours: agents, departments, supervisors.
    Right,
}

/// What a call asks of the engine.
#[derive(Clone, Debug)]
pub enum Command {
    /// The leg's sockets are open (the shell did that); it sends and receives nothing yet.
    /// For a leg that is there already only the policy changes.
    AddLeg {
        /// The new leg's id, unique among all calls.
        leg: LegId,
        /// From where its packets are taken.
        learn: LearnPolicy,
    },
    /// The result of an offer/answer.
    SetParams {
        /// Whose exchange it was.
        leg: LegId,
        /// What it came to; all of the old ones are forgotten.
        params: LegParams,
    },
    /// Frees the leg after an RTCP BYE and tells its figures; its sockets are closed by the shell. With a call's last
    /// leg its recordings end.
    RemoveLeg {
        /// The one to be freed.
        leg: LegId,
    },
    /// Sets what the leg hears while nothing is played to it.
    Hear {
        /// Who hears.
        leg: LegId,
        /// What it hears; legs of its own call alone.
        source: Source,
    },
    /// Plays clips one after the other (again and again with `repeat`) in place of the source. Replaces what plays.
    Play {
        /// Who hears it.
        leg: LegId,
        /// Given back in `PlayDone`.
        id: PlayId,
        /// In their order.
        clips: Vec<Arc<Clip>>,
        /// Begin again after the last clip, until stopped or replaced.
        repeat: bool,
    },
    /// Stops what plays; the leg hears its source again, and no `PlayDone` follows.
    StopPlay {
        /// Who hears it.
        leg: LegId,
    },
    /// Sends one key as RFC 4733 events.
    SendDigit {
        /// To whom it is sent.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// 40 ms to 5 s; brought into these bounds.
        length: Duration,
    },
    /// Whether keys that this leg presses are passed on to whoever hears it, besides being told. Off at first.
    ForwardDigits {
        /// Who presses.
        leg: LegId,
        /// Whether they are passed on from now on.
        on: bool,
    },
    /// Asks for the leg's figures so far.
    AskStats {
        /// Whose; `Event::Stats` answers.
        leg: LegId,
    },
    /// Begins a recording; legs are added to it by `RecordLeg`. Refused where nothing is recorded.
    StartRecording {
        /// A new id; one recording or several a call.
        recording: RecordingId,
    },
    /// What the leg says is written on this side from now on. A leg is in one recording at a time.
    RecordLeg {
        /// One of the same call.
        recording: RecordingId,
        /// Who is recorded.
        leg: LegId,
        /// Where it is written.
        side: Side,
    },
    /// While paused both sides are written as silence.
    PauseRecording {
        /// Which one.
        recording: RecordingId,
        /// False goes on writing.
        paused: bool,
    },
    /// Ends a recording; `Event::RecordingDone` follows when the writer has sealed it.
    StopRecording {
        /// Which one.
        recording: RecordingId,
    },
}

/// What the engine tells a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key, once, however often its packets came.
    Digit {
        /// Who pressed it.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// What `Play` asked for came to its end (not sent when stopped or replaced).
    PlayDone {
        /// Who heard it.
        leg: LegId,
        /// That of its `Play`.
        id: PlayId,
    },
    /// Neither RTP nor RTCP came for this long; repeated each 5 s. `held`: nor was any agreed, as the peer holds us
    /// (`a=inactive`, or an address of zeros).
    Silent {
        /// From whom nothing came.
        leg: LegId,
        /// How long by now.
        length: Duration,
        /// Silence was agreed.
        held: bool,
    },
    /// Packets came again after `Silent`.
    Heard {
        /// Who is back.
        leg: LegId,
    },
    /// The recording is sealed and on the disk. `length` is what plays; `gap` when something was lost on the way to the
    /// writer; `failed` when the disk did not take all of it.
    RecordingDone {
        /// Which one.
        recording: RecordingId,
        /// What plays.
        length: Duration,
        /// Frames were lost on the way to the writer.
        gap: bool,
        /// The disk did not take all of it.
        failed: bool,
    },
    /// A leg's figures: the last ones when it was removed.
    Stats {
        /// Whose.
        leg: LegId,
        /// Since the leg was added.
        stats: LegStats,
    },
}

/// A leg's figures, for the call's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegStats {
    /// RTP packets from the leg's peer.
    pub packets_received: u64,
    /// Octets of payload.
    pub octets_received: u64,
    /// RTP packets of any kind.
    pub packets_sent: u64,
    /// Octets of payload.
    pub octets_sent: u64,
    /// Packets that never came, by their sequence numbers.
    pub lost: u64,
    /// RFC 3550 interarrival jitter of what we receive.
    pub jitter: Duration,
    /// Datagrams from elsewhere than the leg's source.
    pub foreign: u64,
    /// Datagrams that were no RTP or RTCP, or of a payload type that was not agreed.
    pub malformed: u64,
    /// What the peer last said that it lost of ours; 0 where it sends no reports.
    pub peer_lost: u64,
    /// The last round trip that a report gave.
    pub round_trip: Option<Duration>,
}

/// An event and the call that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEvent {
    /// Whose event it is.
    pub call: CallId,
    /// What happened.
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_hold_their_addresses() {
        let net: IpNet = "10.1.0.0/16".parse().unwrap();
        assert!(net.contains("10.1.200.3".parse().unwrap()) && !net.contains("10.2.0.1".parse().unwrap()));
        assert!(net.contains("::ffff:10.1.0.9".parse().unwrap()) && !net.contains("::1".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<IpNet>().unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!("2001:db8::/32".parse::<IpNet>().unwrap().contains("2001:db8:1::1".parse().unwrap()));
        assert!("127.0.0.1".parse::<IpNet>().unwrap().contains("127.0.0.1".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "x/8", "10.0.0.0/"] {
            assert_eq!(wrong.parse::<IpNet>(), Err(NotANetwork), "{wrong}");
        }
    }
}
