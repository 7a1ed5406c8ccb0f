//! A media thread: one engine, the sockets of its legs, one epoll.
//!
//! The thread sleeps until a packet or a command comes or something generated is due; prompts and mixes are due on
//! slots of 1 ms, and only while there are any. A socket is read once each time it is ready: with a stream a socket
//! there is one packet in it, and a second system call to find nothing would cost more than batching saves; a burst
//! is read in the next rounds. Nothing is allocated for a packet, and no lock is taken.
//!
//! Left out: opening sockets (`net::rtp`), files (`net::recording`).

mod epoll;
mod mailbox;

pub(crate) use mailbox::{Mailbox, Message, Sockets};

use super::{
    clock,
    recording::ring::Producer,
    rtp::{EventSink, ports::Ports},
};
use crate::{
    ids::{CallId, LegId},
    media::engine::{CallEvent, Command, Engine, LONGEST_PACKET, LearnPolicy, Leg, Record, Sink},
};
use epoll::{Epoll, Events};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Instant,
};

/// Packets that are worked off between two looks at the clock and the mailbox.
const BATCH: usize = 256;
/// The mailbox's token; sockets have twice their slot, plus one for RTCP.
const MAILBOX: u64 = u64::MAX;
/// Commands that wait for a leg on its way from another thread.
const MOST_DEFERRED: usize = 256;

/// What a media thread counts; read by metrics.
#[derive(Debug, Default)]
pub struct ThreadCounters {
    /// Legs on this thread now.
    pub legs: AtomicU64,
    /// RTP datagrams that came.
    pub received: AtomicU64,
    /// RTP packets that went out.
    pub sent: AtomicU64,
    /// Datagrams from elsewhere than the leg's peer, dropped.
    pub foreign: AtomicU64,
    /// Datagrams that are no RTP or RTCP of the leg, dropped.
    pub malformed: AtomicU64,
    /// Frames that no recording has because the ring was full.
    pub unrecorded: AtomicU64,
    /// Commands that came too late or made no sense, such as for a leg that had just ended.
    pub refused_commands: AtomicU64,
    /// Packets that the system did not take; a peer's closed port is counted apart.
    pub send_errors: AtomicU64,
    /// Packets to a port that the peer's host reports as closed (ICMP).
    pub peer_closed: AtomicU64,
    /// Keys that came faster than anybody presses them.
    pub keys_held_back: AtomicU64,
    /// Packets that never came, of the legs that are gone.
    pub lost: AtomicU64,
    /// Packets that came too late for a mix.
    pub late: AtomicU64,
}

/// What a thread is started with.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) cpu: Option<usize>,
    pub(crate) seed: u64,
    pub(crate) epoch: Instant,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) counters: Arc<ThreadCounters>,
    pub(crate) events: EventSink,
    pub(crate) ports: Arc<Mutex<Ports>>,
    pub(crate) recorder: Option<Producer>,
}

/// Starts a media thread. It ends at `Message::Stop`.
pub(crate) fn spawn(parts: Parts) -> io::Result<JoinHandle<()>> {
    let epoll = Epoll::new()?;
    epoll.add(&parts.mailbox.waker, MAILBOX)?;
    std::thread::Builder::new().name(parts.name.clone()).spawn(move || {
        if let Some(Err(error)) = parts.cpu.map(epoll::pin) {
            tracing::warn!(thread = parts.name, %error, "cannot keep the media thread on its CPU");
        }
        Thread::new(epoll, parts).run();
    })
}

/// Everything but the engine: what the engine's output goes to.
struct Shell {
    sockets: Vec<Option<Sockets>>,
    events: EventSink,
    recorder: Option<Producer>,
    counters: Arc<ThreadCounters>,
}

impl Shell {
    fn count(&self, result: io::Result<usize>) {
        match result {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.counters.peer_closed.fetch_add(1, Relaxed);
            }
            Err(_) => {
                self.counters.send_errors.fetch_add(1, Relaxed);
            }
        }
    }
}

impl Sink for Shell {
    fn send_rtp(&mut self, slot: usize, to: SocketAddr, packet: &[u8]) {
        let Some(Some(sockets)) = self.sockets.get(slot) else { return };
        let result = if sockets.connected {
            // A pending ICMP error is reported once and keeps the packet back; the second attempt sends it.
            sockets.rtp.send(packet).or_else(|_| sockets.rtp.send(packet))
        } else {
            sockets.rtp.send_to(packet, to)
        };
        self.count(result);
    }

    fn send_rtcp(&mut self, slot: usize, to: SocketAddr, packet: &[u8]) {
        let Some(Some(sockets)) = self.sockets.get(slot) else { return };
        self.count(sockets.rtcp.send_to(packet, to));
    }

    fn event(&mut self, event: CallEvent) {
        (self.events)(event);
    }

    fn record(&mut self, record: Record<'_>) -> bool {
        match &mut self.recorder {
            Some(ring) => ring.push(record),
            None => false,
        }
    }

    fn locked(&mut self, slot: usize, peer: Option<SocketAddr>) {
        let Some(Some(sockets)) = self.sockets.get_mut(slot) else { return };
        match peer {
            Some(peer) => sockets.connected = sockets.rtp.connect(peer).is_ok(),
            None => {
                epoll::disconnect(&sockets.rtp);
                sockets.connected = false;
            }
        }
    }
}

/// What waits for a leg from another thread.
#[derive(Default)]
struct Deferred {
    legs: HashSet<LegId>,
    commands: Vec<Command>,
}

struct Thread {
    engine: Engine,
    shell: Shell,
    epoll: Epoll,
    mailbox: Arc<Mailbox>,
    ports: Arc<Mutex<Ports>>,
    deferred: HashMap<CallId, Deferred>,
    stopped: bool,
}

impl Thread {
    fn new(epoll: Epoll, parts: Parts) -> Thread {
        Thread {
            engine: Engine::new(parts.seed, parts.epoch),
            shell: Shell {
                sockets: Vec::new(),
                events: parts.events,
                recorder: parts.recorder,
                counters: parts.counters,
            },
            epoll,
            mailbox: parts.mailbox,
            ports: parts.ports,
            deferred: HashMap::new(),
            stopped: false,
        }
    }

    fn run(mut self) {
        let mut events: Events = vec![libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let mut buffer = [0; LONGEST_PACKET];
        let mut messages = VecDeque::new();
        while !self.stopped {
            let now = clock::now();
            self.engine.tick(now, &mut self.shell);
            let timeout = self.engine.poll_timeout().map(|at| at.saturating_duration_since(now.mono));
            let ready = match self.epoll.wait(&mut events, timeout) {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "a media thread cannot wait for packets and ends");
                    break;
                }
            };
            let mut asked = false;
            let mut now = clock::now();
            for (i, event) in events[..ready].iter().enumerate() {
                match event.u64 {
                    MAILBOX => asked = true,
                    token => {
                        if i % 32 == 31 {
                            now = clock::now();
                        }
                        self.receive(now, token, &mut buffer);
                    }
                }
            }
            if asked {
                self.mailbox.drain(&mut messages);
                messages.drain(..).for_each(|message| self.handle(message));
            }
            self.publish();
        }
        self.engine.stop_recordings(clock::now(), &mut self.shell);
    }

    fn receive(&mut self, now: crate::clock::Now, token: u64, buffer: &mut [u8; LONGEST_PACKET]) {
        let slot = (token / 2) as usize;
        let Some(Some(sockets)) = self.shell.sockets.get(slot) else { return };
        if token.is_multiple_of(2) {
            match sockets.rtp.recv_from(buffer) {
                Ok((n, source)) => self.engine.handle_rtp(now, slot, source, &mut buffer[..n], &mut self.shell),
                Err(error) => self.receive_failed(&error),
            }
        } else {
            match sockets.rtcp.recv_from(buffer) {
                Ok((n, source)) => self.engine.handle_rtcp(now, slot, source, &buffer[..n], &mut self.shell),
                Err(error) => self.receive_failed(&error),
            }
        }
    }

    fn receive_failed(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.shell.counters.peer_closed.fetch_add(1, Relaxed);
        }
    }

    fn publish(&self) {
        let (from, to) = (self.engine.counters(), &self.shell.counters);
        to.legs.store(self.engine.legs() as u64, Relaxed);
        to.received.store(from.received, Relaxed);
        to.sent.store(from.sent, Relaxed);
        to.foreign.store(from.foreign, Relaxed);
        to.malformed.store(from.malformed, Relaxed);
        to.unrecorded.store(from.unrecorded, Relaxed);
        to.refused_commands.store(from.refused, Relaxed);
        to.keys_held_back.store(from.keys_held_back, Relaxed);
        to.lost.store(from.lost, Relaxed);
        to.late.store(from.late, Relaxed);
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Command(call, command) => self.command(call, command),
            Message::Open { call, leg, sockets } => self.open(call, leg, sockets),
            Message::Expect { call, leg } => {
                self.deferred.entry(call).or_default().legs.insert(leg);
            }
            Message::MoveOut { leg, from, to, target } => self.move_out(leg, from, to, &target),
            Message::Arrive { call, leg, content } => self.arrive(call, leg, content),
            Message::Stop => self.stopped = true,
        }
    }

    fn command(&mut self, call: CallId, command: Command) {
        if let Some(deferred) = self.deferred.get_mut(&call) {
            let frees = matches!(command, Command::RemoveLeg { .. } | Command::StopRecording { .. });
            if frees || deferred.commands.len() < MOST_DEFERRED {
                deferred.commands.push(command);
            }
            return;
        }
        let removed = match &command {
            Command::RemoveLeg { leg } => self.engine.slot(*leg),
            _ => None,
        };
        if self.engine.handle_command(clock::now(), call, command, &mut self.shell).is_ok()
            && let Some(slot) = removed
        {
            self.close(slot);
        }
    }

    fn close(&mut self, slot: usize) {
        if let Some(sockets) = self.shell.sockets.get_mut(slot).and_then(Option::take) {
            let port = sockets.port;
            drop(sockets); // closing takes them out of the epoll
            self.ports.lock().unwrap_or_else(PoisonError::into_inner).give_back(port);
        }
    }

    fn open(&mut self, call: CallId, leg: LegId, sockets: Sockets) {
        let add = Command::AddLeg { leg, learn: LearnPolicy::default() };
        let known = self.engine.slot(leg).is_some();
        let added = self.engine.handle_command(clock::now(), call, add, &mut self.shell);
        match self.engine.slot(leg) {
            Some(slot) if added.is_ok() && !known => self.install(slot, sockets),
            _ => {
                let port = sockets.port;
                drop(sockets);
                self.ports.lock().unwrap_or_else(PoisonError::into_inner).give_back(port);
            }
        }
    }

    fn install(&mut self, slot: usize, sockets: Sockets) {
        let token = slot as u64 * 2;
        let added = self.epoll.add(&sockets.rtp, token).and_then(|()| self.epoll.add(&sockets.rtcp, token + 1));
        if let Err(error) = added {
            tracing::error!(%error, "cannot listen for media");
        }
        if self.shell.sockets.len() <= slot {
            self.shell.sockets.resize_with(slot + 1, || None);
        }
        self.shell.sockets[slot] = Some(sockets);
    }

    fn move_out(&mut self, leg: LegId, from: CallId, to: CallId, target: &Arc<Mailbox>) {
        let slot = self.engine.slot(leg);
        let content = self.engine.take_leg(from, leg).map(|taken| {
            let sockets = slot.and_then(|s| self.shell.sockets.get_mut(s)).and_then(Option::take);
            if let Some(sockets) = &sockets {
                self.epoll.remove(&sockets.rtp);
                self.epoll.remove(&sockets.rtcp);
            }
            (taken, sockets)
        });
        if Arc::ptr_eq(target, &self.mailbox) {
            self.arrive(to, leg, content);
        } else {
            target.post(Message::Arrive { call: to, leg, content });
        }
    }

    fn arrive(&mut self, call: CallId, leg: LegId, content: Option<(Box<Leg>, Option<Sockets>)>) {
        if let Some((taken, sockets)) = content {
            match (self.engine.put_leg(clock::now(), call, taken), sockets) {
                (Ok(slot), Some(sockets)) => self.install(slot, sockets),
                (Err(_), Some(sockets)) => {
                    self.ports.lock().unwrap_or_else(PoisonError::into_inner).give_back(sockets.port);
                }
                (_, None) => {}
            }
        }
        if let Some(deferred) = self.deferred.get_mut(&call) {
            deferred.legs.remove(&leg);
            if deferred.legs.is_empty()
                && let Some(deferred) = self.deferred.remove(&call)
            {
                deferred.commands.into_iter().for_each(|command| self.command(call, command));
            }
        }
    }
}
