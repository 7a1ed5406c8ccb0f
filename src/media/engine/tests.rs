//! Stories on a virtual clock.
#![allow(clippy::disallowed_methods)] // the virtual clock begins at a real moment

use super::*;
use crate::media::{
    dtmf,
    rtp::{HEADER, Header, write_header},
    tone::{Sine, level},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

const CALL: CallId = CallId(1);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn params(port: u16, codec: Codec) -> LegParams {
    LegParams {
        remote: Some(SocketAddr::new([10, 0, 0, 1].into(), port)),
        remote_rtcp: Some(SocketAddr::new([10, 0, 0, 1].into(), port + 1)),
        codec,
        send_pt: codec.static_payload_type(),
        receive_pt: codec.static_payload_type(),
        send_dtmf: Some(101),
        receive_dtmf: Some(96),
        ptime_ms: 20,
        send: true,
        receive: true,
    }
}

#[derive(Debug, PartialEq)]
struct Frame {
    recording: u64,
    leg: LegId,
    side: Side,
    at_ms: u32,
}

/// What left the engine.
#[derive(Default)]
struct Out {
    rtp: Vec<(usize, SocketAddr, Vec<u8>)>,
    rtcp: Vec<(usize, SocketAddr, Vec<u8>)>,
    events: Vec<Event>,
    frames: Vec<Frame>,
    stops: Vec<(u64, Duration, bool)>,
    locks: Vec<Option<SocketAddr>>,
    full: bool,
}

impl Sink for Out {
    fn send_rtp(&mut self, slot: usize, to: SocketAddr, packet: &[u8]) {
        self.rtp.push((slot, to, packet.to_vec()));
    }
    fn send_rtcp(&mut self, slot: usize, to: SocketAddr, packet: &[u8]) {
        self.rtcp.push((slot, to, packet.to_vec()));
    }
    fn event(&mut self, event: CallEvent) {
        assert_eq!(event.call, CALL);
        self.events.push(event.event);
    }
    fn record(&mut self, record: Record<'_>) -> bool {
        match record {
            Record::Start { .. } => {}
            Record::Frame { recording, leg, side, at_ms, .. } if !self.full => {
                self.frames.push(Frame { recording: recording.0, leg, side, at_ms });
            }
            Record::Frame { .. } => return false,
            Record::Stop { recording, length, gap } => self.stops.push((recording.0, length, gap)),
        }
        true
    }
    fn locked(&mut self, _slot: usize, peer: Option<SocketAddr>) {
        self.locks.push(peer);
    }
}

/// A peer that sends a tone.
struct Peer {
    leg: LegId,
    from: SocketAddr,
    codec: Codec,
    sine: Sine,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    dtmf: dtmf::Sender,
    event_timestamp: u32,
}

struct World {
    engine: Engine,
    now: Now,
    out: Out,
    peers: Vec<Peer>,
    /// What each leg was sent, in order.
    heard: BTreeMap<LegId, Vec<(Duration, Header, Vec<u8>)>>,
    start: Now,
}

impl World {
    fn new() -> World {
        let now = Now { mono: Instant::now(), wall: UnixMillis(1_800_000_000_000) };
        let engine = Engine::new(7, now.mono);
        World { engine, now, out: Out::default(), peers: vec![], heard: BTreeMap::new(), start: now }
    }

    fn command(&mut self, command: Command) {
        self.engine.handle_command(self.now, CALL, command, &mut self.out).unwrap();
    }

    /// Adds a leg and its peer, which sends a tone of so many hertz.
    fn leg(&mut self, n: u64, codec: Codec, hertz: f64) -> LegId {
        let leg = LegId(n);
        self.command(Command::AddLeg { leg, learn: LearnPolicy::Never });
        let params = params(4000 + n as u16 * 10, codec);
        let from = params.remote.unwrap();
        self.command(Command::SetParams { leg, params });
        self.peers.push(Peer {
            leg,
            from,
            codec,
            sine: Sine::new(hertz, 8000.0),
            sequence: 65_500u16.wrapping_add(n as u16),
            timestamp: u32::MAX - 5000 * n as u32,
            ssrc: n as u32,
            dtmf: dtmf::Sender::default(),
            event_timestamp: 0,
        });
        leg
    }

    fn collect(&mut self) {
        for (slot, _, packet) in self.out.rtp.drain(..) {
            let leg = self.engine.legs[slot].as_ref().unwrap().id;
            let h = Header::parse(&packet).unwrap();
            let passed = self.now.mono - self.start.mono;
            self.heard.entry(leg).or_default().push((passed, h, packet[h.start..h.end].to_vec()));
        }
    }

    fn inject(&mut self, leg: LegId, from: SocketAddr, packet: &mut [u8]) {
        let slot = self.engine.slot(leg).unwrap();
        self.engine.handle_rtp(self.now, slot, from, packet, &mut self.out);
        self.collect();
    }

    /// Lets time pass in steps of a millisecond; peers send each 20 ms, at different moments.
    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now = self.now.plus(Duration::from_millis(1));
            let passed = (self.now.mono - self.start.mono).as_millis() as u64;
            if self.engine.poll_timeout().is_some_and(|due| due <= self.now.mono) {
                self.engine.tick(self.now, &mut self.out);
                self.collect();
            }
            for i in 0..self.peers.len() {
                if passed % 20 == (i as u64 * 7) % 20 {
                    self.peer_sends(i);
                }
            }
        }
    }

    fn peer_sends(&mut self, i: usize) {
        let peer = &mut self.peers[i];
        let (leg, from, at) = (peer.leg, peer.from, peer.timestamp);
        let mut samples = [0; 160];
        peer.sine.fill(&mut samples);
        peer.timestamp = peer.timestamp.wrapping_add(160);
        let mut packets = vec![];
        if peer.dtmf.is_active() {
            if let Some(step) = peer.dtmf.step() {
                peer.event_timestamp = if step.first { at } else { peer.event_timestamp };
                packets = vec![(96, peer.event_timestamp, step.payload.to_vec()); step.copies.into()];
            }
        } else {
            let mut payload = vec![0; 160];
            peer.codec.encode_slice(&samples, &mut payload);
            packets.push((peer.codec.static_payload_type(), at, payload));
        }
        for (payload_type, timestamp, payload) in packets {
            let peer = &mut self.peers[i];
            peer.sequence = peer.sequence.wrapping_add(1);
            let mut packet = vec![0; HEADER];
            let head = packet.first_chunk_mut().unwrap();
            write_header(head, false, payload_type, peer.sequence, timestamp, peer.ssrc);
            packet.extend_from_slice(&payload);
            self.inject(leg, from, &mut packet);
        }
    }

    /// The audio that a leg was sent since `from`.
    fn audio(&self, leg: LegId, from: usize) -> Vec<i16> {
        let codec = self.peers.iter().find(|p| p.leg == leg).unwrap().codec;
        let packets = self.heard.get(&leg).map_or(&[][..], |h| &h[from..]);
        packets
            .iter()
            .filter(|(_, h, _)| h.payload_type != 101)
            .flat_map(|(_, _, p)| p)
            .map(|o| codec.decode(*o))
            .collect()
    }

    fn count(&self, leg: LegId) -> usize {
        self.heard.get(&leg).map_or(0, Vec::len)
    }

    fn bridge(&mut self, a: LegId, b: LegId) {
        self.command(Command::Hear { leg: a, source: Source::Leg(b) });
        self.command(Command::Hear { leg: b, source: Source::Leg(a) });
    }

    fn play(&mut self, leg: LegId, id: u64, hertz: f64, millis: usize, repeat: bool) {
        let mut samples = vec![0; millis * 8];
        Sine::new(hertz, 8000.0).fill(&mut samples);
        let clips = vec![Arc::new(Clip::from_samples("tone", &samples))];
        self.command(Command::Play { leg, id: PlayId(id), clips, repeat });
    }
}

/// One line: sequence numbers follow each other, timestamps go with the clock, the marker is on the first packet of
/// each of `switches` parts.
fn assert_one_line(packets: &[(Duration, Header, Vec<u8>)], switches: usize) {
    let first = &packets[0].1;
    for pair in packets.windows(2) {
        let ((t0, a, _), (t1, b, _)) = (&pair[0], &pair[1]);
        assert_eq!(b.ssrc, first.ssrc);
        assert_eq!(b.sequence, a.sequence.wrapping_add(1), "at {t1:?}");
        let (samples, passed) = (b.timestamp.wrapping_sub(a.timestamp) as i32, (*t1 - *t0).as_millis() as i32 * 8);
        assert!(samples > 0 && (samples - passed).abs() <= 200, "at {t1:?}: {samples} samples in {passed}");
    }
    assert_eq!(packets.iter().filter(|(_, h, _)| h.marker).count(), switches);
}

#[test]
fn one_line_goes_through_prompt_bridge_hold_music_and_room() {
    let mut w = World::new();
    let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcma, 900.0));
    w.run(333);
    w.play(a, 1, 700.0, 400, false);
    w.run(600);
    assert_eq!(w.out.events, [Event::PlayDone { leg: a, id: PlayId(1) }]);
    w.bridge(a, b);
    w.run(500);
    w.play(a, 2, 300.0, 100, true);
    w.run(500);
    w.command(Command::StopPlay { leg: a });
    w.run(500);
    w.command(Command::Hear { leg: a, source: Source::Room(1) });
    w.command(Command::Hear { leg: b, source: Source::Room(1) });
    w.run(500);
    assert_one_line(&w.heard[&a], 5);
    assert_one_line(&w.heard[&b], 2);
    // Packets a second: 20 for 0.4 s of prompt, then 25 each half second.
    assert!((115..=121).contains(&w.count(a)), "{}", w.count(a));
    let audio = w.audio(a, 95);
    assert!(level(&audio[960..], 900.0) > -13.0, "the room brings the other");
    assert!(level(&audio[960..], 500.0) < -53.0, "and not oneself");
}

#[test]
fn codecs_that_differ_are_converted_and_payload_types_mapped() {
    let mut w = World::new();
    let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcmu, 900.0));
    let c = w.leg(3, Codec::Pcma, 1300.0);
    w.bridge(a, b);
    w.command(Command::Hear { leg: c, source: Source::Leg(a) });
    w.run(400);
    assert!(w.heard[&a].iter().all(|(_, h, _)| h.payload_type == 8));
    assert!(w.heard[&b].iter().all(|(_, h, _)| h.payload_type == 0));
    for (leg, hertz) in [(a, 900.0), (b, 500.0), (c, 500.0)] {
        assert!(level(&w.audio(leg, 0), hertz) > -13.0, "{leg:?}");
    }
}

#[test]
fn three_in_a_room_hear_the_others_and_not_themselves() {
    let mut w = World::new();
    let tones = [437.0, 1013.0, 1733.0];
    let legs = [w.leg(1, Codec::Pcma, tones[0]), w.leg(2, Codec::Pcmu, tones[1]), w.leg(3, Codec::Pcma, tones[2])];
    for leg in legs {
        w.command(Command::Hear { leg, source: Source::Room(5) });
    }
    w.run(2000);
    for (i, leg) in legs.into_iter().enumerate() {
        let audio = w.audio(leg, 25);
        for (j, hertz) in tones.into_iter().enumerate() {
            let found = level(&audio, hertz);
            assert!(if i == j { found < -53.0 } else { found > -13.5 }, "{i} hears {j} at {found}");
        }
        assert_one_line(&w.heard[&leg], 1);
    }
    // One leaves: the others go on; a room of another call is another room.
    w.command(Command::RemoveLeg { leg: legs[2] });
    w.peers.pop();
    w.run(1000);
    let audio = w.audio(legs[0], 120);
    assert!(level(&audio, tones[1]) > -13.5 && level(&audio, tones[2]) < -53.0);
}

#[test]
fn a_member_hears_a_room_in_its_own_packet_time() {
    for ptime in [10, 20, 30, 40, 60] {
        let mut w = World::new();
        let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcma, 900.0));
        w.command(Command::SetParams { leg: a, params: LegParams { ptime_ms: ptime, ..params(4010, Codec::Pcma) } });
        for leg in [a, b] {
            w.command(Command::Hear { leg, source: Source::Room(1) });
        }
        w.run(1200);
        assert!(w.heard[&a].iter().all(|(_, _, p)| p.len() == usize::from(ptime) * 8));
        assert!(level(&w.audio(a, 10), 900.0) > -13.5, "{ptime}");
        w.play(a, 1, 700.0, 600, false);
        let from = w.count(a);
        w.run(580);
        assert!(w.heard[&a][from..].iter().all(|(_, _, p)| p.len() == usize::from(ptime) * 8));
        assert!(level(&w.audio(a, from + 1), 700.0) > -13.5, "{ptime}");
    }
}

#[test]
fn keys_are_told_once_and_passed_on_when_asked() {
    let mut w = World::new();
    let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcma, 900.0));
    w.bridge(a, b);
    w.run(100);
    "12".chars().for_each(|k| assert!(w.peers[0].dtmf.push(k, Duration::from_millis(100))));
    w.run(600);
    let told = |w: &World| w.out.events.iter().filter(|e| matches!(e, Event::Digit { leg, .. } if *leg == a)).count();
    assert_eq!(told(&w), 2);
    assert!(w.heard[&b].iter().all(|(_, h, _)| h.payload_type == 8), "not passed on");
    w.command(Command::ForwardDigits { leg: a, on: true });
    "*9".chars().for_each(|k| assert!(w.peers[0].dtmf.push(k, Duration::from_millis(100))));
    w.run(800);
    assert_eq!(told(&w), 4);
    let mut receiver = dtmf::Receiver::default();
    let events: Vec<_> = w.heard[&b].iter().filter(|(_, h, _)| h.payload_type == 101).collect();
    let keys: String = events.iter().filter_map(|(_, h, p)| receiver.receive(h.ssrc, h.timestamp, p)).collect();
    assert_eq!(keys, "*9");
    assert_eq!(events.iter().filter(|(_, h, _)| h.marker).count(), 2);
    let line = &w.heard[&b];
    assert!(
        line.windows(2).all(|p| p[1].1.sequence == p[0].1.sequence.wrapping_add(1)
            || p[1].1.sequence.wrapping_sub(p[0].1.sequence) < 40)
    );
    assert!(line.windows(2).all(|p| p[1].1.timestamp.wrapping_sub(p[0].1.timestamp) < 8000), "never backwards");
    assert!(w.heard[&a].len() > 70, "the other way is not disturbed");
}

#[test]
fn keys_are_sent_on_the_same_line() {
    let mut w = World::new();
    let a = w.leg(1, Codec::Pcma, 500.0);
    w.play(a, 1, 700.0, 100, true);
    w.run(200);
    w.command(Command::SendDigit { leg: a, digit: '#', length: Duration::from_millis(100) });
    w.run(400);
    let events: Vec<_> = w.heard[&a].iter().filter(|(_, h, _)| h.payload_type == 101).collect();
    assert_eq!(events.len(), 9);
    assert!(events[0].1.marker && events[1..].iter().all(|(_, h, _)| !h.marker));
    assert!(events.iter().all(|(_, h, _)| h.timestamp == events[0].1.timestamp));
    assert!(w.heard[&a].windows(2).all(|p| p[1].1.sequence == p[0].1.sequence.wrapping_add(1)));
    let refused = Command::SendDigit { leg: a, digit: 'x', length: Duration::ZERO };
    assert_eq!(w.engine.handle_command(w.now, CALL, refused, &mut w.out), Err(Refused::Digit));
}

fn packet(sequence: u16, payload_type: u8) -> Vec<u8> {
    let mut packet = vec![0xd5; HEADER + 160];
    write_header(packet.first_chunk_mut().unwrap(), false, payload_type, sequence, u32::from(sequence) * 160, 9);
    packet
}

#[test]
fn the_source_is_learned_once_and_anew_after_an_offer() {
    let mut w = World::new();
    let leg = w.leg(1, Codec::Pcma, 500.0);
    w.peers.clear();
    let nets: Arc<[IpNet]> = vec!["10.9.0.0/16".parse().unwrap()].into();
    w.command(Command::AddLeg { leg, learn: LearnPolicy::AllowedNets(nets) });
    let (inside, second, outside) = (address("10.9.1.1:5"), address("10.9.1.2:5"), address("10.8.1.1:5"));
    w.inject(leg, outside, &mut packet(1, 8));
    w.inject(leg, inside, &mut [1, 2, 3]);
    w.inject(leg, inside, &mut packet(1, 77));
    assert!(w.out.locks.is_empty());
    w.inject(leg, inside, &mut packet(1, 8));
    w.inject(leg, second, &mut packet(2, 8));
    w.inject(leg, address("10.0.0.1:4010"), &mut packet(3, 8));
    assert_eq!(w.out.locks, [Some(inside)]);
    w.command(Command::AskStats { leg });
    let Some(Event::Stats { stats, .. }) = w.out.events.pop() else { panic!() };
    assert_eq!((stats.packets_received, stats.foreign, stats.malformed), (1, 3, 2));
    // It is answered to where it came from.
    w.play(leg, 1, 700.0, 100, true);
    w.engine.tick(w.now.plus(Duration::from_millis(30)), &mut w.out);
    assert_eq!(w.out.rtp[0].1, inside);
    // The same offer again, also after a hold without an address, changes nothing; another address does.
    w.command(Command::SetParams { leg, params: LegParams { remote: None, ..params(4010, Codec::Pcma) } });
    w.command(Command::SetParams { leg, params: params(4010, Codec::Pcma) });
    w.inject(leg, inside, &mut packet(4, 8));
    assert_eq!(w.out.locks, [Some(inside)]);
    w.command(Command::SetParams { leg, params: params(5000, Codec::Pcma) });
    w.inject(leg, second, &mut packet(5, 8));
    assert_eq!(w.out.locks, [Some(inside), None, Some(second)]);
}

#[test]
fn policies_say_who_may_be_learned() {
    for (learn, from, taken) in [
        (LearnPolicy::Never, "10.0.0.1:4010", true),
        (LearnPolicy::Never, "10.0.0.1:9", false),
        (LearnPolicy::SameHost, "10.0.0.1:9", true),
        (LearnPolicy::SameHost, "10.0.0.2:4010", false),
    ] {
        let mut w = World::new();
        let leg = w.leg(1, Codec::Pcma, 500.0);
        w.command(Command::AddLeg { leg, learn: learn.clone() });
        w.inject(leg, address(from), &mut packet(1, 8));
        assert_eq!(!w.out.locks.is_empty(), taken, "{learn:?} {from}");
    }
}

#[test]
fn hold_drops_what_comes_and_stops_what_goes() {
    let mut w = World::new();
    let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcma, 900.0));
    w.bridge(a, b);
    w.run(200);
    let (to_a, to_b) = (w.count(a), w.count(b));
    w.command(Command::SetParams { leg: a, params: LegParams { receive: false, ..params(4010, Codec::Pcma) } });
    w.run(200);
    assert_eq!(w.count(b), to_b, "nothing of the held leg is passed on");
    assert!(w.count(a) > to_a);
    w.command(Command::SetParams { leg: a, params: LegParams { send: false, ..params(4010, Codec::Pcma) } });
    let to_a = w.count(a);
    w.play(a, 1, 700.0, 100, false);
    w.run(200);
    assert_eq!(w.count(a), to_a);
    assert!(w.count(b) > to_b);
    assert!(w.out.events.contains(&Event::PlayDone { leg: a, id: PlayId(1) }), "what plays ends in its time");
}

#[test]
fn silence_is_told_each_five_seconds_until_something_comes() {
    let mut w = World::new();
    let leg = w.leg(1, Codec::Pcma, 500.0);
    w.run(10_000);
    assert_eq!(w.out.events, []);
    let peer = w.peers.pop().unwrap();
    w.run(16_000);
    let lengths: Vec<u64> = w
        .out
        .events
        .drain(..)
        .map(|e| match e {
            Event::Silent { leg: l, length, held: false } if l == leg => length.as_millis() as u64,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths.len(), 3);
    assert!(lengths.iter().zip([5000, 10_000, 15_000]).all(|(l, e)| l.abs_diff(e) < 40), "{lengths:?}");
    // RTCP is life, too.
    let mut report = [0; rtcp::LONGEST];
    let n = rtcp::build(&mut report, 1, None, None, b"x", false);
    let slot = w.engine.slot(leg).unwrap();
    w.engine.handle_rtcp(w.now, slot, address("10.0.0.1:4011"), &report[..n], &mut w.out);
    assert_eq!(w.out.events.drain(..).collect::<Vec<_>>(), [Event::Heard { leg }]);
    w.peers.push(peer);
    w.run(6000);
    // Of a leg that is not to send, silence is told with its reason.
    w.peers.clear();
    w.command(Command::SetParams { leg, params: LegParams { receive: false, ..params(4010, Codec::Pcma) } });
    w.run(21_000);
    let told = |e: &Event| matches!(e, Event::Silent { held: true, .. });
    assert_eq!((w.out.events.len(), w.out.events.drain(..).filter(told).count()), (4, 4));
    // Silence counts anew from when it may send again.
    w.command(Command::SetParams { leg, params: params(4010, Codec::Pcma) });
    w.run(6_000);
    assert!(matches!(w.out.events[..], [Event::Silent { length, held: false, .. }] if length.as_secs() < 6));
}

#[test]
fn reports_tell_what_was_sent_and_lost_and_the_end() {
    let mut w = World::new();
    let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcma, 900.0));
    w.bridge(a, b);
    for i in 0..600 {
        w.run(20);
        if i % 10 == 0 {
            w.peers[0].sequence = w.peers[0].sequence.wrapping_add(1); // one in eleven is lost
        }
    }
    let slot = w.engine.slot(a).unwrap();
    let reports: Vec<_> = w.out.rtcp.iter().filter(|(s, ..)| *s == slot).collect();
    assert!((2..=3).contains(&reports.len()), "{}", reports.len());
    assert_eq!(reports[0].1, address("10.0.0.1:4011"));
    let Some(rtcp::Packet::SenderReport { info, mut blocks, .. }) = rtcp::parse(&reports[1].2).unwrap().next() else {
        panic!()
    };
    let block = blocks.next().unwrap();
    assert!(info.packets > 400 && info.octets == info.packets * 160);
    assert!((20..28).contains(&block.fraction_lost), "{}", block.fraction_lost);
    // The peer answers: a round trip of 80 ms of which it waited 50.
    let middle = (info.ntp >> 16) as u32;
    let ssrc = w.heard[&a][0].1.ssrc;
    let sent = rtcp::ReportBlock { ssrc, lost: 7, last_sr: middle, delay_since_sr: 65_536 / 20, ..Default::default() };
    let mut report = [0; rtcp::LONGEST];
    let n = rtcp::build(&mut report, 1, None, Some(sent), b"x", false);
    let at =
        UnixMillis(((info.ntp >> 32) as i64 - 2_208_988_800) * 1000 + (((info.ntp & 0xffff_ffff) * 1000) >> 32) as i64);
    let later = Now { wall: at.plus(Duration::from_millis(80)), ..w.now };
    w.engine.handle_rtcp(later, slot, address("10.0.0.1:4011"), &report[..n], &mut w.out);
    w.command(Command::RemoveLeg { leg: a });
    let last: Vec<_> = rtcp::parse(&w.out.rtcp.last().unwrap().2).unwrap().collect();
    assert_eq!(last[2], rtcp::Packet::Bye { ssrc: Some(ssrc) });
    let Some(Event::Stats { stats, .. }) = w.out.events.pop() else { panic!() };
    assert_eq!((stats.lost, stats.peer_lost, stats.packets_received), (60, 7, 600));
    let trip = stats.round_trip.unwrap().as_millis();
    assert!((28..=32).contains(&trip), "{trip}");
    assert!(stats.jitter < Duration::from_millis(2));
}

#[test]
fn what_a_leg_says_is_recorded_on_its_side_unless_paused() {
    let mut w = World::new();
    let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcmu, 900.0));
    w.bridge(a, b);
    let recording = RecordingId(3);
    w.command(Command::StartRecording { recording });
    w.command(Command::RecordLeg { recording, leg: a, side: Side::Left });
    w.command(Command::RecordLeg { recording, leg: b, side: Side::Right });
    w.run(200);
    assert_eq!(w.out.frames.len(), 20);
    assert!(w.out.frames.iter().all(|f| f.recording == 3 && (f.side == Side::Left) == (f.leg == a)));
    assert_eq!(w.out.frames.last().unwrap().at_ms, 200);
    w.command(Command::PauseRecording { recording, paused: true });
    w.run(200);
    assert_eq!(w.out.frames.len(), 20);
    w.command(Command::PauseRecording { recording, paused: false });
    w.out.full = true;
    w.run(20);
    w.out.full = false;
    w.command(Command::StopRecording { recording });
    w.run(100);
    assert_eq!(w.out.frames.len(), 20);
    assert_eq!(w.out.stops, [(3, Duration::from_millis(420), true)]);
    // A call that forgets to stop a recording does not keep it open.
    w.command(Command::StartRecording { recording: RecordingId(4) });
    w.command(Command::RemoveLeg { leg: b });
    assert_eq!(w.out.stops.len(), 1);
    w.command(Command::RemoveLeg { leg: a });
    assert_eq!(w.out.stops[1], (4, Duration::ZERO, false));
    let again = Command::StopRecording { recording };
    assert_eq!(w.engine.handle_command(w.now, CALL, again, &mut w.out), Err(Refused::NoRecording));
}

#[test]
fn a_moved_leg_keeps_its_line() {
    let mut w = World::new();
    let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcma, 900.0));
    w.bridge(a, b);
    w.run(200);
    let taken = w.engine.take_leg(CALL, b).unwrap();
    assert!(w.engine.take_leg(CALL, b).is_none() && w.engine.slot(b).is_none());
    w.engine.put_leg(w.now, CALL, taken).unwrap();
    w.bridge(a, b);
    w.run(200);
    assert_one_line(&w.heard[&a], 1);
    assert_one_line(&w.heard[&b], 1);
}

#[test]
fn a_bridge_survives_a_peer_that_begins_anew_and_late_packets() {
    let mut w = World::new();
    let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcma, 900.0));
    w.bridge(a, b);
    w.run(200);
    w.peers[0].ssrc = 77;
    w.peers[0].sequence = 12;
    w.peers[0].timestamp = 5;
    w.run(200);
    w.peers[0].timestamp = 3_000_000_000; // the same source, another clock
    w.run(200);
    assert_one_line(&w.heard[&b], 3);
    // A packet from before the last switch would land on numbers that were given out: it is dropped.
    let before = w.count(b);
    w.command(Command::Play { leg: b, id: PlayId(1), clips: vec![], repeat: false });
    w.run(100);
    let (mut late, from) = (packet(13, 8), w.peers[0].from);
    late[8..12].copy_from_slice(&77u32.to_be_bytes());
    w.inject(a, from, &mut late);
    assert!(w.count(b) > before);
    let line = &w.heard[&b];
    let mut numbers: Vec<u16> = line.iter().map(|(_, h, _)| h.sequence.wrapping_sub(line[0].1.sequence)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), line.len());
}

#[test]
fn prompts_are_spread_over_the_milliseconds() {
    let mut w = World::new();
    let legs: Vec<LegId> = (1..=40).map(|n| w.leg(n, Codec::Pcma, 500.0)).collect();
    w.peers.clear();
    legs.iter().for_each(|leg| w.play(*leg, leg.0, 700.0, 1000, false));
    w.run(400);
    let mut slots = [0; 20];
    w.heard.values().for_each(|h| slots[(h[5].0.as_millis() % 20) as usize] += 1);
    assert_eq!(slots, [2; 20]);
}

#[test]
fn commands_for_strangers_are_refused() {
    let mut w = World::new();
    let a = w.leg(1, Codec::Pcma, 500.0);
    let other = CallId(2);
    for command in [
        Command::RemoveLeg { leg: a },
        Command::AddLeg { leg: a, learn: LearnPolicy::Never },
        Command::Hear { leg: a, source: Source::Nothing },
        Command::StopRecording { recording: RecordingId(1) },
    ] {
        assert!(w.engine.handle_command(w.now, other, command, &mut w.out).is_err());
    }
    // A leg that hears a leg of another call hears nothing.
    w.engine
        .handle_command(w.now, other, Command::AddLeg { leg: LegId(9), learn: LearnPolicy::Never }, &mut w.out)
        .unwrap();
    let hear = Command::Hear { leg: LegId(9), source: Source::Leg(a) };
    w.engine.handle_command(w.now, other, hear, &mut w.out).unwrap();
    let slot = w.engine.slot(a).unwrap();
    assert!(w.engine.legs[slot].as_ref().unwrap().listeners.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_datagrams_in_any_setting_do_no_harm(
        packets in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), any::<bool>(), 0u8..6, 0u64..60), 1..120),
        room in any::<bool>(),
    ) {
        let mut w = World::new();
        let (a, b) = (w.leg(1, Codec::Pcma, 500.0), w.leg(2, Codec::Pcmu, 900.0));
        w.command(Command::ForwardDigits { leg: a, on: true });
        w.command(Command::StartRecording { recording: RecordingId(1) });
        w.command(Command::RecordLeg { recording: RecordingId(1), leg: a, side: Side::Left });
        if room {
            w.command(Command::Hear { leg: a, source: Source::Room(1) });
            w.command(Command::Hear { leg: b, source: Source::Room(1) });
        } else {
            w.bridge(a, b);
        }
        w.peers.truncate(1);
        let from = w.peers.pop().unwrap().from;
        for (mut bytes, valid, kind, passed) in packets {
            if valid && bytes.len() >= 2 {
                bytes[0] = 0x80 | bytes[0] & 0x3f;
                bytes[1] = [8, 0, 96, 13, 200, 201][usize::from(kind)];
            }
            w.inject(a, from, &mut bytes);
            let slot = w.engine.slot(a).unwrap();
            w.engine.handle_rtcp(w.now, slot, from, &bytes, &mut w.out);
            w.run(passed);
        }
        w.command(Command::RemoveLeg { leg: a });
        w.run(100);
    }
}
