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
    /// For a leg that is there already only the policy changes.
    AddLeg {
        leg: LegId,
        learn: LearnPolicy,
    },
    /// The result of an offer/answer.
    SetParams {
        leg: LegId,
        params: LegParams,
    },
    /// Frees the leg after an RTCP BYE and tells its figures; its sockets are closed by the shell. With a call's last
    /// leg its recordings end.
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
    /// Whether keys that this leg presses are passed on to whoever hears it, besides being told. Off at first.
    ForwardDigits {
        leg: LegId,
        on: bool,
    },
    /// Asks for the leg's figures so far.
    AskStats {
        leg: LegId,
    },
    /// Begins a recording; legs are added to it by `RecordLeg`. Refused where nothing is recorded.
    StartRecording {
        recording: RecordingId,
    },
    /// What the leg says is written on this side from now on. A leg is in one recording at a time.
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
    /// Neither RTP nor RTCP came for this long; repeated each 5 s. `held`: nor was any agreed, as the peer holds us
    /// (`a=inactive`, or an address of zeros).
    Silent { leg: LegId, length: Duration, held: bool },
    /// Packets came again after `Silent`.
    Heard { leg: LegId },
    /// The recording is sealed and on the disk. `length` is what plays; `gap` when something was lost on the way to the
    /// writer; `failed` when the disk did not take all of it.
    RecordingDone { recording: RecordingId, length: Duration, gap: bool, failed: bool },
    /// A leg's figures: the last ones when it was removed.
    Stats { leg: LegId, stats: LegStats },
}

/// A leg's figures, for the call's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegStats {
    pub packets_received: u64,
    /// Octets of payload.
    pub octets_received: u64,
    pub packets_sent: u64,
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
    pub call: CallId,
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
