//! The real media engine behind the switch's port, with made-up sockets.

use bytes::Bytes;
use hotline::{
    app::switch::MediaPort,
    clock::Now,
    ids::{CallId, LegId, RecordingId},
    media::engine::{CallEvent, Command, Engine, Record, Sink},
};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// A datagram that leaves: from, to, bytes.
pub type Datagram = (SocketAddr, SocketAddr, Bytes);

/// What the engine gave away and the world has not yet carried on.
#[derive(Default)]
pub struct Outbox {
    /// Each slot's address.
    slots: HashMap<usize, SocketAddr>,
    pub datagrams: Vec<Datagram>,
    pub events: Vec<CallEvent>,
    /// Recordings that run, and how many frames each has.
    pub recording: BTreeMap<RecordingId, usize>,
    /// Those that were stopped.
    pub recorded: BTreeMap<RecordingId, usize>,
}

impl Sink for Outbox {
    fn send_rtp(&mut self, slot: usize, to: SocketAddr, packet: &[u8]) {
        if let Some(from) = self.slots.get(&slot) {
            self.datagrams.push((*from, to, Bytes::copy_from_slice(packet)));
        }
    }

    // Telephones here send and read no RTCP.
    fn send_rtcp(&mut self, _: usize, _: SocketAddr, _: &[u8]) {}

    fn event(&mut self, event: CallEvent) {
        self.events.push(event);
    }

    fn record(&mut self, record: Record<'_>) -> bool {
        match record {
            Record::Start { recording, .. } => drop(self.recording.insert(recording, 0)),
            Record::Frame { recording, .. } => {
                *self.recording.get_mut(&recording).expect("a frame of a recording that runs") += 1
            }
            Record::Stop { recording, .. } => {
                let frames = self.recording.remove(&recording).expect("a recording is stopped once");
                self.recorded.insert(recording, frames);
            }
        }
        true
    }
}

/// The engine and its sockets.
pub struct EngineRoom {
    pub engine: Engine,
    /// Commands carry no time: the world sets it before each input.
    pub now: Now,
    pub out: Outbox,
    pub open: BTreeMap<LegId, (CallId, SocketAddr)>,
    address: IpAddr,
    next_port: u16,
    /// So many legs may be open at a time.
    pub ports: usize,
}

impl EngineRoom {
    pub fn new(seed: u64, epoch: Instant, now: Now, address: IpAddr) -> Self {
        EngineRoom {
            engine: Engine::new(seed, epoch),
            now,
            out: Outbox::default(),
            open: BTreeMap::new(),
            address,
            next_port: 20_000,
            ports: usize::MAX,
        }
    }

    /// A datagram came to one of the sockets; what comes to a closed one is lost.
    pub fn receive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let Some((leg, _)) = self.open.iter().find(|(_, (_, address))| *address == to) else { return };
        let Some(slot) = self.engine.slot(*leg) else { return };
        let mut bytes = bytes.to_vec();
        self.engine.handle_rtp(self.now, slot, from, &mut bytes, &mut self.out);
    }

    pub fn tick(&mut self) {
        self.engine.tick(self.now, &mut self.out);
    }
}

impl MediaPort for EngineRoom {
    fn open(&mut self, group: CallId, leg: LegId) -> io::Result<SocketAddr> {
        if self.open.len() >= self.ports {
            return Err(io::Error::other("no port is free"));
        }
        let address = SocketAddr::new(self.address, self.next_port);
        self.next_port = if self.next_port >= 60_000 { 20_000 } else { self.next_port + 2 };
        assert!(self.open.insert(leg, (group, address)).is_none(), "{leg:?} is opened twice");
        Ok(address)
    }

    fn command(&mut self, group: CallId, command: Command) {
        let added = if let Command::AddLeg { leg, .. } = &command { Some(*leg) } else { None };
        // Races at a leg's end make refusals normal.
        let _ = self.engine.handle_command(self.now, group, command, &mut self.out);
        if let Some(leg) = added
            && let (Some(slot), Some((_, address))) = (self.engine.slot(leg), self.open.get(&leg))
        {
            self.out.slots.insert(slot, *address);
        }
    }

    fn close(&mut self, group: CallId, leg: LegId) {
        let (opened_by, _) = self.open.remove(&leg).expect("a leg's sockets are closed once");
        assert_eq!(opened_by, group, "{leg:?} is closed in another group than it was opened in");
    }
}
