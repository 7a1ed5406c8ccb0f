//! One leg's side of the offer/answer exchange (RFC 3264), with 4733 telephone events.
//!
//! A [`Session`] writes our descriptions and turns the peer's into [`LegParams`]. One audio stream is used; every other
//! one is refused with port 0 and keeps its place in the list for as long as the dialog lives (§8). An answer names one
//! codec, so that neither side switches in mid-call. Left out: who may offer when (that is the dialog's), host names in
//! `c=` (see [`Sdp::resolve`]), and codecs that the engine does not mix.

use super::description::{Address, Connection, Line, Media, Origin, Sdp, SdpError, number_in, words};
use crate::media::engine::{Codec, LegParams};
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The shortest packet time that is sent, in milliseconds.
const MIN_PTIME: u8 = 10;
/// The longest packet time that is sent, in milliseconds.
const MAX_PTIME: u8 = 60;
/// Where telephone events go in our offers unless the peer uses the number for something else.
const USUAL_DTMF: u8 = 101;

/// Which way audio may flow, seen from the side that says it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; what is meant where nothing is said.
    SendRecv,
    /// The sayer sends and does not listen: it holds the other side.
    SendOnly,
    /// The sayer listens and does not send: the answer of one who is held.
    RecvOnly,
    /// Neither way: both sides hold, or there is no music.
    Inactive,
}

impl Direction {
    /// The direction with these two parts.
    pub fn of(send: bool, receive: bool) -> Direction {
        match (send, receive) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the side that says it sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the side that says it receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// What may be answered to an offer of `offered` by one who wants `self` (RFC 3264 §6.1).
    pub fn answer_to(self, offered: Direction) -> Direction {
        Direction::of(self.sends() && offered.receives(), self.receives() && offered.sends())
    }

    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// Our own end of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where the peer sends its RTP; RTCP is at the next port.
    pub rtp: SocketAddr,
    /// Goes into `o=`; the same for the life of the dialog.
    pub session_id: u64,
    /// What we can do, best first; never empty (an empty list is read as PCMA).
    pub codecs: Vec<Codec>,
    /// The packet time that we like, in milliseconds; brought into 10–60.
    pub ptime_ms: u8,
}

/// Why an exchange failed; the session is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NegotiationError {
    /// The peer's body cannot be read: 400.
    #[error("malformed session description: {0}")]
    Malformed(#[from] SdpError),
    /// Nothing but video, images or refused streams: 488.
    #[error("no audio stream")]
    NoAudio,
    /// None of its audio lines has a codec that we speak: 488.
    #[error("no common codec")]
    NoCommonCodec,
    /// Its audio is SRTP or DTLS only: 488.
    #[error("no audio stream over plain RTP")]
    UnsupportedTransport,
    /// There is nowhere that we could or would send to: 488.
    #[error("no usable address: none, a host name, multicast, or another address family")]
    UnusableAddress,
    /// Both sides offered at once: 491, and each tries again later (RFC 3261 §14.1).
    #[error("our own offer is still open")]
    OfferPending,
    /// An answer came while no offer of ours had been sent: 500, our own mistake.
    #[error("an answer without an offer")]
    NoOffer,
}

impl NegotiationError {
    /// The SIP status for a request that carried the description (RFC 3261 §21.4.26, RFC 3311 §5.2).
    pub fn status(self) -> u16 {
        match self {
            NegotiationError::Malformed(_) => 400,
            NegotiationError::OfferPending => 491,
            NegotiationError::NoOffer => 500,
            NegotiationError::NoAudio
            | NegotiationError::NoCommonCodec
            | NegotiationError::UnsupportedTransport
            | NegotiationError::UnusableAddress => 488,
        }
    }

    /// The Warning code that belongs to a 488 (RFC 3261 §20.43).
    pub fn warning(self) -> Option<u16> {
        match self {
            NegotiationError::NoAudio => Some(304),
            NegotiationError::NoCommonCodec => Some(305),
            NegotiationError::UnsupportedTransport => Some(302),
            NegotiationError::UnusableAddress => Some(301),
            NegotiationError::Malformed(_) | NegotiationError::OfferPending | NegotiationError::NoOffer => None,
        }
    }
}

/// One leg's offer/answer machine. Each call either succeeds and moves the session on, or fails and changes nothing.
#[derive(Clone, Debug)]
pub struct Session {
    local: LocalMedia,
    /// Of `o=`: moves by one whenever the rest changes (RFC 3264 §5, §8).
    version: u64,
    /// What we last sent, without its version, and with it.
    last: Option<(Sdp, Bytes)>,
    /// The streams of the last exchange, in order; empty before it.
    slots: Vec<Slot>,
    /// Payload types in use on the audio stream.
    types: PayloadTypes,
    /// Our last offer, kept also after its answer: forks and 200s repeat answers.
    offer: Option<OpenOffer>,
    params: Option<LegParams>,
}

/// A stream's place in the list, which it keeps (RFC 3264 §8).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    Audio { protocol: Bytes, mux: bool },
    Refused { kind: Bytes, protocol: Bytes, formats: Vec<Bytes> },
}

/// Our payload types: fixed for the life of the stream (RFC 3264 §8.3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PayloadTypes {
    pcma: Option<u8>,
    pcmu: Option<u8>,
    dtmf: Option<u8>,
    /// Numbers that the peer has used, one bit each.
    taken: u128,
}

#[derive(Clone, Debug)]
struct OpenOffer {
    direction: Direction,
    slots: Vec<Slot>,
    types: PayloadTypes,
    answered: bool,
}

impl Session {
    /// A leg that has exchanged nothing yet.
    pub fn new(local: LocalMedia) -> Session {
        let local = LocalMedia { ptime_ms: whole_ptime(u32::from(local.ptime_ms)), ..local };
        Session {
            local,
            version: 0,
            last: None,
            slots: vec![],
            types: PayloadTypes::default(),
            offer: None,
            params: None,
        }
    }

    /// Our offer, first or later; an answer to it is due (RFC 3264 §5, §8).
    pub fn offer(&mut self, direction: Direction) -> Bytes {
        let mut types = self.types.clone();
        for codec in self.codecs() {
            types.assign(codec);
        }
        types.assign_dtmf();
        let slots = if self.slots.iter().any(Slot::is_audio) {
            self.slots.clone()
        } else {
            // A stream that was refused may be used again (§8.2): the first audio place, or a new one.
            with_audio(&self.slots)
        };
        let mut formats: Vec<(u8, Format)> =
            self.codecs().filter_map(|codec| Some((types.of(codec)?, Format::Audio(codec)))).collect();
        formats.extend(types.dtmf.map(|number| (number, Format::Dtmf)));
        let body = self.describe(&slots, &formats, direction);
        self.offer = Some(OpenOffer { direction, slots, types, answered: false });
        body
    }

    /// Our offer came to nothing (a failure response, a CANCEL): the last exchange stays in force (RFC 3264 §8).
    pub fn offer_failed(&mut self) {
        self.offer = None;
    }

    /// Whether an offer of ours waits for its answer.
    pub fn offer_pending(&self) -> bool {
        self.offer.as_ref().is_some_and(|offer| !offer.answered)
    }

    /// Answers the peer's offer, wanting `direction` as far as the offer allows it (RFC 3264 §6). Errors where the
    /// offer cannot be read or used, or our own is open.
    pub fn answer(&mut self, offer: &[u8], direction: Direction) -> Result<(Bytes, LegParams), NegotiationError> {
        if self.offer_pending() {
            return Err(NegotiationError::OfferPending);
        }
        let offer = Sdp::parse(offer)?;
        let chosen = match self.choose(&offer) {
            Ok(chosen) => chosen,
            Err(why) => return self.answer_without_audio(&offer, why),
        };
        let Chosen { index, stream, codec, number } = chosen;
        let media = &offer.media[index];
        let direction = direction.answer_to(stream.direction);
        let mux = media.attribute("rtcp-mux").is_some();
        let mut slots: Vec<Slot> = offer.media.iter().map(Slot::refused).collect();
        slots[index] = Slot::Audio { protocol: media.protocol.clone(), mux };
        let mut formats = vec![(number, Format::Audio(codec))];
        formats.extend(stream.dtmf.map(|number| (number, Format::Dtmf)));

        self.types.heard(&stream);
        self.types.set(codec, number);
        self.types.dtmf = stream.dtmf.or(self.types.dtmf);
        let body = self.describe(&slots, &formats, direction);
        let params = LegParams {
            remote: stream.rtp,
            remote_rtcp: stream.rtcp,
            codec,
            send_pt: number,
            receive_pt: number,
            send_dtmf: stream.dtmf,
            receive_dtmf: stream.dtmf,
            ptime_ms: stream.ptime(self.local.ptime_ms),
            send: direction.sends() && stream.rtp.is_some(),
            receive: direction.receives(),
        };
        self.slots = slots;
        self.offer = None;
        self.params = Some(params.clone());
        Ok((body, params))
    }

    /// Takes the answer to our offer. May come again (a 183, then a 200; a fork): the last one counts. Errors where it
    /// cannot be read or used, or nothing was offered.
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<LegParams, NegotiationError> {
        let offer = self.offer.as_ref().ok_or(NegotiationError::NoOffer)?;
        let answer = Sdp::parse(answer)?;
        let index = offer.slots.iter().position(Slot::is_audio).ok_or(NegotiationError::NoAudio)?;
        // Fewer lines than offered are borne with as long as ours is among them.
        let media = answer.media.get(index).ok_or(NegotiationError::NoAudio)?;
        let stream = Stream::read(&answer, media, self.local.rtp.ip())?;
        // The first of its codecs that we offered is what the peer likes best (§6.1, §7).
        let &(codec, number) = stream
            .codecs
            .iter()
            .find(|(codec, _)| offer.types.of(*codec).is_some() && self.codecs().any(|ours| ours == *codec))
            .ok_or(NegotiationError::NoCommonCodec)?;
        let receive_pt = offer.types.of(codec).ok_or(NegotiationError::NoCommonCodec)?;
        let direction = offer.direction.answer_to(stream.direction);
        let params = LegParams {
            remote: stream.rtp,
            remote_rtcp: stream.rtcp,
            codec,
            send_pt: number,
            receive_pt,
            send_dtmf: stream.dtmf,
            receive_dtmf: offer.types.dtmf.filter(|_| stream.dtmf.is_some()),
            ptime_ms: stream.ptime(self.local.ptime_ms),
            send: direction.sends() && stream.rtp.is_some(),
            receive: direction.receives(),
        };
        self.slots = offer.slots.clone();
        self.types = offer.types.clone();
        self.types.heard(&stream);
        if let Some(offer) = &mut self.offer {
            offer.answered = true;
        }
        self.params = Some(params.clone());
        Ok(params)
    }

    /// What the last exchange came to.
    pub fn params(&self) -> Option<&LegParams> {
        self.params.as_ref()
    }

    /// What we last sent, for a repeated 200 or a session refresh without change.
    pub fn local_description(&self) -> Option<&Bytes> {
        self.last.as_ref().map(|(_, body)| body)
    }

    fn codecs(&self) -> impl Iterator<Item = Codec> {
        let list: &[Codec] = if self.local.codecs.is_empty() { &[Codec::Pcma] } else { &self.local.codecs };
        list.iter().copied()
    }

    /// The stream in use if it is still good, else the first good one. The error is that of the first audio line.
    fn choose(&self, offer: &Sdp) -> Result<Chosen, NegotiationError> {
        let current = self.slots.iter().position(Slot::is_audio);
        let mut why = None;
        for index in current.into_iter().chain(0..offer.media.len()) {
            let Some(media) = offer.media.get(index) else { continue };
            match self.acceptable(offer, media) {
                Ok((stream, codec, number)) => return Ok(Chosen { index, stream, codec, number }),
                Err(NegotiationError::NoAudio) => {}
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or(NegotiationError::NoAudio))
    }

    fn acceptable(&self, offer: &Sdp, media: &Media) -> Result<(Stream, Codec, u8), NegotiationError> {
        let stream = Stream::read(offer, media, self.local.rtp.ip())?;
        let common = self.codecs().find_map(|ours| stream.codecs.iter().find(|(codec, _)| *codec == ours).copied());
        let (codec, number) = common.ok_or(NegotiationError::NoCommonCodec)?;
        Ok((stream, codec, number))
    }

    /// In a running session the peer may switch its only audio off (§8.2): that is answered, all ports 0. Any other
    /// offer without a stream that we can use is refused as a whole.
    fn answer_without_audio(
        &mut self,
        offer: &Sdp,
        why: NegotiationError,
    ) -> Result<(Bytes, LegParams), NegotiationError> {
        let off = offer.media.iter().any(|media| is_audio(media) && media.port == 0);
        let Some(params) = self.params.as_mut().filter(|_| off && why == NegotiationError::NoAudio) else {
            return Err(why);
        };
        *params = LegParams { remote: None, remote_rtcp: None, send: false, receive: false, ..params.clone() };
        let params = params.clone();
        self.slots = offer.media.iter().map(Slot::refused).collect();
        self.offer = None;
        let slots = self.slots.clone();
        Ok((self.describe(&slots, &[], Direction::Inactive), params))
    }

    /// Our description with these streams; the version moves only if something else did.
    fn describe(&mut self, slots: &[Slot], formats: &[(u8, Format)], direction: Direction) -> Bytes {
        let ip = self.local.rtp.ip();
        let network = if ip.is_ipv4() { "IN IP4" } else { "IN IP6" };
        let origin = Origin {
            username: Bytes::from_static(b"-"),
            session_id: self.local.session_id.to_string().into(),
            version: Bytes::new(),
            address: format!("{network} {ip}").into(),
        };
        let lines = vec![
            Line::Other { kind: b's', value: Bytes::from_static(b"-") },
            Line::Connection(Connection::of(ip)),
            Line::Other { kind: b't', value: Bytes::from_static(b"0 0") },
        ];
        let media = slots.iter().map(|slot| slot.describe(&self.local, formats, direction)).collect();
        let mut sdp = Sdp { origin, lines, media };
        if let Some((last, body)) = &self.last
            && *last == sdp
        {
            return body.clone();
        }
        self.version += 1;
        let plain = sdp.clone();
        sdp.origin.version = self.version.to_string().into();
        let body = sdp.print();
        self.last = Some((plain, body.clone()));
        body
    }
}

/// What is offered or answered under one payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Audio(Codec),
    Dtmf,
}

struct Chosen {
    index: usize,
    stream: Stream,
    codec: Codec,
    number: u8,
}

impl Slot {
    fn refused(media: &Media) -> Slot {
        Slot::Refused { kind: media.kind.clone(), protocol: media.protocol.clone(), formats: media.formats.clone() }
    }

    fn is_audio(&self) -> bool {
        matches!(self, Slot::Audio { .. })
    }

    fn describe(&self, local: &LocalMedia, formats: &[(u8, Format)], direction: Direction) -> Media {
        match self {
            Slot::Refused { kind, protocol, formats } => Media {
                kind: kind.clone(),
                port: 0,
                ports: None,
                protocol: protocol.clone(),
                // At least one must stand there, though nobody reads it (§6).
                formats: if formats.is_empty() { vec![Bytes::from_static(b"0")] } else { formats.clone() },
                lines: vec![],
            },
            Slot::Audio { protocol, mux } => Media {
                kind: Bytes::from_static(b"audio"),
                port: local.rtp.port(),
                ports: None,
                protocol: protocol.clone(),
                formats: formats.iter().map(|(number, _)| number.to_string().into()).collect(),
                lines: audio_lines(local, formats, direction, *mux),
            },
        }
    }
}

fn audio_lines(local: &LocalMedia, formats: &[(u8, Format)], direction: Direction, mux: bool) -> Vec<Line> {
    let mut lines = Vec::with_capacity(8);
    for (number, format) in formats {
        let encoding = match format {
            Format::Audio(Codec::Pcma) => "PCMA",
            Format::Audio(Codec::Pcmu) => "PCMU",
            Format::Dtmf => "telephone-event",
        };
        lines.push(Line::attribute("rtpmap", format!("{number} {encoding}/8000")));
        if *format == Format::Dtmf {
            lines.push(Line::attribute("fmtp", format!("{number} 0-15")));
        }
    }
    lines.push(Line::attribute("ptime", local.ptime_ms.to_string()));
    lines.push(Line::flag(direction.name()));
    if mux {
        lines.push(Line::flag("rtcp-mux"));
    }
    lines
}

/// The same streams with the first refused plain audio taken up again, or one more audio at the end.
fn with_audio(slots: &[Slot]) -> Vec<Slot> {
    let audio = Slot::Audio { protocol: Bytes::from_static(b"RTP/AVP"), mux: false };
    let mut slots = slots.to_vec();
    let plain = |slot: &&mut Slot| matches!(slot, Slot::Refused { kind, protocol, .. } if &kind[..] == b"audio" && is_plain_rtp(protocol));
    match slots.iter_mut().find(plain) {
        Some(slot) => *slot = audio,
        None => slots.push(audio),
    }
    slots
}

impl PayloadTypes {
    fn of(&self, codec: Codec) -> Option<u8> {
        match codec {
            Codec::Pcma => self.pcma,
            Codec::Pcmu => self.pcmu,
        }
    }

    fn set(&mut self, codec: Codec, number: u8) {
        match codec {
            Codec::Pcma => self.pcma = Some(number),
            Codec::Pcmu => self.pcmu = Some(number),
        }
    }

    /// Gives the codec its static number (RFC 3551 §6) unless it has one.
    fn assign(&mut self, codec: Codec) {
        if self.of(codec).is_none() {
            self.set(codec, static_type(codec));
        }
    }

    /// Gives telephone events a number that the peer uses for nothing else.
    fn assign_dtmf(&mut self) {
        let free =
            |number: &u8| self.taken & (1 << number) == 0 && self.pcma != Some(*number) && self.pcmu != Some(*number);
        self.dtmf = self.dtmf.or_else(|| std::iter::once(USUAL_DTMF).chain(96..=127).find(free));
    }

    /// Remembers the numbers that the peer uses, and gives up those of ours that it has since given to others.
    fn heard(&mut self, stream: &Stream) {
        self.taken |= stream.numbers;
        let lost = |number: Option<u8>, theirs: Option<u8>| {
            number.is_some_and(|number| stream.numbers & (1 << number) != 0 && theirs != Some(number))
        };
        if lost(self.dtmf, stream.dtmf) {
            self.dtmf = None;
        }
    }
}

/// What the peer says of one audio stream.
#[derive(Debug)]
struct Stream {
    /// None: it wants nothing (0.0.0.0, the old way to hold).
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    /// What we know of what it can do, best first, each with its payload type.
    codecs: Vec<(Codec, u8)>,
    dtmf: Option<u8>,
    direction: Direction,
    ptime: Option<u32>,
    maxptime: Option<u32>,
    /// All payload types named, one bit each.
    numbers: u128,
}

impl Stream {
    /// Reads an audio line. `local` says which address family we can reach.
    fn read(sdp: &Sdp, media: &Media, local: IpAddr) -> Result<Stream, NegotiationError> {
        if !is_audio(media) || media.port == 0 {
            return Err(NegotiationError::NoAudio);
        }
        if !is_plain_rtp(&media.protocol) {
            return Err(NegotiationError::UnsupportedTransport);
        }
        let connection = media.connection().or(sdp.connection()).ok_or(NegotiationError::UnusableAddress)?;
        let address = reachable(&connection.address, local)?;
        let rtp = address.map(|ip| SocketAddr::new(ip, media.port));
        let mut direction = direction_of(sdp, media);
        if rtp.is_none() {
            direction = Direction::of(direction.sends(), false); // RFC 3264 §8.4
        }
        let mut stream = Stream {
            rtp,
            rtcp: rtp.and_then(|rtp| rtcp_address(media, rtp)),
            codecs: Vec::new(),
            dtmf: None,
            direction,
            ptime: milliseconds(sdp, media, "ptime"),
            maxptime: milliseconds(sdp, media, "maxptime"),
            numbers: 0,
        };
        stream.read_formats(media);
        Ok(stream)
    }

    fn read_formats(&mut self, media: &Media) {
        for format in &media.formats {
            let Some(number) = number_in::<u8>(format).filter(|number| *number < 128) else { continue };
            self.numbers |= 1 << number;
            match format_of(media, number) {
                Some(Format::Audio(codec)) => self.codecs.push((codec, number)),
                Some(Format::Dtmf) => self.dtmf = self.dtmf.or(Some(number)),
                None => {}
            }
        }
    }

    /// The packet time to send with: what the peer asks for, else ours, never above its limit.
    fn ptime(&self, ours: u8) -> u8 {
        let wanted = self.ptime.filter(|&ptime| ptime > 0).unwrap_or(u32::from(ours));
        let limit = self.maxptime.filter(|&limit| limit > 0).unwrap_or(u32::MAX);
        whole_ptime(wanted.min(limit))
    }
}

/// What stands under this payload type: by its `rtpmap`, else by the static table (RFC 3551 §6).
fn format_of(media: &Media, number: u8) -> Option<Format> {
    let mapped = media.attributes("rtpmap").flatten().find_map(|value| {
        let mut words = words(value);
        (number_in::<u8>(&words.next()?)? == number).then(|| words.next())?
    });
    let Some(encoding) = mapped else {
        let known = [Codec::Pcma, Codec::Pcmu];
        return known.into_iter().find(|&codec| static_type(codec) == number).map(Format::Audio);
    };
    let mut parts = encoding.split(|&byte| byte == b'/');
    let (name, rate, channels) = (parts.next()?, parts.next().unwrap_or(b"8000"), parts.next().unwrap_or(b"1"));
    if rate != b"8000" || channels != b"1" {
        return None;
    }
    match () {
        () if name.eq_ignore_ascii_case(b"PCMA") => Some(Format::Audio(Codec::Pcma)),
        () if name.eq_ignore_ascii_case(b"PCMU") => Some(Format::Audio(Codec::Pcmu)),
        () if name.eq_ignore_ascii_case(b"telephone-event") => Some(Format::Dtmf),
        () => None,
    }
}

fn static_type(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
    }
}

fn is_audio(media: &Media) -> bool {
    media.kind.eq_ignore_ascii_case(b"audio")
}

/// AVPF without keys is RTP all the same; its feedback is optional and we send none (RFC 4585 §3).
fn is_plain_rtp(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"RTP/AVP") || protocol.eq_ignore_ascii_case(b"RTP/AVPF")
}

/// The peer's address; None where it asks for no packets: 0.0.0.0, `::` or a name under `.invalid` (RFC 6157 §5.3).
fn reachable(address: &Address, local: IpAddr) -> Result<Option<IpAddr>, NegotiationError> {
    match address {
        Address::Host(host) if host.to_ascii_lowercase().ends_with(b".invalid") => Ok(None),
        Address::Host(_) => Err(NegotiationError::UnusableAddress),
        Address::Ip(ip) if ip.is_unspecified() => Ok(None),
        Address::Ip(ip) => {
            let ip = ip.to_canonical();
            let unicast = !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST);
            let ours = ip.is_ipv4() == local.to_canonical().is_ipv4();
            if unicast && ours { Ok(Some(ip)) } else { Err(NegotiationError::UnusableAddress) }
        }
    }
}

fn direction_of(sdp: &Sdp, media: &Media) -> Direction {
    let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    let in_media = all.into_iter().find(|direction| media.attribute(direction.name()).is_some());
    let in_session = || all.into_iter().find(|direction| sdp.attribute(direction.name()).is_some());
    in_media.or_else(in_session).unwrap_or(Direction::SendRecv)
}

/// Where RTCP goes: with RTP (RFC 5761), where `a=rtcp` says (RFC 3605), else to the next port.
fn rtcp_address(media: &Media, rtp: SocketAddr) -> Option<SocketAddr> {
    if media.attribute("rtcp-mux").is_some() {
        return Some(rtp);
    }
    let next = || rtp.port().checked_add(1).map(|port| SocketAddr::new(rtp.ip(), port));
    let Some(Some(value)) = media.attribute("rtcp") else { return next() };
    let mut words = words(value);
    let Some(port) = words.next().and_then(|port| number_in::<u16>(&port)).filter(|port| *port != 0) else {
        return next();
    };
    let ip = match words.nth(2).map(Address::read) {
        Some(Address::Ip(ip)) => reachable(&Address::Ip(ip), rtp.ip()).ok().flatten().unwrap_or(rtp.ip()),
        Some(Address::Host(_)) | None => rtp.ip(),
    };
    Some(SocketAddr::new(ip, port))
}

/// An attribute in milliseconds, of the stream or else of the session; a fraction is dropped.
fn milliseconds(sdp: &Sdp, media: &Media, name: &str) -> Option<u32> {
    let value = media.attribute(name).or_else(|| sdp.attribute(name)).flatten()?;
    let digits = value.trim_ascii().split(|byte| !byte.is_ascii_digit()).next()?;
    number_in(digits)
}

/// A packet time of whole tens of milliseconds within the limits.
fn whole_ptime(wanted: u32) -> u8 {
    let bounded = u8::try_from(wanted).unwrap_or(u8::MAX).clamp(MIN_PTIME, MAX_PTIME);
    bounded - bounded % MIN_PTIME
}

#[cfg(test)]
mod tests;
