//! RTP of one simulated call (RFC 3550, RFC 4733): a socket, a sender paced at 20 ms, and an ear that remembers.
//!
//! What is heard is laid on a time line by RTP timestamp, so that a level can be measured over any recent stretch.
//! Leaves out RTCP, jitter measurement and all codecs but G.711.

use super::{
    audio::{FRAME, G711, Player, RATE, level, level_at},
    network::{Gate, Weather},
    sdp::Direction,
};
use crate::net::clock;
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, task::JoinHandle, time::sleep_until};

/// How much of what was heard is kept.
const KEPT: Duration = Duration::from_secs(60);
/// Samples by which a packet may be early or late against the clock before its line is anchored anew.
const SLACK: i64 = RATE as i64 / 5;
/// The payload type that we offer for telephone-event.
pub const DTMF: u8 = 101;
const EVENT_PACKETS: u16 = 5;
const EVENT_ENDS: u8 = 3;
const EVENT_GAP: u8 = 4;

/// How much sound a party makes and keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sound {
    /// One packet of 20 ms is sent in so many, as by a telephone that leaves silence out; 1 sends all. Keys are not
    /// thinned.
    pub one_in: u32,
    /// Nothing is kept of what is heard, but when this tone (in Hz) was first heard by itself.
    pub listen_for: Option<f64>,
}

impl Default for Sound {
    fn default() -> Self {
        Sound { one_in: 1, listen_for: None }
    }
}

/// What a party that keeps no sound knows of what it heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sign {
    /// When the tone that is listened for was first heard.
    pub heard_at: Option<Instant>,
    /// Keys, each once.
    pub digits: String,
    /// Packets that came, each once.
    pub packets: u64,
}

/// Packets in a row that must be the tone and nothing else.
const SIGN_PACKETS: u32 = 3;

/// What offer and answer came to; replaced whole by each new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where we send.
    pub remote: SocketAddr,
    /// That we send with.
    pub codec: G711,
    /// The peer's payload type for telephone-event.
    pub send_dtmf: Option<u8>,
    /// Ours.
    pub receive_dtmf: u8,
    /// Ours: whether we send, and whether we listen.
    pub direction: Direction,
}

/// The RTP side of a call; its task ends when this is dropped.
#[derive(Debug)]
pub struct Session {
    local: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    route: Option<Route>,
    player: Player,
    digits_to_send: VecDeque<u8>,
    sender: Sender,
    ear: Ear,
}

#[derive(Debug)]
struct Sender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    event: Option<OutgoingEvent>,
    packets: u64,
}

/// A key on its way (RFC 4733 section 2.5).
#[derive(Debug)]
struct OutgoingEvent {
    code: u8,
    began: u32,
    packets: u16,
    ends: u8,
    gap: u8,
}

impl Session {
    /// Opens a socket beside `near` (the same address, any port).
    pub async fn open(near: SocketAddr, player: Player) -> io::Result<Session> {
        Session::open_in(near, player, Sound::default(), Gate::new(Weather::default(), 0)).await
    }

    /// Opens a socket whose sound is thinned or whose way is bad.
    pub async fn open_in(near: SocketAddr, player: Player, sound: Sound, way: Gate) -> io::Result<Session> {
        let socket = UdpSocket::bind(SocketAddr::new(near.ip(), 0)).await?;
        let local = socket.local_addr()?;
        let sender = Sender {
            ssrc: rand::random(),
            sequence: rand::random::<u16>() >> 1,
            timestamp: rand::random(),
            marker: true,
            event: None,
            packets: 0,
        };
        let ear = Ear::new(clock::now().mono, sound.listen_for);
        let shared = Shared { route: None, player, digits_to_send: VecDeque::new(), sender, ear };
        let shared = Arc::new(Mutex::new(shared));
        let task = tokio::spawn(run(socket, shared.clone(), sound.one_in, way));
        Ok(Session { local, shared, task })
    }

    /// Where we receive.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Takes the result of an offer and an answer; None stops sending.
    pub fn set_route(&self, route: Option<Route>) {
        self.lock().route = route;
    }

    /// What offer and answer came to last.
    pub fn route(&self) -> Option<Route> {
        self.lock().route
    }

    /// Says something else from now on.
    pub fn say(&self, player: Player) {
        self.lock().player = player;
    }

    /// Queues keys; false when one of them is no key or the peer takes no telephone-event.
    pub fn send_digits(&self, digits: &str) -> bool {
        let codes: Option<Vec<u8>> = digits.chars().map(event_code).collect();
        let mut shared = self.lock();
        match codes {
            Some(codes) if shared.route.is_some_and(|r| r.send_dtmf.is_some()) => {
                shared.digits_to_send.extend(codes);
                true
            }
            _ => false,
        }
    }

    /// Whether all keys have left.
    pub fn digits_sent(&self) -> bool {
        let shared = self.lock();
        shared.digits_to_send.is_empty() && shared.sender.event.is_none()
    }

    /// What was heard so far.
    pub fn heard(&self) -> Heard {
        self.lock().ear.snapshot(clock::now().mono)
    }

    /// What is known without a copy of what was heard.
    pub fn sign(&self) -> Sign {
        let shared = self.lock();
        let ear = &shared.ear;
        Sign { heard_at: ear.sign_at, digits: ear.digits.clone(), packets: ear.packets }
    }

    /// Stops sending and receiving; what was heard stays readable.
    pub fn close(&self) {
        self.task.abort();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const STEP: Duration = Duration::from_millis(20);

/// Packets that leave later, the first to leave at the end.
type Late = Vec<(Instant, Vec<u8>, SocketAddr)>;

async fn run(socket: UdpSocket, shared: Arc<Mutex<Shared>>, one_in: u32, mut way: Gate) {
    let mut buffer = [0u8; 2048];
    let mut late = Late::new();
    let mut next = clock::now().mono;
    loop {
        let wake = late.last().map_or(next, |(at, ..)| next.min(*at));
        tokio::select! {
            () = sleep_until(wake.into()) => {
                let now = clock::now().mono;
                // What was missed is made up for.
                while next <= now {
                    let (packet, steps) = shared.lock().unwrap_or_else(PoisonError::into_inner).next_packet(one_in);
                    if let Some((packet, to)) = packet {
                        let (delays, copies) = way.copies();
                        late.extend(delays.into_iter().take(copies).map(|delay| (next + delay, packet.clone(), to)));
                    }
                    next += STEP * steps;
                }
                late.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
                while let Some((_, packet, to)) = late.pop_if(|(at, ..)| *at <= now) {
                    // A peer that is gone is the signalling's matter.
                    let _ = socket.send_to(&packet, to).await;
                }
            }
            read = socket.recv_from(&mut buffer) => if let Ok((length, _)) = read {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let receive_dtmf = shared.route.map_or(DTMF, |r| r.receive_dtmf);
                for _ in 0..way.copies().1 {
                    shared.ear.take(clock::now().mono, buffer.get(..length).unwrap_or_default(), receive_dtmf);
                }
            }
        }
    }
}

impl Shared {
    /// The packet of this moment, if one is due, and the steps of 20 ms until the next. The timestamp runs on, whether
    /// or not something is sent.
    fn next_packet(&mut self, one_in: u32) -> (Option<(Vec<u8>, SocketAddr)>, u32) {
        let keys = self.sender.event.is_some() || !self.digits_to_send.is_empty();
        let steps = if keys { 1 } else { one_in.max(1) };
        let frame = self.player.next_frame();
        self.player.skip(steps - 1);
        let now = self.sender.timestamp;
        self.sender.timestamp = now.wrapping_add(FRAME as u32 * steps);
        (self.packet(frame, now, one_in > 1), steps)
    }

    /// `sparse`: each packet of sound begins anew after a silence.
    fn packet(&mut self, frame: Option<[i16; FRAME]>, now: u32, sparse: bool) -> Option<(Vec<u8>, SocketAddr)> {
        let route = self.route.filter(|r| r.direction.sends() && !r.remote.ip().is_unspecified())?;
        if self.sender.event.is_none()
            && let Some(code) = self.digits_to_send.pop_front()
        {
            self.sender.event = Some(OutgoingEvent { code, began: now, packets: 0, ends: 0, gap: 0 });
        }
        if let (Some(event), Some(payload_type)) = (&mut self.sender.event, route.send_dtmf) {
            if event.ends < EVENT_ENDS {
                let (payload, began, first) = event.next();
                return Some((self.sender.packet(payload_type, first, began, &payload), route.remote));
            }
            event.gap += 1;
            if event.gap >= EVENT_GAP {
                self.sender.event = None;
            }
        }
        let payload = frame?.map(|sample| route.codec.encode(sample));
        let marker = std::mem::take(&mut self.sender.marker) || sparse;
        Some((self.sender.packet(route.codec.payload_type(), marker, now, &payload), route.remote))
    }
}

impl OutgoingEvent {
    /// The payload, the timestamp of its beginning, and whether it is the first: three copies of the end close it.
    fn next(&mut self) -> ([u8; 4], u32, bool) {
        let first = self.packets == 0;
        if self.packets < EVENT_PACKETS {
            self.packets += 1;
        } else {
            self.ends += 1;
        }
        let end = if self.ends > 0 { 0x80 } else { 0 };
        let [high, low] = (self.packets * FRAME as u16).to_be_bytes();
        ([self.code, end | 10, high, low], self.began, first)
    }
}

impl Sender {
    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(12 + payload.len());
        packet.extend([0x80, u8::from(marker) << 7 | payload_type]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        packet
    }
}

fn event_code(digit: char) -> Option<u8> {
    match digit {
        '0'..='9' => Some(digit as u8 - b'0'),
        '*' => Some(10),
        '#' => Some(11),
        'A'..='D' => Some(digit as u8 - b'A' + 12),
        _ => None,
    }
}

fn event_digit(code: u8) -> Option<char> {
    "0123456789*#ABCD".chars().nth(usize::from(code))
}

/// What was heard: a copy, taken at one moment.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The last minute at most, up to the moment of the copy; what did not come is silence.
    pub samples: Vec<i16>,
    /// RTP packets of voice that came.
    pub packets: u64,
    /// Gaps in the sequence numbers that nothing filled.
    pub lost: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Keys, each once.
    pub digits: String,
    /// Streams heard: more than one means that the peer changed its SSRC.
    pub streams: u32,
    /// How long ago the last packet came.
    pub quiet_for: Option<Duration>,
}

impl Heard {
    /// The level of a frequency over the last while, in dBov (−120 is nothing at all).
    pub fn level_at(&self, hertz: f64, last: Duration) -> f64 {
        level_at(self.last(last), hertz)
    }

    /// The level of everything over the last while, in dBov.
    pub fn level(&self, last: Duration) -> f64 {
        level(self.last(last))
    }

    /// How much of the last while was louder than `threshold` dBov, in steps of 20 ms.
    pub fn loud_for(&self, threshold: f64, last: Duration) -> Duration {
        let loud = self.last(last).chunks(FRAME).filter(|frame| level(frame) > threshold).count();
        Duration::from_millis(20) * loud as u32
    }

    fn last(&self, last: Duration) -> &[i16] {
        let wanted = (last.as_millis() as usize).saturating_mul(RATE as usize / 1000);
        &self.samples[self.samples.len().saturating_sub(wanted)..]
    }
}

/// Receives, and remembers on a time line that begins when the session opens.
#[derive(Debug)]
struct Ear {
    opened: Instant,
    /// The place on the line of the first sample that is still kept.
    base: i64,
    line: VecDeque<i16>,
    stream: Option<Stream>,
    streams: u32,
    packets: u64,
    lost_before: u64,
    duplicates: u64,
    digits: String,
    /// Timestamps of the latest events, so that late and repeated packets tell nothing twice.
    events: VecDeque<u32>,
    last_packet: Option<Instant>,
    listen_for: Option<f64>,
    /// Packets in a row that were the sign.
    signs: u32,
    sign_at: Option<Instant>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    anchor: (u32, i64),
    first: i64,
    highest: i64,
    received: u64,
    /// One bit for each of the 64 sequence numbers up to the highest.
    seen: u64,
}

impl Stream {
    fn lost(&self) -> u64 {
        ((self.highest - self.first + 1).max(0) as u64).saturating_sub(self.received)
    }

    /// Counts a sequence number; false when it was there already.
    fn count(&mut self, sequence: u16) -> bool {
        let step = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        let number = self.highest + step;
        if step > 0 {
            self.seen = self.seen.checked_shl(step as u32).unwrap_or(0) | 1;
            self.highest = number;
        } else {
            let bit = 1u64.checked_shl(step.unsigned_abs() as u32).unwrap_or(0);
            if bit == 0 || self.seen & bit != 0 {
                return false;
            }
            self.seen |= bit;
            self.first = self.first.min(number);
        }
        self.received += 1;
        true
    }
}

impl Ear {
    fn new(opened: Instant, listen_for: Option<f64>) -> Ear {
        Ear {
            opened,
            base: 0,
            line: VecDeque::new(),
            stream: None,
            streams: 0,
            packets: 0,
            lost_before: 0,
            duplicates: 0,
            digits: String::new(),
            events: VecDeque::new(),
            last_packet: None,
            listen_for,
            signs: 0,
            sign_at: None,
        }
    }

    fn place(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.opened).as_micros() as i64 * i64::from(RATE) / 1_000_000
    }

    fn take(&mut self, now: Instant, packet: &[u8], receive_dtmf: u8) {
        let Some((payload_type, sequence, timestamp, ssrc, payload)) = read_packet(packet) else { return };
        self.last_packet = Some(now);
        let arrival = self.place(now);
        let stream = match &mut self.stream {
            Some(stream) if stream.ssrc == ssrc => stream,
            other => {
                self.lost_before += other.as_ref().map_or(0, Stream::lost);
                self.streams += 1;
                let number = i64::from(sequence) + (1 << 32);
                let anchor = (timestamp, arrival);
                other.insert(Stream { ssrc, anchor, first: number, highest: number - 1, received: 0, seen: 0 })
            }
        };
        if !stream.count(sequence) {
            self.duplicates += 1;
            return;
        }
        self.packets += 1;
        if payload_type == receive_dtmf {
            return self.event(timestamp, payload);
        }
        let Some(codec) = G711::of(payload_type) else { return };
        if let Some(hertz) = self.listen_for {
            return self.listen(now, hertz, codec, payload);
        }
        let mut at = stream.anchor.1 + i64::from(timestamp.wrapping_sub(stream.anchor.0) as i32);
        if (at - arrival).abs() > SLACK {
            at = arrival;
        }
        stream.anchor = (timestamp, at);
        self.write(at, codec, payload);
    }

    /// Looks for the sign, until it was heard.
    fn listen(&mut self, now: Instant, hertz: f64, codec: G711, payload: &[u8]) {
        if self.sign_at.is_some() {
            return;
        }
        let samples: Vec<i16> = payload.iter().map(|octet| codec.decode(*octet)).collect();
        let all = level(&samples);
        // Beside a tone that is there alone nothing else is loud.
        let alone = all > -30.0 && (level_at(&samples, hertz) - all).abs() < 1.5;
        self.signs = if alone { self.signs + 1 } else { 0 };
        if self.signs == SIGN_PACKETS {
            self.sign_at = Some(now);
        }
    }

    fn write(&mut self, at: i64, codec: G711, payload: &[u8]) {
        let kept = KEPT.as_secs() as usize * RATE as usize;
        if at - self.base > 2 * kept as i64 {
            // After a long quiet nothing old is within reach any more.
            self.line.clear();
            self.base = at;
        }
        let end = at + payload.len() as i64 - self.base;
        if end > self.line.len() as i64 {
            self.line.resize(end as usize, 0);
        }
        for (offset, octet) in (at - self.base..).zip(payload) {
            if let Some(sample) = usize::try_from(offset).ok().and_then(|o| self.line.get_mut(o)) {
                *sample = codec.decode(*octet);
            }
        }
        if let Some(old) = self.line.len().checked_sub(kept) {
            self.line.drain(..old);
            self.base += old as i64;
        }
    }

    fn event(&mut self, timestamp: u32, payload: &[u8]) {
        let Some(digit) = payload.first().filter(|_| payload.len() >= 4).and_then(|code| event_digit(*code)) else {
            return;
        };
        if !self.events.contains(&timestamp) && self.digits.len() < 256 {
            self.digits.push(digit);
            self.events.push_front(timestamp);
            self.events.truncate(8);
        }
    }

    fn snapshot(&self, now: Instant) -> Heard {
        // What would have come just now may still be on its way.
        let end = (self.place(now) - 2 * FRAME as i64 - self.base).max(0) as usize;
        let end = if self.listen_for.is_some() { 0 } else { end };
        let begin = end.saturating_sub(KEPT.as_secs() as usize * RATE as usize);
        let mut samples: Vec<i16> = self.line.iter().copied().take(end).skip(begin).collect();
        samples.resize(end - begin, 0);
        Heard {
            samples,
            packets: self.packets,
            lost: self.lost_before + self.stream.as_ref().map_or(0, Stream::lost),
            duplicates: self.duplicates,
            digits: self.digits.clone(),
            streams: self.streams,
            quiet_for: self.last_packet.map(|last| now.saturating_duration_since(last)),
        }
    }
}

/// Payload type, sequence number, timestamp, SSRC and payload (RFC 3550 section 5.1).
fn read_packet(packet: &[u8]) -> Option<(u8, u16, u32, u32, &[u8])> {
    let (head, mut rest) = packet.split_first_chunk::<12>()?;
    if head[0] >> 6 != 2 {
        return None;
    }
    rest = rest.get(4 * usize::from(head[0] & 0x0f)..)?;
    if head[0] & 0x10 != 0 {
        let words = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
        rest = rest.get(4 + 4 * usize::from(words)..)?;
    }
    if head[0] & 0x20 != 0 {
        rest = rest.get(..rest.len().checked_sub(usize::from(*rest.last()?))?)?;
    }
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    Some((head[1] & 0x7f, u16::from_be_bytes([head[2], head[3]]), word(4), word(8), rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // Tests hold the clock.
    use super::super::audio::Audio;
    use super::*;

    fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
        let mut sender = Sender { ssrc, sequence, timestamp: 0, marker: false, event: None, packets: 0 };
        sender.packet(payload_type, false, timestamp, payload)
    }

    #[test]
    fn loss_duplicates_and_order_are_counted() {
        let start = Instant::now();
        let mut ear = Ear::new(start, None);
        for (n, sequence) in [65534u16, 65535, 1, 0, 0, 5].into_iter().enumerate() {
            let now = start + Duration::from_millis(20 * n as u64);
            ear.take(now, &packet(8, sequence, u32::from(sequence.wrapping_sub(65534)) * 160, 7, &[0xd5; 160]), 101);
        }
        let heard = ear.snapshot(start + Duration::from_millis(200));
        assert_eq!((heard.packets, heard.lost, heard.duplicates, heard.streams), (5, 3, 1, 1));
        ear.take(start, &packet(8, 9, 0, 8, &[0xd5; 160]), 101);
        let heard = ear.snapshot(start + Duration::from_millis(200));
        assert_eq!((heard.packets, heard.lost, heard.streams), (6, 3, 2));
    }

    #[test]
    fn a_key_is_told_once_however_often_it_comes() {
        let start = Instant::now();
        let mut ear = Ear::new(start, None);
        let mut sequence = 0;
        for (timestamp, code) in [(100, 3), (100, 3), (900, 3), (100, 3), (1700, 11), (1700, 11), (2000, 99)] {
            sequence += 1;
            ear.take(start, &packet(101, sequence, timestamp, 1, &[code, 0x8a, 0, 160]), 101);
        }
        assert_eq!(ear.snapshot(start).digits, "33#");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let start = Instant::now();
        let mut ear = Ear::new(start, None);
        for n in 0..200u32 {
            let now = start + Duration::from_secs(u64::from(n));
            ear.take(now, &packet(8, n as u16, n * 8000, 1, &[0xaa; 160]), 101);
        }
        assert!(ear.line.len() <= 60 * 8000);
        let heard = ear.snapshot(start + Duration::from_secs(200));
        assert!(heard.samples.len() <= 60 * 8000 && heard.level(Duration::from_secs(5)) > -40.0);
    }

    #[test]
    fn broken_packets_are_left() {
        for bytes in [&[][..], &[0x80; 11], &[0x00; 20], &[0x8f; 20], &[0xa0; 12], &[0x90; 14]] {
            let _ = read_packet(bytes);
        }
        assert!(read_packet(&[0x00; 20]).is_none() && read_packet(&[0x8f; 20]).is_none());
        let mut padded = packet(8, 1, 1, 1, &[1, 2, 0, 2]);
        padded[0] |= 0x20;
        assert_eq!(read_packet(&padded).unwrap().4, [1, 2]);
    }

    #[tokio::test]
    async fn two_sessions_hear_each_other_and_each_others_keys() {
        let near = "127.0.0.1:0".parse().unwrap();
        let a = Session::open(near, Player::new(Audio::tone(700.0))).await.unwrap();
        let b = Session::open(near, Player::new(Audio::tone(1100.0))).await.unwrap();
        let route = |to: &Session, send, receive| Route {
            remote: to.local(),
            codec: G711::Pcma,
            send_dtmf: Some(send),
            receive_dtmf: receive,
            direction: Direction::SendRecv,
        };
        a.set_route(Some(route(&b, 96, 101)));
        b.set_route(Some(route(&a, 101, 96)));
        tokio::time::sleep(Duration::from_millis(700)).await;
        let (at_a, at_b) = (a.heard(), b.heard());
        let last = Duration::from_millis(400);
        assert!(at_a.level_at(1100.0, last) > -18.0, "{}", at_a.level_at(1100.0, last));
        assert!(at_b.level_at(700.0, last) > -18.0 && at_b.level_at(1100.0, last) < -60.0);
        assert!(a.send_digits("*31#") && !a.send_digits("x"));
        for _ in 0..100 {
            if a.digits_sent() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((b.heard().digits.as_str(), b.heard().lost), ("*31#", 0));
    }
}
