//! Real sockets on loopback.
#![allow(clippy::disallowed_methods)] // a peer on a real socket has a real clock

use super::*;
use crate::{
    ids::RecordingId,
    media::{
        clip::Clip,
        codec::Codec,
        engine::{Event, LegParams, PlayId, Side, Source},
        rtp::{HEADER, Header, write_header},
        tone::{Sine, level},
    },
    net::recording::{Key, RecordingConfig, export_wav},
};
use std::{
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

fn pool(
    ports: RangeInclusive<u16>,
    threads: usize,
    recordings: Option<RecordingConfig>,
) -> (MediaPool, Receiver<CallEvent>) {
    let (sender, events) = channel();
    let config = MediaConfig { ports, threads, recordings, ..MediaConfig::new([127, 0, 0, 1].into()) };
    let pool = MediaPool::new(config, Arc::new(move |event| drop(sender.send(event)))).unwrap();
    (pool, events)
}

fn params(remote: SocketAddr) -> LegParams {
    LegParams {
        remote: Some(remote),
        remote_rtcp: None,
        codec: Codec::Pcma,
        send_pt: 8,
        receive_pt: 8,
        send_dtmf: Some(101),
        receive_dtmf: Some(101),
        ptime_ms: 20,
        send: true,
        receive: true,
    }
}

fn peer() -> UdpSocket {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    peer
}

fn tone(hertz: f64, seconds: usize) -> Vec<i16> {
    let mut samples = vec![0; 8000 * seconds];
    Sine::new(hertz, 10_000.0).fill(&mut samples);
    samples
}

/// Sends a tone to an address in real time, and gives what came back meanwhile.
fn talk(socket: &UdpSocket, to: SocketAddr, hertz: f64, frames: usize) -> Vec<i16> {
    socket.set_nonblocking(true).unwrap();
    let (samples, start, mut heard) = (tone(hertz, frames / 50 + 1), Instant::now(), vec![]);
    for (n, frame) in samples.chunks(160).take(frames).enumerate() {
        let mut packet = [0; HEADER + 160];
        write_header(packet.first_chunk_mut().unwrap(), n == 0, 8, n as u16, n as u32 * 160, to.port().into());
        Codec::Pcma.encode_slice(frame, &mut packet[HEADER..]);
        socket.send_to(&packet, to).unwrap();
        let next = start + Duration::from_millis(20) * (n as u32 + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let mut buffer = [0; 1500];
        while let Ok(n) = socket.recv(&mut buffer) {
            let h = Header::parse(&buffer[..n]).unwrap();
            heard.extend(buffer[h.start..h.end].iter().map(|o| Codec::Pcma.decode(*o)));
        }
    }
    heard
}

#[test]
fn a_prompt_is_heard_at_fifty_packets_a_second() {
    let (pool, events) = pool(21_000..=21_019, 1, None);
    let (call, leg, peer) = (CallId(1), LegId(2), peer());
    let local = pool.open(call, leg).unwrap();
    assert!(local.port() % 2 == 0 && (21_000..=21_018).contains(&local.port()));
    pool.command(call, Command::SetParams { leg, params: params(peer.local_addr().unwrap()) }).unwrap();
    let clips = vec![Arc::new(Clip::from_samples("tone", &tone(700.0, 2)))];
    pool.command(call, Command::Play { leg, id: PlayId(9), clips, repeat: false }).unwrap();
    let (mut times, mut samples, mut last) = (vec![], vec![], None::<Header>);
    let mut buffer = [0; 1500];
    while times.len() < 100 {
        let (n, from) = peer.recv_from(&mut buffer).unwrap();
        times.push(Instant::now());
        assert_eq!(from, local);
        let h = Header::parse(&buffer[..n]).unwrap();
        if let Some(last) = last {
            assert_eq!(h.sequence, last.sequence.wrapping_add(1));
            assert_eq!(h.timestamp, last.timestamp.wrapping_add(160));
            assert_eq!(h.ssrc, last.ssrc);
        }
        assert_eq!(h.marker, last.is_none());
        last = Some(h);
        samples.extend(buffer[h.start..h.end].iter().map(|o| Codec::Pcma.decode(*o)));
    }
    let took = times[99] - times[0];
    assert!((1900..2100).contains(&took.as_millis()), "{took:?}");
    let mut gaps: Vec<Duration> = times.windows(2).map(|w| w[1] - w[0]).collect();
    gaps.sort();
    assert!((15..25).contains(&gaps[49].as_millis()), "{:?}", gaps[49]);
    assert!(level(&samples, 700.0) > -11.0);
    let done = events.recv_timeout(Duration::from_secs(1)).unwrap();
    assert_eq!(done, CallEvent { call, event: Event::PlayDone { leg, id: PlayId(9) } });
    pool.close(call, leg);
    let event = events.recv_timeout(Duration::from_secs(1)).unwrap().event;
    assert!(matches!(event, Event::Stats { stats, .. } if stats.packets_sent == 100), "{event:?}");
    let deadline = Instant::now() + Duration::from_secs(1);
    while pool.ports_free_of_all() != (10, 10) {
        assert!(Instant::now() < deadline, "ports are given back");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_bridge_is_recorded_with_the_right_sides_and_length() {
    let folder = std::env::temp_dir().join(format!("hotline-recording-{}", std::process::id()));
    let key = Key { id: 1, bytes: [7; 32] };
    let (pool, events) = pool(21_020..=21_039, 1, Some(RecordingConfig::new(&folder, key.clone())));
    let (call, recording) = (CallId(5), RecordingId(0x1234));
    let legs = [(LegId(1), peer(), 500.0), (LegId(2), peer(), 1100.0)];
    let mut addresses = vec![];
    for (leg, peer, _) in &legs {
        addresses.push(pool.open(call, *leg).unwrap());
        pool.command(call, Command::SetParams { leg: *leg, params: params(peer.local_addr().unwrap()) }).unwrap();
    }
    let (a, b) = (LegId(1), LegId(2));
    for command in [
        Command::Hear { leg: a, source: Source::Leg(b) },
        Command::Hear { leg: b, source: Source::Leg(a) },
        Command::StartRecording { recording },
        Command::RecordLeg { recording, leg: a, side: Side::Left },
        Command::RecordLeg { recording, leg: b, side: Side::Right },
    ] {
        pool.command(call, command).unwrap();
    }
    let start = Instant::now();
    let heard: Vec<Vec<i16>> = std::thread::scope(|scope| {
        let talks: Vec<_> = legs
            .iter()
            .zip(&addresses)
            .map(|((_, peer, hertz), to)| scope.spawn(move || talk(peer, *to, *hertz, 150)))
            .collect();
        talks.into_iter().map(|t| t.join().unwrap()).collect()
    });
    pool.command(call, Command::StopRecording { recording }).unwrap();
    let length = start.elapsed();
    let levels = heard.iter().map(|h| (level(h, 500.0), level(h, 1100.0))).collect::<Vec<_>>();
    assert!(levels[0].1 > -11.5 && levels[0].0 < -50.0, "{levels:?}");
    assert!(levels[1].0 > -11.5 && levels[1].1 < -50.0, "{levels:?}");
    let done = events.recv_timeout(Duration::from_secs(4)).unwrap();
    assert!(matches!(done.event, Event::RecordingDone { gap: false, .. }), "{done:?}");
    assert_eq!(pool.recording_counters().unwrap().failed.load(std::sync::atomic::Ordering::Relaxed), 0);
    drop(pool);

    let path = crate::net::recording::path(&folder, recording);
    let mut wav = std::io::Cursor::new(vec![]);
    let summary = export_wav(&path, &key, &mut wav).unwrap();
    assert!(!summary.shortened && !summary.gap && summary.recording == recording);
    let off = summary.length.as_secs_f64() / length.as_secs_f64() - 1.0;
    assert!(off.abs() < 0.01, "{off}");
    wav.set_position(0);
    let both: Vec<i16> = hound::WavReader::new(wav).unwrap().samples::<i16>().map(|s| s.unwrap()).collect();
    let side = |n: usize| both.iter().skip(n).step_by(2).copied().collect::<Vec<i16>>();
    assert!(level(&side(0), 500.0) > -13.0 && level(&side(0), 1100.0) < -50.0, "{}", level(&side(0), 500.0));
    assert!(level(&side(1), 1100.0) > -13.0 && level(&side(1), 500.0) < -50.0, "{}", level(&side(1), 1100.0));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn legs_move_between_threads_with_their_sockets() {
    let (pool, events) = pool(21_040..=21_059, 2, None);
    let from = CallId(1);
    let to = (2..).map(CallId).find(|c| pool.thread_of(*c) != pool.thread_of(from)).unwrap();
    let (a, b, peers) = (LegId(1), LegId(2), [peer(), peer()]);
    let addresses = [pool.open(from, a).unwrap(), pool.open(to, b).unwrap()];
    pool.command(from, Command::SetParams { leg: a, params: params(peers[0].local_addr().unwrap()) }).unwrap();
    pool.command(to, Command::SetParams { leg: b, params: params(peers[1].local_addr().unwrap()) }).unwrap();
    pool.move_leg(a, from, to);
    pool.command(to, Command::Hear { leg: a, source: Source::Leg(b) }).unwrap();
    pool.command(to, Command::Hear { leg: b, source: Source::Leg(a) }).unwrap();
    let heard: Vec<Vec<i16>> = std::thread::scope(|scope| {
        let talks = [0, 1].map(|i| {
            let (peer, address) = (&peers[i], addresses[i]);
            scope.spawn(move || talk(peer, address, [600.0, 900.0][i], 30))
        });
        talks.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(level(&heard[0], 900.0) > -11.0 && level(&heard[1], 600.0) > -11.0);
    pool.close(to, a);
    pool.close(to, b);
    let mut left = vec![];
    while left.len() < 2 {
        let event = events.recv_timeout(Duration::from_secs(1)).unwrap();
        let Event::Stats { leg, stats } = event.event else { panic!("{event:?}") };
        // The first ones may come before the parameters do.
        assert!((25..=30).contains(&stats.packets_received) && stats.foreign == 0, "{leg:?} {stats:?}");
        left.push(event.call);
    }
    assert_eq!(left, [to, to]);
}

#[test]
fn busy_ports_are_skipped_and_exhaustion_is_told() {
    let taken = UdpSocket::bind("127.0.0.1:21061").unwrap();
    let (pool, _events) = pool(21_060..=21_065, 1, None);
    let mut got = [pool.open(CallId(1), LegId(1)).unwrap().port(), pool.open(CallId(1), LegId(2)).unwrap().port()];
    got.sort();
    assert_eq!(got, [21_062, 21_064]);
    assert!(matches!(pool.open(CallId(1), LegId(3)), Err(OpenError::Io(e)) if e.kind() == io::ErrorKind::AddrInUse));
    drop(taken);
    assert_eq!(pool.open(CallId(1), LegId(3)).unwrap().port(), 21_060);
    assert!(matches!(pool.open(CallId(1), LegId(4)), Err(OpenError::Exhausted)));
}

/// CPU seconds of this process' threads whose name begins so.
fn cpu_of(name: &str) -> f64 {
    let mut ticks = 0.0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        if stat.contains(&format!("({name}")) {
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            ticks += fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        }
    }
    ticks / 100.0
}

/// Prints what a bridge, a recorded bridge and a prompt cost: `cargo test --release --lib cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn cost() {
    let folder = std::env::temp_dir().join(format!("hotline-cost-{}", std::process::id()));
    let bridges: u64 = std::env::var("BRIDGES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let recordings = Some(RecordingConfig::new(&folder, Key { id: 1, bytes: [7; 32] }));
    let (pool, _events) = pool(22_000..=29_999, 1, recordings);
    let peers: Vec<(CallId, LegId, UdpSocket, SocketAddr)> = (0..2 * bridges)
        .map(|n| {
            let (call, leg, peer) = (CallId(n / 2 + 1), LegId(n + 1), peer());
            peer.set_nonblocking(true).unwrap();
            let to = pool.open(call, leg).unwrap();
            peer.connect(to).unwrap();
            pool.command(call, Command::SetParams { leg, params: params(peer.local_addr().unwrap()) }).unwrap();
            (call, leg, peer, to)
        })
        .collect();
    let mut sequence = 0u16;
    let mut run = |what: &str, seconds: u32, send: bool| {
        let before =
            (cpu_of("media-"), cpu_of("rec-"), pool.counters()[0].sent.load(std::sync::atomic::Ordering::Relaxed));
        let (start, mut buffer, mut got) = (Instant::now(), [0; 1500], 0u64);
        for n in 0..seconds * 50 {
            sequence = sequence.wrapping_add(1);
            for (i, (_, leg, peer, _)) in peers.iter().enumerate() {
                if i % 16 == 0 {
                    let next = start
                        + Duration::from_millis(20) * n
                        + Duration::from_millis(20) * i as u32 / peers.len() as u32;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                let mut packet = [0x55; HEADER + 160];
                write_header(
                    packet.first_chunk_mut().unwrap(),
                    false,
                    8,
                    sequence,
                    u32::from(sequence) * 160,
                    leg.0 as u32,
                );
                if send {
                    peer.send(&packet).unwrap();
                }
                while peer.recv(&mut buffer).is_ok() {
                    got += 1;
                }
            }
        }
        let took = start.elapsed().as_secs_f64();
        let sent = pool.counters()[0].sent.load(std::sync::atomic::Ordering::Relaxed) - before.2;
        let (media, rec) = (cpu_of("media-") - before.0, cpu_of("rec-") - before.1);
        println!(
            "{what}: {sent} sent, {got} received in {took:.1} s; media {:.4} % a call, {:.2} us a packet; writer {:.4} % a call",
            media / took * 100.0 / bridges as f64,
            media * 1e6 / sent as f64,
            rec / took * 100.0 / bridges as f64,
        );
    };
    for (call, leg, ..) in &peers {
        let other = LegId(((leg.0 - 1) ^ 1) + 1);
        pool.command(*call, Command::Hear { leg: *leg, source: Source::Leg(other) }).unwrap();
    }
    run("warm-up", 1, true);
    run("bridge", 5, true);
    for (call, leg, ..) in &peers {
        let (recording, first) = (RecordingId(call.0), leg.0 % 2 == 1);
        if first {
            pool.command(*call, Command::StartRecording { recording }).unwrap();
        }
        let side = if first { Side::Left } else { Side::Right };
        pool.command(*call, Command::RecordLeg { recording, leg: *leg, side }).unwrap();
    }
    run("recorded bridge", 5, true);
    let clip = Arc::new(Clip::from_samples("tone", &tone(700.0, 2)));
    for (call, leg, ..) in &peers {
        pool.command(*call, Command::StopRecording { recording: RecordingId(call.0) }).unwrap();
        pool.command(*call, Command::Play { leg: *leg, id: PlayId(1), clips: vec![clip.clone()], repeat: true })
            .unwrap();
    }
    run("two prompts", 5, false);
    for (call, leg, ..) in &peers {
        pool.command(*call, Command::StopPlay { leg: *leg }).unwrap();
        pool.command(*call, Command::Hear { leg: *leg, source: Source::Room(1) }).unwrap();
    }
    run("room of two", 5, true);
    drop(pool);
    let _ = std::fs::remove_dir_all(folder);
}
